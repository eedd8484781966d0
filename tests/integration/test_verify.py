"""`verify`: what somebody changed behind our back is found, marked, and made whole by `run --stale`."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import ResourceLockedError
from orchestrator.execution.verifying import Verification, verify
from tests.integration.workspaces import Scene, scene

pytestmark = pytest.mark.slow

PYTHON = """
import pyarrow as pa
from orchestrator import Monthly, Multi, Static

months = Monthly("2013-01", last="2013-03", column="day")

@asset(warehouse.table("raw.flights"), partitions=months)
def flights(context: Context) -> pa.Table:
    first = context.partition.start.replace(tzinfo=None)
    return pa.table({"day": pa.array([first] * 4, pa.timestamp("us")), "n": list(range(4))})

@asset(warehouse.table("raw.delays"), partitions=Multi(Static("EWR", "JFK", column="origin"), months))
def delays(context: Context) -> pa.Table:
    origin, first = context.partition.keys["origin"], context.partition.start.replace(tzinfo=None)
    return pa.table({"origin": [origin] * 2, "day": pa.array([first] * 2, pa.timestamp("us"))})

@asset(warehouse.table("raw.planes"))
def planes(context: Context) -> pa.Table:
    return pa.table({"tail": ["N1", "N2", "N3"]})
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
        select day, n from {{ source('raw', 'flights') }}
    """,
    "models/summary.sql": "{{ config(materialized='table') }} select count(*) as n, 1 as one from {{ ref('daily') }}",
    "models/seen.sql": "{{ config(materialized='view') }} select * from {{ ref('summary') }}",
    "models/kept.sql": """
        {{ config(materialized='incremental') }}
        select n from {{ ref('daily') }} {% if is_incremental() %} where n > (select max(n) from {{ this }}) {% endif %}
    """,
}
ALL = 3 + 6 + 1 + 3 + 1 + 1 + 1


@pytest.fixture
def ours(tmp_path: Path) -> Scene:
    made = scene(tmp_path, DBT, PYTHON)
    assert made.run().status == "succeeded"
    return made


def behind_our_back(ours: Scene, *statements: str) -> None:
    with duckdb.connect(str(ours.root / "dbt" / "warehouse.duckdb")) as connection:
        for statement in statements:
            connection.execute(statement)


def verified(ours: Scene, *, repair: bool = False) -> Verification:
    workspace = ours.load()
    return verify(workspace, workspace.graph.assets, repair=repair, command="orchestrator verify")


def told(found: Verification) -> list[tuple[str, str | None, str]]:
    return [(str(item.key), item.partition, item.detail) for item in found.differences]


def test_what_runs_left_is_as_recorded(ours: Scene) -> None:
    found = verified(ours)
    assert told(found) == []
    assert (found.compared, found.assets, found.run_id) == (ALL, 7, None)
    assert found.left_out == {AssetKey.parse("shop.seen"): "it is a view: only its columns were compared"}


def test_changed_partitions_are_found_marked_and_made_whole(ours: Scene) -> None:
    behind_our_back(
        ours,
        "delete from raw.flights where day = '2013-02-01' and n < 3",
        "insert into raw.delays values ('JFK', timestamp '2013-03-01')",
        "delete from dev.daily where day = '2013-01-01'",
        "insert into raw.planes values ('N4')",
    )
    differing = [
        ("raw.delays", "JFK|2013-03", "2 rows recorded, 3 there"),
        ("raw.flights", "2013-02", "4 rows recorded, 1 there"),
        ("raw.planes", None, "3 rows recorded, 4 there"),
        ("shop.daily", "2013-01", "4 rows recorded, 0 there"),
    ]
    assert sorted(told(verified(ours))) == differing
    assert set(ours.states().values()) == {"fresh"}, "looking alone marks nothing"

    found = verified(ours, repair=True)
    assert (sorted(told(found)), found.marked) == (differing, 4)
    assert ours.reason("raw.planes") == "changed outside of any run: 3 rows recorded, 4 there"
    states = ours.load().states()[AssetKey.parse("raw.flights")].partitions
    assert states is not None
    assert {state: some.text() for state, some in states.by_state.items()} == {
        "failed": "2013-02",
        "fresh": "2013-01, 2013-03",
    }
    assert told(verified(ours, repair=True)) == [], "what is marked is not said again"

    healed = ours.run(stale=True)
    assert healed.status == "succeeded"
    redone = {(step.key, step.partition) for step in healed.plan.to_build}
    assert redone == {
        *((key, partition) for key, partition, _ in differing),
        ("shop.daily", "2013-02"),
        *((f"shop.{name}", None) for name in ("summary", "seen", "kept")),
    }
    assert told(verified(ours)) == []
    assert ours.query("select count(*) from raw.flights union all select count(*) from dev.daily") == [(12,), (12,)]


def test_history_is_kept_and_the_marking_run_can_be_retried(ours: Scene) -> None:
    before = ours.load().records.history("dev", "raw.planes")
    behind_our_back(ours, "delete from raw.planes")
    run_id = verified(ours, repair=True).run_id
    assert run_id is not None
    workspace = ours.load()
    newest, *others = workspace.records.history("dev", "raw.planes")
    assert (newest.run_id, newest.status, newest.version) == (run_id, "failed", None)
    assert tuple(others) == before
    run = workspace.records.run(run_id)
    assert run is not None
    assert (run.status, run.reason, run.failed) == ("failed", "1 changed outside of any run", ("raw.planes",))


def test_tables_that_are_gone_and_columns_that_changed(ours: Scene) -> None:
    behind_our_back(
        ours,
        "drop table dev.daily",
        "alter table raw.planes add column seats integer",
        "drop view dev.seen",
        "alter table dev.summary alter column one type bigint",
    )
    found = verified(ours, repair=True)
    assert sorted(told(found)) == [
        ("raw.planes", None, "columns changed: seats is new"),
        *(("shop.daily", f"2013-0{n}", "warehouse.dev.daily is gone") for n in (1, 2, 3)),
        ("shop.seen", None, "warehouse.dev.seen is gone"),
        ("shop.summary", None, "columns changed: one was INTEGER, is BIGINT"),
    ]
    assert ours.run(stale=True).status == "succeeded"
    assert told(verified(ours)) == []


def test_what_running_again_does_not_mend_is_not_marked(ours: Scene) -> None:
    behind_our_back(ours, "delete from dev.kept where n = 0")
    found = verified(ours, repair=True)
    assert told(found) == [("shop.kept", None, "12 rows recorded, 9 there")]
    assert (found.marked, found.run_id, found.differences[0].mends) == (0, None, False)
    assert ours.states()["shop.kept"] == "fresh"


def test_nothing_is_compared_while_another_process_writes(ours: Scene) -> None:
    import subprocess
    import sys

    hold = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    path = str(ours.root / "dbt" / "warehouse.duckdb")
    with subprocess.Popen(
        [sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ResourceLockedError, match=f"process {holder.pid}"):
            verified(ours)
        holder.communicate("")


def test_the_command_exits_with_1_where_something_differs(ours: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    from orchestrator.cli import main

    place = ["--project-dir", str(ours.root / "dbt")]
    assert main(["verify", *place]) == 0
    assert f"{ALL} records of 7 assets compared: all as recorded" in capsys.readouterr().out
    behind_our_back(ours, "delete from raw.planes where tail = 'N1'", "delete from dev.kept where n = 1")
    assert main(["verify", *place, "raw.planes", "shop.kept"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "2 records of 2 assets compared: 2 not as recorded" in said
    assert "raw.planes 3 rows recorded, 2 there" in said
    assert "`orchestrator verify --repair` marks them, so that the next `run --stale` does them again" in said
    assert (
        "shop.kept: running it again brings back nothing that is lost; `orchestrator run shop.kept --full-refresh`"
        in said
    )
    assert main(["verify", *place, "raw.planes", "--repair", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["marked"], document["differences"][0]["there"]) == (1, 2)
    assert main(["verify", *place, "raw.planes"]) == 0
