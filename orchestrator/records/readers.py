"""Questions to the read models. Each function takes a connection and returns views."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, text

from orchestrator.definitions.events import ColumnInfo
from orchestrator.definitions.facts import CheckFact, Facts, WriterFact
from orchestrator.errors import RecordsError
from orchestrator.records.packing import unpack_blob, unpack_columns, unpack_failure
from orchestrator.records.projections import SUCCESSES
from orchestrator.records.quick import NEWEST_COLUMNS
from orchestrator.records.schema import (
    attempts,
    blobs,
    check_results,
    durations,
    events,
    latest,
    points,
    run_steps,
    runs,
)
from orchestrator.records.views import (
    FAILED_KEYS_SHOWN,
    CheckRecord,
    LogRecord,
    MaterializationRecord,
    RunDetail,
    RunSummary,
    StepRecord,
)

_AT_ONCE = 500
"""Values in one IN list: old SQLite allows 999 parameters."""


def read_facts(connection: Connection, environment: str) -> Facts:
    """Everything that plans and states need. One pass over three small tables."""
    writers = connection.execute(select(*_WRITER_FACT).where(latest.c.environment == environment))
    checks = connection.execute(
        select(*_CHECK_FACT).where(check_results.c.environment == environment, check_results.c.newest.is_(True))
    )
    return Facts(
        environment=environment,
        writers={(fact.key, fact.writer, fact.partition): fact for fact in map(_writer_fact, writers)},
        checks={row.check: CheckFact(*row) for row in checks},
        durations=read_durations(connection, environment),
    )


def _writer_fact(row: Any) -> WriterFact:
    values: list[Any] = list(row)  # by position: with a thousand assets, names cost as much as the query
    values[_PARTITION] = values[_PARTITION] or None
    values[_INPUTS] = values[_INPUTS] or {}
    return WriterFact(*values)


_WRITER_FACT = [latest.c[item.name] for item in fields(WriterFact)]
_PARTITION, _INPUTS = ([item.name for item in fields(WriterFact)].index(name) for name in ("partition", "inputs"))
_CHECK_FACT = [check_results.c[item.name] for item in fields(CheckFact)]


def read_durations(connection: Connection, environment: str) -> dict[tuple[str, str], float]:
    """{(key, writer): median seconds of the last successes}"""
    rows = connection.execute(select(durations).where(durations.c.environment == environment))
    return {(row.key, row.writer): statistics.median(row.recent) for row in rows}


def read_runs(connection: Connection, *, environment: str | None, limit: int) -> tuple[RunSummary, ...]:
    """The newest runs, newest first."""
    query = select(runs).order_by(runs.c.seq.desc()).limit(limit)
    if environment is not None:
        query = query.where(runs.c.environment == environment)
    rows = connection.execute(query).all()
    ids = [row.run_id for row in rows]
    counts = _count(connection, run_steps, ids)
    checks = _count(connection, check_results, ids)
    failed = _failed_keys(connection, ids)
    return tuple(
        RunSummary(
            **_run_columns(row),
            counts=counts.get(row.run_id, {}),
            check_counts=checks.get(row.run_id, {}),
            failed=failed.get(row.run_id, ()),
        )
        for row in rows
    )


def _run_columns(row: Any) -> dict[str, Any]:
    columns = dict(row._mapping)
    del columns["seq"]
    return columns


def _count(connection: Connection, table: Any, run_ids: list[str]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for some in _chunks(run_ids):
        query = (
            select(table.c.run_id, table.c.status, func.count())
            .where(table.c.run_id.in_(some))
            .group_by(table.c.run_id, table.c.status)
            .order_by(table.c.status)
        )
        for run_id, status, count in connection.execute(query):
            found.setdefault(run_id, {})[status] = count
    return found


def _failed_keys(connection: Connection, run_ids: list[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for some in _chunks(run_ids):
        query = (
            select(run_steps.c.run_id, run_steps.c.key)
            .where(run_steps.c.run_id.in_(some), run_steps.c.status.in_(("failed", "unknown")))
            .order_by(run_steps.c.position)
        )
        for run_id, key in connection.execute(query):
            found.setdefault(run_id, {})[key] = None
    return {run_id: tuple(keys)[:FAILED_KEYS_SHOWN] for run_id, keys in found.items()}


def read_run(connection: Connection, run_id: str, *, logs: bool) -> RunDetail | None:
    """One run with everything in it; the first characters of its id are enough. None if there is no such run.

    Raises RecordsError when several runs begin like this.
    """
    row = connection.execute(select(runs).where(runs.c.run_id == run_id)).one_or_none()
    row = row or _by_prefix(connection, run_id)
    if row is None:
        return None
    return RunDetail(
        **_run_columns(row),
        counts=_count(connection, run_steps, [row.run_id]).get(row.run_id, {}),
        check_counts=_count(connection, check_results, [row.run_id]).get(row.run_id, {}),
        failed=_failed_keys(connection, [row.run_id]).get(row.run_id, ()),
        steps=_steps(connection, row.run_id),
        checks=_check_records(connection, check_results.c.run_id == row.run_id, newest_first=False, limit=None),
        log=read_log(connection, row.run_id) if logs else (),
    )


def _by_prefix(connection: Connection, prefix: str) -> Any:
    if not prefix:
        return None
    query = select(runs).where(runs.c.run_id.startswith(prefix, autoescape=True)).order_by(runs.c.seq.desc()).limit(4)
    rows = connection.execute(query).all()
    if len(rows) > 1:
        shown = ", ".join(row.run_id for row in rows[:3]) + (", …" if len(rows) > 3 else "")
        raise RecordsError(f"several runs begin with '{prefix}': {shown}", fix="write more of the run's id")
    return rows[0] if rows else None


def _steps(connection: Connection, run_id: str) -> tuple[StepRecord, ...]:
    names = [item.name for item in fields(StepRecord)]
    query = select(*(run_steps.c[name] for name in names)).where(run_steps.c.run_id == run_id)
    found = []
    for row in connection.execute(query.order_by(run_steps.c.position)):
        columns = dict(row._mapping)
        columns |= {"partition": row.partition or None, "failure": unpack_failure(row.failure)}
        found.append(StepRecord(**columns))
    return tuple(found)


def read_checks(connection: Connection, environment: str, check: str, *, limit: int) -> tuple[CheckRecord, ...]:
    """The newest results of one check, newest first."""
    where = (check_results.c.environment == environment) & (check_results.c.check == check)
    return _check_records(connection, where, newest_first=True, limit=limit)


def _check_records(
    connection: Connection, where: Any, *, newest_first: bool, limit: int | None
) -> tuple[CheckRecord, ...]:
    names = [item.name for item in fields(CheckRecord)]
    order = check_results.c.seq.desc() if newest_first else check_results.c.seq
    query = select(*(check_results.c[name] for name in names)).where(where).order_by(order).limit(limit)
    return tuple(
        CheckRecord(**{**row._mapping, "failure": unpack_failure(row.failure)}) for row in connection.execute(query)
    )


def read_log(connection: Connection, run_id: str, *, key: str | None = None) -> tuple[LogRecord, ...]:
    """A run's log, oldest first; of one asset's steps if `key` is given."""
    query = select(events.c.at, events.c.payload).where(events.c.run_id == run_id, events.c.kind == "log")
    found = []
    for row in connection.execute(query.order_by(events.c.seq)):
        line = unpack_blob(row.payload)
        if key is None or line["key"] == key:
            found.append(LogRecord(at=row.at, level=line["level"], message=line["message"], key=line["key"]))
    return tuple(found)


def read_history(
    connection: Connection,
    environment: str,
    key: str,
    *,
    limit: int,
    succeeded_only: bool = False,
    full: bool = False,
    partition: str | None = None,
) -> tuple[MaterializationRecord, ...]:
    """Attempts on an asset (or one partition of it), newest first. Large metadata values are read only if `full`."""
    query = (
        select(attempts, runs.c.by)
        .outerjoin(runs, runs.c.run_id == attempts.c.run_id)
        .where(attempts.c.environment == environment, attempts.c.key == key, attempts.c.kind != "hook")
        .where(
            attempts.c.status.in_(SUCCESSES) if succeeded_only else attempts.c.status.not_in(("blocked", "up_to_date"))
        )
        .order_by(attempts.c.seq.desc())
        .limit(limit)
    )
    if partition is not None:
        query = query.where(attempts.c.partition == partition)
    rows = connection.execute(query).all()
    wanted = {row.columns_blob for row in rows if row.columns_blob}
    if full:
        wanted |= {value["blob"] for row in rows for value in row.metadata.values() if "blob" in value}
    found = _read_blobs(connection, wanted)
    return tuple(_materialization(row, found) for row in rows)


def _materialization(row: Any, found: Mapping[str, bytes]) -> MaterializationRecord:
    columns = unpack_columns(found[row.columns_blob]) if row.columns_blob in found else ()
    return MaterializationRecord(
        key=row.key,
        writer=row.writer,
        partition=row.partition or None,
        status=row.status,
        attempt_id=row.attempt_id,
        run_id=row.run_id,
        by=row.by or "",
        at=row.finished_at or row.started_at,
        version=row.attempt_id if row.status in SUCCESSES else None,
        attempt=row.attempt,
        reason=row.reason,
        rows=row.rows,
        duration_s=row.duration_s,
        code_version=row.code_version,
        inputs=row.inputs,
        columns=columns,
        metadata={name: _metadata(value, found) for name, value in row.metadata.items()},
    )


def _metadata(value: Mapping[str, Any], found: Mapping[str, bytes]) -> Mapping[str, Any]:
    if value.get("blob") not in found:
        return value
    return {"kind": value["kind"], "value": unpack_blob(found[value["blob"]])}


def read_latest(
    connection: Connection, environment: str, key: str, *, partition: str | None = None
) -> MaterializationRecord | None:
    """The newest successful attempt (on one partition), whole; None if there never was one."""
    found = read_history(connection, environment, key, limit=1, succeeded_only=True, full=True, partition=partition)
    return next(iter(found), None)


def read_columns(connection: Connection, environment: str, key: str) -> tuple[ColumnInfo, ...]:
    """The columns as they were seen last; empty if they never were."""
    data = _newest_blob(connection, environment, key, "columns_blob")
    return () if data is None else unpack_columns(data)


def read_all_columns(connection: Connection, environment: str) -> dict[str, tuple[tuple[str, str], ...]]:
    """{asset key: its columns as they were seen last}"""
    rows = connection.execute(text(NEWEST_COLUMNS), {"environment": environment}).all()
    return {key: tuple((column.name, column.type) for column in unpack_columns(bytes(data))) for key, data in rows}


def read_newest_value(connection: Connection, environment: str, key: str, name: str) -> Any:
    """The newest kept value of a blob column (`sample_blob`, `code_blob`); None if none was kept."""
    data = _newest_blob(connection, environment, key, name)
    return None if data is None else unpack_blob(data)


def _newest_blob(connection: Connection, environment: str, key: str, name: str) -> bytes | None:
    column = attempts.c[name]
    query = (
        select(blobs.c.data)
        .join(attempts, column == blobs.c.digest)
        .where(attempts.c.environment == environment, attempts.c.key == key, attempts.c.status.in_(SUCCESSES))
        .order_by(attempts.c.seq.desc())
        .limit(1)
    )
    data = connection.execute(query).scalar()
    return None if data is None else bytes(data)


def read_blob(connection: Connection, digest: str) -> Any:
    """A large value; None if it is not there."""
    data = _read_blobs(connection, [digest]).get(digest)
    return None if data is None else unpack_blob(data)


def _read_blobs(connection: Connection, digests: Iterable[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for some in _chunks(sorted(digests)):
        for digest, data in connection.execute(select(blobs.c.digest, blobs.c.data).where(blobs.c.digest.in_(some))):
            found[digest] = bytes(data)
    return found


def read_series(connection: Connection, environment: str, key: str, name: str) -> tuple[tuple[datetime, float], ...]:
    """A number over time, oldest first. Whole numbers come back as int."""
    query = (
        select(points.c.at, points.c.value)
        .where(points.c.environment == environment, points.c.key == key, points.c.name == name)
        .order_by(points.c.seq)
    )
    return tuple((at, int(value) if value.is_integer() else value) for at, value in connection.execute(query))


def read_series_names(connection: Connection, environment: str, key: str) -> tuple[str, ...]:
    """The numbers there is a series of, sorted."""
    query = select(points.c.name).where(points.c.environment == environment, points.c.key == key).distinct()
    return tuple(sorted(connection.execute(query).scalars()))


def _chunks(values: list[str]) -> Iterable[list[str]]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))
