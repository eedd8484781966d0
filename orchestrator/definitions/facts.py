"""What the records know that plans and states are computed from: plain data, one query away, no store needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

AttemptStatus = Literal["running", "succeeded", "warned", "failed", "unknown", "cancelled", "adopted"]


@dataclass(frozen=True, slots=True)
class WriterFact:
    """The newest attempt of one writer on one asset (partition), and its newest success."""

    key: str
    writer: str
    partition: str | None
    status: AttemptStatus
    """Of the newest attempt. A step that never started (blocked, up to date) is no attempt."""
    attempt_id: str
    run_id: str
    at: datetime
    """When the newest attempt ended, or started if it has not."""
    reason: str = ""
    """Why it failed, one line."""
    version: str | None = None
    """Attempt id of the newest success; None if there never was one. What downstream assets record as input."""
    version_at: datetime | None = None
    version_run_id: str | None = None
    code_version: str | None = None
    """Of the newest success, as are the following."""
    inputs: Mapping[str, str | None] = field(default_factory=dict)
    rows: int | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class CheckFact:
    """The newest result of one check."""

    check: str
    name: str
    key: str
    status: Literal["succeeded", "warned", "failed", "blocked", "cancelled"]
    severity: Literal["error", "warn"]
    at: datetime
    run_id: str
    failures: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything recorded about one environment that states and plans need."""

    environment: str
    writers: Mapping[tuple[str, str, str | None], WriterFact] = field(default_factory=dict)
    """{(asset key, writer id, partition): its newest attempt}"""
    checks: Mapping[str, CheckFact] = field(default_factory=dict)
    """{check id: its newest result}"""
    durations: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """{(asset key, writer id): median seconds of the last successes}, for estimates."""
