"""The law of the records: events are the only truth."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.definitions.events import Event, Failure, Materialization, StepFinished, StepStarted
from orchestrator.records import Records, open_records, schema
from orchestrator.records.schema import READ_MODELS
from tests.unit.records.story import FLIGHTS, NOON, Run, failing_run, good_run

STEPS = (FLIGHTS, ("marts.daily", "model.x.daily"), ("ops.vacuum", "python:ops.vacuum"))
OUTCOMES = ("succeeded", "warned", "failed", "blocked", "up_to_date", "cancelled", "unknown")


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Records]:
    """One store for all examples of a law: opening a new one takes longer than an example."""
    with open_records(f"sqlite:///{tmp_path_factory.mktemp('laws')}/records.sqlite") as records:
        yield records


def emptied(records: Records) -> Records:
    with records._database.writing() as connection:
        for table in schema.metadata.sorted_tables:
            if table is not schema.counter:
                connection.execute(table.delete())
    return records


def read_models(records: Records) -> dict[str, list[tuple[Any, ...]]]:
    with records._database.reading() as connection:
        tables = {table.name: connection.execute(table.select()).all() for table in READ_MODELS}
    return {name: sorted(map(tuple, rows), key=repr) for name, rows in tables.items()}


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events of up to three runs in any order: doubled, without beginning, without end, out of turn."""
    runs = [Run(f"run-{number}", begins=NOON + timedelta(hours=number)) for number in range(3)]
    events: list[Event] = []
    for _ in range(draw(st.integers(0, 25))):
        run = draw(st.sampled_from(runs))
        step = draw(st.sampled_from(STEPS))
        attempt = f"{run.run_id}-{step[0]}-{draw(st.integers(1, 2))}"
        match draw(
            st.sampled_from(["started", "begins", "begins", "ends", "ends", "never", "check", "log", "finished"])
        ):
            case "started":
                events.append(run.started(*STEPS))
            case "begins":
                events.append(run.begins(step, attempt, code_version=draw(st.sampled_from(["v1", "v2", None]))))
            case "ends":
                events.append(run.ends(step, attempt, draw(st.sampled_from(OUTCOMES)), **draw(_details)))
            case "never":
                events.append(run.ends(step, None, draw(st.sampled_from(["blocked", "up_to_date", "cancelled"]))))
            case "check":
                events.append(
                    run.checked(draw(st.sampled_from(["a", "b"])), draw(st.sampled_from(["succeeded", "failed"])))
                )
            case "log":
                events.append(run.says("a line"))
            case "finished":
                events.append(run.finished(draw(st.sampled_from(["succeeded", "failed", "lost"]))))
    return events


_details = st.fixed_dictionaries(
    {"duration_s": st.none() | st.floats(0, 1000)},
    optional={
        "failure": st.just(Failure("no")),
        "materialization": st.builds(Materialization, rows=st.none() | st.integers(0, 99), compiled_code=st.text()),
    },
)


@settings(deadline=None, max_examples=25)
@given(events=histories())
def test_replaying_the_events_gives_the_same_state(shared_store: Records, events: list[Event]):
    records = emptied(shared_store)
    for event in events:
        records.record(event)
    before = read_models(records)
    records.rebuild()
    assert read_models(records) == before


@settings(deadline=None, max_examples=25)
@given(events=histories())
def test_facts_are_what_a_plain_fold_over_the_events_says(shared_store: Records, events: list[Event]):
    records = emptied(shared_store)
    records.record(*events)
    facts = records.facts("dev").writers
    told = fold(events)
    assert {key[0]: (fact.status, fact.attempt_id, fact.version) for key, fact in facts.items()} == told


def fold(events: list[Event]) -> dict[str, tuple[str, str, str | None]]:
    """{key: (status, newest attempt, its newest success)}: the rules of the facts once more, without a database."""
    attempts: dict[str, tuple[str, str]] = {}  # in the order they began
    for event in events:
        match event:
            case StepStarted(attempt_id=attempt_id, key=key):
                attempts.setdefault(attempt_id, (key, "running"))
            case StepFinished(attempt_id=str(attempt_id), key=key, status=status):
                if attempts.get(attempt_id, (key, "running"))[1] == "running":
                    attempts[attempt_id] = (key, status)
    told: dict[str, tuple[str, str, str | None]] = {}
    for attempt_id, (key, status) in attempts.items():
        if status not in ("blocked", "up_to_date"):
            version = attempt_id if status in ("succeeded", "warned") else told.get(key, ("", "", None))[2]
            told[key] = (status, attempt_id, version)
    return told


def test_a_ruined_read_model_is_made_again_from_the_events(tmp_path: Path):
    with open_records(f"sqlite:///{tmp_path}/records.sqlite") as records:
        records.record(*good_run(), *failing_run())
        before, version = read_models(records), records.version()
        with records._database.writing() as connection:
            for table in READ_MODELS:
                connection.execute(table.delete())
        assert records.runs() == ()
        records.rebuild()
        assert read_models(records) == before
        assert records.version() > version  # readers must not go on with what they cached
