"""The state of each asset, from versions recorded at the start of attempts, never from clocks (DESIGN §3, §7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.definitions.facts import Facts, WriterFact
from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.model import Asset, AssetGraph, Check, Writer

State = Literal["fresh", "stale", "missing", "failed", "unknown", "running", "adopted", "external"]
# Worst first: an asset with several writers shows its worst one.
_WORST: tuple[State, ...] = ("unknown", "failed", "missing", "running", "stale", "adopted", "fresh", "external")


@dataclass(frozen=True, slots=True)
class AssetState:
    """A state and the reason for it, one short clause without a full stop."""

    state: State
    reason: str
    due_checks: frozenset[str] = frozenset()
    """Checks shown on the asset that have not seen what it holds now: new ones, and those whose run ended first."""


SameCode = frozenset[tuple[str, str]]
"""{(writer, recorded code version)}: versions proved to do the same as the writer's current one."""


def build_states(graph: AssetGraph, facts: Facts, *, same_code: SameCode = frozenset()) -> dict[AssetKey, AssetState]:
    """The state of every asset and action of the graph."""
    versions = current_versions(graph, facts)
    return {key: _asset_state(graph, asset, facts, versions, same_code) for key, asset in graph.assets.items()}


def newest_results(facts: Facts) -> dict[AssetKey, str]:
    """{asset: how its newest attempt ended}, for `result:` selections."""
    newest = sorted(facts.writers.values(), key=lambda fact: fact.at)
    return {AssetKey.parse(fact.key): fact.status for fact in newest}


def current_versions(graph: AssetGraph, facts: Facts) -> dict[AssetKey, str | None]:
    """{asset: its version}, the attempt id of its newest success; None if nothing is recorded for it.

    The version of an asset with several writers joins theirs.
    """
    versions: dict[AssetKey, str | None] = {}
    for key, asset in graph.assets.items():
        found = [facts.writers.get((str(key), writer.id, None)) for writer in asset.writers]
        known = [fact.version for fact in found if fact is not None and fact.version]
        versions[key] = "+".join(known) or None
    return versions


def _asset_state(
    graph: AssetGraph, asset: Asset, facts: Facts, versions: Mapping[AssetKey, str | None], same_code: SameCode
) -> AssetState:
    if asset.external:
        return AssetState("external", "written elsewhere")
    states = [_writer_state(asset, writer, facts, versions, same_code) for writer in asset.writers]
    worst = min(states, key=lambda item: _WORST.index(item.state))
    if worst.state == "fresh":
        worst = replace(worst, due_checks=_due_checks(graph, asset, facts))
    if worst.state in ("fresh", "stale", "adopted") and (failed := _failed_check(graph, asset, facts)):
        return AssetState("failed", failed)
    return worst


def _writer_state(
    asset: Asset, writer: Writer, facts: Facts, versions: Mapping[AssetKey, str | None], same_code: SameCode
) -> AssetState:
    fact = facts.writers.get((str(asset.key), writer.id, None))
    if fact is None:
        return AssetState("missing", "never built")
    match fact.status:
        case "running":
            return AssetState("running", f"run {fact.run_id} is writing it")
        case "unknown":
            return AssetState("unknown", f"run {fact.run_id} died while writing it")
        case "failed":
            return AssetState("failed", fact.reason or "the last attempt failed")
        case "cancelled":
            return AssetState("stale" if fact.version else "missing", "the last attempt was cancelled")
    state = _freshness(asset, writer, fact, versions, same_code)
    if fact.status == "adopted" and state.state == "fresh":
        return AssetState("adopted", "existed before its first run here")
    return state


def _freshness(
    asset: Asset, writer: Writer, fact: WriterFact, versions: Mapping[AssetKey, str | None], same_code: SameCode
) -> AssetState:
    if asset.kind == "action":
        return AssetState("fresh", "ran")
    if writer.code_version is None:
        return AssetState("stale", "its code cannot be compared, so it counts as changed")
    if writer.code_version != fact.code_version and (writer.id, fact.code_version) not in same_code:
        return AssetState("stale", "its code changed")
    for upstream in sorted(writer.reads):
        name = str(upstream)
        if name not in fact.inputs:
            return AssetState("stale", f"now also reads {name}")
        if versions.get(upstream) != fact.inputs[name]:
            return AssetState("stale", f"{name} has newer data")
    return AssetState("fresh", "up to date")


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


def _failed_check(graph: AssetGraph, asset: Asset, facts: Facts) -> str | None:
    for check in graph.checks_of[asset.key]:
        result = facts.checks.get(check.id)
        if result is not None and result.status == "failed" and check.severity == "error":
            return f"check {check.name} failed"
    return None
