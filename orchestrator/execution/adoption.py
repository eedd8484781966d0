"""Adopts tables that existed before us: they are recorded as written, though nobody here saw them being written."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.definitions.events import Materialization, PlannedStep, RunFinished, RunStarted
from orchestrator.definitions.facts import Facts
from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import PlanError
from orchestrator.execution.executor import current_user, new_run_id
from orchestrator.execution.journal import Journal, now
from orchestrator.execution.ops import Op
from orchestrator.graph.model import Writer
from orchestrator.plan.versions import Versions
from orchestrator.workspace import Workspace

GOOD = ("success", "pass", "warn", "no-op")
_VIEWS = ("view", "materialized_view")


@dataclass(frozen=True, slots=True)
class Adoption:
    """What was adopted, and what was not: {asset: why}."""

    run_id: str | None
    adopted: tuple[AssetKey, ...]
    left_out: Mapping[AssetKey, str]


def read_run_results(path: Path) -> frozenset[str]:
    """unique_ids that dbt built well, from a run_results.json. Raises PlanError."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
        return frozenset(item["unique_id"] for item in results if item.get("status") in GOOD)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise PlanError(
            f"cannot read dbt results from {path}: {exc}", fix="give a run_results.json that dbt wrote"
        ) from exc


def adopt(
    workspace: Workspace, selected: Iterable[AssetKey], *, built: Collection[str] | None = None, command: str = ""
) -> Adoption:
    """Record the selected assets that are there and have no record yet as *adopted*, with today's code.

    What is there is looked up in the warehouse, or taken from `built` (unique_ids that dbt built well).
    Raises DefinitionErrors, and PlanError where neither way is open.
    """
    workspace.require_sound()
    if built is None and workspace.database is None:
        raise PlanError(
            "this warehouse cannot be looked into from here",
            fix="pass dbt's own record of its last build: --run-results target/run_results.json",
        )
    wanted, facts = set(selected), workspace.facts()
    candidates: list[tuple[AssetKey, Writer, Materialization]] = []
    left_out: dict[AssetKey, str] = {}
    try:
        for key in workspace.graph.assets:
            if key not in wanted:
                continue
            for writer in workspace.graph[key].writers:
                found = _candidate(workspace, key, writer, facts, built)
                if isinstance(found, str):
                    left_out[key] = found
                else:
                    candidates.append((key, writer, found))
    finally:
        if workspace.database is not None:
            workspace.database.close()
    if not candidates:
        return Adoption(None, (), left_out)
    run_id = _record(workspace, facts, candidates, command)
    return Adoption(run_id, tuple(key for key, _, _ in candidates), left_out)


def _candidate(
    workspace: Workspace, key: AssetKey, writer: Writer, facts: Facts, built: Collection[str] | None
) -> Materialization | str:
    """What is there, or why it is not adopted."""
    asset = workspace.graph[key]
    if asset.kind == "action":
        return "it is an action, which leaves no table"
    if (str(key), writer.id, None) in facts.writers:
        return "it has a record already"
    if built is not None:
        return Materialization() if writer.id in built else "dbt's results do not show it as built"
    database, relation = workspace.place_of(key)
    if database is None or relation is None:
        return "its table cannot be looked for"
    look = database.look(relation, rows=writer.strategy not in _VIEWS)
    if look is None:
        return "its table is not there"
    return Materialization(rows=look.rows, columns=look.columns, sample=look.sample if workspace.keep_samples else None)


def _record(
    workspace: Workspace,
    facts: Facts,
    candidates: list[tuple[AssetKey, Writer, Materialization]],
    command: str,
) -> str:
    run_id, environment = new_run_id(), workspace.environment
    steps = tuple(
        PlannedStep(str(key), writer.id, None, "build", "existed before its first run here")
        for key, writer, _ in candidates
    )
    journal = Journal(
        records=workspace.records,
        graph=workspace.graph,
        run_id=run_id,
        environment=environment,
        listeners=[],
        versions=Versions.recorded(workspace.graph, facts),
    )
    journal.emit(
        RunStarted(
            at=now(),
            run_id=run_id,
            environment=environment,
            command=command,
            selection="adopt",
            engine="local",
            by=f"{current_user()}@{socket.gethostname()}",
            pid=os.getpid(),
            steps=steps,
        )
    )
    for (key, writer, materialization), step in zip(candidates, steps, strict=True):
        intent = journal.intend(Op(writer.id, "asset", writer.engine, key, frozenset(), step=step))
        journal.succeed(intent, materialization=materialization, status="adopted", reason=step.reason, duration_s=0.0)
    journal.emit(RunFinished(at=now(), run_id=run_id, environment=environment, status="succeeded", duration_s=0.0))
    return run_id
