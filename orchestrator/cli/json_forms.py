"""Assets, plans and runs as JSON-ready values. The contract is docs/reference/json.md; change both together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from orchestrator.cli.output import SCHEMA_VERSION
from orchestrator.definitions.events import Failure
from orchestrator.definitions.facts import Facts, WriterFact
from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.impact import Impact, LineageEntry
from orchestrator.graph.model import Asset, AssetGraph, Check, Consumer, UsedResource
from orchestrator.plan.reported import reported_checks
from orchestrator.plan.run_plan import RunPlan
from orchestrator.plan.states import AssetState
from orchestrator.records.views import CheckRecord, MaterializationRecord, RunDetail, RunSummary, StepRecord

States = Mapping[AssetKey, AssetState]
UNRECORDED = AssetState("missing", "nothing is recorded")


def asset_json(
    graph: AssetGraph,
    asset: Asset,
    *,
    states: States,
    facts: Facts,
    successes: Mapping[str, WriterFact] | None = None,
) -> dict[str, Any]:
    """One line of `ls --json`. For many assets, `successes` are the `newest_successes` of the facts."""
    state = states.get(asset.key, UNRECORDED)
    newest = (newest_successes(facts) if successes is None else successes).get(str(asset.key))
    return {
        "schema_version": SCHEMA_VERSION,
        "key": str(asset.key),
        "aliases": list(asset.aliases),
        "name": asset.name,
        "kind": asset.kind,
        "kinds": list(asset.kinds),
        "project": asset.project,
        "home": asset.home or None,
        "group": asset.group,
        "owners": list(asset.owners),
        "tags": list(asset.tags),
        "upstream": _keys(graph.upstream[asset.key]),
        "downstream": _keys(graph.downstream[asset.key]),
        "writers": [
            {
                "id": writer.id,
                "engine": writer.engine,
                "name": writer.name,
                "strategy": writer.strategy,
                "location": str(writer.location),
                "mode": writer.mode,
                "slot": writer.slot.name if writer.slot else None,
                "rows_of_slot": writer.slot.text if writer.slot else None,
                "state": state.writers[writer.id].state if writer.id in state.writers else state.state,
            }
            for writer in asset.writers
        ],
        "partitions": asset.partitions.to_json() if asset.partitions else None,
        "resources": [used_resource_json(item) for item in asset.resources],
        "checks": [_check_json(check, facts) for check in graph.checks_of[asset.key]],
        "location": str(asset.location),
        "description": asset.description,
        "relation": str(asset.relation) if asset.relation else None,
        "state": state.state,
        "state_reason": state.reason,
        "rows": newest.rows if newest else None,
        "last_at": _time(newest),
    }


def used_resource_json(item: UsedResource) -> dict[str, Any]:
    """A resource as one of its users has it."""
    return {
        "name": item.name,
        "type": item.type,
        "kinds": list(item.kinds),
        "location": str(item.location),
        "used_at": [str(place) for place in item.used_at],
    }


def describe_json(
    graph: AssetGraph,
    asset: Asset,
    *,
    states: States,
    facts: Facts,
    history: Iterable[MaterializationRecord],
) -> dict[str, Any]:
    """`describe KEY --json`: the asset with its columns, newest success, attempts and recorded values."""
    attempts = list(history)
    latest = next((attempt for attempt in attempts if attempt.version), None)
    return {
        **asset_json(graph, asset, states=states, facts=facts),
        "checks": [
            _check_json(check, facts) for check in (*graph.checks_of[asset.key], *reported_checks(asset, facts))
        ],
        "columns": columns_json(asset, latest),
        "latest": None if latest is None else _latest_json(latest),
        "history": [_attempt_json(attempt) for attempt in attempts],
        "metadata": {name: dict(value) for name, value in latest.metadata.items()} if latest else {},
    }


def columns_json(asset: Asset, latest: MaterializationRecord | None) -> list[dict[str, Any]]:
    """Columns as seen in the warehouse, with declared descriptions; what was only declared comes last."""
    declared = {column.name.lower(): column for column in asset.columns}
    seen = [(column.name, column.type) for column in latest.columns] if latest else []
    names = {name.lower() for name, _ in seen}
    everything = seen + [(column.name, column.type or "") for key, column in declared.items() if key not in names]
    return [
        {
            "name": name,
            "type": type_ or None,
            "description": declared[name.lower()].description if name.lower() in declared else "",
        }
        for name, type_ in everything
    ]


def plan_json(plan: RunPlan) -> dict[str, Any]:
    """`plan --json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "environment": plan.environment,
        "selection": plan.selection,
        "full_refresh": plan.full_refresh,
        "steps": [
            {
                "key": step.key,
                "writer": step.writer,
                "partition": step.partition,
                "action": step.action,
                "reason": step.reason,
                "kind": step.kind,
            }
            for step in plan.steps
            if step.kind != "hook"
        ],
        "checks": list(plan.checks),
        "skipped_checks": [{"check": skipped.check, "reason": skipped.reason} for skipped in plan.skipped_checks],
    }


def lineage_json(graph: AssetGraph, entries: Iterable[LineageEntry], *, states: States) -> list[dict[str, Any]]:
    """`lineage KEY --json`."""
    return [
        {
            "schema_version": SCHEMA_VERSION,
            "key": str(entry.key),
            "direction": entry.direction,
            "distance": entry.distance,
            "upstream": [str(parent) for parent in entry.parents],
            "kinds": list(graph[entry.key].kinds),
            "home": graph[entry.key].home or None,
            "owners": list(graph[entry.key].owners),
            "state": states.get(entry.key, UNRECORDED).state,
        }
        for entry in entries
    ]


def impact_json(graph: AssetGraph, impact: Impact) -> list[dict[str, Any]]:
    """`impact KEY --json`: assets nearest first, then consumers, then checks."""
    assets = [
        _impacted("action" if graph[item.key].kind == "action" else "asset", str(item.key), graph[item.key].owners)
        | {"distance": item.distance, "via": str(item.via), "location": str(graph[item.key].location)}
        for item in impact.assets
    ]
    consumers = [
        _impacted(consumer.kind, consumer.name, consumer.owners)
        | {"distance": None, "via": _via(impact, consumer.reads), "location": _place(consumer)}
        for consumer in impact.consumers
    ]
    checks = [
        _impacted("check", check.name, graph[check.key].owners)
        | {"distance": None, "via": str(check.key), "location": str(check.location)}
        for check in impact.checks
    ]
    return [*assets, *consumers, *checks]


def run_json(run: RunSummary) -> dict[str, Any]:
    """One line of `runs --json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run.run_id,
        "environment": run.environment,
        "status": run.status,
        "reason": run.reason,
        "command": run.command,
        "selection": run.selection,
        "engine": run.engine,
        "by": run.by,
        "started_at": run.started_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "duration_s": run.duration_s,
        "counts": dict(run.counts),
        "check_counts": dict(run.check_counts),
        "failed": list(run.failed),
    }


