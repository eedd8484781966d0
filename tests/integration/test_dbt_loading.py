"""Real dbt projects become fragments; dbt itself is the oracle."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.dbt_engine import DBT_LOCK
from orchestrator.dbt_engine.build import own_copy
from orchestrator.dbt_engine.parse import release_warehouse
from orchestrator.loaders.dbt_project import DbtChoices, DbtProject, load_dbt_project
from orchestrator.loaders.fragments import DraftAsset
from orchestrator.loaders.merge import merge
from tests.integration.dbt_projects import SHOP, write_project, write_shop

pytestmark = pytest.mark.slow


def load(directory: Path, **choices: object) -> DbtProject:
    chosen = replace(DbtChoices(directory), **choices)  # type: ignore[arg-type]
    return load_dbt_project(chosen, workspace_root=directory.parent, state_dir=directory.parent / ".orchestrator")


def assets(project: DbtProject) -> dict[str, DraftAsset]:
    return {draft.id: draft for draft in project.fragment.assets}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(tmp_path_factory.mktemp("workspace") / "shop")


@pytest.fixture(scope="module")
def loaded(shop: Path) -> DbtProject:
    return load(shop)


def test_a_project_with_one_of_everything_loads(loaded: DbtProject) -> None:
    assert loaded.fragment.errors == ()
    assert loaded.parsed
    assert {str(draft.explicit_key or draft.asset.key) for draft in loaded.fragment.assets} == {
        "raw.raw_orders",
        "raw.raw_customers",
        "raw.orders",
        "raw.customers",
        "elsewhere.events",
        "shop.stg_orders",
        "shop.stg_customers",
        "shop.time_spine",
        "marts.customers",
        "marts.orders_by_day",
        "marts.scores_v1",
        "marts.scores_v2",
        "marts.ranked",
        "shop.moving",
        "special.thing",
        "history.customers_history",
    }
    assert [draft.ephemeral.name for draft in loaded.fragment.ephemerals] == ["paid_orders"]
    assert {draft.consumer.id for draft in loaded.fragment.consumers} == {
        "exposure.shop.board",
        "semantic_model.shop.orders",
        "metric.shop.order_total",
        "saved_query.shop.totals",
    }
    assert [operation.when for operation in loaded.operations] == ["on-run-end"]


def test_edges_are_dbts_own(loaded: DbtProject) -> None:
    assert loaded.manifest_path is not None
    parents = json.loads(loaded.manifest_path.read_text())["parent_map"]
    fragment = loaded.fragment
    ours = {draft.id: draft.reads for draft in fragment.assets}
    ours |= {draft.ephemeral.unique_id: draft.reads for draft in fragment.ephemerals}
    ours |= {draft.check.id: draft.reads for draft in fragment.checks}
    ours |= {draft.consumer.id: draft.reads for draft in fragment.consumers}

    theirs = {id: frozenset(reads) for id, reads in parents.items() if not id.startswith("operation.")}  # noqa: A001
    assert ours == theirs


def test_a_seed_is_upstream_of_the_source_that_reads_it(loaded: DbtProject) -> None:
    result = merge([loaded.fragment])

    assert result.errors == ()
    key = result.ids["source.shop.raw.orders"]
    assert key == result.ids["seed.shop.raw_orders"]
    assert key in result.graph.upstream[result.ids["model.shop.stg_orders"]]


def test_what_is_known_of_an_asset(loaded: DbtProject) -> None:
    asset = assets(loaded)["model.shop.customers"].asset

    assert str(asset.relation) == "warehouse.dev_marts.customers"
    assert (asset.group, asset.owners, asset.access) == ("sales", ("sales@example.com",), "public")
    assert asset.description == "One row for each customer."  # of two, YAML's last, as dbt reads it
    assert [(column.name, column.type) for column in asset.columns] == [
        ("id", "integer"),
        ("name", "varchar"),
        ("orders", "bigint"),
    ]
    assert str(asset.location) == "shop/models/marts/customers.sql:1"
    assert assets(loaded)["model.shop.ranked"].asset.kinds == ("duckdb", "dbt", "table", "python")
    assert assets(loaded)["model.shop.fixed_key"].asset.owners == ("x@example.com", "y@example.com")
    assert str(assets(loaded)["source.shop.raw.customers"].asset.location) == "shop/models/sources.yml:10"
    assert "scores.v1" in assets(loaded)["model.shop.scores.v1"].asset.aliases


def test_checks_stand_on_their_assets(loaded: DbtProject) -> None:
    found = {draft.check.name: draft for draft in loaded.fragment.checks}

    unit = found["counts_orders"]
    assert (unit.check.kind, unit.asset_id) == ("unit_test", "model.shop.customers")
    relationship = found["relationships_stg_orders_customer_id__id__ref_stg_customers_"]
    assert (relationship.asset_id, relationship.check.severity) == ("model.shop.stg_orders", "warn")
    assert relationship.check.description == "error if >100"
    assert relationship.reads == {"model.shop.stg_orders", "model.shop.stg_customers"}
    assert found["no_order_without_customer"].asset_id == "model.shop.customers"
    assert found["not_null_paid_orders_id"].asset_id == "model.shop.paid_orders"


def test_parsing_is_silent_and_leaves_no_warehouse_and_no_files(
    loaded: DbtProject, shop: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    load_dbt_project(
        DbtChoices(shop), workspace_root=shop.parent, state_dir=shop.parent / ".orchestrator", force_parse=True
    )

    assert capfd.readouterr() == ("", "")
    assert sorted(path.name for path in shop.iterdir()) == sorted({name.split("/")[0] for name in SHOP})
    assert loaded.warnings == (
        "Duplicate key 'description' in \"<unicode string>\", line 7, column 5 in file `models/models.yml`",
    )


def test_a_warning_about_an_unchanged_file_survives_a_partial_parse(shop: Path) -> None:
    (shop / "models" / "time_spine.sql").write_text("select cast('2024-01-02' as date) as date_day")

    project = load(shop)

    assert project.parsed
    assert [warning.partition(" in ")[0] for warning in project.warnings] == ["Duplicate key 'description'"]


def test_a_cached_load_does_not_import_dbt(loaded: DbtProject, shop: Path) -> None:
    code = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from orchestrator.loaders.dbt_project import DbtChoices, load_dbt_project
        shop = Path({str(shop)!r})
        project = load_dbt_project(
            DbtChoices(shop), workspace_root=shop.parent, state_dir=shop.parent / ".orchestrator"
        )
        heavy = [name for name in ("dbt", "duckdb", "pandas", "sqlalchemy", "filelock") if name in sys.modules]
        print(project.parsed, len(project.fragment.assets), heavy, len(project.warnings))
    """)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == f"False {len(loaded.fragment.assets)} [] 1\n"


