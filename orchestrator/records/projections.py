"""From one event to the read models. The same functions serve recording and replaying.

An attempt ends once: its first outcome stands. So a run that was found dead, and whose attempts were called unknown,
cannot turn green by a late word (DESIGN §7.8). "Newest" always means: begun last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Insert, Table, Update, bindparam, delete, insert, select, update

from orchestrator.records.schema import attempts, check_results, durations, latest, points, run_steps, runs

SUCCESSES = ("succeeded", "warned", "adopted")
NO_ATTEMPT = ("blocked", "up_to_date")
"""Outcomes that say that nothing was tried, even if an intent was written."""
REMEMBERED_DURATIONS = 7

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """An event as it was read from the store, or is being added to it."""

    seq: int
    kind: str
    environment: str
    run_id: str
    at: datetime
    payload: dict[str, Any]

    @property
    def slot(self) -> dict[str, Any]:
        """What a step writes: environment, key, writer, partition."""
        found = self.payload
        partition = found["partition"] or ""
        return {"environment": self.environment, "key": found["key"], "writer": found["writer"], "partition": partition}


def project(connection: Connection, event: Stored) -> None:
    """Bring the read models up to date with one event. Kinds without a projection (log lines) are only kept."""
    projection = _PROJECTIONS.get(event.kind)
    if projection is not None:
        projection(connection, event)


def insert_into(connection: Connection, table: Table, rows: Row | list[dict[str, Any]]) -> None:
    """Add rows that are known not to be there yet."""
    connection.execute(_insert(table), rows)


def set_or_insert(connection: Connection, table: Table, row: Row, *, names: tuple[str, ...]) -> None:
    """Set the columns `names` of a row, or add the whole row where there is none.

    Two plain statements instead of ON CONFLICT: SQLAlchemy does not cache the latter (0.8 ms each to compile), and
    with writers serialised nobody comes between.
    """
    keys = tuple(column.name for column in table.primary_key)
    params = {f"_{name}": row[name] for name in keys} | {name: row[name] for name in names}
    if not connection.execute(_update(table, keys, names), params).rowcount:
        connection.execute(_insert(table), row)


@lru_cache(maxsize=64)
def _insert(table: Table) -> Insert:
    return insert(table)


@lru_cache(maxsize=64)
def _update(table: Table, keys: tuple[str, ...], names: tuple[str, ...]) -> Update:
    here = [table.c[name] == bindparam(f"_{name}") for name in keys]
    return update(table).where(*here).values({name: bindparam(name) for name in names})


def _run_started(connection: Connection, event: Stored) -> None:
    found = event.payload
    if connection.execute(_RUN, {"_run_id": event.run_id}).first():
        return
    row = {name: found[name] for name in ("command", "selection", "engine", "by", "pid")}
    row |= {"run_id": event.run_id, "seq": event.seq, "environment": event.environment, "status": "running"}
    row |= {"started_at": event.at, "finished_at": None, "duration_s": None, "reason": ""}
    insert_into(connection, runs, row)
    there = {tuple(step) for step in connection.execute(_RUN_STEPS, {"_run_id": event.run_id})}
    steps = [_planned(event, step, position=position) for position, step in enumerate(found["steps"])]
    new = {place: step for step in steps if (place := (step["key"], step["writer"], step["partition"])) not in there}
    if new:
        insert_into(connection, run_steps, list(new.values()))


_RUN = select(runs.c.run_id).where(runs.c.run_id == bindparam("_run_id"))
_RUN_STEPS = select(run_steps.c.key, run_steps.c.writer, run_steps.c.partition).where(
    run_steps.c.run_id == bindparam("_run_id")
)


def _planned(event: Stored, step: Row, *, position: int) -> dict[str, Any]:
    # A step that the plan leaves out has its outcome already.
    status = "waiting" if step["action"] == "build" else "up_to_date"
    return {
        **_NEW_STEP,
        "run_id": event.run_id,
        "key": step["key"],
        "writer": step["writer"],
        "partition": step["partition"] or "",
        "position": position,
        "kind": step["kind"],
        "action": step["action"],
        "plan_reason": step["reason"],
        "status": status,
        "reason": "" if status == "waiting" else step["reason"],
    }


_NEW_STEP = {
    "action": "build",
    "plan_reason": "",
    "reason": "",
    "attempt": 0,
    "attempt_id": None,
    "started_at": None,
    "finished_at": None,
    "duration_s": None,
    "rows": None,
    "failure": None,
}


def _run_finished(connection: Connection, event: Stored) -> None:
    found = event.payload
    outcome = {name: found[name] for name in ("status", "reason", "duration_s")}
    connection.execute(_END_RUN, {"_run_id": event.run_id, "finished_at": event.at, **outcome})


_END_RUN = (
    update(runs)
    .where(runs.c.run_id == bindparam("_run_id"), runs.c.finished_at.is_(None))
    .values({name: bindparam(name) for name in ("status", "reason", "duration_s", "finished_at")})
)


def _step_started(connection: Connection, event: Stored) -> None:
    found = event.payload
    if connection.execute(_ATTEMPT, {"_attempt_id": found["attempt_id"]}).first():
        return
    _add_attempt(connection, event)
    if found["kind"] != "hook":
        row = {**event.slot, **_newest_attempt(event.seq, found["attempt_id"], event)}
        set_or_insert(connection, latest, row, names=_NEWEST_COLUMNS)
    _set_step(
        connection,
        event,
        {
            "status": "running",
            "attempt": found.get("attempt", 1),
            "attempt_id": found["attempt_id"],
            "started_at": event.at,
        },
    )


def _newest_attempt(seq: int, attempt_id: str, event: Stored) -> dict[str, Any]:
    begun = {"status": "running", "attempt_id": attempt_id, "attempt_seq": seq}
    return begun | {"run_id": event.run_id, "at": event.at, "reason": ""}


_NEWEST_COLUMNS = ("status", "attempt_id", "attempt_seq", "run_id", "at", "reason")


def _add_attempt(connection: Connection, event: Stored) -> None:
    found = event.payload
    row = {
        **event.slot,
        "attempt_id": found["attempt_id"],
        "seq": event.seq,
        "kind": found["kind"],
        "run_id": event.run_id,
        "attempt": found.get("attempt", 1),
        "status": "running",
        "started_at": event.at,
        "reason": "",
        "code_version": found.get("code_version"),
        "inputs": found.get("inputs", {}),
        "metadata": {},
    }
    insert_into(connection, attempts, row)


def _set_step(connection: Connection, event: Stored, changes: dict[str, Any]) -> None:
    """Change a step of the run's list; a step that was in no plan (a hook) is added at its end."""
    found = event.payload
    row = {**_NEW_STEP, "run_id": event.run_id, "key": found["key"], "writer": found["writer"], "kind": found["kind"]}
    row |= {"partition": found["partition"] or "", "position": event.seq + _BEHIND_THE_PLAN, **changes}
    names = ("reason", "finished_at", "duration_s", "rows", "failure", *changes)
    set_or_insert(connection, run_steps, row, names=tuple(dict.fromkeys(names)))


