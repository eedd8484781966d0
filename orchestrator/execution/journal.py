"""The run's own book-keeping: claims, intents and outcomes, in the records first and then to whoever listens."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from orchestrator.definitions.events import (
    IDENTIFIERS,
    CheckFinished,
    CheckStatus,
    Event,
    Failure,
    JobSubmitted,
    LogLine,
    Materialization,
    StepFinished,
    StepId,
    StepProgress,
    StepStarted,
    StepStatus,
    step_id,
)
from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.masking import masked
from orchestrator.execution.board import End
from orchestrator.execution.ops import Op
from orchestrator.execution.results import Listener
from orchestrator.graph.model import AssetGraph, Writer
from orchestrator.plan.versions import Versions
from orchestrator.records import Records


def now() -> datetime:
    """The present, aware, UTC."""
    return datetime.now(timezone.utc)


@dataclass(frozen=True, slots=True)
class Intent:
    """An attempt that has been claimed and announced."""

    op: Op
    writer: Writer
    attempt_id: str
    token: int
    started: datetime
    partition: str | None = None


@dataclass(slots=True)
class Journal:
    """Writes events of one run. Thread-safe."""

    records: Records
    graph: AssetGraph
    run_id: str
    environment: str
    listeners: Sequence[Listener]
    versions: Versions
    """What is there now; grows with the run."""
    steps: dict[StepId, StepFinished] = field(default_factory=dict)
    """{step: its last outcome}"""
    checks: list[CheckFinished] = field(default_factory=list)
    _guard: threading.RLock = field(default_factory=threading.RLock)

    def emit(self, event: Event) -> None:
        """Into the records, then to the listeners."""
        event = masked(event, keep=IDENTIFIERS)
        with self._guard:
            self.records.record(event)
            self._pass_on(event)

    def _pass_on(self, event: Event) -> None:
        """Tell who listens. They show the run and are no part of it: one that breaks is dropped, with a word."""
        for listener in self.listeners:
            try:
                listener(event)
            except Exception as exc:  # noqa: BLE001  a display, a pipe, a connection
                self.listeners = tuple(other for other in self.listeners if other is not listener)
                self.log(f"a listener failed and is not told any more: {exc}", level="warning")

    def _common(self) -> dict[str, Any]:
        return {"at": now(), "run_id": self.run_id, "environment": self.environment}

    def intend(self, op: Op, *, attempt: int = 1) -> tuple[Intent, ...]:
        """Claim what the op writes and say so, before it starts: all its partitions, or none.

        Raises ClaimedElsewhereError.
        """
        asset = self.graph[op.key]
        writer = next(writer for writer in asset.writers if writer.id == op.writer)
        with self._guard:
            events = [
                StepStarted(
                    **self._common(),
                    key=str(op.key),
                    writer=op.writer,
                    partition=partition,
                    kind="action" if op.kind == "action" else "asset",
                    attempt_id=f"{self.run_id}-{uuid.uuid4().hex[:8]}",
                    attempt=attempt,
                    code_version=writer.code_version,
                    inputs=self.versions.inputs(asset, writer, partition),
                )
                for partition in op.partition_keys
            ]
            tokens = self.records.begin_all(events)
            for event in events:
                self._pass_on(event)
        begun = zip(events, tokens, strict=True)
        return tuple(Intent(op, writer, event.attempt_id, token, event.at, event.partition) for event, token in begun)

    def holds(self, intent: Intent) -> bool:
        """Whether the attempt may still commit."""
        slot = (self.environment, str(intent.op.key), intent.op.writer, intent.partition)
        return self.records.holds(*slot, token=intent.token)

    def succeed(
        self,
        intent: Intent,
        *,
        materialization: Materialization,
        status: StepStatus = "succeeded",
        reason: str = "",
        duration_s: float | None = None,
    ) -> None:
        """The attempt is done (or what was there is adopted); its id becomes the asset's version."""
        with self._guard:
            self._finish(intent, status, reason=reason, materialization=materialization, duration_s=duration_s)
            self.versions.add(intent.op.key, intent.op.writer, intent.partition, intent.attempt_id)

    def fail(
        self,
        intent: Intent,
        failure: Failure,
        *,
        status: StepStatus = "failed",
        reason: str = "",
        will_retry: bool = False,
        duration_s: float | None = None,
    ) -> None:
        """The attempt failed, or was cancelled. `reason` is one line, by default the message's first."""
        reason = reason or next(iter(failure.message.strip().splitlines()), status)
        self._finish(intent, status, reason=reason, failure=failure, will_retry=will_retry, duration_s=duration_s)

    def _finish(self, intent: Intent, status: StepStatus, *, duration_s: float | None, **rest: Any) -> None:
        common = self._common()
        event = StepFinished(
            **common,
            key=str(intent.op.key),
            writer=intent.op.writer,
            partition=intent.partition,
            kind="action" if intent.op.kind == "action" else "asset",
            attempt_id=intent.attempt_id,
            status=status,
            duration_s=duration_s if duration_s is not None else (common["at"] - intent.started).total_seconds(),
            **rest,
        )
        event = masked(event, keep=IDENTIFIERS)
        with self._guard:
            self.records.end(event, token=intent.token)
            self._pass_on(event)
        self.steps[step_id(event)] = event

    def skip(self, op: Op, end: End) -> None:
        """An op that never started: blocked or cancelled, and why."""
        status: StepStatus = "cancelled" if end.ending == "cancelled" else "blocked"
        if op.check is not None:
            self.check(op, "cancelled" if status == "cancelled" else "blocked", reason=end.reason)
            return
        self.not_run(op, status, end.reason)

    def not_run(self, op: Op, status: StepStatus, reason: str) -> None:
        """The outcome of an op without an attempt."""
        for partition in op.partition_keys:
            self.left_out(str(op.key), op.writer, status, reason, partition=partition, action=op.kind == "action")

    def left_out(
        self,
        key: str,
        writer: str,
        status: StepStatus,
        reason: str,
        *,
        partition: str | None = None,
        action: bool = False,
    ) -> None:
        """The outcome of a step without an attempt."""
        event = StepFinished(
            **self._common(),
            key=key,
            writer=writer,
            partition=partition,
            kind="action" if action else "asset",
            attempt_id=None,
            status=status,
            reason=reason,
        )
        self.emit(event)
        self.steps[step_id(event)] = event

    def fail_unrun(self, op: Op, reason: str) -> None:
        """An op that was to run, and whose engine never ran it."""
        if op.check is not None:
            self.check(op, "failed", reason=reason)
        else:
            self.not_run(op, "failed", reason)

    def check(
        self,
        op: Op,
        status: CheckStatus,
        *,
        failures: int | None = None,
        reason: str = "",
        duration_s: float | None = None,
        failure: Failure | None = None,
    ) -> None:
        """A check's result."""
        assert op.check is not None
        event = CheckFinished(
            **self._common(),
            check=op.id,
            name=op.check.name,
            key=str(op.key),
            status=status,
            severity=op.check.severity,
            failures=failures,
            reason=reason,
            duration_s=duration_s,
            failure=failure,
        )
        event = masked(event, keep=IDENTIFIERS)
        with self._guard:
            self.checks.append(event)
        self.emit(event)

    def log_lines(self, lines: Sequence[tuple[Any, str]], *, key: AssetKey | None = None) -> None:
        """Many (level, line) at once: one transaction."""
        common, about = self._common(), str(key) if key else None
        events = [
            masked(LogLine(**common, level=level, message=message, key=about), keep=IDENTIFIERS)
            for level, message in lines
        ]
        with self._guard:
            self.records.record(*events)
            for event in events:
                self._pass_on(event)

    def report_check(self, intent: Intent, name: str, status: CheckStatus, **result: Any) -> None:
        """The result of a check that is no step of the run: the writer's own code says it."""
        event = masked(
            CheckFinished(
                **self._common(),
                check=f"{intent.op.writer}:{name}",
                name=name,
                key=str(intent.op.key),
                status=status,
                **result,
            ),
            keep=IDENTIFIERS,
        )
        with self._guard:
            self.checks = [check for check in self.checks if check.check != event.check]  # of an earlier attempt
            self.checks.append(event)
        self.emit(event)

    def progress(self, intent: Intent, done: float, total: float | None) -> None:
        """How far an attempt is."""
        self.emit(StepProgress(**self._common(), **_attempt(intent), done=done, total=total))

    def submitted(self, intent: Intent, *, job: str, handle: Any, place: str) -> None:
        """An attempt's work was handed to somebody else."""
        self.emit(JobSubmitted(**self._common(), **_attempt(intent), job=job, handle=handle, place=place))

    def log(self, message: str, *, level: Any = "info", key: AssetKey | None = None) -> None:
        """A line for the run's log."""
        self.emit(LogLine(**self._common(), level=level, message=message, key=str(key) if key else None))


def _attempt(intent: Intent) -> dict[str, Any]:
    return {"key": str(intent.op.key), "writer": intent.op.writer, "attempt_id": intent.attempt_id}
