"""What a statement writes to: its table, the columns that it names, and how values get under their names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from sqlglot import exp

from orchestrator.sql.expressions import evaluate
from orchestrator.sql.queries import run_query
from orchestrator.sql.relations import NOTHING, Field, Relation, Rest, Sources, merged
from orchestrator.sql.scope import Bound, Scope
from orchestrator.sql.walk import Environment, Walk


@dataclass(frozen=True, slots=True)
class Written:
    """What one statement does; `columns` are those that it produces for its target, or for whoever asked."""

    relation: Relation = field(default_factory=lambda: Relation(()))
    returned: Relation = field(default_factory=lambda: Relation(()))
    """What it returns when it stands in WITH."""
    produces: bool = False


def note_target(walk: Walk, node: exp.Expr | None) -> str | None:
    """Note the table or directory that is written; its name."""
    node = node.this if isinstance(node, exp.Schema) else node
    if isinstance(node, exp.Table):
        if isinstance(node.this, (exp.Func, exp.Anonymous)):
            name = _path_in(node.this)
        else:
            name = ".".join(walk.parts(node))
        if not name:
            return None
        walk.writes[name] = None
        return name
    if isinstance(node, exp.Directory):
        walk.writes[node.this.name] = None
        return str(node.this.name)
    return None


def _path_in(call: exp.Expr) -> str:
    literals = [item.name for item in call.iter_expressions() if isinstance(item, exp.Literal)]
    return literals[0] if literals else ""


def note_targets(walk: Walk, nodes: Iterable[exp.Expr]) -> None:
    for node in nodes:
        note_target(walk, node)


def column_names(walk: Walk, node: exp.Expr | None) -> list[str]:
    """The columns in `t (a, b)`."""
    if not isinstance(node, exp.Schema):
        return []
    named = [item.this if isinstance(item, exp.ColumnDef) else item for item in node.expressions]
    return [
        walk.dialect.column(item.name, quoted=bool(item.args.get("quoted")))
        for item in named
        if isinstance(item, exp.Identifier)
    ]


def put_into(
    walk: Walk, relation: Relation, columns: list[str], name: str | None, *, by_name: bool = False
) -> Relation:
    """What a query produces, under the names of the columns that it is written to."""
    if by_name:
        return relation
    if not columns and name is not None and relation.closed:
        known = walk.schema.columns(tuple(name.split(".")))
        made = walk.made.get(name)
        columns = [column for column, _ in known or ()] or [item.name for item in (made.fields if made else ())]
        if len(columns) < len(relation.items):
            return relation
        columns = columns[: len(relation.items)]
    if not columns:
        return relation
    if not relation.closed:
        walk.unsure("columns are written by position from a table whose columns are not known")
        everything = relation.everything()
        return Relation([Field(column, everything) for column in columns], indirect=relation.indirect)
    fields = relation.fields
    if len(fields) != len(columns):
        message = f"{len(columns)} columns are written from {len(fields)}"
        walk.complain("insert_columns", message, None)
        walk.unsure(message)
    pairs = zip(fields, columns, strict=False)
    return Relation([item.renamed(column) for item, column in pairs], indirect=relation.indirect)


def query_or_values(walk: Walk, node: exp.Expr | None, env: Environment) -> Relation:
    if node is None:
        return Relation(())
    return run_query(walk, node, env=env)


def bound_target(walk: Walk, node: exp.Expr | None) -> Bound | None:
    node = node.this if isinstance(node, exp.Schema) else node
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        return None
    parts = walk.parts(node)
    alias = node.args.get("alias")
    path = parts
    if isinstance(alias, exp.TableAlias) and alias.this is not None:
        path = (walk.dialect.table(alias.this.name, quoted=bool(alias.this.args.get("quoted"))),)
    return Bound(path, walk.relation(parts))


def assigned(scope: Scope, nodes: Iterable[exp.Expr], *, onto: Relation | None = None) -> Relation:
    """`set a = x, (b, c) = (select …)`: {column: sources}, joined to what flows into it already."""
    fields: dict[str, Field] = {item.name: item for item in (onto.fields if onto else ())}
    for node in nodes:
        for name, sources in _assignment(scope, node):
            known = fields[name].sources if name in fields else NOTHING
            fields[name] = Field(name, merged([known, sources]))
    rests = onto.rests if onto else ()
    scope_indirect = merged([scope.indirect, onto.indirect if onto else NOTHING])
    return Relation([*fields.values(), *rests], indirect=scope_indirect)


def _assignment(scope: Scope, node: exp.Expr) -> list[tuple[str, Sources]]:
    if not isinstance(node, (exp.EQ, exp.PropertyEQ)):
        return []
    left, right = node.this, node.expression
    dialect = scope.walk.dialect
    if isinstance(left, (exp.Tuple, exp.Paren)):
        targets = left.expressions if isinstance(left, exp.Tuple) else [left.this]
        names = [dialect.column(target.name) for target in targets]
        if isinstance(right, (exp.Subquery, exp.Select)):
            relation = run_query(scope.walk, right, env=scope.env.inside(scope))
            scope.depend(relation.indirect)
            parts = [item.sources if isinstance(item, Field) else item.all() for item in relation.items]
        else:
            parts = [evaluate(scope, item) for item in (right.expressions or [right])]
        if len(parts) == len(names):
            return list(zip(names, parts, strict=True))
        return [(name, merged(parts)) for name in names]
    target = left
    while isinstance(target, (exp.Dot, exp.Bracket)):
        target = target.this
    quoted = bool(target.this.args.get("quoted")) if isinstance(target, exp.Column) else False
    return [(dialect.column(target.name, quoted=quoted), evaluate(scope, right))]


def returning(walk: Walk, node: exp.Expr, env: Environment) -> Relation:
    returning = node.args.get("returning")
    if returning is None:
        return Relation(())
    target = bound_target(walk, node.this)
    scope = Scope(walk, env, [target] if target is not None else [])
    from orchestrator.sql.projections import project

    return Relation(project(scope, cast("exp.Select", exp.Select(expressions=returning.expressions))))


def real_target(walk: Walk, scope: Scope, node: exp.Expr | None) -> Bound | None:
    """The table that is updated or deleted from; where it is named by an alias of FROM, the table behind it."""
    if isinstance(node, exp.Table) and node.args.get("db") is None:
        bound = scope.find((walk.dialect.table(node.name),))
        behind = _table_behind(bound)
        if bound is not None and behind is not None:
            walk.writes[behind] = None
            walk.reads.pop(behind, None)
            return bound
    note_target(walk, node)
    return bound_target(walk, node)


def _table_behind(bound: Bound | None) -> str | None:
    if bound is None:
        return None
    tables = {table for item in bound.relation.items if isinstance(item, Rest) for table in item.tables}
    tables |= {ref[0] for item in bound.relation.fields for ref in item.sources}
    return tables.pop() if len(tables) == 1 else None
