"""DuckDB as the oracle: what changes when one input column changes must have that column in its lineage."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import duckdb

from orchestrator.sql import SqlLineage, analyze
from tests.unit.sql.random_queries import TABLES, Generator, random_rows, random_value

TRIALS = 5
Rows = list[tuple[object, ...]]


class Warehouse:
    """The tables, and for each column and trial a schema in which that column alone has other values."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.connection = duckdb.connect()
        self.connection.execute("set threads = 1")
        self.base = {table: random_rows(self.rng, table) for table in TABLES}
        for table, rows in self.base.items():
            self._create("main", table, rows)
        for table, columns in TABLES.items():
            for at, column in enumerate(columns):
                for trial in range(TRIALS):
                    self._variant(table, at, column, trial)

    def _create(self, schema: str, table: str, rows: list[list[object]]) -> None:
        columns = ", ".join(f"{name} {kind}" for name, kind in TABLES[table].items())
        self.connection.execute(f"create table {schema}.{table} ({columns})")
        self.connection.executemany(f"insert into {schema}.{table} values ({', '.join('?' * len(rows[0]))})", rows)

    def _variant(self, table: str, at: int, column: str, trial: int) -> None:
        schema = f"{table}_{column}_{trial}"
        self.connection.execute(f"create schema {schema}")
        for other in TABLES:
            if other != table:
                self.connection.execute(f"create view {schema}.{other} as from main.{other}")
        values = self._perturbed(table, at, trial)
        rows = [[*row[:at], value, *row[at + 1 :]] for row, value in zip(self.base[table], values, strict=True)]
        self._create(schema, table, rows)

    def _perturbed(self, table: str, at: int, trial: int) -> list[object]:
        kind = list(TABLES[table].values())[at]
        values = [row[at] for row in self.base[table]]
        if kind == "INTEGER" and at == 0:  # an id stays unique
            match trial:
                case 0 | 1:
                    return self.rng.sample(values, len(values))
                case 2:
                    return [value + 7 for value in values]  # type: ignore[operator]
            return list(self.rng.sample(range(20), len(values)))
        match trial:
            case 0:
                return self.rng.sample(values, len(values))
            case 1:
                return [random_value(self.rng, kind) for _ in values]
            case 2:
                chosen = self.rng.randrange(len(values))
                return [random_value(self.rng, kind) if i == chosen else value for i, value in enumerate(values)]
            case 3:
                return [None if self.rng.random() < 0.4 else value for value in values]
        return [random_value(self.rng, kind) for _ in values]

    def run(self, sql: str, schema: str = "main") -> Rows | None:
        """The rows, or None where the query fails on these values."""
        self.connection.execute(f"use {schema}")
        try:
            return self.connection.execute(sql).fetchall()
        except duckdb.Error:
            return None
        finally:
            self.connection.execute("use main")

    def describe(self, sql: str) -> list[str]:
        """The names of the columns that a query produces."""
        return [row[0] for row in self.connection.execute(f"describe {sql}").fetchall()]


@dataclass
class Tally:
    """What came out over many queries."""

    queries: int = 0
    inexact: list[str] = field(default_factory=list)
    claims: int = 0
    never: int = 0
    indirect_claims: int = 0
    indirect_never: int = 0
    misses: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def check(warehouse: Warehouse, sql: str, tally: Tally, *, measure: bool) -> None:
    """Compare the analysis of one query with what DuckDB does."""
    found = analyze(sql, dialect="duckdb", schema=TABLES)
    tally.queries += 1
    names = warehouse.describe(sql)
    ours = [item.name for item in found.output]
    if [name.lower() for name in names] != [name.lower() for name in ours]:
        tally.names.append(f"DuckDB {names}, we {ours}: {sql}")
        return
    if found.diagnostics:
        tally.complaints.append(f"{found.diagnostics[0].message}: {sql}")
    if not found.exact:
        tally.inexact.append(f"{found.reasons}: {sql}")
    base = warehouse.run(sql)
    assert base is not None
    for table, columns in TABLES.items():
        if table in sql:
            for column in columns:
                _perturb(warehouse, sql, (table, column), names, found, base, tally, measure=measure)


def _perturb(
    warehouse: Warehouse,
    sql: str,
    source: tuple[str, str],
    names: Sequence[str],
    found: SqlLineage,
    base: Rows,
    tally: Tally,
    *,
    measure: bool,
) -> None:
    decides = source in found.indirect
    if decides and not measure:
        return
    claimed = [at for at, name in enumerate(names) if source in found.columns[name.lower()]]
    untouched = [at for at in range(len(names)) if at not in claimed]
    expected = _projected(base, untouched)
    changed: set[int] = set()
    any_change = False
    for trial in range(TRIALS):
        rows = warehouse.run(sql, f"{source[0]}_{source[1]}_{trial}")
        if rows is None:
            continue
        any_change = any_change or _projected(rows, range(len(names))) != _projected(base, range(len(names)))
        if not decides and (len(rows) != len(base) or _projected(rows, untouched) != expected):
            wrong = [names[at] for at in untouched if _projected(rows, [at]) != _projected(base, [at])]
            tally.misses.append(f"{'.'.join(source)} changes {wrong or 'rows'}: {sql}")
            return
        changed.update(at for at in claimed if at not in changed and _projected(rows, [at]) != _projected(base, [at]))
    if measure:
        tally.claims += len(claimed)
        tally.never += len(claimed) - len(changed)
        tally.indirect_claims += decides
        tally.indirect_never += decides and not any_change


def _projected(rows: Rows, columns: Sequence[int] | range) -> Counter[str]:
    return Counter(repr([row[at] for at in columns]) for row in rows)


def tallied(seed: int, queries: int) -> Tally:
    """Many queries over one warehouse."""
    warehouse = Warehouse(seed)
    generator = Generator(random.Random(seed), warehouse.connection)
    tally = Tally()
    for number in range(queries):
        check(warehouse, generator.query(), tally, measure=number % 4 == 0)
    return tally


def _report(tally: Tally) -> Iterator[str]:
    yield f"{tally.queries} queries, {len(tally.misses)} misses, {len(tally.names)} with other names,"
    yield f"{len(tally.inexact)} not exact, {len(tally.complaints)} false diagnostics;"
    yield f"never seen to matter: {tally.never} of {tally.claims} direct, {tally.indirect_never} of {tally.indirect_claims} indirect"


def expect_sound(tally: Tally) -> None:
    """Nothing was missed, and nothing complained about in vain."""
    print("\n" + " ".join(_report(tally)))
    assert not tally.misses, "\n".join(tally.misses[:20])
    assert not tally.names, "\n".join(tally.names[:20])
    assert not tally.complaints, "\n".join(tally.complaints[:20])
    assert not tally.inexact, "\n".join(tally.inexact[:20])


def test_what_changes_is_in_the_lineage() -> None:
    expect_sound(tallied(1, 150))
