"""Prefect for real: its server, the flow around the executor, and what happens when Prefect goes away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar, cast

import psutil
import pytest

from orchestrator.definitions.events import (
    CheckFinished,
    Event,
    Failure,
    LogLine,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from orchestrator.definitions.settings import Secret, SettingError
from orchestrator.errors import ResourceLockedError, ServiceError
from orchestrator.execution.results import RunOptions, RunResult, StepWrapper
from orchestrator.service.connection import Connection, connected, import_quietly
from orchestrator.service.engine import EngineChoice, run_with_engine
from orchestrator.service.processes import free_port
from orchestrator.service.server import PrefectServer, api_answers, read_server
from tests.integration.workspaces import RAW, scene

pytestmark = pytest.mark.slow

T = TypeVar("T")


# The smoke test of everything whose versions pyproject.toml bounds: `import prefect` shows none of these faults.


def test_schedules_make_runs_and_task_runs_can_be_read(prefect_server: PrefectServer) -> None:
    with client(prefect_server) as api:
        from orchestrator.service.flows import materialize

        parameters = {"environment": "dev", "selection": "", "command": "smoke"}
        deployment = materialize.to_deployment("smoke", cron="*/5 * * * *", parameters=parameters)
        deployment_id = deployment.apply()

        from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

        mine = DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id]))
        scheduled = eventually(lambda: api.read_flow_runs(deployment_filter=mine))
        assert {run.state.name for run in scheduled} == {"Scheduled"}
        assert isinstance(api.read_task_runs(), list)
        api.delete_deployment(deployment_id)


def test_a_secret_block_is_read_where_it_is_kept(prefect_server: PrefectServer) -> None:
    here = Secret.prefect_block("story-token")
    with connected(Connection(prefect_server.api_url, auth=prefect_server.auth, home=prefect_server.home)):
        from prefect.blocks.system import Secret as Block

        Block(value="kept in prefect").save("story-token")
        assert cast(Secret, here).read() == "kept in prefect"
        with pytest.raises(SettingError, match="the Prefect block 'no-token' cannot be read: "):
            cast(Secret, Secret.prefect_block("no-token")).read()


# The flow around the executor.


def test_a_run_is_seen_in_prefect_with_its_tasks_nodes_logs_and_summary(
    prefect_server: PrefectServer, capfd: pytest.CaptureFixture[str]
) -> None:
    result = materialized(Story("seen"), prefect_server)

    assert result.status == "failed", "the executor's own result comes back"
    with client(prefect_server) as api:
        flow_run = the_flow_run(api, "seen")
        assert (flow_run.state.name, flow_run.state.message) == ("Failed", "the run failed: 1 step failed")
        assert flow_run.parameters == {"environment": "dev", "selection": "marts+", "command": "seen"}
        task_runs = settled_task_runs(api, flow_run, count=6)
        assert {name: (run.state.type.value, run.state.name) for name, run in task_runs.items()} == {
            "raw.flights": ("COMPLETED", "Completed"),
            "dbt build": ("COMPLETED", "Completed"),
            "staging.flights": ("COMPLETED", "Completed"),
            "marts.delays": ("FAILED", "Failed"),
            "marts.report": ("CANCELLED", "Blocked"),
            "not_null_id": ("COMPLETED", "Warned"),
        }
        assert task_runs["marts.delays"].state.message == "Binder Error: no such column"
        staging = task_runs["staging.flights"]
        assert staging.start_time < staging.end_time
        upstream = [item.id for item in staging.task_inputs["wait_for"]]
        assert upstream == [task_runs["raw.flights"].id], "Prefect's picture of the run has the edges"
        (summary,) = eventually(lambda: artifacts(api, flow_run))
        assert summary.startswith("# Run failed: 1 step failed\n")
        lines = eventually(lambda: found if "building staging" in (found := logs(api, flow_run)) else None)
        assert lines["building staging"] == staging.id, "a line about an asset stands with its task run"
    assert capfd.readouterr() == ("", ""), "the terminal is ours"


def test_results_and_errors_of_steps_pass_through_unchanged(prefect_server: PrefectServer) -> None:
    table, error = object(), ZeroDivisionError("no flights")
    seen: list[object] = []

    def run(listeners: Sequence[Callable[[Event], None]], wrap: StepWrapper) -> RunResult:
        def fail() -> None:
            raise error

        seen.append(in_thread(lambda: wrap.python_step("raw.{odd} name", lambda: table)))
        with pytest.raises(ZeroDivisionError) as raised:
            in_thread(lambda: wrap.python_step("raw.bad", fail))
        seen.append(raised.value)
        return outcome("succeeded")

    materialized(run, prefect_server, command="unchanged")

    assert seen == [table, error]


def test_what_the_executor_raises_is_raised_and_fails_the_flow(prefect_server: PrefectServer) -> None:
    def run(listeners: Sequence[Callable[[Event], None]], wrap: StepWrapper) -> RunResult:
        raise ResourceLockedError("the warehouse is in use")

    with pytest.raises(ResourceLockedError) as raised:
        materialized(run, prefect_server, command="locked")

    assert raised.value.what == "the warehouse is in use"
    with client(prefect_server) as api:
        assert the_flow_run(api, "locked").state.name == "Failed"


def test_a_cancelled_run_is_cancelled_in_prefect(prefect_server: PrefectServer) -> None:
    materialized(lambda *_: outcome("cancelled"), prefect_server, command="cancelled")

    with client(prefect_server) as api:
        assert the_flow_run(api, "cancelled").state.name == "Cancelled"


def test_the_handlers_of_signals_stay_ours_while_prefect_runs_the_flow(prefect_server: PrefectServer) -> None:
    ours = signal.getsignal(signal.SIGTERM)
    inside: list[object] = []

    def run(*_: object) -> RunResult:
        inside.append(signal.getsignal(signal.SIGTERM))
        return outcome("succeeded")

    materialized(run, prefect_server, command="signals")

    assert inside == [ours]
    assert signal.getsignal(signal.SIGTERM) is ours


def test_an_inherited_api_address_does_not_move_the_run(
    prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    materialized(lambda *_: outcome("succeeded"), prefect_server, command="not moved")

    with client(prefect_server) as api:
        assert the_flow_run(api, "not moved").state.name == "Completed"


def test_a_real_run_by_prefect_comes_out_as_a_local_one(prefect_server: PrefectServer, tmp_path: Path) -> None:
    shop = scene(
        tmp_path,
        {
            "models/sources.yml": RAW,
            "models/flights.sql": "select id from {{ source('raw', 'flights') }}",
            "models/broken.sql": "select nothing from {{ ref('flights') }}",
        },
        """
        @asset(warehouse.table("raw.flights"))
        def flights():
            return [{"id": 1}, {"id": 2}]
        """,
    )
    workspace = shop.load()
    choice = EngineChoice("prefect", "test", api_url=prefect_server.api_url, own_profile=False)

    result = run_with_engine(choice, workspace, shop.plan(workspace), options=RunOptions(command="real"))

    steps = {step.key: step.status for step in result.steps}
    assert steps == {"raw.flights": "succeeded", "shop.flights": "succeeded", "shop.broken": "failed"}
    assert (result.status, result.engine) == ("failed", "prefect")
    with client(prefect_server) as api:
        flow_run = the_flow_run(api, "real")
        assert flow_run.state.name == "Failed"
        task_runs = settled_task_runs(api, flow_run, count=4)
        assert {name: run.state.name for name, run in task_runs.items()} == {
            "raw.flights": "Completed",
            "dbt build": "Completed",
            "shop.flights": "Completed",
            "shop.broken": "Failed",
        }


# Losing Prefect.


def test_losing_prefect_in_the_middle_warns_once_and_the_run_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    heard: list[Event] = []
    with PrefectServer(tmp_path, for_one_run=True) as server:
        story = Story("lost", halfway=lambda: kill(server))
        result = materialized(story, server, listeners=[heard.append])

    assert result.status == "failed"
    assert story.told == [event for event in heard if not is_warning(event)], "nothing of the run is missing"
    (warning,) = filter(is_warning, heard)
    assert isinstance(warning, LogLine)
    assert warning.message.startswith(
        "Prefect does not answer any more; the run goes on without it and is recorded here in full, "
        "only Prefect's own view of it stays incomplete ("
    )
    assert capfd.readouterr() == ("", "")


def test_a_prefect_that_is_not_there_is_an_error_before_anything_starts(tmp_path: Path) -> None:
    started: list[int] = []
    connection = Connection(f"http://127.0.0.1:{free_port()}/api", home=tmp_path)

    def run(*_: object) -> RunResult:
        started.append(1)
        return outcome("succeeded")

    with pytest.raises(ServiceError) as raised:
        materialize_by(run, connection, command="nobody there")

    assert not started
    assert raised.value.what.startswith(f"Prefect at {connection.api_url} did not accept the run: ")
    assert raised.value.fix == "run without Prefect: --engine local"


# The server as a process.


def test_a_busy_port_is_given_up_for_another(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = busy.getsockname()[1]
        server = PrefectServer(tmp_path, for_one_run=True)
        server.launch(port=taken)
        try:
            server.wait()
            assert api_answers(server.api_url)
            assert server.api_url != f"http://127.0.0.1:{taken}/api"
        finally:
            server.stop()
    assert not api_answers(server.api_url)


def test_a_server_that_cannot_start_shows_its_last_words_and_the_way_without_it(tmp_path: Path) -> None:
    waited: list[float] = []
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "prefect.db").write_bytes(b"this is no database" * 100)

    with pytest.raises(ServiceError) as raised:
        PrefectServer(tmp_path, on_wait=waited.append).__enter__()

    first, *rest = raised.value.what.splitlines()
    assert first.startswith("the Prefect server stopped while starting (exit code ")
    assert any("file is not a database" in line for line in rest), rest
    assert raised.value.at == str(tmp_path / "logs" / "prefect-server.log")
    assert raised.value.fix == "run without Prefect: --engine local"
    assert waited, "the wait is shown"


def test_a_server_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    server = PrefectServer(tmp_path, patience_s=0.5)

    with pytest.raises(ServiceError, match="the Prefect server did not answer within 0 seconds"):
        server.__enter__()

    assert server.pid is None


def test_a_second_server_of_a_state_directory_has_a_database_of_its_own(tmp_path: Path) -> None:
    first, second = PrefectServer(tmp_path), PrefectServer(tmp_path)
    try:
        first.launch()
        second.launch()
        assert first.home == tmp_path / "prefect"
        assert second.home != first.home
    finally:
        second.stop()
        first.stop()

    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["logs", "prefect"]


# orchestrator dev.


def test_dev_serves_until_it_is_told_to_stop_and_leaves_nothing(tmp_path: Path) -> None:
    code = f"""
