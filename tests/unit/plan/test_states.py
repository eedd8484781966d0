"""Each state and its reason, from what is recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.definitions.facts import Facts
from orchestrator.graph.model import AssetGraph
from orchestrator.plan.states import build_states
from orchestrator.plan.versions import Versions
from tests.scenarios import asset, chain, check, graph, key, keys, sandwich
from tests.unit.plan.told import NOON, built, but, but_check, without, without_check


def state(graph_: AssetGraph, facts: Facts, name: str) -> tuple[str, str]:
    found = build_states(graph_, facts)[key(name)]
    return found.state, found.reason


def due(graph_: AssetGraph, facts: Facts) -> set[str]:
    return {name for found in build_states(graph_, facts).values() for name in found.due_checks}


def with_code(graph_: AssetGraph, name: str, version: str | None) -> AssetGraph:
    """The graph after the code of one asset has been edited."""
    changed = graph_[key(name)]
    changed = replace(changed, writers=tuple(replace(writer, code_version=version) for writer in changed.writers))
    return replace(graph_, assets={**graph_.assets, changed.key: changed})


def test_an_asset_without_records_is_missing() -> None:
    assert state(chain(), Facts("dev"), "staging.b") == ("missing", "never built")


def test_an_asset_that_nothing_here_writes_is_external() -> None:
    assert state(sandwich(), built(sandwich()), "raw.airports") == ("external", "written elsewhere")


def test_after_a_green_run_everything_is_fresh() -> None:
    states = build_states(sandwich(), built(sandwich()))
    assert {(found.state, found.reason) for found in states.values()} == {
        ("fresh", "up to date"),
        ("fresh", "ran"),
        ("external", "written elsewhere"),
    }
    assert due(sandwich(), built(sandwich())) == set()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"status": "running", "run_id": "run-2"}, ("running", "run run-2 is writing it")),
        ({"status": "unknown", "run_id": "run-2"}, ("unknown", "run run-2 died while writing it")),
        ({"status": "failed", "reason": "no such column"}, ("failed", "no such column")),
        ({"status": "failed"}, ("failed", "the last attempt failed")),
        ({"status": "cancelled"}, ("stale", "the last attempt was cancelled")),
        ({"status": "cancelled", "version": None}, ("missing", "the last attempt was cancelled")),
    ],
)
def test_the_newest_attempt_decides(changed: dict[str, Any], expected: tuple[str, str]) -> None:
    assert state(chain(), but(built(chain()), "staging.b", **changed), "staging.b") == expected


def test_an_edit_makes_its_asset_stale_and_no_other_yet() -> None:
    edited = with_code(chain(), "staging.b", "2")
    assert state(edited, built(chain()), "staging.b") == ("stale", "its code changed")
    assert state(edited, built(chain()), "marts.c") == ("fresh", "up to date")


def test_code_that_cannot_be_compared_counts_as_changed() -> None:
    edited = with_code(chain(), "staging.b", None)
    expected = ("stale", "its code cannot be compared, so it counts as changed")
    assert state(edited, built(chain()), "staging.b") == expected


def test_a_newer_version_upstream_makes_stale_whatever_the_clocks_say() -> None:
    facts = but(built(chain()), "raw.a", version="v2", version_at=NOON - timedelta(days=1))
    assert state(chain(), facts, "staging.b") == ("stale", "raw.a has newer data")
    assert state(chain(), facts, "marts.c") == ("fresh", "up to date")


def test_a_failure_upstream_does_not_make_stale() -> None:
    facts = but(built(chain()), "raw.a", status="failed", attempt_id="v2")
    assert state(chain(), facts, "staging.b") == ("fresh", "up to date")


def test_a_new_edge_makes_stale() -> None:
    facts = but(built(chain()), "marts.c", inputs={})
    assert state(chain(), facts, "marts.c") == ("stale", "now also reads staging.b")


def test_what_was_read_before_it_was_ours_is_older_than_what_we_build() -> None:
    facts = but(built(chain()), "staging.b", inputs={"raw.a": None})
    assert state(chain(), facts, "staging.b") == ("stale", "raw.a has newer data")


def test_a_failed_check_makes_its_asset_failed() -> None:
    facts = but_check(built(sandwich()), "unique_flight", status="failed")
    assert state(sandwich(), facts, "staging.flights") == ("failed", "check unique_flight failed")
    assert state(sandwich(), facts, "marts.report") == ("fresh", "up to date")


def test_a_check_that_warns_does_not() -> None:
    facts = but_check(built(sandwich()), "delays_known", status="failed")
    assert state(sandwich(), facts, "ml.delays") == ("fresh", "up to date")


def test_a_check_that_never_saw_the_data_is_due() -> None:
    """A run that died between a write and its check must not leave it fresh and never checked."""
    new = without_check(built(sandwich()), "unique_flight")
    assert due(sandwich(), new) == {"test.shop.unique_flight"}
    stopped = but_check(built(sandwich()), "unique_flight", status="cancelled")
    assert due(sandwich(), stopped) == {"test.shop.unique_flight"}
    rebuilt = but(built(sandwich()), "staging.flights", version_run_id="run-2", version_at=NOON + timedelta(hours=1))
    assert due(sandwich(), rebuilt) == {"test.shop.unique_flight", "test.shop.delays_known"}


def test_a_check_of_something_that_is_not_there_is_not_due() -> None:
    facts = without_check(without(built(sandwich()), "ml.delays"), "delays_known")
    assert due(sandwich(), facts) == set()


def test_a_unit_test_is_about_code_and_never_due() -> None:
    tested = graph(asset("raw.a"), checks=[check("adds", "raw.a", kind="unit_test")])
    assert due(tested, without_check(built(tested), "adds")) == set()


def test_an_asset_with_two_writers_shows_the_worse_and_joins_their_versions() -> None:
    one, two = asset("raw.a"), asset("raw.a", engine="python")
    both = graph(replace(one, writers=(*one.writers, *two.writers)))
    facts = built(both)
    assert Versions.recorded(both, facts).of(key("raw.a")) == "v.raw.a+v.raw.a"
    failed = {
        slot: replace(fact, status="failed") if slot[1].startswith("python") else fact
        for slot, fact in facts.writers.items()
    }
    assert state(both, replace(facts, writers=failed), "raw.a") == ("failed", "the last attempt failed")


def test_every_asset_has_a_state() -> None:
    assert set(build_states(sandwich(), Facts("dev"))) == set(sandwich().assets) >= keys("ops.vacuum")
