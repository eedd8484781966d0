"""Projects as strangers write them: what dbt builds, a run builds with the same result. dbt itself is the oracle."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.execution.executor import run_plan
from tests.integration.dbt_projects import write_project
from tests.integration.workspaces import Scene, scene

pytestmark = pytest.mark.slow

_STATUS = {
    "success": "succeeded",
    "pass": "succeeded",
    "warn": "warned",
    "error": "failed",
    "fail": "failed",
    "skipped": "blocked",
}
_DBT = "import sys; from dbt.cli.main import dbtRunner; sys.exit(not dbtRunner().invoke(sys.argv[1:]).success)"


def dbt_build(directory: Path, files: Mapping[str, str], *flags: str) -> dict[str, str]:
    """{unique_id: status in our words} of `dbt build` on a project of its own; consumers and hooks left out."""
    write_project(directory, files)
    command = [sys.executable, "-c", _DBT, "build", "--quiet", "--project-dir", str(directory), *flags]
    subprocess.run([*command, "--profiles-dir", str(directory)], cwd=directory, capture_output=True, check=False)
    results = json.loads((directory / "target" / "run_results.json").read_text())["results"]
    kinds = ("model", "seed", "snapshot", "test", "unit_test")
    return {item["unique_id"]: _STATUS[item["status"]] for item in results if item["unique_id"].split(".")[0] in kinds}


def our_build(ours: Scene, *selection: str, **more: Any) -> dict[str, str]:
    """{unique_id: status} of a run."""
    result = ours.run(*selection, **more).result
    return {
        **{step.writer: step.status for step in result.steps},
        **{check.check: check.status for check in result.checks},
    }


def test_checks_that_follow_no_step_run_in_a_run_of_everything(tmp_path: Path) -> None:
    """Of macros, sources, ephemeral models that make their rows up; not those of models that do not exist."""
    files = {
        "macros/slug.sql": "{% macro slug(text) %}{{ text | lower }}{% endmacro %}",
        "tests/slugs.sql": "select 1 as bad where '{{ slug('A') }}' != 'a'",
        "tests/fails.sql": "select 1 as bad",
        "models/made_up.sql": "{{ config(materialized='ephemeral') }} select 1 as id",
        "models/aside.sql": "select 1 as id",
        "models/all.yml": """
            models:
              - name: made_up
                columns: [{name: id, data_tests: [unique]}]
              - name: not_there
                columns: [{name: id, data_tests: [unique]}]
            sources:
              - name: pg
                schema: information_schema
                tables: [{name: tables, columns: [{name: table_name, data_tests: [not_null]}]}]
            unit_tests:
              - name: one
                model: made_up
                given: []
                expect: {rows: [{id: 1}]}
        """,
    }
    theirs = dbt_build(tmp_path / "theirs", files)
    assert len(theirs) == 6
    ours = scene(tmp_path / "ours", files)
    assert our_build(ours) == theirs
    assert our_build(ours, "aside") == {"model.shop.aside": "succeeded"}


def test_the_way_we_select_cannot_be_seen_in_a_project(tmp_path: Path) -> None:
    """`model.tags`, `graph` and what hooks see are as in dbt: packages write them to tables."""
    table = "{{ config(materialized='table', tags=['nightly']) }} select "
    tags = "{% for item in NODES %}{{ item.tags | join('+') }};{% endfor %}"
    files = {
        "dbt_project.yml": """
            name: shop
            version: "1.0"
            profile: shop
            on-run-end: "create table {{ target.schema }}.seen as select '{{ seen(results) }}' as tags"
        """,
        "macros/seen.sql": "{% macro seen(found) %}"
        "{% for item in found %}{{ item.node.tags | join('+') }};{% endfor %}{% endmacro %}",
        "models/a.sql": table + "'{{ model.tags | join('+') }}' as tags",
        "models/b.sql": table + "'" + tags.replace("NODES", "graph.nodes.values()") + "' as tags",
    }
    assert set(dbt_build(tmp_path / "theirs", files).values()) == {"succeeded"}
    ours = scene(tmp_path / "ours", files)
    assert set(our_build(ours).values()) == {"succeeded"}
    for name in ("a", "b", "seen"):
        sql = f"select * from dev.{name}"
        assert ours.query(sql) == rows(tmp_path / "theirs", sql), name


def test_a_default_selector_narrows_a_run_as_it_does_in_dbt(tmp_path: Path) -> None:
    """Said, not silent; and any selector of selectors.yml can be asked for."""
    files = {
        "selectors.yml": """
            selectors:
              - name: tables_and_all_tests
                default: true
                definition:
                  union:
                    - union: [{method: path, value: "*"}, {exclude: [{method: config.materialized, value: view}]}]
                    - {method: resource_type, value: test}
              - {name: only_b, definition: {method: fqn, value: b}}
        """,
        "models/a.sql": "{{ config(materialized='table') }} select 1 as id",
        "models/b.sql": "{{ config(materialized='table') }} select * from {{ ref('a') }}",
        "models/v.sql": "select * from {{ ref('b') }}",
        "models/all.yml": """
            models:
              - {name: a, columns: [{name: id, data_tests: [unique]}]}
              - {name: b, columns: [{name: id, data_tests: [not_null]}]}
        """,
        "tests/alone.sql": "select 1 as bad where false",
    }
    theirs = dbt_build(tmp_path / "theirs", files)
    assert len(theirs) == 5
    ours = scene(tmp_path / "ours", files, """
        @asset(warehouse.table("raw.flights"))
        def flights():
            return [{"id": 1}]
    """)  # fmt: skip
    workspace = ours.load()
    plan = workspace.plan()
    python = f"python:{ours.module.stem}.flights"
    assert {*(step.writer for step in plan.steps), *plan.checks} == {*theirs, python}
    assert ours.said == ["the project's default selector 'tables_and_all_tests' is taken; select '*' for everything"]
    assert {"model.shop.v", *theirs} < {*(step.writer for step in workspace.plan(["*"]).steps), *theirs}
    of_b = workspace.plan(selector="only_b")
    assert ([step.writer for step in of_b.steps], of_b.checks) == (
        ["model.shop.b"],
        tuple(check for check in plan.checks if "_b_" in check),
    )
    result = run_plan(workspace, plan)
    assert result.status == "succeeded"
    assert {check.check for check in result.checks} < {*theirs}


def test_names_that_keys_cannot_tell_apart_or_hold(tmp_path: Path) -> None:
    """dbt tells tables apart by relation: one alias in several schemas, sources called as a schema, any spelling."""
    by_folder = "{% macro generate_schema_name(custom, node) %}{{ custom or node.fqn[1] }}{% endmacro %}"
    files = {
        "macros/schema.sql": by_folder,
        "seeds/People.csv": "Id,Name\n1,Ada\n",
        "models/eu/eu_orders.sql": "{{ config(alias='orders') }} select 1 as id",
        "models/us/us_orders.sql": "{{ config(alias='orders') }} select 2 as id from {{ ref('eu_orders') }}",
        "models/crm/tables.sql": "{{ config(schema='crm') }} select count(*) as n from {{ source('crm', 'tables') }}",
        "models/crm/spaced.sql": "{{ config(alias='All Orders, (v.2)') }} select * from {{ ref('us_orders') }}",
        "models/crm/MixedCase.sql": "select * from {{ ref('spaced') }} join {{ ref('People') }} on true",
        "models/sources.yml": """
            sources:
              - name: crm
                database: system
                schema: information_schema
                tables: [{name: tables}]
        """,
    }
    theirs = dbt_build(tmp_path / "theirs", files)
    assert (len(theirs), set(theirs.values())) == (6, {"succeeded"})
    ours = scene(tmp_path / "ours", files)
    assert our_build(ours) == theirs
    keys = {writer.id: str(key) for key, asset in ours.load().graph.assets.items() for writer in asset.writers}
    assert keys == {
        "seed.shop.People": "shop.People",
        "model.shop.eu_orders": "shop.eu_orders",
        "model.shop.us_orders": "shop.us_orders",
        "model.shop.tables": "crm.tables",
        "model.shop.spaced": "shop.All_Orders___v.2_",
        "model.shop.MixedCase": "shop.MixedCase",
    }
    assert set(ours.states().values()) == {"fresh"}
    assert our_build(ours, "shop.All_Orders___v.2_") == {"model.shop.spaced": "succeeded"}


def rows(project: Path, sql: str) -> list[tuple[Any, ...]]:
    import duckdb

    with duckdb.connect(str(project / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()
