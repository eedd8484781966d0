"""The plan of one run: the steps that would run and those that would not, each with its reason."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal

from orchestrator.definitions.events import PlannedStep
from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.partitions import UNPARTITIONED, Partitions, PartitionSet, TimePartitions
from orchestrator.errors import PlanError
from orchestrator.graph.model import Asset, AssetGraph, Writer
from orchestrator.plan.check_choice import CheckChoice, IndirectSelection, SkippedCheck, choose_checks
from orchestrator.plan.partition_states import NONE_DUE, UP_TO_DATE, PartitionStates
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
    window: Mapping[AssetKey, PartitionSet] | None = None,
) -> RunPlan:
    """The plan that builds `selected`: all of it, or with `stale` only what is out of date.

    With `stale` an asset is built when its state is not fresh, or when something upstream of it is built in this
    same plan; a check also runs by itself when it has not seen what its assets hold now. External assets in the
    selection bring their checks along, nothing else. `everything` is a selection of nothing in particular: then also
    checks come along that read sources only, or no asset at all (a macro, an ephemeral model without parents).
    `only_checks` are the checks of a selection that names them itself.

    Of a partitioned asset the partitions in `window` (`plan.windows.project`) are built, each a step; without a window
    those that are not fresh or read something that this plan builds: a run of everything does not write again what is
    up to date. A full refresh builds all that are there, and is refused together with a window.
    """
    wanted = set(selected)
    if full_refresh:
        _refuse_full_refresh(graph, wanted)
    if full_refresh and window is not None:
        raise PlanError(
            "a full refresh makes tables anew, and --partitions would leave only a part of their rows",
            fix="leave out one of --full-refresh and --partitions",
        )
    made = _Steps(graph, states, stale=stale, full_refresh=full_refresh, window=window)
    for key, asset in graph.assets.items():
        if key in wanted and not asset.external:
            for writer in (*asset.inserting, *(item for item in asset.writers if item.mode == "update")):
                made.add(asset, writer)
    choice = CheckChoice(
        wanted, made.building, states, stale=stale, everything=everything, indirect=indirect, only=only_checks
    )
    checks, skipped = choose_checks(graph, choice)
    return RunPlan(
        environment=environment,
        steps=tuple(made.steps),
        checks=checks,
        skipped_checks=skipped,
        selection=selection,
        full_refresh=full_refresh,
    )


@dataclass(slots=True)
class _Steps:
    """The steps of a plan, writer by writer in the graph's order; what is built so far decides about the rest."""

    graph: AssetGraph
    states: Mapping[AssetKey, AssetState]
    _: KW_ONLY
    stale: bool
    full_refresh: bool
    window: Mapping[AssetKey, PartitionSet] | None
    steps: list[PlannedStep] = field(default_factory=list)
    building: dict[AssetKey, str] = field(default_factory=dict)
    """{asset that is built: why}"""
    parts: dict[AssetKey, PartitionSet] = field(default_factory=dict)
    """{asset that is built: which partitions}"""

    def add(self, asset: Asset, writer: Writer) -> None:
        """What one writer does."""
        own = self.states[asset.key].writers.get(writer.id)
        if writer.partitions is not None and own is not None and own.partitions is not None:
            self._add_partitions(asset, writer, writer.partitions, own.partitions)
        else:
            self._add_whole(asset, writer)

    def _add_partitions(self, asset: Asset, writer: Writer, partitions: Partitions, states: PartitionStates) -> None:
        choice = _PartitionChoice(self.graph, asset, writer, states, self.parts)
        within = states.all if self.window is None else self.window.get(asset.key, partitions.nothing())
        all_of_it = self.full_refresh or (self.window is not None and not self.stale)
        if todo := choice.todo(within, all_of_it=all_of_it):
            self.building.setdefault(asset.key, "selected")
            self.parts[asset.key] = self.parts.get(asset.key, partitions.nothing()) | todo
        self.steps.extend(choice.steps(todo))

    def _add_whole(self, asset: Asset, writer: Writer) -> None:
        reason, builds = _decide(asset, writer, self.states[asset.key], self.building, stale=self.stale)
        if builds:
            self.building.setdefault(asset.key, reason)
            self.parts[asset.key] = UNPARTITIONED.every()
        action: Literal["build", "skip"] = "build" if builds else "skip"
        self.steps.append(PlannedStep(str(asset.key), writer.id, None, action, reason, kind=asset.kind))


