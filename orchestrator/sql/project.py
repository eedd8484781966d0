"""Columns of many tables that read each other, each analysed once, and again only when it or what it reads changed.

Tables come upstream first; the columns of one are what `select *` from it means in the next. Answers are kept in one
file: an answer holds as long as the SQL and the columns of the tables that it read are the same, so that an edit
which leaves a table's columns alone analyses one table and no other.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import msgspec

from orchestrator.kept_files import keep
from orchestrator.sql.dialects import Dialect, dialect_of
from orchestrator.sql.model import ANALYZER_VERSION, ColumnRef, Diagnostic, EdgeKind
from orchestrator.sql.schema import Columns, Schema


@dataclass(frozen=True, slots=True)
class SqlHome:
    """The dialect of some SQL, and where names in it that say no more are looked for."""

    dialect: str
    database: str | None = None
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class TableSql:
    """A table and how it is filled."""

    name: str
    """Its relation, normalised and dotted."""
    sql: str | None = None
    added: tuple[tuple[str, str | None, tuple[str, ...]], ...] = ()
    """Columns that come on top of the query's, with their types and the query's columns that they come from."""
    known: Columns | None = None
    """Columns known without SQL."""
    closed: bool = True
    """True when `known` is every column."""
    reason: str = ""
    """Why there is no SQL."""
    home: SqlHome | None = None
    """Where it differs from that of the others."""


class TableColumns(msgspec.Struct, frozen=True, array_like=True):
    """The answer for one table."""

    columns: tuple[tuple[str, str | None], ...] = ()
    closed: bool = False
    sources: dict[str, tuple[tuple[str, str, EdgeKind], ...]] = {}
    """{column: ((table, column or *, how), …)}"""
    indirect: tuple[ColumnRef, ...] = ()
    reads: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


class _Entry(msgspec.Struct, array_like=True):
    text: str
    """Digest of the table as it was given."""
    output: str
    """Digest of its columns."""
    seen: dict[str, str]
    """{table that it read: digest of its columns}"""
    answer: TableColumns


class _Stored(msgspec.Struct, array_like=True):
    versions: str
    whole: str
    entries: dict[str, _Entry]


def analyze_tables(
    tables: Sequence[TableSql],
    *,
    dialect: str,
    default_db: str | None = None,
    default_schema: str | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Mapping[str, TableColumns]:
    """{table: its columns and where they come from}. `tables` must be upstream first. Raises nothing.

    sqlglot is not imported when the file at `cache` has all answers. `progress` hears (done, to do) of those that are
    analysed.
    """
    stored = _read(cache)
    versions = f"{ANALYZER_VERSION} {_sqlglot_version()} {dialect} {default_db} {default_schema}"
    if stored.versions != versions:
        stored = _Stored(versions, "", {})
    texts = [_digest_of(table) for table in tables]
    whole = _digest(*texts)
    if stored.whole == whole:
        return {name: entry.answer for name, entry in stored.entries.items()}
    work = _Work(dialect_of(dialect), default_db, default_schema, stored.entries)
    with _collected_by_hand() as collect:
        for at, (table, text) in enumerate(zip(tables, texts, strict=True)):
            if work.add(table, text):
                collect()
            progress(at + 1, len(tables))
    if cache is not None:
        keep(cache, msgspec.msgpack.encode(_Stored(versions, whole, work.entries)))
    return {name: entry.answer for name, entry in work.entries.items()}


@contextlib.contextmanager
def _collected_by_hand() -> Iterator[Callable[[], object]]:
    """What is yielded frees a tree of SQL that is done with, which the collector may not look for by itself meanwhile.

    Trees are full of cycles. The collector would look at each a dozen times while it grows and is in use, and at all
    answers ever again: a third of the time for 1,000 models, and more for more. A tree that it never looked at is
    young, and collecting the young is cheap.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield lambda: gc.collect(0)
    finally:
        if enabled:
            gc.enable()


