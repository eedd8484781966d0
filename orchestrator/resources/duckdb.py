"""DuckDB files: open them as dbt does, so that one process shares one database, and look at what was written.

DuckDB lets one process write. Inside a process a second connection with the same configuration shares the database;
with another configuration it raises. So a run opens the file once, with exactly the configuration of the dbt
profile, and hands out cursors; dbt-duckdb's own connection joins the same database.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from orchestrator.definitions.events import ColumnInfo
from orchestrator.definitions.keys import Relation
from orchestrator.errors import ResourceLockedError, ResourceUnavailableError
from orchestrator.resources.database import (
    SAMPLE_ROWS,
    Capabilities,
    Look,
    Scope,
    check_columns,
    check_rows_outside,
    columns_by_relation,
    no_columns,
    not_built,
    other_columns,
    quote,
    quoted,
    sample_cell,
    select,
)
from orchestrator.resources.frames import batches
from orchestrator.resources.tally import Counts, Tally

FRAME = "_orchestrator_frame"
_LOCK_MESSAGE = re.compile(r"Conflicting lock is held in (?P<program>.*?) \(PID (?P<pid>\d+)\)")


@dataclass(slots=True)
class DuckDBFile:
    """One DuckDB database file, opened at most once, shared by all threads through cursors."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        adapter="duckdb",
        atomic_replace=True,
        transactions=True,
        cancel=True,
        query_tag=False,
        concurrent_writers=False,
        local_file=True,
        quick_looks=True,
    )
    path: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    attached: tuple[Path, ...] = ()
    """Other DuckDB files that can be read through this one, each under the name that DuckDB derives from its path."""
    _connection: Any = field(default=None, init=False)
    _guard: threading.Lock = field(default_factory=threading.Lock, init=False)
    _creating: dict[Relation, threading.Lock] = field(default_factory=dict, init=False)

    @property
    def file(self) -> Path:
        """The file that one process at a time may write."""
        return self.path

    def stamp(self) -> tuple[int, int]:
        """When the file was changed, and its size."""
        try:
            stat = self.path.stat()
        except OSError:
            return (0, 0)
        return (stat.st_mtime_ns, stat.st_size)

    def connect(self, *, label: str = "") -> Any:
        """A connection of its own for this thread. Raises ResourceLockedError or ResourceUnavailableError."""
        with self._guard:
            if self._connection is None:
                self._connection = self._open()
            cursor = self._connection.cursor()
        for name, value in self.settings.items():
            cursor.execute(f"SET {name} = '{str(value).replace(chr(39), chr(39) * 2)}'")
        return cursor

    def _open(self, *, read_only: bool = False) -> Any:
        import duckdb

        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            connection = duckdb.connect(str(self.path), config=dict(self.config), read_only=read_only)
        except duckdb.Error as exc:
            raise _cannot_open(self.path, exc) from exc
        for path in self.attached:
            try:
                connection.execute(f"ATTACH IF NOT EXISTS '{str(path).replace(chr(39), chr(39) * 2)}' (READ_ONLY)")
            except duckdb.Error as exc:
                connection.close()
                raise _cannot_open(path, exc) from exc
        return connection

    def close(self) -> None:
        """Close the file, so that other processes can have it."""
        with self._guard:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def interrupt(self, connection: Any) -> None:
        """Stop what `connection` is running; called from another thread."""
        connection.interrupt()

    def execute(self, connection: Any, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; its rows, or an empty list."""
        return _run(connection, sql, parameters)

    def query(self, connection: Any, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The rows of a query as a pyarrow.Table."""
        return connection.sql(sql, params=list(parameters) or None).to_arrow_table()

    def read(self, relation: Relation, *, columns: Sequence[str] | None = None, connection: Any = None) -> Any:
        """The rows of a table as a pyarrow.Table."""
        with self._on(connection) as cursor:
            return self.query(cursor, select(relation, columns=columns))

    def replace(
        self,
        relation: Relation,
        frame: Any,
        *,
        scope: Scope | None = None,
        before_commit: Callable[[], None],
        connection: Any = None,
    ) -> int:
        """Replace the rows of `scope`, or the whole table, in one transaction; how many rows were written.

        `before_commit` is asked twice: also before the file is opened, since a late writer must not open what its run
        has closed.
        """
        import duckdb

        incoming = batches(frame)
        first = next((batch for batch in incoming if batch.num_columns), None)
        before_commit()
        with self._on(connection) as cursor, ExitStack() as held:
            self._ensure_schema(cursor, relation)
            if scope is not None and not self._columns(cursor, relation):
                held.enter_context(self._lock_of(relation))  # two transactions that create one table conflict
            _run(cursor, "BEGIN TRANSACTION")
            try:
                write = _Write(cursor, relation, scope, self._columns(cursor, relation) if scope is not None else {})
                write.start(first)
                for batch in incoming:
                    write.add(batch)
                before_commit()
                _run(cursor, "COMMIT")
            except BaseException:
                with suppress(duckdb.Error):  # a commit that failed has been rolled back already
                    _run(cursor, "ROLLBACK")
                raise
        return write.rows

    def _columns(self, cursor: Any, relation: Relation) -> dict[str, str]:
        """{column: type}, empty if there is no such table. By a query: a DESCRIBE that fails ends a transaction."""
        found = _run(
            cursor,
            "SELECT column_name, data_type FROM duckdb_columns() WHERE lower(database_name) = "
            "coalesce(nullif(?, ''), lower(current_database())) AND lower(schema_name) = coalesce(nullif(?, ''), "
            "lower(current_schema())) AND lower(table_name) = ? ORDER BY column_index",
            [relation.database.lower(), relation.schema.lower(), relation.identifier.lower()],
        )
        return dict(found)

    @contextmanager
    def _on(self, connection: Any) -> Iterator[Any]:
        """The connection given, or one of its own."""
        if connection is not None:
            yield connection
            return
        cursor = self.connect()
        try:
            yield cursor
        finally:
            cursor.close()

    def _lock_of(self, relation: Relation) -> threading.Lock:
        with self._guard:
            return self._creating.setdefault(relation, threading.Lock())

    def _ensure_schema(self, cursor: Any, relation: Relation) -> None:
        parts = [part for part in (relation.database, relation.schema) if part]
        if parts:
            with self._guard:  # one at a time: two transactions that create one schema conflict
                _run(cursor, f"CREATE SCHEMA IF NOT EXISTS {'.'.join(quote(part) for part in parts)}")

    def look(self, relation: Relation, *, rows: bool = True) -> Look | None:
        """What is there now; None if the table is not. With `rows=False` (views) nothing is counted or sampled."""
        import duckdb

        cursor = self.connect()
        try:
            described = cursor.execute(f"DESCRIBE {quoted(relation)}").fetchall()
            columns = tuple(ColumnInfo(name=row[0], type=row[1]) for row in described)
            if not rows:
                return Look(None, columns, None)
            counted = _run(cursor, f"SELECT count(*) FROM {quoted(relation)}")
            first = cursor.execute(f"SELECT * FROM {quoted(relation)} LIMIT {SAMPLE_ROWS}").fetchall()
        except duckdb.Error:
            return None
        finally:
            cursor.close()
        sample = {
            "columns": [column.name for column in columns],
            "rows": [[sample_cell(v) for v in row] for row in first],
        }
        return Look(counted[0][0], columns, sample)

    def count(self, relation: Relation, *, scope: Scope | None = None) -> int | None:
        """How many rows a table has in `scope`; None if it is not there."""
        with self._on(None) as cursor:
            if not (columns := self._columns(cursor, relation)):
                return None
            zoned = [name for name, kind in columns.items() if _is_zoned(kind)]
            inside, values = (scope or Scope()).predicate(marker="?", zoned=zoned)
            counted = _run(cursor, f"SELECT count(*) FROM {quoted(relation)} WHERE {inside}", values)
            return int(counted[0][0])

    def tally(self, asked: Sequence[Tally]) -> list[Counts | None]:
        """Rows counted by partition, as `relations`: for each what `Tally.ask` says, None where no table is."""
        if not self.path.exists():
            return [None for _ in asked]
        with self._reading() as connection:
            return [self._tally(connection, item) for item in asked]

    def _tally(self, cursor: Any, asked: Tally) -> Counts | None:
        if not (columns := self._columns(cursor, asked.relation)):
            return None
        zoned = [name for name, kind in columns.items() if _is_zoned(kind)]

        def run(expressions: str, scope: Scope) -> list[tuple[Any, ...]]:
            inside, values = scope.predicate(marker="?", zoned=zoned)
            by, grouped = (f"{expressions}, ", " GROUP BY ALL") if expressions else ("", "")
            return _run(cursor, f"SELECT {by}count(*) FROM {quoted(asked.relation)} WHERE {inside}{grouped}", values)

        known = {name.lower(): kind for name, kind in columns.items()}
        return asked.ask(known, run, zoned=[name.lower() for name in zoned])

    def relations(self) -> frozenset[Relation]:
        """All tables and views of the file; none without a file.

        Raises ResourceLockedError while another process writes. Where the file is not open yet, it is opened read-only
        and closed again.
        """
        if not self.path.exists():
            return frozenset()
        with self._reading() as connection:
            here = "database_name = current_database()"
            rows = _run(
                connection,
                f"SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE {here} "
                f"UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views() WHERE {here}",
            )
        return frozenset(Relation.normalised(*row) for row in rows)

    def all_columns(self) -> dict[Relation, tuple[tuple[str, str], ...]]:
        """{table or view: ((column, type), …)}, as `relations`."""
        if not self.path.exists():
            return {}
        with self._reading() as connection:
            rows = _run(
                connection,
                "SELECT database_name, schema_name, table_name, column_name, data_type FROM duckdb_columns() "
                "WHERE NOT internal ORDER BY database_name, schema_name, table_name, column_index",
            )
        return columns_by_relation(rows)

    def peek(self, relation: Relation, *, limit: int) -> tuple[list[str], list[list[Any]]]:
        """(column names, the first rows), as `relations`. Raises ResourceUnavailableError without the table."""
        import duckdb

        if not self.path.exists():
            raise not_built(relation)
        with self._reading() as connection:
            try:
                result = connection.execute(f"{select(relation)} LIMIT {int(limit)}")
                names = [item[0] for item in result.description]
                return names, [[sample_cell(value) for value in row] for row in result.fetchall()]
            except duckdb.CatalogException as exc:
                raise not_built(relation) from exc

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        """A cursor where the file is open already, which allows no other configuration; else a read-only connection."""
        connection = self.connect() if self._connection is not None else self._open(read_only=True)
        try:
            yield connection
        finally:
            connection.close()


@dataclass(slots=True)
class _Write:
    """One transaction's write, batch by batch."""

    cursor: Any
    relation: Relation
    scope: Scope | None
    columns: dict[str, str]
    """{column: type} of the table as it is, empty without a table, or where all of it is replaced."""
    rows: int = 0

    def start(self, first: Any) -> None:
        """The first batch, which also says what the columns are; None if there is none."""
        if first is None or not first.num_columns:
            if self.scope is None or not self.columns:
                raise no_columns(self.relation)
            self._delete(self.scope)
            return
        self._check(first)
        if self.scope is not None and self.columns:
            self._delete(self.scope)
            self._insert(first)
        else:
            replacing = "" if self.scope is not None else "OR REPLACE "
            sql = f"CREATE {replacing}TABLE {quoted(self.relation)} AS SELECT * FROM {FRAME}"
            _run_on(self.cursor, sql, first)
            self.columns = dict.fromkeys(first.column_names, "")
            self.rows += first.num_rows

    def add(self, batch: Any) -> None:
        """One more batch. Its columns are matched by name."""
        if not batch.num_rows:
            return
        if more := [name for name in batch.column_names if name.lower() not in {own.lower() for own in self.columns}]:
            raise other_columns(self.relation, more)
        self._check(batch)
        self._insert(batch)

    def _check(self, batch: Any) -> None:
        if self.scope is None:
            return
        types = {name.lower(): kind for name, kind in self.columns.items()}
        check_columns(self.relation, self.scope, table=list(types) or None, frame=batch.column_names)
        zoned = [name for name in self.scope.columns if _is_zoned(types.get(name.lower()), batch, name)]

        def column(name: str) -> str:  # as the table will hold it
            kind = types.get(name.lower())
            return f"CAST({quote(name)} AS {kind})" if kind else quote(name)

        inside, values = self.scope.predicate(marker="?", zoned=zoned, column=column)
        sql = f"SELECT count(*) FROM {FRAME} WHERE NOT coalesce({inside}, false)"
        counted = _run_on(self.cursor, sql, batch, values)
        check_rows_outside(self.relation, self.scope, outside=counted[0][0], rows=batch.num_rows)

    def _delete(self, scope: Scope) -> None:
        zoned = [name for name, kind in self.columns.items() if _is_zoned(kind)]
        inside, values = scope.predicate(marker="?", zoned=zoned)
        _run(self.cursor, f"DELETE FROM {quoted(self.relation)} WHERE {inside}", values)

    def _insert(self, batch: Any) -> None:
        _run_on(self.cursor, f"INSERT INTO {quoted(self.relation)} BY NAME SELECT * FROM {FRAME}", batch)
        self.rows += batch.num_rows


def _run(cursor: Any, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """The rows, all of them: DuckDB 2 refuses other work on a connection whose last result has not been fetched."""
    return list(cursor.execute(sql, list(parameters)).fetchall())


def _run_on(cursor: Any, sql: str, _orchestrator_frame: Any, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """The same, of a statement that reads FRAME, which DuckDB finds among this function's variables.

    A registered frame would stay in memory until the transaction ends: all batches at once.
    """
    return list(cursor.execute(sql, list(parameters)).fetchall())


def _is_zoned(kind: str | None, frame: Any = None, name: str = "") -> bool:
    """True for a column with a time zone: by the table's type, or the frame's where there is no table."""
    if kind:
        return kind in ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")
    found = [field for field in (frame.schema if frame is not None else []) if field.name.lower() == name.lower()]
    return any(getattr(field.type, "tz", None) is not None for field in found)


def _cannot_open(path: Path, exc: BaseException) -> ResourceLockedError | ResourceUnavailableError:
    if found := _LOCK_MESSAGE.search(str(exc)):
        return ResourceLockedError(
            f"{path.name} is held by {Path(found['program']).name} (PID {found['pid']})",
            at=str(path),
            fix=f"close that program (a REPL, a BI tool?) or stop process {found['pid']}, then run again",
        )
    return ResourceUnavailableError(
        f"cannot open the DuckDB file: {_first_line(exc)}",
        at=str(path),
        fix="check the path in profiles.yml and the file's permissions",
    )


def _first_line(exc: BaseException) -> str:
    return str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