_BEHIND_THE_PLAN = 1_000_000


def _step_finished(connection: Connection, event: Stored) -> None:
    found = event.payload
    if found["attempt_id"] is not None and not _end_attempt(connection, event):
        return
    rows = (found["materialization"] or {}).get("rows")
    outcome = {name: found[name] for name in ("status", "reason", "duration_s", "failure")}
    _set_step(connection, event, {**outcome, "reason": _reason(found), "rows": rows, "finished_at": event.at})


def _end_attempt(connection: Connection, event: Stored) -> bool:
    """Record the outcome on the attempt and its asset. False if it had one already."""
    found = event.payload
    begun = connection.execute(_ATTEMPT, {"_attempt_id": found["attempt_id"]}).one_or_none()
    if begun is None:  # an outcome without an intent: not by our executor, but it did happen
        _step_started(connection, event)
        begun = connection.execute(_ATTEMPT, {"_attempt_id": found["attempt_id"]}).one()
    if begun.status != "running":
        return False
    made = found["materialization"] or {}
    outcome = {"status": found["status"], "reason": _reason(found), "duration_s": found["duration_s"]}
    outcome |= {"finished_at": event.at, "rows": made.get("rows"), "metadata": made.get("metadata", {})}
    outcome |= {f"{name}_blob": made.get(name) for name in ("columns", "sample", "code")}
    connection.execute(_END_ATTEMPT, {"_attempt_id": found["attempt_id"], **outcome})
    if begun.kind == "hook":
        return True
    if found["status"] in NO_ATTEMPT:
        _take_back(connection, event)
        return True
    if found["status"] in SUCCESSES:
        _succeeded(connection, event, begun)
    else:
        connection.execute(_END_NEWEST, {**_this_attempt(event), **_ended(event)})
    return True


