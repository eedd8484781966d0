"""Our own widgets, Components v2: plain HTML, CSS and one ES module each, no build step.

Comes in: data that was computed in Python (positions included). Goes out: a click. Always holds: text reaches the page
through `textContent` only.
"""
