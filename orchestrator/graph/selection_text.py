"""The text language of selections, parsed into the expressions of `definitions.selection`.

    selection    = either {either}                    a space means or
    either       = negation {"," negation}            a comma means and
    negation     = "not" negation | reached
    reached      = ["@" | [n] "+"] operand ["+" [n]]
    operand      = [method ":"] value | "(" selection ")"

As in dbt, but for `not` and parentheses. A value with blanks, commas or parentheses stands in quotes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.definitions import selection as tree
from orchestrator.errors import SelectionError, did_you_mean

STATES = ("fresh", "stale", "missing", "failed", "unknown", "running", "adopted", "external")
RESULTS = ("succeeded", "warned", "failed", "blocked", "up_to_date", "cancelled", "unknown")
DBT_RESULTS = {"success": "succeeded", "pass": "succeeded", "warn": "warned", "error": "failed", "fail": "failed",
               "skipped": "blocked", "skip": "blocked"}  # fmt: skip
_WORDS_OF = {"state": STATES, "result": (*RESULTS, *DBT_RESULTS)}
_DBT_SPELLINGS = {
    "package": "project", "config.materialized": "kind", "config.tags": "tag", "config.group": "group",
    "config.access": "access", "test_name": "check", "unit_test": "check",
}  # fmt: skip
_FILES = (".sql", ".py", ".csv")
_DEEPEST = 100
_END = r"(?=[\s,()]|$)"
_BEFORE = r"(?P<at>@)?(?P<up>\d*\+)?"
_TOKENS = {
    "blank": re.compile(r"\s+"),
    "comma": re.compile(r","),
    "open": re.compile(rf"{_BEFORE}\("),
    "close": re.compile(rf"\)(?P<down>\+\d*)?{_END}"),
    "word": re.compile(
        rf"{_BEFORE}(?:(?P<method>[A-Za-z_][\w.]*):)?"
        rf"""(?P<value>"[^"]*"|'[^']*'|[^\s,()"']+?)(?P<down>\+\d*)?{_END}"""
    ),
}


def parse(text: str) -> tree.Expression:
    """The expression that a text means; an empty text means everything. Raises SelectionError with the column."""
    tokens = _tokenise(text)
    if not tokens:
        return tree.All()
    parser = _Parser(text, tokens)
    expression = parser.selection()
    if parser.position < len(tokens):
        raise parser.error("')' has no '(' before it", parser.next_start())
    return expression


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    match: re.Match[str]

    @property
    def is_not(self) -> bool:
        return self.kind == "word" and self.match.group().lower() == "not"


def _tokenise(text: str) -> list[_Token]:
    tokens = []
    at = 0
    while at < len(text):
        token = _token_at(text, at)
        if token is None:
            raise _error(text, _unreadable(text[at:]), at)
        if token.kind != "blank":
            tokens.append(token)
        at = token.match.end()
    return tokens


def _token_at(text: str, at: int) -> _Token | None:
    for kind, pattern in _TOKENS.items():
        if match := pattern.match(text, at):
            return _Token(kind, match)
    return None


def _unreadable(rest: str) -> str:
    word = re.split(r"[\s,()]", rest, maxsplit=1)[0] or rest
    if any(rest.count(quote) % 2 for quote in "\"'"):
        return "a quote is not closed"
    return f"'{word}' cannot be read"


def _error(text: str, what: str, at: int, *, fix: str | None = None) -> SelectionError:
    return SelectionError(
        f"the selection '{text}' is wrong: {what}",
        at=f"column {at + 1}",
        fix=fix or "a space means or, a comma means and; '+x', 'x+2', '@x', 'not x', 'tag:x', '(x y)' are understood",
    )


