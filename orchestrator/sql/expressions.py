"""Which columns flow into an expression. Iterative: a sum of ten thousand terms is no deeper than one of two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from sqlglot import exp

from orchestrator.sql.relations import (
    AGGREGATE,
    COPY,
    EXPRESSION,
    NOTHING,
    WINDOW,
    Field,
    Sources,
    add,
)
from orchestrator.sql.scope import Scope

Locals = frozenset[str]
_NO_LOCALS: Locals = frozenset()
_TRANSPARENT = (exp.Alias, exp.Paren)
_LEAVES = (exp.Identifier, exp.Literal, exp.Var, exp.DataType, exp.Star, exp.Boolean, exp.Null, exp.Parameter)
_QUERIES = (exp.Query, exp.Values)
_is_leaf: dict[type, bool] = {}
_is_aggregate: dict[type, bool] = {}


def evaluate(scope: Scope, node: exp.Expr, *, kind: int = COPY) -> Sources:
    """The columns that decide the value of `node`: also what its conditions and subqueries look at."""
    if type(node) is exp.Column and kind == COPY and isinstance(node.this, exp.Identifier):
        return scope.column(node).sources
    found: Sources = {}
    waiting: list[tuple[exp.Expr, int, Locals]] = [(node, kind, _NO_LOCALS)]
    while waiting:
        _visit(scope, *waiting.pop(), found, waiting)
    return found


def depend(scope: Scope, nodes: Iterable[exp.Expr | None]) -> None:
    """Note that the rows of `scope` depend on these expressions."""
    for node in nodes:
        if node is not None:
            scope.depend(evaluate(scope, node, kind=EXPRESSION))


def _visit(
    scope: Scope,
    node: exp.Expr,
    kind: int,
    locals_: Locals,
    found: Sources,
    waiting: list[tuple[exp.Expr, int, Locals]],
) -> None:
    cls = type(node)
    if cls is exp.Column:
        _visit_column(scope, cast("exp.Column", node), kind, locals_, found)
        return
    leaf = _is_leaf.get(cls)
    if leaf is None:
        leaf = _is_leaf[cls] = issubclass(cls, _LEAVES)
    if leaf:
        return
    if issubclass(cls, _QUERIES):
        _visit_query(scope, node, kind, found)
        return
    special = _SPECIAL.get(cls)
    if special is not None:
        following = special(scope, node, kind, locals_, found)
        waiting.extend(following)
        return
    if cls not in _TRANSPARENT:
        aggregate = _is_aggregate.get(cls)
        if aggregate is None:
            aggregate = _is_aggregate[cls] = issubclass(cls, exp.AggFunc)
        kind = max(kind, AGGREGATE if aggregate else EXPRESSION)
    for child in node.iter_expressions():
        waiting.append((child, kind, locals_))


def _visit_column(scope: Scope, node: exp.Column, kind: int, locals_: Locals, found: Sources) -> None:
    if locals_:
        first = next(part for part in node.parts)
        if first.name.lower() in locals_:
            return
    if isinstance(node.this, exp.Star):
        bound = scope.find((scope.walk.dialect.table(node.table),))
        add(found, bound.relation.everything() if bound is not None else NOTHING, kind)
        return
    add(found, scope.column(node).sources, kind)


def _visit_query(scope: Scope, node: exp.Expr, kind: int, found: Sources) -> None:
    from orchestrator.sql.queries import run_query

    relation = run_query(scope.walk, node, env=scope.env.inside(scope))
    add(found, relation.everything(), max(kind, EXPRESSION))
    add(found, relation.indirect, max(kind, EXPRESSION))


_Following = Iterator[tuple[exp.Expr, int, Locals]]


def _exists(scope: Scope, node: exp.Expr, kind: int, locals_: Locals, found: Sources) -> _Following:
    """Whether there are rows depends on what the subquery filters by, not on what it selects."""
    from orchestrator.sql.queries import run_query

    query = node.this
    if isinstance(query, _QUERIES):
        relation = run_query(scope.walk, query, env=scope.env.inside(scope))
        add(found, relation.indirect, max(kind, EXPRESSION))
    else:
        yield query, kind, locals_


def _window(scope: Scope, node: exp.Expr, kind: int, locals_: Locals, found: Sources) -> _Following:
    for child in node.iter_expressions():
        yield child, WINDOW, locals_
    named = node.args.get("alias")
    seen: set[str] = set()
    while named is not None and named.name.lower() not in seen:
        seen.add(named.name.lower())
        window = scope.windows.get(named.name.lower())
        if window is None:
            return
        for child in window.iter_expressions():
            yield child, WINDOW, locals_
        named = window.args.get("alias")


def _lambda(scope: Scope, node: exp.Expr, kind: int, locals_: Locals, found: Sources) -> _Following:
    names = locals_.union(item.name.lower() for item in node.expressions)
    yield node.this, max(kind, EXPRESSION), names


def _comprehension(scope: Scope, node: exp.Expr, kind: int, locals_: Locals, found: Sources) -> _Following:
    names = locals_.union(item.name.lower() for item in (node.expression, node.args.get("position")) if item)
    for name in ("this", "condition", "iterator"):
        if (child := node.args.get(name)) is not None:
            yield child, max(kind, EXPRESSION), locals_ if name == "iterator" else names


def _count(scope: Scope, node: exp.Expr, kind: int, locals_: Locals, found: Sources) -> _Following:
    """How many rows there are depends on no column."""
    for child in node.iter_expressions():
        if not _is_star(child):
            yield child, max(kind, AGGREGATE), locals_


def _is_star(node: exp.Expr) -> bool:
    return isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star))


def _in(scope: Scope, node: exp.Expr, kind: int, locals_: Locals, found: Sources) -> _Following:
    """ClickHouse takes a table's name after IN."""
    field = node.args.get("field")
    table = isinstance(field, exp.Column) and scope.walk.dialect.name == "clickhouse"
    if isinstance(field, exp.Column) and table:
        name = exp.Table(this=field.this, db=field.args.get("table"), catalog=field.args.get("db"))
        parts = scope.walk.parts(name)
        relation = scope.env.cte(scope.walk, parts[-1]) if not field.args.get("table") else None
        add(found, (relation or scope.walk.read(parts)).everything(), max(kind, EXPRESSION))
    for child in node.iter_expressions():
        if isinstance(child, exp.Unnest):
            yield from ((item, max(kind, EXPRESSION), locals_) for item in child.expressions)
        elif not (table and child is field):
            yield child, max(kind, EXPRESSION), locals_


