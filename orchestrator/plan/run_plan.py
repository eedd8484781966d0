"""The plan of one run: the steps that would run and those that would not, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.definitions.events import PlannedStep
from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.model import Asset, AssetGraph, Check
from orchestrator.plan.states import AssetState


@dataclass(frozen=True, slots=True)
class SkippedCheck:
    """A check that touches the selection and is left out, and why."""

    check: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run does, in topological order. `steps` holds assets and actions; `checks` are ids of graph checks."""

    environment: str
    steps: tuple[PlannedStep, ...]
    checks: tuple[str, ...] = ()
    skipped_checks: tuple[SkippedCheck, ...] = ()
    selection: str = ""
    full_refresh: bool = False

    @property
    def to_build(self) -> tuple[PlannedStep, ...]:
        """The steps that would run."""
        return tuple(step for step in self.steps if step.action == "build")

    @property
    def is_empty(self) -> bool:
        """True when nothing would run, not even a check."""
        return not self.to_build and not self.checks


def build_run_plan(
    graph: AssetGraph,
    selected: Iterable[AssetKey],
    *,
    states: Mapping[AssetKey, AssetState],
    environment: str,
    selection: str = "",
    stale: bool = False,
    full_refresh: bool = False,
) -> RunPlan:
    """The plan that builds `selected`: all of it, or with `stale` only what is out of date.

    With `stale` an asset is built when its state is not fresh, or when something upstream of it is built in this
    same plan; a check also runs by itself when it has not seen what its assets hold now. External assets in the
    selection bring their checks along, nothing else.
    """
    wanted = set(selected)
    building: dict[AssetKey, str] = {}
    steps: list[PlannedStep] = []
    for key, asset in graph.assets.items():
        if key not in wanted or asset.external:
            continue
        reason, builds = _decide(graph, asset, states[key], building, stale=stale)
        if builds:
            building[key] = reason
        steps.extend(
            PlannedStep(
                key=str(key),
                writer=writer.id,
                partition=None,
                action="build" if builds else "skip",
                reason=reason,
                kind=asset.kind,
            )
            for writer in asset.writers
        )
    checks, skipped = _checks(graph, wanted, building, states, stale=stale)
    return RunPlan(
        environment=environment,
        steps=tuple(steps),
        checks=checks,
        skipped_checks=skipped,
        selection=selection,
        full_refresh=full_refresh,
    )


def _decide(
    graph: AssetGraph, asset: Asset, state: AssetState, building: Mapping[AssetKey, str], *, stale: bool
) -> tuple[str, bool]:
    rebuilt = sorted(key for key in graph.upstream[asset.key] if key in building)
    if not stale:
        return (state.reason if state.state != "fresh" else "selected"), True
    if state.state not in ("fresh", "adopted"):
        return state.reason, True
    if rebuilt:
        more = f" and {len(rebuilt) - 1} more" if len(rebuilt) > 1 else ""
        return f"{rebuilt[0]}{more} will be rebuilt first", True
    return state.reason, False


def _checks(
    graph: AssetGraph,
    wanted: set[AssetKey],
    building: Mapping[AssetKey, str],
    states: Mapping[AssetKey, AssetState],
    *,
    stale: bool,
) -> tuple[tuple[str, ...], tuple[SkippedCheck, ...]]:
    """dbt's eager rule: a check comes along when any asset it reads is built, unless another one is not there."""
    taken: list[str] = []
    skipped: list[SkippedCheck] = []
    for check in graph.checks:
        due = stale and check.key in wanted and check.id in states[check.key].due_checks
        if not due and not _touches(graph, check, wanted, building, stale=stale):
            continue
        absent = sorted(
            key for key in check.reads if key not in building and states[key].state in ("missing", "unknown")
        )
        if absent:
            skipped.append(SkippedCheck(check.id, f"{absent[0]} is not built and not selected"))
        else:
            taken.append(check.id)
    return tuple(taken), tuple(skipped)


def _touches(
    graph: AssetGraph, check: Check, wanted: set[AssetKey], building: Mapping[AssetKey, str], *, stale: bool
) -> bool:
    if any(key in building for key in check.reads):
        return True
    # A check on sources only has no step to follow: it runs when its source is selected.
    return not stale and all(graph[key].external for key in check.reads) and bool(check.reads & wanted)
