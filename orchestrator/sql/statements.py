"""What a statement writes: tables, files, and which columns flow into theirs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from sqlglot import exp
from sqlglot.errors import SqlglotError

from orchestrator.sql.expressions import depend, evaluate
from orchestrator.sql.from_items import bind, bind_joins, distinctly_named
from orchestrator.sql.queries import environment_of, run_query
from orchestrator.sql.relations import NOTHING, Field, Relation, Rest, Sources, merged
from orchestrator.sql.scope import Bound, Scope
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
_HARMLESS_COMMANDS = frozenset(
    (
        *("ANALYZE", "BEGIN", "CHECKPOINT", "COMMENT", "COMMIT", "DEALLOCATE", "DENY", "END", "EXPLAIN", "GRANT"),
        *("HELP", "INSTALL", "LOAD", "LOCK", "MSCK", "NOTIFY", "OPTIMIZE", "PREPARE", "PRINT", "RESET", "REVOKE"),
        *("ROLLBACK", "SAVEPOINT", "SET", "SHOW", "START", "UNLOCK", "VACUUM"),
    )
)
"""Commands that move no rows from table to table."""
_UNLOAD = re.compile(r"\('(?P<query>(?:[^']|'')*)'\)\s*to\s*'(?P<place>[^']*)'", re.IGNORECASE | re.DOTALL)
_TABLE_KINDS = frozenset(("TABLE", "VIEW", "DYNAMIC TABLE", "MATERIALIZED VIEW", "STREAMING TABLE", "LIVE TABLE"))


@dataclass(frozen=True, slots=True)
class Written:
    """What one statement does; `columns` are those that it produces for its target, or for whoever asked."""

    relation: Relation = field(default_factory=lambda: Relation(()))
    returned: Relation = field(default_factory=lambda: Relation(()))
    """What it returns when it stands in WITH."""
    produces: bool = False


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
            return _merge(walk, node, env)
        case exp.Update():
            return _update(walk, node, env)
        case exp.Delete():
            return _delete(walk, node, env)
        case exp.Copy():
            return _copy(walk, node, env)
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
            return _load(walk, node)
        case exp.Export():
            return _export(walk, node, env)
        case exp.TruncateTable():
            _targets(walk, node.expressions)
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


# Targets


def _target(walk: Walk, node: exp.Expr | None) -> str | None:
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


def _targets(walk: Walk, nodes: Iterable[exp.Expr]) -> None:
    for node in nodes:
        _target(walk, node)


def _column_names(walk: Walk, node: exp.Expr | None) -> list[str]:
    """The columns in `t (a, b)`."""
    if not isinstance(node, exp.Schema):
        return []
    named = [item.this if isinstance(item, exp.ColumnDef) else item for item in node.expressions]
    return [
        walk.dialect.column(item.name, quoted=bool(item.args.get("quoted")))
        for item in named
        if isinstance(item, exp.Identifier)
    ]


def _into(walk: Walk, relation: Relation, columns: list[str], name: str | None, *, by_name: bool = False) -> Relation:
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


# INSERT


def _insert(walk: Walk, node: exp.Insert, env: Environment) -> Written:
    source = node.args.get("expression")
    if source is None and isinstance(node.args.get("source"), exp.Expr):
        source = node.args["source"]
    relation = _query_or_values(walk, source, env)
    name = _target(walk, node.this)
    columns = _column_names(walk, node.this)
    for partition in _partition_columns(walk, node):
        if columns and partition not in columns and len(columns) < len(relation.items):
            columns.append(partition)
    written = _into(walk, relation, columns, name, by_name=bool(node.args.get("by_name")))
    if (conflict := node.args.get("conflict")) is not None:
        written = _on_conflict(walk, node, conflict, written, env)
    return Written(written, _returning(walk, node, env), produces=True)


def _query_or_values(walk: Walk, node: exp.Expr | None, env: Environment) -> Relation:
    if node is None:
        return Relation(())
    return run_query(walk, node, env=env)


def _partition_columns(walk: Walk, node: exp.Insert) -> list[str]:
    """Dynamic partitions of `insert … partition (day)`: their values come last in the query."""
    partition = node.args.get("partition")
    if not isinstance(partition, exp.Partition):
        return []
    return [walk.dialect.column(item.name) for item in partition.expressions if isinstance(item, exp.Identifier)]


def _on_conflict(walk: Walk, node: exp.Insert, conflict: exp.Expr, written: Relation, env: Environment) -> Relation:
    target = _bound_target(walk, node.this)
    excluded = Bound(("excluded",), Relation(written.items))
    scope = Scope(walk, env, [bound for bound in (target, excluded) if bound is not None])
    excluded.starred = False
    return _assigned(scope, conflict.expressions, onto=written)


def _bound_target(walk: Walk, node: exp.Expr | None) -> Bound | None:
    node = node.this if isinstance(node, exp.Schema) else node
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        return None
    parts = walk.parts(node)
    alias = node.args.get("alias")
    path = parts
    if isinstance(alias, exp.TableAlias) and alias.this is not None:
        path = (walk.dialect.table(alias.this.name, quoted=bool(alias.this.args.get("quoted"))),)
    return Bound(path, walk.relation(parts))


def _assigned(scope: Scope, nodes: Iterable[exp.Expr], *, onto: Relation | None = None) -> Relation:
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


def _returning(walk: Walk, node: exp.Expr, env: Environment) -> Relation:
    returning = node.args.get("returning")
    if returning is None:
        return Relation(())
    target = _bound_target(walk, node.this)
    scope = Scope(walk, env, [target] if target is not None else [])
    from orchestrator.sql.projections import project

    return Relation(project(scope, cast("exp.Select", exp.Select(expressions=returning.expressions))))


def _multi_insert(walk: Walk, node: exp.MultitableInserts, env: Environment) -> Written:
    """One source, several targets: hive's `from t insert …`, Snowflake's and Oracle's INSERT ALL."""
    scope = Scope(walk, env)
    bind(scope, node.args["source"])
    outer = Relation(scope.star(), indirect=scope.indirect)
    parts: list[Relation] = []
    for item in node.expressions:
        insert = item.this if isinstance(item, exp.ConditionalInsert) else item
        depend(scope, [item.args.get("expression")] if isinstance(item, exp.ConditionalInsert) else [])
        name = _target(walk, insert.this)
        columns = _column_names(walk, insert.this)
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
        parts.append(_into(walk, relation, columns, name))
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
    columns = _column_names(walk, node.this) if produces else []
    relation = _into(walk, relation, columns, None) if columns else relation
    if name is not None and temporary:
        walk.temporary.add(name)
    if forward is not None:
        _target(walk, forward)
    else:
        _target(walk, node.this)
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
    columns = _column_names(walk, node)
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
        _target(walk, target)
    return Written(relation, produces=True)


