"""What DuckDB itself makes of each model: its SQL, bound against empty tables in memory. Nothing is executed.

The database is made for the purpose and has no access to files, so neither the warehouse nor anything else is opened.
A table whose types are not known gets columns of DuckDB's type "NULL", which fits everywhere; where such a column
decides, DuckDB's complaint about types is not believed. What an empty DuckDB cannot know (macros, extensions, files)
makes a model unchecked, never wrong.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.kept_files import keep
from orchestrator.sql.schema import Columns

BOUND_FILE = "bound.bin"
VERSION = 2
"""Raised whenever the same tables would get other answers."""
_NULL = '"NULL"'
_NAMES = re.compile(
    r"Referenced column|Referenced table|Ambiguous reference|does not have a column named|not found in FROM clause|"
    r"Set operations can only apply|must appear in the GROUP BY|WHERE clause cannot contain|cannot be nested|"
    r"cannot contain (?:aggregates|window)|Duplicate alias|Duplicate (?:table|CTE)|in (?:USING|EXCLUDE|REPLACE|RENAME)"
)
"""Complaints in which no type takes part."""
_BUILT_IN = frozenset(("memory", "system", "temp"))
_UNSAFE_SETTINGS = re.compile(
    r"thread|memory|directory|path|secret|external|extension|http|s3_|proxy|log|progress|profil|lock|allow|version"
)


class Table(msgspec.Struct, frozen=True, array_like=True):
    """A table, and how it is filled."""

    name: tuple[str, str, str]
    """(database, schema, table)"""
    columns: Columns | None = None
    """What is known of its columns; None where they are not all known."""
    sql: str | None = None
    incremental: str | None = None
    """The SQL of an incremental run, where it is another."""
    reads: tuple[tuple[str, str, str], ...] = ()


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """Why DuckDB refuses a query, and where: 1-based, in the SQL that was given."""

    message: str
    line: int
    column: int
    incremental: bool = False
    syntax: bool = False
    name: str = ""
    """The name that is wrong, where it is about one."""
    known: tuple[str, ...] = ()
    """Names that would have been right."""


class Bound(msgspec.Struct, frozen=True, array_like=True):
    """What DuckDB makes of a query: its columns, or why it refuses it, or neither where it could not be asked."""

    columns: tuple[tuple[str, str], ...] | None = None
    refusal: Refusal | None = None
    comparable: bool = True
    """False where the columns depend on rows (PIVOT), so that those of empty tables say nothing."""


class _Stored(msgspec.Struct, array_like=True):
    digest: str
    found: dict[str, Bound]


def bind_tables(
    tables: Mapping[str, Table],
    *,
    default: tuple[str, str],
    settings: Mapping[str, Any] | None = None,
    extensions: Sequence[str] = (),
    cache: Path | None = None,
) -> Mapping[str, Bound]:
    """{id: what DuckDB says} of the tables that have SQL. `tables` must be upstream first; `default` is the database
    and schema of names without one. DuckDB is not imported when the file at `cache` has the answers."""
    described = [dict(tables), default, sorted((settings or {}).items(), key=str), list(extensions)]
    digest = hashlib.blake2b(msgspec.msgpack.encode([VERSION, _duckdb_version(), described], enc_hook=str))
    stored = _read(cache)
    if stored is not None and stored.digest == digest.hexdigest():
        return stored.found
    binder = _Binder(default, settings or {}, extensions)
    try:
        found = {name: bound for name, table in tables.items() if (bound := binder.add(table)) is not None}
    finally:
        binder.close()
    if cache is not None:
        keep(cache, msgspec.msgpack.encode(_Stored(digest.hexdigest(), found)))
    return found


class _Binder:
    """An empty database that the tables are made in."""

    def __init__(self, default: tuple[str, str], settings: Mapping[str, Any], extensions: Iterable[str]) -> None:
        import duckdb

        self._error = duckdb.Error
        self._refusals = {duckdb.BinderException: False, duckdb.ParserException: True}
        safe = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "threads": "1"}
        self._connection = duckdb.connect(":memory:", config=safe)
        self._schemas: set[tuple[str, str]] = set()
        self._databases = set(_BUILT_IN)
        self._made: dict[tuple[str, str, str], bool] = {}
        """{table: whether all its types are known}"""
        for extension in extensions:
            self._try(f"LOAD {_quoted(extension)}")
        # A syntax that an extension brings is none that an empty DuckDB could refuse.
        self._knows_syntax = not list(extensions)
        for name, value in settings.items():
            if not _UNSAFE_SETTINGS.search(name) and re.fullmatch(r"\w+", name):
                self._try(f"SET {name} = '{str(value).replace(chr(39), chr(39) * 2)}'")
        self._try("SET errors_as_json = true")
        self._try("SET enable_external_access = false")
        if default[0] and default[1]:
            self._schema(*default)
            self._try(f"USE {_quoted(default[0])}.{_quoted(default[1])}")

    def close(self) -> None:
        self._connection.close()

    def add(self, table: Table) -> Bound | None:
        """Make the table, and say what DuckDB makes of its SQL, if it has any."""
        if table.sql is None or any(read not in self._made for read in table.reads):
            self._make(table.name, table.columns)
            return None if table.sql is None else Bound()
        typed = all(self._made[read] for read in table.reads)
        bound = self._bound(table.sql, typed=typed)
        columns: Columns | None = table.columns
        if bound.columns is not None:
            more = len(table.columns or ()) - len(bound.columns)  # what dbt adds to a snapshot's query comes last
            columns = (*bound.columns, *((table.columns or ())[-more:] if more > 0 else ()))
        self._make(table.name, columns)
        if bound.columns is not None and table.incremental is not None and table.name in self._made:
            again = self._bound(table.incremental, typed=typed and self._made[table.name])
            if again.refusal is not None:
                return Bound(bound.columns, msgspec.structs.replace(again.refusal, incremental=True), bound.comparable)
        return bound

    def _bound(self, sql: str, *, typed: bool) -> Bound:
        comparable = not re.search(r"\bpivot\b", sql, re.IGNORECASE)
        before, text = "DESCRIBE\n", sql.strip().rstrip(";")
        try:
            if ";" in text and len(self._connection.extract_statements(text)) != 1:
                return Bound()  # the second statement would be executed
            rows = self._connection.execute(before + text).fetchall()
        except self._error as exc:
            syntax = next((syntax for kind, syntax in self._refusals.items() if isinstance(exc, kind)), None)
            if syntax is None or (syntax and (not self._knows_syntax or self._is_parsed(text))):
                return Bound()
            return Bound(refusal=_refusal(str(exc), before, sql, typed=typed, syntax=syntax))
        return Bound(tuple((str(row[0]), str(row[1])) for row in rows), comparable=comparable)

    def _is_parsed(self, sql: str) -> bool:
        """True for what is no query that can be described, and correct all the same."""
        try:
            self._connection.extract_statements(sql)
        except self._error:
            return False
        return True

    def _make(self, name: tuple[str, str, str], columns: Columns | None) -> None:
        self._made.pop(name, None)
        if not columns or not self._schema(*name[:2]):
            return
        types = [None if kind is None or kind == _NULL else kind for _, kind in columns]
        # Types of another spelling (YAML says `string`) or of the user's own are not known here.
        for known in (types, [None] * len(types)):
            listed = ", ".join(
                f"{'NULL' if kind is None else f'NULL::{kind}'} AS {_quoted(column)}"
                for (column, _), kind in zip(columns, known, strict=True)
            )
            if self._try(f"CREATE OR REPLACE VIEW {'.'.join(map(_quoted, name))} AS SELECT {listed} WHERE false"):
                self._made[name] = None not in known
                return

    def _schema(self, database: str, schema: str) -> bool:
        if (database, schema) in self._schemas:
            return True
        if database not in self._databases and not self._try(f"ATTACH ':memory:' AS {_quoted(database)}"):
            return False
        self._databases.add(database)
        if not self._try(f"CREATE SCHEMA IF NOT EXISTS {_quoted(database)}.{_quoted(schema)}"):
            return False
        self._schemas.add((database, schema))
        return True

    def _try(self, statement: str) -> bool:
        try:
            self._connection.execute(statement)
        except self._error:
            return False
        return True


def _refusal(text: str, before: str, sql: str, *, typed: bool, syntax: bool) -> Refusal | None:
    """The complaint in DuckDB's JSON; None where it may be due to types that are not known."""
    try:
        told = json.loads(text[text.index("{") :])
        message, position = str(told["exception_message"]), int(told.get("position") or len(before))
        name = str(told.get("name") or "") if told.get("error_subtype") == "COLUMN_NOT_FOUND" else ""
        known = tuple(str(told.get("candidates") or "").split(",")) if name else ()
    except (ValueError, KeyError, TypeError):
        message, position, name, known = text, len(before), "", ()
    first = message.strip().splitlines()[0].rstrip("!.")
    if not syntax and not typed and not _NAMES.search(first):
        return None
    lead = len(sql) - len(sql.lstrip())
    offset = lead + len(sql.strip().encode()[: max(0, position - len(before))].decode(errors="ignore"))
    line = sql.count("\n", 0, offset) + 1
    return Refusal(first, line, offset - (sql.rfind("\n", 0, offset) + 1) + 1, syntax=syntax, name=name, known=known)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _duckdb_version() -> str:
    try:
        return metadata.version("duckdb")
    except metadata.PackageNotFoundError:
        return ""


def _read(file: Path | None) -> _Stored | None:
    try:
        return msgspec.msgpack.decode(file.read_bytes(), type=_Stored) if file is not None else None
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        return None


__all__ = ["BOUND_FILE", "Bound", "Refusal", "Table", "bind_tables"]
