"""The plan that takes up a run where it failed: what failed, what that blocked, and nothing that succeeded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.partitions import PartitionSet
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
    steps: Mapping[tuple[str, str | None], str],
    checks: Mapping[str, str],
    states: Mapping[AssetKey, AssetState],
    environment: str,
) -> RunPlan:
    """The steps of a run that did not end well, by `steps` ({(writer id, partition): status}) and `checks` ({check
    id: status}).

    A check that failed, or that the run did not come to, runs again by itself: the asset it looks at was written and
    is kept. What has left the graph since is left out.
    """
    again = {step: _AGAIN[status].format(run=run_id) for step, status in steps.items() if status in _AGAIN}
    key_of = {writer.id: key for key, asset in graph.assets.items() for writer in asset.writers}
    keys = [key_of[writer] for writer, _ in again if writer in key_of]
    base = build_run_plan(
        graph,
        keys,
        states=states,
        environment=environment,
        selection=f"retry of {run_id}",
        window=_partitions(graph, keys, again),
    )
    rerun = {check for check, status in checks.items() if status in ("failed", "blocked", "cancelled")}
    kept = (states[key_of[writer]] for writer, _ in steps if writer in key_of)
    wanted = rerun.union(base.checks, *(state.due_checks for state in kept))
    gone = sorted({writer for writer, _ in again if writer not in key_of})
    taken = [step for step in base.steps if (step.writer, step.partition) in again]
    return replace(
        base,
        steps=tuple(replace(step, reason=again[step.writer, step.partition]) for step in taken),
        checks=tuple(check.id for check in graph.checks if check.id in wanted),
        skipped_checks=(*base.skipped_checks, *(SkippedCheck(name, "it is no longer in the graph") for name in gone)),
    )


def _partitions(
    graph: AssetGraph, keys: Iterable[AssetKey], again: Collection[tuple[str, str | None]]
) -> dict[AssetKey, PartitionSet]:
    """{partitioned asset: what of it is done again}"""
    assets = {key: partitions for key in keys if (partitions := graph[key].partitions) is not None}
    by_writer = {key: {writer.id for writer in graph[key].writers} for key in assets}
    return {
        key: partitions.of_keys(part for writer, part in again if part is not None and writer in by_writer[key])
        for key, partitions in assets.items()
    }
