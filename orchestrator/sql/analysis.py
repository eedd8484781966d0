"""The analysis of a script: parse, follow each statement, and say what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlglot import exp

from orchestrator.sql.dialects import Dialect, dialect_of
from orchestrator.sql.model import ColumnRef, EdgeKind, OutputColumn, SqlLineage, StatementLineage
from orchestrator.sql.parsing import parse_script
from orchestrator.sql.relations import COPY, KINDS, RENAME, Field, Relation, Sources, merged
from orchestrator.sql.schema import Schema, build_schema
from orchestrator.sql.statements import write
from orchestrator.sql.targets import Written
from orchestrator.sql.walk import NOT_FOLLOWED, STUMBLES, Environment, TooLargeError, Walk


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
        for statement in parse_script(walk):
            statements.append(_followed(walk, statement))
    except TooLargeError as exc:
        walk.unsure(str(exc))
    except RecursionError:
        walk.unsure("it is nested too deeply")
    return _result(walk, statements)


# One statement


def _followed(walk: Walk, statement: exp.Expr) -> StatementLineage:
    before = dict(walk.reads), dict(walk.writes)
    walk.reads, walk.writes, walk.written_before = {}, {}, before[1]
    try:
        written = write(walk, statement, env=Environment())
        reads, writes = tuple(walk.reads), tuple(walk.writes)
    except RecursionError:
        walk.unsure("it is nested too deeply")
        written, reads, writes = Written(), (), ()
    except STUMBLES:
        walk.unsure(NOT_FOLLOWED)
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
    producing = [statement for statement in producing if statement.writes] or producing
    last = producing[-1] if producing else StatementLineage(complete=False)
    indirect = {ref for statement in statements for ref in statement.indirect}
    empty = not statements and not walk.reasons
    result = SqlLineage(
        reads=tuple(sorted(walk.reads)),
        writes=tuple(walk.written()),
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
