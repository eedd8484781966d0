"""Columns of a real dbt project: on the command line, and where each place that knows columns gives them to a star."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestrator.cli import main
from tests.integration.dbt_projects import write_project
from tests.integration.test_cli import answer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SHOP = {
    "seeds/orders.csv": "id,customer,amount\n1,ann,5\n2,bob,7\n",
    "models/paid.sql": "select id, customer, amount * 100 as cents from {{ ref('orders') }} where amount > 0",
    "models/totals.sql": """
        select customer as who, sum(cents) as total, count(*) as n
        from {{ ref('paid') }}
        group by all
    """,
    "models/copy_of_totals.sql": "select * from {{ ref('totals') }}",
    "models/schema.yml": """
        models:
          - name: totals
            config: {meta: {owner: ann@example.com}}
            columns: [{name: total, data_tests: [not_null]}, {name: who, data_tests: [unique]}]
    """,
    "models/exposures.yml": """
        exposures:
          - name: board
            type: dashboard
            owner: {name: Bo, email: bo@example.com}
            depends_on: [ref('copy_of_totals')]
    """,
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("columns"), SHOP)


@pytest.fixture
def ask(shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """(exit code, stdout, stderr) of a command in the shop."""
    monkeypatch.chdir(shop)
    monkeypatch.delenv("COLUMNS", raising=False)

    def asked(*typed: str) -> tuple[int, str, str]:
        code = main(list(typed))
        shown = capsys.readouterr()
        return code, "\n".join(line.rstrip() for line in shown.out.splitlines()), shown.err

    return asked


def test_up_and_down_from_a_column(ask: Any) -> None:
    code, shown, _ = ask("lineage", "totals.total")
    assert code == 0
    assert shown == (
        "shop.totals.total  is made from\n"
        "└── shop.paid.cents  aggregate\n"
        "    └── shop.orders.amount  expression\n"
        "\n"
        "Which rows there are is decided by\n"
        "  shop.paid.customer\n"
        "\n"
        "shop.totals.total  feeds\n"
        "└── shop.copy_of_totals.total  copy"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--up"], ["is made from", "shop.paid.cents", "shop.orders.amount"]),
        (["--up", "--depth", "1"], ["is made from", "shop.paid.cents"]),
        (["--down"], ["feeds", "shop.copy_of_totals.total"]),
    ],
)
def test_one_direction_and_a_depth(options: list[str], expected: list[str], ask: Any) -> None:
    code, shown, _ = ask("lineage", "totals.total", *options)
    every = ["is made from", "feeds", "shop.paid.cents", "shop.orders.amount", "shop.copy_of_totals.total"]
    assert (code, {word for word in every if word in shown}) == (0, set(expected))


def test_ends_say_what_they_are(ask: Any) -> None:
    assert ask("lineage", "orders.id", "--up")[1] == "shop.orders.id  is where it begins"
    assert ask("lineage", "copy_of_totals.n", "--down")[1] == "shop.copy_of_totals.n  feeds nothing"
    assert ask("lineage", "totals.N", "--up")[1].startswith(
        "shop.totals.n  is made from no column: it is a constant, or counts rows\n"
    )


def test_lineage_of_a_column_for_programs(ask: Any) -> None:
    found = json.loads(ask("lineage", "totals.total", "--json")[1])
    edge = {
        "from": {"asset": "shop.paid", "column": "cents"},
        "to": {"asset": "shop.totals", "column": "total"},
        "kind": "aggregate",
    }
    assert found["upstream"][0] == {"asset": "shop.paid", "column": "cents", "distance": 1, "edges": [edge]}
    assert [(item["asset"], item["distance"]) for item in found["downstream"]] == [("shop.copy_of_totals", 1)]
    assert found["indirect"] == [{"asset": "shop.paid", "column": "customer"}]
    assert (found["asset"], found["column"], found["exact"], found["reasons"]) == ("shop.totals", "total", True, {})


def test_all_columns(ask: Any) -> None:
    assert ask("lineage", "totals", "--columns")[1] == (
        "shop.totals\n  who      shop.paid.customer (rename)\n  total    shop.paid.cents (aggregate)\n  n"
    )
    found = json.loads(ask("lineage", "copy_of_totals", "--columns", "--json")[1])
    assert [item["name"] for item in found["columns"]] == ["who", "total", "n"]
    assert (found["complete"], found["exact"], found["reasons"]) == (True, True, [])


def test_impact_of_a_column(ask: Any) -> None:
    code, shown, _ = ask("impact", "orders.amount")
    assert code == 0
    assert shown == (
        "A change of shop.orders.amount reaches 6 columns, 3 assets, 2 checks, 1 consumer\n"
        "\n"
        "Columns\n"
        "  shop.paid.cents            expression\n"
        "  shop.totals.total          aggregate, 2 steps away\n"
        "  shop.totals.who            rename, 2 steps away\n"
        "  shop.copy_of_totals.total  copy, 3 steps away\n"
        "  shop.copy_of_totals.who    copy, 3 steps away\n"
        "  shop.copy_of_totals.n      copy, 3 steps away\n"
        "\n"
        "Rows\n"
        "  shop.paid    which rows it has is decided by it\n"
        "  shop.totals  which rows it has is decided by it\n"
        "\n"
        "Checks\n"
        "  shop.totals  not_null_totals_total\n"
        "  shop.totals  unique_totals_who\n"
        "\n"
        "Who looks at it\n"
        "  board  exposure  bo@example.com\n"
        "\n"
        "Ask\n"
        "  ann@example.com  shop.totals\n"
        "  bo@example.com   board"
    ), "amount filters paid, and with it all that is made from it"
    found = json.loads(ask("impact", "paid.cents", "--json")[1])
    assert [(item["type"], item["asset"], item["column"], item["distance"]) for item in found] == [
        ("column", "shop.totals", "total", 1),
        ("column", "shop.copy_of_totals", "total", 2),
        ("check", "shop.totals", "total", None),
        ("exposure", None, None, None),
    ]


@pytest.mark.parametrize("command", ["lineage", "impact"])
def test_names_that_are_wrong(command: str, ask: Any) -> None:
    assert ask(command, "totals.totl") == (
        2, "", "SelectionError: shop.totals has no column 'totl'\n  fix: did you mean 'total'?\n",
    )  # fmt: skip
    assert ask(command, "totals.zzzzzz") == (
        2,
        "",
        "SelectionError: shop.totals has no column 'zzzzzz'\n"
        "  fix: `orchestrator lineage shop.totals --columns` lists its columns\n",
    )
    code, out, err = ask(command, "total.who")
    assert (code, out) == (2, "")
    assert err.startswith("SelectionError: ")
    assert "total.who" in err


# Which place gives a star its columns

SOURCES = {
    "models/sources.yml": """
        sources:
          - name: raw
            schema: raw
            tables: [{name: events, columns: [{name: id}, {name: kind}]}]
    """,
    "models/all_events.sql": "select * from {{ source('raw', 'events') }}",
}


def columns_of(project: Path, key: str) -> tuple[list[tuple[str, str | None]], bool, list[str]]:
    """((column, type), …), whether these are all, reasons"""
    found = answer("lineage", key, "--columns", project=project)
    return [(item["name"], item["type"]) for item in found["columns"]], found["complete"], found["reasons"]


def test_yaml_is_a_lower_bound_the_catalog_knows_all_and_the_warehouse_knows_best(tmp_path: Path) -> None:
    project = write_project(tmp_path, SOURCES)
    names, complete, reasons = columns_of(project, "all_events")
    assert (names, complete) == ([("id", None), ("kind", None)], False)
    assert reasons == ["the columns of warehouse.raw.events are not known"]
    assert columns_of(project, "raw.events") == (
        [("id", None), ("kind", None)],
        False,
        ["its columns are known from YAML only, which may not list all"],
    )

    listed = {"ID": {"type": "INTEGER"}, "seen": {"type": "DATE"}}
    catalog = {"nodes": {}, "sources": {"source.shop.raw.events": {"columns": listed}}}
    (project / "target").mkdir(exist_ok=True)
    (project / "target" / "catalog.json").write_text(json.dumps(catalog))
    assert columns_of(project, "all_events") == ([("id", "INTEGER"), ("seen", "DATE")], True, [])

    with duckdb.connect(str(project / "warehouse.duckdb")) as connection:
        connection.execute("create schema raw")
        connection.execute("create table raw.events (id bigint, seen timestamp, payload text)")
    live = [("id", "BIGINT"), ("seen", "TIMESTAMP"), ("payload", "VARCHAR")]
    assert columns_of(project, "all_events") == (live, True, [])

    with duckdb.connect(str(project / "warehouse.duckdb")) as connection:
        connection.execute("alter table raw.events drop column payload")
    assert columns_of(project, "all_events") == (live[:2], True, [])

    (project / "target" / "catalog.json").write_text("{broken")
    (project / "warehouse.duckdb").unlink()
    shutil.rmtree(project / ".orchestrator", ignore_errors=True)
    assert columns_of(project, "raw.events")[1] is False


# The example


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example that was never built."""
    copy = tmp_path_factory.mktemp("example")
    for name in ("dbt_project", "python_assets"):
        ignored = shutil.ignore_patterns("target", "logs", "__pycache__", ".user.yml")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", copy / "pyproject.toml")
    return copy


