"""PIVOT and UNPIVOT, as a clause and as DuckDB's statement."""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from orchestrator.sql.expressions import depend, evaluate
from orchestrator.sql.relations import AGGREGATE, EXPRESSION, Field, Origin, Relation, Rest, Sources, merged
from orchestrator.sql.scope import Bound, Scope
from orchestrator.sql.texts import text_of
from orchestrator.sql.walk import Environment, Walk


def pivoted(scope: Scope, relation: Relation, pivot: exp.Expr, *, path: tuple[str, ...] = ()) -> Relation:
    """The relation after a PIVOT or UNPIVOT clause."""
    inner = Scope(scope.walk, scope.env, [Bound(path, relation)])
    made = _unpivoted(inner, relation, pivot) if pivot.args.get("unpivot") else _pivoted(inner, relation, pivot)
    return _made(made, relation, inner, pivot)


def _made(items: list[Field | Rest], relation: Relation, scope: Scope, node: exp.Expr) -> Relation:
    named: list[Field | Rest] = [
        Field(item.name, item.sources, item.type, Origin("pivot", (node, scope, relation, item.name)))
        if isinstance(item, Field) and item.origin is None
        else item
        for item in items
    ]
    origin = Origin("pivot", (node, scope, relation, ""))
    return Relation(named, indirect=merged([relation.indirect, scope.indirect]), origin=origin)


def pivot_statement(walk: Walk, node: exp.Pivot, env: Environment) -> Relation:
    """DuckDB's `PIVOT t ON …` and `UNPIVOT t ON …`."""
    from orchestrator.sql.from_items import bind

    outer = Scope(walk, env)
    bind(outer, node.this)
    relation = Relation(outer.star(), indirect=outer.indirect)
    inner = Scope(walk, env, [Bound(bound.path, bound.relation) for bound in outer.bounds])
    made = _unpivot_on(inner, relation, node) if node.args.get("unpivot") else _pivot_on(inner, relation, node)
    return _made(made, relation, inner, node)


# PIVOT


def _pivoted(scope: Scope, relation: Relation, pivot: exp.Expr) -> list[Field | Rest]:
    aggregates = pivot.expressions
    fields = pivot.args.get("fields") or []
    spread = [field.this for field in fields if isinstance(field, exp.In)]
    depend(scope, spread)
    used = _names(scope, [*aggregates, *spread])
    group = pivot.args.get("group")
    kept = _grouped(scope, group) if group is not None else _others(scope, relation, used)
    sources = [merged([evaluate(scope, _inner(node))], kind=AGGREGATE) for node in aggregates]
    names = [node.name.strip("'") for node in pivot.args.get("columns") or ()]
    dynamic = any(
        field.args.get("query") or any(isinstance(item, exp.PivotAny) for item in field.expressions)
        for field in fields
        if isinstance(field, exp.In)
    )
    if dynamic or not names:
        scope.walk.unsure("PIVOT makes columns from data: their names are not known")
        return [*kept, Rest(sources=merged(sources))]
    dialect = scope.walk.dialect
    folded = [dialect.column(name, quoted=dialect.name == "snowflake") for name in names]
    made = [Field(name, sources[at % len(sources)] if sources else {}) for at, name in enumerate(folded)]
    return [*kept, *made]


def _pivot_on(scope: Scope, relation: Relation, node: exp.Pivot) -> list[Field | Rest]:
    spread = node.expressions
    aggregates = node.args.get("using") or []
    depend(scope, [item.this if isinstance(item, exp.In) else item for item in spread])
    used = _names(scope, [*aggregates, *spread])
    group = node.args.get("group")
    kept = _grouped(scope, group) if group is not None else _others(scope, relation, used)
    sources = [merged([evaluate(scope, _inner(item))], kind=AGGREGATE) for item in aggregates] or [{}]
    if len(spread) == 1 and isinstance(spread[0], exp.In) and spread[0].expressions:
        return [*kept, *_spread(scope, spread[0], aggregates, sources)]
    scope.walk.unsure("PIVOT makes columns from data: their names are not known")
    return [*kept, Rest(sources=merged(sources))]


