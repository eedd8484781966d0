"""The cache of compiled SQL: what is compiled again, and what is not."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.dbt_engine import compile as engine
from orchestrator.dbt_engine.compile import Compilation
from orchestrator.loaders import compiled as module
from orchestrator.loaders.compiled import COMPILED_FILE, CompiledNodes, load_compiled
from orchestrator.loaders.dbt_project import DbtChoices, DbtProject, load_dbt_project
from orchestrator.loaders.manifest import load_manifest
from tests.integration.dbt_projects import PROJECT, write_project

pytestmark = pytest.mark.slow

FILES = {
    "dbt_project.yml": PROJECT + "    vars: {limit: 10, other: 1}\n",
    "macros/cents.sql": "{% macro cents(column) %}(100 * {{ column }}){% endmacro %}",
    "macros/half.sql": "{% macro half(column) %}({{ column }} / 2){% endmacro %}",
    "models/orders.sql": "select 1 as id, {{ cents('2') }} as cents",
    "models/halves.sql": "select {{ half('cents') }} as cents from {{ ref('orders') }}",
    "models/few.sql": "select * from {{ ref('orders') }} limit {{ var('limit') }}",
    "models/region.sql": "select '{% if execute %}{{ env_var('SHOP_REGION', 'none') }}{% endif %}' as region",
    "models/light.sql": "{{ config(materialized='ephemeral') }} select {{ cents('3') }} as cents",
    "models/reads_light.sql": "select * from {{ ref('light') }}",
    "models/asks.sql": "select '{{ run_query('select 1') }}' as id",
    "models/fails.sql": "select {{ missing() }} as id",
    "snapshots/s.sql": """
        {% snapshot s %}
        {{ config(unique_key='id', strategy='check', check_cols='all', target_schema='history') }}
        select * from {{ ref('orders') }}
        {% endsnapshot %}
    """,
    "tests/no_halves.sql": "select 1 from {{ ref('halves') }} where cents < 0",
    "models/models.yml": "models: [{name: orders, columns: [{name: id, data_tests: [unique]}]}]",
}
EVERYTHING = {
    *("orders", "halves", "few", "region", "light", "reads_light", "asks", "fails"),
    *("s", "no_halves"),
}


class Shop:
    """A project on disk; `compiled` tells which nodes dbt had to compile."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = write_project(directory, FILES)
        self.compiled: list[set[str]] = []
        monkeypatch.setattr(module, "compile_nodes", self._compile)

    def _compile(self, *args: Any, nodes: list[str], **more: Any) -> Mapping[str, Compilation]:
        self.compiled.append({unique_id.split(".")[2] for unique_id in nodes})
        return engine.compile_nodes(*args, nodes=nodes, **more)

    def project(self, **choices: Any) -> DbtProject:
        chosen = replace(DbtChoices(self.directory), **choices)
        root = self.directory.parent
        return load_dbt_project(chosen, workspace_root=root, state_dir=root / ".orchestrator")

    def load(self, *, known: Mapping[str, str] | None = None, **choices: Any) -> dict[str, str | None]:
        """{name: full text} after a load of everything."""
        nodes = self.nodes(known=known, **choices)
        return {unique_id.split(".")[2]: node.full for unique_id, node in nodes.items()}

    def nodes(self, *, known: Mapping[str, str] | None = None, **choices: Any) -> CompiledNodes:
        project = self.project(**choices)
        assert project.manifest_path is not None
        return load_compiled(project, load_manifest(project.manifest_path), known=known)

    def recompiled(self, **choices: Any) -> set[str]:
        """Names of what a load compiles now."""
        self.compiled.clear()
        self.load(**choices)
        return set().union(*self.compiled)

    def write(self, file: str, text: str) -> None:
        path = self.directory / file
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        stat = path.stat()
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))  # another time, however coarse the clock


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    shop = Shop(tmp_path / "shop", monkeypatch)
    shop.load()
    return shop


