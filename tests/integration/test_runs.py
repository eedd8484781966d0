"""Real dbt and DuckDB, whole runs: order, what failures block, nothing green that is not."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.definitions.events import Event, StepFinished, StepStarted
from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import RecordsError
from orchestrator.execution.executor import run_plan
from orchestrator.records import Records
from tests.integration.workspaces import RAW, Ran, Scene, scene

pytestmark = pytest.mark.slow

ENDLESS = "select count(*) as n from range(1000000000) a, range(1000000000) b where hash(a.range, b.range) = 1"

SANDWICH = {
    "models/sources.yml": RAW + "  - name: ml\n    tables: [{name: delays}]\n",
    "models/flights.sql": "select id, {{ var('broken', '1') }} as one from {{ source('raw', 'flights') }}",
    "models/planes.sql": "select * from {{ source('raw', 'planes') }}",
    "models/fleet.sql": "select * from {{ ref('planes') }}",
    "models/report.sql": "select d.id from {{ source('ml', 'delays') }} d join {{ ref('flights') }} using (id)",
    "models/both.sql": "select f.id from {{ ref('flights') }} f join {{ ref('planes') }} using (id)",
    "models/checks.yml": """
        models:
          - name: flights
            columns:
              - {name: id, data_tests: [not_null]}
          - name: planes
            columns:
              - name: id
                data_tests: [{accepted_values: {arguments: {values: [1, 2]}, config: {severity: warn}}}]
    """,
    "tests/as_many_planes.sql": """
        select 1 from (select id from {{ ref('flights') }} where id is not null) f
        full join {{ ref('planes') }} p using (id) where f.id is null or p.id is null
    """,
}
SANDWICH_PYTHON = """
switch = {"flights": [{"id": 1}, {"id": 2}], "planes": [{"id": 1}, {"id": 2}], "check": True}

@asset(warehouse.table("raw.flights"))
def flights():
    if isinstance(switch["flights"], str):
        raise ValueError(switch["flights"])
    return switch["flights"]

@asset(warehouse.table("raw.planes"))
def planes():
    return switch["planes"]

@asset(warehouse.table("ml.delays"))
def delays(context: Context):
    context.metadata["late"] = 3
    return dbt.flights.read(context)

@check(dbt.planes)
def planes_are_fine(frame):
    return switch["check"]

@action(after=[dbt.report], retries=5, retry_delay_s=0.2)  # DuckDB refuses while another step reads
def tidy(context: Context):
    warehouse.execute(context, "CHECKPOINT")