def _spread(scope: Scope, spread: exp.In, aggregates: list[exp.Expr], sources: list[Sources]) -> Iterable[Field]:
    for value in spread.expressions:
        name = value.alias_or_name or text_of(value, dialect="")
        for at, item in enumerate(sources):
            suffix = ""
            if len(sources) > 1:
                aggregate = aggregates[at]
                suffix = f"_{aggregate.alias or text_of(aggregate, dialect='duckdb').lower()}"
            yield Field(scope.walk.dialect.column(name + suffix), item)


def _inner(node: exp.Expr) -> exp.Expr:
    return node.this if isinstance(node, exp.Alias) else node


def _names(scope: Scope, nodes: Iterable[exp.Expr]) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        for column in node.find_all(exp.Column):
            found.add(scope.walk.dialect.column(column.name, quoted=bool(column.this.args.get("quoted"))))
    return found


def _others(scope: Scope, relation: Relation, used: set[str]) -> list[Field | Rest]:
    """The columns that a pivot leaves: it groups by them."""
    kept: list[Field | Rest] = []
    lowered = {name.lower() for name in used}
    for item in relation.items:
        if isinstance(item, Rest):
            kept.append(item.less(used))
        elif item.name.lower() not in lowered:
            kept.append(item)
            scope.depend(item.sources)
    return kept


def _grouped(scope: Scope, group: exp.Expr) -> list[Field | Rest]:
    kept: list[Field | Rest] = []
    for node in group.expressions:
        if isinstance(node, exp.Column):
            field = scope.column(node)
            kept.append(field)
            scope.depend(field.sources)
        else:
            kept.append(Field(node.alias_or_name, evaluate(scope, node, kind=EXPRESSION)))
    return kept


# UNPIVOT


def _unpivoted(scope: Scope, relation: Relation, pivot: exp.Expr) -> list[Field | Rest]:
    """`UNPIVOT (value FOR name IN (a, b))`; several values for tuples of columns."""
    values = [name for node in pivot.expressions for name in _identifiers(node)]
    names: list[str] = []
    groups: list[list[exp.Expr]] = []
    for field in pivot.args.get("fields") or ():
        if isinstance(field, exp.In):
            names += _identifiers(field.this)
            groups += [_columns(item) for item in field.expressions]
    return _stacked(scope, relation, names, values, groups)


def _unpivot_on(scope: Scope, relation: Relation, node: exp.Pivot) -> list[Field | Rest]:
    into = node.args.get("into")
    names, values = ["name"], ["value"]
    if into is not None:
        names = _identifiers(into.this)
        values = [name for item in into.expressions for name in _identifiers(item)]
    groups: list[list[exp.Expr]] = []
    for item in node.expressions:
        if isinstance(item, exp.Columns):
            from orchestrator.sql.projections import matching_columns

            chosen = [found for found in matching_columns(scope, item) if isinstance(found, Field)]
            groups += [[exp.column(found.name)] for found in chosen]
        else:
            groups.append(_columns(item))
    return _stacked(scope, relation, names, values, groups)


def _stacked(
    scope: Scope, relation: Relation, names: list[str], values: list[str], groups: list[list[exp.Expr]]
) -> list[Field | Rest]:
    dialect = scope.walk.dialect
    used = _names(scope, [column for group in groups for column in group])
    lowered = {name.lower() for name in used}
    kept: list[Field | Rest] = [
        item.less(used) if isinstance(item, Rest) else item
        for item in relation.items
        if isinstance(item, Rest) or item.name.lower() not in lowered
    ]
    columns = [
        [evaluate(scope, group[at] if at < len(group) else group[-1]) for group in groups if group]
        for at in range(len(values))
    ]
    everything = merged((part for parts in columns for part in parts), kind=EXPRESSION)
    made = [Field(dialect.column(name), everything) for name in names]
    made += [Field(dialect.column(name), merged(parts)) for name, parts in zip(values, columns, strict=True)]
    # Nulls are left out, so what the values are decides about rows too.
    scope.depend(everything)
    return [*kept, *made]


def _identifiers(node: exp.Expr | bool) -> list[str]:
    if isinstance(node, exp.Tuple):
        return [name for item in node.expressions for name in _identifiers(item)]
    return [node.name] if isinstance(node, exp.Expr) else []


def _columns(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, (exp.Alias, exp.PivotAlias)):
        return _columns(node.this)
    if isinstance(node, exp.Tuple):
        return list(node.expressions)
    return [node]