_ATTEMPT = select(attempts.c.seq, attempts.c.status, attempts.c.kind, attempts.c.code_version, attempts.c.inputs).where(
    attempts.c.attempt_id == bindparam("_attempt_id")
)
_OUTCOME = ("status", "reason", "duration_s", "finished_at", "rows", "metadata")
_END_ATTEMPT = (
    update(attempts)
    .where(attempts.c.attempt_id == bindparam("_attempt_id"))
    .values({name: bindparam(name) for name in (*_OUTCOME, "columns_blob", "sample_blob", "code_blob")})
)


def _this_slot(table: Table) -> Any:
    names = ("environment", "key", "writer", "partition")
    condition = table.c.environment == bindparam("_environment")
    for name in names[1:]:
        condition &= table.c[name] == bindparam(f"_{name}")
    return condition


def _as_params(slot: Row) -> dict[str, Any]:
    return {f"_{name}": value for name, value in slot.items()}


def _this_attempt(event: Stored) -> dict[str, Any]:
    return {**_as_params(event.slot), "_attempt_id": event.payload["attempt_id"]}


def _ended(event: Stored) -> dict[str, Any]:
    return {"status": event.payload["status"], "at": event.at, "reason": _reason(event.payload)}


_END_NEWEST = (
    update(latest)
    .where(_this_slot(latest), latest.c.attempt_id == bindparam("_attempt_id"))
    .values({name: bindparam(name) for name in ("status", "at", "reason")})
)


def _reason(found: Row) -> str:
    """The reason as it was given, else the first line of the failure's message."""
    if found["reason"] or not found["failure"]:
        return str(found["reason"])
    return next((line.strip() for line in found["failure"]["message"].splitlines() if line.strip()), "")


def _take_back(connection: Connection, event: Stored) -> None:
    """An attempt that began but did not try anything: the one before it is the newest again."""
    slot = _as_params(event.slot)
    held = connection.execute(select(latest.c.attempt_id).where(_this_slot(latest)), slot).scalar()
    if held != event.payload["attempt_id"]:
        return
    before = connection.execute(_TRIED_LAST, slot).one_or_none()
    if before is None:
        connection.execute(delete(latest).where(_this_slot(latest)), slot)
        return
    row = {name: getattr(before, name) for name in ("status", "attempt_id", "run_id", "reason")}
    row |= {"attempt_seq": before.seq, "at": before.finished_at or before.started_at}
    connection.execute(update(latest).where(_this_slot(latest)).values(row), slot)


_TRIED_LAST = (
    select(attempts)
    .where(_this_slot(attempts), attempts.c.status.not_in(NO_ATTEMPT), attempts.c.kind != "hook")
    .order_by(attempts.c.seq.desc())
    .limit(1)
)


