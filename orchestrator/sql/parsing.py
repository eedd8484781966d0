"""From text to statements: split, parse, and find what can be followed in what a parser does not know."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect as Grammar
from sqlglot.errors import ErrorLevel, ParseError, TokenError
from sqlglot.tokens import Token, TokenType

from orchestrator.sql.model import Diagnostic
from orchestrator.sql.walk import STUMBLES, TooLargeError, Walk

MAX_LENGTH = 4_000_000
"""Characters. Longer scripts hold data, and are not worth minutes."""
MAX_TOKENS = 1_000_000
"""About 4 s and 700 MB of parsing."""
MAX_NESTING = 200
"""Parentheses inside parentheses, for each of which the parser calls itself; also a[1][2][3] …, `a::int::text` … and
array<array<…, which take it square time."""
MAX_ATTEMPTS = 200
"""Parses of parts of one statement that cannot be parsed whole."""
MAX_REPARSED = 200_000
"""Words of all those parts."""

MAX_QUOTED = 120
"""Characters of the text in a message."""

_STARTERS = frozenset(
    (
        *(TokenType.SELECT, TokenType.WITH, TokenType.INSERT, TokenType.UPDATE, TokenType.DELETE, TokenType.MERGE),
        *(TokenType.CREATE, TokenType.TRUNCATE, TokenType.COPY),
    )
)
_OPENING = frozenset((TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE))
_CLOSING = frozenset((TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE))
_NESTED_TYPES = frozenset((TokenType.ARRAY, TokenType.STRUCT, TokenType.MAP, TokenType.LIST, TokenType.NULLABLE))
_DEEPER = (*_OPENING, TokenType.CASE, TokenType.LT, TokenType.DCOLON)
_OTHER_GRAMMARS = ("", "snowflake", "spark", "tsql", "postgres", "bigquery", "mysql", "duckdb")
"""Tried in this order when a text is not of its dialect; each knows something that the others do not."""
_PROCEDURAL = frozenset(
    ("BEGIN", "CALL", "DECLARE", "DO", "ELSE", "ELSEIF", "ELSIF", "END", "EXCEPTION", "FOR", "IF", "LOOP", "WHILE")
)
_ROUTINES = frozenset(("PROCEDURE", "FUNCTION", "TRIGGER"))

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of each statement that it does not know; we say so


def parse_script(walk: Walk) -> Iterator[exp.Expr]:
    """The statements that can be followed; what is wrong with the others is noted. Raises TooLargeError."""
    if len(walk.sql) > MAX_LENGTH:
        raise TooLargeError(f"it is longer than {MAX_LENGTH:,} characters")
    try:
        grammar = Grammar.get_or_raise(walk.dialect.name or None)
    except ValueError:
        walk.unsure(f"the dialect '{walk.dialect.name}' is not known")
        grammar = Grammar.get_or_raise(None)
    try:
        tokens = grammar.tokenize(walk.sql)
    except TokenError as exc:
        message = f"it cannot be read: {_clipped(str(exc).splitlines()[0])}"
        yield from _in_other_grammars(walk, 0, walk.sql, message, (1, 1))
        return
    if len(tokens) > MAX_TOKENS:
        raise TooLargeError(f"it has more than {MAX_TOKENS:,} words")
    for chunk in _split(tokens):
        yield from _parse(walk, grammar, chunk)


def _split(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    chunk: list[Token] = []
    if not any(token.token_type == TokenType.SEMICOLON for token in tokens):
        yield list(tokens)
        return
    for token in tokens:
        if token.token_type != TokenType.SEMICOLON:
            chunk.append(token)
        elif chunk:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _parse(walk: Walk, grammar: Grammar, tokens: list[Token]) -> Iterator[exp.Expr]:
    deepest = _nesting(tokens)
    if deepest > MAX_NESTING:
        walk.unsure(f"it is nested {deepest} levels deep, more than {MAX_NESTING}")
        return
    walk.offset = 0
    parsed = _attempt(grammar, tokens, walk.sql)
    if isinstance(parsed, _Refused):
        start, end = tokens[0].start, tokens[-1].end + 1
        text = walk.sql[start:end]
        inside = list(_found_inside(walk, grammar, tokens))
        if len(inside) > 1 or (inside and _is_procedural(tokens)):
            walk.unsure("statements were found in what cannot be parsed as a whole")
            walk.procedural = _is_procedural(tokens)
            yield from inside
        else:
            yield from _in_other_grammars(walk, start, text, parsed.message, (parsed.line, parsed.column), inside)
        return
    for statement in parsed:
        if _is_routine(statement):
            inside = list(_found_inside(walk, grammar, tokens))
            if not inside and isinstance(statement, (exp.Column, exp.Alias)) and not _is_procedural(tokens):
                message = f"'{_clipped(tokens[0].text)}' does not begin a statement"
                walk.diagnostics[Diagnostic("parse_error", message, *walk.place(tokens[0].start))] = None
                walk.unsure(message)
                continue
            walk.unsure("the statements of procedural code are followed one by one")
            walk.procedural = True
            yield from inside
        else:
            yield statement


class _Refused:
    """Why a text could not be parsed, and where."""

    def __init__(self, message: str, line: int, column: int) -> None:
        self.message, self.line, self.column = message, line, column


def _attempt(grammar: Grammar, tokens: list[Token], sql: str) -> list[exp.Expr] | _Refused:
    try:
        parsed = grammar.parser(error_level=ErrorLevel.IMMEDIATE).parse(tokens, sql)
    except ParseError as exc:
        first = exc.errors[0] if exc.errors else {}
        what = str(first.get("description") or exc).split(". Line")[0].rstrip(".")
        near = str(first.get("highlight") or "")
        message = f"it cannot be parsed: {_plain(what)}" + (f" near '{_clipped(near)}'" if near.strip() else "")
        return _Refused(message, int(first.get("line") or 1), max(1, int(first.get("col") or 1) - len(near) + 1))
    except RecursionError:
        return _Refused("it is nested too deeply to be parsed", tokens[0].line, 1)
    except STUMBLES as exc:
        # sqlglot's parser itself stumbles over some texts that are no SQL.
        return _Refused(f"it cannot be parsed: {_plain(str(exc) or type(exc).__name__)}", tokens[0].line, 1)
    return [statement for statement in parsed if statement is not None]


def _plain(text: str) -> str:
    """A parser's message without the names of its classes."""
    if text.startswith("Required keyword"):
        return "something is missing"
    return _clipped(text.partition("<Token")[0].strip().rstrip(":").strip()) or "it ends too early"


