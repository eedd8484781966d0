"""The same workspace on each warehouse: Python writes, dbt reads, dbt writes, Python reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.workspaces import Scene, scene

pytestmark = pytest.mark.slow

SOURCES = """
sources:
  - name: raw
    tables: [{name: batches}, {name: awaited}, {name: itself}, {name: nothing}]
"""
DBT = {
    "models/sources.yml": SOURCES,
    "models/totals.sql": """
        {{ config(materialized='table') }}
        select sum(n) as n from {{ source('raw', 'batches') }}
        union all select sum(n) from {{ source('raw', 'awaited') }}
        union all select sum(n) from {{ source('raw', 'itself') }}
    """,
    "models/below_nothing.sql": "select * from {{ source('raw', 'nothing') }}",
}
PYTHON = """
import asyncio
from orchestrator import Materialization

@asset(warehouse.table("raw.batches"))
def batches(context: Context):
    for number in (1, 2, 3):
        yield [{"n": number, "text": 'a "quoted", text', "nothing": None}]
    context.metadata["batches"] = 3

@asset(warehouse.table("raw.awaited"))
async def awaited():
    await asyncio.sleep(0)
    return [{"n": 10}]

@asset(warehouse.table("raw.itself"))
def itself(context: Context):
    warehouse.execute(context, "create schema if not exists raw")
    warehouse.execute(context, "create table if not exists raw.itself as select 100 as n")
    return Materialization(metadata={"files": 1})

@asset(warehouse.table("raw.nothing"))
def nothing():
    [{"n": 1}]

@check(batches)
def three(frame) -> bool:
    return frame["n"].to_pylist() == [1, 2, 3] and frame["text"].to_pylist() == ['a "quoted", text'] * 3

@asset(warehouse.table("ml.doubled"))
def doubled(context: Context):
    return [{"n": int(row["n"]) * 2} for row in dbt.totals.read(context, columns=["n"]).to_pylist()]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Scene:
    return scene(tmp_path, DBT, PYTHON)


def test_what_functions_return_is_stored_and_read_by_dbt_and_back(shop: Scene) -> None:
    ran = shop.run()
    assert ran.steps == {
        "raw.batches": "succeeded",
        "raw.awaited": "succeeded",
        "raw.itself": "succeeded",
        "raw.nothing": "failed",
        "shop.totals": "succeeded",
        "shop.below_nothing": "blocked",
        "ml.doubled": "succeeded",
    }
    assert ran.checks == {"three": "succeeded"}
    found = {step.key: step for step in ran.result.steps}
    assert sorted(shop.query("select n from ml.doubled")) == [(12,), (20,), (200,)]
    failure = found["raw.nothing"].failure
    assert failure is not None
    assert failure.message == (
        "the function returned nothing, so warehouse.raw.nothing was not written\n"
        "fix: return a pyarrow.Table, a pandas or polars DataFrame, a DuckDB relation, a list of dicts, or a generator "
        "of these; or Materialization(rows=…) where the function has stored the rows itself"
    )
    by_key = {key: step.materialization for key, step in found.items() if step.materialization is not None}
    assert {key: (item.rows, [column.name for column in item.columns]) for key, item in by_key.items()} == {
        "raw.batches": (3, ["n", "text", "nothing"]),
        "raw.awaited": (1, ["n"]),
        "raw.itself": (1, ["n"]),
        "shop.totals": (3, ["n"]),
        "ml.doubled": (3, ["n"]),
    }
    assert by_key["raw.batches"].metadata == {"batches": {"kind": "number", "value": 3}}
    assert by_key["raw.itself"].metadata == {"files": {"kind": "number", "value": 1}}
