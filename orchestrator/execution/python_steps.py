"""Python assets, actions and checks: attempts, retries, what they return, how they fail."""

from __future__ import annotations

import inspect
import logging
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

from orchestrator.definitions.assets import PythonAction, PythonAsset, PythonCheck, Table
from orchestrator.definitions.context import Context, Previous
from orchestrator.definitions.events import CheckStatus, Failure, Materialization, StepStatus
from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.partitions import Partition, Partitions, TimePartitions
from orchestrator.errors import (
    ClaimLostError,
    ExecutionError,
    ExternalWorkError,
    HalfWrittenError,
    OrchestratorError,
    ResourceError,
)
from orchestrator.execution.attempt_host import Hosts
from orchestrator.execution.attempts import Attempt, StepCancelledError
from orchestrator.execution.board import Board, End
from orchestrator.execution.journal import Intent, Journal
from orchestrator.execution.ops import Op
from orchestrator.execution.session import OPENED, AttemptSession, Names
from orchestrator.execution.storing import Destination, refuse_unrun, store, typed_metadata, word_of_update
from orchestrator.execution.uses import Declared, StepUses
from orchestrator.graph.model import UsedResource, Writer
from orchestrator.records import ClaimedElsewhereError
from orchestrator.resources.database import Scope
from orchestrator.resources.observer import observing
from orchestrator.resources.own_database import in_its_own
from orchestrator.workspace import Workspace

Runnable = PythonAsset[..., Any] | PythonAction[..., Any]


