"""A DuckDB file: replaced atomically or not at all, and locks that name who holds them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestrator.definitions.events import ColumnInfo
from orchestrator.definitions.keys import Relation
from orchestrator.errors import ClaimLostError, ExecutionError, ResourceLockedError, ResourceUnavailableError
from orchestrator.resources.duckdb import DuckDBFile, as_arrow

FLIGHTS = Relation("", "raw", "flights")
HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def fine() -> None:
    return None


@pytest.fixture
def database(tmp_path: Path) -> Iterator[DuckDBFile]:
    opened = DuckDBFile(tmp_path / "dev.duckdb")
    yield opened
    opened.close()


def rows(database: DuckDBFile) -> list[tuple[Any, ...]]:
    return list(database.cursor().execute("select * from raw.flights").fetchall())


def test_replacing_replaces_rows_and_columns(database: DuckDBFile) -> None:
    assert database.replace(FLIGHTS, [{"id": 1}, {"id": 2}], before_commit=fine) == 2
    assert database.replace(FLIGHTS, [{"origin": "JFK"}], before_commit=fine) == 1
    assert rows(database) == [("JFK",)]


def test_others_see_the_old_rows_until_the_new_ones_are_all_there(database: DuckDBFile) -> None:
    database.replace(FLIGHTS, [{"id": 1}], before_commit=fine)
    seen: list[list[tuple[Any, ...]]] = []
    database.replace(FLIGHTS, [{"id": 2}], before_commit=lambda: seen.append(rows(database)))
    assert seen == [[(1,)], [(1,)]]
    assert rows(database) == [(2,)]


def test_a_refused_write_leaves_the_old_rows(database: DuckDBFile) -> None:
    database.replace(FLIGHTS, [{"id": 1}], before_commit=fine)
    for refused_at in (1, 2):
        asked: list[int] = []

        def refuse(asked: list[int] = asked, at: int = refused_at) -> None:
            asked.append(1)
            if len(asked) == at:
                raise ClaimLostError("another run has it")

        with pytest.raises(ClaimLostError):
            database.replace(FLIGHTS, [{"id": 2}], before_commit=refuse)
        assert rows(database) == [(1,)]


def test_a_write_that_conflicts_with_another_fails_and_changes_nothing(database: DuckDBFile) -> None:
    database.replace(FLIGHTS, [{"id": 1}], before_commit=fine)
    other = database.cursor()
    other.execute("begin")
    other.execute("create or replace table raw.flights as select 7 as id")
    with pytest.raises(duckdb.TransactionException, match="write-write conflict"):
        database.replace(FLIGHTS, [{"id": 2}], before_commit=fine)
    other.execute("rollback")
    assert rows(database) == [(1,)]


def polars_like(frame: Any) -> Any:
    class Frame:
        def to_arrow(self) -> Any:
            return frame

    return Frame()


@pytest.mark.parametrize(
    "make",
    [
        lambda pa, pd: pa.table({"id": [1]}),
        lambda pa, pd: pa.table({"id": [1]}).to_batches()[0],
        lambda pa, pd: pd.DataFrame({"id": [1]}, index=[9]),
        lambda pa, pd: duckdb.sql("select 1::bigint as id"),
        lambda pa, pd: polars_like(pa.table({"id": [1]})),
        lambda pa, pd: [{"id": 1}],
    ],
    ids=["arrow", "batch", "pandas", "duckdb", "polars", "dicts"],
)
def test_frames_of_all_kinds_are_taken(make: Callable[[Any, Any], Any]) -> None:
    import pandas as pd
    import pyarrow as pa

    assert as_arrow(make(pa, pd)).to_pylist() == [{"id": 1}]


@pytest.mark.parametrize(("value", "shown"), [(None, "nothing"), (7, "a int"), ({"id": 1}, "a dict")])
def test_what_is_no_frame_is_refused(value: Any, shown: str) -> None:
    with pytest.raises(ExecutionError) as raised:
        as_arrow(value)
    assert str(raised.value) == (
        f"ExecutionError: the function returned {shown}, not a frame\n"
        "  fix: return a pyarrow.Table, a pandas or polars DataFrame, a DuckDB relation or a list of dicts"
    )


def test_a_look_shows_rows_columns_and_a_sample(database: DuckDBFile) -> None:
    database.replace(FLIGHTS, [{"id": 1, "origin": "JFK"}, {"id": 2, "origin": None}], before_commit=fine)
    look = database.look(FLIGHTS)
    assert look is not None
    assert look.rows == 2
    assert look.columns == (ColumnInfo("id", "BIGINT"), ColumnInfo("origin", "VARCHAR"))
    assert look.sample == {"columns": ["id", "origin"], "rows": [[1, "JFK"], [2, None]]}
    of_a_view = database.look(FLIGHTS, rows=False)
    assert of_a_view is not None
    assert (of_a_view.rows, of_a_view.sample) == (None, None)
    assert database.look(Relation("", "raw", "nothing")) is None


def test_names_are_quoted(database: DuckDBFile) -> None:
    odd = Relation("", 'ra"w', "select")
    assert database.replace(odd, [{"id": 1}], before_commit=fine) == 1


def test_a_file_held_by_another_process_names_it(database: DuckDBFile) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ResourceLockedError) as raised:
            database.cursor()
        program = Path(sys.executable).resolve().name
        other.communicate("")
    assert str(raised.value) == (
        f"ResourceLockedError: dev.duckdb is held by {program} (PID {other.pid})\n"
        f"  at:  {database.path}\n"
        f"  fix: close that program (a REPL, a BI tool?) or stop process {other.pid}, then run again"
    )
    database.cursor().execute("select 1")  # free again


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    file = tmp_path / "notes.duckdb"
    file.write_text("not a database, just a text that is long enough to look like one" * 100)
    with pytest.raises(ResourceUnavailableError) as raised:
        DuckDBFile(file).cursor()
    assert raised.value.what.startswith("cannot open the DuckDB file: IO Error: ")
    assert raised.value.at == str(file)
    assert raised.value.fix == "check the path in profiles.yml and the file's permissions"


def test_after_closing_another_process_can_have_the_file(database: DuckDBFile) -> None:
    database.replace(FLIGHTS, [{"id": 1}], before_commit=fine)
    database.close()
    read = "import sys, duckdb; print(duckdb.connect(sys.argv[1]).sql('select id from raw.flights').fetchall())"
    done = subprocess.run([sys.executable, "-c", read, str(database.path)], capture_output=True, text=True, check=True)
    assert done.stdout == "[(1,)]\n"
