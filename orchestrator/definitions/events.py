"""What a run tells: one frozen dataclass an event, JSON-ready through `to_json`.

The executor emits them, the records store them (append-only, the only truth), the command line and the app render
them. Times are aware UTC datetimes; durations are seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, Literal, Protocol

StepKind = Literal["asset", "action", "hook"]
StepStatus = Literal[
    "running", "succeeded", "warned", "failed", "blocked", "up_to_date", "cancelled", "unknown", "adopted"
]
CheckStatus = Literal["succeeded", "warned", "failed", "blocked", "cancelled"]
RunStatus = Literal["queued", "running", "succeeded", "failed", "cancelled", "lost"]

IDENTIFIERS = frozenset(
    ("at", "run_id", "environment", "key", "writer", "partition", "kind", "attempt_id", "check", "status", "level")
)
"""Fields that name things: they are compared, and no secret is looked for in them."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step or check failed, ready to be shown: the message first, details after."""

    message: str
    """dbt's or Python's own message, several lines allowed."""
    traceback: str | None = None
    """Trimmed to the user's code."""
    compiled_path: str | None = None
    """Where dbt wrote the compiled SQL."""


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """A column as it was seen in the warehouse after a write."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Materialization:
    """What a writer left behind.

    An asset's function returns `Materialization(rows=…, metadata={…})` when it has stored the rows itself; what it does
    not say is looked up.
    """

    rows: int | None = None
    columns: tuple[ColumnInfo, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    """Recorded as {name: {"kind": …, "value": …}}; a function returns values as `context.metadata` takes them."""
    sample: dict[str, Any] | None = None
    """{"columns": [str], "rows": [[cell]]}, the first rows; None where samples are not stored."""
    compiled_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base: when it happened, in which run, in which environment."""

    event: ClassVar[str] = "event"
    at: datetime
    run_id: str
    environment: str

    def to_json(self) -> dict[str, Any]:
        """The event as JSON-ready values, `event` first, keys as the fields are named."""
        return {"event": self.event, **{item.name: _json(getattr(self, item.name)) for item in fields(self)}}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A plan begins to be executed."""

    event: ClassVar[str] = "run_started"
    command: str
    """The command a person would type."""
    selection: str
    engine: str
    by: str
    """user@host"""
    pid: int
    steps: tuple[PlannedStep, ...]


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One line of a plan. `writer` is empty for hooks."""

    key: str
    writer: str
    partition: str | None
    action: Literal["build", "skip"]
    reason: str
    kind: StepKind = "asset"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(Event):
    """The intent: written before a writer starts."""

    event: ClassVar[str] = "step_started"
    key: str
    writer: str
    partition: str | None = None
    kind: StepKind = "asset"
    attempt_id: str
    """Unique; becomes the version of the asset when the attempt succeeds."""
    attempt: int = 1
    code_version: str | None = None
    inputs: dict[str, str | None] = field(default_factory=dict)
    """{upstream key: its version (attempt id) when this attempt started; None if nothing was recorded for it}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished(Event):
    """The outcome of an attempt, or of a step that never started (blocked, up_to_date, cancelled)."""

    event: ClassVar[str] = "step_finished"
    key: str
    writer: str
    partition: str | None = None
    kind: StepKind = "asset"
    attempt_id: str | None
    status: StepStatus
    reason: str = ""
    duration_s: float | None = None
    will_retry: bool = False
    failure: Failure | None = None
    materialization: Materialization | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFinished(Event):
    """A check (dbt data test, unit test, or Python check) has a result."""

    event: ClassVar[str] = "check_finished"
    check: str
    """The check's id, unique in the graph."""
    name: str
    key: str
    """The asset it is shown on."""
    status: CheckStatus
    severity: Literal["error", "warn"]
    failures: int | None = None
    """Rows (or cases) that failed."""
    reason: str = ""
    duration_s: float | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine(Event):
    """A line of log, of the run or of one step."""

    event: ClassVar[str] = "log"
    level: Literal["debug", "info", "warning", "error"]
    message: str
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSubmitted(Event):
    """A step's work was handed to somebody else; recorded before it is waited for, so that it can be found again."""

    event: ClassVar[str] = "job_submitted"
    key: str
    writer: str
    partition: str | None = None
    attempt_id: str
    job: str
    """The class that submitted it."""
    handle: Any
    """What it is found by there, JSON."""
    place: str
    """Where its context and messages are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress(Event):
    """How far a step says it is."""

    event: ClassVar[str] = "step_progress"
    key: str
    writer: str
    partition: str | None = None
    attempt_id: str
    done: float
    total: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """The run has ended. `lost` is written by whoever finds a dead run."""

    event: ClassVar[str] = "run_finished"
    status: RunStatus
    reason: str = ""
    duration_s: float | None = None


class StepLike(Protocol):
    """What all that is about a step has: plans, events, records."""

    @property
    def key(self) -> str: ...
    @property
    def writer(self) -> str: ...
    @property
    def partition(self) -> str | None: ...


StepId = tuple[str, str, str | None]
"""(asset key, writer id, partition)"""


def step_id(step: StepLike) -> StepId:
    """What tells a step from all others of a run."""
    return (step.key, step.writer, step.partition)


def step_titles(steps: Iterable[StepLike]) -> dict[StepId, str]:
    """{step: what people call it}: its asset, the writer where these steps have several for one asset, its partition.

    >>> one, two = (PlannedStep("raw.sales", f"python:shop.{name}", None, "build", "") for name in ("emea", "apac"))
    >>> list(step_titles([one, two]).values())
    ['raw.sales [emea]', 'raw.sales [apac]']
    """
    ids = [step_id(step) for step in steps]
    writers: dict[str, set[str]] = {}
    for key, writer, _ in ids:
        writers.setdefault(key, set()).add(writer)
    return {id_: _title(*id_, several=len(writers[id_[0]]) > 1) for id_ in ids}


def _title(key: str, writer: str, partition: str | None, *, several: bool) -> str:
    part = f" [{writer.rsplit('.', 1)[-1]}]" if several and writer else ""
    return f"{key}{part}{f' [{partition}]' if partition else ''}"


AnyEvent = RunStarted | StepStarted | StepFinished | CheckFinished | LogLine | JobSubmitted | StepProgress | RunFinished


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        return {item.name: _json(getattr(value, item.name)) for item in fields(value)}
    return value
