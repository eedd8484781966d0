"""Random small projects of models that read each other, and random edits of one model; DuckDB's SQL.

Everything follows from the seed. Where the order of rows matters it is total, so that a query gives the same twice.
"""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Columns = list[tuple[str, str]]
"""[(name, type)], the types being `int`, `text`, `list` and `row`."""

BASE: dict[str, Columns] = {
    "t": [("id", "int"), ("a", "int"), ("b", "int"), ("c", "text"), ("l", "list")],
    "u": [("id", "int"), ("a", "int"), ("e", "int"), ("f", "text")],
    "v": [("k", "int"), ("g", "int"), ("h", "text")],
}
_TYPES = {"int": "integer", "text": "varchar", "list": "integer[]"}


def base_tables(rng: random.Random) -> Iterator[str]:
    """SQL that makes and fills the base tables: few values, so that rows repeat and joins match; nulls among them."""
    for name, columns in BASE.items():
        yield f"create or replace table {name} ({', '.join(f'{column} {_TYPES[kind]}' for column, kind in columns)})"
        rows = [f"({', '.join(_value(rng, kind) for _, kind in columns)})" for _ in range(rng.randint(6, 12))]
        yield f"insert into {name} values {', '.join(rows)}"


def _value(rng: random.Random, kind: str) -> str:
    if rng.random() < 0.12:
        return "null"
    if kind == "int":
        return str(rng.randint(-1, 4))
    if kind == "text":
        return f"'{rng.choice(['x', 'y', 'X', 'zz', ''])}'"
    return f"[{', '.join(str(rng.randint(0, 3)) for _ in range(rng.randint(0, 3)))}]"


@dataclass
class Source:
    """Something in FROM."""

    alias: str
    relation: str | Query
    columns: Columns
    join: str = ""
    on: str = ""

    def sql(self) -> str:
        name = self.relation if isinstance(self.relation, str) else f"({self.relation.sql()})"
        return f"{self.join} {name} as {self.alias} {self.on}".strip()


@dataclass
class Column:
    """An item of a SELECT list; a star has columns of its own and no name."""

    sql: str
    name: str
    kind: str
    aggregate: bool = False
    star: Columns | None = None

    def text(self) -> str:
        return self.sql if self.star is not None else f"{self.sql} as {self.name}"


@dataclass
class Select:
    sources: list[Source]
    columns: list[Column]
    where: list[str] = field(default_factory=list)
    group: str = ""
    having: str = ""
    windows: str = ""
    qualify: str = ""
    distinct: str = ""
    order: str = ""
    limit: str = ""

    def sql(self) -> str:
        parts = [f"select {self.distinct}", ", ".join(column.text() for column in self.columns), "from"]
        parts += [source.sql() for source in self.sources]
        parts += [f"where {' and '.join(self.where)}"] if self.where else []
        clauses = (("group by", self.group), ("having", self.having), ("window", self.windows))
        parts += [f"{word} {text}" for word, text in clauses if text]
        clauses = (("qualify", self.qualify), ("order by", self.order), ("limit", self.limit))
        parts += [f"{word} {text}" for word, text in clauses if text]
        return " ".join(part for part in parts if part)

    def output(self) -> Columns:
        found: Columns = []
        for column in self.columns:
            found += column.star if column.star is not None else [(column.name, column.kind)]
        return found


@dataclass
class SetOf:
    """A set operation; its sides are by themselves."""

    operator: str
    left: Select
    right: Select
    order: str = ""
    limit: str = ""

    def sql(self) -> str:
        end = f" order by {self.order}" * bool(self.order) + f" limit {self.limit}" * bool(self.limit)
        return f"{self.left.sql()} {self.operator} {self.right.sql()}{end}"

    def output(self) -> Columns:
        return self.left.output()


Query = Select | SetOf


