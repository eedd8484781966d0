"""`meta.orchestrator`: what is read, what is said of mistakes, and that the published schema agrees."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from orchestrator.definitions.assets import Retry
from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.slots import Slot
from orchestrator.loaders.dbt_meta import SETTINGS, read_meta

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/reference/meta.schema.json").read_text(encoding="utf-8"))


def said(ours: Any) -> list[str]:
    return [str(error) for error in read_meta({"orchestrator": ours}, name="orders", at="models/orders.sql:1").errors]


def test_all_settings_are_read() -> None:
    ours = {
        "key": "marts.sales",
        "retries": 2,
        "retry_delay_s": 0.5,
        "slot": {"name": "erp", "where": {"source": "erp"}},
    }
    found = read_meta({"orchestrator": ours}, name="orders", at="models/orders.sql:1")
    assert (found.key, found.retry, found.errors) == (AssetKey("marts", "sales"), Retry(2, 0.5), ())
    assert found.slot == Slot.of("erp", {"source": "erp"})


def test_every_mistake_is_said_at_once() -> None:
    assert said({"keys": "a.b", "retries": -1, "slot": {"name": "erp"}}) == [
        "DefinitionError: orders has the unknown setting meta.orchestrator.keys\n"
        "  at:  models/orders.sql:1\n"
        "  fix: did you mean 'key'?",
        "DefinitionError: orders has retries -1 with a delay of 10.0\n"
        "  at:  models/orders.sql:1\n"
        "  fix: write meta: {orchestrator: {retries: 2, retry_delay_s: 10}}",
        "DefinitionError: orders has the slot {'name': 'erp'}\n"
        "  at:  models/orders.sql:1\n"
        "  fix: write slot: {name: erp, where: {source: erp}}",
    ]
    assert said(["key"]) == [
        "DefinitionError: orders has meta.orchestrator ['key'], which is no mapping\n"
        "  at:  models/orders.sql:1\n"
        "  fix: write meta: {orchestrator: {…}}"
    ]


@pytest.mark.parametrize(
    "ours",
    [
        {},
        {"key": "raw.a"},
        {"key": "raw"},
        {"key": "raw.a b"},
        {"retries": 0},
        {"retries": -1},
        {"retries": "2"},
        {"retry_delay_s": -1},
        {"retry_delay_s": 1.5},
        {"slot": {"name": "a", "where": {"x": [1, 2]}}},
        {"slot": {"name": "a", "where": {}}},
        {"slot": {"where": {"x": 1}}},
        {"slot": {"name": "a", "where": {"x": {"y": 1}}}},
        {"owner": "me"},
    ],
)
def test_the_published_schema_takes_and_refuses_the_same(ours: dict[str, Any]) -> None:
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(ours) == (said(ours) == [])


def test_the_published_schema_has_every_setting() -> None:
    assert set(SCHEMA["properties"]) == set(SETTINGS)