@dataclass(slots=True)
class _Parser:
    text: str
    tokens: list[_Token]
    position: int = 0
    depth: int = 0

    def selection(self) -> tree.Expression:
        parts = [self.either()]
        while self.peek() not in (None, "close"):
            parts.append(self.either())
        return parts[0] if len(parts) == 1 else tree.Or(tuple(parts))

    def either(self) -> tree.Expression:
        parts = [self.negation()]
        while self.peek() == "comma":
            self.position += 1
            parts.append(self.negation())
        return parts[0] if len(parts) == 1 else tree.And(tuple(parts))

    def negation(self) -> tree.Expression:
        count = 0
        while self.peek() == "word" and self.tokens[self.position].is_not:
            self.position += 1
            count += 1
        expression = self.reached()
        for _ in range(count):
            expression = tree.Not(expression)
        return expression

    def reached(self) -> tree.Expression:
        if self.peek() not in ("word", "open"):
            raise self.error("a name is missing", self.next_start())
        token = self.tokens[self.position]
        self.position += 1
        if token.kind == "word":
            return self.with_reach(self.listed(token, self.leaf(token)), before=token, after=token)
        inner, close = self.parenthesis(token)
        return self.with_reach(inner, before=token, after=close)

    def parenthesis(self, opening: _Token) -> tuple[tree.Expression, _Token]:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.error("too many parentheses in each other", opening.match.start())
        inner = self.selection()
        if self.peek() != "close":
            raise self.error("')' is missing", len(self.text))
        self.position += 1
        self.depth -= 1
        return inner, self.tokens[self.position - 1]

    def with_reach(self, inner: tree.Expression, *, before: _Token, after: _Token) -> tree.Expression:
        at, up, down = before.match["at"], before.match["up"], after.match["down"]
        if at and (up or down):
            raise self.error("'@' and '+' do not go together", before.match.start(), fix="'@x' already goes both ways")
        if at:
            return tree.At(inner)
        reached: list[tree.Expression] = [tree.Upstream(inner, _number(up[:-1]))] if up else []
        reached += [tree.Downstream(inner, _number(down[1:]))] if down else []
        if not reached:
            return inner
        return reached[0] if len(reached) == 1 else tree.Or(tuple(reached))

    def leaf(self, token: _Token) -> tree.Expression:
        method, raw = token.match["method"], token.match["value"]
        quoted = raw[0] in "\"'"
        value = raw[1:-1] if quoted else raw
        if method:
            return tree.Method(self.method(method, token), value)
        if not quoted and (value[0] in "+@" or value[-1] == "+"):
            raise self.error(f"'{token.match.group()}' cannot be read", token.match.start())
        if not quoted and value[-1] == ":":
            raise self.error(f"'{value}' has no value", token.match.start())
        if value == "*":
            return tree.All()
        return tree.Method("path", value) if "/" in value else tree.Name(value)

    def listed(self, token: _Token, leaf: tree.Expression) -> tree.Expression:
        """`state:stale,failed`: an asset has one state only, so that this comma can only mean or."""
        if not isinstance(leaf, tree.Method) or leaf.method not in _WORDS_OF or token.match["down"]:
            return leaf
        words = _WORDS_OF[leaf.method]
        parts = [leaf]
        while (following := self.following_word()) in words:
            self.position += 2
            parts.append(tree.Method(leaf.method, following))
        return parts[0] if len(parts) == 1 else tree.Or(tuple(parts))

    def following_word(self) -> str | None:
        """The word after a comma that comes next."""
        comma, word = [*self.tokens[self.position : self.position + 2], None, None][:2]
        return word.match.group() if comma and word and comma.kind == "comma" and word.kind == "word" else None

    def method(self, spelling: str, token: _Token) -> str:
        method = _DBT_SPELLINGS.get(spelling.lower(), spelling.lower())
        if method in tree.METHODS:
            return method
        fix = did_you_mean(f"{method}:", [f"{known}:" for known in tree.METHODS])
        known = ", ".join(f"{known}:" for known in tree.METHODS)
        raise self.error(f"'{spelling}:' is no method", token.match.start(), fix=fix or f"there are {known}")

    def peek(self) -> str | None:
        return self.tokens[self.position].kind if self.position < len(self.tokens) else None

    def next_start(self) -> int:
        return self.tokens[self.position].match.start() if self.position < len(self.tokens) else len(self.text)

    def error(self, what: str, at: int, *, fix: str | None = None) -> SelectionError:
        return _error(self.text, what, at, fix=fix)


def _number(digits: str) -> int | None:
    return int(digits) if digits else None


def is_file_name(name: str) -> bool:
    """Whether a bare word is taken for a file, as dbt does: `orders.sql`."""
    return name.lower().endswith(_FILES)