import os, sys
from pathlib import Path
from orchestrator.service.dev import run_dev
app = lambda port: ([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], os.environ)
sys.exit(run_dev(Path({str(tmp_path)!r}), app=app, state_dir=Path({str(tmp_path)!r}) / "state", environment="dev"))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        info = eventually(lambda: read_server(tmp_path / "state"), within_s=180)
        assert (info.pid, info.environment) == (process.pid, "dev")
        assert api_answers(info.api_url)
        family = psutil.Process(process.pid).children(recursive=True)
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert f"ServiceError: orchestrator dev runs here already, as process {process.pid}" in second.stderr
        process.terminate()
        said = process.stdout.read() if process.stdout else ""
    assert process.returncode == 0, said
    assert said.rstrip().endswith("stopped")
    assert f"app      {info.app_url}" in said
    assert not [member for member in family if member.is_running()]
    assert not (tmp_path / "state" / "dev.json").exists()


class Story:
    """A small run as the executor tells it: one Python step, two dbt models and a blocked one, a check."""

    def __init__(self, command: str, *, halfway: Callable[[], None] = lambda: None) -> None:
        self.command = command
        self.told: list[Event] = []
        self._halfway = halfway

    def __call__(self, listeners: Sequence[Callable[[Event], None]], wrap: StepWrapper) -> RunResult:
        def tell(kind: type[Event], **values: Any) -> None:
            event = kind(at=datetime.now(timezone.utc), run_id="r1", environment="dev", **values)
            self.told.append(event)
            for listener in listeners:
                listener(event)

        def build() -> None:
            staging = {"key": "staging.flights", "writer": "model.p.flights", "attempt_id": "a2"}
            tell(StepStarted, **staging, inputs={"raw.flights": "a1"})
            tell(LogLine, level="info", message="building staging", key="staging.flights")
            tell(StepFinished, **staging, status="succeeded", duration_s=0.1)
            check = {"check": "test.p.not_null", "name": "not_null_id", "key": "staging.flights", "severity": "warn"}
            tell(CheckFinished, **check, status="warned", failures=3, duration_s=0.1)
            marts = {"key": "marts.delays", "writer": "model.p.delays", "attempt_id": "a3"}
            tell(StepStarted, **marts)
            tell(StepFinished, **marts, status="failed", failure=Failure("Binder Error: no such column"))

        python = {"key": "raw.flights", "writer": "python:raw.flights", "attempt_id": "a1"}
        tell(RunStarted, command=self.command, selection="marts+", engine="prefect", by="me", pid=1, steps=())
        tell(StepStarted, **python)
        in_thread(lambda: wrap.python_step("raw.flights", lambda: None))
        tell(StepFinished, **python, status="succeeded", duration_s=0.1)
        self._halfway()
        in_thread(lambda: wrap.dbt_invocation("dbt build", build))
        blocked = {"key": "marts.report", "writer": "model.p.report", "attempt_id": None}
        tell(StepFinished, **blocked, status="blocked", reason="marts.delays failed")
        tell(RunFinished, status="failed", reason="1 step failed")
        return outcome("failed", reason="1 step failed")


