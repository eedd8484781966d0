"""What stands in FROM: tables, files, functions, subqueries, joins; each is bound under its name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import exp

from orchestrator.sql.expressions import depend, evaluate
from orchestrator.sql.relations import COPY, EXPRESSION, Field, Origin, Relation, Rest, Sources, merged, placed
from orchestrator.sql.scope import Bound, Scope
from orchestrator.sql.walk import Walk

_FILE = re.compile(
    r"[/*?]|://|\.(csv|tsv|parquet|json|jsonl|ndjson|xlsx|arrow|feather|orc|avro|gz|zst|txt|db|duckdb)$", re.IGNORECASE
)
_FILE_FUNCTIONS = re.compile(
    r"^(read_\w+|sniff_csv|\w+_scan|scan_\w+|openrowset|files?|s3(cluster)?|gcs|azureblobstorage(cluster)?|url|hdfs|"
    r"read_files|cloud_files|deltalake|iceberg\w*|st_read\w*|glob)$",
    re.IGNORECASE,
)
_FILE_FORMATS = frozenset(("parquet", "csv", "json", "orc", "avro", "delta", "text", "binaryfile", "iceberg"))
_TABLE_BY_NAME = frozenset(("query_table", "query"))
_FUNCTION_COLUMNS = {
    "generate_series": "generate_series",
    "range": "range",
    "unnest": "unnest",
}


def bind_joins(scope: Scope, node: exp.Expr) -> None:
    """Bind what is joined to what is bound already, with hive's lateral views."""
    for lateral in node.args.get("laterals") or ():
        bind(scope, lateral)
    for join in node.args.get("joins") or ():
        _join(scope, join)


def bind(scope: Scope, node: exp.Expr) -> None:
    """Bind one thing in FROM, with what is joined to it inside its own parentheses."""
    match node:
        case exp.Table():
            _table(scope, node)
            bind_joins(scope, node)
        case exp.Subquery() if isinstance(node.this, (exp.Table, exp.Subquery)) and _is_bare(node):
            _parenthesised(scope, node)
        case exp.Subquery():
            _add(scope, _derived(scope, node), node)
            bind_joins(scope, node)
        case exp.Values():
            _add(scope, values(scope, node), node)
        case exp.Unnest():
            _unnest(scope, node)
        case exp.Lateral():
            _lateral(scope, node)
        case exp.TableFromRows():
            _add(scope, _function(scope, node.this, node), node)
        case exp.Pivot():
            from orchestrator.sql.pivots import pivot_statement

            _add(scope, pivot_statement(scope.walk, node, scope.env), node)
        case exp.Query():
            from orchestrator.sql.queries import run_query

            _add(scope, run_query(scope.walk, node, env=scope.env), node)
        case _:
            _add(scope, _function(scope, node, node), node)


def _is_bare(node: exp.Subquery) -> bool:
    """Parentheses around tables and joins, no query."""
    inner: exp.Expr = node
    while isinstance(inner, exp.Subquery):
        inner = inner.this
    return isinstance(inner, exp.Table)


def _parenthesised(scope: Scope, node: exp.Subquery) -> None:
    if node.args.get("alias") is None and not node.args.get("pivots"):
        bind(scope, node.this)
        bind_joins(scope, node)
        return
    inner = Scope(scope.walk, scope.env)
    bind(inner, node.this)
    bind_joins(inner, node)
    _add(scope, Relation(inner.star(), indirect=inner.indirect), node)


def _derived(scope: Scope, node: exp.Subquery) -> Relation:
    from orchestrator.sql.queries import run_query

    lateral = scope.walk.dialect.lateral_subqueries
    env = scope.env.inside(scope) if lateral else scope.env
    return distinctly_named(scope.walk, run_query(scope.walk, _without_from_parts(node), env=env))


def distinctly_named(walk: Walk, relation: Relation) -> Relation:
    """What DuckDB makes of columns with one name as soon as somebody reads them: a, a_1, a_2."""
    items = relation.items
    if walk.dialect.name != "duckdb" or len(relation.index) == len(items) or not relation.closed:
        return relation
    seen: dict[str, int] = {}
    made: list[Field | Rest] = []
    for item in relation.fields:
        name = item.name
        while (lowered := name.lower()) in seen:
            name = f"{item.name}_{seen[lowered]}"
            seen[lowered] += 1
        seen[name.lower()] = 1
        made.append(item.renamed(name))
    return Relation(made, indirect=relation.indirect, origin=relation.origin)