def test_two_targets_in_turn_keep_to_themselves(loaded: DbtProject, shop: Path) -> None:
    prod = load(shop, target="prod")
    dev = load(shop)

    assert (prod.parsed, dev.parsed) == (True, False)
    relations = {str(draft.asset.relation) for draft in prod.fragment.assets if draft.asset.writers}
    assert all(name.startswith(("prod.prod", "prod.history")) for name in relations)
    assert "prod.prod_live.moving" in relations
    assert {draft.asset.relation for draft in dev.fragment.assets} == {
        draft.asset.relation for draft in loaded.fragment.assets
    }
    keys, versions = zip(
        *(
            ([draft.asset.key for draft in project.fragment.assets], [_version(d) for d in project.fragment.assets])
            for project in (prod, dev)
        ),
        strict=True,
    )
    assert keys[0] == keys[1]
    assert versions[0] == versions[1]


def _version(draft: DraftAsset) -> str | None:
    return draft.asset.writers[0].code_version if draft.asset.writers else None


def test_the_manifest_for_dbt_is_parsed_when_it_is_asked_for(loaded: DbtProject, shop: Path) -> None:
    cached = load(shop)

    assert not cached.parsed
    assert "model.shop.customers" in cached.dbt_manifest().nodes
    assert cached.dbt_manifest() is cached.dbt_manifest()
    assert not load(shop).parsed  # asking did not spoil the cache