@dataclass(frozen=True, slots=True)
class PythonSteps:
    """Executes the Python ops of one run."""

    journal: Journal
    workspace: Workspace
    board: Board
    root: Path
    keep_samples: bool
    hosts: Hosts

    def run_step(self, op: Op, definition: Runnable) -> End:
        """All attempts of one asset or action, until one succeeds."""
        attempts = definition.retry.times + 1
        for number in range(1, attempts + 1):
            end = self._attempt(op, definition, number, last=number == attempts)
            if end is not None:
                return end
            if self.board.cancelled.wait(definition.retry.delay_s):
                break
        end = self.board.cancelled_end
        self.journal.skip(op, End("cancelled", f"{end.reason} between two attempts"))
        return end

    def _attempt(self, op: Op, definition: Runnable, number: int, *, last: bool) -> End | None:
        """One attempt; None when it failed and there is another one to come."""
        try:
            (intent,) = self.journal.intend(op, attempt=number)
        except ClaimedElsewhereError as exc:
            self.journal.not_run(op, "failed", exc.what)
            return End("failed", exc.what)
        session = self._session(op)
        session.host = self._hosts(session).host(intent, definition, session)
        context = self._context(intent, session, number)
        uses = self._uses(op, session, session.asset.resources)
        attempt: Attempt[Materialization] = Attempt(
            lambda: self._execute(intent, definition, context, session, attempt, uses),
            interrupt=session.interrupt,
            timeout_s=definition.timeout_s,
        )
        try:
            materialization = attempt.run(cancelled=self.board.cancelled)
        except StepCancelledError:
            end = self.board.cancelled_end
            self.journal.fail(intent, Failure(end.reason), status="cancelled")
            return end
        except BaseException as exc:  # noqa: BLE001  the user's code; recorded, and the run goes on
            again = not last and not isinstance(exc, ClaimLostError) and not self.board.cancelled.is_set()
            status: StepStatus = "unknown" if isinstance(exc, HalfWrittenError) else "failed"
            self.journal.fail(intent, self._failure(exc), status=status, will_retry=again)
            return None if again else End("failed", str(exc))
        finally:
            self._tell(uses)
            session.close()
        self.journal.succeed(intent, materialization=materialization)
        return End("ok")

    def _session(self, op: Op, *, more: frozenset[AssetKey] = frozenset()) -> AttemptSession:
        """What the code may touch, by the names and in the database of its own project."""
        workspace, asset = self.workspace, self.workspace.graph[op.key]
        names = Names(workspace.graph, workspace.ids, project=workspace.project_of(op.writer))
        label = f"{self.journal.run_id} {asset.key}"
        return AttemptSession(
            names,
            workspace.database_of(op.writer),
            asset,
            asset.reads | more,
            label=label,
            database_for=lambda resource: workspace.database_for(resource, id_=op.writer),
        )

    def _hosts(self, session: AttemptSession) -> Hosts:
        project = session.names.project
        if project is None:
            return self.hosts
        return replace(self.hosts, root=project.settings.root, profile=project.profile)

    def _context(self, intent: Intent, session: AttemptSession, number: int) -> Context:
        journal, key = self.journal, intent.op.key
        return Context(
            run_id=journal.run_id,
            environment=journal.environment,
            key=key,
            session=session,
            partition=_partition(intent),
            attempt=number,
            previous=self._previous(intent),
            log=_logger(journal, intent.op, name=intent.attempt_id),
        )

    def _check_context(self, op: Op, session: AttemptSession) -> Context:
        journal = self.journal
        return Context(
            run_id=journal.run_id,
            environment=journal.environment,
            key=op.key,
            session=session,
            log=_logger(journal, op, name=op.id),
        )

    def _previous(self, intent: Intent) -> Previous | None:
        journal = self.journal
        if not journal.versions.has(intent.op.key, intent.op.writer, intent.partition):
            return None
        last = journal.records.latest(journal.environment, str(intent.op.key), partition=intent.partition)
        if last is None or last.version is None:
            return None
        metadata = {name: item.get("value") for name, item in last.metadata.items()}
        return Previous(version=last.version, at=last.at, rows=last.rows, metadata=metadata)

    def _execute(
        self,
        intent: Intent,
        definition: Runnable,
        context: Context,
        session: AttemptSession,
        attempt: Attempt[Materialization],
        uses: StepUses,
    ) -> Materialization:
        with observing(uses.observer):
            return self._stored(intent, definition, context, session, attempt, uses)

    def _stored(
        self,
        intent: Intent,
        definition: Runnable,
        context: Context,
        session: AttemptSession,
        attempt: Attempt[Materialization],
        uses: StepUses,
    ) -> Materialization:
        returned = call_with_context(definition, context)
        uses.require_declared()
        if isinstance(definition, PythonAction):
            refuse_unrun(returned)
            return Materialization(metadata=typed_metadata(context.metadata))
        asset = self.workspace.graph[intent.op.key]
        resource = definition.table.resource if isinstance(definition.table, Table) else None
        database = self.workspace.database_for(resource, id_=intent.op.id)
        if database is None or asset.relation is None:
            raise ResourceError(
                f"{intent.op.key} cannot be written: Python cannot open this environment's warehouse",
                fix=OPENED,
            )

        def guard() -> None:
            attempt.refuse_if_stopped()
            uses.require_declared()  # again: a generator has worked since
            if not self.journal.holds(intent):
                raise ClaimLostError(f"another run has taken over {intent.op.key}; this result is refused")

        if intent.writer.mode == "update":
            returned = word_of_update(returned, intent.op.key)
        scope = scope_of(intent.writer, asset.writers, partition=intent.partition)
        relation = in_its_own(asset.relation, resource)
        stored = store(returned, Destination(database, relation, guard, lambda: session.connect(resource), scope))
        return replace(
            stored,
            sample=stored.sample if self.keep_samples and database.file is not None else None,
            metadata={**typed_metadata(context.metadata), **stored.metadata},
        )

    def run_check(self, op: Op, definition: PythonCheck[..., Any]) -> End:
        """One Python check."""
        assert op.check is not None
        started = time.monotonic()
        session = self._session(op, more=op.check.reads | {op.key})
        uses = self._uses(op, session, op.check.resources)

        def verdict() -> tuple[bool, int | None, str]:
            with observing(uses.observer):
                found = verdict_of(definition, self._check_context(op, session))
                uses.require_declared()
                return found

        attempt: Attempt[tuple[bool, int | None, str]] = Attempt(
            verdict, interrupt=session.interrupt, timeout_s=definition.timeout_s
        )
        try:
            passed, failures, message = attempt.run(cancelled=self.board.cancelled)
        except StepCancelledError:
            self.journal.skip(op, self.board.cancelled_end)
            return self.board.cancelled_end
        except BaseException as exc:  # noqa: BLE001  the user's code: a check that cannot be evaluated has not passed
            failure = self._failure(exc)
            self.journal.check(op, "failed", reason=str(exc), failure=failure, duration_s=time.monotonic() - started)
            return End("failed", str(exc))
        finally:
            self._tell(uses)
            session.close()
        status: CheckStatus = "succeeded" if passed else "warned" if op.check.severity == "warn" else "failed"
        self.journal.check(
            op,
            status,
            failures=failures,
            reason=message,
            duration_s=time.monotonic() - started,
        )
        return End("failed" if status == "failed" else "ok", message)

    def _uses(self, op: Op, session: AttemptSession, used: Sequence[UsedResource]) -> StepUses:
        """Who watches what this op does, with the eyes of its own project."""
        workspace, asset, project = self.workspace, session.asset, session.names.project
        names = {item.name for item in used}
        resources = project.python.resources if project is not None else workspace.resources
        profile = project.profile if project is not None else None
        reads = (op.check.reads if op.check is not None else asset.reads) | {op.key}
        writes = asset.reads if op.kind == "action" else frozenset() if op.kind == "check" else frozenset({op.key})
        declared = Declared(
            key=op.key,
            location=op.check.location if op.check is not None else session.names.place(op.key, op.writer),
            reads=reads,
            writes=writes,
            resources=tuple(item.resource for item in resources if item.name in names),
            name=op.check.name if op.check is not None else "",
        )
        return StepUses(
            declared,
            workspace.graph,
            session.database,
            profile.database.lower() if profile is not None else workspace.default_database,
            strict=workspace.config.strict,
            root=project.settings.root if project is not None else self.root,
        )

    def _tell(self, uses: StepUses) -> None:
        """What was found, in the run's log. Never the reason that a step has no outcome."""
        try:
            found = uses.findings()
        except Exception as exc:  # noqa: BLE001  the analysis of any SQL there is
            self.journal.log(f"what the step sent could not be looked at: {exc}", level="debug", key=uses.declared.key)
            return
        for error in found:
            if error.what in uses.raised:
                continue
            what = error.what.removeprefix(f"{uses.declared.key} ")  # the line has the key beside it
            line = f"{what} ({error.at}); fix: {error.fix}"
            self.journal.log(line, level="warning", key=uses.declared.key)
        for what, times in uses.observer.touched.items():
            count = f", {times} times" if times > 1 else ""
            self.journal.log(f"{what}{count}", level="debug", key=uses.declared.key)
        if uses.observer.left_out:
            left_out = f"{uses.observer.left_out} statements were not looked at: too many, or too long"
            self.journal.log(left_out, level="debug", key=uses.declared.key)

    def _failure(self, exc: BaseException) -> Failure:
        elsewhere = exc.traceback if isinstance(exc, ExternalWorkError) else None
        return Failure(message=_message(exc), traceback=elsewhere or user_traceback(exc, self.root))


