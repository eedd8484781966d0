"""What the rest of the program knows of a database: the protocol, and the rows that one write replaces."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.definitions.events import ColumnInfo
from orchestrator.definitions.keys import Relation
from orchestrator.errors import ExecutionError, ResourceUnavailableError

if TYPE_CHECKING:
    from orchestrator.resources.tally import Counts, Tally

SAMPLE_ROWS = 20
SAMPLE_CELL_CHARS = 200


@dataclass(frozen=True, slots=True)
class Scope:
    """The rows of a table that one write replaces; all of them where neither part is given.

    >>> str(Scope((("region", "EMEA"),), ("day", "2013-02-01", "2013-03-01")))
    "region = 'EMEA' and '2013-02-01' <= day < '2013-03-01'"
    """

    equal: tuple[tuple[str, Any], ...] = ()
    """Columns and the value that each has; None means null."""
    window: tuple[str, Any, Any] | None = None
    """(column, start, end), half-open. Bounds with a time zone meet columns without one by their wall time; bounds
    without meet columns with one as UTC."""
    among: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    """Columns and the values that each may have."""
    apart_from: tuple[Scope, ...] = ()
    """Rows that are in one of these are not in this one: they are somebody else's."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that decide."""
        own = (*(name for name, _ in (*self.equal, *self.among)), *((self.window[0],) if self.window else ()))
        return tuple(dict.fromkeys([*own, *(name for other in self.apart_from for name in other.columns)]))

    def predicate(
        self, *, marker: str, zoned: Collection[str] = (), column: Callable[[str], str] | None = None
    ) -> tuple[str, list[Any]]:
        """(SQL, its parameters); `zoned` are columns with a time zone, `column` writes a column's name.

        >>> Scope((("region", "EMEA"), ("city", None))).predicate(marker="?")
        ('("region" = ? AND "city" IS NULL)', ['EMEA'])
        """
        name_of, zoned = column or quote, {name.lower() for name in zoned}
        parts: list[str] = []
        values: list[Any] = []

        def is_one_of(name: str, several: Sequence[Any]) -> str:
            values.extend(_bound(value, zoned=name.lower() in zoned) for value in several if value is not None)
            own = name_of(name)
            return " OR ".join(f"{own} IS NULL" if value is None else f"{own} = {marker}" for value in several)

        parts.extend(is_one_of(name, [value]) for name, value in self.equal)
        parts.extend(f"({is_one_of(name, several)})" for name, several in self.among)
        if self.window is not None:
            name, *bounds = self.window
            parts.append(f"{name_of(name)} >= {marker} AND {name_of(name)} < {marker}")
            values.extend(_bound(bound, zoned=name.lower() in zoned) for bound in bounds)
        for other in self.apart_from:
            inside, more = other.predicate(marker=marker, zoned=zoned, column=column)
            parts.append(f"NOT coalesce({inside}, false)")
            values.extend(more)
        return f"({' AND '.join(parts) or 'TRUE'})", values

    def __str__(self) -> str:
        parts = [f"{name} is null" if value is None else f"{name} = {_shown(value)}" for name, value in self.equal]
        parts += [f"{name} in ({', '.join(map(_shown, several))})" for name, several in self.among]
        if self.window is not None:
            name, start, end = self.window
            parts.append(f"{_shown(start)} <= {name} < {_shown(end)}")
        parts += [f"not ({other})" for other in self.apart_from]
        return " and ".join(parts) or "all rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a database can do for Python assets; what it cannot is worked around, or said."""

    adapter: str
    """dbt's word for it."""
    atomic_replace: bool
    """A write that fails leaves the old rows; without it a failed write is *unknown*."""
    transactions: bool
    cancel: bool
    """A running statement can be stopped."""
    query_tag: bool
    """Connections carry the run and the asset, for whoever looks at the server."""
    concurrent_writers: bool
    """Several processes may write at the same time."""
    local_file: bool
    """It is a file here: samples of rows may be kept, one process at a time may have it."""
    quick_looks: bool
    """Rows and columns are looked up after each dbt step; elsewhere they are as dbt says."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a table holds: rows (None if not counted), columns, the first rows."""

    rows: int | None
    columns: tuple[ColumnInfo, ...]
    sample: dict[str, Any] | None


