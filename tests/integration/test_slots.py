"""Several writers of one table, dbt and Python mixed: each has its rows, its status, its retries."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import PlanError
from tests.integration.workspaces import Scene, scene

pytestmark = pytest.mark.slow

DBT = {
    "models/sources.yml": "sources: [{name: raw, tables: [{name: sales}]}]",
    "models/orders.sql": """
        {{ config(materialized='incremental', alias='orders', incremental_strategy='append',
                  meta={'orchestrator': {'slot': {'name': 'shop', 'where': {'source': 'shop'}}}}) }}
        select 1 as id, 'shop' as source, {{ var('amount', 10) }} as amount
        {% if is_incremental() %} where false {% endif %}
    """,
    "models/report.sql": """
        {{ config(materialized='table') }}
        select source as place, sum(amount) as amount from {{ ref('orders') }} group by 1
        union all select region, sum(amount) from {{ source('raw', 'sales') }} group by 1
    """,
}
PYTHON = """
from orchestrator import writes

sales = warehouse.table("raw.sales")
emea = [{"region": "EMEA", "amount": 1}]
apac = [{"region": "APAC", "amount": 2}]

@writes(sales, slot="emea", where={"region": "EMEA"})
def sales_emea():
    return emea

@writes(sales, slot="apac", where={"region": ["APAC", "JP"]})
def sales_apac():
    if apac is None:
        raise ValueError("the site in Tokyo is down")
    return apac

@writes(sales, mode="update")
def doubled(context):
    warehouse.execute(context, "update raw.sales set amount = amount * 2 where amount < 10")

@writes(dbt.orders, slot="partner", where={"source": "partner"})
def partner_orders():
    return [{"id": 7, "source": "partner", "amount": 70}]

@writes(dbt.report, mode="update")
def rounded(context):
    warehouse.execute(context, "update dev.report set amount = amount + 1000")
"""
SALES = "select region, amount from raw.sales order by 1, 2"


@pytest.fixture
def shop(tmp_path: Path) -> Scene:
    return scene(tmp_path, DBT, PYTHON)


def replace_in(shop: Scene, old: str, new: str) -> None:
    """Edit the Python module; the next load imports it again."""
    text = shop.module.read_text(encoding="utf-8")
    assert old in text
    shop.module.write_text(text.replace(old, new), encoding="utf-8")
    sys.modules.pop(shop.module.stem, None)
    shutil.rmtree(shop.root / "__pycache__", ignore_errors=True)  # it knows seconds only


def writers(shop: Scene, key: str) -> dict[str, str]:
    """{writer: its state}"""
    state = shop.load().states()[AssetKey.parse(key)]
    return {writer.rsplit(".", 1)[-1]: one.state for writer, one in state.writers.items()}


def test_each_writer_has_its_rows_and_updates_come_last(shop: Scene) -> None:
    ran = shop.run()
    assert (ran.status, ran.reasons) == ("succeeded", {})
    assert shop.query(SALES) == [("APAC", 4), ("EMEA", 2)]
    assert shop.query("select source, amount from dev.orders order by 1") == [("partner", 70), ("shop", 10)]
    assert shop.query("select place, amount from dev.report order by 1") == [
        ("APAC", 1004),
        ("EMEA", 1002),
        ("partner", 1070),
        ("shop", 1010),
    ]
    assert set(shop.states().values()) == {"fresh"}


def test_a_slot_that_fails_leaves_the_others_done_and_retries_alone(shop: Scene) -> None:
    replace_in(shop, 'apac = [{"region": "APAC", "amount": 2}]', "apac = None")
    ran = shop.run("raw.sales")
    assert ran.status == "failed"
    assert writers(shop, "raw.sales") == {"sales_emea": "fresh", "sales_apac": "failed", "doubled": "missing"}
    assert shop.query(SALES) == [("EMEA", 1)]
    replace_in(shop, "apac = None", 'apac = [{"region": "JP", "amount": 3}]')
    again = shop.run("raw.sales", stale=True)
    assert again.status == "succeeded"
    built = [step.writer.rsplit(".", 1)[-1] for step in again.plan.to_build]
    assert "doubled" in built
    assert shop.query(SALES) == [("EMEA", 2), ("JP", 6)]


def test_a_rerun_of_one_slot_never_touches_the_rows_of_another(shop: Scene) -> None:
    assert shop.run("raw.sales").status == "succeeded"
    replace_in(shop, "return emea", "return pa.table({'region': [None], 'amount': [0]}).slice(1)")
    replace_in(shop, "from orchestrator import writes", "from orchestrator import writes; import pyarrow as pa")
    ran = shop.run("raw.sales", stale=True)
    assert [step.writer.rsplit(".", 1)[-1] for step in ran.plan.to_build] == ["sales_emea", "doubled"]
    assert ran.status == "succeeded"
    assert shop.query(SALES) == [("APAC", 8)]


def test_rows_outside_the_slot_are_counted_and_nothing_is_written(shop: Scene) -> None:
    assert shop.run("raw.sales").status == "succeeded"
    replace_in(shop, 'emea = [{"region": "EMEA"', 'emea = [{"region": "APAC"')
    ran = shop.run("raw.sales", stale=True)
    assert ran.status == "failed"
    failure = next(step.failure for step in ran.result.steps if step.writer.endswith("sales_emea"))
    assert failure is not None
    assert failure.message == (
        "1 of 1 rows for warehouse.raw.sales are outside of what is being written (region in ('EMEA')); nothing was "
        "written\nfix: return only rows that belong there"
    )
    assert shop.query(SALES) == [("APAC", 4), ("EMEA", 2)]


def test_a_full_refresh_that_would_delete_others_rows_is_refused(shop: Scene) -> None:
    with pytest.raises(PlanError) as caught:
        shop.run(full_refresh=True)
    assert str(caught.value) == (
        "PlanError: a full refresh would delete what other writers put into shop.orders\n"
        "  at:  dbt/models/orders.sql:1\n"
        "  fix: leave it out (--exclude shop.orders), or delete the model's rows by hand and run it without "
        "--full-refresh"
    )
