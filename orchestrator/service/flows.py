"""The flow `materialize` around the executor. Opening this module imports prefect.

The executor does the work and its result is the only one that counts; Prefect is told what happens. Whatever goes
wrong on Prefect's side is said once and the run goes on.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Generic, TypeVar, cast

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.context import FlowRunContext, TaskRunContext
from prefect.flow_engine import run_flow
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Failed

from orchestrator.definitions.events import CheckFinished, Event, LogLine, RunStarted, StepFinished, StepStarted
from orchestrator.errors import OrchestratorError, ServiceError
from orchestrator.execution.results import Listener, RunResult, StepWrapper
from orchestrator.service.connection import Connection, abandon, connected, drain
from orchestrator.service.server import WITHOUT_PREFECT, api_answers
from orchestrator.service.summary import markdown_summary
from orchestrator.service.task_runs import MirroredTaskRuns

T = TypeVar("T")
LOST = (
    "Prefect does not answer any more; the run goes on without it and is recorded here in full, "
    "only Prefect's own view of it stays incomplete"
)
SETTLE_S = 15.0
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


Run = Callable[[Sequence[Listener], StepWrapper], RunResult]
"""Carries a plan out, telling the listeners, with each Python step and dbt invocation run by the wrapper."""


class _PrefectIsGone(GeneratorExit):
    """Ends the flow without a last word to the API: the one kind of exception for which Prefect sets no state.

    For any other it would try, and try again, for a quarter of a minute.
    """


def run_in_prefect(
    run: Run,
    *,
    connection: Connection,
    environment: str,
    selection: str,
    command: str,
    listeners: Sequence[Listener],
    flow_run: FlowRun | None = None,
) -> RunResult:
    """Carry a plan out inside the flow `materialize`: in `flow_run` if somebody asked for it there, else in a new one.

    Raises what `run` raises, unchanged; ServiceError when Prefect refuses before anything has started.
    """
    job = _Job(run, listeners, api_url=connection.api_url)
    with connected(connection):
        token = _JOB.set(job)
        try:
            parameters = {"environment": environment, "selection": selection, "command": command}
            run_flow(materialize, flow_run=flow_run, parameters=parameters, return_type="state")
        except (Exception, _PrefectIsGone) as error:
            if not job.call.started:
                raise ServiceError(
                    f"Prefect at {connection.api_url} did not accept the run: {_first_line(error)}", fix=WITHOUT_PREFECT
                ) from error
            job.warner.lost(error)
        finally:
            _JOB.reset(token)
        if job.warner.warned:
            abandon()
        elif connection.home is not None:
            drain()
            _settle(job)
    job.forget()
    return job.call.result()


@flow(
    name="materialize",
    flow_run_name="{command}",
    retries=0,
    persist_result=False,
    validate_parameters=False,
    log_prints=False,
)
def materialize(environment: str, selection: str, command: str) -> State:
    """Build assets: a task for each Python step and each dbt invocation, a task run for each dbt node."""
    job = _JOB.get()
    with _own_signals(job.sigterm):
        return job.carry_out(selection=selection or "everything", environment=environment)


class _Call(Generic[T]):
    """One call and what it came to, kept apart from what Prefect makes of it.

    It lets go of everything once it has been used: Prefect's registries and contexts live as long as Python does, and
    must not keep a warehouse's connection alive with them.
    """

    def __init__(self, run: Callable[[], T]) -> None:
        self._run: Callable[[], T] | None = run
        self._value: T | None = None
        self.error: BaseException | None = None
        self.ended = False

    @property
    def started(self) -> bool:
        return self._run is None

    def __call__(self) -> None:
        run, self._run = self._run, None
        assert run is not None, "a call is made once"
        try:
            self._value = run()
        except BaseException as error:  # noqa: BLE001  user code: it is raised again by result()
            self.error = error
        self.ended = True

    def peek(self) -> T:
        """The value of a call that has ended well."""
        return cast(T, self._value)

    def result(self) -> T:
        """The value, or the error raised again; forgotten afterwards."""
        value, self._value = self._value, None
        error, self.error = self.error, None
        if error is not None:
            raise error
        return cast(T, value)


@dataclass
class _Warner:
    """Says once that Prefect is lost, to those who watch the run."""

    listeners: Sequence[Listener]
    warned: bool = False
    _run: RunStarted | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def started(self, event: RunStarted) -> None:
        self._run = event

    def lost(self, error: BaseException) -> None:
        with self._lock:
            if self.warned or self._run is None:
                return
            self.warned = True
        line = LogLine(
            at=datetime.now(timezone.utc),
            run_id=self._run.run_id,
            environment=self._run.environment,
            level="warning",
            message=f"{LOST} ({_first_line(error)})",
        )
        for listener in self.listeners:
            listener(line)


class PrefectWrapper:
    """Runs the executor's Python steps and dbt invocations as Prefect tasks, from whatever thread it is called in.

    Exceptions and results pass through unchanged, and neither is given to Prefect: they may be large, or not picklable.
    """

    def __init__(self, context: contextvars.Context, *, mirrored: MirroredTaskRuns, warner: _Warner) -> None:
        self._context = context
        self._mirrored = mirrored
        self._warner = warner

    def python_step(self, name: str, run: Callable[[], T]) -> T:
        """Run a Python asset, check or action; `name` is its key."""
        return self._as_task(name, run)

    def dbt_invocation(self, name: str, run: Callable[[], T]) -> T:
        """Run a dbt invocation, which mirrors its nodes by itself."""
        return self._as_task(name, run)

    def _as_task(self, name: str, run: Callable[[], T]) -> T:
        call = _Call(run)

        def body() -> State:
            if (context := TaskRunContext.get()) is not None:
                self._mirrored.note(name, task_run_id=context.task_run.id)
            call()
            return _final_state(call.error)

        step: Any = task(name=name, task_run_name=_no_template(name), retries=0, persist_result=False)(body)
        try:
            # A copy: threads may not share a context, and each step has a task run of its own in it.
            self._context.copy().run(step.with_options(cache_policy=NO_CACHE), return_state=True)
        except Exception as error:
            # A time limit may strike while Prefect's code is on the stack.
            if isinstance(error, OrchestratorError) and not call.ended:
                raise
            self._warner.lost(error)
            if not call.started:
                call()
        return call.result()


class _Job:
    """One run on its way through the flow."""

    def __init__(self, run: Run, listeners: Sequence[Listener], *, api_url: str) -> None:
        self._api_url = api_url
        self._listeners = list(listeners)
        self._wrapper: list[StepWrapper] = []
        self.call = _Call(lambda: run(self._listeners, self._wrapper[0]))
        self.warner = _Warner(listeners)
        self.flow_run_id: Any = None
        # Prefect puts its own handler in place while a flow runs; ours knows how to cancel a run.
        self.sigterm = signal.getsignal(signal.SIGTERM) if _in_main_thread() else None

    def carry_out(self, *, selection: str, environment: str) -> State:
        """Run the plan in the flow run's context, and say how it ended."""
        self.flow_run_id = cast(Any, FlowRunContext.get()).flow_run.id
        mirrored = MirroredTaskRuns(self.flow_run_id)
        context = contextvars.copy_context()
        self._wrapper.append(PrefectWrapper(context, mirrored=mirrored, warner=self.warner))
        self._listeners.append(_Teller(context, mirrored=mirrored, warner=self.warner, logger=get_run_logger()))
        self.call()
        if not api_answers(self._api_url):
            self.warner.lost(_PrefectIsGone("no answer"))
            raise _PrefectIsGone
        return self._report(f"{selection} in {environment}")

    def forget(self) -> None:
        """Let go of those who listened: Prefect's contexts, with this job in them, live as long as Python does."""
        self._listeners.clear()
        self._wrapper.clear()
        self.warner = _Warner(())

    def _report(self, what: str) -> State:
        if self.call.error is not None:
            return _final_state(self.call.error)
        result = self.call.peek()
        try:
            create_markdown_artifact(markdown_summary(result), key="run-summary", description=what)
        except Exception as error:  # noqa: BLE001  what Prefect cannot take turns no good run into a bad one
            self.warner.lost(error)
        match result.status:
            case "succeeded":
                return Completed(message="the run succeeded")
            case "cancelled":
                return Cancelled(message="the run was cancelled")
            case status:
                return Failed(message=f"the run {status}" + (f": {result.reason}" if result.reason else ""))


