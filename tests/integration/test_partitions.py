"""Partitioned assets on a real dbt project and DuckDB: months in Python, microbatch days in dbt, and what fails heals.

The oracle is the SQL itself: after each story the tables must hold what the same run from nothing would hold.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

import pytest

from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.selection import select
from orchestrator.plan.windows import project
from tests.integration.workspaces import Ran, Scene, scene

pytestmark = pytest.mark.slow

PYTHON = """
import json
import os
import signal
from pathlib import Path

import pyarrow as pa
from orchestrator import Monthly, mappings

months = Monthly("2013-01", last="2013-03", column="day")
source = Path(__file__).parent / "source.json"    # {month: rows}; null: the file is broken

@asset(warehouse.table("raw.flights"), partitions=months)
def flights(context: Context) -> pa.Table:
    rows = json.loads(source.read_text())[context.partition.key]
    if rows == -9:
        os.kill(os.getpid(), signal.SIGKILL)
    if rows is None:
        raise ValueError(f"the file of {context.partition} is broken")
    first = context.partition.start.replace(tzinfo=None)
    context.metadata["previous"] = context.previous.rows if context.previous else -1
    return pa.table({"day": pa.array([first] * rows, pa.timestamp("us")), "n": list(range(rows))})

@check(flights)
def some_rows(rows: pa.Table) -> bool:
    return rows.num_rows > 0

@asset(warehouse.table("ml.rolling"), partitions=months, mappings={flights: mappings.Trailing(2)})
def rolling(context: Context) -> pa.Table:
    total = context.read(flights).num_rows
    return pa.table({"day": [context.partition.start.replace(tzinfo=None)], "total": [total]})
"""
DBT = {
    "models/sources.yml": """
        sources:
          - name: raw
            tables: [{name: flights, config: {event_time: day}}]
    """,
    "models/daily.sql": """
        {{ config(materialized='incremental', incremental_strategy='microbatch', event_time='day', batch_size='month',
                  begin='2013-01-01', meta={'orchestrator': {'partitions': {
                      'monthly': {'first': '2013-01', 'last': '2013-03', 'column': 'day'}, 'run': 'range'}}}) }}
        select day, n, case when n = 4 then error('a bad row') else n end as m
        from {{ source('raw', 'flights') }}
    """,
    "models/summary.sql": "select count(*) as n from {{ ref('daily') }}",
    "models/tests.yml": """
        models:
          - name: daily
            columns: [{name: day, data_tests: [not_null]}]
    """,
}
MONTHS = ["2013-01", "2013-02", "2013-03"]
WHOLE = {"raw.flights": 3, "ml.rolling": 3, "shop.daily": 3, "shop.summary": 1}


@pytest.fixture
def ours(tmp_path: Path) -> Scene:
    made = scene(tmp_path, DBT, PYTHON)
    deliver(made)
    return made


def cells(ran: Ran, status: str = "succeeded") -> dict[str, list[str]]:
    """{asset: its partitions (None of what has none) that ended so}"""
    found: dict[str, list[str]] = {}
    for step in ran.result.steps:
        if step.status == status:
            found.setdefault(step.key, []).append(step.partition or "")
    return found


def deliver(ours: Scene, **changed: int | None) -> None:
    """Another number of rows in the source's files: `m02=7`; None breaks one. No code changes."""
    rows = {"2013-01": 2, "2013-02": 3, "2013-03": 1, **{f"2013-{name[1:]}": n for name, n in changed.items()}}
    (ours.root / "source.json").write_text(json.dumps(rows), encoding="utf-8")


def redone(ours: Scene, *selection: str, words: str) -> Ran:
    """`orchestrator run SELECTION --partitions WORDS`"""
    graph = ours.load().graph
    window = project(graph, select(graph, list(selection) or None), words, as_of=datetime.now(timezone.utc))
    return ours.run(*selection, window=window)


def states(ours: Scene, name: str) -> dict[str, str]:
    found = ours.load().states()[AssetKey.parse(name)].partitions
    assert found is not None
    return {state: some.text() for state, some in found.by_state.items()}


def by_month(ours: Scene, table: str) -> dict[str, int]:
    rows = ours.query(f"select strftime(day, '%Y-%m') as month, count(*) from {table} group by 1 order by 1")
    return dict(rows)


