"""Rows by partition in one query: what counting each partition by itself says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.definitions.keys import Relation
from orchestrator.definitions.partitions import Daily, Hourly, Monthly, Weekly
from orchestrator.definitions.partitions.time import TimePartitions
from orchestrator.resources.database import Scope
from orchestrator.resources.duckdb import DuckDBFile
from orchestrator.resources.tally import Tally, Values, Windows

TABLE = Relation("", "raw", "flights")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[DuckDBFile]:
    opened = DuckDBFile(tmp_path / "dev.duckdb")
    yield opened
    opened.close()


def fill(database: DuckDBFile, kind: str, *, step: str = "37 minutes", rows: int = 2000) -> None:
    """Rows from a day before March 2021 on, when clocks in New York are put forward on the 14th."""
    database.connect().execute(
        f"""
        create schema if not exists raw;
        set timezone = 'UTC';
        create or replace table raw.flights as
        select ('2021-02-28'::timestamp + n * interval '{step}')::{kind} as at,
               ['EWR', 'JFK', null][n % 3 + 1] as origin, n % 2 as carrier
        from range({rows}) t(n)
        union all select null, 'EWR', 0
        """
    )


def windows(partitions: TimePartitions, first: str, last: str) -> tuple[list[str], Windows]:
    numbers = range(partitions.number(first), partitions.number(last) + 1)
    keys = [partitions.key(number) for number in numbers]
    bounds = [partitions.window(key) for key in keys]
    assert partitions.column is not None
    return keys, Windows(partitions.column, tuple(start for start, _ in bounds), bounds[-1][1])


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date"])
@pytest.mark.parametrize(
    ("partitions", "first", "last"),
    [
        (Daily("2021-03-01", column="at"), "2021-03-02", "2021-04-20"),
        (Daily("2021-03-01", column="at", tz="America/New_York"), "2021-03-10", "2021-03-20"),
        (Daily("2021-03-01", column="at", offset=timedelta(hours=6)), "2021-03-01", "2021-03-31"),
        (Daily("2021-03-01", column="at", tz="Asia/Kathmandu"), "2021-03-01", "2021-03-31"),
        (Hourly("2021-03-01T00", column="at"), "2021-03-12T05", "2021-03-15T23"),
        (Weekly("2021-W08", column="at"), "2021-W09", "2021-W20"),
        (Monthly("2021-02", column="at"), "2021-02", "2021-06"),
    ],
)
def test_windows_are_counted_as_each_by_itself(
    database: DuckDBFile, kind: str, partitions: TimePartitions, first: str, last: str
) -> None:
    fill(database, kind)
    keys, asked = windows(partitions, first, last)
    (counts,) = database.tally([Tally(TABLE, (asked,))])
    assert counts is not None
    one_by_one = {
        (number,): rows
        for number, key in enumerate(keys)
        if (rows := database.count(TABLE, scope=Scope(window=("at", *partitions.window(key)))))
    }
    assert counts == one_by_one
    assert sum(counts.values()) > 50


def test_values_and_windows_together_within_a_scope(database: DuckDBFile) -> None:
    fill(database, "timestamp")
    keys, asked = windows(Monthly("2021-02", column="at"), "2021-03", "2021-04")
    scope = Scope(among=(("carrier", (1,)),))
    (counts,) = database.tally([Tally(TABLE, (Values("origin"), asked), scope)])
    month = Monthly("2021-02", column="at")
    assert counts == {
        (origin, number): database.count(
            TABLE, scope=Scope((("origin", origin),), ("at", *month.window(key)), scope.among)
        )
        for origin in ("EWR", "JFK", None)
        for number, key in enumerate(keys)
    }


def test_numbers_are_found_by_their_text(database: DuckDBFile) -> None:
    fill(database, "timestamp")
    assert database.tally([Tally(TABLE, (Values("carrier"),)), Tally(TABLE)]) == [
        {("0",): 1001, ("1",): 1000},
        {(): 2001},
    ]


def test_no_answer_where_one_query_cannot_tell(database: DuckDBFile) -> None:
    fill(database, "timestamp")
    _, days = windows(Daily("2021-03-01", column="at"), "2021-03-02", "2021-03-05")
    new_york = Hourly("2021-01-01T00", column="at", tz="America/New_York")
    first = new_york.number("2021-11-07T00")
    twice = [new_york.window(new_york.key(number)) for number in range(first, first + 4)]
    asked = [
        Tally(Relation("", "raw", "gone"), (days,)),
        Tally(TABLE, (Windows("origin", days.starts, days.end),)),  # text
        Tally(TABLE, (Windows("missing", days.starts, days.end),)),
        Tally(TABLE, (Windows("at", tuple(start for start, _ in twice), twice[-1][1]),)),  # 1 o'clock twice on the wall
    ]
    assert database.tally(asked) == [None, None, None, None]


def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    database = DuckDBFile(tmp_path / "none.duckdb")
    assert database.tally([Tally(TABLE)]) == [None]
    assert not database.path.exists()


def test_windows_before_1970_and_between_microseconds(database: DuckDBFile) -> None:
    database.connect().execute(
        """
        create schema raw;
        create table raw.flights as select * from (values
            (timestamp '1969-12-30 23:59:59.999999'), (timestamp '1969-12-31 00:00:00'),
            (timestamp '1969-12-31 23:59:59.999999'), (timestamp '1970-01-01')) t("at")
        """
    )
    start = datetime(1969, 12, 30)
    asked = Windows("at", tuple(start + timedelta(days=n) for n in range(3)), start + timedelta(days=3))
    assert database.tally([Tally(TABLE, (asked,))]) == [{(0,): 1, (1,): 2, (2,): 1}]
