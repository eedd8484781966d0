"""dbt nodes as ops: they wait at the gate, are claimed and announced, and what dbt says of them is written down."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from orchestrator.dbt_engine.gate import GateRefusedError, NodeOutcome
from orchestrator.dbt_engine.messages import shortened
from orchestrator.definitions.events import Failure, Materialization
from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.partitions import TimePartitions
from orchestrator.errors import OrchestratorError
from orchestrator.execution.board import Board, End
from orchestrator.execution.journal import Intent, Journal
from orchestrator.execution.ops import Op
from orchestrator.execution.python_steps import partition_scope
from orchestrator.graph.model import AssetGraph
from orchestrator.resources.database import Database

_GOOD = ("success", "pass", "no-op")
WELL = (*_GOOD, "warn")
"""dbt's words for a node that ended well."""
_VIEWS = ("view", "materialized_view")


@dataclass(slots=True)
class DbtSteps:
    """The `NodeListener` of one run."""

    graph: AssetGraph
    board: Board
    journal: Journal
    database: Database | None
    compiled: Mapping[str, Path]
    """{unique_id: where dbt writes its compiled SQL}"""
    keep_samples: bool
    op_ids: Mapping[str, str] = field(default_factory=dict)
    """{unique_id: op of this invocation}, where the op is of some partitions only."""
    intents: dict[str, tuple[Intent, ...]] = field(default_factory=dict)
    verdicts: dict[str, End] = field(default_factory=dict)
    """Ops that must not run, as found at the gate."""
    refusals: dict[str, str] = field(default_factory=dict)
    """Ops that could not be claimed or announced."""
    attempt: int = 1
    """How many invocations there have been, this one included."""
    again: set[str] = field(default_factory=set)
    """Ops that failed and will be tried in another invocation, and then those that wait for them."""
    skipped: set[str] = field(default_factory=set)
    """Ops that dbt skipped while something is to be tried again, or is late; decided by `settle`."""
    late: dict[str, NodeOutcome] = field(default_factory=dict)
    """Ops of several partitions that did not all end well: which, only dbt's result tells."""
    failed_hook: str = ""
    """`the hook …`: what else makes dbt skip nodes."""
    broken: list[BaseException] = field(default_factory=list)
    """What went wrong in our own book-keeping; the run cannot be green then."""
    settling: bool = False
    """dbt is done; nothing more will be told."""
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def op_id(self, unique_id: str) -> str:
        """The op that a dbt node is in this invocation."""
        return self.op_ids.get(unique_id, unique_id)

    def wait(self, unique_id: str) -> None:
        """Wait until the op may start; remember a verdict that it must not."""
        unique_id = self.op_id(unique_id)
        verdict = self.board.wait_for(unique_id)
        if verdict is not None:
            self.verdicts[unique_id] = verdict

    def start(self, unique_id: str) -> None:
        """Claim and announce the op, or refuse it."""
        unique_id = self.op_id(unique_id)
        if self.board.cancelled.is_set():
            self.verdicts.setdefault(unique_id, self.board.cancelled_end)
        if unique_id in self.verdicts:
            raise GateRefusedError(self.verdicts[unique_id].reason)
        op = self.board.ops[unique_id]
        if op.check is not None:
            return
        try:
            self.intents[unique_id] = self.journal.intend(op, attempt=self.attempt)
        except OrchestratorError as exc:
            self.refusals[unique_id] = exc.what
            raise GateRefusedError(exc.what) from exc

    def finish(self, outcome: NodeOutcome) -> None:
        """Write down how the node ended. Never raises: dbt's pool would hang."""
        op_id = self.op_id(outcome.unique_id)
        try:
            self._finish(self.board.ops[op_id], outcome)
        except BaseException as exc:  # noqa: BLE001  kept: the run ends as failed
            self.broken.append(exc)
            self.board.end(op_id, End("failed", str(exc)))

    def _finish(self, op: Op, outcome: NodeOutcome) -> None:
        if op.id in self.board.ends or op.id in self.again or op.id in self.skipped:
            return
        if op.id in self.verdicts or (outcome.status == "skipped" and self.board.cancelled.is_set()):
            end = self.verdicts.get(op.id) or self.board.cancelled_end
            self.journal.skip(op, end)
        elif outcome.status == "skipped" and (self.again or self.late):
            self.skipped.add(op.id)
            return
        elif outcome.status == "skipped":
            end = End("blocked", self._blame(op))
            self.journal.skip(op, end)
        elif op.check is not None:
            end = self._finish_check(op, outcome)
        elif self._tells_later(op, outcome):
            self.late[op.id] = outcome
            return
        elif (finished := self._finish_step(op, outcome)) is not None:
            end = finished
        else:
            self.again.add(op.id)
            return
        self.board.end(op.id, end)

    def settle(self) -> None:
        """After dbt is done: what it skipped is tried again with what failed, unless something else blocks it.

        Partitions of which dbt has not told how they ended have failed.
        """
        self.settling = True
        for op_id in list(self.intents):
            if op_id not in self.board.ends and op_id not in self.again:
                self.finish(NodeOutcome(self.board.ops[op_id].writer, "error", "dbt did not say how it ended"))
        for op in self.board.ops.values():
            if op.id not in self.skipped:
                continue
            if not self.again or self._is_blocked(op):
                end = End("blocked", self._blame(op))
                self.journal.skip(op, end)
                self.board.end(op.id, end)
            else:
                self.again.add(op.id)
        self.skipped.clear()

    def _is_blocked(self, op: Op) -> bool:
        if op.key not in self.graph:
            return False  # a check that reads no asset
        above = self.graph.ancestors([op.key]) | (op.check.reads | {op.key} if op.check is not None else set())
        for other_id, end in self.board.ends.items():
            other = self.board.ops[other_id]
            if end.ending == "ok":
                continue
            if other.check is None and other.key in above:
                return True
            if other.check is None or op.check is not None or not other.check.blocking:
                continue
            # A unit test runs before its own model, other checks before what reads their assets.
            if other.check.reads <= (above | {op.key} if other.check.kind == "unit_test" else above):
                return True
        return False

    def _tells_later(self, op: Op, outcome: NodeOutcome) -> bool:
        """Whether only dbt's result, after the invocation, will tell which of the op's partitions are there."""
        several = op.id in self.intents and len(self.intents[op.id]) > 1
        return several and outcome.status not in _GOOD and outcome.done_batches is None and not self.settling

    def _finish_step(self, op: Op, outcome: NodeOutcome) -> End | None:
        """How a step ended; None when it failed and will be tried again."""
        intents = self.intents.pop(op.id, None)
        if intents is None:
            reason = self.refusals.get(op.id) or outcome.cause
            self.journal.not_run(op, "failed", reason)
            return End("failed", reason)
        if op.id in self.late:  # the event has told why, the result which
            outcome = replace(self.late[op.id], done_batches=outcome.done_batches)
        failed = self._undone(intents, outcome)
        done = [intent for intent in intents if intent not in failed]
        if done:
            made, seconds = self._look(op, outcome), outcome.duration_s
            for intent in done:
                # What dbt took for all of them, shared out: it does not say what each took.
                share = seconds / len(intents) if seconds is not None else None
                rows = made if intent.partition is None else replace(made, rows=self._rows_of(intent))
                self.journal.succeed(intent, materialization=rows, duration_s=share)
        if not failed:
            return End("ok")
        cancelled = self.board.cancelled.is_set()
        again = not cancelled and self.attempt <= op.retry.times
        for intent in failed:
            self.journal.fail(
                intent,
                Failure(self.board.cancelled_end.reason) if cancelled else self._failure(op, outcome),
                status="cancelled" if cancelled else "failed",
                reason="" if cancelled else outcome.cause,
                will_retry=again,
                duration_s=outcome.duration_s if len(intents) == 1 else None,
            )
        if again:
            return None
        if op.partitions is not None:
            keys = [intent.partition for intent in failed if intent.partition is not None]
            self.board.failed_parts[op.id] = op.partitions.of.of_keys(keys)
        return End("cancelled" if cancelled else "failed", outcome.cause)

    def _undone(self, intents: tuple[Intent, ...], outcome: NodeOutcome) -> list[Intent]:
        """The partitions that dbt does not say it has written: it must say so of each batch."""
        if outcome.status in _GOOD:
            return []
        batches, op = outcome.done_batches or (), intents[0].op
        of = op.partitions.of if op.partitions is not None else None
        if not batches or not isinstance(of, TimePartitions):
            return list(intents)
        return [
            intent
            for intent in intents
            if intent.partition is not None and not _covered(of.window(intent.partition), batches)
        ]

    def _rows_of(self, intent: Intent) -> int | None:
        """The rows of one partition as they are now."""
        asset, partitions = self.graph[intent.op.key], intent.writer.partitions
        if self.database is None or asset.relation is None or partitions is None or intent.partition is None:
            return None
        if any(part.column is None for part in partitions.dimensions):
            return None
        return self.database.count(asset.relation, scope=partition_scope(partitions, intent.partition))

    def _finish_check(self, op: Op, outcome: NodeOutcome) -> End:
        duration = outcome.duration_s
        if outcome.status in _GOOD:
            self.journal.check(op, "succeeded", failures=0, duration_s=duration)
            return End("ok")
        if outcome.status == "warn":
            self.journal.check(op, "warned", failures=outcome.failures, reason=outcome.message, duration_s=duration)
            return End("ok")
        if self.board.cancelled.is_set():
            self.journal.skip(op, self.board.cancelled_end)
            return self.board.cancelled_end
        failure = self._failure(op, outcome)
        self.journal.check(
            op, "failed", failures=outcome.failures, reason=outcome.cause, duration_s=duration, failure=failure
        )
        return End("failed", outcome.cause)

    def _failure(self, op: Op, outcome: NodeOutcome) -> Failure:
        path = self.compiled.get(op.writer)
        shown = str(path) if path is not None and path.is_file() else None
        return Failure(message=shortened(outcome.message) or f"dbt says: {outcome.status}", compiled_path=shown)

    def _look(self, op: Op, outcome: NodeOutcome) -> Materialization:
        asset = self.graph[op.key]
        strategy = next(writer.strategy for writer in asset.writers if writer.id == op.writer)
        look = None
        if self.database is not None and self.database.capabilities.quick_looks and asset.relation is not None:
            look = self.database.look(asset.relation, rows=strategy not in _VIEWS)
        path = self.compiled.get(op.writer)
        return Materialization(
            rows=look.rows if look and look.rows is not None else outcome.rows_affected,
            columns=look.columns if look else (),
            sample=look.sample if look and self.keep_samples else None,
            compiled_code=_text(path),
        )

    def _blame(self, op: Op) -> str:
        """Why dbt skipped an op: dbt does not say, the graph does. The nearest failed thing upstream."""
        near = {op.key} if op.check is not None else set()
        for level in _levels(self.graph, op.key, near):
            for other in self.board.ops.values():
                end = self.board.ends.get(other.id)
                if end is None or end.ending != "failed" or other.id == op.id:
                    continue
                if other.key in level or (other.check is not None and other.check.reads & level):
                    return f"{self.board.describe(other.id)} failed"
        return f"{self.failed_hook or 'something upstream'} failed"


