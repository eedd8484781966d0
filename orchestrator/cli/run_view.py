"""A run as seen through its events so far: what progress and the summary are drawn from."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestrator.cli.json_forms import failure_json
from orchestrator.cli.output import SCHEMA_VERSION
from orchestrator.definitions.events import (
    CheckFinished,
    Event,
    LogLine,
    PlannedStep,
    RunFinished,
    RunStarted,
    StepFinished,
    StepId,
    StepLike,
    StepStarted,
    step_id,
    step_titles,
)

GOOD = ("succeeded", "warned", "up_to_date")


@dataclass
class RunView:
    """Grows with each event; safe to be told from several threads. `durations` are those of `Facts`."""

    durations: Mapping[tuple[str, str], float] = field(default_factory=dict)
    started: RunStarted | None = None
    ended: RunFinished | None = None
    planned: dict[StepId, PlannedStep] = field(default_factory=dict)
    titles: dict[StepId, str] = field(default_factory=dict)
    """What the planned steps are called."""
    running: dict[StepId, StepStarted] = field(default_factory=dict)
    finished: dict[StepId, StepFinished] = field(default_factory=dict)
    checks: dict[str, CheckFinished] = field(default_factory=dict)
    warnings: list[LogLine] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def title(self, step: StepLike) -> str:
        """What people call the step."""
        return self.titles.get(step_id(step), step.key)

    def add(self, event: Event) -> None:
        """Take in one event."""
        with self._lock:
            match event:
                case RunStarted():
                    self.started = event
                    self.planned = {step_id(step): step for step in event.steps}
                    self.titles = step_titles(event.steps)
                case StepStarted():
                    self.running[step_id(event)] = event
                case StepFinished():
                    self.running.pop(step_id(event), None)
                    if not event.will_retry:
                        self.finished[step_id(event)] = event
                case CheckFinished():
                    self.checks[event.check] = event
                case LogLine() if event.level in ("warning", "error"):
                    self.warnings.append(event)
                case RunFinished():
                    self.ended = event

    def running_now(self) -> list[StepStarted]:
        """Steps at work, the longest running first."""
        with self._lock:
            return sorted(self.running.values(), key=lambda step: step.at)

    @property
    def status(self) -> str:
        """The run's status; `running` until its last event."""
        return self.ended.status if self.ended else "running"

    @property
    def to_build(self) -> list[PlannedStep]:
        """The steps that the plan wants done, hooks aside."""
        return [step for step in self.planned.values() if step.action == "build" and step.kind != "hook"]

    @property
    def done(self) -> int:
        """How many of `to_build` have an outcome."""
        return sum(step_id(step) in self.finished for step in self.to_build)

    def count(self, *statuses: str) -> int:
        """How many steps ended in one of `statuses`."""
        return sum(step.status in statuses for step in list(self.finished.values()))

    @property
    def failed_steps(self) -> list[StepFinished]:
        """Steps (and hooks) that failed or whose fate is unknown, in the order they did."""
        return [step for step in self.finished.values() if step.status in ("failed", "unknown")]

    @property
    def blocked_steps(self) -> list[StepFinished]:
        """Steps that never started because of a failure."""
        return [step for step in self.finished.values() if step.status == "blocked"]

    def failed_checks(self, severity: str = "error") -> list[CheckFinished]:
        """Checks that failed (severity error), or warned."""
        wanted = "failed" if severity == "error" else "warned"
        return [check for check in self.checks.values() if check.status == wanted]

    def elapsed(self, now: datetime) -> float:
        """Seconds since the run began, until now or its end."""
        if self.started is None:
            return 0.0
        return ((self.ended.at if self.ended else now) - self.started.at).total_seconds()

    def remaining(self, now: datetime) -> float | None:
        """Estimated seconds to the end, from earlier durations; None where too little is known.

        Work left over work done, scaled by how fast this very run goes (it may do several things at once).
        """
        known = [self.durations.get((step.key, step.writer)) for step in self.to_build]
        measured = [seconds for seconds in known if seconds is not None]
        if not measured or len(measured) < len(known) / 2:
            return None
        typical = sum(measured) / len(measured)
        total = done = 0.0
        for step, seconds in zip(self.to_build, known, strict=True):
            cost = typical if seconds is None else seconds
            total += cost
            done += self._share_done(step_id(step), cost, now)
        elapsed = self.elapsed(now)
        pace = done / elapsed if done > 0 and elapsed > 0 else 1.0
        return max(0.0, (total - done) / max(pace, 0.05))

    def _share_done(self, step: StepId, cost: float, now: datetime) -> float:
        if step in self.finished:
            return cost
        started = self.running.get(step)
        return min(cost * 0.95, (now - started.at).total_seconds()) if started else 0.0


def summary_json(view: RunView) -> dict[str, Any]:
    """The last line of `run --json`."""
    started = view.started
    return {
        "event": "summary",
        "schema_version": SCHEMA_VERSION,
        "run_id": started.run_id if started else None,
        "environment": started.environment if started else None,
        "status": view.status,
        "reason": view.ended.reason if view.ended else "",
        "engine": started.engine if started else None,
        "duration_s": view.ended.duration_s if view.ended else None,
        "steps": [_step_json(view, step) for step in view.planned.values() if step.kind != "hook"],
        "checks": [_check_json(check) for check in view.checks.values()],
        "hooks": [
            {"key": step.key, "status": step.status, "reason": step.reason, "failure": failure_json(step.failure)}
            for step in view.finished.values()
            if step.kind == "hook"
        ],
    }


def _step_json(view: RunView, step: PlannedStep) -> dict[str, Any]:
    outcome = view.finished.get(step_id(step))
    if outcome is None:
        status = "up_to_date" if step.action == "skip" else "cancelled" if view.status == "cancelled" else "unknown"
        reason = step.reason if step.action == "skip" else "the run ended before it did"
    else:
        status, reason = outcome.status, outcome.reason
    written = outcome.materialization if outcome else None
    return {
        "key": step.key,
        "writer": step.writer,
        "partition": step.partition,
        "status": status,
        "reason": reason,
        "rows": written.rows if written else None,
        "duration_s": outcome.duration_s if outcome else None,
        "kind": step.kind,
        "failure": failure_json(outcome.failure) if outcome else None,
    }


def _check_json(check: CheckFinished) -> dict[str, Any]:
    return {
        "check": check.check,
        "name": check.name,
        "key": check.key,
        "status": check.status,
        "severity": check.severity,
        "failures": check.failures,
        "reason": check.reason,
        "duration_s": check.duration_s,
    }