@dataclass
class Model:
    name: str
    ctes: list[tuple[str, Query]]
    body: Query

    def sql(self) -> str:
        listed = ", ".join(f"{name} as ({query.sql()})" for name, query in self.ctes)
        return (f"with {listed} " if listed else "") + self.body.sql()

    def selects(self) -> list[Select]:
        """Every SELECT in it, the last one of the body first."""
        found: list[Select] = []
        waiting = [self.body, *(query for _, query in self.ctes)]
        while waiting:
            query = waiting.pop(0)
            if isinstance(query, SetOf):
                waiting += [query.left, query.right]
                continue
            found.append(query)
            waiting += [source.relation for source in query.sources if not isinstance(source.relation, str)]
        return found


class Maker:
    """Makes projects and edits."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.number = 0

    def project(self) -> list[Model]:
        known = dict(BASE)
        models: list[Model] = []
        for at in range(self.rng.randint(2, 4)):
            model = self.model(f"m{at}", known, prefer=models[-1].name if models else "")
            models.append(model)
            known[model.name] = model.body.output()
        return models

    def model(self, name: str, known: dict[str, Columns], *, prefer: str) -> Model:
        known = dict(known)
        ctes: list[tuple[str, Query]] = []
        for at in range(self.rng.choice([0, 0, 1, 1, 2])):
            query = self.query(known, prefer=prefer)
            ctes.append((f"c{at}", query))
            known[f"c{at}"] = query.output()
            prefer = f"c{at}" if self.rng.random() < 0.7 else prefer
        if ctes and isinstance(ctes[0][1], Select) and self.rng.random() < 0.3:
            twin = copy.deepcopy(ctes[0][1])
            twin.where = [self.condition(twin.sources)]
            ctes.append(("twin", twin))
            known["twin"] = twin.output()
            return Model(name, ctes, self.select({"c0": known["c0"], "twin": known["twin"]}, prefer="c0"))
        return Model(name, ctes, self.query(known, prefer=prefer))

    # Queries

    def query(self, known: dict[str, Columns], *, prefer: str) -> Query:
        if self.rng.random() < 0.18:
            return self.set_of(known, prefer=prefer)
        return self.select(known, prefer=prefer)

    def set_of(self, known: dict[str, Columns], *, prefer: str) -> SetOf:
        rng = self.rng
        operator = rng.choice(["union all", "union all", "union", "except", "intersect", "union all by name"])
        names = [name for name in known if known[name] and all(kind != "row" for _, kind in known[name])]
        left = rng.choice([prefer] if prefer in names and rng.random() < 0.6 else names)
        same = [name for name in names if [kind for _, kind in known[name]] == [kind for _, kind in known[left]]]
        if rng.random() < 0.5:
            right = rng.choice(same)
            sides = [
                Select([Source(self.alias(), name, known[name])], [Column("*", "", "", star=known[name])])
                for name in (left, right)
            ]
        else:
            first = self.select({left: known[left]}, prefer=left, plain=True)
            second = copy.deepcopy(first)
            second.where = [self.condition(second.sources)]
            if operator.endswith("name") and len(second.columns) > 1:
                second.columns.reverse()
            sides = [first, second]
        return SetOf(operator, sides[0], sides[1])

    def select(self, known: dict[str, Columns], *, prefer: str, plain: bool = False) -> Select:
        rng = self.rng
        sources = self.sources(known, prefer=prefer, most=1 if plain else 3)
        kind = "plain" if plain else rng.choice(["plain", "plain", "star", "group", "group", "window", "unnest", "row"])
        made = Select(sources, [])
        if kind == "group":
            self.group(made)
        else:
            self.list(made, kind)
        if rng.random() < 0.4:
            made.where.append(self.condition(sources))
            numbers = [column.sql for column in made.columns if re.fullmatch(r"r\d+\.\w+", column.sql)]
            if numbers and rng.random() < 0.6:
                made.where = [f"{rng.choice(numbers)} is not null and {rng.choice(numbers)}::varchar > '0'"]
        if plain:
            return made
        if kind != "group" and rng.random() < 0.15:
            made.distinct = "distinct"
            if kind != "star" and rng.random() < 0.4:
                every = ", ".join(str(at + 1) for at in range(len(made.columns)))
                made.distinct, made.order = f"distinct on ({made.columns[0].sql})", f"{made.columns[0].sql}, {every}"
        if not made.order and rng.random() < 0.15:
            made.order = ", ".join(str(at + 1) for at in range(len(made.output())))
            made.limit = rng.choice(["3", "5", "2 offset 1", ""])
        return made

    def sources(self, known: dict[str, Columns], *, prefer: str, most: int) -> list[Source]:
        rng = self.rng
        names = list(known)
        first = prefer if prefer and rng.random() < 0.8 else rng.choice(names)
        found = [Source(self.alias(), first, known[first])]
        for _ in range(rng.choice([0, 0, 0, 1, 1, 2]) if most > 1 else 0):
            name = first if rng.random() < 0.3 else rng.choice(names)
            source = Source(self.alias(), name, known[name])
            if rng.random() < 0.15:
                inner = self.select({name: known[name]}, prefer=name, plain=True)
                source = Source(self.alias(), inner, inner.output())
            self.join(source, found)
            found.append(source)
        return found

    def join(self, source: Source, left: list[Source]) -> None:
        rng = self.rng
        shared = [
            name for name, _ in source.columns if sum(name == other for item in left for other, _ in item.columns) == 1
        ]
        side = rng.choice(["join", "join", "left join", "left join", "right join", "full join"])
        way = rng.random()
        if shared and way < 0.2:
            source.join, source.on = side, f"using ({rng.choice(shared)})"
        elif shared and way < 0.3:
            source.join = f"natural {side}"
        elif way < 0.35:
            source.join = ","
        elif way < 0.45:
            source.join, source.on = rng.choice(["semi join", "anti join"]), f"on {self.equal(source, left)}"
        else:
            source.join, source.on = side, f"on {self.equal(source, left)}"

    def equal(self, source: Source, left: list[Source]) -> str:
        own = [f"{source.alias}.{name}" for name, kind in source.columns if kind == "int"]
        other = [f"{item.alias}.{name}" for item in left for name, kind in item.columns if kind == "int"]
        return f"{self.rng.choice(own or ['1'])} = {self.rng.choice(other or ['1'])}"

    def list(self, made: Select, kind: str) -> None:
        rng = self.rng
        if kind == "star":
            if len(made.sources) == 1 or rng.random() < 0.4:
                every = [column for source in made.sources for column in source.columns]
                made.columns.append(Column("*", "", "", star=list(dict(every).items())))
            else:
                source = rng.choice(made.sources)
                made.columns.append(Column(f"{source.alias}.*", "", "", star=source.columns))
            if rng.random() < 0.5:
                made.columns.insert(rng.randint(0, 1), self.column(made.sources))
            return
        for _ in range(rng.randint(1, 4)):
            made.columns.append(self.column(made.sources, shadow=rng.random() < 0.2))
        if kind == "window":
            for _ in range(rng.randint(1, 2)):
                made.columns.append(self.window(made))
            if rng.random() < 0.3:
                made.qualify = f"{self.window(made).sql} > {rng.randint(0, 2)}"
        if kind == "row":
            source = rng.choice(made.sources)
            sql = rng.choice([f"hash({source.alias})", f"to_json({source.alias})::varchar"])
            made.columns.append(Column(sql, self.name(), "text" if "json" in sql else "int"))
        lists = self.of_kind(made.sources, "list")
        if kind == "unnest" and lists:
            made.columns.append(Column(f"unnest({rng.choice(lists)})", self.name(), "int"))
        if rng.random() < 0.15 and made.columns[0].kind == "int":
            # The name of an earlier column of the list, which is no column of FROM.
            made.columns.append(Column(f"{made.columns[0].name} * 10", self.name(), "int"))

    def group(self, made: Select) -> None:
        rng = self.rng
        keys = [self.column(made.sources, shadow=rng.random() < 0.3) for _ in range(rng.randint(0, 2))]
        made.columns = [*keys, *(self.aggregate(made.sources) for _ in range(rng.randint(1, 3)))]
        if rng.random() < 0.3:
            rng.shuffle(made.columns)
        if not keys:
            return
        ordinals = ", ".join(str(at + 1) for at, column in enumerate(made.columns) if not column.aggregate)
        expressions = ", ".join(column.sql for column in keys)
        made.group = rng.choice(["all", ordinals, ordinals, expressions, expressions, f"rollup ({expressions})"])
        if rng.random() < 0.3:
            made.having = f"{self.aggregate(made.sources).sql} > {rng.randint(0, 2)}"

    # Values

    def alias(self) -> str:
        self.number += 1
        return f"r{self.number}"

    def name(self) -> str:
        self.number += 1
        return f"x{self.number}"

    def of_kind(self, sources: list[Source], kind: str) -> list[str]:
        visible = [source for source in sources if not source.join.startswith(("semi", "anti"))]
        return [f"{source.alias}.{name}" for source in visible for name, its in source.columns if its == kind]

    def column(self, sources: list[Source], *, shadow: bool = False) -> Column:
        sql, kind = self.value(sources)
        name = self.name()
        if re.fullmatch(r"r\d+\.\w+", sql) and self.rng.random() < 0.6:
            name = sql.partition(".")[2]
        elif shadow:
            name = self.rng.choice(["a", "b", "id", "c"])
        return Column(sql, name, kind)

    def value(self, sources: list[Source]) -> tuple[str, str]:
        rng = self.rng
        kinds = [kind for kind in ("int", "text", "list") if self.of_kind(sources, kind)]
        kind = rng.choices(kinds, [{"int": 5, "text": 2, "list": 1}[item] for item in kinds])[0] if kinds else "int"
        if not kinds:
            return str(rng.randint(0, 3)), "int"
        one, other = (rng.choice(self.of_kind(sources, kind)) for _ in range(2))
        if kind == "list":
            return rng.choice([(one, "list"), (f"len({one})", "int")])
        if kind == "text":
            forms = [
                one,
                one,
                f"upper({one})",
                f"{one} || {other}",
                f"coalesce({one}, 'n')",
                f"replace({one}, 'x', 'q')",
            ]
            return rng.choice(forms), "text"
        forms = [
            *(one, one, one, f"{one} + {other}", f"{one} * {rng.randint(2, 3)}", f"coalesce({one}, {other}, 0)"),
            *(
                f"case when {one} > {rng.randint(0, 2)} then {other} else 7 end",
                f"abs({one})",
                f"nullif({one}, {other})",
            ),
            *(f"({one})::varchar::integer", f"(select max(v.g) from v where v.k = {one})"),
            *(f"(select count(*) from u where u.a >= {one} and u.e < {other})", f"greatest({one}, {other})"),
            f"list_sum(list_transform([{one}, 1], x -> x + {rng.randint(1, 2)}))::integer",
        ]
        return rng.choice(forms), "int"

    def aggregate(self, sources: list[Source]) -> Column:
        rng = self.rng
        numbers = self.of_kind(sources, "int")
        one = rng.choice(numbers) if numbers else "1"
        form = rng.choice(
            [
                *(f"sum({one})::integer", f"min({one})", f"max({one})", f"count({one})::integer", "count(*)::integer"),
                *(
                    f"count(distinct {one})::integer",
                    f"sum({one}) filter (where {one} > 0)::integer",
                    f"bit_xor({one})",
                ),
                f"list(distinct {one} order by {one})[1]",
            ]
        )
        if "filter" in form:
            form = form.replace("::integer", "")
        return Column(form, self.name(), "int", aggregate=True)

    def window(self, made: Select) -> Column:
        rng = self.rng
        values = [item for kind in ("int", "text", "list") for item in self.of_kind(made.sources, kind)]
        numbers = self.of_kind(made.sources, "int")
        if not numbers:
            return Column("count(*) over ()", self.name(), "int")
        rng.shuffle(values)
        order, one, by = ", ".join(values), rng.choice(numbers), rng.choice(numbers)
        if not made.windows and rng.random() < 0.3:
            made.windows = f"w as (partition by {by} order by {order})"
        if made.windows and rng.random() < 0.6:
            return Column(f"{rng.choice(['row_number()', f'lag({one})', f'sum({one})'])} over w", self.name(), "int")
        forms = [
            f"row_number() over (order by {order})",
            f"row_number() over (partition by {by} order by {order})",
            f"lag({one}) over (partition by {by} order by {order})",
            f"sum({one}) over (partition by {by})",
            f"dense_rank() over (order by {one})",
            "count(*) over ()",
        ]
        return Column(rng.choice(forms), self.name(), "int")

    def condition(self, sources: list[Source]) -> str:
        rng = self.rng
        numbers = self.of_kind(sources, "int")
        if not numbers:
            return "1 = 1"
        one, other = rng.choice(numbers), rng.choice(numbers)
        return rng.choice(
            [
                *(
                    f"{one} > {rng.randint(-1, 2)}",
                    f"{one} <= {other}",
                    f"{one} is not null",
                    f"{one} <> {rng.randint(0, 3)}",
                ),
                *(f"exists (select 1 from v where v.k = {one})", f"{one} in (select u.e from u where u.id > 0)"),
            ]
        )

    # Edits

    def edit(self, model: Model) -> tuple[str, str]:
        """(what was done, the SQL after it)"""
        made = copy.deepcopy(model)
        edits = self.harmless() if self.rng.random() < 0.25 else self.edits()
        name, edit = self.rng.choice(edits)
        sql = edit(made)
        return name, made.sql() if sql is None else sql

    def some(self, model: Model) -> Select:
        found = model.selects()
        return found[0] if self.rng.random() < 0.5 else self.rng.choice(found)

    def edits(self) -> list[tuple[str, Callable[[Model], str | None]]]:
        return [
            *[("add a column", self.add_column)] * 4,
            *[("change a column", self.change_column)] * 4,
            *[("drop a column", self.drop_column)] * 2,
            ("rename a column", self.rename_column),
            ("swap two columns", self.swap_columns),
            ("swap two expressions", self.swap_expressions),
            ("change a filter", self.change_filter),
            ("change a join", self.change_join),
            ("change the grouping", self.change_group),
            ("distinct", self.change_distinct),
            ("change the order or limit", self.change_order),
            ("change the set operation", self.change_set),
            ("read another relation", self.change_relation),
            ("swap two aliases", self.swap_aliases),
            ("wrap and add", self.wrap_and_add),
            ("change a window", self.change_window),
            *[("the other side", self.other_side)] * 4,
            *[("filter later", self.filter_later)] * 3,
            ("aggregate later", self.aggregate_later),
        ]

    def harmless(self) -> list[tuple[str, Callable[[Model], str | None]]]:
        """Those that change nothing about rows."""
        return [
            ("reformat", self.reformat),
            ("wrap in a CTE", lambda model: f"with w as ({model.sql()}) select * from w"),
            ("rename an alias", self.rename_alias),
            ("rename a CTE", self.rename_cte),
            ("inline a CTE", self.inline_cte),
            ("order the rows", self.order_rows),
        ]

    def add_column(self, model: Model) -> None:
        select = self.some(model)
        if any(column.aggregate for column in select.columns) or select.group:
            column = self.aggregate(select.sources) if self.rng.random() < 0.7 else self.column(select.sources)
        elif self.rng.random() < 0.2:
            column = self.window(select)
        elif self.rng.random() < 0.15:
            column = Column(f"unnest([1, {self.rng.randint(1, 3)}])", self.name(), "int")
        elif self.rng.random() < 0.1:
            column = self.aggregate(select.sources)
        else:
            column = self.column(select.sources)
        select.columns.insert(self.rng.randint(0, len(select.columns)), column)

    def change_column(self, model: Model) -> None:
        select = self.some(model)
        named = [column for column in select.columns if column.star is None]
        if not named:
            return
        column = self.rng.choice(named)
        made = self.aggregate(select.sources) if column.aggregate else self.column(select.sources)
        if " over " in column.sql:
            made = self.window(select)
        column.sql = made.sql

    def drop_column(self, model: Model) -> None:
        select = self.some(model)
        if len(select.columns) > 1:
            select.columns.pop(self.rng.randrange(len(select.columns)))

    def rename_column(self, model: Model) -> None:
        named = [column for column in self.some(model).columns if column.star is None]
        if named:
            self.rng.choice(named).name = self.rng.choice([self.name(), "a", "id"])

    def swap_columns(self, model: Model) -> None:
        columns = self.some(model).columns
        if len(columns) > 1:
            one, other = self.rng.sample(range(len(columns)), 2)
            columns[one], columns[other] = columns[other], columns[one]

    def swap_expressions(self, model: Model) -> None:
        columns = [column for column in self.some(model).columns if column.star is None]
        if len(columns) > 1:
            one, other = self.rng.sample(columns, 2)
            one.sql, other.sql = other.sql, one.sql

    def change_filter(self, model: Model) -> None:
        select = self.some(model)
        if select.where and self.rng.random() < 0.5:
            select.where.pop()
        else:
            select.where.append(self.condition(select.sources))

    def change_join(self, model: Model) -> None:
        select = self.some(model)
        joined = [source for source in select.sources if source.join]
        if not joined:
            return
        source = self.rng.choice(joined)
        if self.rng.random() < 0.5 and source.on.startswith("on"):
            source.on = f"on {self.equal(source, select.sources[:1])}"
        elif source.join != ",":
            source.join = self.rng.choice(["join", "left join", "right join", "full join"])

    def change_group(self, model: Model) -> None:
        select = self.some(model)
        if select.group:
            select.group = self.rng.choice(["all", "1", "", self.value(select.sources)[0]])
        else:
            select.group = "all"

    def change_distinct(self, model: Model) -> None:
        select = self.some(model)
        select.distinct = "" if select.distinct else "distinct"

    def change_order(self, model: Model) -> None:
        select = self.some(model)
        every = [str(at + 1) for at in range(len(select.output()))]
        self.rng.shuffle(every)
        select.order = ", ".join(f"{item}{self.rng.choice(['', ' desc'])}" for item in every)
        if self.rng.random() < 0.5:
            select.limit = self.rng.choice(["", "1", "4"])

    def change_set(self, model: Model) -> None:
        for query in (model.body, *(query for _, query in model.ctes)):
            if isinstance(query, SetOf):
                if self.rng.random() < 0.5:
                    query.left, query.right = query.right, query.left
                else:
                    query.operator = self.rng.choice(["union all", "union", "except", "union by name"])

    def change_relation(self, model: Model) -> None:
        source = self.rng.choice(self.some(model).sources)
        source.relation = self.rng.choice(["t", "u", "v", *(name for name, _ in model.ctes)])

    def swap_aliases(self, model: Model) -> None:
        select = self.some(model)
        if len(select.sources) > 1:
            one, other = self.rng.sample(select.sources, 2)
            one.alias, other.alias = other.alias, one.alias

    def wrap_and_add(self, model: Model) -> str:
        sql, known = model.sql(), model.body.output()
        source = Source("w", "w", known)
        column = self.column([source])
        where = f" where {self.condition([source])}" if self.rng.random() < 0.3 else ""
        return f"with w as ({sql}) select *, {column.sql} as {self.name()} from w{where}"

    def change_window(self, model: Model) -> None:
        select = self.some(model)
        if select.windows:
            select.windows = re.sub(r"partition by \S+", "", select.windows)
        for column in select.columns:
            if " over (" in column.sql:
                column.sql = re.sub(r"partition by \S+?(?=[ )])", "", column.sql)

    def other_side(self, model: Model) -> str | None:
        """A column of another relation in FROM that has one of the same name; in a value, a filter or a join."""
        selects = [select for select in model.selects() if len(select.sources) > 1]
        if not selects:
            return None
        select = self.rng.choice(selects)
        one, other = self.rng.sample(select.sources, 2)
        shared = [name for name, _ in one.columns if name in {its for its, _ in other.columns}]
        sql = model.sql()
        places = [found for name in shared for found in re.finditer(rf"\b{one.alias}\.{name}\b", sql)]
        if not places:
            return None
        place = self.rng.choice(places)
        return sql[: place.start()] + place.group().replace(one.alias, other.alias) + sql[place.end() :]

    def filter_later(self, model: Model) -> str | None:
        """The filter of a query around it instead of in it: windows and aggregates then see other rows."""
        select = model.body
        if not isinstance(select, Select) or not select.where:
            return None
        names = {column.sql: column.name for column in select.columns if column.star is None}
        condition = select.where[-1]
        for found in set(re.findall(r"\br\d+\.\w+", condition)):
            if found not in names:
                return None
            condition = re.sub(rf"{re.escape(found)}\b", names[found], condition)
        select.where.pop()
        select.order, select.limit = (select.order, select.limit) if self.rng.random() < 0.5 else ("", "")
        inner = select.sql()
        select.sources, select.columns = [], []
        listed = ", ".join(f"{name} as ({query.sql()})" for name, query in model.ctes)
        return (f"with {listed} " if listed else "") + f"select * from ({inner}) as w where {condition}"

    def aggregate_later(self, model: Model) -> str | None:
        """A window or aggregate computed over the finished query instead of in it."""
        select = model.body
        if not isinstance(select, Select) or select.group:
            return None
        made = [column for column in select.columns if " over " in column.sql]
        kept = [column for column in select.columns if column.star is None and column not in made]
        sql = {column.sql: column.name for column in kept}
        for column in made:
            text = column.sql
            for found in set(re.findall(r"\br\d+\.\w+", text)):
                if found not in sql:
                    return None
                text = re.sub(rf"{re.escape(found)}\b", sql[found], text)
            column.sql = text
        if not made or not kept:
            return None
        outer = ", ".join([*(column.name for column in kept), *(column.text() for column in made)])
        select.columns = kept
        listed = ", ".join(f"{name} as ({query.sql()})" for name, query in model.ctes)
        return (f"with {listed} " if listed else "") + f"select {outer} from ({select.sql()}) as w"

    # Edits that change nothing

    def reformat(self, model: Model) -> str:
        words = ("select", "from", "where", "as", "group by", "order by", "left join", "and", "over", "with")
        sql = model.sql()
        for word in words:
            sql = re.sub(rf"\b{word}\b", word.upper(), sql)
        sql = sql.replace(", ", "\n  , ").replace(" FROM ", "\nFROM -- from here\n  ")
        return f"/* by hand */ {sql}"

    def rename_alias(self, model: Model) -> str:
        source = self.rng.choice(self.some(model).sources)
        return re.sub(rf"\b{source.alias}\b", f"q_{source.alias}", model.sql())

    def rename_cte(self, model: Model) -> str:
        return re.sub(r"\bc(\d)\b", r"step_\1", model.sql())

    def inline_cte(self, model: Model) -> None:
        if not model.ctes:
            return
        name, query = model.ctes[-1]
        for select in model.selects():
            for source in select.sources:
                if source.relation == name:
                    source.relation = copy.deepcopy(query)
        model.ctes.pop()

    def order_rows(self, model: Model) -> None:
        if (
            not model.body.limit
            and not model.body.order
            and not (isinstance(model.body, Select) and model.body.distinct)
        ):
            model.body.order = "1 desc"