def outcome(status: Any, *, reason: str = "") -> RunResult:
    return RunResult("r1", "dev", status, "prefect", steps=(), checks=(), duration_s=1.0, reason=reason)


def materialized(
    run: Any, server: PrefectServer, *, command: str = "", listeners: Sequence[Callable[[Event], None]] = ()
) -> RunResult:
    connection = Connection(server.api_url, home=server.home)
    return materialize_by(run, connection, command=command or run.command, listeners=listeners)


def materialize_by(
    run: Any, connection: Connection, *, command: str, listeners: Sequence[Callable[[Event], None]] = ()
) -> RunResult:
    import_quietly(connection)
    from orchestrator.service.flows import run_in_prefect

    return run_in_prefect(
        run, connection=connection, environment="dev", selection="marts+", command=command, listeners=listeners
    )


@contextmanager
def client(server: PrefectServer) -> Iterator[Any]:
    connection = Connection(server.api_url, home=server.home)
    with connected(connection):
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as api:
            yield api


def the_flow_run(api: Any, name: str) -> Any:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName

    (run,) = api.read_flow_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name])))
    return run


def settled_task_runs(api: Any, flow_run: Any, *, count: int) -> dict[str, Any]:
    """{name: task run}, once Prefect has written all of them down: it does so a little later."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    mine = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run.id]))

    def look() -> dict[str, Any] | None:
        runs = api.read_task_runs(flow_run_filter=mine)
        return {run.name: run for run in runs} if len(runs) >= count and all(r.state.is_final() for r in runs) else None

    return eventually(look)


def artifacts(api: Any, flow_run: Any) -> list[str]:
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run.id]))
    return [artifact.data for artifact in api.read_artifacts(artifact_filter=mine)]


def logs(api: Any, flow_run: Any) -> dict[str, Any]:
    """{message: id of the task run it belongs to}"""
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

    mine = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run.id]))
    return {line.message: line.task_run_id for line in api.read_logs(log_filter=mine, limit=200)}


def kill(server: PrefectServer) -> None:
    assert server.pid is not None
    for process in psutil.Process(server.pid).children(recursive=True):
        process.kill()
    eventually(lambda: not api_answers(server.api_url) or None)


def is_warning(event: Event) -> bool:
    return isinstance(event, LogLine) and event.level == "warning"


def in_thread(run: Callable[[], T]) -> T:
    """Steps run in plain threads of the executor."""
    found: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            found.append(run())
        except BaseException as error:  # noqa: BLE001  raised again below
            errors.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return found[0]


def eventually(look: Callable[[], T | None], *, within_s: float = 60) -> T:
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.2)
    return found
