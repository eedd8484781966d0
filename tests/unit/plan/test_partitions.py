"""Partitioned assets: states by partition, what a run does of them, and the window that words mean."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from orchestrator.definitions.facts import Facts
from orchestrator.errors import OrchestratorError, PlanError
from orchestrator.graph.model import AssetGraph
from orchestrator.plan.retry import build_retry_plan
from orchestrator.plan.run_plan import RunPlan, build_run_plan
from orchestrator.plan.states import AssetState, build_states
from orchestrator.plan.windows import project
from tests.scenarios import asset, chain, graph, key, keys, mixed_grains
from tests.unit.plan.told import built, but, without

APRIL = datetime(2013, 4, 1, 12, tzinfo=timezone.utc)
GRAPH = mixed_grains()
DONE = built(GRAPH, at=APRIL)


def state(facts: Facts, name: str, as_of: datetime = APRIL) -> AssetState:
    return build_states(GRAPH, facts, as_of=as_of)[key(name)]


def by_state(facts: Facts, name: str, as_of: datetime = APRIL) -> dict[str, str]:
    found = state(facts, name, as_of).partitions
    assert found is not None
    return {word: some.text() for word, some in found.by_state.items()}


def plan(facts: Facts, *selected: str, words: str | None = None, graph_: AssetGraph = GRAPH, **more: Any) -> RunPlan:
    chosen = keys(*selected) if selected else graph_.assets
    window = project(graph_, chosen, words, as_of=APRIL) if words else None
    states = build_states(graph_, facts, as_of=APRIL)
    return build_run_plan(graph_, chosen, states=states, environment="dev", window=window, **more)


def builds(made: RunPlan) -> dict[str, str]:
    """{asset: the partitions that are built}"""
    found: dict[str, list[str]] = {}
    for step in made.to_build:
        found.setdefault(step.key, []).append(step.partition or "")
    partitions = {name: GRAPH[key(name)].partitions for name in found}
    return {name: some.of_keys(found[name]).text() if (some := partitions[name]) else "once" for name in found}


# States


def test_only_windows_that_have_ended_are_there() -> None:
    assert by_state(Facts("dev"), "raw.flights") == {"missing": "2013-01..2013-03"}
    assert state(Facts("dev"), "raw.flights").reason == "3 of 3 partitions missing (2013-01..2013-03)"
    early = datetime(2013, 1, 5, tzinfo=timezone.utc)
    assert (state(Facts("dev"), "raw.flights", early).state, state(Facts("dev"), "raw.flights", early).reason) == (
        "fresh",
        "no partition is due yet",
    )


def test_after_a_green_run_every_partition_is_fresh_until_a_new_one_is_due() -> None:
    assert by_state(DONE, "marts.delays") == {"fresh": "2013-01-01..2013-03-31"}
    assert {one.state for one in build_states(GRAPH, DONE, as_of=APRIL).values()} == {"fresh"}
    tomorrow = datetime(2013, 4, 2, 12, tzinfo=timezone.utc)
    assert by_state(DONE, "marts.delays", tomorrow) == {
        "missing": "2013-04-01",
        "fresh": "2013-01-01..2013-03-31",
    }


def test_what_an_asset_was_divided_by_before_counts_no_more() -> None:
    """Its ledger keeps those partitions; a plan neither fails on them nor takes them for done."""
    name = "marts.delays"
    writers = {
        slot: replace(fact, partition=f"origin {fact.partition}") if slot[0] == name else fact
        for slot, fact in DONE.writers.items()
    }
    facts = replace(DONE, writers={(fact.key, fact.writer, fact.partition): fact for fact in writers.values()})
    assert by_state(facts, name) == {"missing": "2013-01-01..2013-03-31"}


def test_a_new_version_of_a_month_makes_its_days_stale_and_no_others() -> None:
    facts = but(DONE, "raw.flights", partition="2013-02", version="v2")
    assert by_state(facts, "marts.delays") == {
        "stale": "2013-02-01..2013-02-28",
        "fresh": "2013-01-01..2013-01-31, 2013-03-01..2013-03-31",
    }
    assert state(facts, "marts.delays").partitions.reason("2013-02-14") == "raw.flights has newer data"  # type: ignore[union-attr]
    assert state(facts, "marts.summary").state == "fresh", "what it reads was not written again yet"


def test_a_partition_keeps_its_own_state() -> None:
    facts = but(DONE, "raw.flights", partition="2013-01", status="failed", reason="no such file")
    facts = but(facts, "raw.flights", partition="2013-02", status="unknown")
    facts = without(facts, "raw.flights", partitions=["2013-03"])
    assert by_state(facts, "raw.flights") == {"unknown": "2013-02", "failed": "2013-01", "missing": "2013-03"}
    found = state(facts, "raw.flights")
    assert (found.state, found.partitions.reason("2013-01")) == ("unknown", "no such file")  # type: ignore[union-attr]


def test_a_record_of_the_whole_table_is_none_of_a_partition() -> None:
    facts = DONE.writers["raw.airports", "python:assets.airports", None]
    told = Facts("dev", writers={("raw.flights", "python:assets.flights", None): facts})
    assert by_state(told, "raw.flights") == {"missing": "2013-01..2013-03"}


def test_states_of_partitions_need_a_moment() -> None:
    with pytest.raises(ValueError, match=r"raw\.flights is partitioned: as_of is needed"):
        build_states(GRAPH, Facts("dev"))


# Plans


def test_a_first_run_builds_every_partition_that_is_there() -> None:
    assert builds(plan(Facts("dev"))) == {
        "raw.airports": "once",
        "raw.flights": "2013-01..2013-03",
        "raw.weather": "2013-01-01..2013-03-31",
        "marts.delays": "2013-01-01..2013-03-31",
        "marts.by_month": "EWR|2013-01..2013-03, JFK|2013-01..2013-03, LGA|2013-01..2013-03",
        "marts.rolling": "2013-01-01..2013-03-31",
        "marts.summary": "once",
    }


def test_stale_heals_exactly_what_a_failed_partition_reaches() -> None:
    facts = but(DONE, "raw.weather", partition="2013-02-14", status="failed", reason="timeout", version=None)
    made = plan(facts, stale=True)
    assert builds(made) == {
        "raw.weather": "2013-02-14",
        "marts.delays": "2013-02-14",
        "marts.by_month": "EWR|2013-02, JFK|2013-02, LGA|2013-02",
        "marts.rolling": "2013-02-14..2013-02-20",
        "marts.summary": "once",
    }
    reasons = {(step.key, step.action): step.reason for step in made.steps}
    assert reasons["raw.weather", "build"] == "timeout"
    assert reasons["raw.weather", "skip"] == "89 of 90 partitions: up to date"
    assert reasons["marts.by_month", "build"] == "marts.delays will be rebuilt first"


def test_a_window_is_projected_on_each_partitioning_and_the_rest_runs_once() -> None:
    made = plan(DONE, words="2013-02-03..2013-03-02")
    assert builds(made) == {
        "raw.airports": "once",
        "raw.flights": "2013-02..2013-03",
        "raw.weather": "2013-02-03..2013-03-02",
        "marts.delays": "2013-02-03..2013-03-02",
        "marts.by_month": "EWR|2013-02..2013-03, JFK|2013-02..2013-03, LGA|2013-02..2013-03",
        "marts.rolling": "2013-02-03..2013-03-02",
        "marts.summary": "once",
    }
    left = next(step for step in made.steps if step.key == "raw.flights" and step.action == "skip")
    assert (left.partition, left.reason) == (None, "1 of 3 partitions: up to date")


def test_stale_in_a_window_stays_in_it() -> None:
    facts = without(DONE, "raw.weather", partitions=["2013-02-14", "2013-03-14"])
    assert builds(plan(facts, "raw.weather", "marts.delays", words="2013-02", stale=True)) == {
        "raw.weather": "2013-02-14",
        "marts.delays": "2013-02-14",
    }


def test_what_is_all_done_is_left_out_of_a_run() -> None:
    assert [(step.action, step.partition, step.reason) for step in plan(DONE, "raw.flights").steps] == [
        ("skip", None, "3 of 3 partitions: up to date")
    ]


def test_a_full_refresh_takes_everything_and_no_window() -> None:
    assert builds(plan(DONE, "raw.flights", full_refresh=True)) == {"raw.flights": "2013-01..2013-03"}
    with pytest.raises(PlanError) as caught:
        plan(DONE, "raw.flights", words="2013-02", full_refresh=True)
    assert str(caught.value) == (
        "PlanError: a full refresh makes tables anew, and --partitions would leave only a part of their rows\n"
        "  fix: leave out one of --full-refresh and --partitions"
    )


# Windows


def window(words: str, *names: str, as_of: datetime = APRIL) -> dict[str, str]:
    found = project(GRAPH, keys(*names) if names else GRAPH.assets, words, as_of=as_of)
    return {str(name): some.text() for name, some in found.items() if some}


@pytest.mark.parametrize(
    ("words", "name", "partitions"),
    [
        ("2013-02", "raw.flights", "2013-02"),
        ("2013-02", "raw.weather", "2013-02-01..2013-02-28"),
        ("2013-W06", "raw.flights", "2013-02"),
        ("2013-03..", "raw.weather", "2013-03-01..2013-03-31"),
        ("..2013-01-03", "raw.weather", "2013-01-01..2013-01-03"),
        ("2013-01-05, 2013-02-05", "raw.flights", "2013-01..2013-02"),
        ("*", "raw.flights", "2013-01..2013-03"),
        ("EWR|2013-02", "marts.by_month", "EWR|2013-02"),
        ("JFK..", "marts.by_month", "JFK|2013-01..2013-03, LGA|2013-01..2013-03"),
        ("EWR|2013-02", "raw.flights", "2013-02"),
    ],
)
def test_words_mean_what_each_partitioning_makes_of_them(words: str, name: str, partitions: str) -> None:
    assert window(words, name) == {name: partitions}


@pytest.mark.parametrize(
    ("words", "names", "text"),
    [
        (
            "2014",
            ("raw.flights",),
            "UnknownPartitionError: '2014' names no partition of what is selected\n"
            "  fix: raw.flights is monthly, 2013-01..2013-12, column flight_date",
        ),
        (
            "2013-11",
            ("raw.flights",),
            "UnknownPartitionError: no selected partition in '2013-11' is there yet: its window has to end first\n"
            "  fix: raw.flights is monthly, 2013-01..2013-12, column flight_date",
        ),
        (
            "EWR",
            ("raw.flights",),
            "UnknownPartitionError: 'EWR' names no partition of what is selected\n"
            "  fix: raw.flights is monthly, 2013-01..2013-12, column flight_date",
        ),
        (
            "2013-03..2013-01",
            ("raw.flights",),
            "UnknownPartitionError: '2013-03..2013-01' ends before it begins\n  fix: write '2013-01..2013-03'",
        ),
        (
            "2013-01",
            ("raw.airports",),
            "PlanError: nothing that is selected is partitioned\n"
            "  fix: leave --partitions out, or select something else",
        ),
    ],
)
def test_words_that_mean_nothing_are_refused(words: str, names: tuple[str, ...], text: str) -> None:
    with pytest.raises(OrchestratorError) as caught:
        window(words, *names)
    assert str(caught.value) == text


def test_assets_without_partitions_are_in_no_window() -> None:
    mixed = graph(*chain().assets.values(), asset("marts.e", partitions=GRAPH[key("raw.flights")].partitions))
    assert list(project(mixed, mixed.assets, "2013-01", as_of=APRIL)) == [key("marts.e")]


# Retries


def test_a_retry_does_exactly_the_partitions_that_did_not_end_well() -> None:
    facts = but(DONE, "raw.weather", partition="2013-02-14", status="failed", reason="timeout")
    made = build_retry_plan(
        GRAPH,
        run_id="run-1",
        steps={
            ("python:assets.weather", "2013-02-13"): "succeeded",
            ("python:assets.weather", "2013-02-14"): "failed",
            ("model.shop.delays", "2013-02-14"): "blocked",
            ("model.shop.summary", None): "blocked",
        },
        checks={},
        states=build_states(GRAPH, facts, as_of=APRIL),
        environment="dev",
    )
    assert [(step.key, step.partition, step.reason) for step in made.to_build] == [
        ("raw.weather", "2013-02-14", "failed in run run-1"),
        ("marts.delays", "2013-02-14", "was blocked in run run-1"),
        ("marts.summary", None, "was blocked in run run-1"),
    ]