def _without_from_parts(node: exp.Subquery) -> exp.Expr:
    """The query inside, where the parentheses carry nothing but an alias, joins and pivots."""
    modified = any(node.args.get(name) for name in ("with_", "limit", "offset", "order"))
    return node if modified and not node.args.get("joins") and not node.args.get("pivots") else node.this


def _add(scope: Scope, relation: Relation, node: exp.Expr, *, path: tuple[str, ...] = ()) -> Bound:
    """Bind a relation under its alias, with renamed columns and pivots applied."""
    alias, table = node.args.get("alias"), path
    pivots = node.args.get("pivots") or ()
    if isinstance(alias, exp.TableAlias):
        columns = alias_columns(scope.walk, alias)
        if alias.this is not None:
            path = (scope.walk.dialect.table(alias.this.name, quoted=bool(alias.this.args.get("quoted"))),)
        if columns:
            relation = renamed(scope.walk, relation, columns)
    if pivots:
        from orchestrator.sql.pivots import pivoted

        for pivot in pivots:
            relation = pivoted(scope, relation, pivot, path=path)
            if (name := pivot.args.get("alias")) is not None and name.this is not None:
                path = (scope.walk.dialect.table(name.this.name),)
                if name.columns:
                    relation = renamed(scope.walk, relation, alias_columns(scope.walk, name))
    bound = Bound(path, relation, table=table)
    scope.bind(bound)
    return bound


def alias_columns(walk: Walk, alias: exp.TableAlias) -> list[str]:
    """The columns in `t (a, b)`, an alias."""
    nodes = [column.this if isinstance(column, exp.ColumnDef) else column for column in alias.columns]
    return [walk.dialect.column(node.name, quoted=bool(node.args.get("quoted"))) for node in nodes]


def renamed(walk: Walk, relation: Relation, columns: list[str]) -> Relation:
    """The relation with its first columns renamed."""
    if not columns:
        return relation
    head = relation.items[: len(columns)]
    if all(isinstance(item, Field) for item in head) and len(head) == len(columns):
        items: list[Field | Rest] = [
            item.renamed(name) if isinstance(item, Field) else item for item, name in zip(head, columns, strict=True)
        ]
        renamed_items = [*items, *relation.items[len(columns) :]]
        return Relation(renamed_items, indirect=relation.indirect, origin=relation.origin)
    if any(rest.tables for rest in relation.rests):
        walk.unsure("columns are renamed by position over a table whose columns are not known")
    everything = relation.everything()
    return Relation([Field(name, everything) for name in columns], indirect=relation.indirect)


# Tables


def _table(scope: Scope, node: exp.Table) -> None:
    this = node.this
    if isinstance(this, exp.DynamicIdentifier):
        _add(scope, _identified(scope, this.this), node)
        return
    if isinstance(this, (exp.Func, exp.Anonymous)) or (isinstance(this, exp.Dot) and _ends_in_call(this)):
        _add(scope, _function(scope, this, node), node)
        return
    if not isinstance(this, (exp.Identifier, exp.Dot, exp.Var)):
        _opaque_table(scope, node)
        return
    db = node.args.get("db")
    name = scope.walk.dialect.table(this.name, quoted=bool(this.args.get("quoted")))
    if db is None and (cte := scope.env.cte(scope.walk, name)) is not None:
        _add(scope, cte, node, path=(name,))
        return
    if db is not None and scope.walk.dialect.arrays_in_from and (bound := _array(scope, node)) is not None:
        _add(scope, bound, node, path=(name,))
        return
    if (path := _file(node)) is not None:
        _add(scope, scope.walk.read_file(path), node, path=(name,))
        return
    parts = scope.walk.parts(node)
    _add(scope, scope.walk.read(parts), node, path=parts)


