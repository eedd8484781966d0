"""A run, seen through its events."""

from __future__ import annotations

import json

from orchestrator.cli.run_view import RunView, summary_json
from tests.unit.cli.stories import START, at, begins, ends, facts, failing_run, seen, started, writer


def test_counts_follow_the_events() -> None:
    view = seen(failing_run())
    assert (view.done, len(view.to_build)) == (5, 5)
    assert (view.count("succeeded"), view.count("failed"), view.count("blocked")) == (2, 1, 2)
    assert view.status == "failed"
    assert not view.running_now()


def test_a_failure_that_is_tried_again_is_no_outcome() -> None:
    view = seen([started(), begins("raw.flights", 0), ends("raw.flights", 1, "failed", will_retry=True)])
    assert view.done == 0
    assert not view.failed_steps


def test_the_estimate_is_what_is_left_at_the_pace_of_this_run() -> None:
    durations = {(asset, writer(asset)): 10.0 for asset in ("raw.flights", "staging.flights", "ml.delays")}
    view = seen([started(), begins("raw.flights", 0), ends("raw.flights", 20)], durations=durations)
    # Five steps of about ten seconds; one took twenty: the four that are left take eighty.
    assert view.remaining(at(20)) == 80.0


def test_no_estimate_where_little_is_known() -> None:
    assert seen([started()], durations={("raw.flights", writer("raw.flights")): 10.0}).remaining(START) is None
    assert RunView().remaining(START) is None


def test_the_summary_holds_every_planned_step_with_its_outcome() -> None:
    summary = summary_json(seen(failing_run()))
    assert json.loads(json.dumps(summary)) == summary
    assert (summary["event"], summary["schema_version"], summary["status"]) == ("summary", 1, "failed")
    assert [(step["key"], step["status"], step["rows"]) for step in summary["steps"]] == [
        ("raw.flights", "succeeded", 336776),
        ("staging.flights", "succeeded", None),
        ("ml.delays", "failed", None),
        ("marts.report", "blocked", None),
        ("ops.vacuum", "blocked", None),
    ]
    assert [check["name"] for check in summary["checks"]] == ["unique_flight"]


def test_what_was_up_to_date_is_in_the_summary_with_its_reason() -> None:
    view = seen([started(facts=facts(), stale=True)])
    steps = {step["key"]: (step["status"], step["reason"]) for step in summary_json(view)["steps"]}
    assert steps["raw.flights"] == ("up_to_date", "up to date")
    assert steps["ml.delays"] == ("unknown", "the run ended before it did")
