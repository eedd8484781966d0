"""What a query does, as digests: one of its rows, one of each column. Two texts with equal digests do the same.

A column's digest is that of its expression with each column replaced by the digest of what it means, down to columns
of tables; so it does not matter how common table expressions are named, cut or inlined. The digest of the rows covers
what decides how many rows there are and which: FROM, joins, filters, groupings, DISTINCT, set operations, limits.
Relations are replaced by the keys of assets, so that two targets do not differ.

A digest says nothing about a library: when sqlglot or this module changes, both sides are digested anew from the kept
texts, and compared then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import sqlglot
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect as Grammar
from sqlglot.errors import SqlglotError

from orchestrator.sql.dialects import dialect_of
from orchestrator.sql.functions import aggregates, is_table_function, is_volatile, multiplies, needs_order, windows
from orchestrator.sql.model import ANALYZER_VERSION, Fingerprint
from orchestrator.sql.parsing import parse_script
from orchestrator.sql.queries import run_query
from orchestrator.sql.relations import Field, Relation, Rest
from orchestrator.sql.schema import Schema, build_schema, split_name
from orchestrator.sql.scope import Scope
from orchestrator.sql.walk import NOT_FOLLOWED, STUMBLES, Environment, TooLargeError, Walk

_SELECT_CLAUSES = frozenset(
    (
        *("with_", "expressions", "hint", "distinct", "from_", "exclude", "laterals", "joins", "prewhere", "where"),
        *("group", "having", "qualify", "windows", "distribute", "sort", "cluster", "order", "limit", "offset"),
        *("locks", "sample", "format"),
    )
)
_TABLE_PARTS = frozenset(("this", "db", "catalog", "alias", "hints", "sample", "pivots"))
_ORDERS = ("order", "sort", "distribute", "cluster")
_COLUMNS_BEFORE_ALIASES = frozenset(("duckdb", "postgres", "redshift", "snowflake"))
"""Dialects in which GROUP BY takes a name for a column of FROM first, and for one of SELECT only then."""


class _OpaqueError(Exception):
    """Something whose digest cannot be taken part by part."""


@dataclass(frozen=True, slots=True)
class _Digest:
    text: str
    volatile: bool = False


def fingerprint(
    sql: str,
    *,
    dialect: str,
    schema: Mapping[str, Any] | Schema | None = None,
    default_db: str | None = None,
    default_schema: str | None = None,
    relations: Mapping[str, str] | None = None,
) -> Fingerprint:
    """The fingerprint of a query. Never raises on SQL; what cannot be parsed has none but that of its text.

    `relations` is {normalised relation: asset key}; the other arguments are those of `analyze`.
    """
    known = dialect_of(dialect)
    found = schema if isinstance(schema, Schema) else build_schema(schema, dialect=known)
    walk = Walk(sql=sql, dialect=known, schema=found, default_db=default_db, default_schema=default_schema)
    raw = _hash(sql)
    common = {"analyzer": ANALYZER_VERSION, "sqlglot": sqlglot.__version__}
    try:
        statements = list(parse_script(walk))
    except TooLargeError as exc:
        return Fingerprint(raw=raw, reasons=(str(exc),), **common)
    tokens = token_digest(sql, dialect=dialect)
    walk.places = True
    if len(statements) != 1 or walk.reasons:
        reason = next(iter(walk.reasons), "it is not one query")
        return Fingerprint(raw=raw, tokens=tokens, reasons=(reason,), **common)
    statement = statements[0]
    digester = _Digester(walk, relations or {}, statement)
    try:
        whole = digester.whole(statement)
    except STUMBLES:
        return Fingerprint(raw=raw, tokens=tokens, reasons=(NOT_FOLLOWED,), **common)
    try:
        relation = run_query(walk, statement, env=Environment())
        if not isinstance(statement, (exp.Query, exp.Values, exp.Pivot)) or relation.rests:
            raise _OpaqueError("not all of its columns are known")
        if walk.reasons:
            raise _OpaqueError(next(iter(walk.reasons)))
        rows = digester.rows(relation)
        columns = [(item.name, digester.field(item)) for item in relation.fields]
    except (_OpaqueError, TooLargeError) as exc:
        reads = digester.reads()
        return Fingerprint(raw=raw, tokens=tokens, whole=whole.text, reads=reads, reasons=(str(exc),), **common)
    except RecursionError:
        return Fingerprint(raw=raw, tokens=tokens, reasons=("it is nested too deeply",), **common)
    except STUMBLES:
        return Fingerprint(raw=raw, tokens=tokens, reasons=(NOT_FOLLOWED,), **common)
    return Fingerprint(
        raw=raw,
        tokens=tokens,
        whole=whole.text,
        rows=rows.text,
        columns=tuple((name, digest.text) for name, digest in columns),
        volatile_rows=rows.volatile,
        volatile_columns=tuple(name for name, digest in columns if digest.volatile),
        ordered=digester.order(),
        reads=digester.reads(),
        **common,
    )


def _hash(*parts: str) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass"))
        digest.update(b"\0")
    return digest.hexdigest()


def token_digest(sql: str, *, dialect: str) -> str:
    """Of the words alone: comments, blanks and the case of keywords do not count. Empty where there are none."""
    try:
        tokens = Grammar.get_or_raise(dialect_of(dialect).name or None).tokenize(sql)
    except (SqlglotError, ValueError):
        return ""
    return _hash(*(f"{token.token_type.name} {token.text}" for token in tokens))


class _Digester:
    """Digests of one analysis; each column and relation is digested once."""

    def __init__(self, walk: Walk, keys: Mapping[str, str], statement: exp.Expr) -> None:
        self.walk = walk
        self.keys = keys
        self.tops = list(_tops(statement))
        """The query itself, with that in its parentheses: their ORDER BY decides about nothing else."""
        self._fields: dict[int, _Digest] = {}
        self._relations: dict[int, _Digest] = {}
        self._bases: dict[tuple[int, bool], _Digest | None] = {}
        self._kept: list[object] = []
        """What has a digest stays alive, or its id would be another's."""

    # Columns

    def field(self, item: Field) -> _Digest:
        """Of a column's value."""
        found = self._fields.get(id(item.origin) if item.origin is not None and item.origin.parts else id(item))
        if found is None:
            found = self._field(item)
            self._fields[id(item.origin) if item.origin is not None and item.origin.parts else id(item)] = found
            self._kept.append(item)
        return found

    def _field(self, item: Field) -> _Digest:
        origin = item.origin
        if origin is None:
            raise _OpaqueError(f"where {item.name} comes from is not told in parts")
        match origin.what:
            case "at":
                scope, at, inner = origin.parts
                digest = self.field(inner)
                # Of several relations in one FROM it must be told which: one table may stand there twice.
                return digest if len(scope.bounds) == 1 else _together(f"at {at}", [digest])
            case "base":
                ((table, column),) = item.sources
                return _Digest(_hash("column", self.keys.get(table, table), column.lower()))
            case "expression":
                node, scope = origin.parts
                return self.expression(node, scope)
            case "either":
                side, left, right = origin.parts
                if side in ("", "INNER", "LEFT"):
                    return self.field(left)
                return self.field(right) if side == "RIGHT" else self._joined("full", [left, right])
            case "set":
                return self._joined("set", list(origin.parts))
            case "part":
                whole, names = origin.parts
                digest = self.field(whole)
                return _Digest(_hash("part", digest.text, *names), digest.volatile)
            case "row":
                return self._row(origin.parts[1])
            case "values":
                node, at = origin.parts
                return _together(f"value {at}", [self._values(node)])
            case "call":
                node, scope, name = origin.parts
                call = self._call(node, scope)
                return _Digest(_hash("of", call.text, name), call.volatile)
            case "pivot":
                node, scope, relation, name = origin.parts
                pivot = self._pivot(node, scope, relation)
                return _Digest(_hash("of", pivot.text, name), pivot.volatile)
        raise _OpaqueError(f"{origin.what} is no column")

    def _joined(self, what: str, items: Iterable[Field]) -> _Digest:
        return _together(what, [self.field(item) for item in items])

    def _items(self, items: Iterable[Field | Rest]) -> list[_Digest]:
        found: list[_Digest] = []
        for item in items:
            if isinstance(item, Rest):
                raise _OpaqueError("not all of its columns are known")
            found.append(self.field(item))
        return found

    def _row(self, items: Iterable[Field | Rest]) -> _Digest:
        """Of a whole row: the names in it count."""
        known = list(items)
        return _together(
            "row", [*(_Digest(item.name) for item in known if isinstance(item, Field)), *self._items(known)]
        )

    # Rows

    def rows(self, relation: Relation) -> _Digest:
        """Of which rows there are."""
        key = id(relation.origin)
        found = self._relations.get(key)
        if found is None:
            found = self._relations[key] = self._rows(relation)
            self._kept.append(relation.origin)
        return found

    def _rows(self, relation: Relation) -> _Digest:
        origin = relation.origin
        if origin is None:
            raise _OpaqueError("what it reads is not told in parts")
        match origin.what:
            case "table":
                return _Digest(_hash("table", self.keys.get(origin.parts[0], origin.parts[0])))
            case "select":
                return self._select(*origin.parts)
            case "set":
                node, left, right = origin.parts
                parts = [self.rows(left), self.rows(right)]
                distinct = not isinstance(node, exp.Union) or node.args.get("distinct") is not False
                by = "by name" if node.args.get("by_name") else ""
                if distinct:
                    # Columns that lose duplicates decide about rows, in their order.
                    parts += [*self._items(left.items), *self._items(right.items)]
                    parts += [_Digest(item.name) for item in (*left.fields, *right.fields) if by]
                if any(node.args.get(name) for name in ("side", "kind", "on")):
                    raise _OpaqueError("a set operation with CORRESPONDING is not told in parts")
                return _together(f"{type(node).__name__} {distinct} {by}", parts)
            case "limit":
                return self._limit(*origin.parts)
            case "values":
                return self._values(origin.parts[0])
            case "call":
                return self._call(origin.parts[0], origin.parts[1])
            case "pivot":
                return self._pivot(*origin.parts[:3])
        raise _OpaqueError(f"{origin.what} is no relation")

    def _limit(self, node: exp.Expr, inner: Relation) -> _Digest:
        """A set operation or parentheses with their own ORDER BY and LIMIT."""
        order = node.args.get("order")
        limits = [clause for name in ("limit", "offset") if (clause := node.args.get(name)) is not None]
        if not limits and any(node is top for top in self.tops):
            return self.rows(inner)
        clauses = [*limits, *([order] if order is not None else [])]
        if any(clause.find(exp.Query) is not None for clause in clauses):
            raise _OpaqueError("a subquery in LIMIT is not told in parts")
        parts = [self.rows(inner), *(self.whole(clause) for clause in clauses)]
        if order is not None:
            parts += [*self._items(inner.items), *(_Digest(item.name) for item in inner.fields)]
        return _together("limit", parts, volatile=bool(limits) and order is None)

    def _values(self, node: exp.Expr) -> _Digest:
        if node.find(exp.Column, exp.Query) is not None:
            raise _OpaqueError("VALUES that look at other tables are not told in parts")
        return self.whole(node, without=("alias",))

    def _call(self, node: exp.Expr, scope: Scope) -> _Digest:
        plain = {name: value for name, value in node.args.items() if name not in ("alias",)}
        parts = [self._argument(value, scope, frozenset()) for _, value in sorted(plain.items()) if value]
        return _together(f"call {type(node).__name__}", parts)

    def _pivot(self, node: exp.Expr, scope: Scope, relation: Relation) -> _Digest:
        # A pivot groups by every column that it does not name.
        named = [_Digest(item.name) for item in relation.fields]
        return _together(
            "pivot",
            [self.rows(relation), *named, *self._items(relation.items), self.whole(node, without=("this", "alias"))],
        )

    def _select(self, scope: Scope, select: exp.Select, items: list[Field | Rest]) -> _Digest:
        arguments = select.args
        for name, value in arguments.items():
            if value and name not in _SELECT_CLAUSES:
                raise _OpaqueError(f"{name.strip('_').upper()} is not told in parts")
        sources = [self.rows(bound.relation) for bound in scope.bounds]
        parts = [*self._conditions(scope, select), *self._grouping(scope, select, items)]
        parts += self._multiplied(scope, select)
        for name in ("having", "qualify"):
            if (clause := arguments.get(name)) is not None:
                parts.append(_together(name, [self.expression(clause.this, scope), *self._named(clause.this, scope)]))
        limits = [arguments[name] for name in ("limit", "offset") if arguments.get(name) is not None]
        order = self._order(scope, select, items)
        if (distinct := arguments.get("distinct")) is not None:
            on = distinct.args.get("on")
            if on is None:
                parts += [_Digest("distinct"), *self._items(items)]
            else:
                first = [self._argument(on, scope, frozenset()), *self._named(on, scope), *order]
                parts.append(_together("distinct on", first, volatile=not order))
        if arguments.get("sample") is not None:
            parts.append(_Digest(self.whole(arguments["sample"]).text, volatile=True))
        if limits:
            if any(limit.expressions for limit in limits):
                raise _OpaqueError("LIMIT BY is not told in parts")
            clauses = [self._argument(limit, scope, frozenset()) for limit in limits]
            parts.append(_together("limit", [*clauses, *order], volatile=not order))
        elif order and not any(select is top for top in self.tops):
            parts.append(_together("in order", order))  # whoever reads it may take its rows as they come
        if len(sources) == 1 and not parts:
            return sources[0]  # it lets through whatever rows it reads
        return _together("select", [*sources, *parts])

    def _conditions(self, scope: Scope, select: exp.Select) -> list[_Digest]:
        """What holds before anything is grouped."""
        parts, dialect = self._joins(scope, select), self.walk.dialect
        for name in ("where", "prewhere"):
            if (clause := select.args.get(name)) is not None:
                aliases = dialect.alias_in_where and dialect.name not in _COLUMNS_BEFORE_ALIASES
                named = self._named(clause.this, scope, plain=True) if aliases else []
                parts.append(_together(name, [self.expression(clause.this, scope), *named]))
        return parts

    def _base(self, scope: Scope, *, grouped: bool) -> _Digest:
        """Of the rows that an aggregate runs over; those that a window does, where the SELECT is `grouped` first."""
        key = (id(scope), grouped)
        if key not in self._bases:
            self._bases[key] = None
            select = scope.select
            if select is None:
                raise _OpaqueError("an aggregate outside of SELECT")
            parts = [self.rows(bound.relation) for bound in scope.bounds]
            conditions = [*self._conditions(scope, select), *self._grouping(scope, select, scope.items)]
            having = select.args.get("having")
            if grouped and having is not None:
                conditions.append(_together("having", [self.expression(having.this, scope)]))
            self._kept.append(scope)
            single = len(parts) == 1 and not conditions
            self._bases[key] = parts[0] if single else _together("base", [*parts, *conditions])
        found = self._bases[key]
        if found is None:
            raise _OpaqueError("an aggregate decides about the rows that it runs over")
        return found

    def _joins(self, scope: Scope, select: exp.Select) -> list[_Digest]:
        from_ = select.args.get("from_")
        joins = select.args.get("joins") or ()
        parts: list[_Digest] = []
        for node in [*([from_.this] if from_ is not None else []), *(join.this for join in joins)]:
            self._refuse_parts(node)
            if node.args.get("sample") is not None:
                parts.append(_Digest(self.whole(node.args["sample"]).text, volatile=True))
        for join in joins:
            words = [str(join.args.get(name) or "").upper() for name in ("method", "side", "kind")]
            kind = " ".join(word for word in words if word not in ("", "INNER", "OUTER"))
            if "POSITIONAL" in kind or any(join.args.get(name) for name in ("joins", "nearest", "expressions")):
                raise _OpaqueError("joins by position and inside parentheses are not told in parts")
            conditions = [join.args.get("on"), join.args.get("match_condition")]
            on = [self.expression(node, scope) for node in conditions if node is not None]
            parts.append(_together(f"join {kind}", on))
        for name, item in scope.merged.items():
            if item.origin is not None:
                parts.append(_together(name, [self._joined("using", item.origin.parts[1:])]))
        return parts

    def _refuse_parts(self, node: exp.Expr) -> None:
        """Things in FROM that change what is read."""
        plain = not isinstance(node, exp.Table) or isinstance(node.this, (exp.Identifier, exp.Dot))
        known = _TABLE_PARTS if plain else _TABLE_PARTS | {"ordinality", "rows_from"}
        for name, value in node.args.items():
            nested = name in ("joins", "laterals", "version", "when", "changes")
            if value and (nested or (isinstance(node, exp.Table) and name not in known)):
                raise _OpaqueError(f"{name.upper()} inside FROM is not told in parts")

    def _grouping(self, scope: Scope, select: exp.Select, items: Sequence[Field | Rest]) -> list[_Digest]:
        """Groups, or whether everything is one group."""
        group = select.args.get("group")
        parts: list[_Digest] = []
        if group is not None:
            parts.append(_Digest("group"))
            for node in group.expressions:
                parts.append(self._grouped(node, scope, items))
            for name in ("grouping_sets", "cube", "rollup", "totals"):
                if group.args.get(name):
                    parts.append(self._argument(group.args[name], scope, frozenset()))
                    if _numbered(group):
                        parts += self._items(items)
            if group.args.get("all"):
                if len(items) != len(select.expressions):
                    raise _OpaqueError("GROUP BY ALL over a star")
                pairs = zip(select.expressions, items, strict=True)
                parts += self._items(item for node, item in pairs if not aggregates(node))
        elif select.args.get("having") is not None or any(aggregates(node) for node in select.expressions):
            parts.append(_Digest("one group"))
        return parts

    def _multiplied(self, scope: Scope, select: exp.Select) -> list[_Digest]:
        """What in the SELECT list makes more or fewer rows."""
        nodes = [_inner(node) for node in select.expressions if multiplies(node)]
        return [_together("multiplied", [self.expression(node, scope)]) for node in nodes]

    def _grouped(self, node: exp.Expr, scope: Scope, items: Sequence[Field | Rest]) -> _Digest:
        if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit():
            at = int(node.name) - 1
            if 0 <= at < len(items):
                return self._items([items[at]])[0]
        if _numbered(node):
            return _together("group", [self.whole(node), *self._items(items)])
        scope.aliases_seen = True
        digest = self.expression(node, scope)
        if self.walk.dialect.name in _COLUMNS_BEFORE_ALIASES:
            return digest
        return _together("group", [digest, *self._named(node, scope, plain=True)])

    def _named(self, node: Any, scope: Scope, *, plain: bool = False) -> list[_Digest]:
        """Of the columns of SELECT that a clause may mean by its names: dialects differ in whether they come first.

        `plain` leaves out those that the clause cannot mean since they look at other rows.
        """
        found: list[_Digest] = []
        for part in node if isinstance(node, list) else [node]:
            for column in part.find_all(exp.Column):
                alias = scope.aliases.get(self.walk.dialect.column(column.name))
                if alias is None or column.args.get("table"):
                    continue
                origin = alias.origin
                over_rows = origin is not None and origin.what == "expression" and _over_rows(origin.parts[0])
                if not (plain and over_rows):
                    found.append(self.field(alias))
        return found

    def _order(self, scope: Scope, select: exp.Select, items: Sequence[Field | Rest]) -> list[_Digest]:
        found: list[_Digest] = []
        for name in _ORDERS:
            clause = select.args.get(name)
            for ordered in clause.expressions if clause is not None else ():
                found.append(_together(name, [self._ordered(ordered, scope, items)]))
        return found

    def _ordered(self, ordered: exp.Expr, scope: Scope, items: Sequence[Field | Rest]) -> _Digest:
        if ordered.args.get("with_fill"):
            raise _OpaqueError("WITH FILL is not told in parts")
        node = ordered.this if isinstance(ordered, exp.Ordered) else ordered
        direction = f"{bool(ordered.args.get('desc'))} {ordered.args.get('nulls_first')}"
        plain = isinstance(node, exp.Column) and not node.args.get("table")
        alias = scope.aliases.get(self.walk.dialect.column(node.name)) if plain else None
        if alias is not None:
            return _together(direction, [self.field(alias)])
        if isinstance(node, exp.Literal) and not node.is_string:
            return _together(direction, [self._grouped(node, scope, items)])
        if isinstance(node, (exp.Var, exp.Star)):
            return _together(direction, [self.whole(node), *self._items(items)])
        scope.aliases_seen = True
        return _together(direction, [self.expression(node, scope), *self._named(node, scope)])

    # Expressions

    def expression(self, node: exp.Expr, scope: Scope, locals_: frozenset[str] = frozenset()) -> _Digest:
        """Of a value."""
        match node:
            case exp.Paren():
                return self.expression(node.this, scope, locals_)
            case exp.Column() if isinstance(node.this, exp.Identifier):
                if locals_ and node.parts[0].name.lower() in locals_:
                    return _Digest(_hash("local", *(part.name.lower() for part in node.parts)))
                return self._column(node, scope)
            case exp.Column():
                bound = scope.find((self.walk.dialect.table(node.table),))
                if bound is None:
                    raise _OpaqueError("a star of something unknown")
                return self._row(bound.relation.items)
            case exp.Star():
                return self._row(scope.star())
            case exp.Exists() if isinstance(node.this, exp.Query):
                return _together("exists", [self.rows(self._query(node.this, scope))])
            case exp.Query() | exp.Values():
                relation = self._query(node, scope)
                return _together("query", [self.rows(relation), *self._items(relation.items)])
            case exp.Window():
                return self._window(node, scope, locals_)
            case exp.Lambda():
                inner = locals_.union(item.name.lower() for item in node.expressions)
                named = [_Digest(item.name.lower()) for item in node.expressions]
                return _together("lambda", [*named, self.expression(node.this, scope, inner)])
            case exp.Comprehension() | exp.Columns() | exp.Table():
                raise _OpaqueError(f"{type(node).__name__.lower()} in an expression")
            case exp.Identifier():
                return _Digest(self.walk.dialect.column(node.name, quoted=bool(node.args.get("quoted"))))
            case exp.Literal():
                return _Digest(_hash("text" if node.is_string else "number", node.name))
        return self._generic(node, scope, locals_)

    def _column(self, node: exp.Column, scope: Scope) -> _Digest:
        found = scope.column(node)
        if isinstance(node.this, exp.Identifier) and _is_pseudo(found):
            return _Digest(_hash("pseudo", node.sql().lower()), volatile=True)
        level = _level(found, scope)
        digest = self.field(found)
        if level:
            digest = _together(f"{level} out", [digest])
        alias = scope.aliases.get(found.name) if self.walk.dialect.name == "clickhouse" else None
        # ClickHouse takes a name for that of another expression before it takes it for a column.
        if alias is None or alias is found or alias.origin is found.origin or node.args.get("table"):
            return digest
        if alias.origin is not None and alias.origin.what == "expression" and node in alias.origin.parts[0].walk():
            return digest
        return _together("either", [digest, self.field(alias)])

    def _generic(self, node: exp.Expr, scope: Scope, locals_: frozenset[str]) -> _Digest:
        name = type(node).__name__
        if isinstance(node, exp.Anonymous):
            name = f"function {node.name.lower()}"
        given = {key: value for key, value in node.args.items() if value not in (None, False, [])}
        if isinstance(node, exp.Anonymous):
            given.pop("this", None)
        if isinstance(node, exp.Count):
            given = {key: value for key, value in given.items() if not _is_star(value)}
        parts = [_together(key, [self._argument(value, scope, locals_)]) for key, value in sorted(given.items())]
        if isinstance(node, exp.AggFunc) or is_table_function(node):
            parts.append(self._base(scope, grouped=False))
        return _together(name, parts, volatile=is_volatile(node))

    def _argument(self, value: Any, scope: Scope, locals_: frozenset[str]) -> _Digest:
        if isinstance(value, exp.Expr):
            return self.expression(value, scope, locals_)
        if isinstance(value, list):
            return _together("list", [self._argument(item, scope, locals_) for item in value])
        return _Digest(_hash("value", str(value)))

    def _window(self, node: exp.Window, scope: Scope, locals_: frozenset[str]) -> _Digest:
        parts = [self._argument(node.this, scope, locals_)] if node.args.get("over") is not None else []
        for name in ("partition_by", "order", "spec"):
            if value := node.args.get(name):
                parts.append(_together(name, [self._argument(value, scope, locals_)]))
        named = node.args.get("alias")
        if named is not None:
            window = scope.windows.get(named.name.lower())
            if not isinstance(window, exp.Window) or window is node:
                raise _OpaqueError(f"the window {named.name} is not known")
            parts.append(self._window(window, scope, locals_))
        if node.args.get("over") is None:
            return _together("window", parts)
        volatile = needs_order(node.this) and not _has_order(node, scope)
        return _together("window", [*parts, self._base(scope, grouped=True)], volatile=volatile)

    def _query(self, node: exp.Expr, scope: Scope) -> Relation:
        return run_query(self.walk, node, env=scope.env.inside(scope))

    # Whole trees

    def whole(self, node: exp.Expr, *, without: tuple[str, ...] = ()) -> _Digest:
        """Of a tree as it stands, with names folded and relations replaced by keys."""
        waiting: list[tuple[str, Any]] = [("", node)]
        words: list[str] = []
        volatile = False
        while waiting:
            key, value = waiting.pop()
            if isinstance(value, exp.Table) and isinstance(value.this, exp.Identifier):
                name = ".".join(self.walk.parts(value))
                words += [key, "table", self.keys.get(name, name)]
                rest = {k: v for k, v in value.args.items() if v and k not in ("this", "db", "catalog")}
                words.append(str(len(rest)))
                waiting += sorted(rest.items())
            elif isinstance(value, exp.Identifier):
                words += [key, self.walk.dialect.column(value.name, quoted=bool(value.args.get("quoted")))]
            elif isinstance(value, exp.Expr):
                words += [key, type(value).__name__]
                volatile = volatile or is_volatile(value)
                skipped = without if value is node else ()
                below = [(k, v) for k, v in sorted(value.args.items()) if v and k not in skipped]
                words.append(str(len(below)))
                waiting += below
            elif isinstance(value, list):
                words.append(f"[{len(value)}")
                waiting += [(key, item) for item in value]
            else:
                words += [key, str(value)]
        return _Digest(_hash(*words), volatile)

    def order(self) -> str:
        """Of the ORDER BY of the whole query, which decides about no row."""
        found = (self.whole(order).text for top in self.tops if (order := top.args.get("order")) is not None)
        return next(found, "")

    def reads(self) -> str:
        """Of the columns of all tables that are read, as the schema knows them."""
        words: list[str] = []
        for name in sorted(self.walk.reads, key=lambda name: self.keys.get(name, name)):
            items = self.walk.schema.relation(split_name(name)).items
            words += [self.keys.get(name, name), *(item.name if isinstance(item, Field) else "*" for item in items), ""]
        return _hash(*words)


