"""The analysis of a script: parse, follow each statement, and say what was found."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect as Grammar
from sqlglot.errors import ErrorLevel, ParseError, SqlglotError, TokenError
from sqlglot.tokens import Token, TokenType

from orchestrator.sql.dialects import Dialect, dialect_of
from orchestrator.sql.model import ColumnRef, Diagnostic, EdgeKind, OutputColumn, SqlLineage, StatementLineage
from orchestrator.sql.relations import COPY, KINDS, RENAME, Field, Relation, Rest, Sources, merged
from orchestrator.sql.schema import Schema, build_schema
from orchestrator.sql.statements import Written, write
from orchestrator.sql.walk import Environment, TooLargeError, Walk

MAX_LENGTH = 4_000_000
"""Characters. Longer scripts hold data, and are not worth minutes."""
MAX_NESTING = 200
"""Parentheses inside parentheses: the parser calls itself for each."""
logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of each statement that it does not know; we say so


def analyze(
    sql: str,
    *,
    dialect: str,
    schema: Mapping[str, Any] | Schema | None = None,
    default_db: str | None = None,
    default_schema: str | None = None,
) -> SqlLineage:
    """What `sql` reads and writes, and where each output column comes from. Never raises on SQL, however wrong.

    `schema` is {table: {column: type}} or {table: [column]}, nested or with dotted names; tables that are not in it
    are analysed as far as possible. `default_db` and `default_schema` complete unqualified names.

    >>> found = analyze("select o.id, sum(o.amount) as total from orders o group by o.id", dialect="duckdb")
    >>> found.reads, dict(found.columns)
    (('orders',), {'id': (('orders', 'id'),), 'total': (('orders', 'amount'),)})
    """
    known = dialect_of(dialect)
    walk = Walk(
        sql=sql,
        dialect=known,
        schema=schema if isinstance(schema, Schema) else build_schema(schema, dialect=known),
        default_db=known.table(default_db) if default_db else None,
        default_schema=known.table(default_schema) if default_schema else None,
    )
    statements: list[StatementLineage] = []
    try:
        for statement in _parsed(walk):
            statements.append(_followed(walk, statement))
    except TooLargeError as exc:
        walk.unsure(str(exc))
    except RecursionError:
        walk.unsure("it is nested too deeply")
    return _result(walk, statements)


def _parsed(walk: Walk) -> Iterator[exp.Expr]:
    """The statements that can be parsed; what is wrong with the others is noted."""
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
        _complain(walk, f"the SQL cannot be read: {str(exc).splitlines()[0]}", 1, 1)
        return
    for chunk in _split(tokens):
        yield from _parse(walk, grammar, chunk)


def _split(tokens: list[Token]) -> Iterator[list[Token]]:
    """The tokens of each statement. A BEGIN … END block is left whole."""
    if any(token.token_type in (TokenType.BEGIN, TokenType.DECLARE) for token in tokens):
        yield tokens
        return
    chunk: list[Token] = []
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            if chunk:
                yield chunk
            chunk = []
        else:
            chunk.append(token)
    if chunk:
        yield chunk


def _parse(walk: Walk, grammar: Grammar, tokens: list[Token]) -> Iterator[exp.Expr]:
    deepest = _nesting(tokens)
    if deepest > MAX_NESTING:
        walk.unsure(f"parentheses are nested {deepest} levels deep, more than {MAX_NESTING}")
        return
    try:
        parsed = grammar.parser(error_level=ErrorLevel.IMMEDIATE).parse(tokens, walk.sql)
    except ParseError as exc:
        first = exc.errors[0] if exc.errors else {}
        what = str(first.get("description") or exc).split(". Line")[0].rstrip(".")
        near = str(first.get("highlight") or "")
        message = f"it cannot be parsed: {what}" + (f" near '{near}'" if near.strip() else "")
        line = int(first.get("line") or 1)
        _complain(walk, message, line, max(1, int(first.get("col") or 1) - len(near) + 1))
        return
    except RecursionError:
        walk.unsure("it is nested too deeply")
        return
    except (SqlglotError, ValueError, TypeError, AttributeError, IndexError, KeyError) as exc:
        # sqlglot's parser itself stumbles over some texts that are no SQL.
        _complain(walk, f"it cannot be parsed: {str(exc) or type(exc).__name__}", tokens[0].line, 1)
        return
    yield from (statement for statement in parsed if statement is not None)


def _nesting(tokens: list[Token]) -> int:
    opening = (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE)
    closing = (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE)
    depth = deepest = cases = 0
    for token in tokens:
        kind = token.token_type
        if kind in opening or kind == TokenType.CASE:
            depth += 1
            deepest = max(deepest, depth)
            cases += kind == TokenType.CASE
        elif kind in closing:
            depth -= 1
        elif kind == TokenType.END and cases:
            depth -= 1
            cases -= 1
    return deepest


def _complain(walk: Walk, message: str, line: int, column: int) -> None:
    walk.diagnostics[Diagnostic("parse_error", message, line, column)] = None
    walk.unsure(message)


# One statement


def _followed(walk: Walk, statement: exp.Expr) -> StatementLineage:
    before = dict(walk.reads), dict(walk.writes)
    walk.reads, walk.writes = {}, {}
    try:
        written = write(walk, statement, env=Environment())
        reads, writes = tuple(walk.reads), tuple(walk.writes)
    except RecursionError:
        walk.unsure("it is nested too deeply")
        written, reads, writes = Written(), (), ()
    finally:
        walk.reads, walk.writes = {**before[0], **walk.reads}, {**before[1], **walk.writes}
    relation = written.relation
    columns, kinds = _columns(walk.dialect, relation)
    if not relation.closed:
        named = sorted({table for rest in relation.rests for table in rest.tables})
        walk.unsure(f"the columns of {', '.join(named)} are not known" if named else "some columns are not known")
    return StatementLineage(
        reads=reads,
        writes=writes,
        columns=columns,
        kinds=kinds,
        indirect=tuple(sorted(relation.indirect)),
        output=tuple(OutputColumn(item.name, item.type) for item in relation.fields),
        complete=relation.closed and written.produces,
    )


def _columns(
    dialect: Dialect, relation: Relation
) -> tuple[dict[str, tuple[ColumnRef, ...]], dict[str, dict[ColumnRef, EdgeKind]]]:
    found: dict[str, Sources] = {}
    for item in relation.items:
        name = item.name if isinstance(item, Field) else "*"
        sources = item.sources if isinstance(item, Field) else item.all()
        found[name] = merged([found[name], sources]) if name in found else sources
    columns = {name: tuple(sorted(sources)) for name, sources in found.items()}
    kinds = {
        name: {ref: _kind(name, ref, kind) for ref, kind in sorted(sources.items())} for name, sources in found.items()
    }
    return columns, kinds


def _kind(name: str, ref: ColumnRef, kind: int) -> EdgeKind:
    return KINDS[RENAME if kind == COPY and name.lower() != ref[1].lower() else kind]


def _result(walk: Walk, statements: list[StatementLineage]) -> SqlLineage:
    producing = [statement for statement in statements if statement.columns]
    last = producing[-1] if producing else StatementLineage(complete=False)
    indirect = {ref for statement in statements for ref in statement.indirect}
    empty = not statements and not walk.reasons
    result = SqlLineage(
        reads=tuple(sorted(walk.reads)),
        writes=tuple(sorted(walk.writes)),
        columns=last.columns,
        kinds=last.kinds,
        indirect=tuple(sorted(indirect)),
        diagnostics=tuple(sorted(walk.diagnostics, key=lambda item: (item.line, item.column, item.message))),
        exact=not walk.reasons,
        reasons=tuple(walk.reasons),
        output=last.output,
        complete=last.complete,
        statements=tuple(statements),
    )
    return replace(result, exact=False, reasons=("there is no SQL",)) if empty and walk.sql.strip() == "" else result


__all__ = ["Rest", "analyze"]
