"""What the records answer: frozen dataclasses without a connection. Times are aware UTC, durations seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from orchestrator.definitions.events import CheckStatus, ColumnInfo, Failure, RunStatus, StepKind, StepStatus
from orchestrator.definitions.facts import AttemptStatus

StepState = StepStatus | Literal["waiting"]
"""`waiting`: planned, not begun."""
FAILED_KEYS_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run in one line."""

    run_id: str
    environment: str
    status: RunStatus
    command: str
    selection: str
    engine: str
    by: str
    """user@host"""
    pid: int
    started_at: datetime
    finished_at: datetime | None = None
    """For a lost run: when it was found to be dead."""
    duration_s: float | None = None
    """None while it runs, and for a lost run."""
    reason: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    """{step status (or waiting): how many steps}"""
    check_counts: Mapping[str, int] = field(default_factory=dict)
    """{check status: how many results}"""
    failed: tuple[str, ...] = ()
    """Keys of the first failed or unknown steps, at most five, in the plan's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """A step of a run, as its newest attempt left it."""

    key: str
    writer: str
    partition: str | None
    kind: StepKind
    action: Literal["build", "skip"]
    status: StepState
    plan_reason: str = ""
    """Why the plan wanted it, or left it out."""
    reason: str = ""
    attempt: int = 0
    """How many attempts were made."""
    attempt_id: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_s: float | None = None
    rows: int | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRecord:
    """One result of a check."""

    check: str
    name: str
    key: str
    status: CheckStatus
    severity: Literal["error", "warn"]
    at: datetime
    run_id: str
    failures: int | None = None
    reason: str = ""
    duration_s: float | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """A line of a run's log. `key` is the asset whose step wrote it."""

    at: datetime
    level: Literal["debug", "info", "warning", "error"]
    message: str
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetail(RunSummary):
    """A run with its steps (in the plan's order), check results and, where asked for, its log."""

    steps: tuple[StepRecord, ...] = ()
    checks: tuple[CheckRecord, ...] = ()
    log: tuple[LogRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterializationRecord:
    """One attempt of a writer on an asset. Only a successful one (`version` set) left something behind."""

    key: str
    writer: str
    partition: str | None
    status: AttemptStatus
    attempt_id: str
    run_id: str
    by: str
    """user@host of the run"""
    at: datetime
    """When it ended, or began if it has not ended."""
    version: str | None = None
    """The attempt id if it succeeded."""
    attempt: int = 1
    reason: str = ""
    rows: int | None = None
    duration_s: float | None = None
    code_version: str | None = None
    inputs: Mapping[str, str | None] = field(default_factory=dict)
    columns: tuple[ColumnInfo, ...] = ()
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """{name: {"kind": …, "value": …}}; in a history large values are {"kind": …, "blob": digest, "bytes": size},
    to be read with `Records.blob`."""
