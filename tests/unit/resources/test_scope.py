"""A write with a scope replaces the scope's rows and no others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchestrator.definitions.keys import Relation
from orchestrator.errors import ClaimLostError, ExecutionError
from orchestrator.resources.database import Scope
from orchestrator.resources.duckdb import DuckDBFile

SALES = Relation("", "raw", "sales")
EMEA, APAC = Scope((("region", "EMEA"),)), Scope((("region", "APAC"),))
FEBRUARY = Scope(window=("day", date(2013, 2, 1), date(2013, 3, 1)))


def fine() -> None:
    return None


@pytest.fixture
def database(tmp_path: Path) -> Iterator[DuckDBFile]:
    opened = DuckDBFile(tmp_path / "dev.duckdb")
    yield opened
    opened.close()


def rows(database: DuckDBFile) -> list[tuple[Any, ...]]:
    return sorted(database.execute(database.connect(), "select * from raw.sales"), key=str)


def write(database: DuckDBFile, frame: Any, scope: Scope) -> int:
    return database.replace(SALES, frame, scope=scope, before_commit=fine)


def test_only_the_rows_of_the_scope_are_replaced(database: DuckDBFile) -> None:
    assert write(database, [{"region": "EMEA", "n": 1}, {"region": "EMEA", "n": 2}], EMEA) == 2
    assert write(database, [{"region": "APAC", "n": 3}], APAC) == 1
    assert write(database, [{"n": 4, "region": "EMEA"}], EMEA) == 1  # by name, not by place
    assert rows(database) == [("APAC", 3), ("EMEA", 4)]
    assert (database.count(SALES, scope=EMEA), database.count(SALES)) == (1, 2)
    assert database.count(Relation("", "raw", "nothing")) is None


def test_no_rows_empty_the_scope(database: DuckDBFile) -> None:
    write(database, [{"region": "EMEA", "n": 1}], EMEA)
    write(database, [{"region": "APAC", "n": 3}], APAC)
    assert write(database, [], EMEA) == 0
    assert rows(database) == [("APAC", 3)]
    with pytest.raises(ExecutionError) as raised:
        database.replace(Relation("", "raw", "new"), [], scope=EMEA, before_commit=fine)
    assert str(raised.value) == (
        "ExecutionError: no rows came for raw.new, and so no columns of which the table could be made\n"
        "  fix: return an empty frame that has columns, such as an empty pyarrow.Table with a schema"
    )


def test_a_window_is_half_open(database: DuckDBFile) -> None:
    january = Scope(window=("day", date(2013, 1, 1), date(2013, 2, 1)))
    march = Scope(window=("day", date(2013, 3, 1), date(2013, 4, 1)))
    for scope, day in ((january, date(2013, 1, 31)), (FEBRUARY, date(2013, 2, 1)), (march, date(2013, 3, 1))):
        write(database, [{"day": day}], scope)
    write(database, [{"day": date(2013, 2, 28)}], FEBRUARY)
    assert rows(database) == [(date(2013, 1, 31),), (date(2013, 2, 28),), (date(2013, 3, 1),)]
    with pytest.raises(ExecutionError):
        write(database, [{"day": date(2013, 3, 1)}], FEBRUARY)


def test_both_parts_hold_at_once(database: DuckDBFile) -> None:
    both = Scope(EMEA.equal, FEBRUARY.window)
    write(database, [{"region": "APAC", "day": date(2013, 2, 3)}], APAC)
    write(database, [{"region": "EMEA", "day": date(2013, 2, 3)}], both)
    write(database, [{"region": "EMEA", "day": date(2013, 2, 5)}], both)
    assert rows(database) == [("APAC", date(2013, 2, 3)), ("EMEA", date(2013, 2, 5))]


def test_a_null_is_a_value_of_its_own(database: DuckDBFile) -> None:
    write(database, [{"region": "EMEA", "n": 1}], EMEA)
    nobody = Scope((("region", None),))
    write(database, [{"region": None, "n": 2}], nobody)
    write(database, [{"region": None, "n": 3}], nobody)
    assert rows(database) == [("EMEA", 1), (None, 3)]


def test_rows_outside_are_counted_and_nothing_is_written(database: DuckDBFile) -> None:
    write(database, [{"region": "EMEA", "n": 1}], EMEA)
    frame = [{"region": "EMEA", "n": 2}, {"region": "APAC", "n": 3}, {"region": None, "n": 4}]
    with pytest.raises(ExecutionError) as raised:
        write(database, frame, EMEA)
    assert str(raised.value) == (
        "ExecutionError: 2 of 3 rows for raw.sales are outside of what is being written (region = 'EMEA'); nothing was "
        "written\n"
        "  fix: return only rows that belong there"
    )
    assert rows(database) == [("EMEA", 1)]


def test_a_new_column_is_refused_by_name_and_a_missing_one_is_null(database: DuckDBFile) -> None:
    write(database, [{"region": "EMEA", "n": 1}], EMEA)
    with pytest.raises(ExecutionError) as raised:
        write(database, [{"region": "APAC", "n": 1, "price": 2.5, "vat": 1}], APAC)
    assert str(raised.value) == (
        "ExecutionError: raw.sales has no column 'price', 'vat', but the frame has\n"
        "  fix: leave it out of the frame, or add it to the table (ALTER TABLE … ADD COLUMN …)"
    )
    write(database, [{"REGION": "APAC"}], APAC)
    assert rows(database) == [("APAC", None), ("EMEA", 1)]


def test_a_frame_without_the_deciding_column_is_refused(database: DuckDBFile) -> None:
    with pytest.raises(ExecutionError) as raised:
        write(database, [{"n": 1}], EMEA)
    assert str(raised.value) == (
        "ExecutionError: the frame has no column 'region', by which the rows to replace are found (region = 'EMEA')\n"
        "  fix: return a frame with it"
    )
    assert database.look(SALES) is None


def test_a_failure_in_the_middle_loses_nothing(database: DuckDBFile) -> None:
    write(database, [{"region": "EMEA", "n": 1}], EMEA)

    def breaks() -> Iterator[Any]:
        yield [{"region": "EMEA", "n": 2}]
        raise RuntimeError("no route")

    with pytest.raises(RuntimeError, match="no route"):
        write(database, breaks(), EMEA)
    with pytest.raises(ExecutionError) as raised:
        write(database, iter([[{"region": "EMEA", "n": 2}], [{"region": "EMEA", "vat": 3}]]), EMEA)
    assert str(raised.value) == (
        "ExecutionError: a batch for raw.sales has the column 'vat', which the table has not\n"
        "  fix: yield batches with the same columns"
    )
    asked: list[int] = []

    def refuse() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise ClaimLostError("another run has it")

    with pytest.raises(ClaimLostError):
        database.replace(SALES, [{"region": "EMEA", "n": 2}], scope=EMEA, before_commit=refuse)
    assert rows(database) == [("EMEA", 1)]


def test_slots_are_written_at_the_same_time(database: DuckDBFile) -> None:
    """Also the first of them, which makes the table."""
    scopes = [Scope((("slot", number),)) for number in range(6)]
    failed: list[BaseException] = []

    def one(number: int) -> None:
        try:
            for round_ in range(3):
                write(database, [{"slot": number, "round": round_}] * 10, scopes[number])
        except BaseException as exc:  # noqa: BLE001  shown below
            failed.append(exc)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert rows(database) == [(number, 2) for number in range(6) for _ in range(10)]


def test_bounds_with_a_time_zone(database: DuckDBFile) -> None:
    """A local column meets the wall time of the zone, a column with a zone the instant."""
    berlin = ZoneInfo("Europe/Berlin")
    start, end = datetime(2013, 2, 3, tzinfo=berlin), datetime(2013, 2, 4, tzinfo=berlin)
    local = Scope(window=("at", start, end))
    write(database, [{"at": datetime(2013, 2, 3)}, {"at": datetime(2013, 2, 3, 23, 59)}], local)
    with pytest.raises(ExecutionError):
        write(database, [{"at": datetime(2013, 2, 2, 23, 30)}], local)
    write(database, [], local)
    assert rows(database) == []
    other = Relation("", "raw", "instants")
    instant = datetime(2013, 2, 2, 23, tzinfo=timezone.utc)
    database.replace(other, [{"at": instant}], scope=local, before_commit=fine)
    assert database.count(other, scope=local) == 1
    utc = Scope(window=("at", datetime(2013, 2, 3), datetime(2013, 2, 4)))
    assert database.count(other, scope=utc) == 0


def test_the_frame_is_compared_as_the_table_will_hold_it(database: DuckDBFile) -> None:
    write(database, [{"day": date(2013, 2, 3)}], FEBRUARY)
    write(database, [{"day": "2013-02-04"}], FEBRUARY)
    assert rows(database) == [(date(2013, 2, 4),)]


def test_rows_of_others_are_neither_written_nor_deleted(tmp_path: Path) -> None:
    """Slots by different columns: a row may fit both, and then it is the other's."""
    database = DuckDBFile(tmp_path / "w.duckdb")
    emea = Scope(among=(("region", ("EMEA", "UK")),))
    web = Scope(among=(("channel", ("web",)),), apart_from=(emea,))
    relation = Relation("", "raw", "sales")
    database.replace(relation, [{"region": "UK", "channel": "web"}], scope=emea, before_commit=lambda: None)
    database.replace(relation, [{"region": None, "channel": "web"}], scope=web, before_commit=lambda: None)
    with pytest.raises(ExecutionError) as caught:
        database.replace(relation, [{"region": "UK", "channel": "web"}], scope=web, before_commit=lambda: None)
    assert caught.value.what == (
        "1 of 1 rows for raw.sales are outside of what is being written (channel in ('web') and not (region in "
        "('EMEA', 'UK'))); nothing was written"
    )
    database.replace(relation, [{"region": "US", "channel": "web"}], scope=web, before_commit=lambda: None)
    assert sorted(row["region"] for row in database.read(relation).to_pylist()) == ["UK", "US"]
