"""The plan of one run: the steps that would run and those that would not, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.definitions.events import PlannedStep
from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.model import Asset, AssetGraph
from orchestrator.plan.check_choice import CheckChoice, IndirectSelection, SkippedCheck, choose_checks
from orchestrator.plan.states import AssetState


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
    everything: bool = False,
    indirect: IndirectSelection = "eager",
    only_checks: frozenset[str] | None = None,
) -> RunPlan:
    """The plan that builds `selected`: all of it, or with `stale` only what is out of date.

    With `stale` an asset is built when its state is not fresh, or when something upstream of it is built in this
    same plan; a check also runs by itself when it has not seen what its assets hold now. External assets in the
    selection bring their checks along, nothing else. `everything` is a selection of nothing in particular: then also
    checks come along that read sources only, or no asset at all (a macro, an ephemeral model without parents).
    `only_checks` are the checks of a selection that names them itself.
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
    choice = CheckChoice(
        wanted, building, states, stale=stale, everything=everything, indirect=indirect, only=only_checks
    )
    checks, skipped = choose_checks(graph, choice)
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


__all__ = ["RunPlan", "SkippedCheck", "build_run_plan"]
