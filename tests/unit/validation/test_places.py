"""From rules' own terms to `file:line:col`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.dbt_engine.compile import CompiledNode
from orchestrator.errors import DefinitionError
from orchestrator.loaders.manifest import build_manifest
from orchestrator.validation.findings import InCode, InFile, InSql, InYaml
from orchestrator.validation.places import Locator
from orchestrator.validation.rules_sql import relation_patterns
from orchestrator.validation.validate import definition_errors
from orchestrator.validation.yaml_places import YamlFile

LIGHT = "select\n    a,\n    {{ cents('b') }} as b\nfrom {{ ref('base') }}"
DAILY = "{{ config(materialized='table') }}\n-- from dev.base\nselect l.a, l.c\nfrom {{ ref('light') }} as l, dev.base"
COMPILED = (
    "\n-- from dev.base\nwith __dbt__cte__light as (\nselect\n    a,\n    (b / 100) as b\nfrom dev.base\n) "
    "select l.a, l.c\nfrom __dbt__cte__light as l, dev.base"
)
YAML = """\
models:
  - name: daily
    columns:
      - name: a
      - {name: "B", description: quoted}
  - name: versioned
    versions:
      - v: 1
        columns: [{name: old}]
sources:
  - name: raw
    tables:
      - name: daily
        columns: [{name: x}]
"""


@pytest.fixture
def locator(tmp_path: Path) -> Locator:
    def node(name: str, code: str, **config: str) -> dict[str, object]:
        return {
            "unique_id": f"model.shop.{name}", "name": name, "resource_type": "model", "package_name": "shop",
            "original_file_path": f"models/{name}.sql", "patch_path": "shop://models/models.yml", "raw_code": code,
            "config": config,
        }  # fmt: skip

    source = {
        "unique_id": "source.shop.raw.daily", "name": "daily", "source_name": "raw", "package_name": "shop",
        "original_file_path": "models/models.yml",
    }  # fmt: skip
    nodes = {
        "model.shop.light": node("light", LIGHT, materialized="ephemeral"),
        "model.shop.daily": node("daily", DAILY),
    }
    manifest = build_manifest(json.dumps({"nodes": nodes, "sources": {"source.shop.raw.daily": source}}).encode())
    (tmp_path / "models").mkdir()
    (tmp_path / "models/light.sql").write_text(f"\n{LIGHT}\n", encoding="utf-8")
    (tmp_path / "models/daily.sql").write_text(f"\n\n{DAILY}\n", encoding="utf-8")
    (tmp_path / "models/models.yml").write_text(YAML, encoding="utf-8")
    compiled = {"model.shop.daily": CompiledNode(full=COMPILED)}
    return Locator(manifest, root=tmp_path, file_of=lambda _, path: path, compiled=lambda: compiled)


def test_a_place_in_compiled_sql_is_one_in_the_model(locator: Locator) -> None:
    assert locator.spot(InSql("model.shop.daily", 8, 10)) == ("models/daily.sql", 5, 8, True)
    assert locator.spot(InSql("model.shop.daily", 9, 31)) == ("models/daily.sql", 6, 32, True)


def test_a_place_in_an_injected_cte_is_one_in_the_ephemeral_model(locator: Locator) -> None:
    assert locator.spot(InSql("model.shop.daily", 5, 5)) == ("models/light.sql", 3, 5, True)


def test_a_relation_is_found_in_code_and_not_in_comments(locator: Locator) -> None:
    place = InCode("model.shop.daily", relation_patterns(["warehouse", "dev", "base"]))
    assert locator.spot(place) == ("models/daily.sql", 6, 31, True)
    assert locator.spot(InCode("model.shop.daily", ("nowhere",))) == ("models/daily.sql", 3, 1, False)


def test_models_columns_and_tables_in_yaml(locator: Locator) -> None:
    assert locator.spot(InYaml("model.shop.daily")) == ("models/models.yml", 2, 11, True)
    assert locator.spot(InYaml("model.shop.daily", "b")) == ("models/models.yml", 5, 16, True)
    assert locator.spot(InYaml("source.shop.raw.daily", "x")) == ("models/models.yml", 14, 26, True)
    assert locator.spot(InYaml("source.shop.raw.daily", "y")) == ("models/models.yml", 13, 15, True)


def test_columns_of_a_version_and_yaml_that_cannot_be_parsed() -> None:
    assert YamlFile(YAML).find("models", "versioned", column="old") == (9, 26)
    assert YamlFile("models: [").find("models", "daily") is None


def test_definition_errors_are_findings_at_their_place() -> None:
    errors = (
        DefinitionError("no asset has the key 'x'", at="a.py:3", fix="did you mean 'y'?"),
        DefinitionError("two assets have one key", at="a.sql:1 and b.sql:2"),
        DefinitionError("dbt cannot read it"),
    )
    assert [(draft.message, draft.place) for draft in definition_errors(errors, default="orchestrator.toml")] == [
        ("no asset has the key 'x'", InFile("a.py", 3)),
        ("two assets have one key (at a.sql:1 and b.sql:2)", InFile("a.sql", 1)),
        ("dbt cannot read it", InFile("orchestrator.toml")),
    ]
