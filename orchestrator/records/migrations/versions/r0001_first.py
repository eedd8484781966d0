"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_events()
    _create_blobs()
    _create_counter()
    _create_runs()
    _create_run_steps()
    _create_attempts()
    _create_latest()
    _create_durations()
    _create_points()
    _create_check_results()
    _create_liveness()
    _create_claims()
    op.execute("insert into orchestrator_counter (id, version) values (1, 0)")


def _create_events() -> None:
    op.create_table(
        "orchestrator_events",
        sa.Column("seq", _SEQ, autoincrement=True, nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("orchestrator_events_run", "orchestrator_events", ["run_id", "kind", "seq"])


def _create_blobs() -> None:
    op.create_table(
        "orchestrator_blobs",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )


def _create_counter() -> None:
    op.create_table(
        "orchestrator_counter",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _create_runs() -> None:
    op.create_table(
        "orchestrator_runs",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("selection", sa.Text(), nullable=False),
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("duration_s", sa.Double()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("orchestrator_runs_newest", "orchestrator_runs", ["environment", "seq"])
    op.create_index("orchestrator_runs_status", "orchestrator_runs", ["status"])


def _create_run_steps() -> None:
    op.create_table(
        "orchestrator_run_steps",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("writer", sa.String(), nullable=False),
        sa.Column("partition", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("plan_reason", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.String()),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("duration_s", sa.Double()),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("failure", sa.Text()),
        sa.PrimaryKeyConstraint("run_id", "key", "writer", "partition"),
    )


def _create_attempts() -> None:
    op.create_table(
        "orchestrator_attempts",
        sa.Column("attempt_id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("writer", sa.String(), nullable=False),
        sa.Column("partition", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("duration_s", sa.Double()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("code_version", sa.String()),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("columns_blob", sa.String(length=64)),
        sa.Column("sample_blob", sa.String(length=64)),
        sa.Column("code_blob", sa.String(length=64)),
        sa.PrimaryKeyConstraint("attempt_id"),
    )
    op.create_index("orchestrator_attempts_asset", "orchestrator_attempts", ["environment", "key", "seq"])
    op.create_index("orchestrator_attempts_run", "orchestrator_attempts", ["run_id"])


def _create_latest() -> None:
    op.create_table(
        "orchestrator_latest",
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("writer", sa.String(), nullable=False),
        sa.Column("partition", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempt_id", sa.String(), nullable=False),
        sa.Column("attempt_seq", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("version", sa.String()),
        sa.Column("version_seq", sa.BigInteger()),
        sa.Column("version_at", sa.BigInteger()),
        sa.Column("version_run_id", sa.String()),
        sa.Column("code_version", sa.String()),
        sa.Column("inputs", sa.Text()),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("duration_s", sa.Double()),
        sa.PrimaryKeyConstraint("environment", "key", "writer", "partition"),
    )


def _create_durations() -> None:
    op.create_table(
        "orchestrator_durations",
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("writer", sa.String(), nullable=False),
        sa.Column("recent", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("environment", "key", "writer"),
    )


def _create_points() -> None:
    op.create_table(
        "orchestrator_points",
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("environment", "key", "name", "seq"),
    )


def _create_check_results() -> None:
    op.create_table(
        "orchestrator_check_results",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("check", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("duration_s", sa.Double()),
        sa.Column("failure", sa.Text()),
        sa.Column("newest", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("orchestrator_check_results_check", "orchestrator_check_results", ["environment", "check", "seq"])
    op.create_index(
        "orchestrator_check_results_newest", "orchestrator_check_results", ["environment", "newest", "check"]
    )
    op.create_index("orchestrator_check_results_run", "orchestrator_check_results", ["run_id"])


def _create_liveness() -> None:
    op.create_table(
        "orchestrator_liveness",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("process_started", sa.Double()),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )


def _create_claims() -> None:
    op.create_table(
        "orchestrator_claims",
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("writer", sa.String(), nullable=False),
        sa.Column("partition", sa.String(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.String()),
        sa.PrimaryKeyConstraint("environment", "key", "writer", "partition"),
    )
    op.create_index("orchestrator_claims_run", "orchestrator_claims", ["run_id"])
