"""The status of an asset as one plain sentence or two. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orchestrator.plan.states import AssetState
from orchestrator.records import MaterializationRecord

from .words import ago, change, counted, duration, first_line, look_of

_NEVER = {
    "external": "External: nothing in this workspace writes it.",
    "missing": "Never built in this environment.",
}


def status_sentence(state: AssetState, history: Sequence[MaterializationRecord], *, now: datetime) -> str:
    """What is the matter, and when it was last written, by whom, how long it took, how its rows moved.

    `history` is newest first.
    """
    successes = [record for record in history if record.version is not None]
    newest = history[0] if history else None
    head = _head(state, newest, now)
    if not successes:
        return head
    before = successes[1].rows if len(successes) > 1 else None
    word = "Written" if newest is successes[0] else "Last written"
    return f"{head} {word} {_written(successes[0], before, now)}."


def _head(state: AssetState, newest: MaterializationRecord | None, now: datetime) -> str:
    reason = first_line(state.reason).rstrip(".")
    if state.state in ("fresh", "adopted"):
        return f"{look_of(state.state).word.capitalize()}."
    if state.state == "running" and newest is not None:
        return f"Running: run {newest.run_id} began it {ago(newest.at, now=now)}."
    if state.state == "failed" and newest is not None and newest.status == "failed":
        detail = first_line(newest.reason).rstrip(".") or reason
        return f"Failed {ago(newest.at, now=now)} in run {newest.run_id}" + (f": {detail}." if detail else ".")
    if newest is None and state.state in _NEVER:
        return _NEVER[state.state]
    return f"{look_of(state.state).word.capitalize()}" + (f": {reason}." if reason else ".")


def _written(record: MaterializationRecord, rows_before: int | None, now: datetime) -> str:
    parts = [f"{ago(record.at, now=now)} by run {record.run_id} ({record.by})"]
    if record.duration_s is not None:
        parts[0] += f" in {duration(record.duration_s)}"
    if record.rows is not None:
        parts += [counted(record.rows, "row"), change(record.rows, rows_before)]
    return ", ".join(part for part in parts if part)
