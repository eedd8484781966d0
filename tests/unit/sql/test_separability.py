"""A range at once gives the rows of its windows one by one, whenever that is proved: tried on data."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta

import duckdb
import pytest

from orchestrator.sql import EventTime, prove_separable
from tests.unit.sql.windowed_queries import TABLES, random_query

SEED = 11
QUERIES = 400
DAYS = [date(2013, 1, 30) + timedelta(days=number) for number in range(12)]
"""Over the end of a month and of weeks."""
INPUTS = {"sales": EventTime("day", naive=True), "visits": EventTime("seen", naive=True)}
SCHEMA = {name: tuple(columns) for name, columns in TABLES.items()}
EVENT = {"sales": "day", "visits": "seen"}


def proof(sql: str, *, grain: str = "day", output: str = "day", known: bool = True) -> str:
    """`proved`, or the reason why not."""
    schema = SCHEMA if known else None
    found = prove_separable(sql, dialect="duckdb", inputs=INPUTS, output=output, grain=grain, schema=schema)  # type: ignore[arg-type]
    return "proved" if found.proved else found.reason


@pytest.mark.parametrize(
    "sql",
    [
        "select * from sales",
        "select day, amount * 2 as twice from sales where amount > 1 order by amount",
        "with s as (select * from sales) select s.day, p.label from s left join products p on p.id = s.product",
        "select day, sum(amount) as total, count(distinct product) as n from sales group by all",
        "select seen::date as day, count(*) as n from visits group by 1",
        "select date_trunc('day', seen) as day, max(page) as m from visits "
        "group by date_trunc('day', seen) having count(*) > 1",
        "select day, row_number() over (partition by day, product order by id) as n from sales",
        "select day, id from sales qualify row_number() over w = 1 window w as (partition by day order by id)",
        "select distinct day, product from sales",
        "select s.day, v.page from sales s join visits v on v.seen::date = s.day and v.person = s.id",
        "select s.day, v.page from sales s join visits v on v.person = s.id where s.day = v.seen::date",
        "select day, amount from sales union all select seen::date, page from visits",
        "select day, product from sales union select seen::date, page from visits",
        "select day, amount from sales where product in (select id from products)",
        "select day, p.label from products p right join sales s on p.id = s.product",
        "select day, tag from sales, unnest([1, 2]) as t(tag)",
    ],
)
def test_what_looks_at_one_window_only_is_proved(sql: str) -> None:
    assert proof(sql) == "proved"


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("select day, amount from sales limit 5", "LIMIT would take rows from the range, not from each partition"),
        ("select max(day) as day, sum(amount) as s from sales", "it aggregates the whole range"),
        ("select product, min(day) as day from sales group by product", "it is not grouped by the event time"),
        (
            "select day, lag(amount) over (partition by product order by day) as before from sales",
            "a window function is not partitioned by the event time",
        ),
        ("select distinct product, 1 as day from sales", "DISTINCT compares rows of different partitions"),
        (
            "select s.day, v.page from sales s join visits v on v.person = s.id",
            "two partitioned tables are joined without an equality of their event times",
        ),
        (
            "select s.day, s.amount from sales s join sales t on t.day = s.day - 1",
            "two partitioned tables are joined without an equality of their event times",
        ),
        (
            "select day, p.label from products p left join sales s on p.id = s.product",
            "rows of a table that is not partitioned are kept, in each partition",
        ),
        (
            "select day, amount from sales union all select date '2013-01-01', 0",
            "a part of a UNION reads nothing that is partitioned, and would be repeated",
        ),
        (
            "select day, amount from sales where amount > (select avg(amount) from sales)",
            "a subquery in an expression reads what is partitioned",
        ),
        ("select day, random() as r from sales", "rand gives other values at another time"),
        ("select day + 1 as day, amount from sales", "'day' may lie in another partition than the rows it comes from"),
        (
            "select date_trunc('week', day) as day, sum(amount) as s from sales group by 1",
            "it is not grouped by the event time",
        ),
        ("select day, odd(amount) as o from sales", "nobody knows what the function odd does"),
        ("select id as day from products", "it reads nothing that is partitioned"),
        ("select day from sales tablesample 10%", "a table is pivoted, sampled or matched"),
        (
            "select v.seen::date as day from sales s left join visits v on v.seen::date = s.day",
            "'day' may lie in another partition than the rows it comes from",
        ),
        ("select from where", "it cannot be parsed"),
    ],
)  # fmt: skip
def test_what_reaches_across_windows_is_not_proved_and_says_why(sql: str, reason: str) -> None:
    assert proof(sql) == reason


def test_units_that_lie_in_the_grain_tell_the_window() -> None:
    weekly = "select date_trunc('week', day) as day, sum(amount) as s from sales group by 1"
    monthly = "select date_trunc('month', day) as day, sum(amount) as s from sales group by 1"
    assert [proof(weekly, grain=grain) for grain in ("day", "week")] == [
        "it is not grouped by the event time",
        "proved",
    ]
    assert proof(weekly, grain="month") == "it is not grouped by the event time"  # weeks cross months
    assert [proof(monthly, grain=grain) for grain in ("month", "year")] == ["proved", "proved"]


def test_a_time_zone_or_unknown_columns_leave_it_open() -> None:
    zoned = {"visits": EventTime("seen", naive=False)}
    sql = "select seen::date as day, count(*) as n from visits group by 1"
    assert not prove_separable(sql, dialect="duckdb", inputs=zoned, output="day", grain="day").proved
    sql = "select day, label from sales join products using (id)"
    assert proof(sql) == "proved"
    assert proof(sql, known=False) != "proved"  # `day` may be a column of either


def rows(connection: duckdb.DuckDBPyConnection, sql: str, first: date, last: date) -> Counter[tuple[object, ...]]:
    """What the query gives on the windows from `first` to `last`, both included, as dbt's microbatch filters them."""
    for table, column in EVENT.items():
        connection.execute(
            f"create or replace temp view {table} as select * from main.all_{table} "
            f"where {column} >= '{first}' and {column} < '{last + timedelta(days=1)}'"
        )
    return Counter(map(tuple, connection.execute(sql).fetchall()))