def test_everything_is_done_once_and_then_nothing(ours: Scene) -> None:
    ran = ours.run()
    assert (ran.status, ran.result.reason) == ("succeeded", "")
    assert Counter(step.key for step in ran.result.steps if step.status == "succeeded") == Counter(WHOLE)
    assert ran.checks == {"some_rows": "succeeded", "not_null_daily_day": "succeeded"}
    assert by_month(ours, "raw.flights") == by_month(ours, "dev.daily") == {"2013-01": 2, "2013-02": 3, "2013-03": 1}
    assert ours.query("select n from dev.summary") == [(6,)]
    assert states(ours, "shop.daily") == {"fresh": "2013-01..2013-03"}
    workspace = ours.load()
    rows = {fact.partition: fact.rows for fact in workspace.facts().writers.values() if fact.key == "shop.daily"}
    assert rows == {"2013-01": 2, "2013-02": 3, "2013-03": 1}, "each partition's own rows"
    again = ours.run(stale=True)
    assert again.plan.is_empty
    latest = workspace.records.latest("dev", "raw.flights", partition="2013-02")
    assert latest is not None
    assert latest.metadata["previous"] == {"kind": "number", "value": -1}


def test_a_broken_month_blocks_what_reads_it_and_heals_alone(ours: Scene) -> None:
    deliver(ours, m02=None)
    ran = ours.run()
    assert ran.status == "failed"
    assert cells(ran, "failed") == {"raw.flights": ["2013-02"]}
    assert cells(ran)["raw.flights"] == ["2013-01", "2013-03"]
    assert cells(ran)["ml.rolling"] == ["2013-01"]
    assert cells(ran, "blocked")["ml.rolling"] == ["2013-02", "2013-03"], "March reads February, too"
    assert states(ours, "raw.flights") == {"failed": "2013-02", "fresh": "2013-01, 2013-03"}

    deliver(ours)
    healed = ours.run(stale=True)
    assert healed.status == "succeeded"
    assert cells(healed)["raw.flights"] == ["2013-02"]
    assert cells(healed)["ml.rolling"] == ["2013-02", "2013-03"]
    assert by_month(ours, "raw.flights") == by_month(ours, "dev.daily") == {"2013-01": 2, "2013-02": 3, "2013-03": 1}
    assert ours.run(stale=True).plan.is_empty


def test_a_bad_batch_of_dbt_fails_its_partition_only(ours: Scene) -> None:
    deliver(ours, m02=5)
    ran = ours.run()
    assert ran.status == "failed"
    assert (cells(ran)["shop.daily"], cells(ran, "failed")) == (["2013-01", "2013-03"], {"shop.daily": ["2013-02"]})
    assert ran.reasons["shop.summary"] == "shop.daily [2013-02] failed"
    assert states(ours, "shop.daily")["failed"] == "2013-02"
    assert by_month(ours, "dev.daily") == {"2013-01": 2, "2013-03": 1}

    deliver(ours)
    assert redone(ours, "raw.flights", words="2013-02").status == "succeeded"
    healed = ours.run(stale=True)
    assert healed.status == "succeeded"
    assert cells(healed)["shop.daily"] == ["2013-02"], "the others are as they were"
    assert by_month(ours, "dev.daily") == {"2013-01": 2, "2013-02": 3, "2013-03": 1}
    assert ours.query("select n from dev.summary") == [(6,)]


def test_a_window_is_done_again_and_replaces_its_rows(ours: Scene) -> None:
    ours.run()
    deliver(ours, m02=4)
    ran = redone(ours, words="2013-02")
    assert cells(ran) == {
        "raw.flights": ["2013-02"],
        "shop.daily": ["2013-02"],
        "ml.rolling": ["2013-02"],
        "shop.summary": [""],
    }
    assert by_month(ours, "raw.flights") == by_month(ours, "dev.daily") == {"2013-01": 2, "2013-02": 4, "2013-03": 1}
    assert states(ours, "ml.rolling") == {"stale": "2013-03", "fresh": "2013-01..2013-02"}


def test_a_source_that_became_empty_leaves_no_rows(ours: Scene) -> None:
    ours.run()
    deliver(ours, m01=0)
    assert redone(ours, words="2013-01").status == "succeeded"
    assert by_month(ours, "raw.flights") == by_month(ours, "dev.daily") == {"2013-02": 3, "2013-03": 1}


def test_a_run_that_is_killed_leaves_nothing_fresh_that_is_not_there_and_heals(ours: Scene) -> None:
    deliver(ours, m02=-9)
    program = "from orchestrator.cli import main; main(['run', '--engine', 'local', '--threads', '1'])"
    command = [sys.executable, "-c", program]
    killed = subprocess.run(command, cwd=ours.root, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    deliver(ours)
    found = states(ours, "raw.flights")
    assert found["unknown"] == "2013-02"
    fresh = {} if "fresh" not in found else by_month(ours, "raw.flights")
    assert set(fresh) <= {"2013-01"}, "months are written in order, one at a time"
    healed = ours.run(stale=True)
    assert (healed.status, healed.result.reason) == ("succeeded", "")
    assert by_month(ours, "raw.flights") == by_month(ours, "dev.daily") == {"2013-01": 2, "2013-02": 3, "2013-03": 1}
    assert states(ours, "shop.daily") == {"fresh": "2013-01..2013-03"}
    assert ours.run(stale=True).plan.is_empty
