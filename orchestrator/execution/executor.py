"""Executes a plan: Python steps as their inputs finish, dbt nodes in one invocation with a gate, one book-keeping."""

from __future__ import annotations

import contextvars
import getpass
import os
import socket
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from orchestrator.dbt_engine.gate import NodeOutcome
from orchestrator.definitions.events import RunFinished, RunStarted, RunStatus, step_id
from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import RecordsError
from orchestrator.execution.attempt_host import Hosts
from orchestrator.execution.board import Board, End
from orchestrator.execution.dbt_steps import WELL, DbtSteps, compiled_paths
from orchestrator.execution.journal import Journal, now
from orchestrator.execution.ops import Op, build_ops, ordered_by_dbt
from orchestrator.execution.publishing import publish_after_run
from orchestrator.execution.python_steps import PythonSteps
from orchestrator.execution.results import Listener, RunOptions, RunResult, StepWrapper, Unwrapped
from orchestrator.execution.segments import Segment, cut_segments, within_segments
from orchestrator.execution.windows import Window
from orchestrator.plan.run_plan import RunPlan
from orchestrator.plan.versions import Versions
from orchestrator.resources.database import Database
from orchestrator.resources.file_lock import writer_lock
from orchestrator.workspace import Workspace

if TYPE_CHECKING:
    from orchestrator.dbt_engine.build import BuildResult

HEARTBEAT_S = 5.0
STOPPED_EARLY = "stopped at the first failure"
DEFAULT_THREADS = 4
MOST_GATED_THREADS = 64
"""More nodes than this waiting at the gate at once would only widen dbt's pools; Python steps then run before dbt."""


def run_plan(
    workspace: Workspace,
    plan: RunPlan,
    *,
    options: RunOptions | None = None,
    listeners: Sequence[Listener] = (),
    wrap: StepWrapper | None = None,
    cancel: threading.Event | None = None,
) -> RunResult:
    """Execute `plan` and say how it ended. Blocks; Ctrl-C or `cancel` stops it in order.

    Raises DefinitionErrors when the workspace has errors, ResourceLockedError when another process keeps the
    warehouse. What fails inside a step is recorded, not raised.
    """
    workspace.require_sound(AssetKey.parse(step.key) for step in plan.steps)
    options = options or RunOptions()
    if options.fail_fast is None:
        options = replace(options, fail_fast=bool(workspace.dbt_flag("fail_fast")))
    run_id = options.run_id or new_run_id()
    run = _Run(workspace, plan, options, tuple(listeners), wrap or Unwrapped(), run_id=run_id)
    result = run.execute(cancel or threading.Event())
    if (warning := publish_after_run(workspace)) is not None:
        run.journal.log(warning, level="warning")
        workspace.say(f"warning: {warning}")
    return result


def new_run_id() -> str:
    """Short, unique, sortable by time to the second: `1122-103518-ab12`."""
    return f"{time.strftime('%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:4]}"