def run_detail_json(run: RunDetail) -> dict[str, Any]:
    """`runs RUN --json`."""
    return {
        **run_json(run),
        "steps": [_step_json(step) for step in run.steps if step.kind != "hook"],
        "checks": [_check_result_json(check) for check in run.checks],
        "log": [
            {"at": line.at.isoformat(), "level": line.level, "message": line.message, "key": line.key}
            for line in run.log
        ],
    }


def failure_json(failure: Failure | None) -> dict[str, Any] | None:
    """Why something failed."""
    if failure is None:
        return None
    return {"message": failure.message, "traceback": failure.traceback, "compiled_path": failure.compiled_path}


def newest_successes(facts: Facts) -> dict[str, WriterFact]:
    """{asset's key: the newest success of any of its writers}; made once for a list of assets.

    With partitions its rows are those of all partitions together.
    """
    found: dict[str, WriterFact] = {}
    rows: dict[str, int] = {}
    for fact in facts.writers.values():
        known = found.get(fact.key)
        if fact.version and (known is None or _succeeded_at(fact) > _succeeded_at(known)):
            found[fact.key] = fact
        if fact.version and fact.partition is not None:
            rows[fact.key] = rows.get(fact.key, 0) + (fact.rows or 0)
    return {key: replace(fact, rows=rows[key]) if fact.partition is not None else fact for key, fact in found.items()}


def _succeeded_at(fact: WriterFact) -> datetime:
    return fact.version_at or fact.at


def _latest_json(latest: MaterializationRecord) -> dict[str, Any]:
    return {
        "at": latest.at.isoformat(),
        "run_id": latest.run_id,
        "by": latest.by,
        "rows": latest.rows,
        "duration_s": latest.duration_s,
        "writer": latest.writer,
        "code_version": latest.code_version,
        "inputs": dict(latest.inputs),
    }


def _attempt_json(attempt: MaterializationRecord) -> dict[str, Any]:
    numbers = {name: value["value"] for name, value in attempt.metadata.items() if value.get("kind") == "number"}
    return {
        "at": attempt.at.isoformat(),
        "run_id": attempt.run_id,
        "by": attempt.by,
        "writer": attempt.writer,
        "partition": attempt.partition,
        "status": attempt.status,
        "reason": attempt.reason,
        "rows": attempt.rows,
        "duration_s": attempt.duration_s,
        "code_version": attempt.code_version,
        "numbers": numbers,
    }


def _check_json(check: Check, facts: Facts) -> dict[str, Any]:
    result = facts.checks.get(check.id)
    return {
        "id": check.id,
        "name": check.name,
        "kind": check.kind,
        "severity": check.severity,
        "column": check.column,
        "location": str(check.location),
        "status": result.status if result else None,
        "failures": result.failures if result else None,
    }


def _step_json(step: StepRecord) -> dict[str, Any]:
    return {
        "key": step.key,
        "writer": step.writer,
        "partition": step.partition,
        "kind": step.kind,
        "status": step.status,
        "reason": step.reason or step.plan_reason,
        "rows": step.rows,
        "duration_s": step.duration_s,
        "attempts": step.attempt,
        "failure": failure_json(step.failure),
    }


def _check_result_json(check: CheckRecord) -> dict[str, Any]:
    return {
        "check": check.check,
        "name": check.name,
        "key": check.key,
        "status": check.status,
        "severity": check.severity,
        "failures": check.failures,
        "reason": check.reason,
        "duration_s": check.duration_s,
        "failure": failure_json(check.failure),
    }


def _impacted(type_: str, name: str, owners: Iterable[str]) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "type": type_, "key": name, "owners": list(owners)}


def _via(impact: Impact, reads: frozenset[AssetKey]) -> str:
    broken = [impact.key, *(item.key for item in impact.assets)]
    return str(next((key for key in broken if key in reads), impact.key))


def _place(consumer: Consumer) -> str | None:
    return str(consumer.location) if consumer.location else None


def _keys(keys: Iterable[AssetKey]) -> list[str]:
    return [str(key) for key in sorted(keys)]


def _time(fact: WriterFact | None) -> str | None:
    at: datetime | None = (fact.version_at or fact.at) if fact else None
    return at.isoformat() if at else None