def _identified(scope: Scope, name: exp.Expr) -> Relation:
    """Snowflake's `identifier('t')`."""
    if isinstance(name, exp.Literal):
        return _named_table(scope, name.name)
    scope.walk.unsure("a table is named by a parameter")
    return Relation([Rest()])


def _opaque_table(scope: Scope, node: exp.Table) -> None:
    if isinstance(node.this, exp.Query):
        from orchestrator.sql.queries import run_query

        _add(scope, run_query(scope.walk, node.this, env=scope.env), node)
        return
    if isinstance(node.this, (exp.Placeholder, exp.Parameter, exp.Literal)):
        name = node.this.name or node.this.sql()
        _add(scope, scope.walk.read_file(name) if _FILE.search(name) else Relation([Rest()]), node)
        if not _FILE.search(name):
            scope.walk.unsure("a table is named by a parameter")
        return
    scope.walk.unsure(f"{type(node.this).__name__} in FROM is not understood")
    _add(scope, Relation([Rest(sources=evaluate(scope, node.this, kind=EXPRESSION))]), node)


def _ends_in_call(node: exp.Dot) -> bool:
    return isinstance(node.expression, (exp.Func, exp.Anonymous))


def _array(scope: Scope, node: exp.Table) -> Relation | None:
    """`from t, t.items`: a column of what stands to the left."""
    dialect = scope.walk.dialect
    parts = [part for part in (node.args.get("catalog"), node.args.get("db"), node.this) if part is not None]
    first = parts[0]
    path = (dialect.table(first.name, quoted=bool(first.args.get("quoted"))),)
    if scope.find(path) is None:
        return None
    column = exp.Column(this=parts[-1], table=parts[-2], db=parts[-3] if len(parts) > 2 else None)
    sources = merged([scope.column(column).sources], kind=EXPRESSION)
    scope.depend(sources)
    return Relation([Rest(sources=sources, greedy=False)])


def _file(node: exp.Table) -> str | None:
    """The path where a table is a file: DuckDB's quoted names, Spark's parquet.`…`, stages."""
    this, db = node.this, node.args.get("db")
    if isinstance(this, exp.Var):
        return str(this.name) if this.name.startswith("@") else None
    if not isinstance(this, exp.Identifier) or not this.args.get("quoted"):
        return None
    if isinstance(db, exp.Expr) and db.name.lower() in _FILE_FORMATS and ("/" in this.name or "." in this.name):
        return str(this.name)
    if db is None and _FILE.search(this.name):
        return str(this.name)
    return None


# Functions


def _function(scope: Scope, call: exp.Expr, node: exp.Expr) -> Relation:
    """A table function: its columns come from its arguments, or from the files it names."""
    while isinstance(call, exp.Dot):
        call = call.expression
    name = call.name if isinstance(call, exp.Anonymous) else call.sql_name() if isinstance(call, exp.Func) else ""
    lowered = name.lower()
    if isinstance(call, (exp.ReadCSV, exp.ReadParquet)) or _FILE_FUNCTIONS.match(lowered):
        paths = list(_paths(call))
        if paths:
            relations = [scope.walk.read_file(path) for path in paths]
            tables = tuple(dict.fromkeys(path for path in paths))
            first = relations[0]
            return first if len(relations) == 1 or first.closed else Relation([Rest(tables)])
    if lowered in _TABLE_BY_NAME:
        return _table_by_name(scope, call, lowered)
    sources = evaluate(scope, call, kind=EXPRESSION)
    scope.depend(sources)  # as many rows as the arguments say
    alias = node.args.get("alias")
    named = isinstance(alias, exp.TableAlias) and alias.this is not None
    column = alias.this.name if named else _FUNCTION_COLUMNS.get(_kind(call), lowered or "column")
    if isinstance(call, (exp.GenerateSeries, exp.ExplodingGenerateSeries)) or _kind(call) in _FUNCTION_COLUMNS:
        return Relation([Field(scope.walk.dialect.column(column), sources), Rest(sources=sources, greedy=False)])
    if not sources and not isinstance(alias, exp.TableAlias):
        return Relation([Rest(sources=sources, greedy=not scope.bounds)])
    return Relation([Rest(sources=sources, greedy=not sources)])