class _Work:
    """The tables so far, and what is known about them."""

    def __init__(
        self, dialect: Dialect, default_db: str | None, default_schema: str | None, old: Mapping[str, _Entry]
    ) -> None:
        self.dialect, self.default_db, self.default_schema = dialect, default_db, default_schema
        self.old = old
        self.entries: dict[str, _Entry] = {}
        self.schema = Schema({})
        self.digests: dict[str, str] = {}

    def add(self, table: TableSql, text: str) -> bool:
        """Analyse a table whose digest is `text`, or take the answer from before; True where it was analysed."""
        old = self.old.get(table.name)
        if old is not None and old.text == text and all(self.seen(name) == was for name, was in old.seen.items()):
            entry = old
        else:
            answer = self.analysed(table)
            output = _digest(repr(answer.columns), str(answer.closed))
            entry = _Entry(text, output, {name: self.seen(name) for name in answer.reads}, answer)
        self.entries[table.name] = entry
        parts = tuple(table.name.split("."))
        self.schema.add(parts, entry.answer.columns, closed=entry.answer.closed)
        self.digests[table.name] = entry.output
        return entry is not old

    def seen(self, name: str) -> str:
        """The digest of a table's columns as they are known now; empty for a table that nobody knows."""
        parts = self.schema.find(tuple(name.split(".")))
        return self.digests.get(".".join(parts), "") if parts is not None else ""

    def analysed(self, table: TableSql) -> TableColumns:
        """The answer for a table."""
        if table.sql is None:
            reasons = (table.reason,) if table.reason else ()
            return TableColumns(columns=table.known or (), closed=table.closed and bool(table.known), reasons=reasons)
        from orchestrator.sql.analysis import analyze

        home = table.home or SqlHome(self.dialect.name, self.default_db, self.default_schema)
        found = analyze(
            table.sql,
            dialect=dialect_of(home.dialect).name,
            schema=self.schema,
            default_db=home.database,
            default_schema=home.schema,
        )
        own = table.name
        sources = {
            name: tuple((source, column, found.kinds[name][source, column]) for source, column in refs)
            for name, refs in found.columns.items()
        }
        columns = [(item.name, item.type) for item in found.output]
        for name, kind, origins in table.added:
            folded = self.dialect.column(name)
            columns.append((folded, kind))
            refs = dict.fromkeys((ref[0], ref[1]) for origin in origins for ref in sources.get(origin, ()))
            sources[folded] = tuple((source, column, "expression") for source, column in refs)
        closed = found.complete
        if not closed and table.known and table.closed:
            # The SQL alone does not tell all of them, the warehouse does.
            named = {name.lower() for name, _ in columns}
            columns += [(name, kind) for name, kind in table.known if name.lower() not in named]
        return TableColumns(
            columns=_typed(columns, table.known),
            closed=closed,
            sources=sources,
            indirect=found.indirect,
            reads=tuple(name for name in found.reads if name.lower() != own),
            reasons=found.reasons,
            diagnostics=found.diagnostics,
        )


def _typed(columns: list[tuple[str, str | None]], known: Columns | None) -> tuple[tuple[str, str | None], ...]:
    """With the types that the warehouse knows, where the SQL does not say one."""
    types = {name.lower(): kind for name, kind in known or ()}
    return tuple((name, kind or types.get(name.lower())) for name, kind in columns)


def _digest(*parts: str) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass"))
        digest.update(b"\0")
    return digest.hexdigest()


def _digest_of(table: TableSql) -> str:
    rest = repr((table.name, table.added, table.known, table.closed, table.reason, table.home))
    return _digest(table.sql or "", rest)


def _sqlglot_version() -> str:
    try:
        return metadata.version("sqlglot")
    except metadata.PackageNotFoundError:
        return ""


def _read(file: Path | None) -> _Stored:
    if file is not None:
        try:
            return msgspec.msgpack.decode(file.read_bytes(), type=_Stored)
        except (OSError, UnicodeDecodeError, msgspec.DecodeError):
            pass
    return _Stored("", "", {})


__all__ = ["SqlHome", "TableColumns", "TableSql", "analyze_tables"]
