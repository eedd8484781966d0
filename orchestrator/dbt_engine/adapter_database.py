"""Any warehouse that dbt has an SQL adapter for, through that adapter: read, counted, written by INSERT.

Slower than what is opened natively, and with what the adapter can do: rows go into a table beside the one that is
written, as literals, and take its rows' place in one transaction where the adapter has one. The adapter is an instance
of our own, so that dbt's builds in this process neither see nor close it.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, time, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from orchestrator.definitions.events import ColumnInfo
from orchestrator.definitions.keys import Relation
from orchestrator.errors import ExecutionError, HalfWrittenError, ResourceError, ResourceUnavailableError
from orchestrator.resources.database import (
    SAMPLE_ROWS,
    Capabilities,
    Database,
    Look,
    Scope,
    check_columns,
    check_rows_outside,
    columns_by_relation,
    no_columns,
    not_built,
    other_columns,
    sample_cell,
)
from orchestrator.resources.dbt_profile import Profile
from orchestrator.resources.frames import batches
from orchestrator.resources.idle import IdleConnections
from orchestrator.resources.profile_database import database_of
from orchestrator.resources.tally import Counts, Tally

ROWS_A_STATEMENT = 500
ATOMIC = ("duckdb", "postgres", "redshift", "sqlserver")
"""Adapters whose transactions also hold CREATE and DROP."""
TRANSACTIONAL = (*ATOMIC, "snowflake")
UPPER_CASE = ("snowflake", "oracle")
BACKSLASHES = ("bigquery", "spark", "databricks", "snowflake", "mysql", "clickhouse")
"""Adapters in whose text literals a backslash is special."""
_ZONED = ("timestamp with time zone", "timestamptz", "timestamp_tz")
_MARK = "\x00"


@dataclass(slots=True)
class AdapterConnection:
    """One connection of the adapter; may be used by one thread at a time."""

    database: AdapterDatabase
    connection: Any
    label: str

    def close(self) -> None:
        """Give it back to the server."""
        self.database.manager.close(self.connection)


@dataclass(frozen=True, slots=True)
class _Found:
    sql: str
    columns: tuple[tuple[str, str], ...]

    @property
    def zoned(self) -> list[str]:
        return [name for name, kind in self.columns if kind.lower() in _ZONED]


@dataclass(slots=True)
class AdapterDatabase:
    """The database of a profile's target, through dbt's adapter for it."""

    profile: Profile
    _adapter: Any = field(default=None, init=False, repr=False)
    _idle: IdleConnections[AdapterConnection] = field(default_factory=IdleConnections, init=False, repr=False)
    _guard: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)
    _writing: dict[Relation, threading.Lock] = field(default_factory=dict, init=False, repr=False)

    @property
    def capabilities(self) -> Capabilities:
        """What the adapter can do, as far as dbt and we know."""
        name = self.profile.adapter
        return Capabilities(
            adapter=name,
            atomic_replace=name in ATOMIC,
            transactions=name in TRANSACTIONAL,
            cancel=bool(self.adapter.is_cancelable()),
            query_tag=True,
            concurrent_writers=name != "duckdb",
            local_file=False,
            quick_looks=False,
        )

    @property
    def file(self) -> None:
        """None: dbt's adapter sees to what it opens."""
        return None

    def stamp(self) -> None:
        """None: dbt would have to be imported, and a warehouse be woken up, to look for columns."""
        return None

    @property
    def adapter(self) -> Any:
        """Our own instance of dbt's adapter; the first call imports it. Raises ResourceError."""
        with self._guard:
            if self._adapter is None:
                self._adapter = _make_adapter(self.profile)
            return self._adapter

    @property
    def manager(self) -> Any:
        """The adapter's connections."""
        return self.adapter.connections

    def connect(self, *, label: str = "") -> AdapterConnection:
        """A connection of this thread's own. `label` goes in front of each statement, as a comment."""
        from dbt.adapters.contracts.connection import Connection, Identifier
        from dbt.adapters.exceptions import FailedToConnectError
        from dbt_common.exceptions import DbtBaseException

        credentials = self.adapter.config.credentials
        connection = Connection(
            type=Identifier(self.manager.TYPE), name=label or "orchestrator", credentials=credentials
        )
        try:
            self.manager.open(connection)
        except (FailedToConnectError, DbtBaseException) as exc:
            raise ResourceUnavailableError(
                f"dbt's adapter for {self.profile.adapter} cannot connect: {_first_line(exc)}",
                fix=f"check the target '{self.profile.target}' in {self.profile.path}; `dbt debug` says more",
            ) from exc
        return AdapterConnection(self, connection, label)

    def interrupt(self, connection: AdapterConnection) -> None:
        """Stop what `connection` is running, where the adapter can."""
        if not self.adapter.is_cancelable():
            return
        # Closed meanwhile is fine, and each driver has errors of its own. Some adapters ask the server, as this thread.
        with suppress(Exception), self._on(None) as other, self._transaction(other):
            self.manager.cancel(connection.connection)

    def close(self) -> None:
        """Close what is not in anybody's hands."""
        self._idle.close()

    def execute(self, connection: AdapterConnection, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement in a transaction of its own; its rows, or an empty list."""
        with self._transaction(connection):
            return self._run(connection, sql, parameters)[1]

    def query(self, connection: AdapterConnection, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The rows of a query as a pyarrow.Table, typed by their values."""
        with self._transaction(connection):
            names, rows = self._run(connection, sql, parameters)
        return _table(names, rows)

    def read(
        self, relation: Relation, *, columns: Sequence[str] | None = None, connection: AdapterConnection | None = None
    ) -> Any:
        """The rows of a table as a pyarrow.Table."""
        with self._on(connection) as opened:
            found = self._there(opened, relation)
            own = {name.lower(): name for name, _ in found.columns}
            wanted = ", ".join(self._quote(own.get(name.lower(), name)) for name in columns) if columns else "*"
            return self.query(opened, f"SELECT {wanted} FROM {found.sql}")

    def replace(
        self,
        relation: Relation,
        frame: Any,
        *,
        scope: Scope | None = None,
        before_commit: Callable[[], None],
        connection: AdapterConnection | None = None,
    ) -> int:
        """Replace the rows of `scope`, or the whole table; in one transaction where the adapter has one.

        Writers of one table take turns in this process.
        """
        incoming = batches(frame)
        first = next((batch for batch in incoming if batch.num_columns), None)
        before_commit()
        with self._guard:
            lock = self._writing.setdefault(relation, threading.Lock())
        with self._on(connection) as opened, lock:
            if relation.schema:
                with suppress(Exception):  # no right to; if it is not there either, the next statement says so
                    self.execute(opened, f"CREATE SCHEMA IF NOT EXISTS {self._new(relation.schema)}")
            write = _Write(self, opened, relation, scope, self._find(opened, relation))
            try:
                write.fill(first, incoming)
                before_commit()
                with self._half_written(relation), self._transaction(opened):
                    write.take_place()
                    before_commit()
            finally:
                write.clear()
        return write.rows

    def look(self, relation: Relation, *, rows: bool = True) -> Look | None:
        """What is there now; None if the table is not. With `rows=False` (views) nothing is counted or sampled."""
        with self._on(None) as connection:
            if (found := self._find(connection, relation)) is None:
                return None
            columns = tuple(ColumnInfo(name=name, type=kind) for name, kind in found.columns)
            if not rows:
                return Look(None, columns, None)
            counted = self.execute(connection, f"SELECT count(*) FROM {found.sql}")
            names, first = self.peek(relation, limit=SAMPLE_ROWS)
            return Look(int(counted[0][0]), columns, {"columns": names, "rows": first})

    def count(self, relation: Relation, *, scope: Scope | None = None) -> int | None:
        """How many rows a table has in `scope`; None if it is not there."""
        with self._on(None) as connection:
            if (found := self._find(connection, relation)) is None:
                return None
            inside = self._condition(scope, found.zoned)
            return int(self.execute(connection, f"SELECT count(*) FROM {found.sql} WHERE {inside}")[0][0])

    def tally(self, asked: Sequence[Tally]) -> list[Counts | None]:
        """None for each: SQL that all warehouses understand does not count by windows."""
        return [None for _ in asked]

    def relations(self) -> frozenset[Relation]:
        """All tables and views."""
        return frozenset(self.all_columns())

    def all_columns(self) -> dict[Relation, tuple[tuple[str, str], ...]]:
        """{table or view: ((column, type), …)} as the information_schema has it."""
        with self._on(None) as connection:
            rows = self.execute(
                connection,
                "SELECT table_catalog, table_schema, table_name, column_name, data_type "
                "FROM information_schema.columns WHERE lower(table_schema) NOT IN ('information_schema', 'pg_catalog') "
                "ORDER BY table_catalog, table_schema, table_name, ordinal_position",
            )
        return columns_by_relation(rows)

    def peek(self, relation: Relation, *, limit: int) -> tuple[list[str], list[list[Any]]]:
        """(column names, the first rows). Raises ResourceUnavailableError without the table."""
        with self._on(None) as connection:
            found = self._there(connection, relation)
            rows = self.execute(connection, f"SELECT * FROM {found.sql} LIMIT {int(limit)}")
        return [name for name, _ in found.columns], [[sample_cell(value) for value in row] for row in rows]

    def _find(self, connection: AdapterConnection, relation: Relation) -> _Found | None:
        """The table under its real name."""
        where = [f"lower(table_name) = {self._literal(relation.identifier.lower())}"]
        if relation.schema:
            where.append(f"lower(table_schema) = {self._literal(relation.schema.lower())}")
        if relation.database:
            where.append(f"lower(table_catalog) = {self._literal(relation.database.lower())}")
        rows = self.execute(
            connection,
            "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns "
            f"WHERE {' AND '.join(where)} ORDER BY table_schema, table_name, ordinal_position",
        )
        if not rows:
            return None
        place = rows[0][:2]
        columns = tuple((row[2], row[3]) for row in rows if row[:2] == place)
        return _Found(".".join(self._quote(part) for part in place), columns)

    def _there(self, connection: AdapterConnection, relation: Relation) -> _Found:
        found = self._find(connection, relation)
        if found is None:
            raise not_built(relation)
        return found

    def _condition(self, scope: Scope | None, zoned: Sequence[str]) -> str:
        """The rows of the scope in SQL, with its values as literals."""
        text, values = (scope or Scope()).predicate(marker=_MARK, zoned=zoned, column=lambda name: self._new(name))
        first, *rest = text.split(_MARK)
        return first + "".join(f"{self._literal(value)}{part}" for value, part in zip(values, rest, strict=True))

    def _quote(self, name: str) -> str:
        return str(self.adapter.quote(name))

    def _new(self, name: str) -> str:
        """A name for something new, folded as the warehouse folds what is not quoted."""
        return self._quote(name.upper() if self.profile.adapter in UPPER_CASE else name)

    def _literal(self, value: Any) -> str:
        if value is None:
            return "NULL"
        if isinstance(value, bool):
            return "TRUE" if value else "FALSE"
        if isinstance(value, (int, Decimal)):
            return str(value)
        if isinstance(value, float):
            return repr(value) if value - value == 0 else f"CAST('{value}' AS {self.type_of_float})"
        if isinstance(value, datetime):
            if value.tzinfo is not None:
                return f"CAST('{value.astimezone(timezone.utc).isoformat(sep=' ')}' AS {self.type_of_instant})"
            return f"CAST('{value.isoformat(sep=' ')}' AS {self._label('TIMESTAMP')})"
        if isinstance(value, date):
            return f"CAST('{value.isoformat()}' AS date)"
        if isinstance(value, time):
            return f"CAST('{value.isoformat()}' AS time)"
        if isinstance(value, (list, dict)):
            value = json.dumps(value, default=str, ensure_ascii=False)
        if not isinstance(value, str):
            raise ExecutionError(
                f"values of type {type(value).__name__} cannot be written through dbt's adapter for "
                f"{self.profile.adapter}",
                fix="turn that column into numbers, text, dates or timestamps",
            )
        text = value.replace("\\", "\\\\") if self.profile.adapter in BACKSLASHES else value
        return "'" + text.replace("'", "''") + "'"

    @property
    def type_of_float(self) -> str:
        """What a double is called."""
        return "float64" if self.profile.adapter == "bigquery" else "double precision"

    @property
    def type_of_instant(self) -> str:
        """What a timestamp with a time zone is called."""
        zoned = ("duckdb", "postgres", "redshift", "trino", "athena")
        return "timestamp with time zone" if self.profile.adapter in zoned else self._label("TIMESTAMP")

    def _label(self, name: str) -> str:
        return str(self.adapter.Column.translate_type(name))

    def sql_type(self, kind: Any) -> str:
        """The adapter's type for an Arrow type."""
        import pyarrow.types as types

        if types.is_dictionary(kind):
            return self.sql_type(kind.value_type)
        if types.is_boolean(kind):
            return self._label("BOOLEAN")
        if types.is_integer(kind):
            return "bigint" if self.profile.adapter != "bigquery" else "int64"
        if types.is_floating(kind):
            return self.type_of_float
        if types.is_decimal(kind):
            return f"numeric({kind.precision}, {kind.scale})"
        if types.is_timestamp(kind):
            return self.type_of_instant if kind.tz else self._label("TIMESTAMP")
        if types.is_date(kind):
            return "date"
        return "time" if types.is_time(kind) else self._label("STRING")

    def _run(
        self, connection: AdapterConnection, sql: str, parameters: Sequence[Any] = ()
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """(column names, rows) of a statement inside of a transaction."""
        tagged = f"/* orchestrator {connection.label.replace('*', '')} */ {sql}" if connection.label else sql
        _, cursor = self.manager.add_query(tagged, auto_begin=False, bindings=list(parameters) or None)
        described = cursor.description
        if not described:
            return [], []
        return [item[0] for item in described], [tuple(row) for row in cursor.fetchall()]

    @contextmanager
    def _transaction(self, connection: AdapterConnection) -> Iterator[None]:
        """The connection as this thread's in the eyes of dbt, in a transaction where the adapter has them."""
        from dbt_common.context import set_invocation_context

        set_invocation_context(dict(os.environ))
        manager, own = self.manager, connection.connection
        before = manager.get_if_exists()
        manager.clear_thread_connection()
        manager.set_thread_connection(own)
        try:
            manager.begin()
            yield
            manager.commit()
            # dbt-postgres commits by a statement, of which psycopg2 knows nothing: it would begin no other transaction.
            with suppress(Exception):
                own.handle.commit()
        except BaseException:
            with suppress(Exception):  # without a connection the server rolls back by itself
                manager.rollback_if_open()
            raise
        finally:
            manager.clear_thread_connection()
            if before is not None:
                manager.set_thread_connection(before)

    @contextmanager
    def _half_written(self, relation: Relation) -> Iterator[None]:
        """What fails in here may have left anything, where the adapter cannot undo it."""
        try:
            yield
        except Exception as exc:
            if self.profile.adapter in ATOMIC:
                raise
            raise HalfWrittenError(
                f"{relation} may be half replaced, which {self.profile.adapter} cannot undo: {_first_line(exc)}",
                fix="run it again: its rows are replaced anew",
            ) from exc

    def _on(self, connection: AdapterConnection | None) -> AbstractContextManager[AdapterConnection]:
        """The connection given, or one that nobody uses."""
        return self._idle.lend(connection, opened=self.connect)


@dataclass(slots=True)
class _Write:
    """Rows beside the table, and how they take their place."""

    database: AdapterDatabase
    connection: AdapterConnection
    relation: Relation
    scope: Scope | None
    found: _Found | None
    rows: int = 0
    stage: str = ""
    columns: list[str] = field(default_factory=list)
    """Of the stage, as they are really called."""
    same: bool = False
    """True where the stage has the table's columns."""

    def fill(self, first: Any, incoming: Iterator[Any]) -> None:
        """All batches into a table of our own; what does not belong there is refused."""
        if first is None:
            if self.scope is None or self.found is None:
                raise no_columns(self.relation)
            return
        known = [name for name, _ in self.found.columns] if self.found is not None else None
        if self.scope is not None:
            check_columns(self.relation, self.scope, table=known, frame=first.column_names)
        self._make_stage(first)
        self._insert(first)
        for batch in incoming:
            self._insert(batch)

    def take_place(self) -> None:
        """Inside of a transaction: the stage's rows become the table's."""
        names = ", ".join(self.database._quote(name) for name in self.columns)
        if self.found is not None and (self.scope is not None or self.same):
            inside = self.database._condition(self.scope, self.found.zoned)
            self._run(f"DELETE FROM {self.found.sql} WHERE {inside}")
            if self.stage:
                self._run(f"INSERT INTO {self.found.sql} ({names}) SELECT {names} FROM {self.stage}")
            return
        target = self._place(self.relation.identifier)
        if self.found is not None:
            target = self.found.sql
            self._run(f"DROP TABLE {target}")
        self._run(f"CREATE TABLE {target} AS SELECT * FROM {self.stage}")

    def clear(self) -> None:
        """Drop the table of our own."""
        if self.stage:
            with suppress(Exception):  # a connection that is gone; what made it so is told
                self.database.execute(self.connection, f"DROP TABLE {self.stage}")

    def _make_stage(self, first: Any) -> None:
        database = self.database
        stage = f"{self.relation.identifier}__orchestrator_{uuid.uuid4().hex[:8]}"
        if self.scope is not None and self.found is not None:
            definition = f"AS SELECT * FROM {self.found.sql} WHERE 1 = 0"
        else:
            kinds = [f"{database._new(item.name)} {database.sql_type(item.type)}" for item in first.schema]
            definition = f"({', '.join(kinds)})"
        database.execute(self.connection, f"CREATE TABLE {self._place(stage)} {definition}")
        self.stage = self._place(stage)
        made = database._find(self.connection, Relation("", self.relation.schema, stage))
        assert made is not None
        self.same = self.found is not None and self.found.columns == made.columns
        self.columns = [name for name, _ in made.columns]
        if self.scope is not None and self.found is not None:
            own = {name.lower() for name in first.column_names}
            self.columns = [name for name in self.columns if name.lower() in own]

    def _insert(self, batch: Any) -> None:
        if not batch.num_rows:
            return
        own = {name.lower(): name for name in self.columns}
        if more := [name for name in batch.column_names if name.lower() not in own]:
            raise other_columns(self.relation, more)
        if self.scope is not None:
            check_columns(self.relation, self.scope, table=self.columns, frame=batch.column_names)
        names = ", ".join(self.database._quote(own[name.lower()]) for name in batch.column_names)
        for start in range(0, batch.num_rows, ROWS_A_STATEMENT):
            rows = batch.slice(start, ROWS_A_STATEMENT).to_pylist()
            values = ", ".join(
                f"({', '.join(self.database._literal(value) for value in row.values())})" for row in rows
            )
            self.database.execute(self.connection, f"INSERT INTO {self.stage} ({names}) VALUES {values}")
        self.rows += batch.num_rows
        if self.scope is not None:
            self._check_rows(self.scope)

    def _check_rows(self, scope: Scope) -> None:
        made = self.database._condition(scope, self.found.zoned if self.found is not None else self._zoned())
        outside = self.database.execute(
            self.connection, f"SELECT count(*) FROM {self.stage} WHERE NOT coalesce({made}, FALSE)"
        )
        check_rows_outside(self.relation, scope, outside=int(outside[0][0]), rows=self.rows)

    def _zoned(self) -> list[str]:
        stage = self.stage.split(".")[-1].strip('"`')
        found = self.database._find(self.connection, Relation("", self.relation.schema, stage.lower()))
        return found.zoned if found is not None else []

    def _place(self, name: str) -> str:
        parts = [part for part in (self.relation.schema, name) if part]
        return ".".join(self.database._new(part) for part in parts)

    def _run(self, sql: str) -> None:
        self.database._run(self.connection, sql)


def open_database(profile: Profile) -> Database | None:
    """The target's database, natively or else through dbt's adapter; None for DuckDB that is no local file."""
    if (native := database_of(profile)) is not None or profile.adapter == "duckdb":
        return native
    return AdapterDatabase(profile)


def _make_adapter(profile: Profile) -> Any:
    import multiprocessing

    from dbt.adapters.contracts.connection import QueryComment
    from dbt.adapters.factory import get_adapter_class_by_name, load_plugin
    from dbt.adapters.sql import SQLConnectionManager
    from dbt_common.context import set_invocation_context

    set_invocation_context(dict(os.environ))
    try:
        credentials_class = load_plugin(profile.adapter)
    except Exception as exc:
        raise ResourceError(
            f"dbt has no adapter for {profile.adapter} here",
            fix=f"pip install dbt-{profile.adapter}",
        ) from exc
    output = {name: value for name, value in profile.output.items() if name not in ("type", "threads")}
    if profile.duckdb_path is not None:
        output["path"] = str(profile.duckdb_path)
    data = credentials_class.translate_aliases(output)
    credentials_class.validate(data)
    config = SimpleNamespace(
        credentials=credentials_class.from_dict(data),
        profile_name=profile.name,
        target_name=profile.target,
        threads=1,
        project_name="orchestrator",
        query_comment=QueryComment(comment=""),
        cli_vars={},
        target_path="",
        log_cache_events=False,
    )
    adapter_class = get_adapter_class_by_name(profile.adapter)
    if not issubclass(adapter_class.ConnectionManager, SQLConnectionManager):
        raise ResourceError(
            f"tables of {profile.adapter} cannot be written from Python: its adapter runs no plain SQL statements",
            fix="write the table with a dbt model",
        )
    return adapter_class(config, multiprocessing.get_context("spawn"))


def _table(names: list[str], rows: list[tuple[Any, ...]]) -> Any:
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pa.table([_array(pa, list(values)) for values in columns], names=names)


def _array(pa: Any, values: list[Any]) -> Any:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # of several kinds, or of one that Arrow has not
        return pa.array([None if value is None else str(value) for value in values])


def _first_line(exc: BaseException) -> str:
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[0] if lines else type(exc).__name__


__all__ = ["AdapterConnection", "AdapterDatabase", "open_database"]
