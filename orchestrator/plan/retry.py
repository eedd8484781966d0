"""The plan that takes up a run where it failed: what failed, what that blocked, and nothing that succeeded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.model import AssetGraph
from orchestrator.plan.run_plan import RunPlan, SkippedCheck, build_run_plan
from orchestrator.plan.states import AssetState

_AGAIN = {
    "failed": "failed in run {run}",
    "blocked": "was blocked in run {run}",
    "cancelled": "was cancelled in run {run}",
    "unknown": "was being written when run {run} died",
    "waiting": "never started in run {run}",
}


def build_retry_plan(
    graph: AssetGraph,
    *,
    run_id: str,
    steps: Mapping[str, str],
    checks: Mapping[str, str],
    states: Mapping[AssetKey, AssetState],
    environment: str,
) -> RunPlan:
    """The steps of a run that did not end well, by `steps` ({asset key: status}) and `checks` ({check id: status}).

    A check that failed, or that the run did not come to, runs again by itself: the asset it looks at was written and
    is kept. What has left the graph since is left out.
    """
    again = {AssetKey.parse(key): _AGAIN[status] for key, status in steps.items() if status in _AGAIN}
    known = {key: reason.format(run=run_id) for key, reason in again.items() if key in graph}
    base = build_run_plan(graph, known, states=states, environment=environment, selection=f"retry of {run_id}")
    rerun = {check for check, status in checks.items() if status in ("failed", "blocked", "cancelled")}
    kept = (states[AssetKey.parse(key)] for key in steps if AssetKey.parse(key) in graph)
    wanted = rerun.union(base.checks, *(state.due_checks for state in kept))
    gone = sorted(str(key) for key in again if key not in graph)
    return replace(
        base,
        steps=tuple(replace(step, reason=known[AssetKey.parse(step.key)]) for step in base.steps),
        checks=tuple(check.id for check in graph.checks if check.id in wanted),
        skipped_checks=(*base.skipped_checks, *(SkippedCheck(key, "it is no longer in the graph") for key in gone)),
    )