def _tops(statement: exp.Expr) -> Iterator[exp.Expr]:
    yield statement
    while isinstance(statement, exp.Subquery) and not any(statement.args.get(name) for name in ("limit", "offset")):
        statement = statement.this
        yield statement


def _level(found: Field, scope: Scope) -> int:
    """How many queries further out a column is."""
    home = _home(found)
    level, around = 0, scope
    while around is not home:
        if around.parent is None or home is None:
            raise _OpaqueError(f"which query {found.name} belongs to is not told")
        level, around = level + 1, around.parent
    return level


def _home(found: Field) -> Scope | None:
    """The scope in which a name stands for this column."""
    origin = found.origin
    if origin is None:
        raise _OpaqueError(f"where {found.name} comes from is not told in parts")
    match origin.what:
        case "at" | "row":
            return cast("Scope", origin.parts[0])
        case "expression" | "pivot" | "call":
            return cast("Scope", origin.parts[1])
        case "either":
            return _home(origin.parts[1])
        case "part":
            return _home(origin.parts[0])
    return None


def _has_order(window: exp.Window, scope: Scope) -> bool:
    """True if a window says in which order it sees rows, itself or through its name."""
    seen: set[int] = set()
    found: exp.Expr | None = window
    while isinstance(found, exp.Window) and id(found) not in seen:
        seen.add(id(found))
        if found.args.get("order") is not None:
            return True
        named = found.args.get("alias")
        found = scope.windows.get(named.name.lower()) if named is not None else None
    return False


def _over_rows(node: exp.Expr) -> bool:
    return aggregates(node) or windows(node)


def _numbered(node: exp.Expr) -> bool:
    """True if numbers in it may stand for columns of SELECT: inside of ROLLUP and the like."""
    if not isinstance(node, (exp.Group, exp.Rollup, exp.Cube, exp.GroupingSets, exp.Tuple)):
        return False
    return any(not literal.is_string for literal in node.find_all(exp.Literal))


def _is_star(node: Any) -> bool:
    return isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star))


def _together(what: str, parts: Iterable[_Digest], *, volatile: bool = False) -> _Digest:
    every = list(parts)
    return _Digest(_hash(what, *(part.text for part in every)), volatile or any(part.volatile for part in every))


def _inner(node: exp.Expr) -> exp.Expr:
    return node.this if isinstance(node, exp.Alias) else node


def _is_pseudo(found: Field) -> bool:
    return found.origin is None and not found.sources
