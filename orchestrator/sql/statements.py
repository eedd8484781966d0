"""What a statement writes: tables, files, and which columns flow into theirs."""

from __future__ import annotations

import re

from sqlglot import exp

from orchestrator.sql.copies import copy, export, load, unload
from orchestrator.sql.expressions import depend, evaluate
from orchestrator.sql.from_items import bind, distinctly_named
from orchestrator.sql.queries import environment_of, run_query
from orchestrator.sql.relations import NOTHING, Field, Relation, Rest, merged
from orchestrator.sql.row_changes import delete, merge, update
from orchestrator.sql.scope import Bound, Scope
from orchestrator.sql.targets import (
    Written,
    assigned,
    bound_target,
    column_names,
    note_target,
    note_targets,
    put_into,
    query_or_values,
    returning,
)
from orchestrator.sql.walk import Environment, Walk

_WITH_BEFORE = (exp.Insert, exp.Create, exp.Merge, exp.Update, exp.Delete, exp.MultitableInserts)
"""Statements that may stand after a WITH; queries see to theirs themselves."""
_NO_DATA = (
    exp.Set,
    exp.Pragma,
    exp.Attach,
    exp.Detach,
    exp.Comment,
    exp.Commit,
    exp.Rollback,
    exp.Transaction,
    exp.Drop,
    exp.Grant,
    exp.Revoke,
    exp.Analyze,
    exp.Kill,
    exp.Refresh,
    exp.Cache,
    exp.Uncache,
    exp.Semicolon,
)
_UNLOAD = re.compile(r"\('(?P<query>(?:[^']|'')*)'\)\s*to\s*'(?P<place>[^']*)'", re.IGNORECASE | re.DOTALL)
_HARMLESS_COMMANDS = frozenset(
    (
        *("ANALYZE", "BEGIN", "CHECKPOINT", "COMMENT", "COMMIT", "DEALLOCATE", "DENY", "END", "EXPLAIN", "GRANT"),
        *("HELP", "INSTALL", "LOAD", "LOCK", "MSCK", "NOTIFY", "OPTIMIZE", "PREPARE", "PRINT", "RESET", "REVOKE"),
        *("ROLLBACK", "SAVEPOINT", "SET", "SHOW", "START", "UNLOCK", "VACUUM"),
    )
)
"""Commands that move no rows from table to table."""
_TABLE_KINDS = frozenset(("TABLE", "VIEW", "DYNAMIC TABLE", "MATERIALIZED VIEW", "STREAMING TABLE", "LIVE TABLE"))


def write(walk: Walk, node: exp.Expr, *, env: Environment) -> Written:
    """Follow one statement; what it reads and writes is noted in the walk."""
    if isinstance(node, _WITH_BEFORE) and (with_ := node.args.get("with_")) is not None:
        env = environment_of(walk, with_, env)
    match node:
        case exp.Insert():
            return _insert(walk, node, env)
        case exp.Create():
            return _create(walk, node, env)
        case exp.Merge():
            return merge(walk, node, env)
        case exp.Update():
            return update(walk, node, env)
        case exp.Delete():
            return delete(walk, node, env)
        case exp.Copy():
            return copy(walk, node, env)
        case exp.MultitableInserts():
            return _multi_insert(walk, node, env)
        case exp.Query() if (into := _into_clause(node)) is not None:
            return _select_into(walk, node, into, env)
        case exp.Query() | exp.Values() | exp.Pivot() | exp.Table():
            relation = run_query(walk, node, env=env)
            return Written(relation, relation, produces=True)
        case exp.Use():
            return _use(walk, node)
        case exp.Alter():
            return _alter(walk, node)
        case exp.LoadData():
            return load(walk, node)
        case exp.Export():
            return export(walk, node, env)
        case exp.TruncateTable():
            note_targets(walk, node.expressions)
            return Written()
        case exp.Command():
            return _command(walk, node)
        case exp.Summarize():
            run_query(walk, node, env=env)
            return Written()
        case exp.Describe() | exp.Show():
            return Written()
        case exp.Declare():
            _declare(walk, node)
            return Written()
        case exp.Drop():
            _forget(walk, node)
            return Written()
    if not isinstance(node, _NO_DATA):
        walk.unsure(f"{type(node).__name__.upper()} is not understood")
    return Written()


# INSERT


