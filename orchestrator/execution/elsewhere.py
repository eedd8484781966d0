"""Work that a step hands to somebody else: what it is told, what it reports, and what to make of how it ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.definitions.context import Context
from orchestrator.definitions.events import Materialization
from orchestrator.definitions.remote import ExternalPython, RemoteJob, Shell
from orchestrator.definitions.resources import Resource
from orchestrator.definitions.settings import EnvSetting, Secret
from orchestrator.errors import DefinitionError, ExternalWorkError
from orchestrator.execution.messages import Inbox, Level, ReportedCheck
from orchestrator.execution.processes import ProcessEnd
from orchestrator.external import VERSION

FLUSH_S = 0.25
FLUSH_LINES = 500
MOST_LINES = 20_000
"""Of one attempt; more are not kept."""
SHOWN_CHECKS = 5


def _nothing(*_: Any) -> None:
    return None


def _own_description(resource: Resource) -> dict[str, Any]:
    return resource.describe()


@dataclass(slots=True)
class Host:
    """What work elsewhere needs of the attempt that hands it on."""

    root: Path
    """What relative paths start at."""
    attempt_id: str
    log: Callable[[Sequence[tuple[Level, str]]], None]
    resources: Mapping[str, Any] = field(default_factory=dict)
    """The asset's own, described."""
    describe: Callable[[Resource], dict[str, Any]] = _own_description
    progress: Callable[[float, float | None], None] = _nothing
    check: Callable[[ReportedCheck], None] = _nothing
    submitted: Callable[[str, Any, str], None] = _nothing
    """(job class, handle, place)"""
    on_stop: Callable[[Callable[[], None]], None] = _nothing
    """Takes what is called, in another thread, when the attempt is stopped; it returns when the work is over."""


@dataclass(slots=True)
class Log:
    """Lines for the run's log, written some at a time."""

    write: Callable[[Sequence[tuple[Level, str]]], None]
    lines: list[tuple[Level, str]] = field(default_factory=list)
    written_at: float = field(default_factory=time.monotonic)
    count: int = 0

    def add(self, level: Level, text: str) -> None:
        """Keep a line; past 20,000 no more."""
        self.count += 1
        if self.count <= MOST_LINES:
            self.lines.append((level, text))
        elif self.count == MOST_LINES + 1:
            self.lines.append(("warning", f"more than {MOST_LINES:,} lines: the rest is not kept"))

    def flush(self, *, now: bool = True) -> None:
        """Write what is kept: at once, or if it is time."""
        due = now or len(self.lines) >= FLUSH_LINES or time.monotonic() - self.written_at >= FLUSH_S
        if self.lines and due:
            lines, self.lines = self.lines, []
            self.written_at = time.monotonic()
            self.write(lines)


def context_data(
    context: Context,
    host: Host,
    *,
    parameters: Mapping[str, Any],
    resources: Mapping[str, Resource],
) -> bytes:
    """The context as `orchestrator.external` reads it. Raises DefinitionError for parameters that cannot be written."""
    previous = context.previous
    data = {
        "orchestrator": VERSION,
        "run_id": context.run_id,
        "environment": context.environment,
        "key": str(context.key),
        "attempt": context.attempt,
        "attempt_id": host.attempt_id,
        "partition": _partition(context.partition),
        "resources": {**host.resources, **{name: host.describe(resource) for name, resource in resources.items()}},
        "parameters": {str(name): _parameter(name, value) for name, value in parameters.items()},
        "previous": previous
        and {
            "version": previous.version,
            "at": previous.at.isoformat() if previous.at is not None else None,
            "rows": previous.rows,
            "metadata": previous.metadata,
        },
    }
    return json.dumps(data, default=str).encode()


def _partition(partition: Any) -> dict[str, Any] | None:
    if partition is None:
        return None
    bounds = {name: getattr(partition, name, None) for name in ("start", "end")}
    return {
        "key": str(getattr(partition, "key", partition)),
        **{name: bound if bound is None else bound.isoformat() for name, bound in bounds.items()},
    }


def _parameter(name: str, value: Any) -> Any:
    match value:
        case Secret():
            raise DefinitionError(
                f"the parameter '{name}' is a secret, and parameters are written down for the work to read",
                fix='hand it over as a variable: env={"TOKEN": Secret.env("TOKEN")}',
            )
        case EnvSetting():
            return value.read(Any)
        case Mapping():
            return {str(key): _parameter(name, item) for key, item in value.items()}
        case list() | tuple():
            return [_parameter(name, item) for item in value]
    return value


