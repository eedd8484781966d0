"""A DuckDB file: replaced atomically or not at all, and locks that name who holds them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestrator.definitions.events import ColumnInfo
from orchestrator.definitions.keys import Relation
from orchestrator.errors import ClaimLostError, ResourceLockedError, ResourceUnavailableError
from orchestrator.resources.duckdb import DuckDBFile

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
    return list(database.connect().execute("select * from raw.flights").fetchall())


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
    other = database.connect()
    other.execute("begin")
    other.execute("create or replace table raw.flights as select 7 as id")
    with pytest.raises(duckdb.TransactionException, match="write-write conflict"):
        database.replace(FLIGHTS, [{"id": 2}], before_commit=fine)
    other.execute("rollback")
    assert rows(database) == [(1,)]


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
            database.connect()
        program = Path(sys.executable).resolve().name
        other.communicate("")
    assert str(raised.value) == (
        f"ResourceLockedError: dev.duckdb is held by {program} (PID {other.pid})\n"
        f"  at:  {database.path}\n"
        f"  fix: close that program (a REPL, a BI tool?) or stop process {other.pid}, then run again"
    )
    database.connect().execute("select 1")  # free again


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    file = tmp_path / "notes.duckdb"
    file.write_text("not a database, just a text that is long enough to look like one" * 100)
    with pytest.raises(ResourceUnavailableError) as raised:
        DuckDBFile(file).connect()
    assert raised.value.what.startswith("cannot open the DuckDB file: IO Error: ")
    assert raised.value.at == str(file)
    assert raised.value.fix == "check the path in profiles.yml and the file's permissions"


def test_after_closing_another_process_can_have_the_file(database: DuckDBFile) -> None:
    database.replace(FLIGHTS, [{"id": 1}], before_commit=fine)
    database.close()
    read = "import sys, duckdb; print(duckdb.connect(sys.argv[1]).sql('select id from raw.flights').fetchall())"
    done = subprocess.run([sys.executable, "-c", read, str(database.path)], capture_output=True, text=True, check=True)
    assert done.stdout == "[(1,)]\n"
