"""Partitions in dbt's config, in `meta.orchestrator` and in Python become those of the graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator import Monthly, Resource, Table, asset, mappings
from orchestrator.definitions.mappings import All, KeyMap, Offset, Trailing
from orchestrator.definitions.partitions import Daily, Dynamic, Hourly, Multi, Partitions, Static, Weekly
from orchestrator.errors import DefinitionError
from orchestrator.loaders.dbt_meta import DbtMeta, read_meta
from orchestrator.loaders.fragments import Fragment
from orchestrator.loaders.merge import MergeResult, merge
from tests.scenarios import DAYS, MONTHS, draft, key, mixed_grains
from tests.scenarios import asset as scene

MICROBATCH = {
    "incremental_strategy": "microbatch",
    "event_time": "flight_date",
    "batch_size": "day",
    "begin": "2013-01-01",
    "lookback": 3,
}


def meta(ours: Any, *, settings: Any = None, materialized: str = "incremental") -> DbtMeta:
    return read_meta(
        {"orchestrator": ours}, name="delays", at="models/delays.sql:1", settings=settings, materialized=materialized
    )


def said(ours: Any, **more: Any) -> list[str]:
    return [str(error) for error in meta(ours, **more).errors]


# dbt


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (MICROBATCH, Daily("2013-01-01", column="flight_date")),
        (
            {**MICROBATCH, "batch_size": "hour", "begin": "2013-01-01T05:30:00Z"},
            Hourly("2013-01-01T05", column="flight_date"),
        ),
        ({**MICROBATCH, "batch_size": "month", "begin": "2013-01-15"}, Monthly("2013-01", column="flight_date")),
        ({**MICROBATCH, "incremental_strategy": "append"}, None),
        ({**MICROBATCH, "begin": None}, None),
    ],
)
def test_microbatch_config_says_what_the_partitions_are(config: dict[str, Any], expected: Partitions | None) -> None:
    found = meta({}, settings=config)
    assert (found.partitions.partitions if found.partitions else None, found.errors) == (expected, ())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"daily": {"first": "2013-01-01"}}, Daily("2013", column="at")),
        ({"monthly": {"first": 2013, "last": 2013, "column": "d"}}, Monthly("2013", last="2013", column="d")),
        (
            {"weekly": {"first": "2013-W02", "column": "d", "tz": "Europe/Berlin"}},
            Weekly("2013-W02", column="d", tz="Europe/Berlin"),
        ),
        ({"static": {"keys": ["EWR", "JFK"], "column": "origin"}}, Static("EWR", "JFK", column="origin")),
        ({"dynamic": {"label": "customers", "column": "id"}}, Dynamic("customers", column="id")),
        (
            {"multi": [{"static": {"keys": ["EWR"], "column": "origin"}}, {"monthly": {"first": "2013-01"}}]},
            Multi(Static("EWR", column="origin"), Monthly("2013-01", column="at")),
        ),
    ],
)
def test_meta_says_what_dbt_has_no_word_for(written: dict[str, Any], expected: Partitions) -> None:
    found = meta({"partitions": {**written, "run": "range"}}, settings={"event_time": "at"})
    assert found.errors == ()
    assert found.partitions is not None
    assert (found.partitions.partitions, found.partitions.run) == (expected, "range")


@pytest.mark.parametrize(
    ("partitions", "more", "text"),
    [
        (
            {"daily": {"first": "2013-01-01", "column": "d", "tz": "America/New_York"}},
            {"settings": MICROBATCH},
            "partitions in America/New_York, and dbt's microbatch batches begin by UTC\n"
            "  at:  models/delays.sql:1\n"
            "  fix: leave tz and offset out, or take another strategy, with the window from vars and `run: range`",
        ),
        (
            {"monthly": {"first": "2013-01", "column": "d"}},
            {"settings": MICROBATCH},
            "partitions (monthly, 2013-01.., column d) that are not dbt's batches (daily, 2013-01-01.., column "
            "flight_date)\n  at:  models/delays.sql:1\n"
            "  fix: leave partitions out, or make batch_size and partitions the same",
        ),
        (
            {"monthly": {"first": "2013-01", "column": "d"}},
            {"materialized": "table"},
            "partitions and the materialization 'table', which writes all rows at once\n  at:  models/delays.sql:1\n"
            "  fix: make the model incremental, or leave partitions out",
        ),
        (
            {"monthly": {"first": "2013-01"}},
            {},
            "partitions without a column: monthly, 2013-01..\n  at:  models/delays.sql:1\n"
            "  fix: write partitions: {monthly: {first: 2013-01, column: flight_date}}",
        ),
        (
            {"montly": {"first": "2013-01"}},
            {},
            "partitions of the unknown kind 'montly'\n  at:  models/delays.sql:1\n  fix: did you mean 'monthly'?",
        ),
        (
            {"monthly": {"begin": "2013-01"}},
            {},
            "monthly partitions {'begin': '2013-01'}: there is no begin, only first, last, column, tz, offset_hours\n"
            "  at:  models/delays.sql:1\n  fix: write partitions: {monthly: {first: 2013-01, column: flight_date}}",
        ),
        (
            {"daily": {"first": "2013-01-01", "last": "2012-01-01", "column": "d"}},
            {},
            "Daily(first='2013-01-01', last='2012-01-01') ends before it begins\n  at:  models/delays.sql:1\n"
            "  fix: write first='2012-01-01', last='2013-01-01', or leave last out",
        ),
        (
            {"daily": {"first": "2013-01-01", "column": "d"}, "run": "all"},
            {},
            "partitions with run 'all'\n  at:  models/delays.sql:1\n  fix: run: each, or run: range",
        ),
    ],
)
def test_partitions_that_do_not_fit_are_refused(partitions: Any, more: dict[str, Any], text: str) -> None:
    assert said({"partitions": partitions}, **more) == [f"DefinitionError: delays has {text}"]


def test_a_begin_that_is_no_date_is_said() -> None:
    assert said({}, settings={**MICROBATCH, "begin": "soon"}) == [
        "DefinitionError: delays has begin 'soon', which is no date\n"
        "  at:  models/delays.sql:1\n  fix: write begin='2013-01-01'"
    ]


def test_mappings_in_meta() -> None:
    written = {"raw.a": {"trailing": 3}, "raw.b": {"offset": -1}, "raw.c": "all", "raw.d": {"keys": {"x": "y"}}}
    assert meta({"mappings": written}).mappings == {
        "raw.a": Trailing(3),
        "raw.b": Offset(-1),
        "raw.c": All(),
        "raw.d": KeyMap({"x": "y"}),
    }
    assert said({"mappings": {"raw.a": {"last": 3}}}) == [
        "DefinitionError: delays has the mapping {'last': 3} for raw.a\n  at:  models/delays.sql:1\n"
        "  fix: one of overlap, same, all, {offset: -1}, {trailing: 3}, {keys: {east: [EWR, JFK]}}"
    ]


# Python

TABLE = Table(Resource(), "raw.flights")


def test_a_python_asset_says_its_partitions_and_what_it_reads_of_others() -> None:
    @asset(TABLE, partitions=MONTHS)
    def flights() -> None: ...

    @asset(Table(Resource(), "marts.rolling"), partitions=MONTHS, mappings={flights: mappings.Trailing(3)})
    def rolling() -> None: ...

    assert (flights.partitions, rolling.mappings) == (MONTHS, ((flights, Trailing(3)),))


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (
            {"partitions": "monthly"},
            "'raw.flights' has the partitions 'monthly'\n"
            '  fix: write partitions=Monthly("2013-01", column="flight_date")',
        ),
        (
            {"partitions": Multi(Static("EWR", column="origin"), Monthly("2013-01"))},
            "'raw.flights' has partitions without a column: monthly, 2013-01..\n"
            '  fix: say which rows are a partition\'s, as in partitions=Monthly("2013-01", column="flight_date")',
        ),
        (
            {"mappings": {TABLE: "all"}},
            "'raw.flights' has the mapping 'all'\n  fix: write mappings={flights: mappings.Trailing(3)}",
        ),
    ],
)
def test_python_partitions_that_are_none_are_refused(more: dict[str, Any], text: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        asset(TABLE, **more)
    assert str(caught.value) == f"DefinitionError: {text}"


# The graph


def merged(*drafts: Any) -> MergeResult:
    return merge([Fragment(assets=drafts)])


def texts(result: MergeResult) -> list[str]:
    return [str(error) for error in result.errors]


def test_each_edge_knows_which_partitions_it_reads() -> None:
    graph = mixed_grains()
    delays = graph.edge("model.shop.delays", key("raw.flights"))
    assert delays.upstream("2013-02-03").text() == "2013-02"
    assert delays.downstream("2013-02").text() == "2013-02-01..2013-02-28"
    rolling = graph.edge("model.shop.rolling", key("marts.delays"))
    assert rolling.upstream("2013-02-03").text() == "2013-01-28..2013-02-03"
    assert list(graph.edge("model.shop.summary", key("marts.by_month")).downstream("EWR|2013-02")) == [""]
    assert list(graph.edge("model.shop.delays", key("raw.airports")).upstream("2013-02-03")) == [""]


def test_an_edge_that_nothing_maps_is_an_error_and_the_graph_stays_whole() -> None:
    origins = draft(scene("raw.sales", engine="python", partitions=Static("a", column="c")))
    result = merged(origins, draft(scene("marts.sales", partitions=DAYS), "python:assets.sales"))
    assert texts(result) == [
        "UnmappedPartitionError: marts.sales (daily, 2013-01-01..2013-12-31, column flight_date) reads raw.sales "
        "(static, a, column c), and which partitions of it cannot be inferred\n"
        "  at:  dbt_project/models/marts/sales.sql:1\n"
        "  fix: declare it on marts.sales: mappings={raw.sales: All()}, KeyMap({…}) or Custom(…)"
    ]
    assert result.graph.edge("model.shop.sales", key("raw.sales")).mapping == All()


def test_a_mapping_of_something_that_is_not_read_is_an_error() -> None:
    flights = draft(scene("raw.flights", engine="python", partitions=MONTHS))
    reader = replace(
        draft(scene("marts.delays", partitions=DAYS), "python:assets.flights"), mappings={"raw.flight": Trailing(2)}
    )
    assert texts(merged(flights, reader)) == [
        "UnknownAssetError: 'marts.delays' maps partitions of 'raw.flight', which it does not read\n"
        "  at:  dbt_project/models/marts/delays.sql:1\n"
        "  fix: did you mean 'raw.flights'?"
    ]
    known = replace(reader, mappings={"raw.flights": Trailing(2)})
    writer = merged(flights, known).graph[key("marts.delays")].writers[0]
    assert writer.mappings == ((key("raw.flights"), Trailing(2)),)


def test_two_writers_of_one_table_divide_it_alike() -> None:
    one = scene("raw.sales", engine="python", partitions=MONTHS)
    other = scene("raw.more", engine="python", partitions=DAYS, relation=one.relation, location=one.location)
    (error,) = [text for text in texts(merged(draft(one), draft(other))) if "divide" in text]
    assert error == (
        "ConflictingWritersError: two writers divide 'dev.raw.sales' differently: python:assets.sales (monthly, "
        "2013-01..2013-12, column flight_date) and python:assets.more (daily, 2013-01-01..2013-12-31, column "
        "flight_date)\n  at:  python_assets/raw.py:3 and python_assets/raw.py:3\n  fix: give both the same partitions"
    )
