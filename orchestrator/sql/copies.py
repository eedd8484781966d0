"""COPY, LOAD, EXPORT and UNLOAD: statements between tables and files."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.errors import SqlglotError

from orchestrator.sql.from_items import bind
from orchestrator.sql.queries import run_query
from orchestrator.sql.relations import Field, Relation, Rest
from orchestrator.sql.scope import Scope
from orchestrator.sql.targets import (
    Written,
    column_names,
    note_target,
    put_into,
)
from orchestrator.sql.walk import Environment, Walk


def copy(walk: Walk, node: exp.Copy, env: Environment) -> Written:
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
    name = note_target(walk, node.this)
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
    columns = column_names(walk, node)
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
    columns = column_names(walk, node.this)
    if columns and relation.closed:
        return put_into(walk, relation, columns, name)
    if columns:
        return Relation([Field(column, relation.everything()) for column in columns])
    return relation


def _file_name(node: exp.Expr) -> str:
    return str(node.name or node.sql())


def load(walk: Walk, node: exp.LoadData) -> Written:
    note_target(walk, node.this)
    path = node.args.get("inpath")
    if path is not None:
        walk.reads[path.name] = None
    return Written()


def export(walk: Walk, node: exp.Export, env: Environment) -> Written:
    relation = run_query(walk, node.this, env=env)
    options = node.args.get("options")
    for item in options.expressions if options is not None else ():
        if item.name.lower() == "uri" and isinstance(item.args.get("value"), exp.Literal):
            walk.writes[item.args["value"].name] = None
    return Written(relation, produces=True)


def unload(walk: Walk, sql: str, place: str) -> Written:
    """Redshift's and Athena's `unload ('select …') to 's3://…'`: a query inside a text."""
    from sqlglot import parse_one

    walk.writes[place] = None
    try:
        query = parse_one(sql, read=walk.dialect.name or None)
    except SqlglotError:
        walk.unsure("the query of UNLOAD cannot be parsed")
        return Written()
    return Written(run_query(walk, query, env=Environment()), produces=True)