# MERGE, UPDATE, DELETE


def _merge(walk: Walk, node: exp.Merge, env: Environment) -> Written:
    scope = Scope(walk, env)
    bind(scope, node.args["using"])
    source = list(scope.bounds)
    _target(walk, node.this)
    target = _bound_target(walk, node.this)
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
                written = _assigned(both, set_, onto=written)
        elif isinstance(then, exp.Insert):
            written = _merge_insert(walk, only_source, then, written, target)
    indirect = merged([both.indirect, scope.indirect, *(bound.relation.indirect for bound in source)])
    return Written(Relation(written.items, indirect=indirect), _returning(walk, node, env), produces=True)


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


def _update(walk: Walk, node: exp.Update, env: Environment) -> Written:
    scope = Scope(walk, env)
    if (from_ := node.args.get("from_")) is not None:
        bind(scope, from_.this)
        bind_joins(scope, from_)
    target = _real_target(walk, scope, node.this)
    table = node.this
    joined = isinstance(table, exp.Table) and bool(table.args.get("joins"))
    if target is not None and not any(bound.path == target.path for bound in scope.bounds):
        scope.bounds.insert(0, target)
    if joined:
        bind_joins(scope, table)
    depend(scope, [node.args.get("where")])
    written = _assigned(scope, node.expressions)
    return Written(written, _returning(walk, node, env), produces=True)


def _real_target(walk: Walk, scope: Scope, node: exp.Expr | None) -> Bound | None:
    """The table that is updated or deleted from; where it is named by an alias of FROM, the table behind it."""
    if isinstance(node, exp.Table) and node.args.get("db") is None:
        bound = scope.find((walk.dialect.table(node.name),))
        behind = _table_behind(bound)
        if bound is not None and behind is not None:
            walk.writes[behind] = None
            walk.reads.pop(behind, None)
            return bound
    _target(walk, node)
    return _bound_target(walk, node)


def _table_behind(bound: Bound | None) -> str | None:
    if bound is None:
        return None
    tables = {table for item in bound.relation.items if isinstance(item, Rest) for table in item.tables}
    tables |= {ref[0] for item in bound.relation.fields for ref in item.sources}
    return tables.pop() if len(tables) == 1 else None


