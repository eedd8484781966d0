"""What a manifest's nodes become. Small hand-written manifests; real projects are in tests/integration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.definitions.keys import AssetKey, Relation
from orchestrator.loaders.dbt_assets import build_fragment, operations
from orchestrator.loaders.fragments import DraftAsset, Fragment
from orchestrator.loaders.manifest import build_manifest


def node(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "unique_id": f"model.shop.{name}",
        "name": name,
        "resource_type": "model",
        "package_name": "shop",
        "original_file_path": f"models/{name}.sql",
        "raw_code": "select 1",
        "config": {"materialized": "table"},
        **fields,
    }


def test_node(name: str, **fields: Any) -> dict[str, Any]:
    return node(name, unique_id=f"test.shop.{name}", resource_type="test", **fields)


test_node.__test__ = False  # type: ignore[attr-defined]


def load(*nodes: dict[str, Any], directory: Path = Path("/shop"), variables: Any = None, **sections: Any) -> Fragment:
    content = {
        "metadata": {"adapter_type": "duckdb", "dbt_version": "1.11.16", "project_name": "shop"},
        "nodes": {item["unique_id"]: item for item in nodes},
        **sections,
    }
    return build_fragment(
        build_manifest(json.dumps(content).encode()),
        project_dir=directory,
        workspace_root=directory,
        variables=variables,
    )


def only(fragment: Fragment) -> DraftAsset:
    (draft,) = fragment.assets
    return draft


def version(*nodes: dict[str, Any], of: str = "a", **options: Any) -> str | None:
    found = {draft.asset.name: draft for draft in load(*nodes, **options).assets}[of]
    return found.asset.writers[0].code_version


# Keys


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({}, "shop.a"),
        ({"config": {"schema": "marts"}}, "marts.a"),
        ({"config": {"alias": "b"}, "alias": "b"}, "shop.b"),
        ({"version": 2, "alias": "a_v2"}, "shop.a_v2"),
        ({"version": 1.5, "alias": "a_v1_5"}, "shop.a_v1_5"),
        ({"alias": "dev__a"}, "shop.a"),  # a generate_alias_name that looks at the target
        ({"resource_type": "snapshot", "config": {"target_schema": "history"}}, "history.a"),
    ],
)
def test_key_is_schema_as_written_or_project_then_name(fields: dict[str, Any], key: str) -> None:
    assert str(only(load(node("a", **fields))).asset.key) == key


@pytest.mark.parametrize(
    "fields",
    [
        {"unrendered_config": {"schema": "{{ 'live' if target.name == 'prod' else 'x' }}"}},
        {"unrendered_config": {"schema": "{{ env_var('SCHEMA') }}"}},
        {"raw_code": "{{ config(schema=target.name ~ '_x') }} select 1"},
    ],
)
def test_a_schema_that_depends_on_the_target_is_not_used(fields: dict[str, Any]) -> None:
    assert str(only(load(node("a", config={"schema": "x"}, **fields))).asset.key) == "shop.a"


def test_a_schema_from_a_variable_is_used() -> None:
    draft = only(load(node("a", config={"schema": "x"}, unrendered_config={"schema": "{{ var('schema', 'x') }}"})))
    assert str(draft.asset.key) == "x.a"


def test_meta_fixes_the_key() -> None:
    draft = only(load(node("a", config={"meta": {"orchestrator": {"key": "core.a"}}})))
    assert draft.explicit_key == AssetKey("core", "a")


def test_a_bad_key_in_meta_is_an_error_with_its_place() -> None:
    fragment = load(node("a", meta={"orchestrator": {"key": "nodots"}}))

    assert only(fragment).explicit_key is None
    assert [str(error) for error in fragment.errors] == [
        "DefinitionError: 'nodots' is not an asset key\n"
        "  at:  models/a.sql:1\n"
        "  fix: write it as 'layer.name', for example 'raw.flights'"
    ]


# Assets


def test_a_model_with_everything() -> None:
    model = node(
        "a",
        database="WH",
        schema="Dev_Marts",
        alias="A",
        description="One row each.\n",
        columns={"id": {"name": "id", "data_type": "int", "description": "Its number."}},
        config={"materialized": "incremental", "schema": "marts", "meta": {"owner": "me@example.com"}},
        tags=["nightly"],
        group="sales",
        access="public",
        depends_on={"nodes": ["source.shop.raw.t", "model.shop.a"]},
    )
    groups = {"group.shop.sales": {"name": "sales", "package_name": "shop", "owner": {"name": "Sales"}}}
    draft = only(load(model, groups=groups, parent_map={}, sources={}))

    asset = draft.asset
    assert asset.relation == Relation("wh", "dev_marts", "a")
    assert asset.kinds == ("duckdb", "dbt", "incremental", "sql")
    assert (asset.group, asset.owners, asset.access) == ("sales", ("me@example.com", "Sales"), "public")
    assert (asset.description, asset.tags) == ("One row each.", ("nightly",))
    assert [(column.name, column.type, column.description) for column in asset.columns] == [
        ("id", "int", "Its number.")
    ]
    assert asset.aliases == ("a", "shop.a")
    assert draft.reads == frozenset()  # the source is not there, and nothing reads itself
    assert str(asset.writers[0].location) == "models/a.sql:1"


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({}, ("duckdb", "dbt", "table", "sql")),
        ({"language": "python"}, ("duckdb", "dbt", "table", "python")),
        ({"resource_type": "seed", "config": {"materialized": "seed"}}, ("duckdb", "dbt", "seed", "csv")),
        ({"config": {"materialized": "external", "format": "csv"}}, ("duckdb", "dbt", "external", "sql", "csv")),
        ({"config": {"materialized": "external"}}, ("duckdb", "dbt", "external", "sql", "parquet")),
    ],
)
def test_kinds_come_from_adapter_strategy_language_and_file_format(
    fields: dict[str, Any], kinds: tuple[str, ...]
) -> None:
    assert only(load(node("a", **fields))).asset.kinds == kinds


def test_a_parent_outside_a_trimmed_manifest_is_a_warning() -> None:
    fragment = load(node("a", depends_on={"nodes": ["model.shop.gone"]}))
    assert fragment.warnings == ("model.shop.a reads model.shop.gone, which is not in the manifest",)


def test_a_source_stands_at_its_line(tmp_path: Path) -> None:
    yaml = "sources:\n  - name: raw\n    tables:\n      - name: b\n      - {name: a, identifier: t_a}\n"
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "s.yml").write_text(yaml)
    source = {
        "name": "a",
        "source_name": "raw",
        "schema": "landing",
        "identifier": "t_a",
        "package_name": "shop",
        "original_file_path": "models/s.yml",
        "source_description": "What comes in.",
        "freshness": {"warn_after": {"count": 1, "period": "day"}, "error_after": None},
    }
    asset = only(load(sources={"source.shop.raw.a": source}, directory=tmp_path)).asset

    assert (str(asset.key), str(asset.relation), str(asset.location)) == ("raw.a", "landing.t_a", "models/s.yml:5")
    assert asset.external
    assert asset.aliases == ("source:raw.a", "source:shop.raw.a")
    assert asset.description == "What comes in."
    assert asset.meta == {"freshness": {"warn_after": {"count": 1, "period": "day"}, "error_after": None}}


def test_ephemeral_models_and_analyses_are_no_assets() -> None:
    fragment = load(
        node("e", config={"materialized": "ephemeral"}),
        node("n", resource_type="analysis", unique_id="analysis.shop.n"),
    )
    assert fragment.assets == ()
    assert [draft.ephemeral.name for draft in fragment.ephemerals] == ["e"]


def test_files_of_a_package_stand_in_its_directory(tmp_path: Path) -> None:
    (tmp_path / "dbt_packages" / "tools").mkdir(parents=True)
    model = node("a", package_name="tools", unique_id="model.tools.a")
    assert str(only(load(model, directory=tmp_path)).asset.location) == "dbt_packages/tools/models/a.sql:1"


# Checks, consumers, hooks


def test_a_test_over_two_models_without_attachment_is_shown_on_the_last() -> None:
    parents = ["model.shop.a", "model.shop.b"]
    fragment = load(node("a"), node("b"), test_node("t", depends_on={"nodes": parents}))

    (draft,) = fragment.checks
    assert draft.asset_id == "model.shop.b"
    assert draft.reads == frozenset(parents)
    assert (draft.check.severity, draft.check.blocking) == ("error", True)


def test_a_warning_test_does_not_block_and_says_its_limits() -> None:
    config = {"severity": "WARN", "warn_if": ">10", "error_if": "!= 0"}
    fragment = load(node("a"), test_node("t", config=config, attached_node="model.shop.a", column_name="id"))

    (draft,) = fragment.checks
    assert (draft.check.severity, draft.check.blocking, draft.check.column) == ("warn", False, "id")
    assert draft.check.description == "warn if >10"


def test_a_group_that_is_no_name_is_none() -> None:
    assert only(load(node("a", config={"group": {"name": "sales"}}))).asset.group is None


def test_what_is_disabled_is_left_out() -> None:
    # dbt keeps a test of a model that does not exist in the manifest, disabled.
    off = {"enabled": False}
    tests = {"unit_test.shop.a.u": {"name": "u", "model": "a", "config": off}}
    exposures = {"exposure.shop.board": {"name": "board", "config": off}}
    fragment = load(test_node("gone", config=off), node("a", config=off), unit_tests=tests, exposures=exposures)
    assert (fragment.assets, fragment.checks, fragment.consumers) == ((), (), ())


def test_a_unit_test_needs_its_model_only() -> None:
    unit = {"unit_test.shop.a.u": {"name": "u", "model": "a", "depends_on": {"nodes": ["model.shop.a"]}}}
    off = {"unit_test.shop.a.off": {"name": "off", "config": {"enabled": False}}}
    (draft,) = load(node("a"), unit_tests={**unit, **off}).checks

    assert (draft.check.kind, draft.asset_id, draft.reads) == ("unit_test", "model.shop.a", {"model.shop.a"})


def test_consumers_keep_their_own_edges() -> None:
    fragment = load(
        node("a"),
        exposures={
            "exposure.shop.e": {"owner": {"email": ["x@y", "z@y"]}, "depends_on": {"nodes": ["metric.shop.m"]}},
        },
        metrics={"metric.shop.m": {"depends_on": {"nodes": ["model.shop.a"]}, "label": "M"}},
    )
    exposure, metric = fragment.consumers
    assert (exposure.consumer.kind, exposure.consumer.owners, exposure.reads) == (
        "exposure",
        ("x@y", "z@y"),
        {"metric.shop.m"},
    )
    assert (metric.consumer.kind, metric.consumer.description, metric.reads) == ("metric", "M", {"model.shop.a"})


def test_hooks_are_operations() -> None:
    name = "shop-on-run-start-0"
    hook = node(name, unique_id=f"operation.shop.{name}", resource_type="operation", raw_code="select 2")
    (found,) = operations(build_manifest(json.dumps({"nodes": {hook["unique_id"]: hook}}).encode()))
    assert (found.when, found.package, found.sql) == ("on-run-start", "shop", "select 2")


# Code versions


def macro(name: str, sql: str, *calls: str, package: str = "shop") -> dict[str, Any]:
    return {
        f"macro.{package}.{name}": {
            "name": name,
            "package_name": package,
            "macro_sql": sql,
            "depends_on": {"macros": [f"macro.shop.{other}" for other in calls]},
        }
    }


CALLS = {"depends_on": {"macros": ["macro.shop.outer", "macro.dbt.is_incremental"]}}


def test_the_code_version_changes_with_a_macro_that_a_macro_calls() -> None:
    model, outer = node("a", **CALLS), macro("outer", "x", "inner")

    one = version(model, macros={**outer, **macro("inner", "1")})
    assert one == version(model, macros={**outer, **macro("inner", "1"), **macro("unrelated", "2")})
    assert one != version(model, macros={**outer, **macro("inner", "2")})


def test_dbts_own_macros_do_not_count() -> None:
    model = node("a", **CALLS)
    assert version(model, macros=macro("is_incremental", "1", package="dbt")) == version(
        model, macros=macro("is_incremental", "2", package="dbt")
    )


def test_a_materialization_of_ones_own_counts() -> None:
    model = node("a", config={"materialized": "fancy"})
    assert version(model, macros=macro("materialization_fancy_default", "1")) != version(
        model, macros=macro("materialization_fancy_default", "2")
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"raw_code": "select 2"},
        {"config": {"materialized": "view"}},
        {"config": {"materialized": "table", "unique_key": "id"}},
        {"config": {"materialized": "table", "post-hook": [{"sql": "analyze"}]}},
        {"config": {"materialized": "table", "event_time": "day"}},
    ],
)
def test_what_changes_the_code_version(changed: dict[str, Any]) -> None:
    assert version(node("a", **changed)) != version(node("a"))


@pytest.mark.parametrize(
    "changed",
    [
        {"schema": "prod", "database": "prod"},
        {"config": {"materialized": "table", "schema": "x", "tags": ["t"], "meta": {"a": 1}, "docs": {"show": True}}},
        {"description": "other"},
        {"config": {"materialized": "table", "unique_key": None, "pre-hook": []}},
    ],
)
def test_what_does_not(changed: dict[str, Any]) -> None:
    assert version(node("a", **changed)) == version(node("a"))


def test_a_strategy_that_depends_on_the_target_counts_as_it_is_written() -> None:
    written = {"unrendered_config": {"materialized": "{{ 'table' if target.name == 'prod' else 'view' }}"}}
    dev = node("a", config={"materialized": "view"}, **written)
    prod = node("a", config={"materialized": "table"}, **written)
    assert version(dev) == version(prod)


def test_an_inline_strategy_that_depends_on_the_target_does_too() -> None:
    code = {"raw_code": "{{ config(materialized='table' if target.name == 'prod' else 'view') }} select 1"}
    assert version(node("a", config={"materialized": "view"}, **code)) == version(node("a", **code))


def test_only_variables_that_are_named_count() -> None:
    model = node("a", raw_code="select {{ var('limit') }}")

    one = version(model, variables={"limit": 1, "other": 1})
    assert one == version(model, variables={"limit": 1, "other": 2})
    assert one != version(model, variables={"limit": 2, "other": 1})
    assert one != version(model, variables={"limit": 1, "shop": {"limit": 5}})


def test_the_code_of_ephemeral_parents_counts() -> None:
    def chain(code: str) -> str | None:
        ephemeral = {"config": {"materialized": "ephemeral"}}
        return version(
            node("e1", raw_code=code, **ephemeral),
            node("e2", depends_on={"nodes": ["model.shop.e1"]}, **ephemeral),
            node("a", depends_on={"nodes": ["model.shop.e2"]}),
        )

    assert chain("select 1") != chain("select 2")


def test_columns_count_under_an_enforced_contract_only() -> None:
    def with_type(data_type: str, *, enforced: bool) -> str | None:
        config = {"materialized": "table", "contract": {"enforced": enforced}}
        return version(node("a", config=config, columns={"id": {"name": "id", "data_type": data_type}}))

    assert with_type("int", enforced=False) == with_type("text", enforced=False)
    assert with_type("int", enforced=True) != with_type("text", enforced=True)


def test_a_big_seed_is_hashed_by_its_content(tmp_path: Path) -> None:
    seed = node(
        "a",
        resource_type="seed",
        original_file_path="seeds/a.csv",
        config={"materialized": "seed"},
        checksum={"name": "path", "checksum": "seeds/a.csv"},
    )
    assert version(seed, directory=tmp_path) is None  # the file is not there

    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "a.csv").write_text("id\n1\n")
    one = version(seed, directory=tmp_path)
    (tmp_path / "seeds" / "a.csv").write_text("id\n2\n")
    assert one is not None
    assert one != version(seed, directory=tmp_path)
