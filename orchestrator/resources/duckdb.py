"""DuckDB files: open them as dbt does, so that one process shares one database, and look at what was written.

DuckDB lets one process write. Inside a process a second connection with the same configuration shares the database;
with another configuration it raises. So a run opens the file once, with exactly the configuration of the dbt
profile, and hands out cursors; dbt-duckdb's own connection joins the same database.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.definitions.events import ColumnInfo
from orchestrator.definitions.keys import Relation
from orchestrator.errors import ExecutionError, ResourceLockedError, ResourceUnavailableError

SAMPLE_ROWS = 20
SAMPLE_CELL_CHARS = 200
_LOCK_MESSAGE = re.compile(r"Conflicting lock is held in (?P<program>.*?) \(PID (?P<pid>\d+)\)")


@dataclass(slots=True)
class DuckDBFile:
    """One DuckDB database file, opened at most once, shared by all threads through cursors."""

    path: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    attached: tuple[Path, ...] = ()
    """Other DuckDB files that can be read through this one, each under the name that DuckDB derives from its path."""
    _connection: Any = field(default=None, init=False)
    _guard: threading.Lock = field(default_factory=threading.Lock, init=False)

    def cursor(self) -> Any:
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

    def replace(self, relation: Relation, frame: Any, *, before_commit: Callable[[], None]) -> int:
        """Replace the table's rows and columns by those of `frame` in one transaction; the number of rows.

        `before_commit` may raise to refuse the write; the old rows then stay. It is asked twice: also before the file
        is opened, since a late writer must not open what its run has closed.
        """
        import duckdb

        incoming = as_arrow(frame)
        before_commit()
        cursor = self.cursor()
        self._ensure_schema(relation)
        cursor.execute("BEGIN TRANSACTION")
        try:
            cursor.register("_orchestrator_frame", incoming)
            cursor.execute(f"CREATE OR REPLACE TABLE {quoted(relation)} AS SELECT * FROM _orchestrator_frame")
            before_commit()
            cursor.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):  # a commit that failed has been rolled back already
                cursor.execute("ROLLBACK")
            raise
        finally:
            cursor.close()
        return int(incoming.num_rows)

    def _ensure_schema(self, relation: Relation) -> None:
        # One at a time: two transactions that create one schema conflict.
        with self._guard:
            cursor = self._connection.cursor()
            parts = [part for part in (relation.database, relation.schema) if part]
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {'.'.join(_quote(part) for part in parts)}")
            cursor.close()

    def look(self, relation: Relation, *, rows: bool = True) -> Look | None:
        """What is there now; None if the table is not. With `rows=False` (views) nothing is counted or sampled."""
        import duckdb

        cursor = self.cursor()
        try:
            described = cursor.execute(f"DESCRIBE {quoted(relation)}").fetchall()
            columns = tuple(ColumnInfo(name=row[0], type=row[1]) for row in described)
            if not rows:
                return Look(None, columns, None)
            counted = cursor.execute(f"SELECT count(*) FROM {quoted(relation)}").fetchone()
            first = cursor.execute(f"SELECT * FROM {quoted(relation)} LIMIT {SAMPLE_ROWS}").fetchall()
        except duckdb.Error:
            return None
        finally:
            cursor.close()
        sample = {"columns": [column.name for column in columns], "rows": [[_cell(v) for v in row] for row in first]}
        return Look(counted[0], columns, sample)

    def relations(self) -> frozenset[Relation]:
        """All tables and views of the file, through a read-only connection that is closed again; none without a file.

        Raises ResourceLockedError while another process writes.
        """
        if not self.path.exists():
            return frozenset()
        connection = self._open(read_only=True)
        try:
            here = "database_name = current_database()"
            rows = connection.execute(
                f"SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE {here} "
                f"UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views() WHERE {here}"
            ).fetchall()
        finally:
            connection.close()
        return frozenset(Relation.normalised(*row) for row in rows)

    def all_columns(self) -> dict[Relation, tuple[tuple[str, str], ...]]:
        """{table or view: ((column, type), …)}; empty without a file. The read-only connection is closed again.

        Raises ResourceLockedError while another process writes.
        """
        if not self.path.exists():
            return {}
        connection = self._open(read_only=True)
        try:
            rows = connection.execute(
                "SELECT database_name, schema_name, table_name, column_name, data_type FROM duckdb_columns() "
                "WHERE NOT internal ORDER BY database_name, schema_name, table_name, column_index"
            ).fetchall()
        finally:
            connection.close()
        found: dict[Relation, list[tuple[str, str]]] = {}
        for database, schema, table, column, kind in rows:
            found.setdefault(Relation.normalised(database, schema, table), []).append((column.lower(), kind))
        return {relation: tuple(columns) for relation, columns in found.items()}

    def peek(self, relation: Relation, *, limit: int) -> tuple[list[str], list[list[Any]]]:
        """(column names, the first rows), through a read-only connection that is closed again.

        Raises ResourceLockedError while another process writes, ResourceUnavailableError where there is no such table.
        """
        import duckdb

        if not self.path.exists():
            raise ResourceUnavailableError(f"{relation} is not built yet", fix="`orchestrator run` builds it")
        connection = self._open(read_only=True)
        try:
            result = connection.execute(f"{select(relation)} LIMIT {int(limit)}")
            names = [item[0] for item in result.description]
            return names, [[_cell(value) for value in row] for row in result.fetchall()]
        except duckdb.CatalogException as exc:
            raise ResourceUnavailableError(f"{relation} is not built yet", fix="`orchestrator run` builds it") from exc
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class Look:
    """What a table holds: rows (None if not counted), columns, the first rows."""

    rows: int | None
    columns: tuple[ColumnInfo, ...]
    sample: dict[str, Any] | None


def select(relation: Relation, *, columns: Sequence[str] | None = None) -> str:
    """The statement that reads a table.

    >>> select(Relation("", "raw", "flights"), columns=["origin"])
    'SELECT "origin" FROM "raw"."flights"'
    """
    wanted = ", ".join(_quote(column) for column in columns) if columns else "*"
    return f"SELECT {wanted} FROM {quoted(relation)}"


def as_arrow(frame: Any) -> Any:
    """A pyarrow.Table of what a user's function returned. Raises ExecutionError for anything that is no frame.

    Taken: pyarrow.Table and RecordBatch, pandas and polars frames, DuckDB relations, lists of dicts.
    """
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    kind = f"{type(frame).__module__}.{type(frame).__name__}"
    if kind.startswith("pandas.") and kind.endswith(".DataFrame"):
        return pa.Table.from_pandas(frame, preserve_index=False)
    for method in ("to_arrow_table", "to_arrow", "arrow"):  # DuckDB relations, polars
        if callable(convert := getattr(frame, method, None)):
            table = convert()
            return table if isinstance(table, pa.Table) else table.read_all()
    if isinstance(frame, list) and all(isinstance(row, dict) for row in frame):
        return pa.Table.from_pylist(frame)
    raise ExecutionError(
        f"the function returned {'nothing' if frame is None else 'a ' + type(frame).__name__}, not a frame",
        fix="return a pyarrow.Table, a pandas or polars DataFrame, a DuckDB relation or a list of dicts",
    )


def quoted(relation: Relation) -> str:
    """The relation for a DuckDB statement.

    >>> quoted(Relation("dev", "raw", "flights"))
    '"dev"."raw"."flights"'
    """
    return ".".join(_quote(part) for part in (relation.database, relation.schema, relation.identifier) if part)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    return text if len(text) <= SAMPLE_CELL_CHARS else text[: SAMPLE_CELL_CHARS - 1] + "…"


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
