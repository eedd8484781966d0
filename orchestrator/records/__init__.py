"""What happened: the append-only store of events, and small read models for quick answers.

Comes in: events (`definitions.events`). Goes out: frozen views and `Facts`. Always holds: events are the only truth,
are never changed or deleted, and every read model can be computed from them again (`Records.rebuild`); both change
in one transaction, together with the version counter. Claims and heartbeats say who is at work *now*; they are no
history and are not replayed. May import: errors, definitions.

Importing this package is cheap: SQLAlchemy is imported when a store is opened, Alembic when a schema must be made.

>>> from orchestrator.records import open_records
>>> with open_records("sqlite:///no/such/records.sqlite", create=False) as records:
...     records.runs()
()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.records.errors import ClaimedElsewhereError
from orchestrator.records.views import (
    CheckRecord,
    LogRecord,
    MaterializationRecord,
    RunDetail,
    RunSummary,
    StepRecord,
)

if TYPE_CHECKING:
    from orchestrator.records.store import Records

__all__ = [
    "CheckRecord",
    "ClaimedElsewhereError",
    "LogRecord",
    "MaterializationRecord",
    "Records",
    "RunDetail",
    "RunSummary",
    "StepRecord",
    "open_records",
]


def open_records(url: str, *, create: bool = True) -> Records:
    """The records at `sqlite:///path` or `postgresql://…`, their schema made or upgraded where needed.

    With `create=False` a missing SQLite file is not made: the records are empty and refuse writing until somebody
    else makes the file. Raises RecordsError when the database is newer than this version, damaged, unreachable, or
    not writable.
    """
    from orchestrator.records.store import Records

    return Records(url, create=create)


def __getattr__(name: str) -> Any:
    if name == "Records":
        from orchestrator.records.store import Records

        return Records
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
