"""Random queries that DuckDB accepts and that have one answer: no ties are broken by chance, no floats are summed.

The generator asks DuckDB what a part produces (DESCRIBE), so that names and types of what it goes on with are
DuckDB's and not what this module believes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import duckdb

TABLES: dict[str, dict[str, str]] = {
    "people": {"id": "INTEGER", "name": "VARCHAR", "city": "VARCHAR", "age": "INTEGER"},
    "orders": {"id": "INTEGER", "person": "INTEGER", "amount": "INTEGER", "status": "VARCHAR", "parts": "INTEGER[]"},
    "items": {"id": "INTEGER", "order_id": "INTEGER", "price": "INTEGER", "detail": "STRUCT(kind VARCHAR, weight INTEGER)"},
    "cities": {"city": "VARCHAR", "country": "VARCHAR", "size": "INTEGER"},
}  # fmt: skip
ROWS = {"people": 8, "orders": 12, "items": 12, "cities": 5}
_WORDS = ("ann", "bob", "cid", "dee", "eve")


def random_value(rng: random.Random, type_: str) -> object:
    """A value from a small domain, so that joins meet and groups have several rows; sometimes null."""
    if rng.random() < 0.1:
        return None
    match type_:
        case "INTEGER":
            return rng.randint(0, 9)
        case "VARCHAR":
            return rng.choice(_WORDS)
        case "INTEGER[]":
            return [rng.randint(0, 9) for _ in range(rng.randint(0, 3))]
    return {"kind": rng.choice(_WORDS), "weight": rng.randint(0, 9)}


def random_rows(rng: random.Random, table: str) -> list[list[object]]:
    """The rows of one table; its `id` is unique."""
    columns = TABLES[table]
    rows = [[random_value(rng, kind) for kind in columns.values()] for _ in range(ROWS[table])]
    if "id" in columns:
        for row, number in zip(rows, rng.sample(range(20), len(rows)), strict=True):
            row[0] = number
    return rows


@dataclass(frozen=True)
class Rel:
    """Something in FROM: its alias and (column, kind); kinds are i(nteger), s(tring), l(ist), r(ow), o(ther)."""

    alias: str
    columns: tuple[tuple[str, str], ...]
    base: bool = False


@dataclass
class Scope:
    """What an expression may name."""

    rels: list[Rel] = field(default_factory=list)
    outer: Scope | None = None
    merged: dict[str, str] = field(default_factory=dict)

    def columns(self, kind: str) -> list[str]:
        """All references to columns of a kind, unqualified ones where they are clear."""
        found: list[str] = []
        count: dict[str, int] = {}
        for rel in self.rels:
            for name, _ in rel.columns:
                count[name] = count.get(name, 0) + 1
        for rel in self.rels:
            for name, its in rel.columns:
                if its == kind:
                    found.append(f"{rel.alias}.{name}")
                    if count[name] == 1:
                        found.append(name)
        found += [name for name, its in self.merged.items() if its == kind]
        return found


def _kind(type_: str) -> str:
    if type_ in ("INTEGER", "BIGINT", "HUGEINT"):
        return "i"
    if type_ == "VARCHAR":
        return "s"
    if type_.endswith("INTEGER[]"):
        return "l"
    if type_.startswith("STRUCT(kind"):
        return "r"
    return "o"


class Generator:
    """One query after another."""

    def __init__(self, rng: random.Random, connection: duckdb.DuckDBPyConnection) -> None:
        self.rng, self.connection = rng, connection
        self.ctes: list[tuple[str, str]] = []
        self.names = 0

    def query(self) -> str:
        """A query that DuckDB binds."""
        while True:
            self.ctes, self.names = [], 0
            sql = self._with_ctes(self._top())
            try:
                self.connection.execute(f"describe {sql}")
                self.connection.execute(sql).fetchall()
            except duckdb.Error:
                continue
            return sql

    def _top(self) -> str:
        for _ in range(self.rng.choice((0, 0, 1, 1, 2, 3))):
            self._cte()
        return self._body(2)

    def _with_ctes(self, sql: str) -> str:
        if not self.ctes:
            return sql
        recursive = "recursive " if any("recursion" in name for name, _ in self.ctes) else ""
        return f"with {recursive}{', '.join(f'{name} as ({body})' for name, body in self.ctes)} {sql}"

    def _cte(self) -> None:
        if self.rng.random() < 0.12:
            start, step = self.rng.choice(("amount", "person", "id")), self.rng.choice(("amount", "person", "r.v"))
            union = self.rng.choice(("union all", "union"))
            name = self._name("recursion")
            self.ctes.append(
                (
                    f"{name}(n, v)",
                    f"select id, {start} from orders where id < {self.rng.randint(1, 9)} {union} select r.n + 1, "
                    f"coalesce({step}, 0) from {name} r join orders o on o.id = r.n + 1 where r.n < 12",
                )
            )
            return
        body = self._body(1)
        columns = self._describe(body)
        if columns is None:
            return
        # A name of a table now and then: it hides the table from here on, but not inside itself.
        name = self.rng.choice(list(TABLES)) if self.rng.random() < 0.15 else self._name("cte")
        if name in [known.partition("(")[0] for known, _ in self.ctes]:
            return
        if self.rng.random() < 0.25:
            name += f"({', '.join(self._name('k') for _ in columns)})"
        self.ctes.append((name, body))

    def _describe(self, sql: str) -> tuple[tuple[str, str], ...] | None:
        try:
            rows = self.connection.execute(f"describe {self._with_ctes(f'select * from ({sql})')}").fetchall()
        except duckdb.Error:
            return None
        return tuple((_quoted(name), _kind(type_)) for name, type_, *_ in rows)

    def _name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    # Queries

    def _body(self, depth: int) -> str:
        chance = self.rng.random()
        if depth > 0 and chance < 0.15:
            return self._set_operation(depth)
        if chance < 0.2:
            return self._limited(depth)
        return self._select(depth)

    def _limited(self, depth: int) -> str:
        inner = self._select(depth)
        columns = self._describe(inner)
        if columns is None:
            return inner
        order = list(range(1, len(columns) + 1))
        self.rng.shuffle(order)
        keys = [str(at) for at in order]
        if self.rng.random() < 0.3:
            return f"select * from ({inner}) order by all limit {self.rng.randint(1, 5)}"
        if self.rng.random() < 0.3:
            keys[0] += " desc nulls last"
        offset = f" offset {self.rng.randint(1, 3)}" if self.rng.random() < 0.3 else ""
        return f"select * from ({inner}) order by {', '.join(keys)} limit {self.rng.randint(1, 5)}{offset}"

    def _set_operation(self, depth: int) -> str:
        kinds = [self.rng.choice(("i", "s")) for _ in range(self.rng.randint(1, 3))]
        names = [self._name("u") for _ in kinds]
        sides = [self._select(depth - 1, wanted=list(zip(kinds, names, strict=True)))]
        operation = self.rng.choice(("union all", "union all", "union", "except", "intersect", "union all by name"))
        by_name = operation.endswith("by name")
        for _ in range(self.rng.randint(1, 2)):
            pairs = list(zip(kinds, names if by_name else [self._name("v") for _ in kinds], strict=True))
            if by_name:
                self.rng.shuffle(pairs)
                if len(pairs) > 1 and self.rng.random() < 0.3:
                    pairs = pairs[1:]
            sides.append(self._select(depth - 1, wanted=pairs))
        return f" {operation} ".join(f"({side})" for side in sides)

    def _select(self, depth: int, *, wanted: Sequence[tuple[str, str]] = (), outer: Scope | None = None) -> str:
        scope = Scope(outer=outer)
        from_ = self._from(scope, depth)
        clauses = [f"from {from_}"]
        if self.rng.random() < 0.5:
            clauses.append(f"where {self._condition(scope, depth)}")
        chance = self.rng.random()
        if chance < 0.35:
            return self._grouped(scope, clauses, depth, wanted)
        if chance < 0.55 and not wanted:
            return self._starred(scope, clauses, depth)
        if not wanted:
            wanted = [(self.rng.choice("iiss"), self._name("c")) for _ in range(self.rng.randint(1, 4))]
        items, given = [], []
        for kind, name in wanted:
            if given and kind == "i" and self.rng.random() < 0.15:
                items.append(f"coalesce({self.rng.choice(given)}, 0) + 1 as {name}")  # a lateral alias
            elif self.rng.random() < 0.2:
                items.append(f"{self._window(scope, kind)} as {name}")
            else:
                items.append(f"{self._expression(scope, kind, depth)} as {name}")
            if kind == "i":
                given.append(name)
        if self.rng.random() < 0.07:
            items.append(f"unnest({self._column(scope, 'l') or '[1, 2]'}) as {self._name('e')}")
        elif self.rng.random() < 0.15:
            clauses.append(
                f"qualify {self._window(scope, 'i')} {self.rng.choice(('<', '>', '='))} {self.rng.randint(1, 4)}"
            )
        distinct = "distinct " if self.rng.random() < 0.15 else ""
        return f"select {distinct}{', '.join(items)} {' '.join(clauses)}"

    def _starred(self, scope: Scope, clauses: list[str], depth: int) -> str:
        rng = self.rng
        rel = rng.choice(scope.rels)
        own = [name for name, _ in rel.columns]
        once = [name for name in own if sum(name == n for r in scope.rels for n, _ in r.columns) == 1]
        star = rng.choice(("*", f"{rel.alias}.*"))
        chance = rng.random()
        if once and chance < 0.15:
            star += f" exclude ({rng.choice(once)})"
        elif once and chance < 0.3:
            star += f" replace ({self._expression(scope, 'i', depth)} as {rng.choice(once)})"
        elif once and chance < 0.4:
            star += f" rename ({rng.choice(once)} as {self._name('n')})"
        elif chance < 0.5:
            star = f"columns('{rng.choice(('a', 'i', 'c', 'e', '.'))}')"
        elif chance < 0.55:
            star = f"max(columns({rel.alias}.*))"
            return f"select {star} {' '.join(clauses)}"
        elif chance < 0.65:
            star += f", {self._expression(scope, 'i', depth)} as {self._name('c')}"
        elif chance < 0.72:
            star = f"{rel.alias} as {self._name('w')}"  # a whole row
        return f"select {'distinct ' if rng.random() < 0.1 else ''}{star} {' '.join(clauses)}"

    def _grouped(self, scope: Scope, clauses: list[str], depth: int, wanted: Sequence[tuple[str, str]]) -> str:
        rng = self.rng
        wanted = wanted or [(rng.choice("iiss"), self._name("g")) for _ in range(rng.randint(1, 4))]
        keys, items = [], []
        for at, (kind, name) in enumerate(wanted):
            if rng.random() < 0.45:
                expression = self._expression(scope, kind, 0)
                keys.append(rng.choice((expression, str(at + 1), name)))
                items.append(f"{expression} as {name}")
            else:
                items.append(f"{self._aggregate(scope, kind, depth)} as {name}")
        if keys and rng.random() < 0.25:
            clauses.append("group by all")
        elif keys:
            grouped = ", ".join(dict.fromkeys(keys))
            clauses.append(f"group by {rng.choice(('{}', '{}', '{}', 'rollup ({})', 'cube ({})')).format(grouped)}")
        if rng.random() < 0.25:
            clauses.append(f"having {self._aggregate(scope, 'i', 0)} > {rng.randint(0, 5)}")
        return f"select {', '.join(items)} {' '.join(clauses)}"

    # FROM

    def _from(self, scope: Scope, depth: int) -> str:
        text = self._source(scope, depth)
        for _ in range(self.rng.choice((0, 0, 1, 1, 2))):
            left = list(scope.rels)
            if self.rng.random() < 0.12 and depth > 0:
                text += self._lateral(scope)
                continue
            source = self._source(scope, depth)
            right = scope.rels[-1]
            shared = [
                (name, kind)
                for name, kind in right.columns
                if sum(name == n for rel in left for n, _ in rel.columns) == 1 and kind in "is"
            ]
            if shared and name_in_merged(scope, right):
                shared = []
            chance = self.rng.random()
            if shared and chance < 0.35:
                name, kind = self.rng.choice(shared)
                scope.merged[name] = kind
                side = self.rng.choice(("", "left ", "right ", "full "))
                text += f" {side}join {source} using ({name})"
            elif shared and chance < 0.42 and len(shared) < 3 and not scope.merged:
                scope.merged.update(shared)
                text += f" natural join {source}"
            elif chance < 0.5:
                text += f"{self.rng.choice((', ', ' cross join '))}{source}"
            elif chance < 0.6:
                text += (
                    f" {self.rng.choice(('semi', 'anti'))} join {source} on {self._join_condition(scope, left, right)}"
                )
                scope.rels.pop()
            else:
                side = self.rng.choice(("", "left ", "right ", "full "))
                text += f" {side}join {source} on {self._join_condition(scope, left, right)}"
        return text

    def _join_condition(self, scope: Scope, left: list[Rel], right: Rel) -> str:
        kind = self.rng.choice("is")
        ours, theirs = Scope(left).columns(kind), Scope([right]).columns(kind)
        ours, theirs = [c for c in ours if "." in c], [c for c in theirs if "." in c]
        if not ours or not theirs:
            return self._condition(scope, 0)
        more = f" and {self._condition(Scope([*left, right]), 0, qualified=True)}" if self.rng.random() < 0.2 else ""
        return f"{self.rng.choice(ours)} {self.rng.choice(('=', '=', '=', '<'))} {self.rng.choice(theirs)}{more}"

    def _source(self, scope: Scope, depth: int) -> str:
        rng = self.rng
        alias = self._name("t")
        chance = rng.random()
        if depth > 0 and chance < 0.22:
            inner = self._body(depth - 1)
            columns = self._describe(inner)
            if columns:
                scope.rels.append(Rel(alias, columns))
                return f"({inner}) as {alias}"
        if chance < 0.27:
            names = (self._name("x"), self._name("y"))
            scope.rels.append(Rel(alias, ((names[0], "i"), (names[1], "s"))))
            return f"(values (1, 'ann'), (2, 'bob'), (3, null)) as {alias}({', '.join(names)})"
        hidden = [(name.partition("(")[0], name) for name, _ in self.ctes]
        choices = [*TABLES, *(name for name, _ in hidden), *(name for name, _ in hidden)]
        name = rng.choice(choices)
        if name in TABLES and name not in [known for known, _ in hidden]:
            columns = tuple((column, _kind(kind)) for column, kind in TABLES[name].items())
            scope.rels.append(Rel(alias, columns, base=True))
        else:
            columns = self._describe(f"select * from {name}") or (("id", "o"),)
            scope.rels.append(Rel(alias, columns))
        return f"{name} as {alias}" if rng.random() < 0.8 else f"{name} {alias}"

    def _lateral(self, scope: Scope) -> str:
        rng = self.rng
        alias = self._name("lat")
        lists = [c for c in scope.columns("l") if "." in c]
        if lists and rng.random() < 0.6:
            element = self._name("el")
            text = f", unnest({rng.choice(lists)}) as {alias}({element})"
            scope.rels.append(Rel(alias, ((element, "i"),)))
            return text
        name = self._name("m")
        outer = Scope(list(scope.rels))
        correlated = [c for c in outer.columns("i") if "." in c]
        table, column, key = rng.choice((("orders", "amount", "person"), ("items", "price", "order_id")))
        condition = f"q.{key} = {rng.choice(correlated)}" if correlated else "true"
        scope.rels.append(Rel(alias, ((name, "i"),)))
        word = rng.choice(("", "lateral "))
        return f", {word}(select {rng.choice(('max', 'min', 'count'))}(q.{column}) as {name} from {table} q where {condition}) as {alias}"

    # Expressions

    def _column(self, scope: Scope, kind: str, *, qualified: bool = False) -> str | None:
        found = [c for c in scope.columns(kind) if "." in c or not qualified]
        if scope.outer is not None and self.rng.random() < 0.3:
            found = [c for c in scope.outer.columns(kind) if "." in c] or found
        return self.rng.choice(found) if found else None

    def _expression(self, scope: Scope, kind: str, depth: int, *, level: int = 0, qualified: bool = False) -> str:
        rng = self.rng
        column = self._column(scope, kind, qualified=qualified)
        if column is not None and (level > 1 or rng.random() < 0.5):
            return column
        if level > 2:
            return self._literal(kind)

        def again(k: str) -> str:
            return self._expression(scope, k, depth, level=level + 1, qualified=qualified)

        makers: dict[str, list[Callable[[], str]]] = {
            "i": [
                lambda: f"{again('i')} + {again('i')}",
                lambda: f"({again('i')} * {again('i')}) % 97",
                lambda: f"coalesce({again('i')}, {again('i')})",
                lambda: f"length({again('s')})",
                lambda: (
                    f"case when {self._condition(scope, 0, level=level + 1, qualified=qualified)} then {again('i')} else {again('i')} end"
                ),
                lambda: f"nullif({again('i')}, {again('i')})",
                lambda: f"greatest({again('i')}, {again('i')})",
                lambda: f"try_cast({again('s')} as integer)",
                lambda: f"cast({again('i')} as integer)",
                lambda: self._row_field(scope, "weight") or again("i"),
                lambda: self._list_value(scope) or again("i"),
                lambda: self._scalar(scope, depth) if depth > 0 else again("i"),
                lambda: f"({self._condition(scope, 0, level=level + 1, qualified=qualified)})::integer",
            ],
            "s": [
                lambda: f"upper({again('s')})",
                lambda: f"{again('s')} || {again('s')}",
                lambda: f"concat({again('s')}, {again('i')})",
                lambda: f"cast({again('i')} as varchar)",
                lambda: f"case {again('i')} when {again('i')} then {again('s')} else {again('s')} end",
                lambda: (
                    f"if({self._condition(scope, 0, level=level + 1, qualified=qualified)}, {again('s')}, {again('s')})"
                ),
                lambda: f"coalesce({again('s')}, 'none')",
                lambda: f"substring({again('s')}, 1, 2)",
                lambda: self._row_field(scope, "kind") or again("s"),
            ],
        }
        return rng.choice(makers[kind])()

    def _row_field(self, scope: Scope, name: str) -> str | None:
        row = self._column(scope, "r")
        return None if row is None else self.rng.choice((f"{row}.{name}", f"{row}['{name}']", f"({row}).{name}"))

    def _list_value(self, scope: Scope) -> str | None:
        column = self._column(scope, "l")
        if column is None:
            return None
        return self.rng.choice(
            (
                f"len({column})",
                f"{column}[1]",
                f"list_sum(list_transform({column}, x -> x + 1))::integer",
                f"list_sum([y * 2 for y in {column} if y > 2])::integer",
            )
        )

    def _literal(self, kind: str) -> str:
        return str(self.rng.randint(0, 9)) if kind == "i" else f"'{self.rng.choice(_WORDS)}'"

    def _scalar(self, scope: Scope, depth: int) -> str:
        inner = Scope(outer=Scope(list(scope.rels)))
        from_ = self._source(inner, 0)
        where = f" where {self._condition(inner, 0)}" if self.rng.random() < 0.7 else ""
        return f"(select {self._aggregate(inner, 'i', 0)} from {from_}{where})"

    def _condition(self, scope: Scope, depth: int, *, level: int = 0, qualified: bool = False) -> str:
        rng = self.rng

        def again(kind: str) -> str:
            return self._expression(scope, kind, 0, level=level + 1, qualified=qualified)

        chance = rng.random()
        if level < 2 and chance < 0.15:
            parts = [self._condition(scope, depth, level=level + 1, qualified=qualified) for _ in range(2)]
            joined = rng.choice((" and ", " or ")).join(parts)
            return f"({joined})" if rng.random() < 0.8 else f"not ({parts[0]})"
        if depth > 0 and chance < 0.35:
            return self._subquery_condition(scope)
        kind = rng.choice("iiis")
        if chance < 0.45:
            return f"{again(kind)} is {rng.choice(('', 'not '))}null"
        if chance < 0.55:
            return f"{again(kind)} in ({self._literal(kind)}, {self._literal(kind)}, {self._literal(kind)})"
        if chance < 0.62:
            return f"{again('i')} between {rng.randint(0, 3)} and {rng.randint(4, 9)}"
        if chance < 0.7:
            return f"{again('s')} like '%{rng.choice('aeibd')}%'"
        return f"{again(kind)} {rng.choice(('<', '>', '=', '<>', '>='))} {again(kind)}"

    def _subquery_condition(self, scope: Scope) -> str:
        rng = self.rng
        inner = Scope(outer=Scope(list(scope.rels)))
        from_ = self._source(inner, 0)
        where = f" where {self._condition(inner, 0)}"
        if rng.random() < 0.5:
            return f"{rng.choice(('', 'not '))}exists (select 1 from {from_}{where})"
        kind = rng.choice("is")
        value = self._expression(scope, kind, 0, level=1)
        if rng.random() < 0.2:
            return f"{value} {rng.choice(('<', '='))} any (select {self._expression(inner, kind, 0, level=1)} from {from_}{where})"
        return f"{value} {rng.choice(('', 'not '))}in (select {self._expression(inner, kind, 0, level=1)} from {from_}{where})"

    def _aggregate(self, scope: Scope, kind: str, depth: int) -> str:
        rng = self.rng
        value = self._expression(scope, kind, 0)
        filter_ = f" filter (where {self._condition(scope, 0)})" if rng.random() < 0.15 else ""
        if kind == "s":
            other = self._expression(scope, "i", 0)
            return rng.choice(
                (
                    f"max({value}){filter_}",
                    f"min({value}){filter_}",
                    f"string_agg({value}, '-' order by {value}){filter_}",
                    f"string_agg({value}, '-' order by {other}, {value}){filter_}",
                )
            )
        return rng.choice(
            (
                f"sum({value})::integer",
                f"sum({value}){filter_}::integer",
                f"max({value}){filter_}",
                "count(*)",
                f"count({value}){filter_}",
                f"count(distinct {value})",
                f"cast(avg({value}) as integer)",
                f"max(case when {self._condition(scope, 0)} then {value} end)",
            )
        )

    def _window(self, scope: Scope, kind: str) -> str:
        rng = self.rng
        partition = (
            f"partition by {self._expression(scope, rng.choice('is'), 0, level=1)}" if rng.random() < 0.6 else ""
        )
        order = f" order by {self._expression(scope, rng.choice('is'), 0, level=1)}{rng.choice(('', ' desc'))}"
        over = f"({partition}{order})" if rng.random() < 0.7 else f"({partition})"
        if kind == "s":
            return f"{rng.choice(('max', 'min'))}({self._expression(scope, 's', 0, level=1)}) over {over}"
        value = self._expression(scope, "i", 0, level=1)
        unique = [f"{rel.alias}.id" for rel in scope.rels if rel.base and any(n == "id" for n, _ in rel.columns)]
        if len(scope.rels) == 1 and unique and rng.random() < 0.5:
            function = rng.choice(("row_number()", f"lag({value})", f"first_value({value})", f"lead({value}, 2)"))
            return f"{function} over ({partition}{order}, {unique[0]})"
        return rng.choice(
            (
                f"sum({value}) over {over}::integer",
                f"max({value}) over {over}",
                f"count(*) over {over}",
                f"rank() over ({partition}{order})",
                f"dense_rank() over ({partition}{order})",
            )
        )


def name_in_merged(scope: Scope, rel: Rel) -> bool:
    """True where another USING would meet a column that is merged already."""
    return any(name in scope.merged for name, _ in rel.columns)


def _quoted(name: str) -> str:
    return name if name.isidentifier() and name.islower() else '"' + name.replace('"', '""') + '"'
