"""From a line of compiled SQL back to the line of the model that it comes from.

Lines that compilation left alone match as they are (82 % of the lines of real models), lines with Jinja in them by
the text around it. What a macro, a loop or an injected CTE has written has no line of its own: it is shown at the
Jinja block that wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile

_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_HALF_TAG = re.compile(r"\{[{%#]|[}%#]\}")
_INJECTED = re.compile(r"\bwith\s+(?:recursive\s+)?(?P<cte>__dbt__cte__\w+ as \()", re.IGNORECASE)
_NEXT_INJECTED = re.compile(r", (?P<cte>__dbt__cte__\w+ as \()")
_ANY_INJECTED = re.compile(r"\b__dbt__cte__(?P<model>\w+) as \(")
_CTE_NAME = re.compile(r"__dbt__cte__(\w+)")
_PARENTHESES = re.compile(r"""'[^']*'|"[^"]*"|--[^\n]*|/\*.*?\*/|[()]""", re.DOTALL)
_WORDS = re.compile(r"\w")
_WORD = re.compile(r"\{%[-+]?\s*(\w+)")
_OPENING = frozenset(("for", "if", "macro", "call", "filter", "set", "snapshot", "test", "materialization"))
_REPEATING = frozenset(("for", "macro", "call"))


@dataclass(frozen=True, slots=True)
class SourcePlace:
    """Line and column in a model's code, from 1. `exact` is False where it is the Jinja block, not the very line."""

    line: int
    column: int
    exact: bool


class SourceMap:
    """Maps all lines of one model; built once for several findings."""

    def __init__(self, raw_code: str, compiled: str) -> None:
        self._raw, self._compiled = raw_code.split("\n"), compiled.split("\n")
        source, injected = _Source(raw_code, self._raw), _injected(compiled)
        self._lines = _mapped(source, injected.rest.split("\n"))
        self._lines[injected.line : injected.line] = [(source.naming(name), False) for name in injected.names]

    def place(self, line: int, column: int = 1) -> SourcePlace:
        """Where the line and column of the compiled code come from. Lines beyond the end count as the last.

        The column is kept where the text before it is the same, or all that follows it; else it is 1.

        >>> SourceMap("select a, {{ cents('b') }}, c", "select a, (b / 100), c").place(1, 8)
        SourcePlace(line=1, column=8, exact=True)
        """
        index = min(max(line, 1), len(self._compiled)) - 1
        found, exact = self._lines[index]
        column = _column(self._raw[found], self._compiled[index], max(column, 1)) if exact else 1
        return SourcePlace(found + 1, column, exact)


def source_line(raw_code: str, compiled: str, line: int) -> tuple[int, bool]:
    """The line of `raw_code` that a line of `compiled` comes from, both from 1, and whether it is that very line;
    False: it is the start of the Jinja block which wrote it.

    >>> source_line("{{ config(tags='x') }}\\nselect a\\nfrom {{ ref('b') }}", "\\nselect a\\nfrom dev.b", 3)
    (3, True)
    """
    place = SourceMap(raw_code, compiled).place(line)
    return place.line, place.exact


@dataclass(frozen=True, slots=True)
class InjectedPlace:
    """A place inside the CTE of an ephemeral model: a line and column of `code`, its compiled code."""

    model: str
    code: str
    line: int
    column: int


def injected_place(compiled: str, line: int, column: int = 1) -> InjectedPlace | None:
    """Where in an ephemeral model's code a place of the compiled code is; None where it is in the model's own.

    >>> injected_place("with __dbt__cte__light as (\\n  select a\\n) select b from __dbt__cte__light", 2, 10)
    InjectedPlace(model='light', code='\\n  select a\\n', line=2, column=10)
    """
    starts = [0, *(found.end() for found in re.finditer("\n", compiled))]
    offset = starts[min(max(line, 1), len(starts)) - 1] + column - 1
    for found in _ANY_INJECTED.finditer(compiled):
        start, end = found.end(), _closed(compiled, found.end() - 1) - 1
        if start <= offset < end:
            before = compiled[start:offset]
            return InjectedPlace(
                found["model"], compiled[start:end], before.count("\n") + 1, len(before) - before.rfind("\n")
            )
    return None


