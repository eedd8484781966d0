"""Manifests of any age and shape can be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.errors import DbtProjectError
from orchestrator.loaders.manifest import build_manifest, load_manifest


def test_an_empty_manifest() -> None:
    manifest = build_manifest(b"{}")

    assert manifest.warnings == ()
    assert manifest.all_of("nodes") == {}


def test_ids_names_and_types_come_from_the_key_when_they_are_missing() -> None:
    manifest = build_manifest(b'{"nodes": {"model.shop.a": {}}, "sources": {"source.shop.raw.t": {"tags": null}}}')

    node, source = manifest.all_of("nodes")["model.shop.a"], manifest.all_of("sources")["source.shop.raw.t"]
    assert (node.unique_id, node.resource_type, node.package_name, node.name) == ("model.shop.a", "model", "shop", "a")
    assert (source.source_name, source.name) == ("raw", "t")


def test_nulls_everywhere() -> None:
    node = {
        "unique_id": "model.shop.a",
        "name": "a",
        "depends_on": {"nodes": None, "macros": [None]},  # dbt writes null for a test that does not exist
        "config": None,
        "columns": None,
        "description": None,
        "checksum": None,
        "raw_code": None,
        "meta": None,
    }
    manifest = build_manifest(json.dumps({"metadata": None, "nodes": {"model.shop.a": node}, "groups": None}).encode())

    found = manifest.all_of("nodes")["model.shop.a"]
    assert (found.parents, found.macros, found.code, found.all_meta) == ([], [], "", {})


def test_what_does_not_fit_is_left_out_with_a_warning() -> None:
    nodes = {
        "model.shop.a": {"name": "a", "tags": {"what": 1}, "depends_on": {"nodes": ["model.shop.b"]}},
        "model.shop.b": 7,
    }
    manifest = build_manifest(json.dumps({"nodes": nodes, "new_in_v13": [1]}).encode())

    assert manifest.all_of("nodes")["model.shop.a"].parents == ["model.shop.b"]
    assert manifest.warnings == (
        "model.shop.a in the manifest: cannot read tags; left out",
        "model.shop.b in the manifest cannot be read: Expected `object`, got `int`",
    )


def test_tags_and_meta_of_node_and_config_are_one() -> None:
    node = {"tags": "nightly", "config": {"tags": ["nightly", "big"], "meta": {"a": 2}}, "meta": {"a": 1, "b": 1}}
    found = build_manifest(json.dumps({"nodes": {"model.s.a": node}}).encode()).all_of("nodes")["model.s.a"]

    assert found.all_tags == ("nightly", "big")
    assert found.all_meta == {"a": 2, "b": 1}


def test_a_manifest_that_is_no_json(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text("{")

    with pytest.raises(DbtProjectError) as error:
        load_manifest(file)

    assert str(error.value) == (
        "DbtProjectError: the manifest is not valid: Input data was truncated\n"
        f"  at:  {file}\n"
        "  fix: write it again with `dbt parse`"
    )
