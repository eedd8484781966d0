"""The state of each asset, from versions recorded at the start of attempts, never from clocks (DESIGN §3, §7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.definitions.facts import Facts, WriterFact
from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import UnknownPartitionError
from orchestrator.graph.model import Asset, AssetGraph, Check, Writer
from orchestrator.plan.partition_states import NEVER_BUILT, WORST, PartitionStates, State
from orchestrator.plan.reported import Reported, reported_checks, reported_results
from orchestrator.plan.versions import Versions


@dataclass(frozen=True, slots=True)
class WriterState:
    """A state and the reason for it, one short clause without a full stop."""

    state: State
    reason: str
    partitions: PartitionStates | None = None
    """Of each partition, where it has some; the state is that of the worst."""


@dataclass(frozen=True, slots=True)
class AssetState:
    """A state and the reason for it, one short clause without a full stop."""

    state: State
    reason: str
    writers: Mapping[str, WriterState] = field(default_factory=dict)
    """{writer id: its own state}; the asset's is the worst of them, or that of a failed check."""
    due_checks: frozenset[str] = frozenset()
    """Checks shown on the asset that have not seen what it holds now: new ones, and those whose run ended first.
    Of a partitioned asset also those that failed: no partition is written again for them."""

    @property
    def partitions(self) -> PartitionStates | None:
        """Of each partition, where the asset has some: in the worst state of its writers."""
        several = [writer.partitions for writer in self.writers.values() if writer.partitions is not None]
        return PartitionStates.worst(several) if several else None


SameCode = frozenset[tuple[str, str]]
"""{(writer, recorded code version)}: versions proved to do the same as the writer's current one."""


def build_states(
    graph: AssetGraph, facts: Facts, *, same_code: SameCode = frozenset(), as_of: datetime | None = None
) -> dict[AssetKey, AssetState]:
    """The state of every asset and action of the graph.

    `as_of` (aware) says which windows have ended: needed as soon as something is partitioned.
    """
    known: dict[tuple[str, str], dict[str | None, WriterFact]] = {}
    for fact in facts.writers.values():
        known.setdefault((fact.key, fact.writer), {})[fact.partition] = fact
    told = _Told(graph, facts, known, Versions.recorded(graph, facts), same_code, as_of, reported_results(facts))
    return {key: told.asset_state(asset) for key, asset in graph.assets.items()}


def newest_results(facts: Facts) -> dict[AssetKey, str]:
    """{asset: how its newest attempt ended}, for `result:` selections."""
    newest = sorted(facts.writers.values(), key=lambda fact: fact.at)
    return {AssetKey.parse(fact.key): fact.status for fact in newest}


