"""The JSON contract: names of fields are promises."""

from __future__ import annotations

import json

from orchestrator.cli.json_forms import asset_json, describe_json, impact_json, lineage_json, plan_json
from orchestrator.graph.impact import impact, lineage
from orchestrator.plan.run_plan import build_run_plan
from orchestrator.plan.states import build_states
from tests.scenarios import key
from tests.unit.cli.stories import GRAPH, attempt, facts

STATES = build_states(GRAPH, facts())
PROMISED = (
    "key aliases name kinds group owners tags upstream downstream writers checks location description relation state"
)


def test_an_asset_of_ls() -> None:
    form = asset_json(GRAPH, GRAPH[key("staging.flights")], states=STATES, facts=facts())
    assert set(PROMISED.split()) <= set(form)
    assert json.loads(json.dumps(form)) == form
    assert form["schema_version"] == 1
    assert form["key"] == "staging.flights"
    assert form["aliases"] == ["stg_flights"]
    assert form["upstream"] == ["raw.airports", "raw.flights"]
    assert form["downstream"] == ["marts.report", "ml.delays"]
    assert form["location"] == "dbt_project/models/staging/flights.sql:1"
    assert form["relation"] == "dev.staging.flights"
    assert form["state"] == "fresh"
    assert [check["status"] for check in form["checks"]] == ["succeeded"]


def test_describe_adds_the_newest_success_its_history_and_values() -> None:
    history = [attempt(0, status="failed", version=None), attempt(1)]
    form = describe_json(GRAPH, GRAPH[key("staging.flights")], states=STATES, facts=facts(), history=history)
    assert set(PROMISED.split()) | {"columns", "latest", "history", "metadata"} <= set(form)
    assert {name: form["latest"][name] for name in ("at", "run_id", "by", "rows", "duration_s")} == {
        "at": "2026-11-21T11:00:00+00:00",
        "run_id": "r1",
        "by": "ann@laptop",
        "rows": 990,
        "duration_s": 12.0,
    }
    assert [item["status"] for item in form["history"]] == ["failed", "succeeded"]
    assert form["metadata"] == {"mean_delay": {"kind": "number", "value": 6.5}}


def test_an_asset_that_was_never_built_has_no_latest() -> None:
    form = describe_json(GRAPH, GRAPH[key("marts.report")], states=STATES, facts=facts(), history=[])
    assert (form["latest"], form["history"], form["metadata"]) == (None, [], {})


def test_plan_lists_writers_and_keeps_checks_apart() -> None:
    form = plan_json(build_run_plan(GRAPH, GRAPH.assets, states=STATES, environment="dev", stale=True))
    assert form["steps"][0].keys() == {"key", "writer", "partition", "action", "reason", "kind"}
    assert [(step["key"], step["action"]) for step in form["steps"]] == [
        ("raw.flights", "skip"),
        ("staging.flights", "skip"),
        ("ml.delays", "build"),
        ("marts.report", "build"),
        ("ops.vacuum", "build"),
    ]
    assert form["checks"] == ["test.shop.delays_known"]


def test_lineage_and_impact_are_lists() -> None:
    down = lineage_json(GRAPH, lineage(GRAPH, key("ml.delays"), direction="down"), states=STATES)
    assert [(item["key"], item["direction"], item["distance"]) for item in down] == [
        ("ml.delays", "self", 0),
        ("marts.report", "down", 1),
        ("ops.vacuum", "down", 2),
    ]
    broken = impact_json(GRAPH, impact(GRAPH, key("ml.delays")))
    assert [(item["type"], item["key"], item["via"]) for item in broken] == [
        ("asset", "marts.report", "ml.delays"),
        ("action", "ops.vacuum", "marts.report"),
        ("exposure", "board", "marts.report"),
        ("check", "delays_known", "ml.delays"),
    ]