def test_dbt_writes_the_file_that_the_profile_names_wherever_it_is_started(
    loaded: DbtProject, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbt.cli.main import dbtRunner

    monkeypatch.chdir(tmp_path)
    assert loaded.invocation is not None
    assert loaded.profile is not None
    with DBT_LOCK:
        manifest = own_copy(loaded.dbt_manifest())
        result = dbtRunner(manifest=manifest).invoke(["seed", *loaded.invocation.global_args(), "--no-write-json"])
        release_warehouse()

    assert result.success
    assert loaded.profile.duckdb_path == shop / "warehouse.duckdb"
    assert list(tmp_path.iterdir()) == []
    look = f"import duckdb; print(duckdb.connect({str(shop / 'warehouse.duckdb')!r}).sql('from dev_raw.raw_orders'))"
    subprocess.run([sys.executable, "-c", look], capture_output=True, check=True)  # another process can open it
    (shop / "warehouse.duckdb").unlink()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    return write_project(
        tmp_path / "shop",
        {
            "models/a.sql": "select {{ env_var('SHOP_LIMIT', '1') }} as id, {{ m() }}",
            "models/b.sql": "select * from {{ ref('a') }}",
            "macros/m.sql": "{% macro m() %}{{ var('x', 1) }}{% endmacro %}",
        },
    )


def test_changes_are_seen_and_change_code_versions(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_LIMIT", raising=False)

    def step() -> tuple[bool, str | None, str | None]:
        project = load(small)
        found = assets(project)
        return project.parsed, _version(found["model.shop.a"]), _version(found["model.shop.b"])

    parsed, a, b = step()
    assert parsed
    assert step() == (False, a, b)

    monkeypatch.setenv("SHOP_LIMIT", "5")
    parsed, limited, same = step()
    assert (parsed, same) == (True, b)
    assert limited != a  # what it selects has changed, though no file has

    (small / "macros/m.sql").write_text("{% macro m() %}2{% endmacro %}")
    parsed, changed, same = step()
    assert (parsed, same) == (True, b)
    assert changed != a

    with_vars = load(small, vars={"x": 2})
    assert with_vars.parsed
    assert step() == (False, changed, b)  # other vars have a cache of their own


BROKEN = {
    "yaml": (
        {"models/s.yml": "models:\n  - name: a\n   description: x\n"},
        "DbtProjectError: Error reading shop: s.yml\n"
        "  Syntax error near line 3\n"
        "  1  | models:\n"
        "  2  |   - name: a\n"
        "  3  |    description: x\n"
        "  while parsing a block collection\n"
        "  did not find expected '-' indicator\n"
        "  at:  shop/models/s.yml:3\n"
        "  fix: correct the YAML",
    ),
    "jinja": (
        {"models/a.sql": "select\n  {% if x %} 1"},
        "DbtProjectError: Compilation Error in model a (models/a.sql)\n"
        "  Unexpected end of template. Jinja was looking for the following tags: 'elif' or 'else' or 'endif'. "
        "The innermost block that needs to be closed is 'if'.\n"
        "    line 2\n"
        "      {% if x %} 1\n"
        "  at:  shop/models/a.sql:2\n"
        "  fix: correct the file; `dbt parse` shows the whole message",
    ),
    "ref": (
        {"models/a.sql": "select *\nfrom {{ ref('nope') }}"},
        "DbtProjectError: Model 'model.shop.a' (models/a.sql) depends on a node named 'nope' which was not found\n"
        "  at:  shop/models/a.sql:2\n"
        "  fix: correct the name in ref(), or create the model",
    ),
    "disabled": (
        {"models/a.sql": "select * from {{ ref('b') }}", "models/b.sql": "{{ config(enabled=false) }} select 1"},
        "DbtProjectError: Model 'model.shop.a' (models/a.sql) depends on a node named 'b' which is disabled\n"
        "  at:  shop/models/a.sql:1\n"
        "  fix: enable it, or remove the reference",
    ),
    "env": (
        {"models/a.sql": "select {{ env_var('SHOP_NOPE') }}"},
        "DbtProjectError: Env var required but not provided: 'SHOP_NOPE'\n"
        "  at:  shop/models/a.sql:1\n"
        "  fix: set the environment variable, or give env_var() a default",
    ),
    "package": (
        {"packages.yml": "packages:\n  - local: tools\n"},
        "DbtProjectError: dbt found 1 package(s) specified in packages.yml, but only 0 package(s) installed in "
        'dbt_packages. Run "dbt deps" to install package dependencies.\n'
        "  at:  shop/packages.yml\n"
        "  fix: run `dbt deps`",
    ),
    "adapter": (
        {"profiles.yml": "shop: {target: dev, outputs: {dev: {type: nosuch}}}"},
        'DbtProjectError: Credentials in profile "shop", target "dev" invalid: Runtime Error\n'
        "  Could not find adapter type nosuch!\n"
        "  fix: install the adapter, for example `pip install dbt-nosuch`",
    ),
    "project": (
        {"dbt_project.yml": "name: shop\nprofile: shop\nmodels: [\n"},
        "DbtProjectError: dbt_project.yml is not valid YAML: did not find expected node content\n"
        "  at:  shop/dbt_project.yml:4\n"
        "  fix: correct the file",
    ),
    "profile": (
        {"dbt_project.yml": "name: shop\nprofile: sho\n"},
        "ConfigError: profiles.yml has no profile 'sho'\n"
        "  at:  shop/profiles.yml\n"
        "  fix: did you mean 'shop'? (profiles there: 'shop')",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_project_says_what_where_and_how_to_fix_it(case: str, tmp_path: Path) -> None:
    files, text = BROKEN[case]
    directory = write_project(tmp_path / "shop", {"models/a.sql": "select 1 as id", **files})

    project = load(directory)

    assert [str(error) for error in project.fragment.errors] == [text]
    assert project.fragment.errors[0].exit_code == 2
    assert project.fragment.assets == ()


def test_two_models_of_one_name(tmp_path: Path) -> None:
    directory = write_project(tmp_path / "shop", {"models/a.sql": "select 1", "models/x/a.sql": "select 2"})

    (error,) = load(directory).fragment.errors

    assert error.what.splitlines()[0] == 'dbt found two models with the name "a".'
    assert error.fix == "rename one of them"
    assert error.at in ("shop/models/a.sql", "shop/models/x/a.sql")


def test_a_missing_target(small: Path) -> None:
    (error,) = load(small, target="prd").fragment.errors

    assert str(error) == (
        "ConfigError: profile 'shop' has no target 'prd'\n"
        "  at:  shop/profiles.yml\n"
        "  fix: did you mean 'prod'? (targets there: 'dev', 'prod')"
    )


def test_locked_packages_are_installed(tmp_path: Path) -> None:
    directory = write_project(
        tmp_path / "shop",
        {
            "models/a.sql": "select 1 as id",
            "packages.yml": "packages: [{local: ../tools}]",
            "package-lock.yml": "packages: [{local: ../tools, name: tools}]\nsha1_hash: unknown\n",
        },
    )
    write_project(
        tmp_path / "tools",
        {"dbt_project.yml": "name: tools\nversion: 1.0.0\n", "models/t.sql": "select * from {{ ref('a') }}"},
    )
    here = Path.cwd()

    project = load(directory)

    assert project.fragment.errors == ()
    assert Path.cwd() == here
    draft = assets(project)["model.tools.t"]
    assert (str(draft.asset.key), draft.reads) == ("tools.t", {"model.shop.a"})
    assert str(draft.asset.location) == "shop/dbt_packages/tools/models/t.sql:1"
