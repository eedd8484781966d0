"""What a user tests assets, actions and checks with."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from orchestrator import Context, Warehouse, action, asset, check, writes
from orchestrator.dbt import models as dbt
from orchestrator.errors import ExecutionError, ResourceError
from orchestrator.testing import build_context, materialize

warehouse = Warehouse.from_dbt()
flights_table = warehouse.table("raw.flights")
sales = warehouse.table("raw.sales")
DELAYS = pa.table({"origin": ["EWR", "JFK"], "delay": [10, 20]})


@asset(flights_table)
def flights(context: Context) -> pa.Table:
    context.metadata["month"] = str(context.partition or "all")
    return DELAYS


@asset(warehouse.table("ml.mean_delay"))
def mean_delay(context: Context) -> pa.Table:
    delays = pa.concat_tables([flights.read(context), dbt.old_flights.read(context)])
    context.metadata["flights"] = delays.num_rows
    return pa.table({"delay": [pc.mean(delays["delay"]).as_py()]})


@check(flights)
def three_airports(frame: pa.Table) -> tuple[bool, str]:
    found = sorted(pc.unique(frame["origin"]).to_pylist())
    return len(found) == 3, f"departures from {', '.join(found)}"


@check(mean_delay)
def plausible(frame: pa.Table) -> bool:
    return bool(frame["delay"][0].as_py() < 100)


@action(after=[flights, mean_delay])
def vacuum(context: Context) -> None:
    warehouse.execute(context, "delete from raw.flights where delay > 10")


@writes(sales, slot="emea", where={"region": "EMEA"})
def sales_emea() -> list[dict[str, Any]]:
    return [{"region": "EMEA", "amount": 1}]


@writes(sales, slot="apac", where={"region": "APAC"})
def sales_apac() -> list[dict[str, Any]]:
    return [{"region": "APAC", "amount": 2}]


@asset(warehouse.table("raw.broken"))
def broken() -> pa.Table:
    raise ValueError("no network")


def test_an_asset_is_still_a_function() -> None:
    context = build_context(partition="2013-02")
    assert flights(context).num_rows == 2
    assert context.metadata == {"month": "2013-02"}


def test_what_it_reads_is_handed_over_by_object() -> None:
    context = build_context(tables={flights: DELAYS, dbt.old_flights: pa.table({"origin": ["LGA"], "delay": [30]})})
    assert mean_delay(context).to_pylist() == [{"delay": 20.0}]
    with pytest.raises(ResourceError) as caught:
        mean_delay(build_context(tables={flights: DELAYS}))
    assert str(caught.value) == (
        "ResourceError: the test gave no rows for 'old_flights'\n"
        "  fix: build_context(tables={…: rows}), with the object that the code reads as key"
    )


def test_statements_of_a_context_meet_the_same_tables() -> None:
    context = build_context(tables={flights: DELAYS})
    vacuum(context)
    assert warehouse.execute(context, "select origin from raw.flights") == [("EWR",)]


def test_several_definitions_run_as_in_a_run() -> None:
    old = pa.table({"origin": ["LGA"], "delay": [30]})
    done = materialize([mean_delay, flights, plausible, vacuum], tables={dbt.old_flights: old})
    assert done.succeeded
    assert done.steps == {"raw.flights": "succeeded", "ml.mean_delay": "succeeded", "action.vacuum": "succeeded"}
    assert done.rows(mean_delay).to_pylist() == [{"delay": 20.0}]
    assert done.rows(dbt.old_flights).num_rows == 1
    assert done.metadata(mean_delay) == {"flights": 3}
    assert done.checks == {"plausible": "succeeded"}


def test_what_was_not_given_to_run_is_read_from_the_tables() -> None:
    done = materialize([mean_delay], tables={flights: DELAYS, dbt.old_flights: DELAYS})
    assert done.rows(mean_delay).to_pylist() == [{"delay": 15.0}]


def test_writers_of_one_table_share_it() -> None:
    done = materialize([sales_emea, sales_apac], tables={sales: pa.table({"region": ["EMEA", "US"], "amount": [9, 8]})})
    rows = sorted(done.rows(sales).to_pylist(), key=lambda row: str(row["region"]))
    assert [row["amount"] for row in rows] == [2, 1, 8]


def test_a_failing_check_or_function_is_raised_and_can_be_looked_at() -> None:
    with pytest.raises(ExecutionError) as caught:
        materialize([flights, three_airports])
    assert caught.value.what == "check three_airports on raw.flights failed: departures from EWR, JFK"
    done = materialize([flights, three_airports, broken], raise_on_failure=False)
    assert (done.checks, done.steps["raw.broken"]) == ({"three_airports": "failed"}, "failed")
    with pytest.raises(ExecutionError, match=r"raw\.broken failed: ValueError: no network"):
        materialize([broken])