def _table(scope: Scope, node: exp.Expr, kind: int, locals_: Locals, found: Sources) -> _Following:
    """A table given to a function."""
    table = cast("exp.Table", node)
    parts = scope.walk.parts(table)
    if not parts:
        return
    relation = scope.env.cte(scope.walk, parts[-1]) if table.args.get("db") is None else None
    add(found, (relation or scope.walk.read(parts)).everything(), max(kind, EXPRESSION))
    yield from ()


def _struct_star(scope: Scope, node: exp.Expr, kind: int, locals_: Locals, found: Sources) -> _Following:
    """`struct(*)` and the like take all columns."""
    for child in node.iter_expressions():
        if isinstance(child, exp.Star):
            for item in scope.star():
                add(found, item.sources if isinstance(item, Field) else item.all(), max(kind, EXPRESSION))
        else:
            yield child, max(kind, EXPRESSION), locals_


def _named(scope: Scope, node: exp.Expr, kind: int, locals_: Locals, found: Sources) -> _Following:
    """`name := value`: the name is none of a column."""
    if not isinstance(node.this, exp.Column):
        yield node.this, kind, locals_
    yield node.expression, max(kind, EXPRESSION), locals_


def _exploded(scope: Scope, node: exp.Expr, kind: int, locals_: Locals, found: Sources) -> _Following:
    """A function in SELECT that returns rows: what is in its arguments decides how many."""
    for child in node.iter_expressions():
        if locals_:
            yield child, max(kind, EXPRESSION), locals_
            continue
        sources = evaluate(scope, child, kind=EXPRESSION)
        scope.depend(sources)
        add(found, sources, kind)


def _columns(scope: Scope, node: exp.Expr, kind: int, locals_: Locals, found: Sources) -> _Following:
    """A COLUMNS() that was not expanded stands for all it may mean."""
    from orchestrator.sql.projections import matching_columns

    for item in matching_columns(scope, node):
        add(found, item.sources if isinstance(item, Field) else item.all(), max(kind, EXPRESSION))
    yield from ()


_SPECIAL = {
    exp.Exists: _exists,
    exp.Window: _window,
    exp.Lambda: _lambda,
    exp.Comprehension: _comprehension,
    exp.Count: _count,
    exp.In: _in,
    exp.Table: _table,
    exp.Struct: _struct_star,
    exp.Anonymous: _struct_star,
    exp.Kwarg: _named,
    exp.PropertyEQ: _named,
    exp.Columns: _columns,
    exp.Explode: _exploded,
    exp.ExplodeOuter: _exploded,
    exp.ExplodingGenerateSeries: _exploded,
    exp.Inline: _exploded,
    exp.Posexplode: _exploded,
    exp.PosexplodeOuter: _exploded,
    exp.Unnest: _exploded,
}
