"""The example together with a second repository, which has a virtual environment of its own, and a published graph."""

from __future__ import annotations

import shutil
import sysconfig
import venv
from pathlib import Path

import duckdb
import pytest

from orchestrator.definitions.keys import AssetKey
from orchestrator.execution.executor import run_plan
from orchestrator.execution.results import RunOptions
from orchestrator.workspace import Workspace, load_workspace

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/fixtures"
pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example and the second project side by side, one warehouse for both."""
    monkeypatch.setenv("FLIGHTS_WAREHOUSE", str(tmp_path / "warehouse.duckdb"))
    example = tmp_path / "example"
    for name in ("dbt_project", "python_assets"):
        ignored = shutil.ignore_patterns("target", "logs", "*.duckdb", "__pycache__")
        shutil.copytree(ROOT / name, example / name, ignore=ignored)
    shutil.copytree(FIXTURES / "second_project", tmp_path / "second")
    shutil.copy(FIXTURES / "calendar_graph.json", tmp_path)
    (example / "orchestrator.toml").write_text(
        'name = "flights"\ndbt = "dbt_project"\npython = "python_assets"\n'
        '[projects.alliances]\npath = "../second"\nvenv = "../second/.venv"\n'
        '[projects.calendar]\ngraph = "../calendar_graph.json"\n',
        encoding="utf-8",
    )
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute("create schema calendar; create table calendar.holidays as select date '2013-07-04' as day")
    return example


def make_venv(directory: Path, *, with_orchestrator: bool = True) -> Path:
    """An environment that sees what is installed here, and one module more."""
    venv.create(directory, with_pip=False, symlinks=True)
    packages = next((directory / "lib").glob("python*/site-packages"))
    (packages / "only_in_its_own_environment.py").write_text("def spell(name):\n    return name.title()\n", "utf-8")
    if with_orchestrator:
        added = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(ROOT)]
        (packages / "shared.pth").write_text("\n".join(dict.fromkeys(added)) + "\n", "utf-8")
    return directory


def load(root: Path) -> Workspace:
    workspace = load_workspace(root)
    workspace.say = lambda line: None
    return workspace


def key(text: str) -> AssetKey:
    return AssetKey.parse(text)


def test_the_example_a_second_project_and_a_published_graph_are_one_graph_and_one_run(root: Path) -> None:
    make_venv(root.parent / "second/.venv")
    workspace = load(root)
    assert workspace.errors == ()
    graph = workspace.graph
    assert graph.upstream[key("alliances.members")] == {key("raw.airlines")}
    assert graph.upstream[key("alliances.carriers_by_alliance")] == {
        key("alliances.members"), key("raw.airlines"), key("calendar.holidays"),
    }  # fmt: skip
    assert graph.upstream[key("alliances.summary")] == {key("alliances.carriers_by_alliance")}
    assert {graph[key(name)].home for name in ("alliances.members", "alliances.summary")} == {"alliances"}
    assert (graph[key("calendar.holidays")].home, graph[key("raw.airlines")].home) == ("calendar", "")
    assert str(graph[key("alliances.members")].location) == "../second/assets/flights.py:11"

    plan = workspace.plan(["raw.airlines", "project:alliances"])
    result = run_plan(workspace, plan, options=RunOptions())
    failures = [step.failure for step in result.steps if step.failure] + [c.failure for c in result.checks if c.failure]
    assert (result.status, result.reason, failures) == ("succeeded", "", [])
    with duckdb.connect(str(root.parent / "warehouse.duckdb"), read_only=True) as connection:
        rows = connection.execute("select alliance, name_count from alliances.summary order by alliance").fetchall()
        assert connection.execute("select distinct holidays from alliances.carriers_by_alliance").fetchall() == [(1,)]
    assert rows == [("Oneworld", 2), ("Skyteam", 1), ("Star", 1)]
    latest = workspace.history.latest("dev", "alliances.members")
    assert latest is not None
    assert (latest.rows, latest.metadata["carriers"]["value"]) == (4, 4)
    assert latest.inputs == {"raw.airlines": workspace.history.latest("dev", "raw.airlines").version}  # type: ignore[union-attr]
    run = workspace.history.run(result.run_id, logs=True)
    assert run is not None
    assert ("info", "4 carriers", "alliances.members") in [(line.level, line.message, line.key) for line in run.log]
    states = load(root).states()
    assert {states[key(f"alliances.{name}")].state for name in ("members", "carriers_by_alliance", "summary")} == {
        "fresh"
    }


def test_an_error_there_is_told_with_its_own_traceback(root: Path) -> None:
    make_venv(root.parent / "second/.venv")
    module = root.parent / "second/assets/flights.py"
    module.write_text(module.read_text("utf-8").replace("found = [", "found = 1 / 0 or ["), "utf-8")
    workspace = load(root)
    result = run_plan(workspace, workspace.plan(["raw.airlines", "alliances.members"]), options=RunOptions())
    failed = next(step for step in result.steps if step.key == "alliances.members")
    assert failed.failure is not None
    assert failed.failure.message == "ZeroDivisionError: division by zero"
    assert 'second/assets/flights.py", line 17, in members' in (failed.failure.traceback or "")


def test_an_environment_without_orchestrator_is_said_to_have_none(root: Path) -> None:
    place = make_venv(root.parent / "second/.venv", with_orchestrator=False)
    workspace = load(root)
    assert [str(error) for error in workspace.errors] == [
        "PythonModuleError: the Python of project 'alliances' has no dbt-orchestrator\n"
        "  at:  orchestrator.toml:4\n"
        f"  fix: {place}/bin/python -m pip install dbt-orchestrator, in the version that is installed here"
    ]
    assert key("alliances.carriers_by_alliance") in workspace.graph  # its dbt project is there all the same


def test_a_module_that_does_not_import_there_is_an_error_of_that_project(root: Path) -> None:
    make_venv(root.parent / "second/.venv")
    (root.parent / "second/assets/broken.py").write_text("import no_such_module\n", encoding="utf-8")
    assert [str(error) for error in load(root).errors] == [
        "PythonModuleError: module 'alliances:assets.broken' does not import: ModuleNotFoundError: No module named "
        "'no_such_module'\n"
        "  at:  ../second/assets/broken.py:1\n"
        "  fix: install the package that has 'no_such_module', or correct the import"
    ]