def _kind(call: exp.Expr) -> str:
    if isinstance(call, (exp.GenerateSeries, exp.ExplodingGenerateSeries)):
        return "generate_series"
    return call.name.lower() if isinstance(call, exp.Anonymous) else type(call).__name__.lower()


def _paths(call: exp.Expr) -> Iterator[str]:
    """Paths among the first arguments of a function that reads files."""
    for argument in call.iter_expressions():
        if isinstance(argument, exp.Literal) and argument.is_string:
            yield argument.name
            return
        if isinstance(argument, exp.Array):
            yield from (item.name for item in argument.expressions if isinstance(item, exp.Literal))
            return


def _table_by_name(scope: Scope, call: exp.Expr, function: str) -> Relation:
    argument = next(call.iter_expressions(), None)
    if isinstance(argument, exp.Literal) and function == "query_table":
        return _named_table(scope, argument.name)
    scope.walk.unsure(f"{function}() reads a table that is named when it runs")
    return Relation([Rest()])


def _named_table(scope: Scope, name: str) -> Relation:
    parts = tuple(scope.walk.dialect.table(part) for part in name.split("."))
    return scope.walk.read(scope.walk.completed(parts))


def _unnest(scope: Scope, node: exp.Unnest) -> None:
    dialect = scope.walk.dialect
    alias = node.args.get("alias")
    columns = alias_columns(scope.walk, alias) if isinstance(alias, exp.TableAlias) else []
    parts = [merged([evaluate(scope, item)], kind=EXPRESSION) for item in node.expressions]
    everything = merged(parts)
    scope.depend(everything)
    path: tuple[str, ...] = ()
    if isinstance(alias, exp.TableAlias) and alias.this is not None:
        path = (dialect.table(alias.this.name, quoted=bool(alias.this.args.get("quoted"))),)
    items: list[Field | Rest] = []
    for at, name in enumerate(columns):
        items.append(Field(name, parts[at] if len(parts) == len(columns) else everything if at < 99 else {}))
    offset = node.args.get("offset")
    if isinstance(offset, exp.Identifier):
        items.append(Field(dialect.column(offset.name), {}))
    elif offset and len(columns) > len(parts):
        items[-1] = Field(columns[-1], {})
    if not columns:
        items.insert(0, Field(dialect.column(path[-1] if path else "unnest"), everything))
    if dialect.name == "bigquery" or not columns:
        items.append(Rest(sources=everything, greedy=False))
    scope.bind(Bound(path, _called(scope, node, items), element=dialect.name == "bigquery"))


def _called(scope: Scope, node: exp.Expr, items: list[Field | Rest]) -> Relation:
    """What a call in FROM produces; its columns are told apart by name."""
    named = [
        Field(item.name, item.sources, item.type, Origin("call", (node, scope, item.name)))
        if isinstance(item, Field)
        else item
        for item in items
    ]
    return Relation(named, origin=Origin("call", (node, scope, "")))


def _lateral(scope: Scope, node: exp.Lateral) -> None:
    from orchestrator.sql.queries import run_query

    this = node.this
    if isinstance(this, (exp.Query, exp.Subquery)):
        _add(scope, run_query(scope.walk, this, env=scope.env.inside(scope)), node)
        return
    if isinstance(this, exp.Unnest):
        if this.args.get("alias") is None:
            this.set("alias", node.args.get("alias"))
        _unnest(scope, this)
        return
    sources = evaluate(scope, this, kind=EXPRESSION)
    scope.depend(sources)
    alias = node.args.get("alias")
    columns = alias_columns(scope.walk, alias) if isinstance(alias, exp.TableAlias) else []
    if scope.walk.dialect.name == "snowflake":
        columns = [column.upper() for column in columns]
    path: tuple[str, ...] = ()
    if isinstance(alias, exp.TableAlias) and alias.this is not None:
        path = (scope.walk.dialect.table(alias.this.name, quoted=bool(alias.this.args.get("quoted"))),)
    items: list[Field | Rest] = [Field(name, sources) for name in columns]
    if not columns:
        items = [Rest(sources=sources, greedy=False)]
    scope.bind(Bound(path, _called(scope, node, items)))


