"""What an edit is called, held against data: rows and columns called untouched are the same before and after.

Random projects are built on DuckDB, before and after a random edit of one model. What `classify` says of that model
and of each that reads it, with column lineage between them, tells which columns may hold other values; all others must
be the same, row for row.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import pytest

from orchestrator.sql import Change, Fingerprint, SqlLineage, analyze, classify, fingerprint
from tests.unit.sql.random_projects import BASE, Maker, Model, base_tables

MAX_ROWS = 3_000
LONGEST_S = 20
"""Joins of joins of joins: such a model counts as refused."""
ALL = None
"""In place of a set of columns: rows may differ."""


@dataclass
class Built:
    """A project after a run."""

    tables: dict[str, tuple[list[str], list[tuple[object, ...]]]] = field(default_factory=dict)
    """{model: (columns, rows)}; without those that the database refused"""
    lineage: dict[str, SqlLineage] = field(default_factory=dict)
    fingerprints: dict[str, Fingerprint] = field(default_factory=dict)


@dataclass
class Tally:
    edits: Counter[str] = field(default_factory=Counter)
    breaking_without_need: Counter[str] = field(default_factory=Counter)
    without_effect: int = 0
    compared: int = 0

    def __str__(self) -> str:
        kinds = ", ".join(f"{amount} {kind}" for kind, amount in self.edits.most_common())
        called = sum(self.breaking_without_need.values())
        return (
            f"{sum(self.edits.values())} edits: {kinds}\n{self.compared} untouched columns compared\n"
            f"{self.without_effect} changed nothing in the data, {called} of them were called breaking: "
            f"{dict(self.breaking_without_need.most_common())}"
        )


def build(connection: duckdb.DuckDBPyConnection, sqls: Mapping[str, str]) -> Built:
    """Run the models in order and analyse them, each with the columns that those before it turned out to have."""
    built = Built()
    schema = {name: [column for column, _ in columns] for name, columns in BASE.items()}
    for name, sql in sqls.items():
        connection.execute(f"drop table if exists {name}")
        if not _made(connection, name, sql):
            continue
        found = connection.execute(f"select * from {name}")
        columns = [item[0].lower() for item in found.description]
        built.tables[name] = (columns, found.fetchall())
        built.lineage[name] = analyze(sql, dialect="duckdb", schema=schema)
        built.fingerprints[name] = fingerprint(sql, dialect="duckdb", schema=schema)
        schema[name] = columns
    return built


def _made(connection: duckdb.DuckDBPyConnection, name: str, sql: str) -> bool:
    """False where the database refuses the model, or where it would multiply rows without end."""
    guard = threading.Timer(LONGEST_S, connection.interrupt)
    guard.start()
    try:
        counted = connection.execute(f"select count(*) from (select 1 from ({sql}) limit {MAX_ROWS + 1})").fetchone()
        if counted is None or counted[0] > MAX_ROWS:
            return False
        connection.execute(f"create table {name} as {sql}")
    except duckdb.Error:
        return False
    finally:
        guard.cancel()
    return True


def touched_by(before: Built, after: Built, edited: str) -> dict[str, tuple[Change, set[str] | None]]:
    """{model: (what its edit is called, columns that may differ; ALL when any row may)}"""
    found: dict[str, tuple[Change, set[str] | None]] = {}
    for name, new in after.fingerprints.items():
        if name not in before.fingerprints:
            found[name] = (Change("breaking"), ALL)
            continue
        change = classify(before.fingerprints[name], new)
        touched: set[str] | None = ALL if change.breaking else {column.lower() for column in change.columns}
        lineage = after.lineage[name]
        changed = {table: what for table, (_, what) in found.items() if what is ALL or what}
        read = [table for table in lineage.reads if table in changed]
        if any(changed[table] is ALL for table in read) or (read and not lineage.exact):
            touched = ALL
        if touched is not None:
            if any(_hit(ref, changed) for ref in lineage.indirect):
                touched = ALL
            else:
                touched |= {
                    column for column, refs in lineage.columns.items() if any(_hit(ref, changed) for ref in refs)
                }
        found[name] = (change, touched)
    return found


def _hit(ref: tuple[str, str], changed: Mapping[str, set[str] | None]) -> bool:
    table, column = ref
    touched = changed.get(table) or set()
    return bool(touched) and (column == "*" or column.lower() in touched)


def _rows(table: tuple[list[str], list[tuple[object, ...]]], columns: Sequence[str]) -> Counter[str]:
    names, rows = table
    places = [names.index(column) for column in columns]
    return Counter(repr([row[place] for place in places]) for row in rows)


def check(seed: int, tally: Tally, connection: duckdb.DuckDBPyConnection) -> None:
    """One project, one edit."""
    rng = random.Random(seed)
    for statement in base_tables(rng):
        connection.execute(statement)
    maker = Maker(rng)
    models = maker.project()
    old = {model.name: model.sql() for model in models}
    before = build(connection, old)
    candidates = [model for model in models if model.name in before.tables]
    if not candidates:
        return
    done = _edited(maker, rng.choice(candidates), connection, old)
    if done is None:
        return
    name, what, sql = done
    after = build(connection, {**old, name: sql})
    if name not in after.tables:
        return
    story = f"seed {seed}: {what}\n" + "\n".join(f"{key}: {text}" for key, text in old.items()) + f"\n{name} → {sql}"
    found = touched_by(before, after, name)
    change = found[name][0]
    tally.edits[change.kind] += 1
    same = before.tables[name][0] == after.tables[name][0] and _equal(before, after, name)
    if same:
        tally.without_effect += 1
        if change.breaking:
            tally.breaking_without_need[what] += 1
    if change.kind in ("unchanged", "metadata"):
        assert same, f"{change.kind}, but rows differ\n{story}"
    for table, (its_change, touched) in found.items():
        if touched is ALL:
            continue
        assert len(before.tables[table][1]) == len(after.tables[table][1]), f"rows of {table}: {its_change}\n{story}"
        columns = [c for c in before.tables[table][0] if c in after.tables[table][0] and c not in touched]
        if len(set(columns)) < len(columns):
            continue
        tally.compared += len(columns)
        assert _rows(before.tables[table], columns) == _rows(after.tables[table], columns), (
            f"{table} differs in one of {columns}: {its_change}\n{story}"
        )


def _equal(before: Built, after: Built, name: str) -> bool:
    return Counter(map(repr, before.tables[name][1])) == Counter(map(repr, after.tables[name][1]))


def _edited(
    maker: Maker, model: Model, connection: duckdb.DuckDBPyConnection, old: Mapping[str, str]
) -> tuple[str, str, str] | None:
    """(model, what was done, SQL) of an edit that the database takes."""
    for _ in range(12):
        what, sql = maker.edit(model)
        if sql == old[model.name]:
            continue
        try:
            connection.execute(f"explain {sql}")
        except duckdb.Error:
            continue
        return model.name, what, sql
    return None


def run(seeds: range) -> Tally:
    tally = Tally()
    with duckdb.connect(config={"threads": 1}) as connection:
        for seed in seeds:
            check(seed, tally, connection)
    return tally


def test_what_is_called_untouched_is_the_same_row_for_row(capsys: pytest.CaptureFixture[str]) -> None:
    tally = run(range(300))
    with capsys.disabled():
        print(f"\n{tally}")
    assert sum(tally.edits.values()) > 200
    assert tally.edits["breaking"] < sum(tally.edits.values()) * 0.75  # a classifier that always gives up is sound too


__all__ = ["Tally", "build", "run", "touched_by"]
