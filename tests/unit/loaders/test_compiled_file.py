"""The file of compiled SQL, and the keys of what is in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from orchestrator.dbt_engine.compile import Compilation, CompiledNode, CompileInputs
from orchestrator.loaders.compiled_file import CompiledFile, read_compiled_file
from orchestrator.loaders.compiled_keys import CompileKeys
from orchestrator.loaders.manifest import Macro, Manifest, Node, build_manifest
from orchestrator.resources.dbt_profile import Profile

INPUTS = CompileInputs(frozenset({"HOME"}), frozenset({"limit"}), frozenset({"cents"}), everything=True)
NODES = {
    "model.shop.both": CompiledNode(full="select 'ä' as a", incremental="select 'ö' as a where true"),
    "model.shop.empty": CompiledNode(full=""),
    "model.shop.python": CompiledNode(full="def model(dbt, session): …", language="python", volatile=("random",)),
    "model.shop.unknown": CompiledNode(reason="it asks"),
    "model.shop.half": CompiledNode(full="select 1", incremental_reason="it asks"),
}
STORED = CompiledFile().changed(
    "today", kept=(), added={name: (f"key of {name}", Compilation(node, INPUTS)) for name, node in NODES.items()}
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    STORED.write(tmp_path / "compiled.bin")
    found = read_compiled_file(tmp_path / "compiled.bin")

    assert found.project == "today"
    assert {name: found.node(name) for name in found.entries} == NODES
    assert found.entries["model.shop.both"].key == "key of model.shop.both"
    assert found.entries["model.shop.both"].inputs == INPUTS
    assert [path.name for path in tmp_path.iterdir()] == ["compiled.bin"]


def test_entries_are_dropped_kept_and_replaced(tmp_path: Path) -> None:
    new = Compilation(CompiledNode(full="select 2"))
    changed = STORED.changed(
        "tomorrow",
        kept=["model.shop.half", "model.shop.both", "model.shop.unknown"],
        added={"model.shop.both": ("new key", new)},
    )
    changed.write(tmp_path / "compiled.bin")
    found = read_compiled_file(tmp_path / "compiled.bin")

    assert {name: found.node(name) for name in found.entries} == {
        "model.shop.half": NODES["model.shop.half"],
        "model.shop.unknown": NODES["model.shop.unknown"],
        "model.shop.both": new.node,
    }


@pytest.mark.parametrize("length", range(0, 400, 7))
def test_a_file_that_was_cut_off_is_empty(tmp_path: Path, length: int) -> None:
    file = tmp_path / "compiled.bin"
    STORED.write(file)
    file.write_bytes(file.read_bytes()[:length])
    assert read_compiled_file(file).entries == {}


def test_there_may_be_no_file(tmp_path: Path) -> None:
    assert read_compiled_file(tmp_path / "compiled.bin").entries == {}


# Keys

MANIFEST = build_manifest(
    msgspec.json.encode(
        {
            "nodes": {
                "model.shop.a": {"raw_code": "select 1", "relation_name": "dev.a"},
                "model.shop.light": {
                    "raw_code": "select * from {{ ref('a') }}",
                    "config": {"materialized": "ephemeral"},
                    "depends_on": {"nodes": ["model.shop.a"]},
                },
                "model.shop.b": {"raw_code": "…", "depends_on": {"nodes": ["model.shop.light", "source.shop.raw.s"]}},
            },
            "sources": {"source.shop.raw.s": {"relation_name": "raw.s"}},
            "macros": {
                "macro.shop.cents": {"macro_sql": "100"},
                "macro.shop.half": {"macro_sql": "50"},
                "macro.dbt.run_query": {"macro_sql": "…"},
            },
        }
    )
)
READ = CompileInputs(frozenset({"SHOP_REGION"}), frozenset({"limit"}), frozenset({"cents", "run_query"}))


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CompileKeys:
    monkeypatch.delenv("SHOP_REGION", raising=False)
    profile = Profile("shop", "dev", {"type": "duckdb", "schema": "dev"}, tmp_path / "profiles.yml", tmp_path)
    return CompileKeys(MANIFEST, profile, project="1", variables={"limit": 1, "other": 1}, packages_dir=tmp_path)


def _with_node(unique_id: str, **fields: object) -> Callable[[Manifest], Manifest]:
    def change(manifest: Manifest) -> Manifest:
        nodes = manifest.all_of("nodes")
        changed: Node = msgspec.structs.replace(nodes[unique_id], **fields)
        return msgspec.structs.replace(manifest, nodes={**nodes, unique_id: changed})

    return change


def _with_source(manifest: Manifest) -> Manifest:
    source = msgspec.structs.replace(manifest.all_of("sources")["source.shop.raw.s"], relation_name="'s.csv'")
    return msgspec.structs.replace(manifest, sources={source.unique_id: source})


def _with_macro(unique_id: str, text: str) -> Callable[[Manifest], Manifest]:
    _, package, name = unique_id.split(".")
    macro = Macro(unique_id=unique_id, name=name, package_name=package, resource_type="macro", macro_sql=text)
    return lambda manifest: msgspec.structs.replace(manifest, macros={**manifest.all_of("macros"), unique_id: macro})


@pytest.mark.parametrize(
    "change",
    [
        _with_node("model.shop.b", raw_code="select 2"),
        _with_node("model.shop.b", tags=["nightly"]),
        _with_node("model.shop.light", raw_code="select 2"),
        _with_node("model.shop.a", relation_name="prod.a"),  # named inside the ephemeral parent
        _with_source,
        _with_macro("macro.shop.cents", "1000"),
        _with_macro("macro.shop.duckdb__cents", "1000"),  # would be called instead
        _with_macro("macro.shop.run_query", "1000"),
        _with_macro("macro.shop.ref", "1000"),  # takes the place of dbt's own
    ],
)
def test_what_the_text_depends_on_changes_the_key(keys: CompileKeys, change: Callable[[Manifest], Manifest]) -> None:
    assert replace(keys, manifest=change(MANIFEST)).of("model.shop.b", READ) != keys.of("model.shop.b", READ)


@pytest.mark.parametrize(
    "change",
    [
        _with_node("model.shop.a", raw_code="select 2"),  # read by its name only
        _with_macro("macro.shop.half", "60"),
        _with_macro("macro.dbt.run_query", "dbt's version stands for it"),
    ],
)
def test_anything_else_does_not(keys: CompileKeys, change: Callable[[Manifest], Manifest]) -> None:
    assert replace(keys, manifest=change(MANIFEST)).of("model.shop.b", READ) == keys.of("model.shop.b", READ)


def test_values_count_where_they_were_read(keys: CompileKeys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def both() -> tuple[str, str]:
        return keys.of("model.shop.b", READ), keys.of("model.shop.b", CompileInputs())

    before = both()
    monkeypatch.setenv("SHOP_REGION", "emea")
    assert (both()[0] == before[0], both()[1] == before[1]) == (False, True)
    monkeypatch.delenv("SHOP_REGION")
    keys = replace(keys, variables={"limit": 1, "other": 2})
    assert both() == before
    keys = replace(keys, variables={"limit": 1, "shop": {"limit": 2}})
    assert (both()[0] == before[0], both()[1] == before[1]) == (False, True)
    keys = replace(keys, variables={"limit": 1}, profile=replace(keys.profile, target="prod"))
    assert (both()[0] == before[0], both()[1] == before[1]) == (False, False)


def test_the_whole_project_counts_for_what_may_depend_on_it(keys: CompileKeys) -> None:
    other = replace(keys, project="2")
    assert other.of("model.shop.b", READ) == keys.of("model.shop.b", READ)
    everything = replace(READ, everything=True)
    assert other.of("model.shop.b", everything) != keys.of("model.shop.b", everything)