@dataclass(frozen=True, slots=True)
class _Told:
    """All that states are computed from."""

    graph: AssetGraph
    facts: Facts
    known: Mapping[tuple[str, str], Mapping[str | None, WriterFact]]
    """{(asset key, writer id): {partition: its newest attempt}}"""
    versions: Versions
    same_code: SameCode
    as_of: datetime | None
    reported: Reported

    def asset_state(self, asset: Asset) -> AssetState:
        if asset.external:
            return AssetState("external", f"written in project '{asset.home}'" if asset.home else "written elsewhere")
        writers = {writer.id: self.writer_state(asset, writer) for writer in asset.writers}
        worst = min(writers.values(), key=lambda item: WORST.index(item.state))
        failed = self.failed_checks(asset)
        if worst.state in ("fresh", "stale", "adopted") and failed:
            due = frozenset(check.id for check in failed) if asset.partitions else frozenset()
            return AssetState("failed", f"check {failed[0].name} failed", writers, due)
        due = self.due_checks(asset) if worst.state == "fresh" else frozenset()
        return AssetState(worst.state, worst.reason, writers, due)

    def writer_state(self, asset: Asset, writer: Writer) -> WriterState:
        facts = self.known.get((str(asset.key), writer.id), {})
        if writer.partitions is None:
            return self.state(asset, writer, facts.get(None))
        if self.as_of is None:
            raise ValueError(f"{asset.key} is partitioned: as_of is needed")
        there = writer.partitions.closed(as_of=self.as_of)
        partitions = PartitionStates.of(there, self.partition_states(asset, writer, facts))
        return WriterState(partitions.state, partitions.summary, partitions)

    def partition_states(
        self, asset: Asset, writer: Writer, facts: Mapping[str | None, WriterFact]
    ) -> Iterator[tuple[str, State, str]]:
        """(partition, state, reason) of all that is recorded, but what it was divided by before is no partition now."""
        for key, fact in facts.items():
            if key is None:
                continue
            try:
                found = self.state(asset, writer, fact)
            except UnknownPartitionError:
                continue
            yield key, found.state, found.reason

    def state(self, asset: Asset, writer: Writer, fact: WriterFact | None) -> WriterState:
        """Of one writer, or of one of its partitions."""
        if fact is None:
            return WriterState("missing", NEVER_BUILT if writer.mode == "insert" else "never ran")
        match fact.status:
            case "running":
                return WriterState("running", f"run {fact.run_id} is writing it")
            case "unknown":
                return WriterState("unknown", f"run {fact.run_id} died while writing it")
            case "failed":
                return WriterState("failed", fact.reason or "the last attempt failed")
            case "cancelled":
                return WriterState("stale" if fact.version else "missing", "the last attempt was cancelled")
        state = self.freshness(asset, writer, fact)
        if fact.status == "adopted" and state.state == "fresh":
            return WriterState("adopted", "existed before its first run here")
        return state

    def freshness(self, asset: Asset, writer: Writer, fact: WriterFact) -> WriterState:
        if asset.kind == "action":
            return WriterState("fresh", "ran")
        if writer.code_version is None:
            return WriterState("stale", "its code cannot be compared, so it counts as changed")
        if writer.code_version != fact.code_version and (writer.id, fact.code_version) not in self.same_code:
            return WriterState("stale", "its code changed")
        for name, version in self.versions.inputs(asset, writer, fact.partition).items():
            if name not in fact.inputs:
                return WriterState("stale", f"now also reads {name}")
            if version != fact.inputs[name]:
                return WriterState("stale", f"{name} has newer data")
        return WriterState("fresh", "up to date")

    def due_checks(self, asset: Asset) -> frozenset[str]:
        """Without this a run that dies between a write and its check would leave it fresh and never checked."""
        checks = (check for check in self.graph.checks_of[asset.key] if check.kind != "unit_test")
        return frozenset(check.id for check in checks if self.is_due(check))

    def is_due(self, check: Check) -> bool:
        written = [self.written(key, writer) for key in check.reads for writer in self.graph[key].writers]
        if not all(written):
            return False  # something is not there, or not as a run of ours left it
        result = self.facts.checks.get(check.id)
        if result is None or result.status in ("blocked", "cancelled"):
            return True
        # Of two runs the later one has seen the newest version; times are compared only between runs.
        return any(
            fact.version_run_id != result.run_id and fact.version_at is not None and fact.version_at > result.at
            for facts in written
            for fact in facts
        )

    def written(self, key: AssetKey, writer: Writer) -> list[WriterFact]:
        """What a run of ours has left there, by partition."""
        facts = self.known.get((str(key), writer.id), {})
        return [
            fact
            for fact in facts.values()
            if fact.status in ("succeeded", "warned") and (fact.partition is None) == (writer.partitions is None)
        ]

    def failed_checks(self, asset: Asset) -> list[Check]:
        checks = (*self.graph.checks_of[asset.key], *reported_checks(asset, self.facts, self.reported))
        results = ((check, self.facts.checks.get(check.id)) for check in checks)
        return [
            check
            for check, result in results
            if result is not None and result.status == "failed" and check.severity == "error"
        ]