"""
EVERYTHING = {
    "raw.flights",
    "raw.planes",
    "shop.flights",
    "shop.planes",
    "shop.fleet",
    "shop.both",
    "ml.delays",
    "shop.report",
    "action.tidy",
}


class Sandwich(Scene):
    """Python raw.flights → dbt flights → Python ml.delays → dbt report → action; planes beside it; a join of both."""

    def turn(self, **settings: Any) -> None:
        """Change what the Python functions do from now on."""
        sys.modules[self.module.stem].switch.update(settings)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def shared_sandwich(tmp_path_factory: pytest.TempPathFactory) -> Sandwich:
    return Sandwich(scene(tmp_path_factory.mktemp("sandwich"), SANDWICH, SANDWICH_PYTHON).root)


@pytest.fixture
def sandwich(shared_sandwich: Sandwich) -> Sandwich:
    """The sandwich as it is when all is well. Shared: a test leaves nothing but rows."""
    shared_sandwich.load()
    shared_sandwich.turn(flights=[{"id": 1}, {"id": 2}], planes=[{"id": 1}, {"id": 2}], check=True)
    return shared_sandwich


def blocked(ran: Ran) -> set[str]:
    return {key for key, status in ran.steps.items() if status == "blocked"}


def succeeded(ran: Ran) -> set[str]:
    return {key for key, status in ran.steps.items() if status == "succeeded"}


# -- order


def test_python_and_dbt_take_turns_in_one_run(sandwich: Sandwich) -> None:
    ran = sandwich.run()
    assert (ran.status, ran.result.exit_code) == ("succeeded", 0), (ran.reasons, ran.result.reason)
    assert ran.steps == dict.fromkeys(EVERYTHING, "succeeded")
    assert ran.before("raw.flights", "shop.flights")
    assert ran.before("shop.flights", "ml.delays")
    assert ran.before("ml.delays", "shop.report")
    assert ran.before("shop.report", "action.tidy")
    assert ran.checks == {
        "not_null_flights_id": "succeeded",
        "accepted_values_planes_id__1__2": "succeeded",
        "as_many_planes": "succeeded",
        "planes_are_fine": "succeeded",
    }
    assert sandwich.query("select id from dev.report order by 1") == [(1,), (2,)]


def test_after_a_green_run_nothing_is_stale(sandwich: Sandwich) -> None:
    sandwich.run()
    ran = sandwich.run(stale=True)
    assert ran.plan.is_empty
    assert ran.status == "succeeded"
    assert ran.steps == dict.fromkeys(EVERYTHING, "up_to_date")


def test_what_was_read_is_recorded_with_its_version(sandwich: Sandwich) -> None:
    sandwich.run()
    facts = {key: fact for (key, _, _), fact in sandwich.load().facts().writers.items()}
    report = facts["shop.report"]
    assert dict(report.inputs) == {
        "ml.delays": facts["ml.delays"].version,
        "shop.flights": facts["shop.flights"].version,
    }
    workspace = sandwich.load()
    writer = workspace.graph[AssetKey("shop", "report")].writers[0]
    assert (report.code_version, report.status) == (writer.code_version, "succeeded")
    latest = workspace.records.latest("dev", "ml.delays")
    assert latest is not None
    assert (latest.rows, dict(latest.metadata["late"])) == (2, {"kind": "number", "value": 3})


# -- what a failure blocks


def test_a_failing_python_step_blocks_what_descends_from_it_and_nothing_else(sandwich: Sandwich) -> None:
    sandwich.turn(flights="no route to host")
    ran = sandwich.run()
    assert (ran.status, ran.result.exit_code) == ("failed", 1)
    assert ran.steps["raw.flights"] == "failed"
    assert blocked(ran) == {"shop.flights", "shop.both", "ml.delays", "shop.report", "action.tidy"}
    assert succeeded(ran) == {"raw.planes", "shop.planes", "shop.fleet"}
    assert ran.reasons["raw.flights"] == "ValueError: no route to host"
    assert ran.reasons["shop.flights"] == "raw.flights failed"
    assert ran.reasons["ml.delays"] == "raw.flights failed"
    failure = next(step.failure for step in ran.result.steps if step.key == "raw.flights")
    assert failure is not None
    assert failure.traceback is not None
    assert failure.traceback.splitlines()[0].endswith("in flights")
    assert sandwich.states()["raw.flights"] == "failed"
    assert sandwich.reason("raw.flights") == "ValueError: no route to host"


def test_a_failing_model_blocks_what_descends_from_it_and_nothing_else(sandwich: Sandwich) -> None:
    sandwich.turn(planes=[{"number": 1}])
    ran = sandwich.run()
    assert (ran.status, ran.result.exit_code) == ("failed", 1)
    assert ran.steps["shop.planes"] == "succeeded"  # `select *` takes any column
    assert ran.checks["accepted_values_planes_id__1__2"] == "failed"
    sandwich.turn(planes=[{"id": 1}, {"id": 2}], flights=[{"number": 1}])
    ran = sandwich.run()
    assert ran.steps["shop.flights"] == "failed"
    assert blocked(ran) == {"shop.both", "ml.delays", "shop.report", "action.tidy"}
    assert succeeded(ran) == {"raw.flights", "raw.planes", "shop.planes", "shop.fleet"}
    assert {ran.reasons[key] for key in blocked(ran)} == {"shop.flights failed"}
    assert ran.reasons["shop.flights"].startswith('Binder Error: Referenced column "id" not found')
    assert ran.checks["not_null_flights_id"] == "blocked"


def test_a_failing_check_with_severity_error_blocks_what_descends_from_its_asset(sandwich: Sandwich) -> None:
    sandwich.turn(flights=[{"id": None}, {"id": 1}, {"id": 2}])
    ran = sandwich.run()
    assert (ran.status, ran.result.exit_code) == ("failed", 1)
    assert ran.checks["not_null_flights_id"] == "failed"
    assert ran.steps["shop.flights"] == "succeeded"
    assert blocked(ran) == {"shop.both", "ml.delays", "shop.report", "action.tidy"}
    assert {ran.reasons[key] for key in blocked(ran)} == {"check not_null_flights_id on shop.flights failed"}
    assert sandwich.states()["shop.flights"] == "failed"
    assert sandwich.reason("shop.flights") == "check not_null_flights_id failed"
    # It is done again, and fails again, until the data is better.
    ran = sandwich.run(stale=True)
    assert ran.steps["shop.flights"] == "succeeded"
    assert blocked(ran) == {"shop.both", "ml.delays", "shop.report", "action.tidy"}
    sandwich.turn(flights=[{"id": 1}, {"id": 2}])
    assert sandwich.run("raw.flights+").status == "succeeded"


def test_a_failing_check_with_severity_warn_blocks_nothing(sandwich: Sandwich) -> None:
    sandwich.turn(flights=[{"id": 1}, {"id": 7}], planes=[{"id": 1}, {"id": 7}])
    ran = sandwich.run()
    assert (ran.status, ran.result.exit_code) == ("succeeded", 0)
    assert ran.checks["accepted_values_planes_id__1__2"] == "warned"
    assert ran.steps == dict.fromkeys(EVERYTHING, "succeeded")


def test_a_failing_check_of_two_assets_blocks_only_what_descends_from_both(sandwich: Sandwich) -> None:
    sandwich.turn(flights=[{"id": 1}])
    ran = sandwich.run()
    assert (ran.status, ran.result.exit_code) == ("failed", 1)
    assert ran.checks["as_many_planes"] == "failed"
    assert blocked(ran) == {"shop.both"}
    assert ran.reasons["shop.both"] == "check as_many_planes on shop.planes failed"
    assert succeeded(ran) == EVERYTHING - {"shop.both"}


def test_a_failing_python_check_blocks_dbt_models(sandwich: Sandwich) -> None:
    sandwich.turn(check=False)
    ran = sandwich.run()
    assert (ran.status, ran.result.exit_code) == ("failed", 1)
    assert ran.checks["planes_are_fine"] == "failed"
    assert blocked(ran) == {"shop.fleet", "shop.both"}
    assert {ran.reasons[key] for key in blocked(ran)} == {"check planes_are_fine on shop.planes failed"}


def test_fail_fast_starts_nothing_more(sandwich: Sandwich) -> None:
    sandwich.turn(flights="no route to host")
    ran = sandwich.run("raw.flights+", fail_fast=True)
    assert (ran.status, ran.result.exit_code) == ("failed", 1)
    assert ran.steps["raw.flights"] == "failed"
    assert set(ran.steps.values()) <= {"failed", "cancelled", "blocked"}


# -- no false green


def test_an_outcome_that_cannot_be_recorded_is_not_green(sandwich: Sandwich) -> None:
    workspace = sandwich.load()
    plan = sandwich.plan(workspace, "raw.planes+")

    class Forgetful(Records):
        """Cannot write down how shop.fleet ended."""

        def _append(self, connection: Any, added: Iterable[Event]) -> None:
            events = list(added)
            for event in events:
                if isinstance(event, StepFinished) and event.key == "shop.fleet" and event.attempt_id:
                    raise RecordsError("the disk is full")
            super()._append(connection, events)

    workspace.records = Forgetful(workspace.config.records_url)
    result = run_plan(workspace, plan)
    assert (result.status, result.exit_code) == ("failed", 1)
    assert result.reason == "RecordsError: the disk is full"
    assert "shop.fleet" not in {step.key for step in result.steps if step.status == "succeeded"}
    workspace.records.close()
    assert sandwich.run("raw.planes+", stale=True).status == "succeeded"
    assert sandwich.states()["shop.fleet"] == "fresh"


def test_records_that_fail_for_good_end_the_run_with_an_error(sandwich: Sandwich) -> None:
    workspace = sandwich.load()
    plan = sandwich.plan(workspace, "raw.planes+")

    class Full(Records):
        """Fails from the first outcome on."""

        full = False

        def _append(self, connection: Any, added: Iterable[Event]) -> None:
            events = list(added)
            self.full = self.full or any(isinstance(event, StepFinished) and event.attempt_id for event in events)
            if self.full:
                raise RecordsError("the disk is full")
            super()._append(connection, events)

    workspace.records = Full(workspace.config.records_url)
    with pytest.raises(RecordsError, match="the disk is full"):
        run_plan(workspace, plan)
    workspace.records.close()
    assert sandwich.run("raw.planes+", stale=True).status == "succeeded"


def test_a_gate_that_breaks_is_not_green(sandwich: Sandwich, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.execution.dbt_steps import DbtSteps

    def broken(self: DbtSteps, unique_id: str) -> None:
        raise RuntimeError("the gate is broken")

    monkeypatch.setattr(DbtSteps, "start", broken)
    ran = sandwich.run("raw.planes+")
    assert (ran.status, ran.result.exit_code) == ("failed", 1)
    assert ran.steps["shop.planes"] == "failed"
    assert "the gate is broken" in ran.reasons["shop.planes"]
    assert succeeded(ran) == {"raw.planes"}


def test_a_listener_that_breaks_does_not_change_the_run(sandwich: Sandwich) -> None:
    def broken(event: Event) -> None:
        raise BrokenPipeError("nobody listens")

    ran = sandwich.run("raw.planes+", listeners=[broken])
    assert ran.status == "succeeded"
    log = sandwich.load().records.log_lines(ran.result.run_id)
    assert [line.message for line in log] == ["a listener failed and is not told any more: nobody listens"]


def test_dbt_that_crashes_in_the_middle_is_not_green(sandwich: Sandwich, monkeypatch: pytest.MonkeyPatch) -> None:
    from dbt.adapters.duckdb.impl import DuckDBAdapter

    real = DuckDBAdapter.execute

    def crashing(self: Any, sql: str, *args: Any, **kwargs: Any) -> Any:
        if "fleet" in sql:
            raise SystemExit("the adapter is gone")
        return real(self, sql, *args, **kwargs)

    monkeypatch.setattr(DuckDBAdapter, "execute", crashing)
    ran = sandwich.run("raw.planes+")
    assert (ran.status, ran.result.exit_code) == ("failed", 1)
    assert ran.steps["shop.fleet"] in ("failed", "unknown")


# -- stopping

FOREIGN = """
import sys, duckdb
duckdb.connect(sys.argv[1]).execute("select 1")
"""


def assert_free(scene: Scene) -> None:
    """Another process can open the database file for writing."""
    file = scene.root / "dbt" / "warehouse.duckdb"
    subprocess.run([sys.executable, "-c", FOREIGN, str(file)], check=True, capture_output=True)
    assert not Path(f"{file}.holder").exists()


SLOW = {
    "models/sources.yml": RAW,
    "models/endless.sql": f"{{{{ config(materialized='table') }}}} {ENDLESS}",
    "models/after_endless.sql": "select * from {{ ref('endless') }}",
    "models/quick.sql": "select 1 as id",
}
SLOW_PYTHON = f"""
@asset(warehouse.table("raw.loop"))
def loop():
    while True:
        time.sleep(0.01)