def _insert(walk: Walk, node: exp.Insert, env: Environment) -> Written:
    source = node.args.get("expression")
    if source is None and isinstance(node.args.get("source"), exp.Expr):
        source = node.args["source"]
    relation = query_or_values(walk, source, env)
    name = note_target(walk, node.this)
    columns = column_names(walk, node.this)
    for partition in _partition_columns(walk, node):
        if columns and partition not in columns and len(columns) < len(relation.items):
            columns.append(partition)
    written = put_into(walk, relation, columns, name, by_name=bool(node.args.get("by_name")))
    if (conflict := node.args.get("conflict")) is not None:
        written = _on_conflict(walk, node, conflict, written, env)
    return Written(written, returning(walk, node, env), produces=True)


def _partition_columns(walk: Walk, node: exp.Insert) -> list[str]:
    """Dynamic partitions of `insert … partition (day)`: their values come last in the query."""
    partition = node.args.get("partition")
    if not isinstance(partition, exp.Partition):
        return []
    return [walk.dialect.column(item.name) for item in partition.expressions if isinstance(item, exp.Identifier)]


def _on_conflict(walk: Walk, node: exp.Insert, conflict: exp.Expr, written: Relation, env: Environment) -> Relation:
    target = bound_target(walk, node.this)
    excluded = Bound(("excluded",), Relation(written.items))
    scope = Scope(walk, env, [bound for bound in (target, excluded) if bound is not None])
    excluded.starred = False
    return assigned(scope, conflict.expressions, onto=written)


def _multi_insert(walk: Walk, node: exp.MultitableInserts, env: Environment) -> Written:
    """One source, several targets: hive's `from t insert …`, Snowflake's and Oracle's INSERT ALL."""
    scope = Scope(walk, env)
    bind(scope, node.args["source"])
    outer = Relation(scope.star(), indirect=scope.indirect)
    parts: list[Relation] = []
    for item in node.expressions:
        insert = item.this if isinstance(item, exp.ConditionalInsert) else item
        depend(scope, [item.args.get("expression")] if isinstance(item, exp.ConditionalInsert) else [])
        name = note_target(walk, insert.this)
        columns = column_names(walk, insert.this)
        source = insert.args.get("expression")
        if isinstance(source, exp.Select) and source.args.get("from_") is None:
            source = source.copy()
            source.set("from_", exp.From(this=node.args["source"].copy()))
            relation = run_query(walk, source, env=env)
        elif isinstance(source, exp.Values):
            row = source.expressions[0]
            cells = row.expressions if isinstance(row, exp.Tuple) else [row]
            relation = Relation([Field(cell.alias_or_name, evaluate(scope, cell)) for cell in cells])
        elif source is not None:
            relation = run_query(walk, source, env=env)
        else:
            relation = outer
        parts.append(put_into(walk, relation, columns, name))
    fields: dict[str, Field] = {}
    for part in parts:
        for field_ in part.fields:
            known = fields.get(field_.name)
            fields[field_.name] = Field(field_.name, merged([known.sources if known else NOTHING, field_.sources]))
    rests = [rest for part in parts for rest in part.rests]
    indirect = merged([scope.indirect, *(part.indirect for part in parts)])
    return Written(Relation([*fields.values(), *rests], indirect=indirect), produces=True)


# CREATE


def _create(walk: Walk, node: exp.Create, env: Environment) -> Written:
    kind = str(node.args.get("kind") or "").upper()
    if kind not in _TABLE_KINDS:
        if kind in ("FUNCTION", "PROCEDURE", "TRIGGER", "MACRO") and node.args.get("expression") is not None:
            walk.unsure(f"what is inside CREATE {kind} is not followed")
        return Written()
    properties = node.args.get("properties")
    listed = properties.expressions if properties is not None else []
    relation, produces = _created_from(walk, node, listed, env)
    temporary = any(isinstance(item, exp.TemporaryProperty) for item in listed) or _is_temporary_name(node.this)
    forward = next((item.this for item in listed if isinstance(item, exp.ToTableProperty)), None)
    target = node.this.this if isinstance(node.this, exp.Schema) else node.this
    name = ".".join(walk.parts(target)) if isinstance(target, exp.Table) else None
    columns = column_names(walk, node.this) if produces else []
    relation = put_into(walk, relation, columns, None) if columns else relation
    if name is not None and temporary:
        walk.temporary.add(name)
    if forward is not None:
        note_target(walk, forward)
    else:
        note_target(walk, node.this)
    if name is not None:
        walk.made[name] = relation if produces else _declared(walk, node.this, name)
    return Written(relation, produces=produces)


