"""Partitionings: keys, windows, slices, and the errors for what is none."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.definitions.partitions import (
    UNPARTITIONED,
    Daily,
    Dynamic,
    Hourly,
    Monthly,
    Multi,
    PartitionSet,
    Quarterly,
    Static,
    Weekly,
    Yearly,
)
from orchestrator.errors import DefinitionError, UnknownPartitionError

UTC = timezone.utc
NEW_YORK = "America/New_York"
ORIGINS = Static("EWR", "JFK", "LGA", column="origin")
MONTHS = Monthly("2013-01", last="2013-12", column="flight_date")
BY_ORIGIN = Multi(ORIGINS, MONTHS)
CLASSES = (Hourly, Daily, Weekly, Monthly, Quarterly, Yearly)
ZONES = ("UTC", NEW_YORK, "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo")


@st.composite
def time_partitions(draw: st.DrawFn) -> Hourly | Daily | Weekly | Monthly | Quarterly | Yearly:
    kind = draw(st.sampled_from(CLASSES))
    most = 50 if kind is Hourly else 1000
    offset = draw(st.sampled_from([0, 0, -most // 3, 7, most])) if kind is not Yearly else 0
    day = draw(st.dates(date(2000, 1, 1), date(2030, 1, 1)))
    return kind(day, tz=draw(st.sampled_from(ZONES)), offset=timedelta(minutes=offset))


moments = st.datetimes(datetime(2031, 1, 1), datetime(2033, 1, 1), timezones=st.just(UTC))


@settings(deadline=None)
@given(time_partitions(), moments)
def test_the_window_of_the_key_of_a_moment_holds_it(partitions: Daily, moment: datetime) -> None:
    start, end = partitions.window(partitions.key_of(moment))
    assert start <= moment < end


@settings(deadline=None)
@given(time_partitions(), st.integers(0, 3000))
def test_keys_and_numbers_are_found_from_each_other_and_windows_touch(partitions: Daily, ahead: int) -> None:
    number = partitions.lowest + ahead
    key = partitions.key(number)
    assert partitions.number(key) == number
    assert partitions.window(key)[1] == partitions.window(partitions.key(number + 1))[0]


@settings(deadline=None)
@given(time_partitions(), moments)
def test_only_windows_that_have_ended_are_closed(partitions: Daily, as_of: datetime) -> None:
    closed = partitions.closed(as_of=as_of)
    number = partitions.number_at(as_of)
    assert partitions.key(number - 1) in closed
    assert partitions.key(number) not in closed
    at_the_end = partitions.closed(as_of=partitions.start(number + 1))
    assert partitions.key(number) in at_the_end, "a window that ends this moment has ended"


@settings(deadline=None)
@given(time_partitions(), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=4), st.data())
def test_sets_do_what_sets_of_keys_do(partitions: Daily, ranges: list[tuple[int, int]], data: st.DataObject) -> None:
    def some(pairs: list[tuple[int, int]]) -> PartitionSet:
        return partitions.of_ranges(*((partitions.lowest + low, partitions.lowest + high) for low, high in pairs))

    other = data.draw(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=4))
    left, right = some(ranges), some(other)
    ours, theirs = set(left), set(right)
    assert (set(left | right), set(left & right), set(left - right)) == (ours | theirs, ours & theirs, ours - theirs)
    assert len(left) == len(ours) == len(list(left))
    assert all((key in left) == (key in ours) for key in theirs | ours)
    assert not left or partitions.parse(left.text()) == left, "what is printed can be typed"


def test_each_grain_has_readable_keys() -> None:
    moment = datetime(2013, 2, 14, 5, 30)
    keys = [kind("2013" if kind is not Weekly else "2013-W01").key_of(moment) for kind in CLASSES]
    assert keys == ["2013-02-14T05", "2013-02-14", "2013-W07", "2013-02", "2013-Q1", "2013"]


def test_the_doubled_hour_has_two_keys_and_the_skipped_one_none() -> None:
    hours = Hourly("2013", tz=NEW_YORK)
    assert list(hours.parse("2013-11-03T00..2013-11-03T02")) == [
        "2013-11-03T00",
        "2013-11-03T01",
        "2013-11-03T01-0500",
        "2013-11-03T02",
    ]
    assert hours.number("2013-11-03T01-0400") == hours.number("2013-11-03T01")
    assert [len(hours.parse(day)) for day in ("2013-03-10", "2013-11-03", "2013-11-04")] == [23, 25, 24]
    with pytest.raises(UnknownPartitionError) as caught:
        hours.only("2013-03-10T02")
    assert str(caught.value) == (
        "UnknownPartitionError: there is no hour '2013-03-10T02' in America/New_York: the clock skips it\n"
        "  fix: write '2013-03-10T03'"
    )


def test_hours_of_a_zone_half_an_hour_from_utc_begin_with_its_own() -> None:
    hours = Hourly("2013", tz="Asia/Kolkata")
    assert hours.key_of(datetime(2013, 5, 1, 0, 10, tzinfo=UTC)) == "2013-05-01T05"
    assert hours.window("2013-05-01T05")[0].isoformat() == "2013-05-01T05:00:00+05:30"


def test_a_day_with_an_offset_keeps_the_name_of_the_day_it_begins_on() -> None:
    days = Daily("2013-01-01", offset=timedelta(hours=6))
    assert days.key_of(datetime(2013, 2, 3, 5, 59)) == "2013-02-02"
    assert days.window("2013-02-03") == (
        datetime(2013, 2, 3, 6, tzinfo=UTC),
        datetime(2013, 2, 4, 6, tzinfo=UTC),
    )
    assert days.first == "2013-01-01"


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        ("2013-02", "2013-02"),
        ("2013-02..2013-04", "2013-02..2013-04"),
        ("2013-10..", "2013-10..2013-12"),
        ("..2013-02", "2013-01..2013-02"),
        ("2013-Q2, 2013-09", "2013-04..2013-06, 2013-09"),
        ("2013", "2013-01..2013-12"),
        ("*", "2013-01..2013-12"),
    ],
)
def test_words_name_partitions(words: str, keys: str) -> None:
    assert MONTHS.parse(words).text() == keys


@pytest.mark.parametrize(
    ("partitions", "words", "text"),
    [
        (
            MONTHS,
            "2014-01",
            "there is no partition '2014-01': monthly, 2013-01..2013-12, column flight_date ends before it\n"
            "  fix: the last is '2013-12'; change last= where the partitions are declared if there are more",
        ),
        (
            MONTHS,
            "2012",
            "there is no partition '2012': monthly, 2013-01..2013-12, column flight_date begins after it\n"
            "  fix: the first is '2013-01'; change first= where the partitions are declared if there are more",
        ),
        (
            MONTHS,
            "2013-02-03",
            "'2013-02-03' is a day, and no partition of monthly, 2013-01..2013-12, column flight_date\n"
            "  fix: write '2013-02'",
        ),
        (
            MONTHS,
            "2013-2",
            "'2013-2' is no partition of monthly, 2013-01..2013-12, column flight_date\n  fix: did you mean '2013-02'?",
        ),
        (
            Daily("2013", tz=NEW_YORK),
            "2013-02-30",
            "'2013-02-30' is no partition of daily, 2013-01-01.., America/New_York\n  fix: write it like '2013-02-03'",
        ),
        (MONTHS, "2013-05..2013-02", "'2013-05..2013-02' ends before it begins\n  fix: write '2013-02..2013-05'"),
        (ORIGINS, "EWT", "'EWT' is no partition of static, EWR, JFK, LGA, column origin\n  fix: did you mean 'EWR'?"),
        (ORIGINS, "x", "'x' is no partition of static, EWR, JFK, LGA, column origin\n  fix: one of EWR, JFK, LGA"),
        (
            ORIGINS,
            "LGA..EWR",
            "'LGA..EWR' ends before it begins: 'EWR' was declared before 'LGA'\n  fix: write 'EWR..LGA'",
        ),
        (Dynamic("customers"), "acme", "'acme' is no partition of dynamic customers\n  fix: there is none yet"),
        (
            BY_ORIGIN,
            "EWR|2013-01|x",
            "'EWR|2013-01|x' has 3 parts, and multi (static, EWR, JFK, LGA, column origin | monthly, "
            "2013-01..2013-12, column flight_date) has 2 dimensions\n  fix: write it as origin|flight_date",
        ),
        (
            BY_ORIGIN,
            "2014",
            "'2014' is no partition of multi (static, EWR, JFK, LGA, column origin | monthly, 2013-01..2013-12, "
            "column flight_date)\n  fix: write it like 'EWR|2013-01'",
        ),
    ],
)
def test_words_that_name_nothing_are_refused(
    partitions: Daily | Monthly | Static | Dynamic | Multi, words: str, text: str
) -> None:
    with pytest.raises(UnknownPartitionError) as caught:
        partitions.parse(words)
    assert str(caught.value) == f"UnknownPartitionError: {text}"


def test_one_key_is_wanted_where_a_range_is_given() -> None:
    with pytest.raises(UnknownPartitionError) as caught:
        BY_ORIGIN.only("EWR")
    assert str(caught.value).splitlines()[0].startswith("UnknownPartitionError: 'EWR' has 1 part")
    assert not MONTHS.contains("2013")
    assert MONTHS.contains("2013-03")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: Monthly("2013-05", last="2013-01"),
            "Monthly(first='2013-05', last='2013-01') ends before it begins\n"
            "  fix: write first='2013-01', last='2013-05', or leave last out",
        ),
        (
            lambda: Daily("2013-01-01", tz="Middle-earth"),
            "there is no time zone 'Middle-earth'\n  fix: write a name such as 'Europe/Berlin', or 'UTC'",
        ),
        (lambda: Monthly("2013-01-15"), "first='2013-01-15' is no month of Monthly\n  fix: write '2013-01'"),
        (lambda: Monthly("January"), "first='January' is no month of Monthly\n  fix: write it like '2013-02'"),
        (
            lambda: Daily("2013", offset=timedelta(days=2)),
            "Daily(offset=datetime.timedelta(days=2)) is no shorter than a day\n"
            "  fix: an offset moves the start within one day; choose another first='2013'",
        ),
        (lambda: Static(), 'Static() has no partitions\n  fix: name them, as in Static("EWR", "JFK")'),
        (lambda: Static("a", "b", "a"), "Static(…) has the key 'a' twice\n  fix: remove one of them"),
        (
            lambda: Static("a|b"),
            "'a|b' cannot be a key of Static(…)\n  fix: a key is text without |, comma, *, '..' and spaces around it",
        ),
        (
            lambda: Multi(Static("a"), Static("b")),
            "two dimensions of Multi(…) are called 'static'\n  fix: tell them apart by column=",
        ),
        (
            lambda: Multi(Monthly("2013-01"), Daily("2013-01-01")),
            "the dimensions month and day of Multi(…) have no last partition\n  fix: give all but one of them last=",
        ),
    ],
)
def test_wrong_definitions_say_how_to_write_them(make: object, text: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()  # type: ignore[operator]
    assert str(caught.value) == f"DefinitionError: {text}"


def test_equal_partitionings_are_equal_however_they_were_written() -> None:
    assert Monthly("2013", last=date(2013, 12, 24)) == Monthly("2013-01", last="2013-12")
    assert Daily("2013-01-01") != Daily("2013-01-01", tz=NEW_YORK)
    assert Daily("2013-01-01") != Hourly("2013-01-01")
    assert len({Monthly("2013"), Monthly("2013-01"), Dynamic("a"), Dynamic("a").with_names(["x"])}) == 2


def test_sets_of_several_dimensions() -> None:
    some = BY_ORIGIN.parse("EWR|2013-01..2013-03, JFK|2013-02")
    assert list(some) == ["EWR|2013-01", "EWR|2013-02", "EWR|2013-03", "JFK|2013-02"]
    assert (some - BY_ORIGIN.parse("2013-02")).text() == "EWR|2013-01, EWR|2013-03"
    assert (some & BY_ORIGIN.parse("JFK|*")).text() == "JFK|2013-02"
    assert "EWR|2013-03" in some
    assert "LGA|2013-03" not in some
    assert "nonsense" not in some


def test_sets_of_different_partitions_do_not_mix() -> None:
    with pytest.raises(TypeError, match="sets of different partitions"):
        _ = MONTHS.every() | Monthly("2013-01").every()


def test_what_is_not_partitioned_has_one_part() -> None:
    assert list(UNPARTITIONED.every()) == [""]
    assert UNPARTITIONED.only("").text() == ""


def test_a_hundred_years_of_hours_cost_nothing_to_name() -> None:
    hours = Hourly("1970", last="2069")
    assert hours.count(as_of=datetime(2030, 1, 1, tzinfo=UTC)) == 525_960
    assert hours.parse("2013..2019").text() == "2013-01-01T00..2019-12-31T23"


@pytest.mark.parametrize(
    "partitions", [MONTHS, ORIGINS, BY_ORIGIN, Hourly("2013-11-03", last="2013-11-03", tz=NEW_YORK)]
)
def test_sets_are_made_of_keys_and_what_is_no_key_is_left_out(partitions: Monthly | Static | Multi | Hourly) -> None:
    keys = list(partitions.every())
    some = keys[::2]
    assert list(partitions.of_keys([*reversed(some), "nonsense", "1999|x"])) == some
    assert partitions.of_keys(keys) == partitions.every()


def test_a_partition_says_what_it_is_in_each_dimension() -> None:
    one = BY_ORIGIN.partition("EWR|2013-02")
    assert (one.key, one.keys) == ("EWR|2013-02", {"origin": "EWR", "flight_date": "2013-02"})
    assert (one.start, one.end) == (datetime(2013, 2, 1, tzinfo=UTC), datetime(2013, 3, 1, tzinfo=UTC))
    assert (ORIGINS.partition("EWR").start, str(ORIGINS.partition("EWR"))) == (None, "EWR")
    with pytest.raises(UnknownPartitionError):
        MONTHS.partition("2014-01")