class Database(Protocol):
    """A database that Python assets are stored in, and that is looked into after dbt has written.

    What is opened is opened late, and shared by the threads of a run.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    @property
    def file(self) -> Path | None:
        """The file that one process at a time may write; None for a server."""

    def stamp(self) -> tuple[int, int] | None:
        """Another one when there may be something new to see; None where looking for columns alone is too dear."""

    def connect(self, *, label: str = "") -> Any:
        """A connection of this thread's own, as the driver makes it. Raises ResourceError.

        `label` says whose it is, to those who look at the server.
        """

    def interrupt(self, connection: Any) -> None:
        """Stop what `connection` is running; called from another thread."""

    def close(self) -> None:
        """Let go of everything; it may be opened again."""

    def execute(self, connection: Any, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; its rows, or an empty list."""

    def query(self, connection: Any, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The rows of a query as a pyarrow.Table."""

    def read(self, relation: Relation, *, columns: Sequence[str] | None = None, connection: Any = None) -> Any:
        """The rows of a table as a pyarrow.Table."""

    def replace(
        self,
        relation: Relation,
        frame: Any,
        *,
        scope: Scope | None = None,
        before_commit: Callable[[], None],
        connection: Any = None,
    ) -> int:
        """Replace the rows of `scope` by those of `frame` in one transaction; how many rows were written.

        Without a scope all rows, and the columns too. With one, a missing table is made from the frame, columns that
        the frame lacks are null, and columns that the table lacks, or rows outside the scope, are an ExecutionError.
        `frame` is whatever `frames.batches` takes. `before_commit` may raise to refuse the write. However it fails, the
        old rows stay.
        """

    def look(self, relation: Relation, *, rows: bool = True) -> Look | None:
        """What is there now; None if the table is not. With `rows=False` (views) nothing is counted or sampled."""

    def count(self, relation: Relation, *, scope: Scope | None = None) -> int | None:
        """How many rows a table has in `scope`; None if it is not there."""

    def tally(self, asked: Sequence[Tally]) -> list[Counts | None]:
        """Rows by partition, a query each: None where no table is, or no one query can tell. Nothing stays open."""

    def relations(self) -> frozenset[Relation]:
        """All tables and views. Nothing stays open."""

    def all_columns(self) -> dict[Relation, tuple[tuple[str, str], ...]]:
        """{table or view: ((column, type), …)}. Nothing stays open."""

    def peek(self, relation: Relation, *, limit: int) -> tuple[list[str], list[list[Any]]]:
        """(column names, the first rows). Nothing stays open. Raises ResourceUnavailableError without the table."""


def check_columns(relation: Relation, scope: Scope, *, table: Sequence[str] | None, frame: Sequence[str]) -> None:
    """Refuse a frame that cannot be written into `scope`; `table` is None where there is none yet."""
    own = {name.lower() for name in frame}
    if lacking := [name for name in scope.columns if name.lower() not in own]:
        raise ExecutionError(
            f"the frame has no column {_listed(lacking)}, by which the rows to replace are found ({scope})",
            fix="return a frame with it",
        )
    known = {name.lower() for name in table} if table is not None else own
    if more := [name for name in frame if name.lower() not in known]:
        raise ExecutionError(
            f"{relation} has no column {_listed(more)}, but the frame has",
            fix="leave it out of the frame, or add it to the table (ALTER TABLE … ADD COLUMN …)",
        )


def check_rows_outside(relation: Relation, scope: Scope, *, outside: int, rows: int) -> None:
    """Refuse a frame of which some rows are not in `scope`."""
    if outside:
        raise ExecutionError(
            f"{outside} of {rows} rows for {relation} are outside of what is being written ({scope}); nothing was "
            "written",
            fix="return only rows that belong there",
        )


def no_columns(relation: Relation) -> ExecutionError:
    """The error for no rows at all, without which no table can be made."""
    return ExecutionError(
        f"no rows came for {relation}, and so no columns of which the table could be made",
        fix="return an empty frame that has columns, such as an empty pyarrow.Table with a schema",
    )


def other_columns(relation: Relation, more: Sequence[str]) -> ExecutionError:
    """The error for a later batch that has more columns than the first."""
    return ExecutionError(
        f"a batch for {relation} has the column {_listed(more)}, which the table has not",
        fix="yield batches with the same columns",
    )


def not_built(relation: Relation) -> ResourceUnavailableError:
    """The error for a table that is not there."""
    return ResourceUnavailableError(f"{relation} is not built yet", fix="`orchestrator run` builds it")


def columns_by_relation(rows: Iterable[Sequence[Any]]) -> dict[Relation, tuple[tuple[str, str], ...]]:
    """{table: ((column, type), …)} of rows of (database, schema, table, column, type), columns in their order.

    A row without a column stands for a table that has none.

    >>> found = columns_by_relation([("dev", "raw", "A", "Id", "int"), ("dev", "raw", "b", None, None)])
    >>> {str(relation): columns for relation, columns in found.items()}
    {'dev.raw.a': (('id', 'int'),), 'dev.raw.b': ()}
    """
    found: dict[Relation, list[tuple[str, str]]] = {}
    for database, schema, table, column, kind in rows:
        columns = found.setdefault(Relation.normalised(database, schema, table), [])
        if column is not None:
            columns.append((column.lower(), kind))
    return {relation: tuple(columns) for relation, columns in found.items()}


def select(relation: Relation, *, columns: Sequence[str] | None = None) -> str:
    """The statement that reads a table.

    >>> select(Relation("", "raw", "flights"), columns=["origin"])
    'SELECT "origin" FROM "raw"."flights"'
    """
    wanted = ", ".join(quote(column) for column in columns) if columns else "*"
    return f"SELECT {wanted} FROM {quoted(relation)}"


def quoted(relation: Relation) -> str:
    """The relation for a statement of DuckDB or PostgreSQL.

    >>> quoted(Relation("dev", "raw", "flights"))
    '"dev"."raw"."flights"'
    """
    return ".".join(quote(part) for part in (relation.database, relation.schema, relation.identifier) if part)


def quote(name: str) -> str:
    """A name for a statement."""
    return '"' + name.replace('"', '""') + '"'


def sample_cell(value: Any) -> Any:
    """A value as samples hold it: JSON-ready and short."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    return text if len(text) <= SAMPLE_CELL_CHARS else text[: SAMPLE_CELL_CHARS - 1] + "…"


def _bound(value: Any, *, zoned: bool) -> Any:
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is not None and not zoned:
        return value.replace(tzinfo=None)
    return value.replace(tzinfo=timezone.utc) if value.tzinfo is None and zoned else value


def _shown(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
