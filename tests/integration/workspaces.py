"""Small workspaces that tests write to a temporary directory, run in process, and look at."""

from __future__ import annotations

import textwrap
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.config import DbtFlags
from orchestrator.definitions.events import Event
from orchestrator.definitions.keys import AssetKey
from orchestrator.execution.executor import run_plan
from orchestrator.execution.results import RunOptions, RunResult
from orchestrator.graph.selection import select
from orchestrator.plan.run_plan import RunPlan, build_run_plan
from orchestrator.workspace import Workspace, load_workspace
from tests.integration.dbt_projects import write_project

HEAD = """
from orchestrator import Context, Warehouse, action, asset, check
from orchestrator.dbt import models as dbt, sources
import time

warehouse = Warehouse.from_dbt()
"""
RAW = """
sources:
  - name: raw
    tables: [{name: flights}, {name: planes}]
"""


def write_workspace(directory: Path, dbt: Mapping[str, str], python: str = "", *, lock_timeout_s: float = 60) -> Path:
    """A workspace of a dbt project `shop` (profile as in `dbt_projects`) and one Python module."""
    package = f"scene_{uuid.uuid4().hex[:8]}"  # a name of its own: imported modules stay in the process
    write_project(directory / "dbt", dbt)
    (directory / f"{package}.py").write_text(HEAD + textwrap.dedent(python), encoding="utf-8")
    settings = f'name = "scene"\ndbt = "dbt"\npython = "{package}"\nlock_timeout_s = {lock_timeout_s}\n'
    (directory / "orchestrator.toml").write_text(settings, encoding="utf-8")
    return directory


@dataclass
class Ran:
    """How a run went, in the words that tests use."""

    result: RunResult
    events: list[Event]
    plan: RunPlan

    @property
    def status(self) -> str:
        return self.result.status

    @property
    def steps(self) -> dict[str, str]:
        """{key: status}"""
        return {step.key: step.status for step in self.result.steps}

    @property
    def reasons(self) -> dict[str, str]:
        """{key: reason} of the steps that have one"""
        return {step.key: step.reason for step in self.result.steps if step.reason}

    @property
    def checks(self) -> dict[str, str]:
        """{name: status}"""
        return {check.name: check.status for check in self.result.checks}

    def index(self, event: str, key: str) -> int:
        """The place of an event in the run's story."""
        return next(n for n, e in enumerate(self.events) if e.event == event and getattr(e, "key", None) == key)

    def before(self, first: str, then: str) -> bool:
        """True when `first` had ended before `then` began."""
        return self.index("step_finished", first) < self.index("step_started", then)


@dataclass
class Scene:
    """A workspace on disk."""

    root: Path
    environment: str | None = None
    said: list[str] = field(default_factory=list)

    def load(self, *, variables: Mapping[str, Any] | None = None) -> Workspace:
        flags = DbtFlags(vars=variables or {})
        workspace = load_workspace(self.root, flags=flags, environment=self.environment)
        workspace.say = self.said.append
        assert not workspace.errors, "\n\n".join(map(str, workspace.errors))
        return workspace

    def plan(self, workspace: Workspace, *selection: str, **more: Any) -> RunPlan:
        keys = select(workspace.graph, list(selection) or None)
        more.setdefault("everything", not selection)
        environment = workspace.environment
        return build_run_plan(workspace.graph, keys, states=workspace.states(), environment=environment, **more)

    def run(
        self,
        *selection: str,
        threads: int | None = None,
        fail_fast: bool = False,
        cancel: threading.Event | None = None,
        listeners: Sequence[Callable[[Event], None]] = (),
        variables: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Ran:
        workspace = self.load(variables=variables)
        plan = self.plan(workspace, *selection, **more)
        events: list[Event] = []
        result = run_plan(
            workspace,
            plan,
            options=RunOptions(threads=threads, fail_fast=fail_fast, command="orchestrator run"),
            listeners=[events.append, *listeners],
            cancel=cancel,
        )
        return Ran(result, events, plan)

    def states(self) -> dict[str, str]:
        """{key: state}, external assets left out"""
        found = self.load().states()
        return {str(key): state.state for key, state in found.items() if state.state != "external"}

    def reason(self, key: str) -> str:
        return self.load().states()[AssetKey.parse(key)].reason

    def write(self, file: str, text: str) -> None:
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    @property
    def module(self) -> Path:
        return next(self.root.glob("scene_*.py"))

    def query(self, sql: str, *, file: str = "warehouse.duckdb") -> list[tuple[Any, ...]]:
        """Rows of a statement on the warehouse, in a connection of its own."""
        import duckdb

        with duckdb.connect(str(self.root / "dbt" / file), read_only=True) as connection:
            return connection.execute(sql).fetchall()


def scene(directory: Path, dbt: Mapping[str, str], python: str = "", **more: Any) -> Scene:
    return Scene(write_workspace(directory, dbt, python, **more))
