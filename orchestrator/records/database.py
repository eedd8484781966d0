"""The connection to the store: opening, transactions, schema revision, errors in the user's words.

Writers are serialised: by a lock inside the process, by SQLite's own write lock, on PostgreSQL by the row of the
version counter. So a projection may read before it writes, and events are numbered in the order they are committed.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, select, update
from sqlalchemy import text as sql
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from orchestrator.errors import RecordsError
from orchestrator.records import errors, schema

BUSY_TIMEOUT_S = 30
_ADVISORY_LOCK = 0x6F72_6368  # "orch": one schema change at a time on PostgreSQL
_WRITES = "orchestrator_writes"
_DAMAGE = ("not a database", "malformed", "no such table", "no such column", "does not exist")


class Database:
    """An opened store. Threads may share it; a forked child must open its own."""

    def __init__(self, url: str, *, create: bool) -> None:
        self._url = _parse(url)
        self._create = create
        self._lock = threading.RLock()
        self._opening = threading.Lock()
        self._opened: _Engines | None = None
        if not self._absent:
            self._open()

    @cached_property
    def place(self) -> str:
        """Where the records are, as people are told: a path, or a URL without its password."""
        return str(self._file) if self._file else self._url.render_as_string(hide_password=True)

    @property
    def dialect(self) -> str:
        return self._url.get_backend_name()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the store, however many queries it makes."""
        with self._translated(), self._engines.read.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that nobody else's writes come between. All or nothing."""
        if self._absent:
            raise errors.nothing_there(self.place)
        with self._translated(), self._lock, self._engines.write.begin() as connection:
            yield connection

    def bump(self, connection: Connection) -> None:
        """Count a change that readers can see. On PostgreSQL this is also the lock among writers: call it first."""
        connection.execute(_BUMP)

    def lock(self, connection: Connection) -> None:
        """Keep other writers out without counting a change. SQLite's write transaction has done so already."""
        connection.execute(_LOCK)

    def version(self) -> int:
        """The counter of changes."""
        with self.reading() as connection:
            return int(connection.execute(_VERSION).scalar_one())

    def close(self) -> None:
        """Close all connections. The next use opens new ones."""
        with self._opening:
            if self._opened is not None:
                self._opened.read.dispose()

    @cached_property
    def _file(self) -> Path | None:
        return Path(str(self._url.database)) if self.dialect == "sqlite" else None

    @property
    def _absent(self) -> bool:
        """True while there is no file to read and none may be made."""
        return self._opened is None and not self._create and self._file is not None and not self._file.exists()

    @cached_property
    def _nothing(self) -> _Engines:
        """Empty records in memory, what readers see while there is no file."""
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        schema.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(schema.counter.insert(), {"id": 1, "version": 0})
        weakref.finalize(self, engine.dispose)
        return _Engines(read=engine, write=engine)

    @property
    def _engines(self) -> _Engines:
        """The store's engines, opened now if the file has come into being since."""
        if self._opened is None and not self._absent:
            self._open()
        return self._opened or self._nothing

    def _open(self) -> None:
        with self._opening, self._translated():
            if self._opened is not None:
                return
            if self._file is not None:
                _make_directory(self._file)
            engine = _sqlite(self._url) if self._file is not None else _postgres(self._url, place=self.place)
            try:
                self._prepare(engine)
            except BaseException:
                engine.dispose()
                raise
            weakref.finalize(self, engine.dispose)
            level = {} if self._file is not None else {"isolation_level": "REPEATABLE READ"}
            self._opened = _Engines(
                read=engine.execution_options(**level), write=engine.execution_options(**{_WRITES: True})
            )

    def _prepare(self, engine: Engine) -> None:
        with engine.connect() as connection:
            current = self._revision(connection)
        if current == schema.REVISIONS[-1]:
            return
        from orchestrator.records.migrations import upgrade  # Alembic takes its time: not while others wait

        if self._file is not None:
            _use_wal(engine)
        with engine.execution_options(**{_WRITES: True}).begin() as connection:
            if self.dialect == "postgresql":
                connection.execute(sql("select pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            if self._revision(connection) != schema.REVISIONS[-1]:  # nobody else was faster
                upgrade(connection)

    def _revision(self, connection: Connection) -> str | None:
        """The schema's revision, read with plain SQL: importing Alembic costs as much as a whole warm command."""
        exists = _SQLITE_HAS_TABLE if self._file is not None else _POSTGRES_HAS_TABLE
        if connection.execute(exists, {"name": schema.VERSION_TABLE}).scalar() is None:
            return None
        found = connection.execute(sql(f"select version_num from {schema.VERSION_TABLE}")).scalar()
        if found is not None and found not in schema.REVISIONS:
            raise errors.newer(self.place, found=found, known=schema.REVISIONS[-1])
        return found

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._explained(error.orig or error) from error
        except sqlite3.Error as error:
            raise self._explained(error) from error
        except SQLAlchemyError as error:
            raise RecordsError(f"the records failed: {error}", at=self.place) from error

    def _explained(self, error: BaseException) -> RecordsError:
        detail = " ".join(str(error).split())
        low = detail.lower()
        if self._file is None:
            lost = type(error).__name__ in ("OperationalError", "InterfaceError")
            return (errors.unreachable if lost else errors.damaged)(self.place, detail=detail)
        if "locked" in low or "busy" in low:
            return errors.busy(self.place)
        if isinstance(error, sqlite3.OperationalError) and "no such" not in low:
            return errors.not_writable(self.place, detail=detail)
        return errors.damaged(self.place, detail=detail)


@dataclass(frozen=True, slots=True)
class _Engines:
    """One pool of connections, with the options of a reader and of a writer."""

    read: Engine
    write: Engine


_SQLITE_HAS_TABLE = sql("select name from sqlite_master where type = 'table' and name = :name")
_POSTGRES_HAS_TABLE = sql("select cast(to_regclass(:name) as text)")
_BUMP = update(schema.counter).where(schema.counter.c.id == 1).values(version=schema.counter.c.version + 1)
_VERSION = select(schema.counter.c.version)
_LOCK = _VERSION.with_for_update()


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise errors.bad_url(url, detail="it has no scheme") from error
    if parsed.drivername == "postgres":  # what many services hand out
        parsed = parsed.set(drivername="postgresql")
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise errors.bad_url(parsed.render_as_string(), detail=f"'{backend}' is neither sqlite nor postgresql")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise errors.bad_url(url, detail="it names no file, and records must outlive the process")
    return parsed


def _make_directory(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.not_writable(str(file), detail=f"cannot make the directory {file.parent}") from error


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # sqlite3's implicit transactions begin too late; we say BEGIN ourselves
        # With WAL, NORMAL leaves out the fsync at each commit. A committed intent survives the death of the process
        # (it is in the operating system's hands); only a power cut may lose the last ones, never damage the file.
        connection.execute("pragma synchronous = normal")

    @event.listens_for(engine, "begin")
    def _begins(connection: Connection) -> None:
        # A writer takes the lock at once: upgrading from a read lock later fails without waiting when others write.
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("begin immediate" if writes else "begin")

    return engine


def _postgres(url: URL, *, place: str) -> Engine:
    try:
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    except ModuleNotFoundError as error:
        raise errors.no_driver(place) from error


def _use_wal(engine: Engine) -> None:
    """Switch a new file to WAL. SQLite does not wait for others here, so we do."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        raw = engine.raw_connection()
        try:
            raw.cursor().execute("pragma journal_mode = wal").close()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        finally:
            raw.close()