@asset(warehouse.table("raw.query"))
def query(context: Context):
    return context.connection(warehouse).sql("{ENDLESS}").to_arrow_table()

@asset(warehouse.table("raw.limited"), timeout_s=0.3)
def limited():
    while True:
        time.sleep(0.01)

switch = {{"attempts": []}}

@asset(warehouse.table("raw.flaky"), retries=2, retry_delay_s=0.2)
def flaky(context: Context):
    switch["attempts"].append(time.monotonic())
    if context.attempt < 3:
        raise ConnectionError("try again")
    return [{{"attempt": context.attempt}}]

@asset(warehouse.table("raw.hopeless"), retries=1, retry_delay_s=0)
def hopeless():
    raise ConnectionError("never")
"""


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Endless queries and loops, and steps that fail at first."""
    return scene(tmp_path_factory.mktemp("slow"), SLOW, SLOW_PYTHON)


@pytest.mark.parametrize(
    ("selection", "running"),
    [("endless+", "shop.endless"), ("raw.loop", "raw.loop"), ("raw.query", "raw.query")],
    ids=["dbt model", "python loop", "python query"],
)
def test_a_cancelled_run_stops_at_once(slow: Scene, selection: str, running: str) -> None:
    cancel, at = threading.Event(), []

    def cancel_soon(event: Event) -> None:
        if isinstance(event, StepStarted) and event.key == running:
            threading.Timer(0.7, lambda: (at.append(time.monotonic()), cancel.set())).start()

    ran = slow.run(selection, cancel=cancel, listeners=[cancel_soon])
    took = time.monotonic() - at[0]
    assert (ran.status, ran.result.exit_code) == ("cancelled", 130)
    assert set(ran.steps.values()) == {"cancelled"}
    assert ran.reasons[running] == "the run was cancelled"
    assert took < 6, "about a second on a quiet machine"
    assert_free(slow)
    assert slow.states()[running] == "missing"


