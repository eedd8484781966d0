"""What one analysis knows and has found so far, shared by all its parts."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.errors import SqlglotError

from orchestrator.sql.dialects import Dialect
from orchestrator.sql.model import Diagnostic, DiagnosticKind
from orchestrator.sql.relations import Relation
from orchestrator.sql.schema import Schema

if TYPE_CHECKING:
    from orchestrator.sql.scope import Scope

_SCHEMAS_UNSAID = {"tsql": "dbo", "duckdb": "main"}
MAX_DEPTH = 120
"""Queries inside queries. Python's own stack ends at about three times as many."""
MAX_WORK = 400_000
"""Columns resolved and expanded in one analysis; real scripts stay below a tenth."""


STUMBLES = (SqlglotError, ValueError, TypeError, AttributeError, IndexError, KeyError)
"""What sqlglot, and we on its trees, fail with over texts that are no SQL but look like it."""
NOT_FOLLOWED = "it is put together in a way that is not understood"


class TooLargeError(Exception):
    """The analysis would take too long; what was found until then is not used."""


@dataclass
class Walk:
    """The state of one analysis."""

    sql: str
    dialect: Dialect
    schema: Schema
    default_db: str | None = None
    default_schema: str | None = None
    reads: dict[str, None] = field(default_factory=dict)
    writes: dict[str, None] = field(default_factory=dict)
    reasons: dict[str, None] = field(default_factory=dict)
    diagnostics: dict[Diagnostic, None] = field(default_factory=dict)
    made: dict[str, Relation] = field(default_factory=dict)
    """{table made earlier in the script: its columns}"""
    temporary: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    """Tables that the script made and then read."""
    dropped: set[str] = field(default_factory=set)
    """Tables that the script made and dropped again."""
    written_before: dict[str, None] = field(default_factory=dict)
    """What earlier statements of the script wrote."""
    variables: set[str] = field(default_factory=set)
    """Names that the script declares."""
    procedural: bool = False
    """True inside a routine: names that no table has are its variables."""
    places: bool = False
    """True to note of each column which of the relations in FROM it is of; fingerprints need that."""
    depth: int = 0
    work: int = 0
    offset: int = 0
    """Where the statement begins in the script, for those whose places count from their own beginning."""
    _lines: list[int] | None = None

    @cached_property
    def has_columns_call(self) -> bool:
        """True where the text may call COLUMNS()."""
        return self.dialect.name in ("duckdb", "clickhouse", "") and "columns" in self.sql.lower()

    def unsure(self, reason: str) -> None:
        """Note why the answer is not exact."""
        self.reasons[reason] = None

    def spend(self, amount: int) -> None:
        """Count work. Raises TooLargeError."""
        self.work += amount
        if self.work > MAX_WORK:
            raise TooLargeError(f"it has more than {MAX_WORK:,} columns to follow")

    def complain(
        self, kind: DiagnosticKind, message: str, node: exp.Expr | None, *, name: str = "", known: Sequence[str] = ()
    ) -> None:
        """Note a fault at the place of `node`."""
        line, column = self.position(node)
        self.diagnostics[Diagnostic(kind, message, line, column, name, tuple(known))] = None

    def position(self, node: exp.Expr | None) -> tuple[int, int]:
        """(line, column) of a node, both 1-based; of the first name in it where it has no place of its own."""
        return self.place(_start(node) + self.offset)

    def place(self, start: int) -> tuple[int, int]:
        """(line, column) of a character."""
        if self._lines is None:
            self._lines = [0, *(at + 1 for at, char in enumerate(self.sql) if char == "\n")]
        line = bisect_right(self._lines, start)
        return line, start - self._lines[line - 1] + 1

    # Tables

    def parts(self, node: exp.Table) -> tuple[str, ...]:
        """The normalised name of a table, completed with the defaults: (database, schema, table), as far as known."""
        names = [part for part in (node.args.get("catalog"), node.args.get("db"), node.this) if part is not None]
        if len(names) == 3 and names[1] == "":  # shop..orders
            names[1] = exp.to_identifier(_SCHEMAS_UNSAID.get(self.dialect.name, "public"))
        quoted = [name for name in names if isinstance(name, (exp.Identifier, exp.Dot, exp.Var))]
        folded = [part for name in quoted for part in self._part(name)]
        return self.completed(folded)

    def _part(self, name: exp.Expr) -> list[str]:
        if isinstance(name, exp.Dot):
            return [part for side in (name.this, name.expression) for part in self._part(side)]
        text = name.name
        if self.dialect.name == "bigquery" and "$" in text:
            text = text.partition("$")[0]  # a partition of the table: t$20240131
        return [self.dialect.table(text, quoted=bool(name.args.get("quoted")))]

    def completed(self, parts: Sequence[str]) -> tuple[str, ...]:
        """A name with the default schema and database before it, where it has none of its own."""
        complete = tuple(parts)
        if len(complete) == 1 and self.default_schema:
            complete = (self.default_schema, *complete)
        elif len(complete) == 1 and self.default_db:
            return (self.default_db, *complete)
        if len(complete) == 2 and self.default_db and not self.dialect.two_levels:
            complete = (self.default_db, *complete)
        return complete

    def read(self, parts: tuple[str, ...]) -> Relation:
        """The columns of a table that is read; noted as read unless the script made it."""
        made = self.made.get(".".join(parts))
        if made is not None:
            self.used.add(".".join(parts))
            return made
        self.reads[".".join(parts)] = None
        return self.relation(parts)

    def relation(self, parts: tuple[str, ...]) -> Relation:
        """The columns of a table as the schema knows them, or not known."""
        return self.schema.relation(parts)

    def written(self) -> list[str]:
        """What is written in the end: without temporary tables that only passed rows on, and what was dropped again."""
        passed_on = self.dropped | (self.temporary & self.used)
        return sorted(name for name in self.writes if name not in passed_on)

    def read_file(self, path: str) -> Relation:
        """The columns of a file, which nobody knows."""
        self.reads[path] = None
        return self.schema.relation((path,))


@dataclass(slots=True)
class Environment:
    """Names of common table expressions, and the scope around."""

    ctes: dict[str, Relation] = field(default_factory=dict)
    scalars: dict[str, exp.Expr] = field(default_factory=dict)
    """ClickHouse's `with 1 as x`."""
    parent: Scope | None = None

    def cte(self, walk: Walk, name: str) -> Relation | None:
        """The common table expression of that name, which is used from now on."""
        found = self.ctes.get(name)
        if found is not None:
            walk.reads.update(dict.fromkeys(found.reads))
        return found

    def inside(self, parent: Scope | None) -> Environment:
        """The same names, seen from within `parent`."""
        return Environment(self.ctes, self.scalars, parent)


def _start(node: exp.Expr | None) -> int:
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if found is None:
            continue
        if (start := found.meta.get("start")) is not None:
            return int(start)
        if len(waiting) < 200:
            waiting += reversed(list(found.iter_expressions()))
    return 0
