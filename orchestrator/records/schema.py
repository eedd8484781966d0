"""The tables. `events` is the truth, `blobs` its large values; the read models come from them; `liveness` and
`claims` say who is at work now.

Names carry a prefix because a PostgreSQL database may be shared with other tools (Prefect has `events`, too).
A partition of None is stored as '', so that it can be part of a primary key.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

REVISIONS = ("0001",)
"""All schema revisions this version knows, oldest first; the files are in `migrations/versions/`."""
VERSION_TABLE = "orchestrator_schema"

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


class Moment(TypeDecorator[datetime]):
    """An aware datetime as microseconds since 1970 UTC: exact, sortable, the same in both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class Json(TypeDecorator[Any]):
    """Any JSON value as ASCII text. Not the database's JSON type: PostgreSQL's refuses NaN and NUL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


class Words(TypeDecorator[str]):
    """Free text. What the databases refuse (NUL, lone surrogates) is replaced: a strange message is no reason to
    lose an outcome."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.replace("\0", "�").encode("utf-8", "replace").decode("utf-8")


_Seq = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by itself only in INTEGER columns
metadata = MetaData()

events = Table(
    "orchestrator_events",
    metadata,
    Column("seq", _Seq, primary_key=True, autoincrement=True),
    Column("environment", String, nullable=False),
    Column("run_id", String, nullable=False),
    Column("at", Moment, nullable=False),
    Column("kind", String, nullable=False),
    Column("payload", Text, nullable=False),
    Index("orchestrator_events_run", "run_id", "kind", "seq"),
)

blobs = Table(
    "orchestrator_blobs",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

counter = Table(
    "orchestrator_counter",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)

runs = Table(
    "orchestrator_runs",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("environment", String, nullable=False),
    Column("status", String, nullable=False),
    Column("command", Words, nullable=False),
    Column("selection", Words, nullable=False),
    Column("engine", String, nullable=False),
    Column("by", Words, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("duration_s", Double),
    Column("reason", Words, nullable=False),
    Index("orchestrator_runs_newest", "environment", "seq"),
    Index("orchestrator_runs_status", "status"),
)

run_steps = Table(
    "orchestrator_run_steps",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("writer", String, primary_key=True),
    Column("partition", String, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("kind", String, nullable=False),
    Column("action", String, nullable=False),
    Column("plan_reason", Words, nullable=False),
    Column("status", String, nullable=False),
    Column("reason", Words, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("attempt_id", String),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("duration_s", Double),
    Column("rows", BigInteger),
    Column("failure", Json),
)

attempts = Table(
    "orchestrator_attempts",
    metadata,
    Column("attempt_id", String, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("environment", String, nullable=False),
    Column("key", String, nullable=False),
    Column("writer", String, nullable=False),
    Column("partition", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("run_id", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("duration_s", Double),
    Column("reason", Words, nullable=False),
    Column("rows", BigInteger),
    Column("code_version", String),
    Column("inputs", Json, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("columns_blob", String(64)),
    Column("sample_blob", String(64)),
    Column("code_blob", String(64)),
    Index("orchestrator_attempts_asset", "environment", "key", "seq"),
    Index("orchestrator_attempts_run", "run_id"),
)

latest = Table(
    "orchestrator_latest",
    metadata,
    Column("environment", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("writer", String, primary_key=True),
    Column("partition", String, primary_key=True),
    Column("status", String, nullable=False),
    Column("attempt_id", String, nullable=False),
    Column("attempt_seq", BigInteger, nullable=False),
    Column("run_id", String, nullable=False),
    Column("at", Moment, nullable=False),
    Column("reason", Words, nullable=False),
    Column("version", String),
    Column("version_seq", BigInteger),
    Column("version_at", Moment),
    Column("version_run_id", String),
    Column("code_version", String),
    Column("inputs", Json),
    Column("rows", BigInteger),
    Column("duration_s", Double),
)

durations = Table(
    "orchestrator_durations",
    metadata,
    Column("environment", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("writer", String, primary_key=True),
    Column("recent", Json, nullable=False),
)

points = Table(
    "orchestrator_points",
    metadata,
    Column("environment", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("value", Double, nullable=False),
)

check_results = Table(
    "orchestrator_check_results",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("environment", String, nullable=False),
    Column("check", String, nullable=False),
    Column("name", String, nullable=False),
    Column("key", String, nullable=False),
    Column("run_id", String, nullable=False),
    Column("status", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("at", Moment, nullable=False),
    Column("failures", BigInteger),
    Column("reason", Words, nullable=False),
    Column("duration_s", Double),
    Column("failure", Json),
    Column("newest", Boolean, nullable=False),
    Index("orchestrator_check_results_check", "environment", "check", "seq"),
    Index("orchestrator_check_results_newest", "environment", "newest", "check"),
    Index("orchestrator_check_results_run", "run_id"),
)

READ_MODELS = (runs, run_steps, attempts, latest, durations, points, check_results)
"""Everything that `rebuild` computes again from the events."""

liveness = Table(
    "orchestrator_liveness",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("host", Words, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("process_started", Double),
    Column("heartbeat_at", Moment, nullable=False),
)

claims = Table(
    "orchestrator_claims",
    metadata,
    Column("environment", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("writer", String, primary_key=True),
    Column("partition", String, primary_key=True),
    Column("token", BigInteger, nullable=False),
    Column("run_id", String),
    Index("orchestrator_claims_run", "run_id"),
)