def test_a_run_cancelled_before_it_starts_runs_nothing(slow: Scene) -> None:
    cancel = threading.Event()
    cancel.set()
    ran = slow.run("endless+", "raw.loop", cancel=cancel)
    assert ran.status == "cancelled"
    assert set(ran.steps.values()) == {"cancelled"}


def test_a_step_that_runs_too_long_is_stopped_and_fails(slow: Scene) -> None:
    ran = slow.run("raw.limited")
    assert ran.status == "failed"
    assert ran.reasons["raw.limited"] == "it ran longer than its time limit of 0.3 s and was stopped"
    assert_free(slow)


def test_a_failing_step_is_tried_again_after_its_delay(slow: Scene) -> None:
    ran = slow.run("raw.flaky")
    assert ran.status == "succeeded"
    times = sys.modules[slow.module.stem].switch["attempts"]  # type: ignore[attr-defined]
    assert len(times) == 3
    assert all(later - earlier >= 0.2 for earlier, later in itertools.pairwise(times))
    finished = [event for event in ran.events if isinstance(event, StepFinished)]
    assert [(event.status, event.will_retry) for event in finished] == [
        ("failed", True),
        ("failed", True),
        ("succeeded", False),
    ]
    assert slow.query("select attempt from raw.flaky") == [(3,)]


