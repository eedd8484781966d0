"""The status of an asset in plain words."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from orchestrator.plan.states import AssetState
from orchestrator.records import MaterializationRecord
from orchestrator_app.sentence import status_sentence

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
WRITTEN = MaterializationRecord(
    key="raw.flights",
    writer="python:flights",
    partition=None,
    status="succeeded",
    attempt_id="a2",
    run_id="ab12",
    by="you@host",
    at=NOW - timedelta(minutes=3),
    version="a2",
    rows=336_776,
    duration_s=1.2,
)
BEFORE = replace(WRITTEN, attempt_id="a1", version="a1", rows=331_776, at=NOW - timedelta(days=1))
FAILED = replace(
    WRITTEN, attempt_id="a3", version=None, status="failed", run_id="cd34", reason="ValueError: no rows\n  at line 3"
)


def test_fresh() -> None:
    assert status_sentence(AssetState("fresh", "up to date"), [WRITTEN, BEFORE], now=NOW) == (
        "Fresh. Written 3 minutes ago by run ab12 (you@host) in 1.2 s, 336,776 rows, 5,000 more than before."
    )


def test_a_view_has_no_rows_to_tell() -> None:
    view = replace(WRITTEN, rows=None)
    assert status_sentence(AssetState("fresh", ""), [view], now=NOW) == (
        "Fresh. Written 3 minutes ago by run ab12 (you@host) in 1.2 s."
    )


def test_stale_says_why() -> None:
    assert status_sentence(AssetState("stale", "its code changed"), [BEFORE], now=NOW) == (
        "Stale: its code changed. Written 1 day ago by run ab12 (you@host) in 1.2 s, 331,776 rows."
    )


def test_failed_says_why_and_what_is_still_there() -> None:
    assert status_sentence(AssetState("failed", "no rows"), [FAILED, BEFORE], now=NOW) == (
        "Failed 3 minutes ago in run cd34: ValueError: no rows. "
        "Last written 1 day ago by run ab12 (you@host) in 1.2 s, 331,776 rows."
    )


def test_a_failing_check_is_not_a_failed_write() -> None:
    assert status_sentence(AssetState("failed", "check unique_id failed"), [WRITTEN], now=NOW) == (
        "Failed: check unique_id failed. Written 3 minutes ago by run ab12 (you@host) in 1.2 s, 336,776 rows."
    )


def test_running() -> None:
    running = replace(WRITTEN, version=None, status="running", duration_s=None, rows=None)
    assert status_sentence(AssetState("running", ""), [running], now=NOW) == "Running: run ab12 began it 3 minutes ago."


def test_never_built_and_external() -> None:
    assert status_sentence(AssetState("missing", "never built"), [], now=NOW) == "Never built in this environment."
    assert status_sentence(AssetState("external", "written elsewhere"), [], now=NOW) == (
        "External: nothing in this workspace writes it."
    )


def test_a_dead_writer_leaves_it_unknown() -> None:
    assert status_sentence(AssetState("unknown", "its writer died"), [], now=NOW) == "Unknown: its writer died."