def lines_before(file_text: str, raw_code: str) -> int:
    """How many lines of a file stand before `raw_code`: dbt strips files, and takes a snapshot's body only.

    >>> lines_before("\\n\\nselect 1\\n", "select 1")
    2
    """
    start = file_text.find(raw_code)
    return file_text.count("\n", 0, start) if start > 0 else 0


class _Source:
    """The lines of a model, and the Jinja in them. Lines count from 0 here."""

    def __init__(self, raw_code: str, lines: Sequence[str]) -> None:
        self.lines = [line.rstrip() for line in lines]
        self.has_tag = [False] * len(lines)
        self.block = list(range(len(lines)))
        """For each line the line on which its innermost Jinja block or tag starts; itself outside of them."""
        self.repeated = [False] * len(lines)
        """True inside of loops and macros, whose lines are written any number of times."""
        self._read(raw_code)

    def fits(self, line: int, text: str) -> bool:
        """True where `text` may be the line, compiled: all that is no Jinja in it is there, in order."""
        fixed = _TAG.split(self.lines[line])
        if len(fixed) == 1:
            return self.repeated[line] and self.lines[line] == text
        if not _WORDS.search("".join(fixed)) or _HALF_TAG.search("".join(fixed)):
            return False  # Jinja and a comma fit anything
        first, *middle, last = fixed
        position, end = len(first), len(text) - len(last)
        if not text.startswith(first) or not text.endswith(last):
            return False
        for part in middle:
            position = text.find(part, position, end)
            if position < 0:
                return False
            position += len(part)
        return position <= end

    def fits_once(self, line: int, text: str) -> bool:
        """True where `text` may be the line and nothing else is written by it."""
        return not self.repeated[line] and self.fits(line, text)

    def naming(self, name: str) -> int:
        """The first line with Jinja that names an ephemeral model; of one read through another, the first at all."""
        quoted = re.compile(rf"""['"]{re.escape(name)}['"]""")
        tagged = [line for line, has_tag in enumerate(self.has_tag) if has_tag]
        return next((line for line in tagged if quoted.search(self.lines[line])), next(iter(tagged), 0))

    def _read(self, raw_code: str) -> None:
        open_blocks: list[tuple[str, int]] = []
        position, line = 0, 0
        for tag in _TAG.finditer(raw_code):
            start = line + raw_code.count("\n", position, tag.start())
            self._enclose(open_blocks, line, start)
            end = start + tag.group().count("\n")
            for inside in range(start, end + 1):
                self.has_tag[inside] = True
                self.block[inside] = start if inside > start else self.block[start]
            _follow(open_blocks, tag.group(), start)
            position, line = tag.end(), end
        self._enclose(open_blocks, line, len(self.lines) - 1)

    def _enclose(self, open_blocks: Sequence[tuple[str, int]], first: int, last: int) -> None:
        """Lines after `first` up to `last` are inside these blocks."""
        if not open_blocks:
            return
        repeated = any(word in _REPEATING for word, _ in open_blocks)
        for inside in range(first + 1, last + 1):
            self.block[inside], self.repeated[inside] = open_blocks[-1][1], repeated


def _follow(open_blocks: list[tuple[str, int]], tag: str, line: int) -> None:
    word = found[1] if (found := _WORD.match(tag)) else ""
    if word in _OPENING and not (word == "set" and "=" in tag):
        open_blocks.append((word, line))
    elif word.startswith("end") and open_blocks and open_blocks[-1][0] == word[3:]:
        open_blocks.pop()


@dataclass(frozen=True, slots=True)
class _Injected:
    """Compiled code without the CTEs of ephemeral models; from `line` on, one line for each of `names` is gone."""

    rest: str
    line: int = 0
    names: tuple[str, ...] = ()
    """The ephemeral model that each line belongs to."""


