"""What code elsewhere reports, put in order: lines of JSON that may come torn, twice, late, or from somebody else.

Each process that reports numbers its messages. They take effect in that order; one that is missing holds back the later
ones of its sender until it comes, or until nothing more can come, and then the loss is known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from orchestrator.definitions.metadata import MAX_IMAGE_BYTES, MetadataKind, MetadataValue, to_metadata
from orchestrator.errors import ExecutionError
from orchestrator.external import VERSION

Level = Literal["debug", "info", "warning", "error"]
SHOWN_CHARS = 80


@dataclass(frozen=True, slots=True)
class ReportedCheck:
    """The result of a check that ran elsewhere."""

    name: str
    passed: bool
    severity: Literal["error", "warn"] = "error"
    blocking: bool = True
    failures: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Closing:
    """How a process left its context."""

    ok: bool
    message: str = ""
    traceback: str | None = None


@dataclass(slots=True)
class Report:
    """All that was reported so far."""

    rows: int | None = None
    metadata: dict[str, MetadataValue] = field(default_factory=dict)
    checks: dict[str, ReportedCheck] = field(default_factory=dict)
    """{name: its last result}"""
    opened: list[str] = field(default_factory=list)
    """Senders that opened the context, in the order in which it was heard."""
    closed: dict[str, Closing] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    """Why results of checks could not be used."""

    @property
    def last_closing(self) -> Closing | None:
        """How the process that opened the context last left it; None while it has not."""
        return self.closed.get(self.opened[-1]) if self.opened else None


@dataclass(slots=True)
class _Sender:
    due: int = 1
    early: dict[int, dict[str, Any]] = field(default_factory=dict)


@dataclass(slots=True)
class Inbox:
    """Takes lines in, keeps the `report`, passes log lines and progress on."""

    on_log: Callable[[Level, str], None]
    on_progress: Callable[[float, float | None], None]
    report: Report = field(default_factory=Report)
    foreign: list[str] = field(default_factory=list)
    """Lines that are no messages: the beginning of each."""
    torn: str = ""
    """The beginning of a last line that was not finished."""
    newer: int | None = None
    """The version of a message that is too new to be understood."""
    _senders: dict[str, _Sender] = field(default_factory=dict)

    def take(self, lines: Iterable[bytes]) -> None:
        """Whole lines, as they were found."""
        for line in lines:
            if line.strip():
                self._take(line)

    def _take(self, line: bytes) -> None:
        message = _decode(line)
        if message is None:
            self.foreign.append(_shown(line))
            return
        if message["orchestrator"] > VERSION:
            self.newer = message["orchestrator"]
            return
        sender = self._senders.setdefault(message["sender"], _Sender())
        if message["seq"] < sender.due:
            return  # heard before
        sender.early.setdefault(message["seq"], message)
        while (due := sender.early.pop(sender.due, None)) is not None:
            sender.due += 1
            self._apply(due)

    def take_torn(self, rest: bytes) -> None:
        """What stands behind the last line end, now that nothing more will come: perhaps a whole message after all."""
        if not rest.strip():
            return
        if _decode(rest) is None:
            self.torn = _shown(rest)
        else:
            self._take(rest)

    @property
    def missing(self) -> int:
        """How many messages are known to be on their way, or lost: later ones of the same sender are here."""
        return sum(
            max(sender.early) - sender.due + 1 - len(sender.early) for sender in self._senders.values() if sender.early
        )

    def _apply(self, message: Mapping[str, Any]) -> None:
        try:
            self._apply_known(message, message["sender"])
        except (KeyError, TypeError, ValueError, AttributeError, ExecutionError) as exc:
            what = f"{type(exc).__name__}: {exc}"
            self.on_log("warning", f"a message of type '{message['type']}' cannot be used: {what}")
            if message["type"] == "check":
                self.report.broken.append(what)

    def _apply_known(self, message: Mapping[str, Any], sender: str) -> None:
        report = self.report
        match message["type"]:
            case "opened":
                report.opened.append(sender)
            case "closed":
                report.closed[sender] = Closing(
                    message["ok"] is True, str(message.get("message") or ""), message.get("traceback")
                )
            case "rows":
                report.rows = int(message["rows"])
            case "metadata":
                report.metadata[str(message["name"])] = _metadata(message)
            case "check":
                check = _check(message)
                report.checks[check.name] = check
            case "log":
                level = message["level"] if message["level"] in get_args(Level) else "info"
                self.on_log(cast("Level", level), str(message["message"]))
            case "progress":
                total = message.get("total")
                self.on_progress(float(message["done"]), None if total is None else float(total))
            case other:
                self.on_log("warning", f"a message of type '{other}' is not known to this orchestrator")


def _decode(line: bytes) -> dict[str, Any] | None:
    """The message in a line; None if there is none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    whole = (
        type(found.get("orchestrator")) is int
        and type(found.get("seq")) is int
        and isinstance(found.get("sender"), str)
        and isinstance(found.get("type"), str)
        and found["seq"] > 0
    )
    return found if whole else None


def _check(message: Mapping[str, Any]) -> ReportedCheck:
    if not isinstance(message["passed"], bool):
        raise TypeError(f"passed is {message['passed']!r}")
    failures = message.get("failures")
    return ReportedCheck(
        name=str(message["name"]),
        passed=message["passed"],
        severity="warn" if message.get("severity") == "warn" else "error",
        blocking=message.get("blocking") is not False,
        failures=None if failures is None else int(failures),
        message=str(message.get("message") or ""),
    )


def _metadata(message: Mapping[str, Any]) -> MetadataValue:
    value, kind = message["value"], message.get("kind")
    if kind is None:
        return to_metadata(value)
    if kind not in get_args(MetadataKind):
        raise ValueError(f"'{kind}' is no kind of metadata")
    if kind == "image" and len(value["base64"]) > MAX_IMAGE_BYTES * 4 // 3 + 4:
        raise ValueError(f"the picture '{message['name']}' is larger than {MAX_IMAGE_BYTES:,} bytes")
    if kind == "table" and not (isinstance(value["columns"], list) and isinstance(value["rows"], list)):
        raise ValueError(f"'{message['name']}' is no table")
    return MetadataValue(kind, value)


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip()
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"