def _delete(walk: Walk, node: exp.Delete, env: Environment) -> Written:
    scope = Scope(walk, env)
    named = node.args.get("tables") or ()
    using = node.args.get("using")
    for item in using if isinstance(using, list) else ():
        bind(scope, item)
    if named and isinstance(node.this, exp.Expr):
        bind(scope, node.this)
        for item in named:
            _real_target(walk, scope, item)
    else:
        of = named[0] if named else node.this  # `delete orders where …`
        _target(walk, of)
        target = _bound_target(walk, of)
        if target is not None:
            scope.bounds.insert(0, target)
        if isinstance(of, exp.Table):
            bind_joins(scope, of)
    depend(scope, [node.args.get("where")])
    return Written(Relation((), indirect=scope.indirect), _returning(walk, node, env), produces=False)


# COPY, LOAD, EXPORT


def _copy(walk: Walk, node: exp.Copy, env: Environment) -> Written:
    files = node.args.get("files") or []
    stage = _stage(node.this)
    if stage is not None:
        walk.writes[stage] = None
        relation = _copied_out(walk, files[0], env) if files else Relation(())
        return Written(relation, produces=True)
    if not node.args.get("kind"):
        relation = _copied_out(walk, node.this, env)
        for file in files:
            walk.writes[_file_name(file)] = None
        return Written(relation, produces=True)
    name = _target(walk, node.this)
    relation = Relation([Rest()])
    for file in files:
        if isinstance(file, (exp.Subquery, exp.Select)):
            relation = run_query(walk, file, env=env)
        else:
            relation = walk.read_file(_file_name(file))
    return Written(_copied_in(walk, node, relation, name), produces=True)


def _stage(node: exp.Expr) -> str | None:
    """The stage or place that Snowflake's `copy into` unloads to."""
    if isinstance(node, exp.Literal):
        return str(node.name)
    if isinstance(node, exp.Table) and isinstance(node.this, (exp.Var, exp.Literal)):
        return str(node.this.name)
    return None


def _copied_out(walk: Walk, node: exp.Expr, env: Environment) -> Relation:
    columns = _column_names(walk, node)
    inner = node.this if isinstance(node, exp.Schema) else node
    if isinstance(inner, exp.Table):
        scope = Scope(walk, env)
        bind(scope, inner)
        relation = Relation(scope.star())
        if columns:
            fields = [relation.lookup(column) or Field(column, {}) for column in columns]
            return Relation(fields)
        return relation
    return run_query(walk, inner, env=env)


def _copied_in(walk: Walk, node: exp.Copy, relation: Relation, name: str | None) -> Relation:
    columns = _column_names(walk, node.this)
    if columns and relation.closed:
        return _into(walk, relation, columns, name)
    if columns:
        return Relation([Field(column, relation.everything()) for column in columns])
    return relation


def _file_name(node: exp.Expr) -> str:
    return str(node.name or node.sql())


def _load(walk: Walk, node: exp.LoadData) -> Written:
    _target(walk, node.this)
    path = node.args.get("inpath")
    if path is not None:
        walk.reads[path.name] = None
    return Written()


def _export(walk: Walk, node: exp.Export, env: Environment) -> Written:
    relation = run_query(walk, node.this, env=env)
    options = node.args.get("options")
    for item in options.expressions if options is not None else ():
        if item.name.lower() == "uri" and isinstance(item.args.get("value"), exp.Literal):
            walk.writes[item.args["value"].name] = None
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
            _target(walk, action.this)
            if isinstance(action, exp.SwapTable):
                bind(scope, action.this)
                _target(walk, node.this)
            elif (old := ".".join(walk.parts(node.this))) in walk.written_before:
                walk.dropped.add(old)
                walk.reads.pop(old, None)
            return Written()
    _target(walk, node.this)
    return Written()


def _unload(walk: Walk, sql: str, place: str) -> Written:
    """Redshift's and Athena's `unload ('select …') to 's3://…'`: a query inside a text."""
    from sqlglot import parse_one

    walk.writes[place] = None
    try:
        query = parse_one(sql, read=walk.dialect.name or None)
    except SqlglotError:
        walk.unsure("the query of UNLOAD cannot be parsed")
        return Written()
    return Written(run_query(walk, query, env=Environment()), produces=True)


def _forget(walk: Walk, node: exp.Drop) -> None:
    """A table that the script itself made is no result of it any more. No rows flow into a dropped table."""
    for table in node.args.get("tables") or ([node.this] if isinstance(node.this, exp.Table) else []):
        if (name := ".".join(walk.parts(table))) in walk.made:
            walk.dropped.add(name)


def _command(walk: Walk, node: exp.Command) -> Written:
    word = str(node.this).upper().split(" ")[0]
    if word == "UNLOAD" and (found := _UNLOAD.search(node.expression.name)) is not None:
        return _unload(walk, found["query"].replace("''", "'"), found["place"])
    if word not in _HARMLESS_COMMANDS:
        walk.unsure(f"{word} is not understood")
    return Written()