def test_the_last_failure_counts(slow: Scene) -> None:
    ran = slow.run("raw.hopeless")
    assert ran.status == "failed"
    assert ran.reasons["raw.hopeless"] == "ConnectionError: never"


# -- two processes

CHILD = """
import sys
from pathlib import Path
from tests.integration.workspaces import Scene
ran = Scene(Path(sys.argv[1])).run(*sys.argv[2:])
print(ran.status)
"""


def start_child(scene: Scene, *selection: str) -> subprocess.Popen[str]:
    """`orchestrator run` in a process of its own."""
    scene.load()  # parsed here, where dbt is imported already
    repository = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(scene.root), *selection],
        cwd=repository,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_until(true: Any, *, timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_a_second_run_waits_for_the_first_and_says_who_holds_the_file(tmp_path: Path) -> None:
    python = """
        from pathlib import Path

        @asset(warehouse.table("raw.patient"))
        def patient():
            while not Path(__file__).with_name("go").exists():
                time.sleep(0.05)
            return [{"id": 1}]

        @asset(warehouse.table("raw.quick"))
        def quick():
            return [{"id": 2}]
    """
    ours = scene(tmp_path, {}, python)
    child = start_child(ours, "raw.patient")
    try:
        holder = Path(f"{tmp_path}/dbt/warehouse.duckdb.holder")
        wait_until(holder.exists)
        records = ours.load().records
        wait_until(records.runs)
        (first,) = records.runs()

        def let_go() -> None:
            wait_until(lambda: ours.said)
            (tmp_path / "go").touch()

        threading.Thread(target=let_go, daemon=True).start()
        ran = ours.run("raw.quick")
        assert ran.status == "succeeded"
        assert ours.said == [
            f"waiting for warehouse.duckdb: held by run {first.run_id} (`-c {tmp_path} raw.patient`, PID {child.pid}) "
            "(up to 60 s)"
        ]
        assert child.communicate(timeout=60)[0].strip() == "succeeded"
    finally:
        child.kill()
        child.wait()
    assert ours.states() == {"raw.patient": "fresh", "raw.quick": "fresh"}


def test_a_killed_run_is_lost_and_its_steps_are_done_again(tmp_path: Path) -> None:
    python = """
        from pathlib import Path

        @asset(warehouse.table("raw.flights"))
        def flights(context: Context):
            if not Path(__file__).with_name("go").exists():
                warehouse.execute(context, "create schema if not exists raw")
                warehouse.execute(context, "create table raw.half (id int)")
                Path(__file__).with_name("started").touch()
                time.sleep(600)
            return [{"id": 1}]
    """
    models = {
        "models/sources.yml": RAW,
        "models/first.sql": "select 1 as id",
        "models/flights.sql": "select first.id from {{ source('raw', 'flights') }} join {{ ref('first') }} using (id)",
    }
    ours = scene(tmp_path, models, python)
    child = start_child(ours)
    try:
        wait_until((tmp_path / "started").exists, timeout_s=120)
        wait_until(lambda: ours.states()["shop.first"] == "fresh", timeout_s=120)
    finally:
        child.kill()
        child.communicate()
    assert ours.states()["raw.flights"] == "unknown"  # looking is enough to find it
    (tmp_path / "go").touch()
    ran = ours.run(stale=True)
    lost = ours.load().records.runs()[1]
    assert (lost.status, lost.counts) == ("lost", {"cancelled": 1, "succeeded": 1, "unknown": 1})
    assert ran.status == "succeeded"
    assert ran.steps == {"raw.flights": "succeeded", "shop.first": "up_to_date", "shop.flights": "succeeded"}
    assert ours.query("select id from dev.flights") == [(1,)]


def test_a_run_killed_between_a_write_and_its_check_leaves_the_check_to_do(tmp_path: Path) -> None:
    python = """
        from pathlib import Path

        @asset(warehouse.table("raw.flights"))
        def flights():
            return [{"id": None}]

        @check(flights)
        def no_nulls(frame):
            if not Path(__file__).with_name("go").exists():
                Path(__file__).with_name("started").touch()
                time.sleep(600)
            return frame["id"].null_count == 0
    """
    ours = scene(tmp_path, {}, python)
    child = start_child(ours)
    try:
        wait_until((tmp_path / "started").exists, timeout_s=120)
    finally:
        child.kill()
        child.communicate()
    (tmp_path / "go").touch()
    ran = ours.run(stale=True)
    assert (ran.status, ran.steps, ran.checks) == ("failed", {"raw.flights": "up_to_date"}, {"no_nulls": "failed"})
    assert ours.states() == {"raw.flights": "failed"}


# -- dbt's own ways


def test_ephemeral_models_can_be_built_again_and_again_in_one_process(tmp_path: Path) -> None:
    models = {
        "models/eph.sql": "{{ config(materialized='ephemeral') }} select 1 as id",
        "models/one.sql": "select * from {{ ref('eph') }}",
        "models/two.sql": "select * from {{ ref('eph') }} join {{ ref('one') }} using (id)",
        # A name that is another's prefix, and a directory of the same name.
        "models/orders.sql": "select 1 as id",
        "models/orders/orders_x.sql": "select 2 as id",
        "models/orders/orders_y.sql": "select id from {{ ref('orders_x') }}",
        "selectors.yml": """
            selectors:
              - {name: nearly_nothing, default: true, definition: {method: fqn, value: one}}
        """,
    }
    ours = scene(tmp_path, models)
    for _ in range(3):
        ran = ours.run("one", "two")
        assert ran.status == "succeeded"
        assert ran.steps == {"shop.one": "succeeded", "shop.two": "succeeded"}
    # dbt's own `--select orders` builds the directory, and the default selector would narrow it to nothing.
    ran = ours.run("shop.orders")
    assert ran.steps == {"shop.orders": "succeeded"}
    assert ours.query("select view_name from duckdb_views() where schema_name = 'dev' order by 1") == [
        ("one",),
        ("orders",),
        ("two",),
    ]
    # An edit makes the model and what descends from it stale, nothing else.
    assert ours.run().status == "succeeded"
    ours.write("dbt/models/orders/orders_x.sql", "select 3 as id")
    ran = ours.run(stale=True)
    assert succeeded(ran) == {"shop.orders_x", "shop.orders_y"}
    assert ran.plan.steps[[step.key for step in ran.plan.steps].index("shop.orders_x")].reason == "its code changed"


def test_a_seed_read_as_a_source_is_loaded_first(tmp_path: Path) -> None:
    """dbt alone fails on an empty warehouse: it sees no edge between the two."""
    models = {
        "dbt_project.yml": 'name: shop\nversion: "1.0"\nprofile: shop\nseeds: {shop: {+schema: raw}}\n',
        "seeds/raw_orders.csv": "id\n1\n2\n",
        "models/sources.yml": """
            sources: [{name: ecom, schema: dev_raw, tables: [{name: raw_orders}]}]
        """,
        "models/orders.sql": "select * from {{ source('ecom', 'raw_orders') }} where {{ wanted() }}",
        "models/report.sql": "select count(*) as n from {{ ref('orders') }}",
        "macros/wanted.sql": "{% macro wanted() %}id > 0{% endmacro %}",
    }
    ours = scene(tmp_path, models)
    ran = ours.run()
    assert ran.status == "succeeded"
    assert ran.before("raw.raw_orders", "shop.orders")
    assert ours.query("select n from dev.report") == [(2,)]
    # A macro's edit reaches the models that call it, and what descends from them.
    ours.write("dbt/macros/wanted.sql", "{% macro wanted() %}id > 1{% endmacro %}")
    ran = ours.run(stale=True)
    assert ran.steps == {"raw.raw_orders": "up_to_date", "shop.orders": "succeeded", "shop.report": "succeeded"}
    assert ours.query("select n from dev.report") == [(1,)]


def test_two_targets_in_turn_never_touch_each_other(tmp_path: Path) -> None:
    models = {"models/a.sql": "select '{{ target.name }}' as target", "models/sources.yml": RAW}
    python = '@asset(warehouse.table("raw.where"))\ndef where(context: Context):\n'
    python += '    return [{"environment": context.environment}]\n'
    ours = scene(tmp_path, models, python)
    theirs = Scene(tmp_path, environment="prod")
    assert ours.run().status == "succeeded"
    assert theirs.states() == {"raw.where": "missing", "shop.a": "missing"}
    assert theirs.run().status == "succeeded"
    assert ours.run().status == "succeeded"
    tables = "select schema_name, view_name from duckdb_views() where not internal order by 1"
    assert ours.query(tables) == [("dev", "a")]
    assert theirs.query(tables, file="prod.duckdb") == [("prod", "a")]
    assert ours.query("select target from dev.a") == [("dev",)]
    assert theirs.query("select target from prod.prod.a", file="prod.duckdb") == [("prod",)]
    assert theirs.query("select environment from prod.raw.where", file="prod.duckdb") == [("prod",)]


FAILING = {
    "dbt_project.yml": """
        name: shop
        version: "1.0"
        profile: shop
        flags: {skip_nodes_if_on_run_start_fails: true}
        on-run-end: "{{ 'select * from nowhere' if var('break_the_end', false) else 'select 1' }}"
        on-run-start: "{{ 'select * from nowhere' if var('break_the_start', false) else 'select 1' }}"
    """,
    "models/good.sql": "select 1 as id",
    "models/uncompiled.sql": "select {{ exceptions.raise_compiler_error('not like this') if execute else 1 }} as id",
    "models/after.sql": "select * from {{ ref('uncompiled') }}",
    "models/tested.sql": "select id + 1 as id from {{ ref('good') }}",
    "models/after_tested.sql": "select * from {{ ref('tested') }}",
    "models/leaves.py": """
        def model(dbt, session):
            if True:
                raise SystemExit("gone")
            return dbt.ref("good")
    """,
    "models/after_leaves.sql": "select * from {{ ref('leaves') }}",
    "models/events.sql": """
        {{ config(materialized='table', event_time='ts') }}
        select cast(year || '-06-01' as timestamp) as ts, year from (values (2024), (2025), (2026)) as years(year)
    """,
    "models/yearly.sql": """
        {{ config(materialized='incremental', incremental_strategy='microbatch', event_time='ts', batch_size='year',
                  begin='2024-01-01') }}
        select ts, case when year = 2025 then error('a bad year: ' || year) else year end as year
        from {{ ref('events') }}
    """,
    "models/after_yearly.sql": "select * from {{ ref('yearly') }}",
    "models/tests.yml": """
        unit_tests:
          - name: adds_two
            model: tested
            given: [{input: ref('good'), rows: [{id: 1}]}]
            expect: {rows: [{id: 3}]}
          - name: takes_one
            model: passing
            given: [{input: ref('good'), rows: [{id: 1}, {id: 2}]}]
            expect: {rows: [{id: 1}]}
    """,
    "models/passing.sql": "{{ config(materialized='ephemeral') }} select id from {{ ref('good') }} where id = 1",
    "models/after_passing.sql": "select * from {{ ref('passing') }}",
}


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Everything in it fails in its own way, but for `good`."""
    return scene(tmp_path_factory.mktemp("failing"), FAILING)


def test_each_failure_is_named_and_blocks_its_own(failing: Scene) -> None:
    ran = failing.run()
    assert (ran.status, ran.result.exit_code) == ("failed", 1)
    assert ran.steps == {
        "shop.good": "succeeded",
        "shop.uncompiled": "failed",
        "shop.after": "blocked",
        "shop.tested": "blocked",
        "shop.after_tested": "blocked",
        "shop.leaves": "failed",
        "shop.after_leaves": "blocked",
        "shop.after_passing": "succeeded",
        "shop.events": "succeeded",
        "shop.yearly": "failed",
        "shop.after_yearly": "blocked",
    }
    assert ran.checks == {"adds_two": "failed", "takes_one": "succeeded"}
    assert ran.reasons == {
        "shop.uncompiled": "not like this",
        "shop.after": "shop.uncompiled failed",
        "shop.tested": "check adds_two on shop.tested failed",
        "shop.after_tested": "check adds_two on shop.tested failed",
        "shop.leaves": "SystemExit: gone",
        "shop.after_leaves": "shop.leaves failed",
        "shop.yearly": "PARTIAL SUCCESS (1/2): Invalid Input Error: a bad year: 2025",
        "shop.after_yearly": "shop.yearly [2025] failed",
    }


def test_building_only_the_parent_does_not_run_the_unit_test_of_its_child(failing: Scene) -> None:
    ran = failing.run("shop.good")
    assert (ran.status, ran.steps) == ("succeeded", {"shop.good": "succeeded"})
    assert ran.checks == {"takes_one": "succeeded"}  # shown on the parent, since its own model has no table


def test_a_failing_hook_fails_the_run_though_all_steps_are_green(failing: Scene) -> None:
    ran = failing.run("shop.good", variables={"break_the_end": True})
    assert (ran.status, ran.result.exit_code) == ("failed", 1)
    assert ran.steps == {"shop.good": "succeeded"}
    assert ran.result.reason.startswith("the hook shop-on-run-end-0 failed: Catalog Error: Table with name nowhere")


def test_a_failing_hook_at_the_start_is_named(failing: Scene) -> None:
    ran = failing.run("shop.good", variables={"break_the_start": True})
    assert (ran.status, ran.result.exit_code) == ("failed", 1)
    assert set(ran.steps.values()) == {"blocked"}
    assert ran.result.reason.startswith("the hook shop-on-run-start-0 failed: ")
    assert ran.reasons["shop.good"] == "the hook shop-on-run-start-0 failed"
