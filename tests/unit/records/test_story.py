"""The story of a run, and what each reader answers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.definitions.events import ColumnInfo, Failure, Materialization
from orchestrator.definitions.facts import CheckFact, WriterFact
from orchestrator.errors import RecordsError
from orchestrator.records import CheckRecord, LogRecord, Records
from tests.unit.records.story import DAILY, FLIGHTS, NOON, PICTURE, Run, failing_run, good_run


def after(seconds: int):
    return NOON + timedelta(seconds=seconds)


def test_facts_after_a_good_run_hold_versions_and_what_was_read(records: Records):
    records.record(*good_run())
    facts = records.facts("dev")
    assert facts.writers[(*DAILY, None)] == WriterFact(
        *DAILY,
        None,
        "succeeded",
        "run-1-daily",
        "run-1",
        after(5),
        version="run-1-daily",
        version_at=after(5),
        version_run_id="run-1",
        code_version="v7",
        inputs={"raw.flights": "run-1-flights"},
        rows=365,
        duration_s=0.5,
    )
    assert facts.checks == {
        "test.flights.not_null_origin": CheckFact(
            "test.flights.not_null_origin", "not_null_origin", DAILY[0], "succeeded", "error", after(6), "run-1"
        )
    }
    assert facts.durations == {FLIGHTS: 2.0, DAILY: 0.5}


def test_environments_do_not_see_each_other(records: Records):
    records.record(*good_run(environment="prod"))
    assert records.facts("dev").writers == {}
    assert records.runs("dev") == ()
    assert records.latest("dev", FLIGHTS[0]) is None


def test_a_failing_attempt_keeps_the_old_version_but_says_failed(records: Records):
    records.record(*good_run(), *failing_run())
    fact = records.facts("dev").writers[(*FLIGHTS, None)]
    assert (fact.status, fact.reason, fact.attempt_id) == ("failed", "ConnectionError: no route", "run-2-flights")
    assert (fact.version, fact.version_run_id, fact.code_version, fact.rows) == ("run-1-flights", "run-1", "v1", 842)


def test_a_blocked_step_is_no_attempt(records: Records):
    records.record(*good_run(), *failing_run())
    assert records.facts("dev").writers[(*DAILY, None)].status == "succeeded"
    assert [record.run_id for record in records.history("dev", DAILY[0])] == ["run-1"]


def test_an_intent_shows_as_running_and_keeps_the_version(records: Records):
    run = Run("run-2")
    records.record(*good_run(), run.started(FLIGHTS), run.begins(FLIGHTS, "a2"))
    fact = records.facts("dev").writers[(*FLIGHTS, None)]
    assert (fact.status, fact.version, fact.at) == ("running", "run-1-flights", after(1))


def test_an_attempt_that_turns_out_blocked_gives_the_place_back(records: Records):
    run = Run("run-2")
    records.record(*good_run())
    before = records.facts("dev")
    records.record(run.started(DAILY), run.begins(DAILY, "a2"), run.ends(DAILY, "a2", "blocked", reason="raw failed"))
    assert records.facts("dev") == before
    assert len(records.history("dev", DAILY[0])) == 1


def test_a_first_attempt_that_turns_out_blocked_leaves_no_fact(records: Records):
    run = Run("run-1")
    records.record(run.started(DAILY), run.begins(DAILY, "a1"), run.ends(DAILY, "a1", "blocked"))
    assert records.facts("dev").writers == {}


def test_the_first_outcome_of_an_attempt_stands(records: Records):
    """A writer that was called unknown must not turn green by a late word."""
    run = Run("run-1")
    records.record(run.started(FLIGHTS), run.begins(FLIGHTS, "a1"), run.ends(FLIGHTS, "a1", "unknown"))
    records.record(run.finished("lost"))
    records.record(run.ends(FLIGHTS, "a1", "succeeded"), run.finished("succeeded"))
    assert records.facts("dev").writers[(*FLIGHTS, None)].status == "unknown"
    assert records.runs()[0].status == "lost"
    assert records.runs()[0].counts == {"unknown": 1}


def test_an_older_attempt_that_ends_later_does_not_cover_the_newer_one(records: Records):
    one, two = Run("run-1"), Run("run-2")
    records.record(one.started(FLIGHTS), one.begins(FLIGHTS, "a1"), two.started(FLIGHTS), two.begins(FLIGHTS, "a2"))
    records.record(two.ends(FLIGHTS, "a2"), one.ends(FLIGHTS, "a1", "failed"))
    fact = records.facts("dev").writers[(*FLIGHTS, None)]
    assert (fact.status, fact.version) == ("succeeded", "a2")


def test_hooks_are_steps_of_their_run_and_no_facts(records: Records):
    run = Run("run-1")
    hook = ("on-run-end", "")
    records.record(
        run.started(FLIGHTS), run.begins(hook, "h1", kind="hook"), run.ends(hook, "h1", "failed", kind="hook")
    )
    assert records.facts("dev").writers == {}
    steps = records.run("run-1").steps
    assert [(step.key, step.status) for step in steps] == [("raw.flights", "waiting"), ("on-run-end", "failed")]


def test_partitions_are_facts_of_their_own(records: Records):
    run = Run("run-1")
    for month in ("2013-01", "2013-02"):
        records.record(run.begins(FLIGHTS, month, partition=month))
    records.record(run.ends(FLIGHTS, "2013-01", partition="2013-01"))
    facts = records.facts("dev").writers
    assert {key[2]: fact.status for key, fact in facts.items()} == {"2013-01": "succeeded", "2013-02": "running"}


def test_runs_say_how_they_ended_newest_first(records: Records):
    records.record(*good_run(), *failing_run())
    newest, oldest = records.runs()
    assert (oldest.run_id, oldest.status, oldest.duration_s, oldest.by) == ("run-1", "succeeded", 7.0, "ada@laptop")
    assert (oldest.started_at, oldest.finished_at) == (after(0), after(7))
    assert (oldest.counts, oldest.check_counts, oldest.failed) == ({"succeeded": 2}, {"succeeded": 1}, ())
    assert (newest.run_id, newest.status, newest.reason) == ("run-2", "failed", "1 step failed")
    assert (newest.counts, newest.failed) == ({"failed": 1, "blocked": 1}, ("raw.flights",))
    assert [run.run_id for run in records.runs(limit=1)] == ["run-2"]


def test_a_running_run_counts_what_is_still_waiting(records: Records):
    run = Run("run-1")
    records.record(run.started(FLIGHTS, DAILY, skipped=(("raw.planes", "w"),)), run.begins(FLIGHTS, "a1"))
    [summary] = records.runs()
    assert (summary.status, summary.finished_at, summary.duration_s) == ("running", None, None)
    assert summary.counts == {"running": 1, "up_to_date": 1, "waiting": 1}


def test_a_run_in_detail(records: Records):
    records.record(*good_run(), *failing_run())
    run = records.run("run-2")
    flights, daily = run.steps
    assert (flights.key, flights.status, flights.attempt, flights.plan_reason) == (
        "raw.flights",
        "failed",
        1,
        "selected",
    )
    assert flights.failure == Failure("\nConnectionError: no route\nto host", traceback="flights.py:12")
    assert (flights.started_at, flights.duration_s) == (NOON + timedelta(hours=1, seconds=1), 1.0)
    assert (daily.status, daily.reason, daily.attempt_id) == ("blocked", "raw.flights failed", None)
    assert records.run("run-1").checks[0].status == "succeeded"
    assert records.run("run-1").log == ()
    assert [line.message for line in records.run("run-1", logs=True).log] == ["reading 2013"]


def test_a_run_is_found_by_the_beginning_of_its_id(records: Records):
    records.record(*good_run("20130601-beef"), *failing_run("20130602-cafe"))
    assert records.run("20130602").run_id == "20130602-cafe"
    assert records.run("2014") is None
    assert records.run("%") is None
    with pytest.raises(RecordsError) as caught:
        records.run("2013")
    assert str(caught.value) == (
        "RecordsError: several runs begin with '2013': 20130602-cafe, 20130601-beef\n  fix: write more of the run's id"
    )


def test_a_retry_is_the_same_step_with_another_attempt(records: Records):
    run = Run("run-1")
    records.record(
        run.started(FLIGHTS),
        run.begins(FLIGHTS, "a1"),
        run.ends(FLIGHTS, "a1", "failed", will_retry=True, failure=Failure("timeout")),
        run.begins(FLIGHTS, "a2", attempt=2),
        run.ends(FLIGHTS, "a2"),
    )
    [step] = records.run("run-1").steps
    assert (step.status, step.attempt, step.attempt_id, step.failure, step.reason) == ("succeeded", 2, "a2", None, "")
    assert [(record.attempt, record.status) for record in records.history("dev", FLIGHTS[0])] == [
        (2, "succeeded"),
        (1, "failed"),
    ]


def test_latest_is_the_newest_success_with_all_it_left_behind(records: Records):
    records.record(*good_run(), *failing_run())
    latest = records.latest("dev", FLIGHTS[0])
    assert (latest.version, latest.run_id, latest.by, latest.at) == ("run-1-flights", "run-1", "ada@laptop", after(3))
    assert (latest.rows, latest.duration_s, latest.code_version) == (842, 2.0, "v1")
    assert latest.columns == (ColumnInfo("flight_date", "DATE"), ColumnInfo("origin", "VARCHAR"))
    assert latest.metadata == {"late": {"kind": "number", "value": 0.25}, "delays": PICTURE}


def test_a_history_names_large_values_instead_of_reading_them(records: Records):
    records.record(*good_run(), *failing_run())
    failed, succeeded = records.history("dev", FLIGHTS[0])
    assert (failed.status, failed.version, failed.reason) == ("failed", None, "ConnectionError: no route")
    picture = succeeded.metadata["delays"]
    assert picture == {"kind": "image", "blob": picture["blob"], "bytes": 3232}
    assert records.blob(picture["blob"]) == PICTURE["value"]
    assert records.blob("0" * 64) is None
    assert [record.run_id for record in records.history("dev", FLIGHTS[0], succeeded_only=True)] == ["run-1"]
    assert len(records.history("dev", FLIGHTS[0], limit=1)) == 1


def test_numbers_over_time(records: Records):
    tomorrow = NOON + timedelta(days=1)
    records.record(*good_run(rows=842), *good_run("run-2", rows=915, begins=tomorrow))
    assert records.metadata_series("dev", FLIGHTS[0], "rows") == (
        (after(3), 842),
        (tomorrow + timedelta(seconds=3), 915),
    )
    assert [value for _, value in records.metadata_series("dev", FLIGHTS[0], "late")] == [0.25, 0.25]
    assert records.series_names("dev", FLIGHTS[0]) == ("duration_s", "late", "rows")


def test_numbers_that_are_none_make_no_point(records: Records):
    numbers = {"inf": float("inf"), "nan": float("nan"), "huge": 10**400, "big": 10**30}
    left = Materialization(metadata={name: {"kind": "number", "value": value} for name, value in numbers.items()})
    run = Run("run-1")
    records.record(run.begins(FLIGHTS, "a1"), run.ends(FLIGHTS, "a1", materialization=left))
    assert records.series_names("dev", FLIGHTS[0]) == ("big",)


def test_sample_columns_and_code_of_the_newest_success_that_kept_them(records: Records):
    run = Run("run-2")
    records.record(
        *good_run(), run.begins(FLIGHTS, "a2"), run.ends(FLIGHTS, "a2", materialization=Materialization(rows=1))
    )
    assert records.sample("dev", FLIGHTS[0]) == {"columns": ["flight_date", "origin"], "rows": [["2013-01-01", "JFK"]]}
    assert records.columns("dev", FLIGHTS[0])[1] == ColumnInfo("origin", "VARCHAR")
    assert records.compiled_code("dev", DAILY[0]) == "select 1"
    assert records.sample("dev", DAILY[0]) is None
    assert records.columns("dev", "raw.nothing") == ()


def test_check_results_over_time(records: Records):
    run = Run("run-2")
    records.record(*good_run(), run.checked("test.flights.not_null_origin", "failed", failures=3, duration_s=0.1))
    records.record(run.checked("test.flights.other"))
    newest, oldest = records.check_history("dev", "test.flights.not_null_origin", limit=5)
    assert newest == CheckRecord(
        check="test.flights.not_null_origin",
        name="not_null_origin",
        key=DAILY[0],
        status="failed",
        severity="error",
        at=NOON,
        run_id="run-2",
        failures=3,
        duration_s=0.1,
    )
    assert oldest.status == "succeeded"
    facts = records.facts("dev").checks
    assert {check: fact.status for check, fact in facts.items()} == {
        "test.flights.not_null_origin": "failed",
        "test.flights.other": "succeeded",
    }


def test_log_lines_of_a_run_and_of_one_asset(records: Records):
    run = Run("run-1")
    records.record(run.says("hello"), run.says("reading", key=FLIGHTS[0]))
    assert records.log_lines("run-1") == (
        LogRecord(at=after(0), level="info", message="hello"),
        LogRecord(at=after(1), level="info", message="reading", key="raw.flights"),
    )
    assert [line.message for line in records.log_lines("run-1", key="raw.flights")] == ["reading"]


def test_strange_text_is_no_reason_to_lose_an_outcome(records: Records):
    run = Run("run-1")
    failure = Failure("could not read 'caf\udce9\0.csv'")
    left = {"columns": ["x"], "rows": [[NOON], [{1, 2}]]}
    records.record(run.started(FLIGHTS), run.begins(FLIGHTS, "a1"), run.ends(FLIGHTS, "a1", "failed", failure=failure))
    records.record(run.begins(DAILY, "a2"), run.ends(DAILY, "a2", materialization=Materialization(sample=left)))
    assert records.facts("dev").writers[(*FLIGHTS, None)].reason == "could not read 'caf?�.csv'"
    assert records.sample("dev", DAILY[0])["rows"] == [["2013-06-01T12:00:00+00:00"], [[1, 2]]]


def test_an_outcome_without_an_intent_is_still_an_outcome(records: Records):
    records.record(Run("run-1").ends(FLIGHTS, "a1", materialization=Materialization(rows=5)))
    fact = records.facts("dev").writers[(*FLIGHTS, None)]
    assert (fact.status, fact.version, fact.rows) == ("succeeded", "a1", 5)


def test_the_version_grows_with_each_record_and_only_then(records: Records):
    before = records.version()
    records.record()
    records.runs()
    records.heartbeat("run-1")
    records.claim("dev", *FLIGHTS, None, run_id="run-1")
    assert records.version() == before
    records.record(*good_run())
    assert records.version() == before + 1


def test_durations_are_medians_of_the_last_seven_successes(records: Records):
    run = Run("run-1")
    for number, seconds in enumerate([900.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]):
        records.record(run.begins(FLIGHTS, f"a{number}"), run.ends(FLIGHTS, f"a{number}", duration_s=seconds))
    assert records.durations("dev") == {FLIGHTS: 4.0}
