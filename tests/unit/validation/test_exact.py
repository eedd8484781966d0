"""What DuckDB says on empty tables, and what an empty DuckDB cannot know."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.validation import exact
from orchestrator.validation.exact import Bound, Refusal, Table, bind_tables
from orchestrator.validation.findings import Draft, InSql
from orchestrator.validation.rules_exact import disagreements, refusals
from tests.scenarios import key
from tests.unit.validation.world import model, world

ORDERS = Table(("dev", "raw", "orders"), (("id", "INTEGER"), ("note", "VARCHAR"), ("day", "DATE")))
UNTYPED = Table(("dev", "raw", "orders"), (("id", None), ("note", None), ("day", None)))


def bound(sql: str, *, orders: Table = ORDERS, incremental: str | None = None) -> Bound:
    totals = Table(("dev", "shop", "totals"), None, sql, incremental, (orders.name,))
    return bind_tables({"raw.orders": orders, "shop.totals": totals}, default=("dev", "main"))["shop.totals"]


def test_columns_with_the_types_that_duckdb_gives_them() -> None:
    assert bound("select id, sum(id) as total from dev.raw.orders group by id") == Bound(
        (("id", "INTEGER"), ("total", "HUGEINT"))
    )


def test_a_refusal_has_its_place_also_after_characters_of_several_bytes() -> None:
    assert bound("select 'é' as é,\n  'ü', noot\nfrom dev.raw.orders") == Bound(
        refusal=Refusal('Referenced column "noot" not found in FROM clause', 2, 8, name="noot", known=("note",))
    )


def test_types_that_do_not_fit() -> None:
    refusal = bound("select id + note as x from dev.raw.orders").refusal
    assert refusal is not None
    assert (refusal.line, refusal.column) == (1, 11)
    assert refusal.message.startswith("No function matches the given name and argument types '+(INTEGER, VARCHAR)'")


@pytest.mark.parametrize(
    "sql",
    [
        "select date_trunc('month', day) as x, id + 1 as y, note || 'x' as z, sum(id) over () as s from dev.raw.orders",
        "select id + note as x from dev.raw.orders",
        "select day.field, unnest(note) from dev.raw.orders",
    ],
)
def test_no_complaint_about_types_where_they_are_not_known(sql: str) -> None:
    assert bound(sql, orders=UNTYPED).refusal is None


def test_names_are_complained_about_without_types_too() -> None:
    refusal = bound("select noot from dev.raw.orders", orders=UNTYPED).refusal
    assert refusal is not None
    assert refusal.message == 'Referenced column "noot" not found in FROM clause'


@pytest.mark.parametrize(
    "sql",
    [
        "(select id from dev.raw.orders)",
        "from dev.raw.orders select id;",
        "-- ids\nwith a as (select id from dev.raw.orders) select id from a -- all",
        "select id from dev.raw.orders order by all limit 5",
    ],
)
def test_every_form_of_a_query_is_understood(sql: str) -> None:
    assert bound(sql) == Bound((("id", "INTEGER"),))


@pytest.mark.parametrize(
    "sql",
    [
        "select my_macro(id) as x from dev.raw.orders",
        "select id::my_type as x from dev.raw.orders",
        "select * from read_csv('/etc/passwd')",
        "from 'orders.parquet'",
        "select * from sqlite_scan('a.db', 't')",
        "select id from dev.elsewhere.nothing",
        "select id from dev.raw.orders; drop view dev.raw.orders",
    ],
)
def test_what_an_empty_duckdb_cannot_know_is_no_finding(sql: str) -> None:
    assert bound(sql) == Bound()


def test_pivots_say_nothing_about_columns() -> None:
    assert not bound("pivot dev.raw.orders on note using sum(id)").comparable


def test_the_sql_of_an_incremental_run_is_tried_too() -> None:
    sql = "select id, day from dev.raw.orders"
    assert bound(sql, incremental=f"{sql} where day > (select max(day) from dev.shop.totals)").refusal is None
    refusal = bound(sql, incremental=f"{sql} where day > (select max(date) from dev.shop.totals)").refusal
    assert refusal is not None
    assert (refusal.incremental, refusal.column) == (True, 60)


def test_answers_are_kept_until_something_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {"one": Table(("dev", "shop", "one"), None, "select 1 as id")}
    first = bind_tables(tables, default=("dev", "main"), cache=tmp_path / "bound.bin")
    monkeypatch.setattr(exact, "_Binder", None)  # nobody is asked again
    assert bind_tables(tables, default=("dev", "main"), cache=tmp_path / "bound.bin") == first
    with pytest.raises(TypeError):
        bind_tables(tables, default=("dev", "other"), cache=tmp_path / "bound.bin")


def test_a_refusal_is_a_finding_unless_the_analysis_has_said_so() -> None:
    sources = {"orders": ["id INTEGER", "note VARCHAR"]}
    subject = world(
        {"a": "select id + note as x from dev.raw.orders", "b": "select noot from dev.raw.orders"},
        sources=sources,
        asks_duckdb=True,
    )
    assert list(refusals(subject)) == [
        Draft(
            "binder-error",
            "DuckDB refuses it: No function matches the given name and argument types '+(INTEGER, VARCHAR)'",
            InSql(model("a"), 1, 11),
            key=key("shop.a"),
            fix="cast one side",
        )
    ]
    assert list(disagreements(subject)) == []