def scope_of(writer: Writer, writers: Sequence[Writer], *, partition: str | None = None) -> Scope | None:
    """The rows that a write of `writer` (of one partition) replaces; None: all of the table.

    Rows of other slots are never among them.
    """
    own = _slot_scope(writer, writers)
    if writer.partitions is None or partition is None:
        return own
    return partition_scope(writer.partitions, partition, within=own)


def partition_scope(partitions: Partitions, key: str, *, within: Scope | None = None) -> Scope:
    """The rows of one partition: a window of time, and values of other columns."""
    scope, one = within or Scope(), partitions.partition(key)
    for part in partitions.dimensions:
        if part.column is None:
            raise ExecutionError(
                f"nothing says which rows belong to partition {key}: {part.about()}", fix="give its column="
            )
        if isinstance(part, TimePartitions):
            scope = replace(scope, window=(part.column, one.start, one.end))
        else:
            scope = replace(scope, equal=(*scope.equal, (part.column, one.keys[part.name])))
    return scope


def _slot_scope(writer: Writer, writers: Sequence[Writer]) -> Scope | None:
    if writer.slot is None:
        return None
    others = (other.slot for other in writers if other.id != writer.id and other.slot is not None)
    apart_from = tuple(Scope(among=slot.where) for slot in others if not slot.is_disjoint(writer.slot))
    return Scope(among=writer.slot.where, apart_from=apart_from)


