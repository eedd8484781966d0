"""Assets whose work runs elsewhere, in whole runs: bare virtual environments, pods, files, stops, secrets."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator import external
from orchestrator.cli import main
from orchestrator.definitions.events import Event, JobSubmitted, LogLine, StepProgress
from tests.integration.workspaces import Ran, Scene, scene

pytestmark = pytest.mark.slow

MODELS = {
    "models/sources.yml": "sources: [{name: raw, tables: [{name: readings}]}]",
    "models/hourly.sql": "select station, temperature from {{ source('raw', 'readings') }}",
}
PYTHON = """
    import json, sqlite3, subprocess, sys, os
    from pathlib import Path
    import duckdb
    from orchestrator import ExternalPython, JobRequest, JobStatus, Materialization, RemoteJob, Secret, Shell

    ROOT = Path(__file__).parent
    BARE = ROOT / "bare" / "bin" / "python"
    switch = {}

    fetch = ExternalPython(
        BARE, script="jobs/fetch.py", env={"TOKEN": Secret.env("WEATHER_TOKEN")}, parameters={"out": str(ROOT / "out")}
    )

    @asset(warehouse.table("raw.readings"), timeout_s=120)
    def readings(context: Context):
        fetch.run(context, parameters=switch)
        return [json.loads(line) for line in (ROOT / "out" / "readings.jsonl").read_text().splitlines()]

    @asset(warehouse.table("ml.parquet"))
    def parquet(context: Context):
        ExternalPython(sys.executable, script="jobs/parquet.py", parameters={"out": str(ROOT / "out")}).run(context)
        return duckdb.connect().sql(f"from '{ROOT}/out/part.parquet'").to_arrow_table()

    @asset(warehouse.table("ml.lite"))
    def lite(context: Context):
        ExternalPython(BARE, script="jobs/lite.py", parameters={"out": str(ROOT / "out")}).run(context)
        with sqlite3.connect(ROOT / "out" / "lite.db") as connection:
            return [{"station": row[0], "late": row[1]} for row in connection.execute("select * from late")]

    @asset(warehouse.table("ml.duck"))
    def duck(context: Context):
        made = ExternalPython(sys.executable, script="jobs/duck.py", parameters={"out": str(ROOT / "out")}).run(context)
        warehouse.execute(context, "create schema if not exists ml")
        warehouse.execute(context, f"attach '{ROOT}/out/other.duckdb' as elsewhere (read_only)")
        warehouse.execute(context, "create or replace table ml.duck as from elsewhere.late")
        warehouse.execute(context, "detach elsewhere")
        return made

    class Pod(RemoteJob):
        '''A machine of its own: its directory, its Python, an empty environment; shared is only the bucket.'''

        poll_s = 0.05

        def submit(self, request: JobRequest):
            home = ROOT / "cluster" / request.name
            home.mkdir(parents=True)
            (home / "job.py").write_text((ROOT / "jobs" / "pod.py").read_text())
            (home / "orchestrator_external.py").write_text((ROOT / "client.py").read_text())
            process = subprocess.Popen(
                [BARE, "-I", "-c", "import sys; sys.path.insert(0, '.'); exec(open('job.py').read())"],
                cwd=home, env={**request.env, **switch.get("pod", {})}, start_new_session=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            switch.setdefault("processes", {})[process.pid] = process
            return {"pod": request.name, "pid": process.pid}

        def poll(self, handle):
            code = switch["processes"][handle["pid"]].poll()
            if code is None:
                return JobStatus("running")
            return JobStatus("succeeded") if code == 0 else JobStatus("failed", f"exit code {code}")

        def cancel(self, handle):
            switch["processes"][handle["pid"]].kill()
            switch["processes"][handle["pid"]].wait()

    pod = Pod()

    @asset(warehouse.table("ml.scores"))
    def scores(context: Context):
        pod.run(context, store=f"file://{ROOT}/bucket/orchestrator", parameters={"out": f"{ROOT}/bucket/scores.jsonl"})
        return [json.loads(line) for line in (ROOT / "bucket" / "scores.jsonl").read_text().splitlines()]

    stubborn = Shell("trap '' TERM; sleep 1000 & echo working; while true; do sleep 1; done", env={"MARK": str(ROOT)})

    @action(timeout_s=60)
    def endless(context: Context):
        stubborn.run(context)

    @action(timeout_s=0.5)
    def limited(context: Context):
        stubborn.run(context)
"""
JOBS = {
    "jobs/fetch.py": """
import json, os, sys
from pathlib import Path
from orchestrator_external import open_context

with open_context() as context:
    out = Path(context.parameters["out"])
    out.mkdir(exist_ok=True)
    print("token is", os.environ["TOKEN"])
    print("argv is", sys.argv)
    rows = [{"station": "EWR", "temperature": 3.5}, {"station": "LGA", "temperature": -1.0}]
    for number, row in enumerate(rows, start=1):
        context.progress(number, len(rows))
    (out / "readings.jsonl").write_text("".join(json.dumps(row) + chr(10) for row in rows))
    context.metadata["mean"] = sum(row["temperature"] for row in rows) / len(rows)
    context.metadata["warehouse"] = context.resources["warehouse"]
    context.metadata["before"] = context.previous.metadata["mean"] if context.previous else None
    context.check("two_stations", len(rows) == 2)
    blocking = context.parameters.get("blocking", True)
    context.check("warm", context.parameters.get("warm", True), message="it is cold", blocking=blocking)
    context.rows(len(rows))
    if context.parameters.get("broken"):
        raise ValueError("no rows from " + os.environ["TOKEN"])
""",
    "jobs/parquet.py": """
import duckdb
from orchestrator.external import open_context
with open_context() as context:
    duckdb.sql("select i as id from range(5) t(i)").write_parquet(context.parameters["out"] + "/part.parquet")
    context.metadata["files"] = 1
""",
    "jobs/lite.py": """
import sqlite3
from orchestrator_external import open_context
with open_context() as context, sqlite3.connect(context.parameters["out"] + "/lite.db") as connection:
    connection.executescript("create table late (station text, minutes int); insert into late values ('EWR', 12)")
    context.metadata["sqlite"] = sqlite3.sqlite_version
""",
    "jobs/duck.py": """
import duckdb
from orchestrator.external import open_context
with open_context() as context, duckdb.connect(context.parameters["out"] + "/other.duckdb") as connection:
    connection.execute("create table late as from range(7) t(minutes)")
    context.metadata["engine"] = "duckdb"
    context.rows(7)
""",
    "jobs/pod.py": """
import json, os, sys, time
from orchestrator_external import open_context
with open_context() as context:
    while os.environ.get("ENDLESS"):
        time.sleep(0.05)
    if os.environ.get("BROKEN"):
        os._exit(9)
    context.log.info("modules of others: %d", len([name for name in sys.modules if "orchestrator" in name]) - 1)
    with open(context.parameters["out"], "w") as file:
        file.write(json.dumps({"score": 0.5}) + chr(10))
    context.check("plausible", True)
    context.rows(1)
""",
}


def bare_venv(directory: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
    installed = subprocess.run(
        [directory / "bin" / "python", "-c", "import orchestrator"], capture_output=True, check=False, cwd="/"
    )
    assert installed.returncode != 0, "nothing else may be installed there"


class Elsewhere(Scene):
    def turn(self, **settings: Any) -> None:
        switch = sys.modules[self.module.stem].switch  # type: ignore[attr-defined]
        switch.clear()
        switch.update(settings)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    root = tmp_path_factory.mktemp("elsewhere")
    found = Elsewhere(scene(root, MODELS, PYTHON).root)
    bare_venv(root / "bare")
    (root / "out").mkdir()
    (root / "bucket").mkdir()
    shutil.copy(external.__file__, root / "client.py")
    for name, text in JOBS.items():
        found.write(name, text)
    return found


@pytest.fixture
def elsewhere(shared: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    monkeypatch.setenv("WEATHER_TOKEN", "t0k3n-of-weather")
    shared.load()
    shared.turn()
    for leftover in (shared.root / "out").iterdir():
        leftover.unlink()
    return shared


def log(ran: Ran, key: str) -> list[str]:
    return [event.message for event in ran.events if isinstance(event, LogLine) and event.key == key]


def test_a_script_in_a_bare_virtual_environment_feeds_an_asset(elsewhere: Elsewhere) -> None:
    ran = elsewhere.run("raw.readings+")
    assert ran.steps == {"raw.readings": "succeeded", "shop.hourly": "succeeded"}
    assert ran.checks == {"two_stations": "succeeded", "warm": "succeeded"}
    assert elsewhere.query("select station from raw.readings order by 1") == [("EWR",), ("LGA",)]
    progress = [(event.done, event.total) for event in ran.events if isinstance(event, StepProgress)]
    assert progress == [(1.0, 2.0), (2.0, 2.0)]
    latest = elsewhere.load().records.latest("dev", "raw.readings")
    assert latest is not None
    assert (latest.rows, latest.metadata["mean"]) == (2, {"kind": "number", "value": 1.25})
    described = latest.metadata["warehouse"]["value"]
    assert described["relation"] == {"database": "warehouse", "schema": "raw", "table": "readings"}
    assert (described["adapter"], described["path"]) == ("duckdb", str(elsewhere.root / "dbt" / "warehouse.duckdb"))
    again = elsewhere.run("raw.readings")
    assert again.status == "succeeded"
    latest = elsewhere.load().records.latest("dev", "raw.readings")
    assert latest is not None
    assert latest.metadata["before"] == {"kind": "number", "value": 1.25}, "it sees what was recorded before"


def test_what_was_reported_is_shown_like_everything_else(
    elsewhere: Elsewhere, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = elsewhere.run("raw.readings")
    monkeypatch.chdir(elsewhere.root)
    assert main(["runs", ran.result.run_id, "--json"]) == 0
    run = json.loads(capsys.readouterr().out)
    assert [(step["key"], step["status"], step["rows"]) for step in run["steps"]] == [("raw.readings", "succeeded", 2)]
    assert {check["name"]: check["status"] for check in run["checks"]} == {
        "two_stations": "succeeded",
        "warm": "succeeded",
    }
    assert main(["describe", "raw.readings", "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert [(check["name"], check["kind"], check["status"]) for check in described["checks"]] == [
        ("two_stations", "reported", "succeeded"),
        ("warm", "reported", "succeeded"),
    ]
    assert main(["describe", "raw.readings"]) == 0
    assert "two_stations" in capsys.readouterr().out


def test_a_failed_check_from_outside_fails_the_step_and_blocks(elsewhere: Elsewhere) -> None:
    elsewhere.turn(warm=False)
    ran = elsewhere.run("raw.readings+")
    assert ran.steps == {"raw.readings": "failed", "shop.hourly": "blocked"}
    assert ran.reasons["raw.readings"] == "jobs/fetch.py reported the failed check 'warm': it is cold"
    assert ran.checks == {"two_stations": "succeeded", "warm": "failed"}
    assert elsewhere.states()["raw.readings"] == "failed"


def test_a_failed_check_that_does_not_block_leaves_the_run_red_and_the_step_done(elsewhere: Elsewhere) -> None:
    elsewhere.turn(warm=False, blocking=False)
    ran = elsewhere.run("raw.readings+")
    assert ran.steps == {"raw.readings": "succeeded", "shop.hourly": "succeeded"}
    assert (ran.status, ran.checks["warm"]) == ("failed", "failed")
    assert elsewhere.reason("raw.readings") == "check warm failed"
    elsewhere.turn()
    assert elsewhere.run("raw.readings+").status == "succeeded"
    assert elsewhere.states()["raw.readings"] == "fresh"


def test_a_secret_is_nowhere_in_the_records(elsewhere: Elsewhere) -> None:
    elsewhere.turn(broken=True)
    ran = elsewhere.run("raw.readings")
    assert ran.reasons == {"raw.readings": "jobs/fetch.py failed: ValueError: no rows from ***"}
    assert "token is ***" in log(ran, "raw.readings")
    assert f"argv is ['{elsewhere.root}/jobs/fetch.py']" in log(ran, "raw.readings")
    (failure,) = [step.failure for step in ran.result.steps if step.failure]
    assert failure.traceback is not None
    assert failure.traceback.endswith("ValueError: no rows from ***")
    elsewhere.load().records.close()
    files = [path for path in (elsewhere.root / ".orchestrator").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"t0k3n-of-weather" in path.read_bytes()]


def test_files_that_others_write_are_loaded_by_the_asset(elsewhere: Elsewhere) -> None:
    ran = elsewhere.run("ml.parquet", "ml.lite", "ml.duck")
    assert ran.steps == {"ml.parquet": "succeeded", "ml.lite": "succeeded", "ml.duck": "succeeded"}, ran.reasons
    assert elsewhere.query("select (select sum(id) from ml.parquet), (select sum(minutes) from ml.duck)") == [(10, 21)]
    assert elsewhere.query("select * from ml.lite") == [("EWR", 12)]
    records = elsewhere.load().records
    found = {key: records.latest("dev", key) for key in ("ml.parquet", "ml.lite", "ml.duck")}
    assert {key: record and record.rows for key, record in found.items()} == {
        "ml.parquet": 5,
        "ml.lite": 1,
        "ml.duck": 7,
    }
    assert found["ml.duck"] is not None
    assert found["ml.duck"].metadata["engine"] == {"kind": "text", "value": "duckdb"}


def test_a_pod_that_shares_nothing_but_the_bucket(elsewhere: Elsewhere) -> None:
    ran = elsewhere.run("ml.scores")
    assert (ran.steps, ran.checks) == ({"ml.scores": "succeeded"}, {"plausible": "succeeded"}), ran.reasons
    assert elsewhere.query("select * from ml.scores") == [(0.5,)]
    assert "modules of others: 0" in log(ran, "ml.scores")
    (submitted,) = [event for event in ran.events if isinstance(event, JobSubmitted)]
    assert submitted.handle["pod"].startswith("ml-scores-")
    assert submitted.place.startswith(f"store=file://{elsewhere.root}/bucket/orchestrator/{ran.result.run_id}")
    assert submitted.job == "Pod"


def test_a_pod_that_dies(elsewhere: Elsewhere) -> None:
    elsewhere.turn(pod={"BROKEN": "1"})
    ran = elsewhere.run("ml.scores")
    assert ran.reasons == {"ml.scores": "Pod failed: exit code 9"}


def when_logged(text: str, cancel: threading.Event) -> Any:
    def listen(event: Event) -> None:
        if isinstance(event, (LogLine, JobSubmitted)) and text in str(getattr(event, "message", event.event)):
            cancel.set()

    return listen


def processes_of(elsewhere: Elsewhere) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MARK") == str(elsewhere.root):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def test_a_cancelled_run_cancels_its_pod(elsewhere: Elsewhere) -> None:
    elsewhere.turn(pod={"ENDLESS": "1"})
    cancel = threading.Event()
    ran = elsewhere.run("ml.scores", cancel=cancel, listeners=[when_logged("job_submitted", cancel)])
    assert (ran.status, ran.steps) == ("cancelled", {"ml.scores": "cancelled"})
    processes = sys.modules[elsewhere.module.stem].switch["processes"]  # type: ignore[attr-defined]
    assert [process.poll() for process in processes.values()] == [-9]


def test_a_cancelled_run_leaves_no_process(elsewhere: Elsewhere) -> None:
    cancel = threading.Event()
    times: list[float] = []

    def noted(event: Event) -> None:
        if cancel.is_set() and not times:
            times.append(time.monotonic())

    listeners = [when_logged("working", cancel), noted]
    ran = elsewhere.run("action.endless", cancel=cancel, listeners=listeners)
    ended = time.monotonic()
    assert (ran.status, ran.steps) == ("cancelled", {"action.endless": "cancelled"})
    assert ended - times[0] < 5  # three seconds for the command, the rest for a busy machine
    assert processes_of(elsewhere) == []


def test_a_time_limit_leaves_no_process(elsewhere: Elsewhere) -> None:
    ran = elsewhere.run("action.limited")
    assert ran.reasons == {"action.limited": "it ran longer than its time limit of 0.5 s and was stopped"}
    assert processes_of(elsewhere) == []
