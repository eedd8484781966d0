"""Asking for a run: what is asked for, by whom it is answered, and definitions that change underneath."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import DefinitionErrors, SelectionError
from orchestrator.service.reload import LiveWorkspace
from orchestrator.service.requests import RunRequest, plan_request
from orchestrator.service.worker_spec import WorkerSpec
from orchestrator.workspace import Workspace, load_workspace

MODULE = """
from orchestrator import Warehouse, asset

warehouse = Warehouse.from_dbt()

@asset(warehouse.table("raw.flights"))
def flights():
    return [{"id": 1}]
"""
MORE = """
@asset(warehouse.table("raw.planes"), after=[flights])
def planes():
    return [{"id": 1}]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    name = f"live_{tmp_path.name}".replace("-", "_")
    (tmp_path / "orchestrator.toml").write_text(f'name = "live"\npython = "{name}"\n')
    (tmp_path / f"{name}.py").write_text(MODULE)
    return tmp_path


def test_a_request_says_what_a_person_would_type() -> None:
    asked = RunRequest(
        environment="prod", select=("tag:daily", "+marts.x"), exclude=("raw.a b",), stale=True, full_refresh=True
    )
    typed = "orchestrator run tag:daily +marts.x --exclude 'raw.a b' --stale --full-refresh --env prod"
    assert asked.command == typed
    assert asked.selection == "tag:daily +marts.x --exclude raw.a b"


def test_two_requests_are_two_runs_and_one_request_stays_one() -> None:
    first, second = RunRequest(environment="dev"), RunRequest(environment="dev")
    assert first.run_id != second.run_id
    assert RunRequest.from_parameters(first.as_parameters()) == first


def test_a_request_plans_what_the_command_line_would(root: Path) -> None:
    workspace = load_workspace(root)
    plan = plan_request(workspace, RunRequest(environment="default", select=("raw.flights+",)))
    assert [step.key for step in plan.to_build] == ["raw.flights"]
    with pytest.raises(SelectionError, match=r"raw\.flight"):
        plan_request(workspace, RunRequest(environment="default", select=("raw.flight",)))


def test_an_edited_module_is_read_again_and_a_broken_one_leaves_the_last_good_graph(root: Path) -> None:
    live = LiveWorkspace(lambda: load_workspace(root))
    assert live.refresh() is live.current, "nothing has changed: nothing is read"
    first = live.current
    assert keys(live.current.workspace) == ["raw.flights"]

    module(root).write_text(MODULE + MORE)
    assert keys(live.refresh().workspace) == ["raw.flights", "raw.planes"]
    assert live.current.id != first.id

    module(root).write_text(MODULE + "this is no Python")
    broken = live.refresh()
    assert (keys(broken.workspace), broken.is_last_good) == (["raw.flights", "raw.planes"], True)
    assert "SyntaxError" in broken.errors[0].what

    module(root).write_text(MODULE)
    mended = live.refresh()
    assert (keys(mended.workspace), mended.errors) == (["raw.flights"], ())


def test_the_app_notices_an_edit_without_waiting_for_it(root: Path) -> None:
    live = LiveWorkspace(lambda: load_workspace(root))
    module(root).write_text(MODULE + MORE)

    def noticed() -> bool:
        live.look()
        return keys(live.current.workspace) == ["raw.flights", "raw.planes"]

    eventually(noticed)


def test_broken_definitions_refuse_a_request(root: Path) -> None:
    module(root).write_text("this is no Python")
    with pytest.raises(DefinitionErrors):
        plan_request(load_workspace(root), RunRequest(environment="default"))


def test_the_password_of_the_api_is_on_no_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    spec = WorkerSpec(root=str(tmp_path), state_dir=str(tmp_path), api_url="http://127.0.0.1:1/api", auth="me:secret")
    assert "secret" not in " ".join(spec.command())
    variables = spec.variables()
    assert variables["PREFECT_API_AUTH_STRING"] == "me:secret"
    assert variables["PREFECT_API_URL"] == "http://127.0.0.1:1/api", "an inherited address moves no run"


def module(root: Path) -> Path:
    return next(root.glob("live_*.py"))


def keys(workspace: Workspace) -> list[str]:
    return sorted(map(str, workspace.graph.assets))


def eventually(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.1)