def _partition(intent: Intent) -> Partition | None:
    partitions, key = intent.writer.partitions, intent.partition
    return partitions.partition(key) if partitions is not None and key is not None else None


def call_with_context(definition: Any, context: Context, **given: Any) -> Any:
    """Call the function with `context` if it takes one, whatever its place; coroutines are run to their end."""
    parameters = inspect.signature(definition.fn).parameters
    result = definition.fn(**given, **({"context": context} if "context" in parameters else {}))
    if inspect.iscoroutine(result):
        import asyncio

        return asyncio.run(result)
    return result


def verdict_of(definition: PythonCheck[..., Any], context: Context) -> tuple[bool, int | None, str]:
    """(passed, failing rows, message) of what a check's function says. Raises ExecutionError for anything else."""
    parameters = [name for name in inspect.signature(definition.fn).parameters if name != "context"]
    given: dict[str, Any] = {}
    if parameters:
        given[parameters[0]] = _as_annotated(definition, parameters[0], context.read(definition.asset))
    result = call_with_context(definition, context, **given)
    refuse_unrun(result)
    match result:
        case (passed, str() as message):
            return bool(passed), None, message
        case bool():
            return result, None, "" if result else "it returned False"
        case int():
            return result == 0, result, "" if result == 0 else f"{result} failing rows"
    if type(result).__name__ in ("bool_", "bool"):  # numpy
        return bool(result), None, "" if result else "it returned False"
    raise ExecutionError(
        f"the check returned {type(result).__name__}",
        fix="return True or False, the number of failing rows, or (passed, message)",
    )


def _as_annotated(definition: PythonCheck[..., Any], parameter: str, table: Any) -> Any:
    try:
        wanted = get_type_hints(definition.fn).get(parameter)
    except Exception:  # noqa: BLE001  annotations that cannot be evaluated are no reason to fail
        wanted = definition.fn.__annotations__.get(parameter)
    name = (
        wanted if isinstance(wanted, str) else f"{getattr(wanted, '__module__', '')}.{getattr(wanted, '__name__', '')}"
    )
    if name.endswith("DataFrame") and ("polars" in name or name.startswith("pl.")):
        import polars

        return polars.from_arrow(table)
    return table.to_pandas() if name.endswith("DataFrame") else table


def _message(exc: BaseException) -> str:
    if isinstance(exc, OrchestratorError):
        at = f"\nat: {exc.at}" if exc.at else ""
        return f"{exc.what}{at}\nfix: {exc.fix}" if exc.fix else f"{exc.what}{at}"
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__


def user_traceback(exc: BaseException, root: Path) -> str | None:
    """The traceback without frames that are not the user's."""
    frames = traceback.extract_tb(exc.__traceback__)
    own = [
        frame
        for frame in frames
        if Path(frame.filename).is_relative_to(root)
        and not {"site-packages", ".venv"} & set(Path(frame.filename).parts)
        and Path(__file__).parent.parent not in Path(frame.filename).parents
    ]
    return "".join(traceback.format_list(own)).rstrip() or None


def _logger(journal: Journal, op: Op, *, name: str) -> logging.Logger:
    """A logger of an attempt's own: its lines go to the run's log, not to the root logger."""
    logger = logging.Logger(f"orchestrator.step.{name}", level=logging.DEBUG)
    logger.addHandler(_JournalHandler(lambda level, text: journal.log(text, level=level, key=op.key)))
    return logger


class _JournalHandler(logging.Handler):
    def __init__(self, write: Callable[[str, str], None]) -> None:
        super().__init__()
        self.write = write

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else record.levelname.lower()
        self.write(level, record.getMessage())