def _is_temporary_name(node: exp.Expr) -> bool:
    table = node.this if isinstance(node, exp.Schema) else node
    return isinstance(table, exp.Table) and (
        table.name.startswith("#") or bool(isinstance(table.this, exp.Identifier) and table.this.args.get("temporary"))
    )


def _created_from(walk: Walk, node: exp.Create, listed: list[exp.Expr], env: Environment) -> tuple[Relation, bool]:
    if (expression := node.args.get("expression")) is not None and not isinstance(expression, exp.Literal):
        return distinctly_named(walk, run_query(walk, expression, env=env)), True
    clone = node.args.get("clone")
    like = next((item.this for item in listed if isinstance(item, exp.LikeProperty)), None)
    if isinstance(node.this, exp.Schema) and like is None:
        like = next((item.this for item in node.this.expressions if isinstance(item, exp.LikeProperty)), None)
    origin = clone.this if clone is not None else like
    if isinstance(origin, exp.Table):
        scope = Scope(walk, env)
        bind(scope, origin)
        return Relation(scope.star()), clone is not None
    return Relation(()), False


def _declared(walk: Walk, node: exp.Expr, name: str) -> Relation:
    columns = column_names(walk, node)
    if not columns:
        return Relation([Rest((name,))])
    return Relation([Field(column, {(name, column): 0}) for column in columns])


def _into_clause(node: exp.Expr) -> exp.Expr | None:
    """The INTO of a SELECT, or of the first SELECT of a set operation."""
    while isinstance(node, exp.SetOperation):
        node = node.this
    return node.args.get("into") if isinstance(node, exp.Select) else None


def _select_into(walk: Walk, node: exp.Expr, into: exp.Expr, env: Environment) -> Written:
    relation = run_query(walk, node, env=env)
    target = into.this or next(iter(into.expressions), None)
    if isinstance(target, exp.Table):
        name = ".".join(walk.parts(target))
        if into.args.get("temporary") or _is_temporary_name(target):
            walk.temporary.add(name)
        walk.made[name] = relation
        note_target(walk, target)
    return Written(relation, produces=True)


# The rest


def _use(walk: Walk, node: exp.Use) -> Written:
    """USE changes what unqualified names mean from here on."""
    kind = node.args.get("kind")
    target = node.this
    if not isinstance(target, exp.Table) or (kind is not None and kind.name.upper() in ("WAREHOUSE", "ROLE")):
        return Written()
    names = [part for part in (target.args.get("catalog"), target.args.get("db"), target.this) if part is not None]
    parts = [walk.dialect.table(part.name, quoted=bool(part.args.get("quoted"))) for part in names]
    if len(parts) > 1:
        walk.default_db, walk.default_schema = parts[-2], parts[-1]
    elif (kind is not None and kind.name.upper() == "SCHEMA") or walk.dialect.two_levels:
        walk.default_schema = parts[0]
    else:
        walk.default_db = parts[0]
        if walk.dialect.name == "duckdb":
            walk.default_schema = "main"
    return Written()


def _declare(walk: Walk, node: exp.Declare) -> None:
    for item in node.expressions:
        names = item.this if isinstance(item.this, list) else [item.this]
        walk.variables.update(name.name.lower() for name in names)


def _alter(walk: Walk, node: exp.Alter) -> Written:
    for action in node.args.get("actions") or ():
        if isinstance(action, (exp.AlterRename, exp.SwapTable)) and isinstance(action.this, exp.Table):
            scope = Scope(walk, Environment())
            bind(scope, node.this)
            note_target(walk, action.this)
            if isinstance(action, exp.SwapTable):
                bind(scope, action.this)
                note_target(walk, node.this)
            elif (old := ".".join(walk.parts(node.this))) in walk.written_before:
                walk.dropped.add(old)
                walk.reads.pop(old, None)
            return Written()
    note_target(walk, node.this)
    return Written()


def _forget(walk: Walk, node: exp.Drop) -> None:
    """A table that the script itself made is no result of it any more. No rows flow into a dropped table."""
    for table in node.args.get("tables") or ([node.this] if isinstance(node.this, exp.Table) else []):
        if (name := ".".join(walk.parts(table))) in walk.made:
            walk.dropped.add(name)


def _command(walk: Walk, node: exp.Command) -> Written:
    word = str(node.this).upper().split(" ")[0]
    if word == "UNLOAD" and (found := _UNLOAD.search(node.expression.name)) is not None:
        return unload(walk, found["query"].replace("''", "'"), found["place"])
    if word not in _HARMLESS_COMMANDS:
        walk.unsure(f"{word} is not understood")
    return Written()
