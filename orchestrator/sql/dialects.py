"""Adapters, dialects, and how each compares names. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

_DIALECTS = {
    "ansi": "",
    "generic": "",
    "postgresql": "postgres",
    "sqlserver": "tsql",
    "mssql": "tsql",
    "synapse": "tsql",
    "fabricspark": "spark",
    "glue": "spark",
    "sparksql": "spark",
    "spark2": "spark",
    "spark3": "spark",
    "motherduck": "duckdb",
    "greenplum": "postgres",
    "vertica": "postgres",
    "cockroachdb": "postgres",
    "netezza": "postgres",
    "alloydb": "postgres",
    "impala": "hive",
    "mariadb": "mysql",
    "tidb": "mysql",
    "sqlite3": "sqlite",
    "non-validating": "",
}
"""{dbt adapter type, or a name that people use: sqlglot's dialect}, where they differ."""


class Fold(Enum):
    """What happens to a name before it is compared."""

    LOWER = auto()
    LOWER_UNQUOTED = auto()
    UPPER_UNQUOTED = auto()
    KEEP = auto()


_COLUMN_FOLDS = {
    "postgres": Fold.LOWER_UNQUOTED,
    "materialize": Fold.LOWER_UNQUOTED,
    "risingwave": Fold.LOWER_UNQUOTED,
    "teradata": Fold.LOWER,
    "snowflake": Fold.UPPER_UNQUOTED,
    "oracle": Fold.UPPER_UNQUOTED,
    "exasol": Fold.UPPER_UNQUOTED,
    "clickhouse": Fold.KEEP,
}
_TABLE_FOLDS = {
    "bigquery": Fold.KEEP,
    "mysql": Fold.KEEP,
    "doris": Fold.KEEP,
    "starrocks": Fold.KEEP,
    "singlestore": Fold.KEEP,
}
"""Where tables are compared in another way than columns."""
_TWO_LEVELS = frozenset(("clickhouse", "doris", "hive", "mysql", "singlestore", "spark", "starrocks"))
"""Dialects without a level above the schema: their databases are schemas."""
_ALIAS_IN_SELECT = frozenset(
    ("clickhouse", "databricks", "doris", "duckdb", "exasol", "redshift", "snowflake", "spark", "teradata", "")
)
_ALIAS_IN_WHERE = frozenset(("clickhouse", "duckdb", "exasol", "redshift", "snowflake", "teradata"))
_ALIAS_IN_HAVING = _ALIAS_IN_SELECT | {"bigquery", "mysql", "sqlite", "hive", "singlestore", "starrocks"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one dialect compares names and which names a clause may use."""

    name: str
    columns: Fold
    tables: Fold
    two_levels: bool
    alias_in_select: bool
    """`select a + 1 as b, b * 2` means the alias where no source has a column `b`."""
    alias_in_where: bool
    alias_in_having: bool
    lateral_subqueries: bool
    """A subquery in FROM may use what stands to its left without saying LATERAL."""
    recursive_unsaid: bool
    """WITH is recursive without the word."""
    arrays_in_from: bool
    """`from t, t.items` unnests a column."""

    def table(self, name: str, *, quoted: bool = False) -> str:
        """A part of a table's name as it is compared."""
        return _folded(name, quoted, self.tables)

    def column(self, name: str, *, quoted: bool = False) -> str:
        """A column's name as it is compared."""
        return _folded(name, quoted, self.columns)


def _folded(name: str, quoted: bool, fold: Fold) -> str:
    match fold:
        case Fold.LOWER:
            return name.lower()
        case Fold.LOWER_UNQUOTED:
            return name if quoted else name.lower()
        case Fold.UPPER_UNQUOTED:
            return name if quoted else name.upper()
        case Fold.KEEP:
            return name


def dialect_of(name: str) -> Dialect:
    """The dialect of an adapter type or a dialect's name.

    >>> dialect_of("sqlserver").name
    'tsql'
    >>> dialect_of("snowflake").column("Total"), dialect_of("snowflake").column("Total", quoted=True)
    ('TOTAL', 'Total')
    """
    known = _DIALECTS.get(name.lower(), name.lower())
    columns = _COLUMN_FOLDS.get(known, Fold.LOWER)
    return Dialect(
        name=known,
        columns=columns,
        tables=_TABLE_FOLDS.get(known, columns),
        two_levels=known in _TWO_LEVELS,
        alias_in_select=known in _ALIAS_IN_SELECT,
        alias_in_where=known in _ALIAS_IN_WHERE,
        alias_in_having=known in _ALIAS_IN_HAVING,
        lateral_subqueries=known in ("duckdb", ""),
        recursive_unsaid=known in ("tsql", "oracle", "teradata", "snowflake", ""),
        arrays_in_from=known in ("bigquery", "redshift", ""),
    )
