"""Compiled SQL without a warehouse; a real build is the oracle."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.dbt_engine.build import own_copy
from orchestrator.dbt_engine.compile import Compilation, compile_nodes
from orchestrator.dbt_engine.parse import install_packages, release_warehouse
from orchestrator.errors import DbtProjectError
from orchestrator.loaders.dbt_project import DbtChoices, DbtProject, load_dbt_project
from tests.integration.dbt_projects import PROJECT, write_project, write_shop

pytestmark = pytest.mark.slow

HELPERS = """
    {% macro newest(relation) %}
      {% set found = run_query('select max(id) from ' ~ relation) %}
      {% if execute %}{{ return(found.columns[0][0]) }}{% endif %}
    {% endmacro %}
    {% macro broken(value) %}{% if execute %}{{ value.part.of_it }}{% endif %}{% endmacro %}
    {% macro today() %}{{ run_started_at.strftime('%Y') }}{% endmacro %}
"""
MODELS = {
    "macros/helpers.sql": HELPERS,
    "models/numbers.sql": "select 1 as id, date '2024-01-01' as day",
    # Incremental
    "models/grows.sql": """
        {{ config(materialized='incremental') }}
        select id from {{ ref('numbers') }}
        {% if is_incremental() %}where id > (select max(id) from {{ this }}){% endif %}
    """,
    "models/always_whole.sql": """
        {{ config(materialized='incremental', full_refresh=true) }}
        select id from {{ ref('numbers') }} {% if is_incremental() %}where false{% endif %}
    """,
    "models/no_branch.sql": "{{ config(materialized='incremental') }} select id from {{ ref('numbers') }}",
    "models/table_with_branch.sql": "select 1 as id {% if is_incremental() %}where false{% endif %}",
    "models/asks_when_it_grows.sql": """
        {{ config(materialized='incremental') }}
        select id from {{ ref('numbers') }} {% if is_incremental() %}where id > {{ newest(this) }}{% endif %}
    """,
    "models/batches.sql": """
        {{ config(materialized='incremental', incremental_strategy='microbatch', event_time='day', batch_size='day',
                  begin='2024-01-01') }}
        select id, day from {{ ref('numbers') }} {% if is_incremental() %}where true{% endif %}
    """,
    "models/names_its_batch.sql": """
        {{ config(materialized='incremental', incremental_strategy='microbatch', event_time='day', batch_size='day',
                  begin='2024-01-01') }}
        select id, day from {{ ref('numbers') }} where day >= '{{ model.batch.event_time_start }}'
    """,
    # Ephemeral
    "models/light.sql": "{{ config(materialized='ephemeral') }} select id from {{ ref('numbers') }}",
    "models/lighter.sql": "{{ config(materialized='ephemeral') }} select id from {{ ref('light') }}",
    "models/reads_light.sql": "with a as (select * from {{ ref('lighter') }}) select * from a, {{ ref('light') }}",
    "models/asking.sql": """
        {{ config(materialized='ephemeral') }}
        select {% for column in adapter.get_columns_in_relation(ref('numbers')) %}{{ column.name }}{% endfor %}
    """,
    "models/reads_asking.sql": "select * from {{ ref('asking') }}",
    # What asks
    "models/asks.sql": "select {{ newest(ref('numbers')) }} as id",
    "models/looks.sql": """
        {% if adapter.get_relation(this.database, this.schema, this.identifier) %}select 1 as id
        {% else %}select 2 as id{% endif %}
    """,
    "models/tries_a_file.sql": "select {{ adapter.location_exists('x.csv') }} as there",
    "models/states.sql": "{% call statement('ids', fetch_result=true) %}select 1{% endcall %} select 1 as id",
    # What is wrong
    "models/undefined.sql": "select {{ no_such_macro() }}",
    "models/breaks.sql": "select {{ broken('x') }}",
    "models/refuses.sql": "{% if execute %}{{ exceptions.raise_compiler_error('no columns are set') }}{% endif %}",
    # What changes from run to run
    "models/clock.sql": "select '{{ today() }}' as a, '{{ modules.datetime.datetime.now() }}' as b",
    "models/ids.sql": "select '{{ builtins.invocation_id ~ context.thread_id }}' as a, {{ [1]|random }} as b",
    "models/unordered.sql": "select {% for name in set(['a', 'b']) %}{{ name }}, {% endfor %} 1",
    "models/knows_flags.sql": "select '{{ flags.WHICH }}' as a, {{ flags.FULL_REFRESH }} as b",
    "models/fixed.sql": "select '{{ modules.datetime.date(2024, 1, 1) + modules.datetime.timedelta(days=1) }}' as a",
}


def load(directory: Path, **choices: Any) -> DbtProject:
    chosen = replace(DbtChoices(directory), **choices)
    return load_dbt_project(chosen, workspace_root=directory.parent, state_dir=directory.parent / ".orchestrator")


def compiled(project: DbtProject) -> dict[str, Compilation]:
    """{name: compilation} of all nodes."""
    assert project.invocation is not None
    assert project.fragment.errors == ()
    manifest = project.dbt_manifest()
    wanted = [*manifest.nodes, *getattr(manifest, "functions", {})]  # dbt 1.10 has no functions
    found = compile_nodes(project.invocation, manifest, nodes=wanted)
    return {unique_id.split(".", 2)[2]: compilation for unique_id, compilation in found.items()}


def built(project: DbtProject, *selection: str) -> dict[str, str]:
    """{name: SQL} of a real `dbt build`."""
    from dbt.cli.main import dbtRunner

    assert project.invocation is not None
    arguments = ["build", *project.invocation.global_args(), "--no-write-json", "--select", *selection]
    result = dbtRunner(manifest=own_copy(project.dbt_manifest())).invoke(arguments)
    release_warehouse()
    assert result.success, result.exception
    return {
        item.node.name: item.node.compiled_code for item in result.result.results if item.node.resource_type != "seed"
    }


def words(text: str | None) -> str:
    return " ".join((text or "").split())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> DbtProject:
    return load(write_project(tmp_path_factory.mktemp("compile") / "shop", MODELS))


@pytest.fixture(scope="module")
def nodes(project: DbtProject) -> dict[str, Compilation]:
    return compiled(project)


# What is compiled


def test_every_node_of_a_project_compiles_to_what_a_build_runs(tmp_path: Path) -> None:
    project = load(write_shop(tmp_path / "shop"))
    found = compiled(project)
    built(project, "resource_type:seed")  # read through source(): dbt has no edge there
    theirs = built(project, "resource_type:model", "resource_type:snapshot", "resource_type:test")

    ours = {name.removeprefix("shop."): item.node.full for name, item in found.items()}
    assert {name: text for name, text in theirs.items() if ours.get(name, text) != text} == {}
    assert {"customers", "customers_history", "no_order_without_customer", "ranked"} <= ours.keys() & theirs.keys()
    assert all(item.node.complete and not item.node.volatile for item in found.values())
    assert found["ranked"].node.language == "python"


def test_both_branches_are_those_of_a_first_and_a_later_build(tmp_path: Path) -> None:
    names = ("numbers", "grows", "always_whole", "no_branch", "table_with_branch", "reads_light")
    project = load(
        write_project(
            tmp_path / "shop",
            {f"models/{name}.sql": MODELS[f"models/{name}.sql"] for name in (*names, "light", "lighter")},
        )
    )
    before = compiled(project)
    first, later = built(project, *names), built(project, *names)
    after = compiled(project)

    assert before == after  # what is in the warehouse does not matter
    assert {name: before[name].node.full for name in names} == first
    assert {name: before[name].node.incremental or before[name].node.full for name in names} == later
    assert [name for name in names if before[name].node.incremental] == ["grows"]


def test_a_microbatch_model_has_both_branches_without_the_time_range(nodes: dict[str, Compilation]) -> None:
    node = nodes["batches"].node
    assert words(node.full) == 'select id, day from "warehouse"."dev"."numbers"'
    assert words(node.incremental) == 'select id, day from "warehouse"."dev"."numbers" where true'
    assert node.volatile == ()

    assert "where day >= '2024-01-01 00:00:00+00:00'" in (nodes["names_its_batch"].node.full or "")
    assert nodes["names_its_batch"].node.volatile == ("model.batch",)


def test_ephemeral_parents_are_ctes(nodes: dict[str, Compilation]) -> None:
    assert words(nodes["reads_light"].node.full) == (
        'with __dbt__cte__light as ( select id from "warehouse"."dev"."numbers" ), '
        "__dbt__cte__lighter as ( select id from __dbt__cte__light ), "
        "a as (select * from __dbt__cte__lighter) select * from a, __dbt__cte__light"
    )


def test_ctes_are_injected_as_dbt_injects_them() -> None:
    from dbt.compilation import inject_ctes_into_sql
    from dbt.contracts.graph.nodes import InjectedCTE

    from orchestrator.dbt_engine.offline import inject_ctes

    starts = (
        "",
        "\n  ",
        "-- with a comment\n",
        "/* with\n one */ ",
        "# mysql\n",
        "--no end of with",
        "/**/--\n\t",
        "(",
    )
    heads = (
        "with a as (select 1)",
        "WITH RECURSIVE a as (select 1)",
        "with\n  a as (select 1)",
        "with/**/a as (select 1)",
    )
    heads += ("with -- why\n recursive a as (select 1)", "with recursive_ as (select 1)", "", "withdrawn", "with")
    bodies = ("select * from a", "select 1 with ties", "\nselect ';' as b", "select 1; select 2", "select 1;", "", "\n")
    bodies += ("select a at time zone 'x', \"with\" from b where c in (with d as (select 1) select * from d)\r\n",)
    texts = [f"{start}{head} {body}\n" for start in starts for head in heads for body in bodies]
    for count in (0, 1, 2):
        ctes = [InjectedCTE(id=str(n), sql=f" __dbt__cte__{n} as (\nselect {n}\n)") for n in range(count)]
        for text in texts:
            if text.strip():
                assert inject_ctes(text, ctes) == inject_ctes_into_sql(text, ctes), text


# What cannot be


def test_what_asks_the_warehouse_is_unknown_and_says_what_it_asked(nodes: dict[str, Compilation]) -> None:
    numbers = '"warehouse"."dev"."numbers"'
    assert {name: nodes[name].node.reason for name in nodes if nodes[name].node.full is None} == {
        "asks": f"the macro shop.newest asks the warehouse: select max(id) from {numbers}",
        "looks": "it asks the warehouse: adapter.get_relation(warehouse, dev, looks)",
        "tries_a_file": "it asks the warehouse: adapter.location_exists(x.csv)",
        "states": "it asks the warehouse with statement: select 1",
        "asking": f"it asks the warehouse: adapter.get_columns_in_relation({numbers})",
        "reads_asking": "the ephemeral model 'asking' cannot be compiled: "
        f"it asks the warehouse: adapter.get_columns_in_relation({numbers})",
        "undefined": "models/undefined.sql: 'no_such_macro' is undefined",
        "breaks": "models/breaks.sql: 'str object' has no attribute 'part' (in the macro broken, macros/helpers.sql)",
        "refuses": "models/refuses.sql: no columns are set",
    }


def test_a_question_in_the_incremental_branch_leaves_the_full_one(nodes: dict[str, Compilation]) -> None:
    node = nodes["asks_when_it_grows"].node
    assert words(node.full) == 'select id from "warehouse"."dev"."numbers"'
    assert (node.incremental, node.reason, node.complete) == (None, None, False)
    assert node.incremental_reason == (
        'the macro shop.newest asks the warehouse: select max(id) from "warehouse"."dev"."asks_when_it_grows"'
    )


def test_what_differs_from_run_to_run_is_volatile(nodes: dict[str, Compilation]) -> None:
    assert {name: nodes[name].node.volatile for name in nodes if nodes[name].node.volatile} == {
        "clock": ("run_started_at", "modules.datetime.datetime.now()"),
        "ids": ("invocation_id", "thread_id", "random"),
        "unordered": ("set()",),
        "knows_flags": ("flags.FULL_REFRESH",),
        "names_its_batch": ("model.batch",),
    }
    assert "select 'build' as a" in (nodes["knows_flags"].node.full or "")
    assert nodes["fixed"].node.full == "select '2024-01-02' as a"


def test_what_was_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_REGION", "emea")
    files = {
        "dbt_project.yml": PROJECT + "    vars: {limit: \"{{ env_var('SHOP_REGION') }}\"}\n",
        "macros/m.sql": "{% macro limit() %}{{ var('lim' ~ 'it') }}{% endmacro %}",
        "models/a.sql": "{{ config(materialized='ephemeral') }} select '{{ limit() }}' as a",
        "models/b.sql": "select * from {{ ref('a') }}",
        "models/c.sql": "select {{ graph.nodes | length }} as n",
    }
    found = compiled(load(write_project(tmp_path / "shop", files)))

    assert "select 'emea' as a" in (found["b"].node.full or "")
    assert found["b"].inputs == found["a"].inputs
    assert found["b"].inputs.variables == {"limit"}
    assert found["b"].inputs.env_vars == {"SHOP_REGION"}
    assert found["b"].inputs.macros == {"limit"}
    assert (found["b"].inputs.everything, found["c"].inputs.everything) == (False, True)


# What it leaves behind


def test_no_warehouse_is_opened_and_nothing_is_written(project: DbtProject, nodes: dict[str, Compilation]) -> None:
    directory = project.choices.project_dir
    assert nodes["grows"].node.full
    assert not list(directory.rglob("*.duckdb*"))
    assert sorted(path.name for path in directory.iterdir()) == ["dbt_project.yml", "macros", "models", "profiles.yml"]
    assert project.invocation is not None
    assert not (project.invocation.target_path / "compiled").exists()
    assert not (project.invocation.target_path / "run").exists()


def test_a_locked_warehouse_does_not_matter(tmp_path: Path) -> None:
    project = load(write_project(tmp_path / "shop", {"models/a.sql": "select 1 as id"}))
    (tmp_path / "shop" / "warehouse.duckdb").write_text("no database at all")
    assert compiled(project)["a"].node.full == "select 1 as id"


def test_the_manifest_stays_as_it_is_and_builds_afterwards(tmp_path: Path) -> None:
    names = ("numbers", "grows", "light", "lighter", "reads_light")
    files = {f"models/{name}.sql": MODELS[f"models/{name}.sql"] for name in names}
    project = load(write_project(tmp_path / "shop", files))
    manifest = project.dbt_manifest()
    before = copy.deepcopy(manifest.writable_manifest().to_dict())
    compiled(project)

    assert manifest.writable_manifest().to_dict()["nodes"] == before["nodes"]
    assert manifest.writable_manifest().to_dict()["macros"] == before["macros"]
    assert built(project, *names).keys() >= {"numbers", "grows", "reads_light"}
    built(project, *names)
    assert "max(id)" in built(project, "grows")["grows"]  # dbt's own is_incremental() is back
    assert sys.modules["dbt.task.compile"].CompileTask.__module__ == "dbt.task.compile"


def test_packages_have_macros_and_models_of_their_own(tmp_path: Path) -> None:
    local = {
        "dbt_project.yml": "name: tools\nversion: '1.0'\nvars: {unit: cents}\n",
        "macros/money.sql": """
            {% macro money(column) %}{{ return(adapter.dispatch('money', 'tools')(column)) }}{% endmacro %}
            {% macro default__money(column) %}{{ column }} * 100{% endmacro %}
            {% macro columns_of(relation) %}
            {% for column in adapter.get_columns_in_relation(relation) %}{{ column.name }}, {% endfor %}
            {% endmacro %}
        """,
        "models/units.sql": "select '{{ var('unit') }}' as unit",
    }
    files = {
        "packages.yml": "packages: [{local: ../tools}]",
        "macros/money.sql": "{% macro duckdb__money(column) %}{{ column }} * 1000{% endmacro %}",
        "models/a.sql": "select {{ tools.money('amount') }} as money from {{ ref('units') }}",
        "models/b.sql": "select {{ tools.columns_of(ref('a')) }} 1 as one",
    }
    write_project(tmp_path / "tools", local)
    directory = write_project(tmp_path / "shop", files)
    unparsed = load(directory)
    assert unparsed.invocation is not None
    install_packages(unparsed.invocation)
    found = compiled(load(directory))

    assert found["a"].node.full == 'select amount * 1000 as money from "warehouse"."dev"."units"'
    assert found["units"].node.full == "select 'cents' as unit"
    assert found["b"].node.reason == (
        'the macro tools.columns_of asks the warehouse: adapter.get_columns_in_relation("warehouse"."dev"."a")'
    )


def test_each_target_has_its_relations(tmp_path: Path) -> None:
    files = {"models/a.sql": "select 1 as id", "models/b.sql": "select * from {{ ref('a') }} -- {{ target.name }}"}
    directory = write_project(tmp_path / "shop", files)
    texts = [compiled(load(directory, target=target))["b"].node.full for target in ("dev", "prod", "dev")]

    assert texts == [
        'select * from "warehouse"."dev"."a" -- dev',
        'select * from "prod"."prod"."a" -- prod',
        'select * from "warehouse"."dev"."a" -- dev',
    ]


def test_no_server_has_to_answer(tmp_path: Path) -> None:
    pytest.importorskip("dbt.adapters.postgres")
    output = "{type: postgres, host: localhost, port: 1, user: u, password: p, dbname: db, schema: dev}"
    files = {
        "profiles.yml": f"shop: {{target: dev, outputs: {{dev: {output}}}}}",
        "models/a.sql": "select 1 as id",
        "models/b.sql": "{{ config(materialized='incremental') }} select * from {{ ref('a') }}"
        "{% if is_incremental() %} where id > (select max(id) from {{ this }}){% endif %}",
        "models/c.sql": "select {{ run_query('select 1') }}",
    }
    found = compiled(load(write_project(tmp_path / "shop", files)))

    assert words(found["b"].node.full) == 'select * from "db"."dev"."a"'
    assert words(found["b"].node.incremental).endswith('where id > (select max(id) from "db"."dev"."b")')
    assert found["c"].node.reason == "it asks the warehouse with run_query: select 1"


def test_what_dbt_cannot_start_with_is_an_error(project: DbtProject, tmp_path: Path) -> None:
    assert project.invocation is not None
    broken = replace(project.invocation, profiles_dir=tmp_path)
    with pytest.raises(DbtProjectError):
        compile_nodes(broken, project.dbt_manifest(), nodes=["model.shop.numbers"])
