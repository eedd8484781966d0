"""The state of each asset, from versions recorded at the start of attempts, never from clocks (DESIGN §3, §7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.definitions.facts import Facts, WriterFact
from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.model import Asset, AssetGraph, Check, Writer
from orchestrator.plan.reported import Reported, reported_checks, reported_results
from orchestrator.plan.versions import Versions

State = Literal["fresh", "stale", "missing", "failed", "unknown", "running", "adopted", "external"]
# Worst first: an asset with several writers shows its worst one.
_WORST: tuple[State, ...] = ("unknown", "failed", "missing", "running", "stale", "adopted", "fresh", "external")


@dataclass(frozen=True, slots=True)
class WriterState:
    """A state and the reason for it, one short clause without a full stop."""

    state: State
    reason: str


@dataclass(frozen=True, slots=True)
class AssetState:
    """A state and the reason for it, one short clause without a full stop."""

    state: State
    reason: str
    writers: Mapping[str, WriterState] = field(default_factory=dict)
    """{writer id: its own state}; the asset's is the worst of them, or that of a failed check."""
    due_checks: frozenset[str] = frozenset()
    """Checks shown on the asset that have not seen what it holds now: new ones, and those whose run ended first."""


SameCode = frozenset[tuple[str, str]]
"""{(writer, recorded code version)}: versions proved to do the same as the writer's current one."""


def build_states(graph: AssetGraph, facts: Facts, *, same_code: SameCode = frozenset()) -> dict[AssetKey, AssetState]:
    """The state of every asset and action of the graph."""
    versions = Versions.recorded(graph, facts)
    reported = reported_results(facts)
    return {
        key: _asset_state(graph, asset, facts, versions, same_code, reported) for key, asset in graph.assets.items()
    }


def newest_results(facts: Facts) -> dict[AssetKey, str]:
    """{asset: how its newest attempt ended}, for `result:` selections."""
    newest = sorted(facts.writers.values(), key=lambda fact: fact.at)
    return {AssetKey.parse(fact.key): fact.status for fact in newest}


def _asset_state(
    graph: AssetGraph, asset: Asset, facts: Facts, versions: Versions, same_code: SameCode, reported: Reported
) -> AssetState:
    if asset.external:
        return AssetState("external", f"written in project '{asset.home}'" if asset.home else "written elsewhere")
    writers = {writer.id: _writer_state(asset, writer, facts, versions, same_code) for writer in asset.writers}
    worst = min(writers.values(), key=lambda item: _WORST.index(item.state))
    if worst.state in ("fresh", "stale", "adopted") and (failed := _failed_check(graph, asset, facts, reported)):
        return AssetState("failed", failed, writers)
    due = _due_checks(graph, asset, facts) if worst.state == "fresh" else frozenset()
    return AssetState(worst.state, worst.reason, writers, due)


def _writer_state(asset: Asset, writer: Writer, facts: Facts, versions: Versions, same_code: SameCode) -> WriterState:
    fact = facts.writers.get((str(asset.key), writer.id, None))
    if fact is None:
        return WriterState("missing", "never built" if writer.mode == "insert" else "never ran")
    match fact.status:
        case "running":
            return WriterState("running", f"run {fact.run_id} is writing it")
        case "unknown":
            return WriterState("unknown", f"run {fact.run_id} died while writing it")
        case "failed":
            return WriterState("failed", fact.reason or "the last attempt failed")
        case "cancelled":
            return WriterState("stale" if fact.version else "missing", "the last attempt was cancelled")
    state = _freshness(asset, writer, fact, versions, same_code)
    if fact.status == "adopted" and state.state == "fresh":
        return WriterState("adopted", "existed before its first run here")
    return state


def _freshness(asset: Asset, writer: Writer, fact: WriterFact, versions: Versions, same_code: SameCode) -> WriterState:
    if asset.kind == "action":
        return WriterState("fresh", "ran")
    if writer.code_version is None:
        return WriterState("stale", "its code cannot be compared, so it counts as changed")
    if writer.code_version != fact.code_version and (writer.id, fact.code_version) not in same_code:
        return WriterState("stale", "its code changed")
    for name, version in versions.inputs(asset, writer).items():
        if name not in fact.inputs:
            return WriterState("stale", f"now also reads {name}")
        if version != fact.inputs[name]:
            return WriterState("stale", f"{name} has newer data")
    return WriterState("fresh", "up to date")


def _due_checks(graph: AssetGraph, asset: Asset, facts: Facts) -> frozenset[str]:
    """Without this a run that dies between a write and its check would leave it fresh and never checked."""
    checks = (check for check in graph.checks_of[asset.key] if check.kind != "unit_test")
    return frozenset(check.id for check in checks if _is_due(graph, check, facts))


def _is_due(graph: AssetGraph, check: Check, facts: Facts) -> bool:
    written = [facts.writers.get((str(key), writer.id, None)) for key in check.reads for writer in graph[key].writers]
    known = [fact for fact in written if fact is not None and fact.status in ("succeeded", "warned")]
    if len(known) < len(written):
        return False  # something is not there, or not as a run of ours left it
    result = facts.checks.get(check.id)
    if result is None or result.status in ("blocked", "cancelled"):
        return True
    # Of two runs the later one has seen the newest version; times are compared only between runs.
    return any(
        fact.version_run_id != result.run_id and fact.version_at is not None and fact.version_at > result.at
        for fact in known
    )


def _failed_check(graph: AssetGraph, asset: Asset, facts: Facts, reported: Reported) -> str | None:
    for check in (*graph.checks_of[asset.key], *reported_checks(asset, facts, reported)):
        result = facts.checks.get(check.id)
        if result is not None and result.status == "failed" and check.severity == "error":
            return f"check {check.name} failed"
    return None
