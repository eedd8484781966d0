"""Names in SQL: what is unknown, what is ambiguous, what was not declared, and what follows from another fault."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.validation.findings import Draft, InCode, InSql
from orchestrator.validation.rules_sql import names, relation_patterns, undeclared_relations, unreadable
from tests.scenarios import key
from tests.unit.validation.world import model, source, world

ORDERS = {"orders": ["id INTEGER", "customer VARCHAR", "amount INTEGER"]}


def test_an_unknown_column_is_named_with_its_place_and_a_suggestion() -> None:
    subject = world({"totals": "select\n  id,\n  amont\nfrom dev.raw.orders"}, sources=ORDERS)
    assert list(names(subject)) == [
        Draft(
            "unknown-column",
            "raw.orders has no column amont",
            InSql(model("totals"), 3, 3),
            key=key("shop.totals"),
            fix="did you mean 'amount'?",
        )
    ]


def test_all_columns_are_named_where_none_is_near_and_they_are_few() -> None:
    subject = world({"totals": "select zzz from dev.raw.orders as o"}, sources=ORDERS)
    (draft,) = names(subject)
    assert (draft.message, draft.fix) == ("o has no column zzz", "there is id, customer, amount")


def test_an_ambiguous_column() -> None:
    subject = world({"twice": "select id from dev.raw.orders a join dev.raw.orders b on a.id = b.id"}, sources=ORDERS)
    assert list(names(subject)) == [
        Draft(
            "ambiguous-column",
            "id is a column of a and b",
            InSql(model("twice"), 1, 8),
            key=key("shop.twice"),
            fix="write a.id or b.id",
        )
    ]


def test_a_qualifier_that_names_nothing() -> None:
    subject = world({"one": "select oders.id from dev.raw.orders as orders"}, sources=ORDERS)
    assert list(names(subject)) == [
        Draft(
            "unknown-table",
            "nothing in FROM is called oders",
            InSql(model("one"), 1, 8),
            key=key("shop.one"),
            fix="did you mean 'orders'?",
        )
    ]


def test_set_operations_of_unequal_widths() -> None:
    subject = world({"both": "select id, amount from dev.raw.orders\nunion all\nselect 1"}, sources=ORDERS)
    (draft,) = names(subject)
    assert (draft.rule, draft.message) == ("set-operation-columns", "the sides of UNION have 2 and 1 columns")
    assert isinstance(draft.place, InSql)
    assert draft.place.line == 3


def test_nothing_is_unknown_where_a_table_in_scope_is() -> None:
    subject = world(
        {"wide": "select x, o.id from dev.raw.orders o join dev.raw.events e on e.id = o.id"},
        sources={**ORDERS, "events": None},
    )
    assert list(names(subject)) == []


def test_what_follows_from_a_misspelt_column_is_not_said_again() -> None:
    subject = world(
        {
            "a_first": "select id, amont from dev.raw.orders",
            "b_second": "select id, amount from dev.shop.a_first",
            "c_third": "select id, amount, customer from dev.shop.b_second",
        },
        sources=ORDERS,
        reads={"b_second": [model("a_first")], "c_third": [model("b_second")]},
    )
    # customer was never selected by b_second: that is a fault of its own.
    assert [(draft.message, str(draft.key)) for draft in names(subject)] == [
        ("raw.orders has no column amont", "shop.a_first"),
        ("shop.b_second has no column customer", "shop.c_third"),
    ]


def test_columns_of_a_table_that_may_have_changed_are_a_warning() -> None:
    subject = world(
        {"first": "select * from dev.raw.orders", "second": "select amont from dev.shop.first"},
        sources=ORDERS,
        reads={"second": [model("first")]},
    )
    subject = replace(subject, doubtful={key("raw.orders"): "by the last run of raw.orders, whose code has changed"})
    (draft,) = names(subject)
    assert draft.severity == "warning"
    assert draft.message == ("shop.first has no column amont (by the last run of raw.orders, whose code has changed)")


def test_what_duckdb_accepts_is_no_fault_of_the_model() -> None:
    subject = world({"odd": "select id, amont from dev.raw.orders"}, sources=ORDERS)
    accepted = world({"odd": "select id from dev.raw.orders"}, sources=ORDERS, asks_duckdb=True)
    (draft,) = names(replace(subject, bound=accepted.bound))
    assert (draft.rule, draft.message) == (
        "analysis-disagrees",
        "the analysis says 'dev.raw.orders has no column amont', DuckDB accepts it",
    )


def test_a_model_that_is_read_without_ref_is_an_error_with_the_fix() -> None:
    subject = world(
        {"first": "select id from dev.raw.orders", "second": "select id from dev.shop.first"},
        sources=ORDERS,
        reads={"first": [source("orders")]},
    )
    assert list(undeclared_relations(subject)) == [
        Draft(
            "undeclared-relation",
            "shop.first is read without ref() or source(): nothing makes sure that it is built before",
            InCode(model("second"), relation_patterns(["dev", "shop", "first"])),
            key=key("shop.second"),
            fix="read {{ ref('first') }}",
        )
    ]


def test_a_source_that_is_read_by_its_name_is_a_warning_with_the_fix() -> None:
    subject = world({"first": "select count(*) as n from raw.orders"}, sources=ORDERS)
    (draft,) = undeclared_relations(subject)
    assert (draft.message, draft.fix, draft.severity) == (
        "hard-coded relation: raw.orders is read without source()",
        "read {{ source('raw', 'orders') }}",
        "warning",
    )


def test_a_relation_that_nobody_knows_is_a_warning() -> None:
    subject = world({"first": "select id from elsewhere.events, dev.raw.orders"}, reads={"first": [source("orders")]})
    found = [(draft.message, draft.severity, draft.fix) for draft in undeclared_relations(subject)]
    fix = "declare it as a source, and read it through {{ source(…) }}"
    assert found == [
        ("hard-coded relation: nothing here is elsewhere.events", "warning", fix),
        ("hard-coded relation: nothing here is raw.orders", "warning", fix),
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "select table_name from information_schema.tables",
        "select a from 'data/orders.csv'",
        "select a from read_parquet('s3://bucket/*.parquet')",
        "select table_name from duckdb_tables()",
        "with orders as (select 1 as id) select id from orders",
    ],
)
def test_files_functions_and_catalogues_need_no_declaration(sql: str) -> None:
    assert list(undeclared_relations(world({"one": sql}))) == []


def test_sql_that_cannot_be_parsed_is_an_info_with_the_reason() -> None:
    subject = world({"odd": "select id,\nfrom from where"})
    (draft,) = unreadable(subject)
    assert (draft.rule, draft.severity, draft.message.partition(":")[0]) == ("parse", None, "not analysed")


def test_unknown_columns_of_a_source_are_no_parse_finding() -> None:
    assert list(unreadable(world({"all_of_it": "select * from dev.raw.events"}, sources={"events": None}))) == []
