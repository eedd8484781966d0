"""What YAML says of columns, held against what there is."""

from __future__ import annotations

from orchestrator.validation.findings import Draft, InYaml
from orchestrator.validation.rules_yaml import columns, contracts
from tests.scenarios import key
from tests.unit.validation.world import model, source, world

ORDERS = {"orders": ["id INTEGER", "amount INTEGER"]}
SQL = {"totals": "select id, amount, amount::varchar as shown from dev.raw.orders"}
ENFORCED = {model("totals"): {"contract": {"enforced": True}}}


def test_a_contract_with_other_columns_or_types() -> None:
    declared = {"id": "bigint", "amont": "int", "shown": "date"}
    subject = world(SQL, sources=ORDERS, config=ENFORCED, columns={model("totals"): declared})
    assert list(contracts(subject)) == [
        Draft(
            "contract-mismatch",
            "the contract has a column amont, shop.totals has not",
            InYaml(model("totals"), "amont"),
            key=key("shop.totals"),
            fix="did you mean 'amount'?",
        ),
        Draft(
            "contract-mismatch",
            "the contract says that shown is date, in shop.totals it is TEXT",
            InYaml(model("totals"), "shown"),
            key=key("shop.totals"),
            fix="cast it, or write data_type: TEXT",
            severity="warning",
        ),
        Draft(
            "contract-mismatch",
            "shop.totals has a column amount, its contract has not",
            InYaml(model("totals")),
            key=key("shop.totals"),
            fix="add it to the contract, or do not select it",
        ),
    ]
    # Each is said once: not as a documented column as well.
    assert list(columns(subject)) == []


def test_a_contract_that_is_kept_in_another_spelling() -> None:
    declared = {"ID": "int8", '"amount"': "hugeint", "shown": "string"}
    assert list(contracts(world(SQL, sources=ORDERS, config=ENFORCED, columns={model("totals"): declared}))) == []


def test_types_of_a_contract_are_those_that_duckdb_finds() -> None:
    sql = {"totals": "select sum(amount) over () / 2 as half from dev.raw.orders"}
    subject = world(
        sql, sources=ORDERS, config=ENFORCED, columns={model("totals"): {"half": "integer"}}, asks_duckdb=True
    )
    assert [draft.message for draft in contracts(subject)] == [
        "the contract says that half is integer, in shop.totals it is DOUBLE"
    ]


def test_documented_and_tested_columns_that_do_not_exist() -> None:
    subject = world(
        SQL,
        sources=ORDERS,
        columns={model("totals"): {"amuont": None, "id": None}, source("orders"): {"ammount": None}},
        tests=[
            (model("totals"), "idd", "unique"),
            (model("totals"), "idd", "not_null"),
            (model("totals"), "id", "unique"),
        ],
    )
    assert list(columns(subject)) == [
        Draft(
            "yaml-column",
            "ammount is documented, and raw.orders has no such column",
            InYaml(source("orders"), "ammount"),
            key=key("raw.orders"),
            fix="did you mean 'amount'?",
        ),
        Draft(
            "tested-column",
            "idd is tested (unique, not_null), and shop.totals has no such column",
            InYaml(model("totals"), "idd"),
            key=key("shop.totals"),
            fix="did you mean 'id'?",
        ),
        Draft(
            "yaml-column",
            "amuont is documented, and shop.totals has no such column",
            InYaml(model("totals"), "amuont"),
            key=key("shop.totals"),
            fix="did you mean 'amount'?",
        ),
    ]


def test_nothing_is_said_of_tables_whose_columns_are_not_known() -> None:
    subject = world(
        {"all_of_it": "select * from dev.raw.events"},
        sources={"events": None},
        columns={model("all_of_it"): {"x": None}, source("events"): {"y": None}},
        tests=[(model("all_of_it"), "z", "unique")],
    )
    assert list(columns(subject)) == []


def test_expressions_and_fields_in_place_of_columns() -> None:
    subject = world(
        {"nested": "select {'city': 'Rome'} as address"},
        columns={model("nested"): {"address.city": None}},
        tests=[(model("nested"), "coalesce(address, 1)", "not_null"), (model("nested"), "address.city", "not_null")],
    )
    assert list(columns(subject)) == []


def test_a_column_that_sql_misspells_is_one_finding_in_the_sql() -> None:
    subject = world(
        {"totals": "select id, amont from dev.raw.orders"},
        sources=ORDERS,
        columns={model("totals"): {"amount": None}},
    )
    assert list(columns(subject)) == []
