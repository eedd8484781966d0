"""Jobs are found where they are made, select by objects, and are checked when the workspace is loaded."""

from __future__ import annotations

import pytest

from orchestrator.dbt import models as dbt
from orchestrator.definitions.jobs import Job, PlacedJob
from orchestrator.definitions.selection import tag
from orchestrator.errors import DefinitionError, SelectionError
from orchestrator.graph.selection import select
from orchestrator.loaders.fragments import Fragment
from orchestrator.loaders.merge import MergeResult, merge
from tests.scenarios import asset, draft, keys

ASSETS = (
    draft(asset("raw.flights", engine="python", tags=("hourly",))),
    draft(asset("staging.flights"), "python:assets.flights"),
    draft(asset("marts.daily"), "model.shop.flights"),
)
MORNING = Job("morning", select=dbt.flights.downstream() | tag("hourly"))


def merged(*jobs: Job) -> MergeResult:
    placed = [PlacedJob(job, f"assets/jobs.py:{line}") for line, job in enumerate(jobs, start=1)]
    return merge([Fragment(assets=ASSETS, jobs=tuple(placed))])


def test_a_job_selects_by_objects_and_jobs_may_hold_jobs() -> None:
    everything = Job("everything", select=MORNING | dbt.daily)
    graph = merged(MORNING, everything).graph
    assert select(graph, "job:everything") == keys("raw.flights", "staging.flights", "marts.daily")
    assert select(graph, "job:morning,not tag:hourly") == keys("staging.flights", "marts.daily")


def test_an_unknown_job_is_said_with_what_was_meant() -> None:
    with pytest.raises(SelectionError) as caught:
        select(merged(MORNING).graph, "job:mornings")
    assert str(caught.value) == "SelectionError: there is no job 'mornings'\n  fix: did you mean 'morning'?"


def test_what_is_wrong_with_jobs_is_said_when_they_are_loaded_all_at_once() -> None:
    wrong = [Job("a", select=dbt.flight), Job("a", select=tag("daily")), Job("b", select=tag("hourli"))]
    assert [str(error) for error in merged(*wrong).errors] == [
        "DefinitionError: two jobs are called 'a'\n"
        "  at:  assets/jobs.py:1 and assets/jobs.py:2\n"
        "  fix: give one of them another name",
        "DefinitionError: job 'a': no asset is called 'flight'\n"
        "  at:  assets/jobs.py:1\n"
        "  fix: did you mean 'flights'?",
        "DefinitionError: job 'b': no asset has the tag 'hourli'\n"
        "  at:  assets/jobs.py:3\n"
        "  fix: did you mean 'hourly'? there are hourly",
    ]


def test_a_job_that_selects_itself_is_refused() -> None:
    one, other = Job("one", select=Job("other", select=tag("x"))), Job("other", select=Job("one", select=tag("x")))
    assert [str(error) for error in merged(one, other).errors] == [
        "DefinitionError: job 'one': job 'one' selects itself\n"
        "  at:  assets/jobs.py:1\n"
        "  fix: take it out of its own selection",
        "DefinitionError: job 'other': job 'other' selects itself\n"
        "  at:  assets/jobs.py:2\n"
        "  fix: take it out of its own selection",
    ]


def test_a_text_is_no_selection_and_a_blank_no_name() -> None:
    with pytest.raises(DefinitionError) as caught:
        Job("morning", select="raw.flights")  # type: ignore[arg-type]
    assert str(caught.value) == (
        "DefinitionError: job 'morning' selects 'raw.flights', which is no selection\n"
        '  fix: select by objects: flights.downstream(), dbt.daily_delays, tag("hourly"), also joined by | & -'
    )
    with pytest.raises(DefinitionError, match="'every morning' is not a job's name"):
        Job("every morning", select=tag("hourly"))
