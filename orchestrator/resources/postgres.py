"""PostgreSQL: read as Arrow, replaced in one transaction, looked into; rows travel by COPY.

The driver is psycopg2, which dbt-postgres brings along. Names of tables are folded in this program, while dbt quotes
them as they are written: `_find` looks up what a table is really called.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

from orchestrator.definitions.events import ColumnInfo
from orchestrator.definitions.keys import Relation
from orchestrator.errors import ExecutionError, ResourceError, ResourceUnavailableError
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
)
from orchestrator.resources.frames import batches
from orchestrator.resources.idle import IdleConnections
from orchestrator.resources.tally import Counts, Tally

LABEL_BYTES = 63
"""PostgreSQL cuts an application_name there."""
COUNT_LIMIT_MS = 20_000
"""A table that takes longer to count is not counted; its scan would cost more than the number is worth."""
LOOK_AGAIN_S = 600
_STAGE = "_orchestrator_frame"
_TABLES = ("r", "p")


@dataclass(frozen=True, slots=True)
class _Found:
    """A table or view as the catalogue has it."""

    schema: str
    name: str
    kind: str
    columns: tuple[tuple[str, str], ...]
    """((column, type), …)"""

    @property
    def sql(self) -> str:
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def zoned(self) -> list[str]:
        return [name for name, kind in self.columns if kind.endswith("with time zone")]


@dataclass(slots=True)
class PostgresDatabase:
    """One PostgreSQL database, by libpq's connection keywords (`dsn` for a URL)."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        adapter="postgres",
        atomic_replace=True,
        transactions=True,
        cancel=True,
        query_tag=True,
        concurrent_writers=True,
        local_file=False,
        quick_looks=True,
    )
    keywords: Mapping[str, Any] = field(repr=False)
    name: str
    """Its name, as relations have it; empty if any will do."""
    role: str | None = None
    """Whom to act as, as dbt's profile says."""
    fix: str = "check the target in profiles.yml, and that the server runs"
    _idle: IdleConnections[Any] = field(default_factory=IdleConnections, init=False, repr=False)

    @property
    def file(self) -> None:
        """None: many may write at the same time."""
        return None

    def stamp(self) -> tuple[int, int]:
        """A new one every ten minutes: whether a server has changed cannot be told without asking it."""
        return (int(time.time() // LOOK_AGAIN_S), 0)

    def connect(self, *, label: str = "") -> Any:
        """A psycopg2 connection of this thread's own, which commits each statement. `label` is its application_name."""
        try:
            import psycopg2
        except ImportError as exc:
            raise ResourceError(
                "PostgreSQL cannot be opened: psycopg2 is not installed",
                fix="pip install 'dbt-orchestrator[postgres]'",
            ) from exc
        name = f"orchestrator {label}".strip().encode()[:LABEL_BYTES].decode(errors="ignore")
        try:
            connection = psycopg2.connect(**{"connect_timeout": 10, **self.keywords, "application_name": name})
        except psycopg2.OperationalError as exc:
            raise ResourceUnavailableError(f"cannot connect to PostgreSQL: {_first_line(exc)}", fix=self.fix) from exc
        connection.autocommit = True
        if self.role:
            self.execute(connection, f"SET ROLE {quote(self.role)}")
        return connection

    def interrupt(self, connection: Any) -> None:
        """Stop what `connection` is running; called from another thread."""
        import psycopg2

        with suppress(psycopg2.Error):  # closed meanwhile: nothing runs
            connection.cancel()

    def close(self) -> None:
        """Close what is not in anybody's hands."""
        self._idle.close()

    def execute(self, connection: Any, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement (`%s` for parameters); its rows, or an empty list."""
        with connection.cursor() as cursor:
            cursor.execute(sql, list(parameters) or None)
            return list(cursor.fetchall()) if cursor.description else []

    def read(self, relation: Relation, *, columns: Sequence[str] | None = None, connection: Any = None) -> Any:
        """The rows of a table as a pyarrow.Table. Numbers without a precision become floats, JSON becomes text."""
        with self._on(connection) as opened:
            found = self._there(opened, relation)
            wanted = ", ".join(quote(column) for column in columns) if columns else "*"
            return self.query(opened, f"SELECT {wanted} FROM {found.sql}")

    def query(self, connection: Any, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The rows of a query as a pyarrow.Table."""
        from orchestrator.resources.postgres_copy import copy_out

        with self._transaction(connection), connection.cursor() as cursor:
            return copy_out(cursor, cursor.mogrify(sql, list(parameters) or None).decode())

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

        A table that has the frame's columns is emptied and filled again, so that views, grants and indexes on it stay;
        one with other columns is made anew, which PostgreSQL refuses while views depend on it.
        """
        incoming = batches(frame)
        first = next((batch for batch in incoming if batch.num_columns), None)
        before_commit()
        with self._on(connection) as opened:
            self._ensure_schema(opened, relation)
            with self._transaction(opened):
                found = self._found_or_locked(opened, relation)
                write = _Write(self, opened, relation, scope, found)
                write.start(first)
                for batch in incoming:
                    write.add(batch)
                before_commit()
        return write.rows

    def look(self, relation: Relation, *, rows: bool = True) -> Look | None:
        """What is there now; None if the table is not. With `rows=False` (views) nothing is counted or sampled.

        `rows` stays None where counting takes too long.
        """
        with self._on(None) as connection:
            if (found := self._find(connection, relation)) is None:
                return None
            columns = tuple(ColumnInfo(name=name, type=kind) for name, kind in found.columns)
            if not rows:
                return Look(None, columns, None)
            first = self.execute(connection, f"SELECT * FROM {found.sql} LIMIT {SAMPLE_ROWS}")
            sample = {
                "columns": [column.name for column in columns],
                "rows": [[sample_cell(value) for value in row] for row in first],
            }
            return Look(self._counted(connection, found), columns, sample)

    def count(self, relation: Relation, *, scope: Scope | None = None) -> int | None:
        """How many rows a table has in `scope`; None if it is not there."""
        with self._on(None) as connection:
            if (found := self._find(connection, relation)) is None:
                return None
            inside = _condition(connection, scope, found)
            counted = self.execute(connection, f"SELECT count(*) FROM {found.sql} WHERE {inside}")
            return int(counted[0][0])

    def tally(self, asked: Sequence[Tally]) -> list[Counts | None]:
        """Rows counted by partition: for each what `Tally.ask` says, None where no table is."""
        with self._on(None) as connection:
            found = [self._tally(connection, item) for item in asked]
        self.close()
        return found

    def _tally(self, connection: Any, asked: Tally) -> Counts | None:
        if (found := self._find(connection, asked.relation)) is None:
            return None

        def run(expressions: str, scope: Scope) -> list[tuple[Any, ...]]:
            inside = _condition(connection, scope, found)
            by = f"{expressions}, " if expressions else ""
            places = ", ".join(str(number + 1) for number in range(len(asked.by)))
            grouped = f" GROUP BY {places}" if places else ""
            return self.execute(connection, f"SELECT {by}count(*) FROM {found.sql} WHERE {inside}{grouped}")

        columns = {name.lower(): kind for name, kind in found.columns}
        return asked.ask(columns, run, zoned=[name.lower() for name in found.zoned])

    def relations(self) -> frozenset[Relation]:
        """All tables and views."""
        return frozenset(self.all_columns())

    def all_columns(self) -> dict[Relation, tuple[tuple[str, str], ...]]:
        """{table or view: ((column, type), …)}"""
        with self._on(None) as connection:
            rows = self.execute(
                connection,
                "SELECT current_database(), n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod) "
                "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
                "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
                " AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%' "
                "ORDER BY n.nspname, c.relname, a.attnum",
            )
        self.close()
        return columns_by_relation(rows)

    def peek(self, relation: Relation, *, limit: int) -> tuple[list[str], list[list[Any]]]:
        """(column names, the first rows). Raises ResourceUnavailableError without the table."""
        with self._on(None) as connection:
            found = self._there(connection, relation)
            rows = self.execute(connection, f"SELECT * FROM {found.sql} LIMIT {int(limit)}")
        self.close()
        return [name for name, _ in found.columns], [[sample_cell(value) for value in row] for row in rows]

    def _counted(self, connection: Any, found: _Found) -> int | None:
        import psycopg2.errors

        with suppress(psycopg2.errors.QueryCanceled), self._transaction(connection):
            self.execute(connection, f"SET LOCAL statement_timeout = {COUNT_LIMIT_MS}")
            return int(self.execute(connection, f"SELECT count(*) FROM {found.sql}")[0][0])
        return None

    def _find(self, connection: Any, relation: Relation) -> _Found | None:
        """The table under its real name: exactly this one, else one that differs in upper and lower case only."""
        if relation.database and self.name and relation.database != self.name.lower():
            raise ResourceError(
                f"{relation} is in another database than this connection, which is to {self.name}",
                fix="PostgreSQL reads across databases through foreign tables only",
            )
        rows = self.execute(
            connection,
            "SELECT n.nspname, c.relname, c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod) "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
            "WHERE lower(n.nspname) = coalesce(nullif(%s, ''), lower(current_schema())) AND lower(c.relname) = %s "
            "AND c.relkind IN ('r', 'p', 'v', 'm', 'f') "
            "ORDER BY n.nspname = lower(n.nspname) DESC, c.relname = lower(c.relname) DESC, 1, 2, a.attnum",
            [relation.schema.lower(), relation.identifier.lower()],
        )
        if not rows:
            return None
        schema, name, kind = rows[0][:3]
        columns = tuple((row[3], row[4]) for row in rows if row[:2] == (schema, name) and row[3] is not None)
        return _Found(schema, name, kind, columns)

    def _there(self, connection: Any, relation: Relation) -> _Found:
        found = self._find(connection, relation)
        if found is None:
            self.close()
            raise not_built(relation)
        return found

    def _found_or_locked(self, connection: Any, relation: Relation) -> _Found | None:
        """The table; where there is none, only one transaction goes on to make it."""
        if (found := self._find(connection, relation)) is None:
            self.execute(connection, "SELECT pg_advisory_xact_lock(hashtext(%s))", [f"orchestrator {relation}"])
            found = self._find(connection, relation)
        if found is not None and found.kind not in _TABLES:
            raise ExecutionError(
                f"{relation} is a view, not a table", fix="drop it, or write another table: its rows cannot be replaced"
            )
        return found

    def _ensure_schema(self, connection: Any, relation: Relation) -> None:
        """Asked first: to make one, even IF NOT EXISTS, takes a right that is not needed where it is there."""
        import psycopg2.errors

        if not relation.schema:
            return
        there = "SELECT 1 FROM pg_namespace WHERE lower(nspname) = %s"
        if not self.execute(connection, there, [relation.schema.lower()]):
            # Somebody else may make it at this very moment, which PostgreSQL tells by an index of its own.
            with suppress(psycopg2.errors.UniqueViolation, psycopg2.errors.DuplicateSchema):
                self.execute(connection, f"CREATE SCHEMA IF NOT EXISTS {quote(relation.schema)}")

    def _on(self, connection: Any) -> AbstractContextManager[Any]:
        """The connection given, or one that nobody uses."""
        return self._idle.lend(connection, opened=self.connect)

    @contextmanager
    def _transaction(self, connection: Any) -> Iterator[None]:
        import psycopg2

        self.execute(connection, "BEGIN")
        try:
            yield
            self.execute(connection, "COMMIT")
        except BaseException:
            with suppress(psycopg2.Error):  # without a connection the server rolls back by itself
                self.execute(connection, "ROLLBACK")
            raise


@dataclass(slots=True)
class _Write:
    """One transaction's write, batch by batch."""

    database: PostgresDatabase
    connection: Any
    relation: Relation
    scope: Scope | None
    found: _Found | None
    rows: int = 0
    _staged: bool = False

    def start(self, first: Any) -> None:
        """The first batch, which also says what the columns are; None if there is none."""
        if first is None and (self.scope is None or self.found is None):
            raise no_columns(self.relation)
        if first is not None:
            self._prepare(first)
        assert self.found is not None
        self._run(f"DELETE FROM {self.found.sql} WHERE {_condition(self.connection, self.scope, self.found)}")
        if first is not None:
            self.add(first)

    def add(self, batch: Any) -> None:
        """One more batch. Its columns are matched by name."""
        assert self.found is not None
        if not batch.num_rows:
            return
        own = {name.lower(): name for name, _ in self.found.columns}
        if more := [name for name in batch.column_names if name.lower() not in own]:
            raise other_columns(self.relation, more)
        columns = [own[name.lower()] for name in batch.column_names]
        if self.scope is None:
            self._copy(self.found.sql, columns, batch)
        else:
            check_columns(self.relation, self.scope, table=list(own), frame=batch.column_names)
            self._through_stage(self.scope, columns, batch)
        self.rows += batch.num_rows

    def _prepare(self, first: Any) -> None:
        """Make the table as it has to be for this frame."""
        from orchestrator.resources.postgres_copy import sql_type

        if self.scope is not None:
            table = [name for name, _ in self.found.columns] if self.found is not None else None
            check_columns(self.relation, self.scope, table=table, frame=first.column_names)
        wanted = [(item.name, sql_type(item.type)) for item in first.schema]
        if self.found is None:
            self._create(wanted)
        elif self.scope is None and (changes := _changes(dict(self.found.columns), dict(wanted))):
            if all(old is None for _, old, _ in changes):
                added = ", ".join(f"ADD COLUMN {quote(name)} {new}" for name, _, new in changes)
                self._run(f"ALTER TABLE {self.found.sql} {added}")
            else:
                self._drop(self.found, changes)
                self._create(wanted)
        else:
            return
        self.found = self.database._find(self.connection, self.relation)

    def _create(self, wanted: list[tuple[str, str | None]]) -> None:
        columns = ", ".join(f"{quote(name)} {kind or 'text'}" for name, kind in wanted)
        place = Relation("", self.relation.schema, self.relation.identifier)
        if self.found is not None:
            place = Relation("", self.found.schema, self.found.name)
        self._run(f"CREATE TABLE {quoted(place)} ({columns})")

    def _drop(self, found: _Found, changes: list[tuple[str, str | None, str | None]]) -> None:
        import psycopg2.errors

        try:
            self._run(f"DROP TABLE {found.sql}")
        except psycopg2.errors.DependentObjectsStillExist as exc:
            changed = ", ".join(f"'{name}' from {old or 'nothing'} to {new or 'nothing'}" for name, old, new in changes)
            depending = "; ".join((exc.diag.message_detail or "").splitlines())
            raise ExecutionError(
                f"the columns of {self.relation} change ({changed}), which PostgreSQL refuses: {depending}",
                fix="drop what depends on it (dbt makes its own views again), or keep the columns",
            ) from exc

    def _through_stage(self, scope: Scope, columns: list[str], batch: Any) -> None:
        """By a table of the transaction's own, in which the rows are counted that do not belong there."""
        assert self.found is not None
        if self._staged:
            self._run(f"TRUNCATE {_STAGE}")
        else:
            self._run(f"CREATE TEMP TABLE {_STAGE} ON COMMIT DROP AS SELECT * FROM {self.found.sql} WITH NO DATA")
            self._staged = True
        self._copy(_STAGE, columns, batch)
        inside = _condition(self.connection, scope, self.found)
        counted = self._run(f"SELECT count(*) FROM {_STAGE} WHERE NOT coalesce({inside}, false)")
        check_rows_outside(self.relation, scope, outside=counted[0][0], rows=batch.num_rows)
        names = ", ".join(quote(name) for name in columns)
        self._run(f"INSERT INTO {self.found.sql} ({names}) SELECT {names} FROM {_STAGE}")

    def _copy(self, target: str, columns: list[str], batch: Any) -> None:
        from orchestrator.resources.postgres_copy import copy_in

        with self.connection.cursor() as cursor:
            copy_in(cursor, target, columns, batch)

    def _run(self, sql: str) -> list[tuple[Any, ...]]:
        return self.database.execute(self.connection, sql)


def _condition(connection: Any, scope: Scope | None, found: _Found) -> str:
    """The rows of the scope in SQL, with its values in place."""
    inside, values = (scope or Scope()).predicate(
        marker="%s", zoned=found.zoned, column=lambda name: quote(name).replace("%", "%%")
    )
    with connection.cursor() as cursor:
        return str(cursor.mogrify(inside, values or None).decode())


def _changes(old: Mapping[str, str], new: Mapping[str, str | None]) -> list[tuple[str, str | None, str | None]]:
    """[(column, its type, the one that is wanted)] where they differ; a column of nulls only fits every type."""
    changed: list[tuple[str, str | None, str | None]] = []
    for name, kind in old.items():
        if name not in new:
            changed.append((name, kind, None))
        elif new[name] not in (kind, None):
            changed.append((name, kind, new[name]))
    return [*changed, *((name, None, kind or "text") for name, kind in new.items() if name not in old)]


def _first_line(exc: BaseException) -> str:
    lines = [line for line in str(exc).strip().splitlines() if line.strip()]
    return lines[0] if lines else type(exc).__name__