@dataclass(slots=True)
class _Run:
    workspace: Workspace
    plan: RunPlan
    options: RunOptions
    listeners: tuple[Listener, ...]
    wrap: StepWrapper
    run_id: str
    problems: list[str] = field(default_factory=list)
    """What went wrong with the run as a whole."""
    crashed: bool = False
    """True when the executor itself met an error."""
    segments: tuple[Segment, ...] = ()
    """The invocations of dbt, in order."""
    journal: Journal = field(init=False)
    board: Board = field(init=False)
    working: set[str] = field(default_factory=set)
    """Python ops with a thread of their own."""

    def execute(self, cancel: threading.Event) -> RunResult:
        workspace = self.workspace
        workspace.records.reap(workspace.environment, as_of=now())
        started = time.monotonic()
        with self._warehouse(), self._alive():
            facts = workspace.facts()
            self.journal = Journal(
                records=workspace.records,
                graph=workspace.graph,
                run_id=self.run_id,
                environment=workspace.environment,
                listeners=self.listeners,
                versions=Versions.recorded(workspace.graph, facts),
            )
            self._announce()
            try:
                self.board = Board({}, cancelled=cancel)
                self.board = Board(self._ops(), cancelled=cancel)
                self._work()
            except KeyboardInterrupt:  # while dbt was still getting ready; later ones are met where the work is done
                cancel.set()
                return self._finish(started)
            except Exception as exc:
                self.crashed = True
                self.problems.append(str(exc))
                self._finish(started)
                raise
            return self._finish(started)

    @contextmanager
    def _warehouse(self) -> Iterator[None]:
        """The warehouse, opened while anything is built; of a file the only right to write it, and free afterwards."""
        databases = () if self.plan.is_empty else self._databases()
        with ExitStack() as held:
            for file in sorted(database.file for database in databases if database.file is not None):
                held.enter_context(
                    writer_lock(
                        file,
                        run_id=self.run_id,
                        timeout_s=self.workspace.config.lock_timeout_s,
                        on_wait=self.workspace.say,
                    )
                )
            for database in databases:
                held.callback(database.close)
                if database.capabilities.quick_looks:
                    database.connect().close()  # opened now: what is wrong is one clear error, not one a step
            yield

    def _databases(self) -> tuple[Database, ...]:
        """Those that the plan's steps and checks work on or name, each once."""
        ids = [*(step.writer for step in self.plan.to_build), *self.plan.checks]
        keys = {AssetKey.parse(step.key) for step in self.plan.to_build} & self.workspace.graph.assets.keys()
        checked = {key for check in self.workspace.graph.checks if check.id in self.plan.checks for key in check.reads}
        own = self.workspace.own_databases_of(keys | checked)
        found = [*map(self.workspace.database_of, ids), *own]
        return tuple({id(database): database for database in found if database is not None}.values())

    @contextmanager
    def _alive(self) -> Iterator[None]:
        """Heartbeats while the run lives; its claims end with it."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(HEARTBEAT_S):
                with suppress(RecordsError):  # the next beat may get through; a step's own words must
                    self.workspace.records.heartbeat(self.run_id)

        thread = threading.Thread(target=beat, name="orchestrator-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.workspace.records.release_run(self.run_id)

    def _announce(self) -> None:
        self.journal.emit(
            RunStarted(
                at=now(),
                run_id=self.run_id,
                environment=self.workspace.environment,
                command=self.options.command,
                selection=self.plan.selection,
                engine=self.options.engine,
                by=f"{current_user()}@{socket.gethostname()}",
                pid=os.getpid(),
                steps=self.plan.steps,
            )
        )
        for step in self.plan.steps:
            if step.action == "skip":
                self.journal.left_out(step.key, step.writer, "up_to_date", step.reason, action=step.kind == "action")

    def _ops(self) -> dict[str, Op]:
        graph = self.workspace.graph
        needs_dbt = any(step.writer in self.workspace.dbt_nodes for step in self.plan.to_build) or any(
            check.kind != "python" for check in graph.checks if check.id in set(self.plan.checks)
        )
        if not needs_dbt:
            return build_ops(graph, self.plan, native=lambda _: frozenset())
        from orchestrator.dbt_engine.build import native_parents

        workspace = self.workspace

        @cache
        def native(unique_id: str) -> frozenset[str]:
            return native_parents(workspace.dbt_project_of(unique_id).dbt_manifest(), unique_id)

        def project_of(unique_id: str) -> str:
            return workspace.dbt_project_of(unique_id).name

        ops = build_ops(graph, self.plan, native=native)
        self.segments = cut_segments(ops, project_of=project_of, native=ordered_by_dbt(ops, native))
        if len(self.segments) < 2:
            return ops
        # What dbt orders by itself it orders inside one invocation.
        together = {id_: frozenset(segment.ops) for segment in self.segments for id_ in segment.ops}
        ops = build_ops(graph, self.plan, native=native, together=together)
        return within_segments(ops, self.segments)

    def _work(self) -> None:
        slots = threading.Semaphore(self._threads())
        dbt = threading.Thread(target=self._dbt, args=(slots,), name="orchestrator-dbt", daemon=True)
        python = self._python_steps()
        ready: deque[tuple[Op, End | None]] = deque()
        dbt_started = False
        try:
            while not (self.board.all_ended() and not dbt.is_alive()):
                if not dbt_started and self._dbt_may_start():
                    dbt.start()
                    dbt_started = True
                ready.extend(self.board.ready("python"))
                while ready and (ready[0][1] is not None or len(self.working) < self._threads()):
                    self._start_python(*ready.popleft(), python, slots)
                if self.options.fail_fast and any(end.ending == "failed" for end in self.board.ends.values()):
                    self._cancel(STOPPED_EARLY)
                if self.board.cancelled.is_set():  # by Ctrl-C, a listener, or another thread
                    self._cancel("cancelled")
                self.board.wait_change()
        except BaseException as exc:
            # Nothing may still write when the warehouse is given back.
            self._cancel("interrupted" if isinstance(exc, KeyboardInterrupt) else f"{type(exc).__name__}: {exc}")
            for op, verdict in ready:
                self._skip(op, verdict or self.board.cancelled_end)
            self._drain(dbt if dbt_started else None)
            if not isinstance(exc, KeyboardInterrupt):
                raise

    def _dbt_may_start(self) -> bool:
        ops = [op for op in self.board.ops.values() if op.engine == "dbt"]
        if not ops:
            return False
        if self.board.cancelled.is_set():
            for op in ops:
                self._skip(op, self.board.cancelled_end)
            return False
        gated = [op for op in ops if op.needs]
        if len(gated) <= MOST_GATED_THREADS:
            return True
        first = [op for op in self.board.ops.values() if op.engine == "python" and not self._below_dbt(op)]
        return all(op.id in self.board.ends for op in first)

    def _below_dbt(self, op: Op) -> bool:
        graph = self.workspace.graph
        dbt_keys = {other.key for other in self.board.ops.values() if other.engine == "dbt"}
        return bool((graph.ancestors([op.key]) | {op.key} if op.check else graph.ancestors([op.key])) & dbt_keys)

    def _dbt(self, slots: threading.Semaphore) -> None:
        """The dbt invocations, one after the other; runs in a thread of its own."""
        self._say_repeated_hooks()
        for segment in self.segments:
            several = len({other.project for other in self.segments}) > 1
            about = (segment.project if several else "", segment.window.label if segment.window else "")
            name = " ".join(filter(None, ("dbt build", *about)))
            build = partial(self._build, segment, slots)
            try:
                if not self.board.cancelled.is_set():
                    self.wrap.dbt_invocation(name, build)
            except BaseException as exc:  # noqa: BLE001  whatever happens to dbt, its ops must end and the run must not be green
                self.problems.append(f"dbt: {exc}")
            for id_ in segment.ops:
                if id_ not in self.board.ends:
                    self._end_forgotten(self.board.ops[id_])

    def _say_repeated_hooks(self) -> None:
        counts = Counter(segment.project for segment in self.segments)
        for project in self.workspace.dbt_projects:
            if counts[project.name] > 1 and project.operations:
                line = f"the hooks of {project.name} run {counts[project.name]} times, once in each of its segments"
                with suppress(RecordsError):
                    self.journal.log(line)

    def _build(self, segment: Segment, slots: threading.Semaphore) -> None:
        """One invocation, and another one for what failed and may be tried again, with what waits for it."""
        ops = [self.board.ops[id_] for id_ in segment.ops]
        attempt = 1
        while ops:
            listener = self._invoke(ops, segment.window, slots, attempt)
            ops = [op for op in ops if op.id in listener.again]
            delay = max((op.retry.delay_s for op in ops), default=0)
            if ops and self.board.cancelled.wait(delay):
                return
            attempt += 1

    def _invoke(self, ops: Sequence[Op], window: Window | None, slots: threading.Semaphore, attempt: int) -> DbtSteps:
        from orchestrator.dbt_engine.build import build_nodes

        workspace = self.workspace
        project = workspace.dbt_project_of(ops[0].writer)
        invocation, manifest = project.called, project.dbt_manifest()
        database = workspace.database_of(ops[0].writer)
        if window is not None:
            invocation = replace(invocation, vars={**invocation.vars, **window.variables()})
        listener = DbtSteps(
            graph=workspace.graph,
            board=self.board,
            journal=self.journal,
            database=database,
            compiled=compiled_paths(manifest, invocation.target_path),
            keep_samples=database is not None and database.capabilities.local_file,
            op_ids={op.writer: op.id for op in ops if op.partitions is not None},
            attempt=attempt,
        )
        gated = sum(1 for op in ops if not op.needs | op.after <= set(self.board.ends))
        result = build_nodes(
            invocation,
            manifest,
            nodes=[op.writer for op in ops],
            listener=listener,
            slots=slots,
            threads=self._threads() + gated,
            full_refresh=self.plan.full_refresh,
            fail_fast=bool(self.options.fail_fast),
            event_times=window.event_times() if window is not None else None,
        )
        self._read_result(result, listener)
        listener.settle()
        return listener

    def _read_result(self, result: BuildResult, listener: DbtSteps) -> None:
        """What the events did not tell: hooks, nodes that never started, dbt's own failure."""
        outcomes = result.outcomes.values()
        for outcome in outcomes:
            if listener.op_id(outcome.unique_id) not in self.board.ops and outcome.status not in (*WELL, "skipped"):
                listener.failed_hook = f"the hook {outcome.unique_id.split('.')[-1]}"
                self.problems.append(f"{listener.failed_hook} failed: {outcome.cause}")
        for outcome in outcomes:
            if (op_id := listener.op_id(outcome.unique_id)) in self.board.ops:
                listener.finish(outcome)
                self._compare(op_id, outcome)
        self.problems.extend(str(exc) for exc in listener.broken)
        if result.error:
            self.problems.append(f"dbt: {result.error}")
        elif not (
            result.success
            or self.problems
            or listener.again
            or any(end.ending != "ok" for end in self.board.ends.values())
        ):
            self.problems.append("dbt reports a failure that no step shows")

    def _compare(self, op_id: str, outcome: NodeOutcome) -> None:
        """Green only if dbt's result says so, too, not just the event that we heard."""
        end = self.board.ends.get(op_id)
        if end is not None and end.ending == "ok" and outcome.status not in WELL:
            self.problems.append(f"dbt's result for {self.board.describe(op_id)} is: {outcome.status}")

    def _end_forgotten(self, op: Op) -> None:
        """Something that dbt took and never ended."""
        if self.board.cancelled.is_set():
            self._skip(op, self.board.cancelled_end)
            return
        reason = self.problems[-1] if self.problems else "dbt did not run it"
        self._tell(op, lambda: self.journal.fail_unrun(op, reason))
        self.board.end(op.id, End("failed", reason))

    def _skip(self, op: Op, end: End) -> None:
        """End an op that has not started."""
        if op.id not in self.board.ends:
            self._tell(op, lambda: self.journal.skip(op, end))
            self.board.end(op.id, end)

    def _tell(self, op: Op, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as exc:  # noqa: BLE001  the op must end all the same, and the run not be green
            self.problems.append(f"{op.key}: {exc}")

    def _start_python(self, op: Op, verdict: End | None, steps: PythonSteps, slots: threading.Semaphore) -> None:
        if verdict is not None:
            self._skip(op, verdict)
            return
        within = contextvars.copy_context()
        self.working.add(op.id)
        threading.Thread(
            target=within.run, args=(self._python, op, steps, slots), name=f"orchestrator-{op.key}", daemon=True
        ).start()

    def _python(self, op: Op, steps: PythonSteps, slots: threading.Semaphore) -> None:
        """One Python op; runs in a thread of its own."""
        definition = self.workspace.definitions[op.writer]
        with slots:
            if self.board.cancelled.is_set():
                self.working.discard(op.id)
                self._skip(op, self.board.cancelled_end)
                return
            run: Any = steps.run_check if op.kind == "check" else steps.run_step
            name = op.check.name if op.check is not None else op.title
            try:
                end = self.wrap.python_step(name, lambda: run(op, definition))
            except BaseException as exc:  # noqa: BLE001  our own book-keeping failed: never green
                self.problems.append(f"{op.key}: {exc}")
                end = End("failed", str(exc))
        self.working.discard(op.id)
        self.board.end(op.id, end)

    def _python_steps(self) -> PythonSteps:
        workspace = self.workspace
        return PythonSteps(
            journal=self.journal,
            workspace=workspace,
            board=self.board,
            root=workspace.root,
            keep_samples=workspace.keep_samples,
            hosts=Hosts(self.journal, workspace.root, workspace.project.profile if workspace.project else None),
        )

    def _threads(self) -> int:
        return self.options.threads or self.workspace.profile_threads or DEFAULT_THREADS

    def _cancel(self, why: str) -> None:
        from orchestrator.dbt_engine.build import cancel_running

        if not self.board.stopping:
            with suppress(RecordsError):  # stopping comes first
                self.journal.log(f"stopping: {why}", level="warning")
        self.board.cancel(why if why == STOPPED_EARLY else "the run was cancelled")
        cancel_running()

    def _drain(self, dbt: threading.Thread | None) -> None:
        """After a cancel: let everything write down how it ended."""
        from orchestrator.dbt_engine.build import cancel_running

        while not self.board.all_ended() or (dbt is not None and dbt.is_alive()):
            if dbt is None:
                self._dbt_may_start()
            for op, verdict in self.board.ready("python"):
                self._skip(op, verdict or self.board.cancelled_end)
            cancel_running()
            self.board.wait_change()

    def _finish(self, started: float) -> RunResult:
        duration = time.monotonic() - started
        ended = self.journal.steps
        steps = tuple(ended[step_id(step)] for step in self.plan.steps if step_id(step) in ended)
        checks = tuple(self.journal.checks)
        status = self._status()
        reason = "; ".join(dict.fromkeys(self.problems))
        self.journal.emit(
            RunFinished(
                at=now(),
                run_id=self.run_id,
                environment=self.workspace.environment,
                status=status,
                reason=reason,
                duration_s=duration,
            )
        )
        return RunResult(
            run_id=self.run_id,
            environment=self.workspace.environment,
            status=status,
            engine=self.options.engine,
            steps=steps,
            checks=checks,
            duration_s=duration,
            reason=reason,
        )

    def _status(self) -> RunStatus:
        """Succeeded only if nothing at all says otherwise: no problem, every planned op ended well."""
        if self.crashed:
            return "failed"
        if self._interrupted():  # what dbt or a step complains of while it is being stopped is no failure of its own
            return "cancelled"
        ended_badly = any(end.ending != "ok" for end in self.board.ends.values())
        missing = [step for step in self.plan.to_build if step_id(step) not in self.journal.steps]
        refuted = any(check.status == "failed" for check in self.journal.checks)
        return "failed" if self.problems or ended_badly or missing or refuted else "succeeded"

    def _interrupted(self) -> bool:
        return self.board.cancelled.is_set() and not self.options.fail_fast


def current_user() -> str:
    """Who runs this; containers without a user name are no reason to fail."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
