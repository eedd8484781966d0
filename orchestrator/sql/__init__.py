"""What SQL says: tables, columns, diagnostics, fingerprints. The only home of sqlglot.

In comes SQL as a database gets it, with the columns of the tables it reads; out comes what it reads and writes, down to
columns, or the reason why that cannot be told. Pure: no file, no database. Importing this package does not import
sqlglot; calling it does. May import `definitions`, `errors` and `kept_files` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.sql.model import (
    Change,
    Diagnostic,
    EventTime,
    Fingerprint,
    OutputColumn,
    Separability,
    SqlLineage,
    StatementLineage,
)

if TYPE_CHECKING:
    from orchestrator.sql.schema import Schema


def analyze(
    sql: str,
    *,
    dialect: str,
    schema: Mapping[str, Any] | Schema | None = None,
    default_db: str | None = None,
    default_schema: str | None = None,
) -> SqlLineage:
    """What `sql` reads and writes, and where each output column comes from. Never raises on SQL, however wrong.

    `dialect` is a dialect's name or a dbt adapter type. `schema` is {table: {column: type}} or {table: [column]},
    nested or with dotted names; tables that are not in it are analysed as far as possible. `default_db` and
    `default_schema` complete unqualified names.

    >>> found = analyze("select o.id, sum(o.amount) as total from orders o group by o.id", dialect="duckdb")
    >>> found.reads, dict(found.columns)
    (('orders',), {'id': (('orders', 'id'),), 'total': (('orders', 'amount'),)})
    """
    from orchestrator.sql.analysis import analyze as run

    return run(sql, dialect=dialect, schema=schema, default_db=default_db, default_schema=default_schema)


def fingerprint(
    sql: str,
    *,
    dialect: str,
    schema: Mapping[str, Any] | Schema | None = None,
    default_db: str | None = None,
    default_schema: str | None = None,
    relations: Mapping[str, str] | None = None,
) -> Fingerprint:
    """What a query does, as digests of its rows and of each column; how it is written does not count.

    `relations` is {normalised relation: asset key}, so that two targets do not differ. Never raises on SQL.
    """
    from orchestrator.sql.fingerprints import fingerprint as run

    return run(
        sql,
        dialect=dialect,
        schema=schema,
        default_db=default_db,
        default_schema=default_schema,
        relations=relations,
    )


def classify(
    old: str | Fingerprint,
    new: str | Fingerprint,
    *,
    dialect: str = "",
    schema: Mapping[str, Any] | None = None,
    relations: Mapping[str, str] | None = None,
) -> Change:
    """What an edit means for those who read the table. Where it is not sure the answer is `breaking`.

    >>> classify("select a from t", "select a, b from t", dialect="duckdb", schema={"t": ["a", "b"]}).kind
    'additive'
    """
    from orchestrator.sql.changes import classify as run

    return run(old, new, dialect=dialect, schema=schema, relations=relations)


def prove_separable(
    sql: str,
    *,
    dialect: str,
    inputs: Mapping[str, EventTime],
    output: str,
    grain: Literal["hour", "day", "week", "month", "quarter", "year"],
    schema: Mapping[str, tuple[str, ...]] | None = None,
) -> Separability:
    """Whether a query over a range of partitions gives the rows that it gives over each of them. See `separability`."""
    from orchestrator.sql.separability import prove_separable as run

    return run(sql, dialect=dialect, inputs=inputs, output=output, grain=grain, schema=schema)


__all__ = [
    "Change",
    "Diagnostic",
    "EventTime",
    "Fingerprint",
    "OutputColumn",
    "Separability",
    "SqlLineage",
    "StatementLineage",
    "analyze",
    "classify",
    "fingerprint",
    "prove_separable",
]