def judge_process(label: str, end: ProcessEnd, inbox: Inbox) -> None:
    """Raise ExternalWorkError unless everything says that the command ended well."""
    _refuse_newer(label, inbox)
    report = inbox.report
    for closing in report.closed.values():
        if not closing.ok:
            raise ExternalWorkError(f"{label} failed: {closing.message}", traceback=closing.traceback)
    if end.code is None:
        raise ExternalWorkError(
            f"{label} could not be run: {end.error}", fix="check that it is there and may be executed"
        )
    if not end.ok:
        tail = "".join(f"\n  {line}" for line in end.tail)
        ending = f"was ended by {end.signal_name}" if end.signal_name else f"ended with exit code {end.code}"
        fix = "it may have run out of memory" if end.signal_name == "SIGKILL" else None
        raise ExternalWorkError(f"{label} {ending}{tail and ':' + tail}", fix=fix)
    if [sender for sender in report.opened if sender not in report.closed]:
        _refuse_unclosed(label, inbox)
    judge_messages(label, inbox)


def judge_job(label: str, inbox: Inbox) -> None:
    """Raise ExternalWorkError unless what a job reported says that it ended well; it may have been restarted there."""
    _refuse_newer(label, inbox)
    closing = inbox.report.last_closing
    if closing is not None and not closing.ok:
        raise ExternalWorkError(f"{label} failed: {closing.message}", traceback=closing.traceback)
    if inbox.report.opened and closing is None:
        _refuse_unclosed(label, inbox)
    judge_messages(label, inbox)


def judge_messages(label: str, inbox: Inbox) -> None:
    """Raise ExternalWorkError for messages that were lost or cannot be used."""
    if inbox.missing:
        count = f"{inbox.missing} message{'s' if inbox.missing != 1 else ''}"
        raise ExternalWorkError(
            f"{count} of {label} never arrived, so what it did is not known",
            fix="look at the place where its messages go: is it full, or emptied while it is in use?",
        )
    if inbox.report.broken:
        raise ExternalWorkError(f"{label} reported a check that cannot be understood: {inbox.report.broken[0]}")


def _refuse_newer(label: str, inbox: Inbox) -> None:
    if inbox.newer is not None:
        raise ExternalWorkError(
            f"{label} sends messages of version {inbox.newer}, and this orchestrator understands {VERSION}",
            fix="use the orchestrator_external.py of this version there",
        )


def _refuse_unclosed(label: str, inbox: Inbox) -> None:
    ending = f"; the last thing found is half a message: {inbox.torn}" if inbox.torn else ""
    raise ExternalWorkError(
        f"{label} opened its context and ended without leaving it{ending}",
        fix="let it leave the `with open_context()` block: os._exit() and kill do not",
    )


def take_over(inbox: Inbox, context: Context, host: Host, log: Log) -> None:
    """Record what was reported, however the work ended: metadata into the context, checks, and strange lines."""
    if inbox.foreign:
        log.add("warning", f"{len(inbox.foreign)} lines among the messages are none, the first is: {inbox.foreign[0]}")
    if inbox.torn:
        log.add("warning", f"the last message is cut off: {inbox.torn}")
    log.flush()
    context.metadata.update(inbox.report.metadata)
    for check in inbox.report.checks.values():
        host.check(check)


def outcome(label: str, inbox: Inbox) -> Materialization:
    """What to return of work that ended well. Raises ExternalWorkError for failed checks that block."""
    report = inbox.report
    failed = [check for check in report.checks.values() if blocks(check)]
    if failed:
        names = ", ".join(f"'{check.name}'" for check in failed[:SHOWN_CHECKS])
        more = f" and {len(failed) - SHOWN_CHECKS} more" if len(failed) > SHOWN_CHECKS else ""
        message = f": {failed[0].message}" if len(failed) == 1 and failed[0].message else ""
        noun = "check" if len(failed) == 1 else "checks"
        raise ExternalWorkError(f"{label} reported the failed {noun} {names}{more}{message}")
    return Materialization(rows=report.rows, metadata=dict(report.metadata))


def blocks(check: ReportedCheck) -> bool:
    """True for a failure that fails the step."""
    return not check.passed and check.severity == "error" and check.blocking


def run_elsewhere(work: Any, context: Context, host: Host, **how: Any) -> Materialization:
    """Run a `Shell`, an `ExternalPython` or a `RemoteJob`. Raises ExternalWorkError."""
    from orchestrator.execution.local_work import run_locally
    from orchestrator.execution.remote_jobs import run_remotely

    match work:
        case Shell() | ExternalPython():
            return run_locally(work, context, host, parameters=how["parameters"])
        case RemoteJob():
            return run_remotely(work, context, host, **how)
    raise DefinitionError(
        f"{work!r} is no work that runs elsewhere", fix="use Shell, ExternalPython or a subclass of RemoteJob"
    )
