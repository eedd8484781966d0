"""What is read whole, and what is read by nobody."""

from __future__ import annotations

from orchestrator.validation.findings import Draft, InCode, InYaml
from orchestrator.validation.rules_graph import microbatch_parents, unread_models, unused_sources
from tests.scenarios import key
from tests.unit.validation.world import model, source, world

BATCHES = {"materialized": "incremental", "incremental_strategy": "microbatch", "event_time": "day"}
EVENTS = {"events": ["day DATE"], "users": ["id INTEGER"], "countries": ["id INTEGER"]}


def test_a_parent_of_a_microbatch_model_without_event_time() -> None:
    code = (
        "select * from {{ source('raw', 'events') }}, {{ source('raw', 'users') }}, "
        "{{ source('raw', 'countries').render() }}"
    )
    subject = world(
        {"daily": code},
        sources=EVENTS,
        reads={"daily": [source("events"), source("users"), source("countries")]},
        config={model("daily"): BATCHES, source("events"): {"event_time": "day"}},
    )
    assert list(microbatch_parents(subject)) == [
        Draft(
            "microbatch-parent",
            "raw.users has no event_time: dbt scans it whole for each batch of shop.daily",
            InCode(model("daily"), (r"\bsource\s*\(\s*['\"]raw['\"]\s*,\s*['\"]users['\"]",)),
            key=key("shop.daily"),
            fix="set its event_time; if it is meant to be read whole, write {{ source('raw', 'users').render() }}",
        )
    ]


def test_an_ephemeral_parent_is_read_whole_whatever_it_says() -> None:
    subject = world(
        {"step": "select 1 as day", "daily": "select * from {{ ref('step') }}"},
        reads={"daily": [model("step")]},
        config={model("daily"): BATCHES, model("step"): {"materialized": "ephemeral", "event_time": "day"}},
    )
    assert [(draft.message, draft.fix) for draft in microbatch_parents(subject)] == [
        (
            "step is ephemeral: dbt reads all of what it reads for each batch of shop.daily",
            "make it a view with an event_time",
        )
    ]


def test_other_incremental_models_read_as_they_like() -> None:
    subject = world(
        {"daily": "select * from {{ source('raw', 'users') }}"},
        sources=EVENTS,
        reads={"daily": [source("users")]},
        config={model("daily"): {"materialized": "incremental", "incremental_strategy": "append"}},
    )
    assert list(microbatch_parents(subject)) == []


def test_sources_and_models_that_nobody_reads() -> None:
    subject = world(
        {
            "used": "select id from dev.raw.users",
            "shown": "select id from dev.shop.used",
            "forgotten": "select id from dev.shop.used",
        },
        sources=EVENTS,
        reads={"used": [source("users")], "shown": [model("used")], "forgotten": [model("used")]},
        exposed=["shown"],
        tests=[(source("events"), "day", "not_null"), (model("forgotten"), "id", "unique")],
        unselected=["raw.countries"],
    )
    assert list(unused_sources(subject)) == [
        Draft("unused-source", "nothing reads the source raw.events", InYaml(source("events")), key=key("raw.events"))
    ]
    assert list(unread_models(subject)) == [
        Draft(
            "unread-model",
            "nothing reads shop.forgotten, no exposure either",
            InCode(model("forgotten")),
            key=key("shop.forgotten"),
        )
    ]


def test_what_is_read_without_being_declared_is_read_all_the_same() -> None:
    subject = world(
        {"first": "select id from dev.raw.users", "second": "select id from dev.shop.first"},
        sources={"users": ["id INTEGER"]},
        exposed=["second"],
    )
    assert [*unused_sources(subject), *unread_models(subject)] == []