def values(scope: Scope, node: exp.Values) -> Relation:
    """VALUES: as many columns as its first row has."""
    rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions]
    width = len(rows[0]) if rows else 0
    first = {"duckdb": 0, "tsql": 1}.get(scope.walk.dialect.name, 1)
    prefix = {"duckdb": "col", "trino": "_col", "presto": "_col", "spark": "col", "databricks": "col"}.get(
        scope.walk.dialect.name, "column"
    )
    names = [scope.walk.dialect.column(f"{prefix}{at + first}") for at in range(width)]
    if sum(len(row) for row in rows) > 50_000 or all(isinstance(cell, exp.Literal) for row in rows for cell in row):
        columns: list[Sources] = [{} for _ in names]
    else:
        columns = [merged(evaluate(scope, row[at]) for row in rows if at < len(row)) for at in range(width)]
    fields = [
        Field(name, sources, None, Origin("values", (node, at)))
        for at, (name, sources) in enumerate(zip(names, columns, strict=True))
    ]
    return Relation(fields, origin=Origin("values", (node, None)))


# Joins


def _join(scope: Scope, join: exp.Join) -> None:
    before = len(scope.bounds)
    scope.walk.spend(before // 64)
    left = list(scope.bounds)
    bind(scope, join.this)
    added = scope.bounds[before:]
    using = [scope.walk.dialect.column(name.name, quoted=bool(name.args.get("quoted"))) for name in _using(join)]
    if str(join.args.get("method") or "").upper() == "NATURAL":
        using = _shared(scope, left, added)
    for name in using:
        _merge(scope, name, left, added, join)
    if using:  # of several joins the last one's columns come first in `*`
        scope.merged = {**{name: scope.merged[name] for name in using}, **scope.merged}
    depend(scope, [join.args.get("on"), join.args.get("match_condition")])
    if str(join.args.get("kind") or "").upper() in ("SEMI", "ANTI"):
        for bound in added:
            bound.starred = False
            scope.depend(bound.relation.indirect)
    bind_joins(scope, join) if join.args.get("joins") else None
    for pivot in join.args.get("pivots") or ():
        from orchestrator.sql.pivots import pivoted

        last = scope.bounds[-1]
        last.relation = pivoted(scope, last.relation, pivot)
        if scope.walk.places:
            last.relation = placed(last.relation, scope, len(scope.bounds) - 1)


def _using(join: exp.Join) -> Iterator[exp.Expr]:
    for node in join.args.get("using") or ():
        yield node.this if isinstance(node, exp.Column) else node


def _shared(scope: Scope, left: list[Bound], right: list[Bound]) -> list[str]:
    if not all(bound.relation.closed for bound in (*left, *right)):
        scope.walk.unsure("NATURAL JOIN of tables whose columns are not known")
    known = {item.name for bound in left for item in bound.relation.fields}
    return [item.name for bound in right for item in bound.relation.fields if item.name in known]


def _merge(scope: Scope, name: str, left: list[Bound], right: list[Bound], join: exp.Join) -> None:
    """USING leaves one column of two that are equal, so it comes from both."""
    scope.walk.spend(len(left) // 8)
    before = scope.merged.get(name) or _in_bounds(name, left)
    sides = [bound for bound in left if bound.starred and bound.relation.find(name) is not None][:1] or left
    for bound in (*sides, *right):
        bound.hidden = bound.hidden.union((name,))
    after = _in_bounds(name, right)
    both = merged([before.sources, after.sources])
    scope.depend(both)
    full = str(join.args.get("side") or "").upper() == "FULL"
    origin = Origin("either", (str(join.args.get("side") or "").upper(), before, after))
    scope.merged[name] = Field(name, merged([both], kind=EXPRESSION if full else COPY), before.type, origin)


def _in_bounds(name: str, bounds: list[Bound]) -> Field:
    found = [item for bound in bounds if bound.starred and (item := bound.relation.find(name)) is not None]
    if found:
        return found[0]
    guessed = [rest.field(name) for bound in bounds for rest in bound.relation.candidates(name)]
    return guessed[0] if len(guessed) == 1 else Field(name, merged(item.sources for item in guessed))
