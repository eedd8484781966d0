"""What the analyser answers. Standard library only: cached answers are read without opening sqlglot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ANALYZER_VERSION = 2
"""Raised whenever the same SQL would get another answer or fingerprint; what another one has cached is not used."""

ColumnRef = tuple[str, str]
"""(normalised table name, column); the column is `*` where the table's columns are not known."""

EdgeKind = Literal["copy", "rename", "expression", "aggregate", "window", "indirect"]
"""How a column comes from another one: unchanged, under another name, computed, over many rows, over a window; or only
through a filter, a join or a grouping."""

DiagnosticKind = Literal[
    "parse_error", "unknown_column", "ambiguous_column", "unknown_table", "set_operation_columns", "insert_columns"
]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Something that a database would refuse, found without one. `line` and `column` are 1-based."""

    kind: DiagnosticKind
    message: str
    line: int = 1
    column: int = 1
    name: str = ""
    """The name that is wrong, as written; empty where it is not about one name."""
    known: tuple[str, ...] = ()
    """Names that would have been right, for a suggestion."""


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column of what a statement produces, in order; `type` where a cast or the schema says it."""

    name: str
    type: str | None = None


@dataclass(frozen=True, slots=True)
class StatementLineage:
    """One statement of a script."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    columns: Mapping[str, tuple[ColumnRef, ...]] = field(default_factory=dict)
    kinds: Mapping[str, Mapping[ColumnRef, EdgeKind]] = field(default_factory=dict)
    indirect: tuple[ColumnRef, ...] = ()
    output: tuple[OutputColumn, ...] = ()
    complete: bool = True
    """True when `output` is every column that it produces."""


@dataclass(frozen=True, slots=True)
class SqlLineage:
    """What some SQL reads and writes, down to columns. Names are normalised by the dialect's rules.

    `columns` are those of the last statement that writes, or the last query where none does; the statements by
    themselves are in `statements`.
    What could not be analysed is in `reasons`; then `exact` is False, and nothing was guessed in its place.
    """

    reads: tuple[str, ...] = ()
    """Tables and files that are read, without those made and used inside the script."""
    writes: tuple[str, ...] = ()
    """Tables and files that are written, without temporary tables."""
    columns: Mapping[str, tuple[ColumnRef, ...]] = field(default_factory=dict)
    """{output column: (table, column) pairs whose values flow into it}"""
    kinds: Mapping[str, Mapping[ColumnRef, EdgeKind]] = field(default_factory=dict)
    """{output column: {source: how}}, for the pairs of `columns`."""
    indirect: tuple[ColumnRef, ...] = ()
    """Columns that decide which rows there are: filters, joins, groupings, limits by order, distinct."""
    diagnostics: tuple[Diagnostic, ...] = ()
    exact: bool = True
    reasons: tuple[str, ...] = ()
    output: tuple[OutputColumn, ...] = ()
    complete: bool = True
    statements: tuple[StatementLineage, ...] = ()


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Digests of what a query does. Those of other versions than one's own are not compared."""

    raw: str
    tokens: str = ""
    """Of the text without comments and blanks."""
    whole: str = ""
    """Of the tree, with relations replaced by asset keys; empty where it cannot be parsed."""
    rows: str | None = None
    """Of which rows there are; None where it cannot be told in parts."""
    columns: tuple[tuple[str, str], ...] = ()
    """((column, digest of its value), …) in order."""
    volatile_rows: bool = False
    """True where rows depend on the time or on chance."""
    volatile_columns: tuple[str, ...] = ()
    ordered: str = ""
    """Of the ORDER BY of the whole query."""
    reads: str = ""
    """Of the columns of what it reads, by name: when those change the same text may mean something else."""
    reasons: tuple[str, ...] = ()
    """Why it could not be told in parts."""
    analyzer: int = ANALYZER_VERSION
    sqlglot: str = ""

    def comparable(self, other: Fingerprint) -> bool:
        """True if both were taken by the same versions, so that a difference is one of the queries."""
        return (self.analyzer, self.sqlglot) == (other.analyzer, other.sqlglot)


ChangeKind = Literal["unchanged", "metadata", "additive", "partial", "breaking"]


@dataclass(frozen=True, slots=True)
class Change:
    """What an edit means: nothing for the data; only its order; new columns; some columns; possibly everything."""

    kind: ChangeKind
    columns: tuple[str, ...] = ()
    """Of `partial`: the columns that may hold other values than before, or are gone."""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def breaking(self) -> bool:
        """True where everything that reads the table must count as affected."""
        return self.kind == "breaking"


@dataclass(frozen=True, slots=True)
class EventTime:
    """The column by which a table is partitioned; `naive` if it is a date, or a timestamp without time zone."""

    column: str
    naive: bool = False


@dataclass(frozen=True, slots=True)
class Separability:
    """Whether a range at once was proved to give the rows of its partitions one by one; if not, why."""

    proved: bool
    reason: str = ""
