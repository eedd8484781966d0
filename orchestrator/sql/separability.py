"""Whether one statement for a range of partitions gives the rows that one statement a partition would give.

Each partition of the inputs is a window of their event time. A query is separable when it takes every row by itself, or
only ever looks at rows of one window together: grouped by, joined on, or numbered within something that tells the
window. Only what is known to be so is proved; the rest has a reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from orchestrator.sql.dialects import Dialect, dialect_of
from orchestrator.sql.functions import aggregates, function_name, is_table_function, is_volatile, multiplies
from orchestrator.sql.model import EventTime, Separability

Grain = Literal["hour", "day", "week", "month", "quarter", "year"]
_NESTS = {
    "second": ("second", "minute", "hour", "day", "week", "month", "quarter", "year"),
    "minute": ("minute", "hour", "day", "week", "month", "quarter", "year"),
    "hour": ("hour", "day", "week", "month", "quarter", "year"),
    "day": ("day", "week", "month", "quarter", "year"),
    "week": ("week",),
    "month": ("month", "quarter", "year"),
    "quarter": ("quarter", "year"),
    "year": ("year",),
}
"""{unit: the grains whose windows its own never cross}"""
_NAIVE_TYPES = frozenset((exp.DataType.Type.TIMESTAMP, exp.DataType.Type.DATETIME, exp.DataType.Type.TIMESTAMPNTZ))


class _NotProvedError(Exception):
    """Carries the reason."""


@dataclass(frozen=True, slots=True)
class _Relation:
    """What a FROM item or a query is: whether windows cut it, and which columns lie in the window of their row."""

    windowed: bool
    keys: Mapping[str, bool] = field(default_factory=dict)
    """{column: True if it has no time zone}"""
    columns: tuple[str, ...] | None = None
    """All columns; None where they are not known."""

    def renamed(self, names: list[str]) -> _Relation:
        if not names:
            return self
        if self.columns is None or len(names) > len(self.columns):
            return replace(self, keys={}, columns=None)
        columns = (*names, *self.columns[len(names) :])
        keys = {new: self.keys[old] for old, new in zip(self.columns, columns, strict=True) if old in self.keys}
        return replace(self, keys=keys, columns=columns)


def prove_separable(
    sql: str,
    *,
    dialect: str,
    inputs: Mapping[str, EventTime],
    output: str,
    grain: Grain,
    schema: Mapping[str, tuple[str, ...]] | None = None,
) -> Separability:
    """Whether `sql` over a range gives the rows of `sql` over each window of `grain` in it.

    `inputs` are the tables that windows cut ({relation as written in the SQL, lower case: its event time}), `output` is
    the event time of what the query makes, `schema` the columns of tables where they are known. Never raises on SQL.

    >>> shop = {"raw.sales": EventTime("day", naive=True)}
    >>> def proof(sql): return prove_separable(sql, dialect="duckdb", inputs=shop, output="day", grain="month")
    >>> proof("select day, sum(amount) as amount from raw.sales group by day").proved
    True
    >>> proof("select day, sum(amount) over (order by day) as total from raw.sales").reason
    'a window function is not partitioned by the event time'
    """
    prover = _Prover(dialect_of(dialect), inputs, grain, schema or {})
    try:
        statement = sqlglot.parse_one(sql, dialect=prover.dialect.name or None)
        made = prover.query(statement, {})
    except _NotProvedError as exc:
        return Separability(False, str(exc))
    except (SqlglotError, ValueError):
        return Separability(False, "it cannot be parsed")
    except RecursionError:
        return Separability(False, "it is nested too deeply")
    if not made.windowed:
        return Separability(False, "it reads nothing that is partitioned")
    if prover.dialect.column(output) not in made.keys:
        return Separability(False, f"'{output}' may lie in another partition than the rows it comes from")
    return Separability(True)


_Env = Mapping[str, _Relation]


@dataclass(frozen=True, slots=True)
class _Prover:
    dialect: Dialect
    inputs: Mapping[str, EventTime]
    grain: Grain
    schema: Mapping[str, tuple[str, ...]]

    # -- queries

    def query(self, node: exp.Expr, env: _Env) -> _Relation:
        env = self._with(node, env)
        match node:
            case exp.Select():
                return self._select(node, env)
            case exp.SetOperation():
                return self._set_operation(node, env)
            case exp.Subquery():
                return self._limited(node, self.query(node.this, env))
            case exp.Values():
                return _Relation(False)
        raise _NotProvedError(f"it is no query, but {node.key}")

    def _with(self, node: exp.Expr, env: _Env) -> _Env:
        clause = node.args.get("with_")
        if clause is None:
            return env
        found = dict(env)
        for cte in clause.expressions:
            if clause.args.get("recursive") and any(table.name == cte.alias for table in cte.this.find_all(exp.Table)):
                raise _NotProvedError("it is recursive")
            names = [self._name(column) for column in (cte.args["alias"].args.get("columns") or ())]
            found[self.dialect.table(cte.alias)] = self.query(cte.this, found).renamed(names)
        return found

    def _limited(self, node: exp.Expr, relation: _Relation) -> _Relation:
        if any(node.args.get(word) for word in ("limit", "offset", "fetch")):
            raise _NotProvedError("LIMIT would take rows from the range, not from each partition")
        return relation

    def _set_operation(self, node: exp.SetOperation, env: _Env) -> _Relation:
        self._limited(node, _Relation(False))
        left, right = self.query(node.left, env), self.query(node.right, env)
        if not left.windowed and not right.windowed:
            return _Relation(False, columns=left.columns)
        if node.args.get("by_name"):
            raise _NotProvedError("a set operation matches columns by name")
        keys = _by_position(left, right)
        if isinstance(node, exp.Union) and not node.args.get("distinct"):
            if not (left.windowed and right.windowed):
                raise _NotProvedError("a part of a UNION reads nothing that is partitioned, and would be repeated")
            return _Relation(True, keys, left.columns)
        if not left.windowed or not (keys if right.windowed else left.keys):
            raise _NotProvedError("a set operation compares rows of different partitions")
        return _Relation(True, keys if right.windowed else left.keys, left.columns)

    def _select(self, node: exp.Select, env: _Env) -> _Relation:
        self._limited(node, _Relation(False))
        sources, joined = self._from(node, env)
        self._expressions(node, env)
        if not joined.windowed:
            return _Relation(False, columns=self._output_names(node, sources))
        scope = _Scope(self, node, sources)
        self._grouping(node, scope)
        self._windows(node, scope)
        self._distinct(node, scope)
        return _Relation(True, scope.output_keys(), self._output_names(node, sources))

    # -- FROM

    def _from(self, node: exp.Select, env: _Env) -> tuple[dict[str, _Relation], _Relation]:
        """({alias: relation}, all of them joined)"""
        clause = node.args.get("from_")
        if clause is None:
            return {}, _Relation(False)
        sources: dict[str, _Relation] = {}
        name, relation = self._item(clause.this, env)
        sources[name] = relation
        windowed = relation.windowed
        for join in [*clause.this.args.get("joins", ()), *node.args.get("joins", ())]:
            name, relation = self._item(join.this, env)
            if name in sources:
                raise _NotProvedError(f"two things are called '{name}'")
            windowed = self._joined(node, join, sources, windowed, name, relation)
            sources[name] = relation
            for other, kept in self._null_extended(join, name, sources).items():
                sources[other] = kept
        for lateral in node.args.get("laterals", ()):
            name, relation = self._item(lateral, env)
            sources[name] = relation
        if node.args.get("sample") or any(item.args.get("sample") for item in node.find_all(exp.Table)):
            raise _NotProvedError("it takes a sample")
        return sources, _Relation(windowed)

    def _item(self, node: exp.Expr, env: _Env) -> tuple[str, _Relation]:
        named = node.args.get("alias")
        names = [self._name(column) for column in (named.args.get("columns") or () if named is not None else ())]
        alias = self.dialect.table(node.alias_or_name) or f"#{id(node)}"
        if node.args.get("pivots") or node.args.get("match_recognize") or node.args.get("sample"):
            raise _NotProvedError("a table is pivoted, sampled or matched")
        match node:
            case exp.Table() if isinstance(node.this, exp.Identifier):
                return alias, self._table(node, env).renamed(names)
            case exp.Subquery():
                inner = self._limited(node, self.query(node.this, self._with(node, env)))
                return alias, inner.renamed(names)
            case exp.Unnest() | exp.Values():
                return alias, _Relation(False, columns=tuple(names) or None)
            case exp.Lateral() if isinstance(node.this, exp.Subquery):
                inner = self.query(node.this, env)
                if inner.windowed:
                    raise _NotProvedError("a lateral subquery reads what is partitioned")
                return alias, inner.renamed(names)
            case exp.Lateral() if is_table_function(node.this):
                return alias, _Relation(False, columns=tuple(names) or None)
        raise _NotProvedError(f"it reads {node.sql(dialect=self.dialect.name)[:40]}, which may be anything")

    def _table(self, node: exp.Table, env: _Env) -> _Relation:
        parts = [self.dialect.table(part.name, quoted=bool(part.args.get("quoted"))) for part in node.parts]
        if len(parts) == 1 and parts[0] in env:
            return env[parts[0]]
        spellings = [".".join(parts[start:]).lower() for start in range(len(parts))]
        event = next((self.inputs[name] for name in spellings if name in self.inputs), None)
        columns = next((self.schema[name] for name in spellings if name in self.schema), None)
        folded = tuple(map(self.dialect.column, columns)) if columns is not None else None
        if event is None:
            return _Relation(False, columns=folded)
        return _Relation(True, {self.dialect.column(event.column): event.naive}, folded)

    def _joined(
        self,
        node: exp.Select,
        join: exp.Join,
        sources: Mapping[str, _Relation],
        windowed: bool,
        name: str,
        right: _Relation,
    ) -> bool:
        """Whether the join is cut by windows. Raises for one that takes rows of several windows together."""
        side, kind = (join.side or "").upper(), (join.kind or "").upper()
        if not windowed and not right.windowed:
            return False
        if not right.windowed:
            if side in ("RIGHT", "FULL"):
                raise _NotProvedError(f"a {side} JOIN keeps rows of a table that is not partitioned, in each partition")
            return True
        if not windowed:
            if side in ("LEFT", "FULL") or kind in ("SEMI", "ANTI"):
                raise _NotProvedError("rows of a table that is not partitioned are kept, in each partition")
            return True
        if (join.method or "").upper() in ("NATURAL", "POSITIONAL"):
            raise _NotProvedError("two partitioned tables are joined without a condition on their event times")
        conditions = list(_conjuncts(join.args.get("on")))
        if not side and kind not in ("SEMI", "ANTI"):
            conditions += _conjuncts(node.args["where"].this if node.args.get("where") else None)
        both = {**sources, name: right}
        names = [self._name(column) for column in join.args.get("using") or ()]
        if any(column in right.keys and any(column in one.keys for one in sources.values()) for column in names):
            return True
        scope = _Scope(self, node, both)
        for condition in conditions:
            if isinstance(condition, exp.EQ) and scope.is_key(condition.left) and scope.is_key(condition.right):
                owners = {scope.owner(side_) for side_ in (condition.left, condition.right)}
                if name in owners and len(owners) == 2:
                    return True
        raise _NotProvedError("two partitioned tables are joined without an equality of their event times")

    def _null_extended(self, join: exp.Join, name: str, sources: Mapping[str, _Relation]) -> dict[str, _Relation]:
        """Relations whose rows an outer join may fill with nulls: their columns tell no window any more."""
        side = (join.side or "").upper()
        lost = [name] if side == "LEFT" else [other for other in sources if other != name] if side == "RIGHT" else []
        lost = list(sources) if side == "FULL" else lost
        return {other: replace(sources[other], keys={}) for other in lost}

    # -- clauses

    def _expressions(self, node: exp.Select, env: _Env) -> None:
        """Refuse what gives other values at another time, and subqueries that read what is partitioned."""
        waiting: list[exp.Expr] = list(node.expressions)
        for word in ("where", "group", "having", "qualify", "order", "distinct", "windows"):
            value = node.args.get(word)
            waiting += value if isinstance(value, list) else [value] if value is not None else []
        waiting += [join.args["on"] for join in node.args.get("joins", ()) if join.args.get("on") is not None]
        while waiting:
            found = waiting.pop()
            if isinstance(found, exp.Query) and self._reads_windows(found, env):
                raise _NotProvedError("a subquery in an expression reads what is partitioned")
            if is_volatile(found):
                raise _NotProvedError(f"{function_name(found) or found.key} gives other values at another time")
            if isinstance(found, exp.Anonymous) and multiplies(found):
                raise _NotProvedError(f"nobody knows what the function {found.name} does")
            waiting += found.iter_expressions()

    def _reads_windows(self, node: exp.Query, env: _Env) -> bool:
        return any(self._table(table, env).windowed for table in node.find_all(exp.Table) if table.name)

    def _grouping(self, node: exp.Select, scope: _Scope) -> None:
        group = node.args.get("group")
        if group is None:
            if any(map(aggregates, node.expressions)) or node.args.get("having"):
                raise _NotProvedError("it aggregates the whole range")
            return
        if any(group.args.get(word) for word in ("grouping_sets", "rollup", "cube", "totals")):
            raise _NotProvedError("it has grouping sets")
        items = list(group.expressions)
        if group.args.get("all"):
            items = [item for item in node.expressions if not aggregates(item)]
        if not any(scope.is_key(scope.projected(item)) for item in items):
            raise _NotProvedError("it is not grouped by the event time")

    def _windows(self, node: exp.Select, scope: _Scope) -> None:
        named = {window.name.lower(): window for window in node.args.get("windows") or ()}
        parts = [*node.expressions, *(node.args[word] for word in ("qualify", "order") if node.args.get(word))]
        for window in (found for part in parts for found in part.find_all(exp.Window) if _of(found, node)):
            named_by = window.args.get("alias")
            base = named.get(named_by.name.lower()) if named_by is not None else None
            by = [*(window.args.get("partition_by") or ()), *((base.args.get("partition_by") or ()) if base else ())]
            if not any(scope.is_key(item) for item in by):
                raise _NotProvedError("a window function is not partitioned by the event time")

    def _distinct(self, node: exp.Select, scope: _Scope) -> None:
        distinct = node.args.get("distinct")
        if distinct is None:
            return
        on = distinct.args.get("on")
        items = list(on.expressions) if isinstance(on, exp.Tuple) else [on] if on is not None else []
        if on is not None:
            if not any(scope.is_key(scope.projected(item)) for item in items):
                raise _NotProvedError("DISTINCT ON compares rows of different partitions")
        elif not scope.output_keys():
            raise _NotProvedError("DISTINCT compares rows of different partitions")

    def _output_names(self, node: exp.Select, sources: Mapping[str, _Relation]) -> tuple[str, ...] | None:
        names: list[str] = []
        for item in node.expressions:
            if item.is_star:
                starred = self._starred(item, sources)
                if starred is None:
                    return None
                names += starred
            else:
                names.append(self.dialect.column(item.alias_or_name))
        return tuple(names)

    def _starred(self, item: exp.Expr, sources: Mapping[str, _Relation]) -> list[str] | None:
        star = item.this if isinstance(item, exp.Column) else item
        if isinstance(star, exp.Star) and any(star.args.get(word) for word in ("except_", "replace", "rename")):
            return None
        wanted = [item.table] if isinstance(item, exp.Column) else list(sources)
        found: list[str] = []
        for name in wanted:
            relation = sources.get(self.dialect.table(name) if isinstance(item, exp.Column) else name)
            if relation is None or relation.columns is None:
                return None
            found += relation.columns
        return found

    def _name(self, node: exp.Expr) -> str:
        return self.dialect.column(node.name, quoted=bool(node.args.get("quoted")))


@dataclass(frozen=True, slots=True)
class _Scope:
    """One SELECT's names."""

    prover: _Prover
    select: exp.Select
    sources: Mapping[str, _Relation]

    def is_key(self, node: exp.Expr) -> bool:
        """True if the value lies in the window of the row it is of."""
        return self._naive(node) is not None

    def owner(self, node: exp.Expr) -> str | None:
        """The source whose event time an expression is made of."""
        column = node.find(exp.Column)
        return self._source(column) if column is not None else None

    def projected(self, node: exp.Expr) -> exp.Expr:
        """What `group by 1`, or an alias of the SELECT list, means."""
        items = self.select.expressions
        if isinstance(node, exp.Literal) and node.is_int and 0 < int(node.name) <= len(items):
            return items[int(node.name) - 1]
        if isinstance(node, exp.Column) and not node.table and self._source(node) is None:
            known = all(relation.columns is not None for relation in self.sources.values())
            name = self.prover._name(node.this)
            meant = [item for item in items if self.prover.dialect.column(item.alias) == name]
            if known and len(meant) == 1:
                return meant[0]
        return node

    def output_keys(self) -> dict[str, bool]:
        """{output column: True if it has no time zone}"""
        keys: dict[str, bool] = {}
        names: list[str] = []
        for item in self.select.expressions:
            if item.is_star:
                keys.update(self._star_keys(item))
                names += keys
            else:
                names.append(self.prover.dialect.column(item.alias_or_name))
                if (naive := self._naive(item)) is not None:
                    keys[names[-1]] = naive
        return {name: naive for name, naive in keys.items() if names.count(name) == 1}

    def _star_keys(self, item: exp.Expr) -> dict[str, bool]:
        star = item.this if isinstance(item, exp.Column) else item
        changed = {
            self.prover.dialect.column(found.alias_or_name)
            for word in ("except_", "replace", "rename")
            for found in (star.args.get(word) or ())
        }
        wanted = [self.prover.dialect.table(item.table)] if isinstance(item, exp.Column) else list(self.sources)
        if not isinstance(item, exp.Column) and len(wanted) > 1:
            return {}  # a name may stand for several columns
        found = {name: naive for one in wanted if one in self.sources for name, naive in self.sources[one].keys.items()}
        return {name: naive for name, naive in found.items() if name not in changed}

    def _naive(self, node: exp.Expr) -> bool | None:
        """None if it is no key; else whether it has no time zone."""
        match node:
            case exp.Alias() | exp.Paren():
                return self._naive(node.this)
            case exp.Column():
                source = self._source(node)
                return self.sources[source].keys.get(self.prover._name(node.this)) if source is not None else None
            case exp.Cast():
                naive = self._naive(node.this)
                if naive and node.to.this == exp.DataType.Type.DATE:
                    return True if self._nests("day") else None
                return True if naive and node.to.this in _NAIVE_TYPES and not node.to.expressions else None
            case exp.TsOrDsToDate() | exp.Date() if not node.expressions and not node.args.get("zone"):
                return True if self._naive(node.this) and self._nests("day") else None
            case exp.DateTrunc() | exp.TimestampTrunc() if not node.args.get("zone"):
                unit = node.args["unit"].name.lower() if node.args.get("unit") is not None else ""
                return True if self._naive(node.this) and self._nests(unit) else None
        return None

    def _nests(self, unit: str) -> bool:
        return self.prover.grain in _NESTS.get(unit, ())

    def _source(self, column: exp.Column) -> str | None:
        """The only source that a column can be of; None where that is not sure."""
        if column.table:
            alias = self.prover.dialect.table(column.table)
            return alias if alias in self.sources else None
        name = self.prover._name(column.this)
        if len(self.sources) == 1:
            (alias,) = self.sources
            known = self.sources[alias].columns
            return alias if known is None or name in known else None
        having = [alias for alias, one in self.sources.items() if one.columns is None or name in one.columns]
        return having[0] if len(having) == 1 else None


def _by_position(left: _Relation, right: _Relation) -> dict[str, bool]:
    """Keys of both sides that stand at the same place, under the left one's names."""
    if left.columns is None or right.columns is None or len(left.columns) != len(right.columns):
        return {}
    pairs = zip(left.columns, right.columns, strict=True)
    return {mine: left.keys[mine] and right.keys[its] for mine, its in pairs if mine in left.keys and its in right.keys}


def _conjuncts(condition: exp.Expr | None) -> Iterator[exp.Expr]:
    waiting = [condition] if condition is not None else []
    while waiting:
        found = waiting.pop()
        if isinstance(found, exp.And):
            waiting += [found.left, found.right]
        elif isinstance(found, exp.Paren):
            waiting.append(found.this)
        else:
            yield found


def _of(node: exp.Expr, select: exp.Select) -> bool:
    """True if the expression belongs to this SELECT, not to a subquery in it."""
    return node.find_ancestor(exp.Select) is select
