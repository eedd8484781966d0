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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect as Grammar
from sqlglot.errors import SqlglotError

from orchestrator.sql.dialects import dialect_of
from orchestrator.sql.model import ANALYZER_VERSION, Fingerprint
from orchestrator.sql.parsing import parse_script
from orchestrator.sql.queries import run_query
from orchestrator.sql.relations import Field, Relation, Rest
from orchestrator.sql.schema import Schema, build_schema
from orchestrator.sql.scope import Scope
from orchestrator.sql.walk import Environment, TooLargeError, Walk

_VOLATILE = (
    exp.CurrentDate,
    exp.CurrentDatetime,
    exp.CurrentTime,
    exp.CurrentTimestamp,
    exp.CurrentUser,
    exp.Rand,
    exp.Randn,
    exp.Uuid,
)
_VOLATILE_NAMES = frozenset(
    (
        *("now", "today", "getdate", "getutcdate", "sysdate", "sysdatetime", "systimestamp", "clock_timestamp"),
        *("statement_timestamp", "transaction_timestamp", "timeofday", "localtime", "localtimestamp", "unix_timestamp"),
        *("random", "rand", "randn", "setseed", "uuid", "gen_random_uuid", "generate_uuid", "uuid_string", "newid"),
        *("nextval", "currval", "lastval", "txid_current", "session_user", "user", "current_setting", "seq4", "seq8"),
        *("current_date", "current_timestamp", "current_time", "getvariable", "pg_backend_pid", "version"),
    )
)


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
    if len(statements) != 1 or walk.reasons:
        reason = next(iter(walk.reasons), "it is not one query")
        return Fingerprint(raw=raw, tokens=tokens, reasons=(reason,), **common)
    digester = _Digester(walk, relations or {})
    statement = statements[0]
    whole = digester.whole(statement)
    try:
        relation = run_query(walk, statement, env=Environment())
        if not isinstance(statement, (exp.Query, exp.Values, exp.Pivot)) or relation.rests:
            raise _OpaqueError("not all of its columns are known")
        rows = digester.rows(relation)
        columns = [(item.name, digester.field(item)) for item in relation.fields]
    except (_OpaqueError, TooLargeError) as exc:
        return Fingerprint(raw=raw, tokens=tokens, whole=whole.text, reasons=(str(exc),), **common)
    except RecursionError:
        return Fingerprint(raw=raw, tokens=tokens, reasons=("it is nested too deeply",), **common)
    return Fingerprint(
        raw=raw,
        tokens=tokens,
        whole=whole.text,
        rows=rows.text,
        columns=tuple((name, digest.text) for name, digest in columns),
        volatile_rows=rows.volatile,
        volatile_columns=tuple(name for name, digest in columns if digest.volatile),
        ordered=digester.order(statement),
        **common,
    )


