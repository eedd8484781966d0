"""Laws of partition mappings, over many pairs of partitionings; the oracle compares windows one by one."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.definitions.mappings import (
    All,
    Custom,
    Edge,
    KeyMap,
    Offset,
    Overlap,
    PartitionMapping,
    PerDimension,
    Same,
    Trailing,
    resolve,
)
from orchestrator.definitions.partitions import (
    UNPARTITIONED,
    Daily,
    Dynamic,
    Hourly,
    Monthly,
    Multi,
    Partitions,
    Quarterly,
    Static,
    TimePartitions,
    Weekly,
    Yearly,
)
from orchestrator.errors import UnmappedPartitionError

# How long a history of each grain is: long enough to cross months, short enough to compare all pairs.
DAYS = {Hourly: 4, Daily: 70, Weekly: 200, Monthly: 400, Quarterly: 900, Yearly: 1500}
ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Pacific/Apia")
# Around changes of the clock, and the day that Samoa left out (2011-12-30).
STARTS = (date(2013, 3, 8), date(2013, 11, 1), date(2011, 12, 20), date(2012, 2, 25), date(2012, 12, 29))
ORIGINS = Static("EWR", "JFK", "LGA", column="origin")
MONTHS = Monthly("2013-01", last="2013-12", column="day")
BY_ORIGIN = Multi(ORIGINS, MONTHS)


@st.composite
def windows(draw: st.DrawFn, start: date) -> TimePartitions:
    kind = draw(st.sampled_from(list(DAYS)))
    first = start + timedelta(draw(st.integers(-2, 2)))
    last = first + timedelta(draw(st.integers(1, DAYS[kind])))
    offset = timedelta(minutes=draw(st.sampled_from([0, 0, 30, -45])))
    return kind(first, last=last, tz=draw(st.sampled_from(ZONES)), offset=offset)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[TimePartitions, TimePartitions]:
    start = draw(st.sampled_from(STARTS))
    return draw(windows(start)), draw(windows(start))


rules = st.one_of(
    st.just(Overlap()), st.builds(Offset, st.integers(-3, 3)), st.builds(Trailing, st.integers(1, 9)), st.just(All())
)


def relation(edge: Edge) -> set[tuple[str, str]]:
    return {(key, read) for key in edge.down.every() for read in edge.upstream(key)}


@settings(deadline=None, max_examples=60)
@given(pairs(), rules)
def test_the_two_directions_are_each_others_inverse(
    pair: tuple[TimePartitions, TimePartitions], rule: PartitionMapping
) -> None:
    edge = resolve(rule, down=pair[0], up=pair[1])
    backwards = {(key, read) for read in edge.up.every() for key in edge.downstream(read)}
    assert backwards == relation(edge)


@settings(deadline=None, max_examples=60)
@given(pairs())
def test_windows_read_exactly_the_windows_they_share_time_with(pair: tuple[TimePartitions, TimePartitions]) -> None:
    down, up = pair
    edge = resolve(None, down=down, up=up)
    ours = [(key, *down.window(key)) for key in down.every()]
    theirs = [(key, *up.window(key)) for key in up.every()]
    shared = {(key, read) for key, a, b in ours for read, c, d in theirs if a < d and c < b}
    same = (down.grain, down.tz, down.offset) == (up.grain, up.tz, up.offset)
    assert relation(edge) == ({(key, key) for key in up.every() if key in down.every()} if same else shared)


@settings(deadline=None, max_examples=60)
@given(pairs())
def test_what_a_window_reads_covers_it(pair: tuple[TimePartitions, TimePartitions]) -> None:
    down, short = pair
    up = type(short)("2009", tz=short.tz, offset=short.offset)
    for key in down.every():
        start, end = down.window(key)
        read = [up.window(found) for found in resolve(None, down=down, up=up).upstream(key)]
        assert start == end or (read[0][0] <= start and end <= read[-1][1]), "coverage"
        assert all(before[1] == after[0] for before, after in pairwise(read)), "without gaps"


@settings(deadline=None, max_examples=60)
@given(pairs(), rules, st.data())
def test_a_set_reads_what_its_keys_read(
    pair: tuple[TimePartitions, TimePartitions], rule: PartitionMapping, data: st.DataObject
) -> None:
    edge = resolve(rule, down=pair[0], up=pair[1])
    for side, other, read in ((edge.down, edge.up, edge.upstream), (edge.up, edge.down, edge.downstream)):
        assert isinstance(side, TimePartitions)
        numbers = st.integers(side.lowest, side.highest)
        some = side.of_ranges(*data.draw(st.lists(st.tuples(numbers, numbers), max_size=3)))
        assert set(read(some)) == {found for key in some for found in read(key)}, f"{side} → {other}"


@settings(deadline=None, max_examples=60)
@given(pairs(), st.sampled_from([Overlap(), Offset(1), Trailing(3)]))
def test_later_windows_read_nothing_earlier(
    pair: tuple[TimePartitions, TimePartitions], rule: PartitionMapping
) -> None:
    edge = resolve(rule, down=pair[0], up=pair[1])
    read = [list(edge.upstream(key)) for key in edge.down.every()]
    ends = [(edge.up.number(keys[0]), edge.up.number(keys[-1])) for keys in read if keys]  # type: ignore[attr-defined]
    assert all(before <= after for before, after in pairwise(ends))


@settings(deadline=None, max_examples=60)
@given(pairs(), st.sampled_from([None, Overlap()]), st.data())
def test_several_dimensions_keep_the_laws(
    pair: tuple[TimePartitions, TimePartitions], rule: PartitionMapping | None, data: st.DataObject
) -> None:
    down_time, up_time = (_short(side) for side in pair)
    down: Partitions = data.draw(st.sampled_from([down_time, Multi(ORIGINS, down_time), Multi(down_time, ORIGINS)]))
    up: Partitions = Multi(Static("JFK", "EWR", "LGA", "BOS", column="origin"), up_time)
    mapping = PerDimension({up_time.name: (down_time.name, rule)}) if rule else None
    edge = resolve(mapping, down=down, up=up)
    backwards = {(key, read) for read in up.every() for key in edge.downstream(read)}
    assert backwards == relation(edge)
    assert set(edge.upstream(down.every())) == {read for _, read in backwards}


def _short(side: TimePartitions) -> TimePartitions:
    return type(side)(side.start(side.lowest), last=side.start(min(side.lowest + 12, side.highest)), tz=side.tz)


@pytest.mark.parametrize(
    ("down", "up", "rule"),
    [
        (Static("a", "b"), Static("x", "y", "z"), KeyMap({"a": ["x", "y"], "b": "y..z"})),
        (MONTHS, MONTHS, Custom(lambda key: [key] if key > "2013-06" else [])),
        (MONTHS, UNPARTITIONED, None),
        (UNPARTITIONED, BY_ORIGIN, None),
        (BY_ORIGIN, MONTHS, None),
        (BY_ORIGIN, ORIGINS, None),
        (MONTHS, ORIGINS, All()),
        (Dynamic("c").with_names(["x"]), Dynamic("c").with_names(["y", "x"]), None),
    ],
)
def test_other_rules_keep_the_inverse(down: Partitions, up: Partitions, rule: PartitionMapping | None) -> None:
    edge = resolve(rule, down=down, up=up)
    backwards = {(key, read) for read in up.every() for key in edge.downstream(read)}
    assert backwards == relation(edge) != set()


@pytest.mark.parametrize(
    ("down", "up", "key", "text"),
    [
        (MONTHS, Daily("2013-01-01"), "2013-02", "2013-02-01..2013-02-28"),
        (Daily("2013-01-01"), MONTHS, "2013-02-03", "2013-02"),
        (Weekly("2013-W01"), MONTHS, "2013-W05", "2013-01..2013-02"),
        (Yearly("2013"), Quarterly("2013"), "2013", "2013-Q1..2013-Q4"),
        (Daily("2013"), Hourly("2013", tz="America/New_York"), "2013-11-03", "2013-11-02T20..2013-11-03T18"),
        (MONTHS, BY_ORIGIN, "2013-02", "EWR|2013-02, JFK|2013-02, LGA|2013-02"),
        (BY_ORIGIN, MONTHS, "JFK|2013-02", "2013-02"),
        (Static("JFK"), ORIGINS, "JFK", "JFK"),
    ],
)
def test_what_is_inferred(down: Partitions, up: Partitions, key: str, text: str) -> None:
    assert resolve(None, down=down, up=up).upstream(key).text() == text


def test_local_dates_can_be_told_to_be_the_same_days() -> None:
    local, utc = Daily("2013-01-01", tz="America/New_York"), Daily("2013-01-01")
    assert resolve(None, down=utc, up=local).upstream("2013-02-03").text() == "2013-02-02..2013-02-03"
    assert resolve(Same(), down=utc, up=local).upstream("2013-02-03").text() == "2013-02-03"


@pytest.mark.parametrize(
    ("down", "up", "rule", "text"),
    [
        (
            MONTHS,
            Static("EWR"),
            None,
            "marts.a (monthly, 2013-01..2013-12, column day) reads raw.b (static, EWR), and which partitions of it "
            "cannot be inferred\n  at:  a.py:3\n"
            "  fix: declare it on marts.a: mappings={raw.b: All()}, KeyMap({…}) or Custom(…)",
        ),
        (
            Static("a"),
            Static("b"),
            None,
            "marts.a (static, a) reads raw.b (static, b), and which partitions of it cannot be inferred\n"
            "  at:  a.py:3\n  fix: declare it on marts.a: mappings={raw.b: All()}, KeyMap({…}) or Custom(…)",
        ),
        (
            Static("a"),
            MONTHS,
            Trailing(3),
            "marts.a (static, a) reads raw.b (monthly, 2013-01..2013-12, column day) by trailing 3, which does not "
            "fit: static, a is not divided by time\n  at:  a.py:3\n"
            "  fix: correct the mapping, or leave it out where it can be inferred",
        ),
        (
            MONTHS,
            MONTHS,
            KeyMap({"2013-02": "2014-01"}),
            "marts.a (monthly, 2013-01..2013-12, column day) reads raw.b (monthly, 2013-01..2013-12, column day) by "
            "key map, which does not fit: there is no partition '2014-01': monthly, 2013-01..2013-12, column day ends "
            "before it\n  at:  a.py:3\n  fix: correct the mapping, or leave it out where it can be inferred",
        ),
        (
            Monthly("2013-01"),
            MONTHS,
            Custom(lambda key: [key]),
            "marts.a (monthly, 2013-01..) reads raw.b (monthly, 2013-01..2013-12, column day) by <lambda>, which does "
            "not fit: the readers of a partition can be found neither by reverse= nor by trying all, which never "
            "ends\n  at:  a.py:3\n  fix: correct the mapping, or leave it out where it can be inferred",
        ),
    ],
)
def test_pairs_that_say_nothing_are_refused(
    down: Partitions, up: Partitions, rule: PartitionMapping | None, text: str
) -> None:
    with pytest.raises(UnmappedPartitionError) as caught:
        resolve(rule, down=down, up=up, names=("marts.a", "raw.b"), at="a.py:3")
    assert str(caught.value) == f"UnmappedPartitionError: {text}"


def test_a_chain_of_grains_is_followed_on_ranges() -> None:
    """200 edges over 2,000 days each: a set stays one range, so that nothing walks through keys."""
    chain: list[Partitions] = [Daily("2010-01-01"), Weekly("2010-W01"), Monthly("2010"), Daily("2010-01-01")] * 50
    found = chain[0].parse("2012-01-01..2017-06-22")
    for up, down in pairwise(chain):
        found = resolve(None, down=down, up=up).downstream(found)
        assert len(list(found.words())) == 1
    assert len(found) > 2000


@given(st.sampled_from(STARTS), st.data())
@settings(deadline=None, max_examples=60)
def test_an_edge_that_keeps_keys_reads_nothing_but_the_own_key(start: date, data: st.DataObject) -> None:
    down = data.draw(windows(start))
    up = data.draw(st.one_of(windows(start), st.just(type(down)("2009", tz=down.tz, offset=down.offset))))
    edge = resolve(None, down=down, up=up)
    if edge.keeps_keys:
        assert {key: set(edge.upstream(key)) for key in down.every()} == {
            key: {key} & set(up.parse(f"{key}..{key}") if up.contains(key) else ()) for key in down.every()
        }
    assert resolve(Same(), down=MONTHS, up=MONTHS).keeps_keys
    assert not resolve(Trailing(1), down=MONTHS, up=MONTHS).keeps_keys
