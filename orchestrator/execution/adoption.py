"""Adopts tables that existed before us: they are recorded as written, though nobody here saw them being written."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.definitions.events import Materialization, PlannedStep, RunFinished, RunStarted
from orchestrator.definitions.facts import Facts
from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.partitions import PartitionSet
from orchestrator.errors import PlanError
from orchestrator.execution.executor import current_user, new_run_id
from orchestrator.execution.journal import Journal, now
from orchestrator.execution.ops import Op
from orchestrator.execution.python_steps import partition_scope
from orchestrator.graph.model import Asset, Writer
from orchestrator.plan.versions import Versions
from orchestrator.workspace import Workspace

GOOD = ("success", "pass", "warn", "no-op")
EXISTED = "existed before its first run here"
VIEWS = ("view", "materialized_view")


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
    candidates: list[tuple[Op, Materialization]] = []
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
                    candidates.append(found)
    finally:
        if workspace.database is not None:
            workspace.database.close()
    if not candidates:
        return Adoption(None, (), left_out)
    run_id = _record(workspace, facts, candidates, command)
    return Adoption(run_id, tuple(op.key for op, _ in candidates), left_out)


def _candidate(
    workspace: Workspace, key: AssetKey, writer: Writer, facts: Facts, built: Collection[str] | None
) -> tuple[Op, Materialization] | str:
    """What is there, or why it is not adopted."""
    asset = workspace.graph[key]
    if asset.kind == "action":
        return "it is an action, which leaves no table"
    op = Op(writer.id, "asset", writer.engine, key, frozenset())
    if writer.partitions is None and (str(key), writer.id, None) in facts.writers:
        return "it has a record already"
    if built is not None and writer.id not in built:
        return "dbt's results do not show it as built"
    if writer.partitions is not None:
        known = [part for name, by, part in facts.writers if (name, by) == (str(key), writer.id) and part is not None]
        open_ones = writer.partitions.closed(as_of=now()) - writer.partitions.of_keys(known)
        found = open_ones if built is not None else _with_rows(workspace, asset, open_ones)
        if not found:
            return "no partition without a record has rows" if open_ones else "all its partitions have a record already"
        return replace(op, of_writer=writer.id, partitions=found), Materialization()
    if built is not None:
        return op, Materialization()
    database, relation = workspace.place_of(key)
    if database is None or relation is None:
        return "its table cannot be looked for"
    look = database.look(relation, rows=writer.strategy not in VIEWS)
    if look is None:
        return "its table is not there"
    sample = look.sample if workspace.keep_samples else None
    return op, Materialization(rows=look.rows, columns=look.columns, sample=sample)


def _with_rows(workspace: Workspace, asset: Asset, partitions: PartitionSet) -> PartitionSet:
    """The partitions of which there is at least a row."""
    database, relation = workspace.place_of(asset.key)
    if database is None or relation is None:
        return partitions.of.nothing()
    return partitions.of.of_keys(
        key for key in partitions if database.count(relation, scope=partition_scope(partitions.of, key))
    )


def _record(
    workspace: Workspace,
    facts: Facts,
    candidates: list[tuple[Op, Materialization]],
    command: str,
) -> str:
    told = [(op, EXISTED) for op, _ in candidates]
    journal = begin_recording(workspace, facts, told, selection="adopt", command=command)
    for op, materialization in candidates:
        for intent in journal.intend(op):
            journal.succeed(intent, materialization=materialization, status="adopted", reason=EXISTED, duration_s=0.0)
    end = RunFinished(
        at=now(), run_id=journal.run_id, environment=workspace.environment, status="succeeded", duration_s=0.0
    )
    journal.emit(end)
    return journal.run_id


def begin_recording(
    workspace: Workspace, facts: Facts, told: Sequence[tuple[Op, str]], *, selection: str, command: str
) -> Journal:
    """A run that runs nothing: it says something of what is there, by ops and the reason for each."""
    run_id, environment = new_run_id(), workspace.environment
    steps = tuple(
        PlannedStep(str(op.key), op.writer, partition, "build", reason)
        for op, reason in told
        for partition in op.partition_keys
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
            selection=selection,
            engine="local",
            by=f"{current_user()}@{socket.gethostname()}",
            pid=os.getpid(),
            steps=steps,
        )
    )
    return journal