def _injected(compiled: str) -> _Injected:
    found = _INJECTED.search(compiled)
    if found is None:
        return _Injected(compiled)
    start = at = found.start("cte")
    names: list[str] = []
    while True:
        end = _closed(compiled, compiled.index("(", at))
        name = _CTE_NAME.match(compiled, at)
        names += [name[1] if name else ""] * compiled.count("\n", at, end)
        another = _NEXT_INJECTED.match(compiled, end)
        if another is None:
            break
        at = another.start("cte")
    # dbt writes a space before the first CTE, and a `with` where the model has none.
    own_with = compiled.startswith(", ", end)
    rest = compiled[: start - 1] + compiled[end + 2 :] if own_with else compiled[: found.start()] + compiled[end + 1 :]
    return _Injected(rest, compiled.count("\n", 0, start), tuple(names))


def _closed(text: str, opened: int) -> int:
    """Where the parenthesis is closed: the position after it."""
    depth = 0
    for token in _PARENTHESES.finditer(text, opened):
        depth += {"(": 1, ")": -1}.get(token.group(), 0)
        if depth == 0:
            return token.end()
    return len(text)


def _mapped(source: _Source, compiled: Sequence[str]) -> list[tuple[int, bool]]:
    """For each compiled line its line in the source, and whether it is that very line."""
    found: list[tuple[int, bool]] = []
    theirs = [line.rstrip() for line in compiled]
    for kind, first, last, start, end in SequenceMatcher(None, source.lines, theirs).get_opcodes():
        if kind == "equal":
            found += [(first + offset, True) for offset in range(end - start)]
        else:
            found += _between(source, first, last, theirs[start:end])
    return found


def _between(source: _Source, first: int, last: int, compiled: Sequence[str]) -> list[tuple[int, bool]]:
    """Lines that differ: those with Jinja in them are known by the rest of their text.

    First from both ends, line by line; what is left in the middle (where something was written in) in order.
    """
    common = min(last - first, len(compiled))
    head = _run(source.fits_once(first + n, compiled[n]) for n in range(common))
    tail = _run(source.fits_once(last - n, compiled[-n]) for n in range(1, common - head + 1))
    middle = _searched(source, first + head, last - tail, compiled[head : len(compiled) - tail])
    return [
        *((first + n, True) for n in range(head)),
        *middle,
        *((last - n, True) for n in range(tail, 0, -1)),
    ]


def _run(matches: Iterable[bool]) -> int:
    return sum(1 for _ in takewhile(bool, matches))


def _searched(source: _Source, first: int, last: int, compiled: Sequence[str]) -> Iterator[tuple[int, bool]]:
    reached = first
    for text in compiled:
        # A loop goes back to its first line.
        again = (line for line in range(first, min(reached, last)) if source.repeated[line])
        line = next((line for line in (*range(reached, last), *again) if source.fits(line, text)), None)
        if line is None:
            yield _writer(source, first, last, reached), False
        elif source.repeated[line]:
            reached = line
            yield source.block[line], False
        else:
            reached = line + 1
            yield line, True


def _writer(source: _Source, first: int, last: int, reached: int) -> int:
    """The block that wrote what cannot be told apart: the next one with Jinja, else the last one before."""
    end = len(source.lines) - 1
    around = (*range(reached, last), *range(min(reached, end), first - 1, -1), *range(min(first, end), -1, -1))
    return next((source.block[line] for line in around if source.has_tag[line]), min(first, end))


def _column(raw: str, compiled: str, column: int) -> int:
    before, after = compiled[: column - 1], compiled[column - 1 :]
    if raw.startswith(before) and not _TAG.match(raw, column - 1):
        return column
    if after and raw.endswith(after):
        return len(raw) - len(after) + 1
    return 1


__all__ = ["InjectedPlace", "SourceMap", "SourcePlace", "injected_place", "lines_before", "source_line"]