def test_one_project_through_its_changes(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shop.compiled == [EVERYTHING]
    broken = {"fails"}  # what did not compile is tried again after any change

    assert shop.recompiled() == set()
    shop.write("models/models.yml", "models: [{name: orders, description: All of them.}]")
    assert shop.recompiled() == {"orders"} | broken  # Jinja can read the description
    shop.write("models/halves.sql", "select {{ half('cents') }} as half from {{ ref('orders') }}")
    assert shop.recompiled() == {"halves"} | broken
    shop.write("macros/half.sql", "{% macro half(column) %}({{ column }} * 0.5){% endmacro %}")
    assert shop.recompiled() == {"halves"} | broken
    shop.write("macros/cents.sql", "{% macro cents(column) %}(1000 * {{ column }}){% endmacro %}")
    assert shop.recompiled() == {"orders", "light", "reads_light"} | broken
    shop.write("dbt_project.yml", PROJECT + "    vars: {limit: 10, other: 2}\n")
    assert shop.recompiled() == broken
    shop.write("dbt_project.yml", PROJECT + "    vars: {limit: 20, other: 2}\n")
    assert shop.recompiled() == {"few"} | broken
    monkeypatch.setenv("SHOP_REGION", "emea")
    assert shop.recompiled() == {"region"}  # dbt's parser has not seen it: no file has changed
    shop.write("models/orders.sql", "{{ config(alias='o') }} select 1 as id, {{ cents('2') }} as cents")
    assert shop.recompiled() == {"orders", "halves", "few", "s"} | broken  # they name it
    shop.write("macros/missing.sql", "{% macro missing() %}1{% endmacro %}")
    assert shop.recompiled() == broken
    shop.write("macros/limit.sql", "{% macro default__half(column) %}1{% endmacro %}")
    assert shop.recompiled() == {"halves"}  # `adapter.dispatch` might find it
    (shop.directory / "tests/no_halves.sql").unlink()
    assert shop.recompiled() == set()

    texts = shop.load()
    assert shop.recompiled() == set()
    assert texts.keys() == EVERYTHING - {"no_halves"}
    assert (texts["few"] or "").endswith("limit 20")
    assert (texts["region"], texts["fails"]) == ("select 'emea' as region", "select 1 as id")
    (shop.project().invocation.target_path / COMPILED_FILE).unlink()  # type: ignore[union-attr]
    assert shop.load() == texts  # as if compiled anew


def test_a_parse_compiles_so_that_the_next_command_need_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(tmp_path / "shop", monkeypatch)
    assert shop.project().parsed
    assert shop.compiled == [EVERYTHING]
    assert shop.recompiled() == set()


def test_targets_have_files_of_their_own(shop: Shop) -> None:
    assert shop.recompiled(target="prod") == EVERYTHING
    assert shop.recompiled(target="dev") == set()
    assert shop.recompiled(target="prod") == set()
    assert shop.load(target="prod")["reads_light"] != shop.load()["few"]
    assert '"prod"."prod"."orders"' in (shop.load(target="prod")["few"] or "")
    assert '"warehouse"."dev"."orders"' in (shop.load()["few"] or "")


def test_a_changed_profile_changes_the_relations(shop: Shop) -> None:
    profiles = (shop.directory / "profiles.yml").read_text().replace("schema: dev", "schema: ada")
    shop.write("profiles.yml", profiles)
    assert '"warehouse"."ada"."orders"' in (shop.load()["few"] or "")


def test_only_what_is_wanted_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(tmp_path / "shop", monkeypatch)
    project = shop.project()
    assert project.manifest_path is not None
    manifest = load_manifest(project.manifest_path)
    shop.compiled.clear()
    some = load_compiled(project, manifest, wanted=["model.shop.few", "model.shop.orders", "source.shop.no.such"])

    assert list(some) == ["model.shop.few", "model.shop.orders"]
    with pytest.raises(KeyError):
        some["model.shop.halves"]
    unique = next(unique_id for unique_id in manifest.all_of("nodes") if unique_id.startswith("test.shop.unique"))
    assert "count(*) > 1" in (load_compiled(project, manifest, wanted=[unique])[unique].full or "")


def test_a_warm_load_does_not_import_dbt(shop: Shop) -> None:
    code = f"""
        import sys
        from pathlib import Path
        from orchestrator.loaders.compiled import load_compiled
        from orchestrator.loaders.dbt_project import DbtChoices, load_dbt_project
        from orchestrator.loaders.manifest import load_manifest
        root = Path({str(shop.directory.parent)!r})
        project = load_dbt_project(DbtChoices(root / "shop"), workspace_root=root, state_dir=root / ".orchestrator")
        nodes = load_compiled(project, load_manifest(project.manifest_path))
        print(len(nodes), nodes["model.shop.orders"].full)
        assert "dbt.cli.main" not in sys.modules and "duckdb" not in sys.modules
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert out.stdout == "10 select 1 as id, (100 * 2) as cents\n"
    assert not list(shop.directory.rglob("*.duckdb*"))


def test_what_a_run_has_recorded_stands_in_for_what_cannot_be_compiled(shop: Shop) -> None:
    known = {"model.shop.asks": "select '1' as id", "model.shop.orders": "not this"}
    nodes = shop.nodes(known=known)

    asks, orders = nodes["model.shop.asks"], nodes["model.shop.orders"]
    assert (asks.full, asks.recorded) == ("select '1' as id", True)
    assert asks.reason == "it asks the warehouse with run_query: select 1"
    assert (orders.full, orders.recorded) == ("select 1 as id, (100 * 2) as cents", False)
    assert shop.nodes()["model.shop.asks"].full is None


@pytest.mark.parametrize("damage", [b"", b"orchestrator compiled 1\n", b"other"])
def test_a_damaged_file_is_made_anew(shop: Shop, damage: bytes) -> None:
    texts = shop.load()
    file = shop.project().invocation.target_path / COMPILED_FILE  # type: ignore[union-attr]
    content = file.read_bytes()
    file.write_bytes(damage or content[: len(content) // 2])

    assert shop.recompiled() == EVERYTHING
    assert shop.load() == texts


def test_a_broken_edit_leaves_what_was_compiled(shop: Shop) -> None:
    texts = shop.load()
    shop.write("models/few.sql", "select * from {{ ref('nowhere') }}")
    assert shop.load() == texts
    project = shop.project()
    assert [error.what.splitlines()[0] for error in project.fragment.errors]


def test_a_file_that_changes_meanwhile_is_not_stored(shop: Shop) -> None:
    shop.write("models/few.sql", "select 'first' as few")
    project = shop.project()
    assert project.manifest_path is not None
    manifest = load_manifest(project.manifest_path)
    (shop.directory / "../.orchestrator/dbt/shop/dev" / COMPILED_FILE).unlink()
    project._manifest = None  # as if the manifest came from the cache: dbt parses what is there now
    shop.write("models/few.sql", "select 'second' as few")
    load_compiled(project, manifest)
    shop.write("models/few.sql", "select 'first' as few")

    assert shop.load()["few"] == "select 'first' as few"


def test_two_at_once_compile_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(tmp_path / "shop", monkeypatch)
    project = shop.project()
    assert project.manifest_path is not None
    manifest = load_manifest(project.manifest_path)
    (project.invocation.target_path / COMPILED_FILE).unlink(missing_ok=True)  # type: ignore[union-attr]
    shop.compiled.clear()
    found: list[CompiledNodes] = []
    threads = [threading.Thread(target=lambda: found.append(load_compiled(project, manifest))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert shop.compiled == [EVERYTHING]
    assert [dict(nodes) for nodes in found] == [dict(found[0])] * 3


def test_a_project_that_cannot_be_loaded_says_so(tmp_path: Path, shop: Shop) -> None:
    project = shop.project()
    assert project.manifest_path is not None
    manifest = load_manifest(project.manifest_path)
    project.invocation = None
    assert load_compiled(project, manifest)["model.shop.few"].reason == "the dbt project cannot be loaded"