def _covered(window: tuple[datetime, datetime], batches: Iterable[tuple[datetime, datetime]]) -> bool:
    """Whether the batches that are there fill a window (a partition of days may be one of dbt's months, too)."""
    start, end = window
    for low, high in sorted(batches):
        if low <= start < high:
            start = high
    return start >= end


def _levels(graph: AssetGraph, key: AssetKey, first: set[AssetKey]) -> list[frozenset[AssetKey]]:
    """The asset's ancestors, nearest first, a set a step of distance; `first` before them. Unit tests count as own."""
    levels: list[frozenset[AssetKey]] = [frozenset(first or {key})]
    seen = {key}
    frontier = frozenset({key} & graph.assets.keys())
    while frontier := frozenset(parent for child in frontier for parent in graph.upstream[child]) - seen:
        seen |= frontier
        levels.append(frontier)
    return levels


def _text(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def compiled_paths(manifest: Any, target_path: Path) -> dict[str, Path]:
    """{unique_id: where `dbt build` writes the compiled SQL of models, snapshots and singular tests}."""
    root = target_path / "compiled"
    found = {uid: root / node.package_name / node.original_file_path for uid, node in manifest.nodes.items()}
    for uid, node in manifest.nodes.items():
        if node.resource_type == "test" and getattr(node, "test_metadata", None) is not None:
            found[uid] = root / node.package_name / node.original_file_path / node.path
    return found