def edges_up(project: Path, column: str) -> set[tuple[str, str, str]]:
    """(from, to, how) of everything that a column is made from"""

    def name(place: dict[str, str]) -> str:
        return f"{place['asset']}.{place['column']}"

    found = answer("lineage", column, "--up", project=project)["upstream"]
    return {(name(edge["from"]), name(edge["to"]), edge["kind"]) for step in found for edge in step["edges"]}


def test_a_mart_of_the_example_through_python_and_an_ephemeral_model_back_to_what_was_ingested(example: Path) -> None:
    """int_weather_conditions is ephemeral: it is no asset, its columns are those of what it reads."""
    assert {
        ("ml.delay_predictions.predicted_delay", "marts.forecast_quality.bias", "aggregate"),
        ("intermediate.int_flights_with_weather.*", "ml.delay_predictions.predicted_delay", "expression"),
        ("staging.stg_weather.wind_speed_mph", "intermediate.int_flights_with_weather.*", "expression"),
        ("raw.weather.wind_speed", "staging.stg_weather.wind_speed_mph", "expression"),
    } <= edges_up(example, "marts.forecast_quality.bias")


def test_a_snapshot_of_the_example_back_to_a_csv(example: Path) -> None:
    assert edges_up(example, "history.carriers_history.carrier_group") == {
        ("staging.stg_carriers.carrier_group", "history.carriers_history.carrier_group", "copy"),
        ("reference.carrier_groups.carrier_group", "staging.stg_carriers.carrier_group", "copy"),
    }


def test_a_mart_of_the_example_back_to_a_csv(example: Path) -> None:
    assert edges_up(example, "marts.carrier_performance.carrier_group") == {
        ("staging.stg_carriers.carrier_group", "marts.carrier_performance.carrier_group", "copy"),
        ("reference.carrier_groups.carrier_group", "staging.stg_carriers.carrier_group", "copy"),
    }