class _Teller:
    """The listener that tells Prefect: log lines, and task runs for what does not run as a task."""

    def __init__(
        self, context: contextvars.Context, *, mirrored: MirroredTaskRuns, warner: _Warner, logger: Any
    ) -> None:
        self._context = context
        self._mirrored = mirrored
        self._warner = warner
        self._logger = logger

    def __call__(self, event: Event) -> None:
        try:
            self._context.copy().run(self._tell, event)
        except Exception as error:  # noqa: BLE001  whatever Prefect's trouble is, it is not the run's
            self._warner.lost(error)

    def _tell(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._warner.started(event)
                self._log("info", f"run {event.run_id} of {event.command} in {event.environment}")
            case LogLine():
                self._log(event.level, event.message, key=event.key)
            case StepStarted() if not _is_python(event.writer):
                self._mirrored.step_started(event)
            case StepFinished():
                # A Python step that ran is a task already; one that never started would not be seen at all.
                if not _is_python(event.writer) or event.attempt_id is None:
                    self._mirrored.step_finished(event)
                level = "error" if event.status in ("failed", "unknown") else "info"
                self._log(level, _sentence(event.key, event), key=event.key)
            case CheckFinished():
                if not _is_python(event.check) or event.status in ("blocked", "cancelled"):
                    self._mirrored.check_finished(event)
                if event.status != "succeeded":
                    level = "error" if event.status == "failed" else "warning"
                    self._log(level, _sentence(f"check {event.name} on {event.key}", event), key=event.key)

    def _log(self, level: str, message: str, *, key: str | None = None) -> None:
        run_id = self._mirrored.of(key) if key else None
        extra = {"task_run_id": str(run_id)} if run_id else {}
        self._logger.log(_LEVELS[level], message, extra=extra)


def _sentence(what: str, event: StepFinished | CheckFinished) -> str:
    took = f" after {event.duration_s:.1f} s" if event.duration_s is not None else ""
    reason = event.failure.message if event.failure else event.reason
    return f"{what}: {event.status.replace('_', ' ')}{took}" + (f": {reason}" if reason else "")


def _final_state(error: BaseException | None) -> State:
    if error is None:
        return Completed()
    message = f"{type(error).__name__}: {error}"
    return Cancelled(message=message) if isinstance(error, KeyboardInterrupt) else Failed(message=message)


def _settle(job: _Job) -> None:
    """Wait until our own server has written down the task runs that it was told about; it may be stopped next."""
    import time

    deadline = time.monotonic() + SETTLE_S
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[job.flow_run_id]))
    unfinished = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING])))
    with contextlib.suppress(Exception), get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            if not client.read_task_runs(flow_run_filter=mine, task_run_filter=unfinished, limit=1):
                return
            time.sleep(0.3)


@contextlib.contextmanager
def _own_signals(handler: Any) -> Iterator[None]:
    """The handler that was there before the flow began, for as long as our code runs in it."""
    if handler is None or not _in_main_thread():
        yield
        return
    prefects = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, prefects)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_python(writer: str) -> bool:
    return writer.startswith("python:")


def _no_template(name: str) -> str:
    return name.replace("{", "{{").replace("}", "}}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


_JOB: contextvars.ContextVar[_Job] = contextvars.ContextVar("materialize")