def _hash(*parts: str) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        digest.update(part.encode())
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

    def __init__(self, walk: Walk, keys: Mapping[str, str]) -> None:
        self.walk = walk
        self.keys = keys
        self._fields: dict[int, _Digest] = {}
        self._relations: dict[int, _Digest] = {}
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
                return _together("row", self._items(origin.parts))
            case "values":
                node, at = origin.parts
                return _Digest(_hash("values", self.whole(node).text, str(at)), self.whole(node).volatile)
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
                if distinct:
                    # Columns that lose duplicates decide about rows, in their order.
                    parts += [*self._items(left.items), *self._items(right.items)]
                by = "by name" if node.args.get("by_name") else ""
                return _together(f"{type(node).__name__} {distinct} {by}", parts)
            case "limit":
                node, inner = origin.parts
                order = node.args.get("order")
                clauses = [node.args.get("limit"), node.args.get("offset"), order]
                limits = [self.whole(clause) for clause in clauses if clause is not None]
                named = self._items(inner.items) if order is not None else []
                return _together("limit", [self.rows(inner), *limits, *named], volatile=order is None)
            case "values":
                return self.whole(origin.parts[0])
            case "call":
                return self._call(origin.parts[0], origin.parts[1])
            case "pivot":
                return self._pivot(*origin.parts[:3])
        raise _OpaqueError(f"{origin.what} is no relation")

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
        for name in ("match", "connect", "pivots", "for_", "operation_modifiers"):
            if arguments.get(name):
                raise _OpaqueError(f"{name.upper()} is not told in parts")
        sources = [self.rows(bound.relation) for bound in scope.bounds]
        parts = self._joins(scope, select)
        for name in ("where", "prewhere", "having", "qualify"):
            if (clause := arguments.get(name)) is not None:
                parts.append(_together(name, [self.expression(clause.this, scope)]))
        parts += self._grouping(scope, select, items)
        if (distinct := arguments.get("distinct")) is not None:
            on = distinct.args.get("on")
            if on is None:
                parts += [_Digest("distinct"), *self._items(items)]
            else:
                parts += [_Digest("distinct on"), self.expression(on, scope), *self._order(scope, select, items)]
        if arguments.get("sample") is not None:
            parts.append(_Digest(self.whole(arguments["sample"]).text, volatile=True))
        if arguments.get("limit") is not None or arguments.get("offset") is not None:
            limits = [self.whole(arguments[name]) for name in ("limit", "offset") if arguments.get(name) is not None]
            order = self._order(scope, select, items)
            parts.append(_together("limit", [*limits, *order], volatile=not order))
        if len(sources) == 1 and not parts:
            return sources[0]  # it lets through whatever rows it reads
        return _together("select", [*sources, *parts])

    def _joins(self, scope: Scope, select: exp.Select) -> list[_Digest]:
        from_ = select.args.get("from_")
        first = [from_.this] if from_ is not None else []
        parts: list[_Digest] = []
        for node in [*first, *(join.this for join in select.args.get("joins") or ())]:
            if any(node.args.get(name) for name in ("joins", "laterals", "version", "when", "changes")):
                raise _OpaqueError("joins inside parentheses are not told in parts")
            if node.args.get("sample") is not None:
                parts.append(_Digest(self.whole(node.args["sample"]).text, volatile=True))
        for join in select.args.get("joins") or ():
            words = [str(join.args.get(name) or "").upper() for name in ("method", "side", "kind")]
            kind = " ".join(word for word in words if word not in ("", "INNER", "OUTER"))
            conditions = [join.args.get("on"), join.args.get("match_condition")]
            on = [self.expression(node, scope) for node in conditions if node is not None]
            parts.append(_together(f"join {kind}", on))
        for name, item in scope.merged.items():
            if item.origin is not None:
                parts.append(_together(name, [self._joined("using", item.origin.parts[1:])]))
        return parts

    def _grouping(self, scope: Scope, select: exp.Select, items: list[Field | Rest]) -> list[_Digest]:
        """Groups; whether everything is one group; what a projection multiplies."""
        group = select.args.get("group")
        parts: list[_Digest] = []
        aggregates = any(_aggregates(node) for node in select.expressions)
        if group is not None:
            parts.append(_Digest("group"))
            for node in group.expressions:
                parts.append(self._grouped(node, scope, items))
            for name in ("grouping_sets", "cube", "rollup", "totals"):
                if group.args.get(name):
                    parts.append(self._argument(group.args[name], scope, frozenset()))
            if group.args.get("all"):
                if len(items) != len(select.expressions):
                    raise _OpaqueError("GROUP BY ALL over a star")
                pairs = zip(select.expressions, items, strict=True)
                parts += self._items(item for node, item in pairs if not _aggregates(node))
        elif aggregates or select.args.get("having") is not None:
            parts.append(_Digest("one group"))
        for node in select.expressions:
            if node.find(exp.UDTF, exp.Explode, exp.Posexplode, exp.Inline, exp.ExplodingGenerateSeries) is not None:
                parts.append(_together("multiplied", [self.expression(_inner(node), scope)]))
        return parts

    def _grouped(self, node: exp.Expr, scope: Scope, items: list[Field | Rest]) -> _Digest:
        if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit():
            at = int(node.name) - 1
            if 0 <= at < len(items):
                return self._items([items[at]])[0]
        scope.aliases_seen = True
        return self.expression(node, scope)

    def _order(self, scope: Scope, select: exp.Select, items: list[Field | Rest]) -> list[_Digest]:
        order = select.args.get("order")
        found: list[_Digest] = []
        for ordered in order.expressions if order is not None else ():
            node = ordered.this if isinstance(ordered, exp.Ordered) else ordered
            direction = f"{bool(ordered.args.get('desc'))} {ordered.args.get('nulls_first')}"
            plain = isinstance(node, exp.Column) and not node.args.get("table")
            alias = scope.aliases.get(self.walk.dialect.column(node.name)) if plain else None
            digest = self.field(alias) if alias is not None else self._grouped(node, scope, items)
            found.append(_together(f"order {direction}", [digest]))
        return found

    # Expressions

    def expression(self, node: exp.Expr, scope: Scope, locals_: frozenset[str] = frozenset()) -> _Digest:
        """Of a value."""
        match node:
            case exp.Alias() | exp.Paren():
                return self.expression(node.this, scope, locals_)
            case exp.Column() if isinstance(node.this, exp.Identifier):
                if locals_ and node.parts[0].name.lower() in locals_:
                    return _Digest(_hash("local", *(part.name.lower() for part in node.parts)))
                return self._column(node, scope)
            case exp.Column():
                bound = scope.find((self.walk.dialect.table(node.table),))
                if bound is None:
                    raise _OpaqueError("a star of something unknown")
                return _together("row", self._items(bound.relation.items))
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
        return self.field(found)

    def _generic(self, node: exp.Expr, scope: Scope, locals_: frozenset[str]) -> _Digest:
        name = type(node).__name__
        if isinstance(node, exp.Anonymous):
            name = f"function {node.name.lower()}"
        volatile = isinstance(node, _VOLATILE) or (
            isinstance(node, (exp.Anonymous, exp.Func)) and _function_name(node) in _VOLATILE_NAMES
        )
        given = {key: value for key, value in node.args.items() if value not in (None, False, [])}
        if isinstance(node, exp.Anonymous):
            given.pop("this", None)
        parts = [_together(key, [self._argument(value, scope, locals_)]) for key, value in sorted(given.items())]
        return _together(name, parts, volatile=volatile)

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
        return _together("window", parts)

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
                rest = {k: v for k, v in value.args.items() if k not in ("this", "db", "catalog")}
                waiting += [(k, v) for k, v in sorted(rest.items()) if v]
            elif isinstance(value, exp.Identifier):
                words += [key, self.walk.dialect.column(value.name, quoted=bool(value.args.get("quoted")))]
            elif isinstance(value, exp.Expr):
                words += [key, type(value).__name__]
                volatile = volatile or isinstance(value, _VOLATILE) or _function_name(value) in _VOLATILE_NAMES
                skipped = without if value is node else ()
                waiting += [(k, v) for k, v in sorted(value.args.items()) if v and k not in skipped]
            elif isinstance(value, list):
                words.append(f"[{len(value)}")
                waiting += [(key, item) for item in value]
            else:
                words += [key, str(value)]
        return _Digest(_hash(*words), volatile)

    def order(self, statement: exp.Expr) -> str:
        """Of the ORDER BY of the whole query, which decides about no row."""
        order = statement.args.get("order")
        return self.whole(order).text if order is not None else ""


def _together(what: str, parts: Iterable[_Digest], *, volatile: bool = False) -> _Digest:
    every = list(parts)
    return _Digest(_hash(what, *(part.text for part in every)), volatile or any(part.volatile for part in every))


def _inner(node: exp.Expr) -> exp.Expr:
    return node.this if isinstance(node, exp.Alias) else node


def _aggregates(node: exp.Expr) -> bool:
    """True if the expression aggregates over the rows of its SELECT: not over a window, nor inside a subquery."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if isinstance(found, (exp.Query, exp.Window)):
            continue
        if isinstance(found, exp.AggFunc):
            return True
        waiting += found.iter_expressions()
    return False


def _is_pseudo(found: Field) -> bool:
    return found.origin is None and not found.sources


def _function_name(node: exp.Expr) -> str:
    if isinstance(node, exp.Anonymous):
        return str(node.name.lower())
    return str(type(node).key) if isinstance(node, exp.Func) else ""
