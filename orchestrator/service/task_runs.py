"""Task runs for what dbt executes: dbt's nodes run inside one invocation, so Prefect is told about each of them.

`emit_task_run_state_change_event` is Prefect's own way of recording task runs, but not documented as public: what we
rely on is held by `tests/integration/test_service.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from prefect.client.schemas.objects import State, StateType, TaskRun, TaskRunResult
from prefect.events.schemas.events import Event as PrefectEvent
from prefect.utilities.engine import emit_task_run_state_change_event

from orchestrator.definitions.events import CheckFinished, StepFinished, StepStarted

_STATES: dict[str, tuple[StateType, str]] = {
    "succeeded": (StateType.COMPLETED, "Completed"),
    "warned": (StateType.COMPLETED, "Warned"),
    "up_to_date": (StateType.COMPLETED, "UpToDate"),
    "failed": (StateType.FAILED, "Failed"),
    "blocked": (StateType.CANCELLED, "Blocked"),
    "cancelled": (StateType.CANCELLED, "Cancelled"),
    "unknown": (StateType.CRASHED, "Unknown"),
}


class MirroredTaskRuns:
    """Task runs of one flow run, kept up to date from our events. Call it inside a context of that flow run."""

    def __init__(self, flow_run_id: UUID) -> None:
        self._flow_run_id = flow_run_id
        self._lock = threading.Lock()
        self._runs: dict[tuple[str, str], TaskRun] = {}
        self._last: dict[UUID, PrefectEvent | None] = {}
        self._newest: dict[str, UUID] = {}

    def of(self, key: str) -> UUID | None:
        """The newest task run that stands for an asset."""
        return self._newest.get(key)

    def note(self, key: str, *, task_run_id: UUID) -> None:
        """Remember the task run that Prefect itself made for a Python step."""
        self._newest[key] = task_run_id

    def step_started(self, event: StepStarted) -> None:
        """The node runs now."""
        run = self._task_run(event.writer, event.partition, name=_name(event.key, event.partition))
        run.task_inputs = {"wait_for": self._results(event.inputs)}
        self.note(event.key, task_run_id=run.id)
        self._running(run, at=event.at)

    def step_finished(self, event: StepFinished) -> None:
        """The node has an outcome, or will have another attempt."""
        run = self._task_run(event.writer or event.key, event.partition, name=_name(event.key, event.partition))
        message = event.failure.message if event.failure else event.reason
        if event.will_retry:
            self._set(run, State(type=StateType.PENDING, name="AwaitingRetry", message=message, timestamp=event.at))
        else:
            self._finished(run, event.status, message=message, at=event.at)

    def check_finished(self, event: CheckFinished) -> None:
        """A check has a result; a check is told about only once."""
        run = self._task_run(event.check, None, name=event.name)
        run.task_inputs = {"wait_for": self._results([event.key])}
        if event.status in ("succeeded", "warned", "failed"):  # one event, not two: each costs the server 20 ms CPU
            run.start_time = run.expected_start_time = _moment(event.at - timedelta(seconds=event.duration_s or 0))
            run.run_count = 1
        message = event.failure.message if event.failure else event.reason
        self._finished(run, event.status, message=message, at=event.at)

    def _task_run(self, task_key: str, partition: str | None, *, name: str) -> TaskRun:
        with self._lock:
            return self._runs.setdefault(
                (task_key, partition or ""),
                TaskRun(
                    id=uuid4(),
                    name=name,
                    flow_run_id=self._flow_run_id,
                    task_key=task_key,
                    dynamic_key=partition or "0",
                    tags=[task_key.split(".", 1)[0].split(":", 1)[0]],
                ),
            )

    def _results(self, keys: Iterable[str]) -> list[Any]:
        return [TaskRunResult(id=run_id) for key in keys if (run_id := self._newest.get(key)) is not None]

    def _running(self, run: TaskRun, *, at: datetime) -> None:
        run.expected_start_time = run.expected_start_time or _moment(at)
        run.start_time = run.start_time or _moment(at)
        run.run_count += 1
        self._set(run, State(type=StateType.RUNNING, name="Running", timestamp=at))

    def _finished(self, run: TaskRun, status: str, *, message: str, at: datetime) -> None:
        state_type, name = _STATES.get(status, (StateType.CRASHED, status.title()))
        if run.start_time is not None:
            run.end_time = _moment(at)
            run.total_run_time = at - run.start_time
        self._set(run, State(type=state_type, name=name, message=message or None, timestamp=at))

    def _set(self, run: TaskRun, state: State) -> None:
        before = run.state
        state.state_details.task_run_id, state.state_details.flow_run_id = run.id, self._flow_run_id
        run.state, run.state_id, run.state_type, run.state_name = state, state.id, state.type, state.name
        self._last[run.id] = emit_task_run_state_change_event(
            run, initial_state=before, validated_state=state, follows=self._last.get(run.id)
        )


def _moment(at: datetime) -> Any:
    """Prefect types its times as a class of its own, and takes plain ones."""
    return at


def _name(key: str, partition: str | None) -> str:
    return f"{key} [{partition}]" if partition else key
