"""Checks that a writer's code elsewhere reported: shown with its newest attempt, and they count for the state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from orchestrator.definitions.facts import CheckFact, Facts
from orchestrator.plan.reported import reported_checks
from orchestrator.plan.states import build_states
from tests.scenarios import key, sandwich
from tests.unit.plan.told import NOON, built, but

GRAPH = sandwich()
FLIGHTS = GRAPH[key("raw.flights")]
WRITER = FLIGHTS.writers[0].id


def with_reported(facts: Facts, name: str, status: Any, *, severity: Any = "error", run: str = "run-1") -> Facts:
    result = CheckFact(f"{WRITER}:{name}", name, str(FLIGHTS.key), status, severity, NOON, run)
    return replace(facts, checks={**facts.checks, result.check: result})


def test_what_the_newest_attempt_reported_is_shown_by_name() -> None:
    facts = with_reported(with_reported(built(GRAPH), "positive", "succeeded"), "complete", "warned", severity="warn")
    found = reported_checks(FLIGHTS, facts)
    assert [(check.name, check.kind, check.severity, check.location) for check in found] == [
        ("complete", "reported", "warn", FLIGHTS.writers[0].location),
        ("positive", "reported", "error", FLIGHTS.writers[0].location),
    ]


def test_what_only_an_older_run_reported_is_not() -> None:
    facts = but(with_reported(built(GRAPH), "positive", "failed"), "raw.flights", run_id="run-2")
    assert reported_checks(FLIGHTS, facts) == ()
    assert build_states(GRAPH, facts)[FLIGHTS.key].state == "fresh"


def test_other_assets_have_none_of_it_and_checks_of_the_graph_are_no_reports() -> None:
    facts = with_reported(built(GRAPH), "positive", "failed")
    assert {name for name, asset in GRAPH.assets.items() if reported_checks(asset, facts)} == {FLIGHTS.key}


def test_a_failed_one_makes_the_asset_failed_and_a_warning_does_not() -> None:
    failed = build_states(GRAPH, with_reported(built(GRAPH), "positive", "failed"))[FLIGHTS.key]
    assert (failed.state, failed.reason) == ("failed", "check positive failed")
    warned = build_states(GRAPH, with_reported(built(GRAPH), "positive", "warned", severity="warn"))[FLIGHTS.key]
    assert warned.state == "fresh"