def test_what_is_proved_holds_on_data() -> None:
    """Random models, each over twelve days one by one and over all of them at once."""
    rng = random.Random(SEED)
    counts: Counter[str] = Counter()
    connection = duckdb.connect()
    for number in range(QUERIES):
        if number % 20 == 0:
            fill(connection, rng)
        sql = random_query(rng)
        said = proof(sql)
        at_once = rows(connection, sql, DAYS[0], DAYS[-1])
        one_by_one = sum((rows(connection, sql, day, day) for day in DAYS), Counter())
        same = at_once == one_by_one
        counts["proved" if said == "proved" else "the same, not proved" if same else "different"] += 1
        assert same or said != "proved", f"called separable:\n{sql}"
    print(f"\n{QUERIES} queries: {dict(counts)}")
    assert min(counts["proved"], counts["different"]) > QUERIES // 10  # the generator makes both


def fill(connection: duckdb.DuckDBPyConnection, rng: random.Random) -> None:
    days = [f"date '{rng.choice(DAYS)}'" for _ in range(40)]
    sales = ", ".join(f"({n}, {day}, {rng.randint(1, 4)}, {rng.randint(0, 9)})" for n, day in enumerate(days))
    visits = ", ".join(
        f"({day} + interval {rng.randint(0, 23)} hour, {rng.randint(0, 9)}, {n % 5})" for n, day in enumerate(days)
    )
    for name, values in (("sales", sales), ("visits", visits)):
        columns = ", ".join(TABLES[name])
        connection.execute(f"create or replace table all_{name} as select * from (values {values}) t({columns})")
    products = ", ".join(f"({n}, 'p{n % 3}')" for n in range(1, 4))
    connection.execute(f"create or replace table products as select * from (values {products}) t(id, label)")