def _succeeded(connection: Connection, event: Stored, begun: Any) -> None:
    found, slot = event.payload, event.slot
    rows = (found["materialization"] or {}).get("rows")
    version = {"version": found["attempt_id"], "version_seq": begun.seq, "version_at": event.at}
    version |= {"version_run_id": event.run_id, "code_version": begun.code_version, "inputs": begun.inputs}
    version |= {"rows": rows, "duration_s": found["duration_s"]}
    done = connection.execute(_END_NEWEST_WITH_VERSION, {**_this_attempt(event), **_ended(event), **version})
    if not done.rowcount:  # another attempt has begun since: it keeps its status
        connection.execute(_NEW_VERSION, {**_as_params(slot), "_seq": begun.seq, **version})
    if found["duration_s"] is not None:
        _remember_duration(connection, slot, found["duration_s"])
    series = _numbers(found)
    if series:
        place = {"environment": event.environment, "key": found["key"], "seq": event.seq, "at": event.at}
        rows_to_add = [{**place, "name": name, "value": value} for name, value in series.items()]
        insert_into(connection, points, rows_to_add)


_VERSION_COLUMNS = ("version", "version_seq", "version_at", "version_run_id", "code_version", "inputs", "rows")
_END_NEWEST_WITH_VERSION = (
    update(latest)
    .where(_this_slot(latest), latest.c.attempt_id == bindparam("_attempt_id"))
    .values({name: bindparam(name) for name in ("status", "at", "reason", *_VERSION_COLUMNS, "duration_s")})
)
_NEW_VERSION = (
    update(latest)
    .where(_this_slot(latest))
    .where(latest.c.version_seq.is_(None) | (latest.c.version_seq < bindparam("_seq")))
    .values({name: bindparam(name) for name in (*_VERSION_COLUMNS, "duration_s")})
)


def _remember_duration(connection: Connection, slot: Row, seconds: float) -> None:
    place = {name: slot[name] for name in ("environment", "key", "writer")}
    recent = connection.execute(_RECENT, _as_params(place)).scalar()
    if recent is None:
        insert_into(connection, durations, {**place, "recent": [seconds]})
    else:
        row = {**place, "recent": [*recent, seconds][-REMEMBERED_DURATIONS:]}
        set_or_insert(connection, durations, row, names=("recent",))


_RECENT = select(durations.c.recent).where(
    durations.c.environment == bindparam("_environment"),
    durations.c.key == bindparam("_key"),
    durations.c.writer == bindparam("_writer"),
)


def _numbers(found: Row) -> dict[str, float]:
    """The numbers of a materialization that are worth a line over time; a user's `rows` goes before ours."""
    made = found["materialization"] or {}
    numbers = {"duration_s": found["duration_s"], "rows": made.get("rows")}
    for name, value in made.get("metadata", {}).items():
        if value["kind"] == "number":
            numbers[name] = value.get("value")
    return {name: float(value) for name, value in numbers.items() if _is_finite(value)}


def _is_finite(value: Any) -> bool:
    try:
        return isinstance(value, (int, float)) and math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def _check_finished(connection: Connection, event: Stored) -> None:
    found = event.payload
    names = ("check", "name", "key", "status", "severity", "failures", "duration_s", "failure")
    row = {name: found[name] for name in names} | {"reason": _reason(found)}
    row |= {"seq": event.seq, "environment": event.environment, "run_id": event.run_id, "at": event.at, "newest": True}
    connection.execute(_NO_LONGER_NEWEST, {"_environment": event.environment, "_check": found["check"]})
    insert_into(connection, check_results, row)


_NO_LONGER_NEWEST = (
    update(check_results)
    .where(
        check_results.c.environment == bindparam("_environment"),
        check_results.c.check == bindparam("_check"),
        check_results.c.newest.is_(True),
    )
    .values(newest=False)
)

_PROJECTIONS: dict[str, Callable[[Connection, Stored], None]] = {
    "run_started": _run_started,
    "run_finished": _run_finished,
    "step_started": _step_started,
    "step_finished": _step_finished,
    "check_finished": _check_finished,
}