def _clipped(text: str) -> str:
    """A word, which may be megabytes long, as a message can bear it."""
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}…"


def _nesting(tokens: Sequence[Token]) -> int:
    """How deep the parser will have to go, about: nested pairs, or the length of a row of `[1]` or `::`."""
    kinds = [token.token_type for token in tokens]
    if sum(map(kinds.count, _DEEPER)) <= MAX_NESTING:
        return 0
    depth = deepest = cases = types = row = 0
    for index, kind in enumerate(kinds):
        if kind in _OPENING or kind == TokenType.CASE:
            depth += 1
            cases += kind == TokenType.CASE
            row = row + 1 if kind == TokenType.L_BRACKET and kinds[index - 1] == TokenType.R_BRACKET else 0
        elif kind in _CLOSING:
            depth -= 1
        elif kind == TokenType.END and cases:
            depth -= 1
            cases -= 1
        elif kind == TokenType.LT and kinds[index - 1] in _NESTED_TYPES:
            types += 1
        elif kind == TokenType.GT and types:
            types -= 1
        elif kind == TokenType.DCOLON:
            row = row + 1 if kinds[index - 2] == TokenType.DCOLON else 0
        deepest = max(deepest, depth, types, row)
    return deepest


def _is_routine(statement: exp.Expr) -> bool:
    if isinstance(statement, exp.Create):
        return str(statement.args.get("kind") or "").upper() in _ROUTINES
    if isinstance(statement, exp.Command):
        return str(statement.this).upper().split(" ")[0] in _PROCEDURAL
    return isinstance(statement, (exp.IfBlock, exp.WhileBlock, exp.Block, exp.Column, exp.Alias, exp.Execute))


def _is_procedural(tokens: Sequence[Token]) -> bool:
    first = tokens[0].text.upper()
    return first in _PROCEDURAL or any(token.text.upper() in _ROUTINES for token in tokens[:5])


def _found_inside(walk: Walk, grammar: Grammar, tokens: list[Token]) -> Iterator[exp.Expr]:
    """Statements inside procedural code, or side by side without semicolons: the longest that parse, in order."""
    starts = _starts(tokens)
    attempts = words = 0
    at = 0
    while at < len(starts):
        ends = [len(tokens), *reversed(starts[at + 1 :])]
        reached = None
        for end in ends:
            attempts, words = attempts + 1, words + end - starts[at]
            if attempts > MAX_ATTEMPTS or words > MAX_REPARSED:
                return
            parsed = _attempt(grammar, _trimmed(tokens[starts[at] : end]), walk.sql)
            if not isinstance(parsed, _Refused) and parsed and not isinstance(parsed[0], exp.Command):
                yield from parsed
                reached = end
                break
        at = next((index for index, start in enumerate(starts) if reached is not None and start >= reached), at + 1)
        if reached == len(tokens):
            return


def _starts(tokens: Sequence[Token]) -> list[int]:
    """Where statements may begin: at words that begin one, outside parentheses, and not those of a routine's head."""
    found: list[int] = []
    depth = 0
    for index, token in enumerate(tokens):
        if token.token_type in _OPENING:
            depth += 1
        elif token.token_type in _CLOSING:
            depth -= 1
        elif depth == 0 and token.token_type in _STARTERS:
            routine = token.token_type == TokenType.CREATE and any(
                following.text.upper() in _ROUTINES for following in tokens[index : index + 5]
            )
            if not routine:
                found.append(index)
    return found


def _trimmed(tokens: list[Token]) -> list[Token]:
    """Without the END of the block around."""
    while tokens and tokens[-1].text.upper() in ("END", "/", "GO", "TRY", "CATCH"):
        tokens = tokens[:-1]
    return tokens


def _in_other_grammars(
    walk: Walk, start: int, text: str, message: str, place: tuple[int, int], inside: Sequence[exp.Expr] = ()
) -> Iterator[exp.Expr]:
    """The text as another dialect, since people name the wrong one and parsers know only so much."""
    for name in _OTHER_GRAMMARS:
        if name == walk.dialect.name:
            continue
        grammar = Grammar.get_or_raise(name or None)
        try:
            tokens = grammar.tokenize(text)
        except TokenError:
            continue
        parsed = _attempt(grammar, tokens, text) if tokens and _nesting(tokens) <= MAX_NESTING else None
        if parsed is None or isinstance(parsed, _Refused) or any(isinstance(item, exp.Command) for item in parsed):
            continue
        walk.unsure(f"{message}; it was read as {name or 'standard SQL'}")
        walk.offset = start
        yield from parsed
        return
    if inside:
        walk.unsure("only a part of it can be parsed")
        yield from inside
        return
    walk.diagnostics[Diagnostic("parse_error", message, *place)] = None
    walk.unsure(message)
