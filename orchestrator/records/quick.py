"""Facts from a SQLite file without SQLAlchemy, whose import costs more than all else in a warm `ls`.

A short cut for reading, and for nothing but reading: wherever anything is unusual (another database, another schema
revision, no file, an error) the answer is None and the store itself is asked, which knows what to say.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
from contextlib import closing
from dataclasses import fields
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from orchestrator.definitions.facts import CheckFact, Facts, WriterFact

REVISION = "0001"
"""The schema that the statements below are written for; a test holds it to `schema.REVISIONS`."""
BUSY_TIMEOUT_S = 30

NEWEST_COLUMNS = """
    select a.key, b.data from orchestrator_attempts a join orchestrator_blobs b on b.digest = a.columns_blob
    where a.environment = :environment and a.seq = (
        select max(c.seq) from orchestrator_attempts c
        where c.environment = a.environment and c.key = a.key and c.columns_blob is not null
    )
"""
"""The newest columns that were seen of each asset; the same for every database."""
_SCHEME = "sqlite:///"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_WRITER = [item.name for item in fields(WriterFact)]
_CHECK = [item.name for item in fields(CheckFact)]
_MOMENTS = ("at", "version_at")


def read_facts(url: str, environment: str) -> Facts | None:
    """The same as `Records.facts`; None where only the store can tell."""
    if not url.startswith(_SCHEME) or not (file := Path(url.removeprefix(_SCHEME))).is_file():
        return None
    try:
        # `rw`: a file that is gone by now is not made anew.
        database = sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S)
        with closing(database):
            database.isolation_level = None
            database.execute("begin")  # one state of the store for all queries
            if database.execute("select version_num from orchestrator_schema").fetchall() != [(REVISION,)]:
                return None
            return _read(database, environment)
    except (sqlite3.Error, ValueError, TypeError):
        return None


def read_all_columns(url: str, environment: str) -> dict[str, tuple[tuple[str, str], ...]] | None:
    """{asset key: ((column, type), …)} as `Records.all_columns`; None where only the store can tell."""
    if not url.startswith(_SCHEME) or not (file := Path(url.removeprefix(_SCHEME))).is_file():
        return None
    try:
        database = sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S)
        with closing(database):
            if database.execute("select version_num from orchestrator_schema").fetchall() != [(REVISION,)]:
                return None
            rows = database.execute(NEWEST_COLUMNS, {"environment": environment}).fetchall()
        return {key: tuple((name, kind) for name, kind in json.loads(data)) for key, data in rows}
    except (sqlite3.Error, ValueError, TypeError):
        return None


def _read(database: sqlite3.Connection, environment: str) -> Facts:
    writers = [
        WriterFact(**_decoded(_WRITER, row))
        for row in database.execute(
            f"select {_columns(_WRITER)} from orchestrator_latest where environment = ?", (environment,)
        )
    ]
    checks = [
        CheckFact(**_decoded(_CHECK, row))
        for row in database.execute(
            f"select {_columns(_CHECK)} from orchestrator_check_results where environment = ? and newest = 1",
            (environment,),
        )
    ]
    recent = database.execute(
        "select key, writer, recent from orchestrator_durations where environment = ?", (environment,)
    )
    return Facts(
        environment=environment,
        writers={(fact.key, fact.writer, fact.partition): fact for fact in writers},
        checks={fact.check: fact for fact in checks},
        durations={(key, writer): statistics.median(json.loads(seconds)) for key, writer, seconds in recent},
    )


def _columns(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _decoded(names: list[str], row: tuple[Any, ...]) -> dict[str, Any]:
    values = dict(zip(names, row, strict=True))
    for name in _MOMENTS:
        if (moment := values.get(name)) is not None:
            values[name] = _EPOCH + timedelta(microseconds=moment)
    if "inputs" in values:
        values["inputs"] = json.loads(values["inputs"] or "null") or {}
        values["partition"] = values["partition"] or None
    return values
