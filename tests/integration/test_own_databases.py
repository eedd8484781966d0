"""Tables in databases beside the warehouse: written, read, looked at, locked."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from orchestrator.cli.preview import read_rows
from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import ResourceLockedError
from orchestrator.resources.file_lock import writer_lock
from tests.integration.test_warehouses import new_database, query, server
from tests.integration.workspaces import scene

pytestmark = pytest.mark.slow
__all__ = ["server"]

PYTHON = """
from orchestrator import DuckDB, Env, Postgres

archive = DuckDB("archive.duckdb")
reporting = Postgres(Env("REPORTING_URL"))

@asset(archive.table("raw.letters"))
def letters():
    return [{"n": 1}, {"n": 2}]

@check(letters)
def two(frame) -> bool:
    return frame.num_rows == 2

@asset(reporting.table("public.totals"))
def totals(context: Context):
    archived = archive.execute(context, "select count(*) from raw.letters")
    return [{"n": sum(letters.read(context)["n"].to_pylist()), "letters": archived[0][0]}]

@asset(warehouse.table("raw.here"))
def here(context: Context):
    return totals.read(context)
"""


def test_assets_are_written_to_and_read_from_several_databases(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = new_database(server)
    monkeypatch.setenv("REPORTING_URL", uri)
    shop = scene(tmp_path, {}, PYTHON, lock_timeout_s=0)
    ran = shop.run()
    assert ran.steps == dict.fromkeys(["raw.letters", "public.totals", "raw.here"], "succeeded"), ran.reasons
    assert ran.checks == {"two": "succeeded"}
    with duckdb.connect(str(tmp_path / "archive.duckdb"), read_only=True) as archive:
        assert archive.execute("select n from raw.letters order by n").fetchall() == [(1,), (2,)]
    assert query(uri, "select n, letters from public.totals") == [(3, 2)]
    assert shop.query("select n, letters from raw.here") == [(3, 2)]
    assert {step.key: step.materialization.rows for step in ran.result.steps if step.materialization} == {
        "raw.letters": 2,
        "public.totals": 1,
        "raw.here": 1,
    }
    workspace = shop.load()
    assert read_rows(workspace, AssetKey("raw", "letters"), limit=1) == (["n"], [[1]], "")
    assert read_rows(workspace, AssetKey("public", "totals"), limit=1) == (["n", "letters"], [[3, 2]], "")
    with writer_lock(tmp_path / "archive.duckdb", run_id="other", timeout_s=0):
        with pytest.raises(ResourceLockedError, match=r"archive\.duckdb is held by run other"):
            shop.run()
        assert shop.run("raw.here").steps == {"raw.here": "succeeded"}  # which does not need that file


def test_the_profiles_own_file_by_its_path_is_one_database(tmp_path: Path) -> None:
    python = """
from orchestrator import DuckDB

same = DuckDB("dbt/warehouse.duckdb")

@asset(same.table("raw.letters"))
def letters():
    return [{"n": 1}]
"""
    dbt = {
        "models/sources.yml": "sources:\n  - name: raw\n    tables: [{name: letters}]\n",
        "models/copy.sql": "select * from {{ source('raw', 'letters') }}",
    }
    shop = scene(tmp_path, dbt, python)
    ran = shop.run()
    assert ran.steps == {"raw.letters": "succeeded", "shop.copy": "succeeded"}
    assert shop.query("select * from dev.copy") == [(1,)]
