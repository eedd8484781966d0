"""MERGE, UPDATE and DELETE: statements that change rows which are there."""

from __future__ import annotations

from sqlglot import exp

from orchestrator.sql.expressions import depend, evaluate
from orchestrator.sql.from_items import bind, bind_joins
from orchestrator.sql.relations import NOTHING, Field, Relation, Rest, merged
from orchestrator.sql.scope import Bound, Scope
from orchestrator.sql.targets import (
    Written,
    assigned,
    bound_target,
    note_target,
    real_target,
    returning,
)
from orchestrator.sql.walk import Environment, Walk


def merge(walk: Walk, node: exp.Merge, env: Environment) -> Written:
    scope = Scope(walk, env)
    bind(scope, node.args["using"])
    source = list(scope.bounds)
    note_target(walk, node.this)
    target = bound_target(walk, node.this)
    both = Scope(walk, env, [*source, *([target] if target is not None else [])])
    depend(both, [node.args.get("on")])
    only_source = Scope(walk, env, source)
    written = Relation(())
    for when in node.args["whens"].expressions:
        then = when.args.get("then")
        depend(both, [when.args.get("condition")])
        if isinstance(then, exp.Update):
            set_ = then.args.get("expressions")  # no list in `update *`
            if not isinstance(set_, list) or not set_ or isinstance(set_[0], (exp.Star, exp.Var)):
                written = _all_by_name(written, only_source)
            else:
                written = assigned(both, set_, onto=written)
        elif isinstance(then, exp.Insert):
            written = _merge_insert(walk, only_source, then, written, target)
    indirect = merged([both.indirect, scope.indirect, *(bound.relation.indirect for bound in source)])
    return Written(Relation(written.items, indirect=indirect), returning(walk, node, env), produces=True)


def _merge_insert(walk: Walk, scope: Scope, then: exp.Insert, written: Relation, target: Bound | None) -> Relation:
    columns, cells = then.this, then.args.get("expression")
    names = [walk.dialect.column(item.name) for item in columns.expressions] if isinstance(columns, exp.Tuple) else []
    if isinstance(cells, exp.Values):
        cells = cells.expressions[0]
    if not isinstance(cells, exp.Tuple):
        return _all_by_name(written, scope)
    if not names and target is not None and target.relation.closed:
        names = [item.name for item in target.relation.fields]
    if not names:
        names = [walk.dialect.column(cell.name) for cell in cells.expressions]
    fields = {item.name: item for item in written.fields}
    for name, cell in zip(names, cells.expressions, strict=False):
        known = fields[name].sources if name in fields else NOTHING
        fields[name] = Field(name, merged([known, evaluate(scope, cell)]))
    return Relation([*fields.values(), *written.rests])


def _all_by_name(written: Relation, scope: Scope) -> Relation:
    """`update set *` and `insert *`: each column of the source into that of its name."""
    fields = {item.name: item for item in written.fields}
    rests = list(written.rests)
    for item in scope.star():
        if isinstance(item, Rest):
            rests = rests or [item]
        else:
            known = fields[item.name].sources if item.name in fields else NOTHING
            fields[item.name] = Field(item.name, merged([known, item.sources]))
    return Relation([*fields.values(), *rests])


def update(walk: Walk, node: exp.Update, env: Environment) -> Written:
    scope = Scope(walk, env)
    if (from_ := node.args.get("from_")) is not None:
        bind(scope, from_.this)
        bind_joins(scope, from_)
    target = real_target(walk, scope, node.this)
    table = node.this
    joined = isinstance(table, exp.Table) and bool(table.args.get("joins"))
    if target is not None and not any(bound.path == target.path for bound in scope.bounds):
        scope.bounds.insert(0, target)
    if joined:
        bind_joins(scope, table)
    depend(scope, [node.args.get("where")])
    written = assigned(scope, node.expressions)
    return Written(written, returning(walk, node, env), produces=True)


def delete(walk: Walk, node: exp.Delete, env: Environment) -> Written:
    scope = Scope(walk, env)
    named = node.args.get("tables") or ()
    using = node.args.get("using")
    for item in using if isinstance(using, list) else ():
        bind(scope, item)
    if named and isinstance(node.this, exp.Expr):
        bind(scope, node.this)
        for item in named:
            real_target(walk, scope, item)
    else:
        of = named[0] if named else node.this  # `delete orders where …`
        note_target(walk, of)
        target = bound_target(walk, of)
        if target is not None:
            scope.bounds.insert(0, target)
        if isinstance(of, exp.Table):
            bind_joins(scope, of)
    depend(scope, [node.args.get("where")])
    return Written(Relation((), indirect=scope.indirect), returning(walk, node, env), produces=False)