@dataclass(frozen=True, slots=True)
class _PartitionChoice:
    """Which partitions of one writer are built, and why."""

    graph: AssetGraph
    asset: Asset
    writer: Writer
    states: PartitionStates
    parts: Mapping[AssetKey, PartitionSet]
    """What this plan builds so far."""

    def todo(self, within: PartitionSet, *, all_of_it: bool) -> PartitionSet:
        """Of the partitions `within`: all, or those that are not done and those that will have newer inputs."""
        if all_of_it:
            return within
        found = within - self.states.done
        for read in self.rebuilt():
            found = found | self.graph.edge(self.writer.id, read).downstream(self.parts[read], within=within)
        if self.writer.mode == "update" and self.asset.key in self.parts:
            found = found | (self.parts[self.asset.key] & within)
        return found

    def rebuilt(self) -> list[AssetKey]:
        return sorted(key for key in self.writer.reads if key in self.parts and key != self.asset.key)

    def steps(self, todo: PartitionSet) -> Iterable[PlannedStep]:
        """A step a partition, and one that stands for all that are left out."""
        key_of, writer = str(self.asset.key), self.writer.id
        because = next((f"{key} will be rebuilt first" for key in self.rebuilt()), "selected")
        for key in todo:
            reason = self.states.reason(key)
            reason = because if reason == UP_TO_DATE else reason
            yield PlannedStep(key_of, writer, key, "build", reason)
        left = self.states.all - todo
        if left or not todo:
            why = f"{len(left)} of {len(self.states.all)} partitions: {self._why_left(left)}" if left else NONE_DUE
            yield PlannedStep(key_of, writer, None, "skip", why)

    def _why_left(self, left: PartitionSet) -> str:
        return UP_TO_DATE if not left - self.states.done else "not in the window"


def _refuse_full_refresh(graph: AssetGraph, wanted: Collection[AssetKey]) -> None:
    """A full refresh makes the table anew: rows that other writers put there would be gone, and called fresh."""
    for key in sorted(wanted):
        for writer in graph[key].inserting:
            if writer.engine == "dbt" and writer.partitions and not isinstance(writer.partitions, TimePartitions):
                raise PlanError(
                    f"a full refresh of {key} would make its table anew for each of its partitions",
                    at=str(writer.location),
                    fix=f"leave it out (--exclude {key}); `--partitions '*'` writes all of its partitions again",
                )
    shared = [
        (key, writer)
        for key in sorted(wanted)
        for writer in graph[key].inserting
        if writer.engine == "dbt" and len(graph[key].inserting) > 1
    ]
    if shared:
        names = ", ".join(str(key) for key, _ in shared)
        raise PlanError(
            f"a full refresh would delete what other writers put into {names}",
            at=str(shared[0][1].location),
            fix=f"leave it out (--exclude {' '.join(str(key) for key, _ in shared)}), or delete the model's rows by "
            "hand and run it without --full-refresh",
        )


def _decide(
    asset: Asset, writer: Writer, state: AssetState, building: Mapping[AssetKey, str], *, stale: bool
) -> tuple[str, bool]:
    """(the reason, whether it is built) for one writer; `building` holds what this plan has built so far."""
    own = state.writers.get(writer.id, state)
    if not stale:
        return (own.reason if own.state != "fresh" else "selected"), True
    if own.state not in ("fresh", "adopted"):
        return own.reason, True
    if state.state not in ("fresh", "adopted") and all(one.state == "fresh" for one in state.writers.values()):
        return state.reason, True  # a failed check: nobody knows whose rows it means
    if rebuilt := sorted(key for key in writer.reads if key in building and key != asset.key):
        more = f" and {len(rebuilt) - 1} more" if len(rebuilt) > 1 else ""
        return f"{rebuilt[0]}{more} will be rebuilt first", True
    if writer.mode == "update" and asset.key in building:
        return "its table is written again first", True
    return own.reason, False


__all__ = ["RunPlan", "SkippedCheck", "build_run_plan"]
