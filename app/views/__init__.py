"""One module a page. Comes in: a `Site`. Goes out: what is on the screen. Reads only through `site.reads`."""
