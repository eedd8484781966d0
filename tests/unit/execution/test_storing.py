"""What a function returned is stored whole or not at all, and what cannot be stored says what to return."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Materialization
from orchestrator.definitions.events import ColumnInfo
from orchestrator.definitions.keys import Relation
from orchestrator.errors import ClaimLostError, ExecutionError
from orchestrator.execution.storing import Destination, refuse_unrun, store
from orchestrator.resources.database import Scope
from orchestrator.resources.duckdb import DuckDBFile

FLIGHTS = Relation("", "raw", "flights")


@pytest.fixture
def to(tmp_path: Path) -> Iterator[Destination]:
    database = DuckDBFile(tmp_path / "dev.duckdb")
    yield Destination(database, FLIGHTS, lambda: None, database.connect)
    database.close()


def rows(to: Destination) -> list[tuple[Any, ...]]:
    return to.database.execute(to.connect(), "select * from raw.flights order by all")


def test_a_frame_is_stored_and_looked_at(to: Destination) -> None:
    assert store([{"id": 1}, {"id": 2}], to) == Materialization(
        rows=2, columns=(ColumnInfo("id", "BIGINT"),), sample={"columns": ["id"], "rows": [[1], [2]]}
    )


def test_a_generator_is_stored_in_one_transaction(to: Destination) -> None:
    store([{"id": 0}], to)
    seen: list[Any] = []

    def parts() -> Iterator[Any]:
        for number in (1, 2, 3):
            seen.append(rows(to))
            yield [{"id": number}]

    assert store(parts(), to).rows == 3
    assert seen == [[(0,)], [(0,)], [(0,)]]  # others see the old rows until all the new ones are there
    assert rows(to) == [(1,), (2,), (3,)]


def test_an_async_generator_is_stored_too(to: Destination) -> None:
    import asyncio

    ended: list[str] = []

    async def parts() -> AsyncIterator[Any]:
        try:
            for number in (1, 2):
                await asyncio.sleep(0)
                yield [{"id": number}]
        finally:
            await asyncio.sleep(0)
            ended.append("closed")

    assert store(parts(), to).rows == 2
    assert (rows(to), ended) == ([(1,), (2,)], ["closed"])


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_generator_that_fails_leaves_the_old_rows_and_is_closed(to: Destination, asynchronous: bool) -> None:
    store([{"id": 0}], to)
    ended: list[str] = []

    def plain() -> Iterator[Any]:
        try:
            yield [{"id": 1}]
            yield [{"id": "not a number"}]
            yield [{"id": 3}]
        finally:
            ended.append("closed")

    async def awaited() -> AsyncIterator[Any]:
        try:
            for item in plain():
                yield item
        finally:
            ended.append("closed, too")

    with pytest.raises(Exception, match="not a number") as kept:
        store(awaited() if asynchronous else plain(), to)
    assert kept.value.__traceback__ is not None  # which holds the generator's frame: it was closed, not collected
    assert ended[-1] == ("closed, too" if asynchronous else "closed")
    assert rows(to) == [(0,)]


def test_batches_may_leave_columns_out_but_not_bring_new_ones(to: Destination) -> None:
    assert store(iter([[{"id": 1, "origin": "JFK"}], [{"id": 2}], []]), to).rows == 2
    assert rows(to) == [(1, "JFK"), (2, None)]
    with pytest.raises(ExecutionError) as raised:
        store(iter([[{"id": 1}], [{"id": 2, "origin": "JFK"}]]), to)
    assert str(raised.value) == (
        "ExecutionError: a batch for raw.flights has the column 'origin', which the table has not\n"
        "  fix: yield batches with the same columns"
    )


def test_a_generator_without_batches_is_refused_for_a_table_and_empties_a_scope(to: Destination) -> None:
    with pytest.raises(ExecutionError) as raised:
        store(iter(()), to)
    assert str(raised.value) == (
        "ExecutionError: no rows came for raw.flights, and so no columns of which the table could be made\n"
        "  fix: return an empty frame that has columns, such as an empty pyarrow.Table with a schema"
    )
    slot = Destination(to.database, FLIGHTS, to.before_commit, to.connect, Scope((("id", 1),)))
    store([{"id": 1}], slot)
    assert store(iter(()), slot).rows == 0


def test_nothing_is_refused(to: Destination) -> None:
    with pytest.raises(ExecutionError) as raised:
        store(None, to)
    assert str(raised.value) == (
        "ExecutionError: the function returned nothing, so raw.flights was not written\n"
        "  fix: return a pyarrow.Table, a pandas or polars DataFrame, a DuckDB relation, a list of dicts, or a "
        "generator of these; or Materialization(rows=…) where the function has stored the rows itself"
    )


def test_a_materialization_says_that_the_rows_are_stored_already(to: Destination) -> None:
    to.database.execute(to.connect(), "create schema raw")
    to.database.execute(to.connect(), "create table raw.flights as select 1 as id union all select 2")
    assert store(Materialization(metadata={"files": 3}), to) == Materialization(
        rows=2,
        columns=(ColumnInfo("id", "INTEGER"),),
        metadata={"files": {"kind": "number", "value": 3}},
        sample={"columns": ["id"], "rows": [[1], [2]]},
    )
    assert store(Materialization(rows=1), to).rows == 1


def test_a_materialization_without_a_table_is_no_success(to: Destination) -> None:
    with pytest.raises(ExecutionError) as raised:
        store(Materialization(rows=5), to)
    assert str(raised.value) == (
        "ExecutionError: the function returned a Materialization, but there is no table raw.flights\n"
        "  fix: write that table before returning, or return the rows"
    )


def test_a_stopped_attempt_that_stored_its_rows_itself_is_refused_as_well(to: Destination) -> None:
    def refuse() -> None:
        raise ClaimLostError("another run has it")

    store([{"id": 1}], to)
    with pytest.raises(ClaimLostError):
        store(Materialization(rows=1), Destination(to.database, FLIGHTS, refuse, to.connect))


def test_an_action_that_is_a_generator_has_not_run() -> None:
    with pytest.raises(ExecutionError) as raised:
        refuse_unrun(iter([1]))
    assert str(raised.value) == (
        "ExecutionError: the function is a generator, of which nothing has run\n  fix: use `return` instead of `yield`"
    )


PEAK = """
import resource, sys
from pathlib import Path
import pyarrow as pa
from orchestrator.definitions.keys import Relation
from orchestrator.resources.duckdb import DuckDBFile

def batch(number):
    return pa.table({"number": pa.array(range(number * 400_000, (number + 1) * 400_000), pa.int64()),
                     "noise": pa.array([hash((number, i)) for i in range(400_000)], pa.int64())})

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "linux" else 1024 * 1024)

database = DuckDBFile(Path(sys.argv[1]), config={"memory_limit": "60MB", "threads": 1})
def write(count):
    return database.replace(
        Relation("", "raw", "n"), (batch(number) for number in range(count)), before_commit=lambda: None
    )
write(2)
before = peak()
print(write(50), peak() - before)
"""


@pytest.mark.slow
def test_memory_is_bounded_by_a_batch_and_not_by_all_of_them(tmp_path: Path) -> None:
    """50 batches of 6 MB are 300 MB; after the first two the process grows by less than a tenth of that."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "big.duckdb")], capture_output=True, text=True, check=True
    )
    rows, grown = done.stdout.split()
    assert rows == "20000000"
    assert int(grown) < 80, done.stdout
