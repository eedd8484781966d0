"""`orchestrator ci` on real git repositories, dbt and DuckDB: what differs is built apart, the base stays as it is."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import textwrap
import uuid
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import main

pytestmark = pytest.mark.slow

PROJECT = """
    name: shop
    version: "1.0"
    profile: shop
    models: {shop: {+materialized: table}}
"""
PROFILES = "shop: {target: dev, outputs: {dev: {type: duckdb, path: dev.duckdb, schema: analytics}}}\n"
INGESTION = f"ingestion_{uuid.uuid4().hex[:8]}"  # a name of its own: imported modules stay in the process
FILES = {
    "dbt/dbt_project.yml": PROJECT,
    "dbt/profiles.yml": PROFILES,
    "dbt/models/sources.yml": "sources: [{name: raw, tables: [{name: orders}, {name: shops}]}]\n",
    "dbt/models/orders.sql": "select id, shop_id, amount from {{ source('raw', 'orders') }}",
    "dbt/models/shops.sql": "select id, name from {{ source('raw', 'shops') }}",
    "dbt/models/big_orders.sql": "{{ config(materialized='view') }} "
    "select * from {{ ref('orders') }} where amount > 10",
    "dbt/models/report.sql": "select s.name, b.amount from {{ ref('big_orders') }} b join {{ ref('shops') }} s "
    "on s.id = b.shop_id",
    "dbt/models/old.sql": "select * from {{ ref('shops') }}",
    "dbt/models/schema.yml": """
        models:
          - name: report
            columns: [{name: name, data_tests: [not_null]}]
          - name: shops
            columns: [{name: id, data_tests: [unique]}]
        exposures:
          - name: old_board
            type: dashboard
            owner: {name: Ada}
            depends_on: [ref('old')]
    """,
    "orchestrator.toml": 'name = "scene"\ndbt = "dbt"\npython = "' + INGESTION + '"\n',
    INGESTION + ".py": """
        from orchestrator import Context, Warehouse, asset
        from orchestrator.dbt import models as dbt

        warehouse = Warehouse.from_dbt()

        @asset(warehouse.table("raw.orders"))
        def orders():
            return [{"id": n, "shop_id": 1 + n % 2, "amount": 10 * n} for n in range(4)]

        @asset(warehouse.table("raw.shops"))
        def shops():
            return [{"id": 1, "name": "Ada's"}, {"id": 2, "name": "Grace's"}]

        @asset(warehouse.table("ml.forecast"))
        def forecast(context: Context):
            return dbt.report.read(context)
    """,
    ".gitignore": "*.duckdb\n__pycache__/\n",
}


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def last(self) -> dict[str, Any]:
        """The last line of `--json`."""
        return dict(json.loads(self.out.strip().splitlines()[-1]))


@dataclass
class Repo:
    root: Path

    def write(self, files: Mapping[str, str | None]) -> None:
        for name, text in files.items():
            path = self.root / name
            if text is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        return subprocess.run(
            ["git", *identity, *arguments], cwd=self.root, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, files: Mapping[str, str | None], *, message: str = "a change") -> None:
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def orchestrator(self, *arguments: str, env: Mapping[str, str] | None = None) -> Done:
        """The command, in this process: dbt is imported once for all tests."""
        out, err, started_in = io.StringIO(), io.StringIO(), Path.cwd()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name in os.environ:
                if name.startswith(("GITHUB_", "DBT_")):
                    patch.delenv(name)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            os.chdir(self.root)
            try:
                code = main(arguments)
            finally:
                os.chdir(started_in)
        return Done(code, out.getvalue(), err.getvalue())

    def ci(self, *arguments: str, env: Mapping[str, str] | None = None) -> Done:
        return self.orchestrator("ci", "--base", "main", "--engine", "local", *arguments, env=env)

    @property
    def report(self) -> str:
        return (self.root / ".orchestrator/ci/report.md").read_text(encoding="utf-8")

    def query(self, sql: str, file: str) -> list[tuple[Any, ...]]:
        import duckdb

        with duckdb.connect(str(self.root / file), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def tables(self, file: str) -> set[str]:
        rows = self.query("select schema_name || '.' || table_name from duckdb_tables()", file)
        views = self.query("select schema_name || '.' || view_name from duckdb_views() where not internal", file)
        return {name for (name,) in (*rows, *views)}


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """A repository whose main is built in dev."""
    repo = Repo(tmp_path_factory.mktemp("repo"))
    repo.git("init", "-q", "-b", "main")
    repo.commit(FILES)
    done = repo.orchestrator("run", "--engine", "local")
    assert done.code == 0, done.out + done.err
    return repo


@pytest.fixture
def repo(built: Repo) -> Repo:
    """It, on a new branch with nothing changed."""
    built.git("checkout", "-q", "--force", "main")
    built.git("clean", "-fdq")
    built.git("checkout", "-q", "-B", "feature/less")
    return built


def test_one_edited_one_added_one_removed(repo: Repo, tmp_path: Path) -> None:
    repo.commit(
        {
            "dbt/models/big_orders.sql": FILES["dbt/models/big_orders.sql"].replace("> 10", "> 20"),
            "dbt/models/names.sql": "select name from {{ ref('shops') }}",
            "dbt/models/old.sql": None,
            "dbt/models/schema.yml": str(FILES["dbt/models/schema.yml"]).split("exposures")[0].rstrip() + "\n",
        }
    )
    before = digest(repo.root / "dbt/dev.duckdb")
    page = tmp_path / "page.md"
    page.write_text("# Before\n", encoding="utf-8")
    done = repo.ci(env={"GITHUB_STEP_SUMMARY": str(page)})
    assert done.code == 0, done.out + done.err
    assert "1 added, 1 changed, 1 removed; 4 affected; 0 checks differ" in done.out
    assert digest(repo.root / "dbt/dev.duckdb") == before
    own = ".orchestrator/ci/ci_feature_less.duckdb"
    assert repo.tables(own) == {"analytics.big_orders", "analytics.names", "analytics.report", "ml.forecast"}
    # Read from the base: shops, and orders below a view that is built here.
    assert repo.query("select name, amount from analytics.report", own) == [("Grace's", 30)]
    assert repo.query("select name, amount from ml.forecast", own) == [("Grace's", 30)]

    report = repo.report
    sha = repo.git("rev-parse", "main")[:9]
    assert report.startswith("# ✅ CI succeeded\n\nCompared with **main (" + sha + ")**: ")
    assert "1 added, 1 changed, 1 removed; 4 affected. Built in `ci-feature_less` by run `" in report
    assert "| `shop.big_orders` | code changed |" in report
    assert "| `shop.names` | dbt/models/names.sql:1 |" in report
    assert "| `shop.old` | exposure old_board |" in report
    assert "| `shop.report` | upstream shop.big_orders differs |" in report
    assert "| `shop.report` | 2 | 1 (-1) |" in report
    assert "1 check passed." in report
    assert page.read_text(encoding="utf-8") == "# Before\n" + report

    # Its own environment: dev knows nothing of it, and no checkout is left.
    assert {run["environment"] for run in json.loads(repo.orchestrator("runs", "--json").out)} == {"dev"}
    assert repo.orchestrator("runs").out.endswith("also run in ci-feature_less: --all shows it\n")
    newest = json.loads(repo.orchestrator("runs", "--all", "--json").out)[0]
    assert (newest["environment"], newest["run_id"] in report) == ("ci-feature_less", True)
    assert f"Run {newest['run_id']} ✓ succeeded" in repo.orchestrator("runs", newest["run_id"]).out
    refused = repo.orchestrator("retry", newest["run_id"])
    assert (refused.code, refused.err) == (
        2,
        f"PlanError: run {newest['run_id']} was in ci-feature_less, this is dev\n"
        "  fix: for a run of `orchestrator ci` run that again; else pass --env ci-feature_less\n",
    )
    assert len(repo.git("worktree", "list").splitlines()) == 1
    again = repo.ci("--json")
    assert (again.code, again.last["affected"], again.last["run"]["status"]) == (
        0,
        ["shop.big_orders", "shop.names", "shop.report", "ml.forecast"],
        "succeeded",
    )
    assert "reading main" not in again.err  # the commit's graph is kept

    # What it has made can be removed, and nothing else.
    removed = repo.orchestrator("ci", "--cleanup")
    assert (removed.code, removed.out) == (0, "Removed ci_feature_less.duckdb\n")
    left = {file.name for file in (repo.root / ".orchestrator/ci").iterdir()}
    assert left == {"base", "report.md"}
    assert digest(repo.root / "dbt/dev.duckdb") == before
    again = repo.orchestrator("ci", "--cleanup")
    assert (again.code, again.out) == (0, "Nothing of a CI run called 'feature_less' is there\n")


def test_what_ci_says_when_nothing_differs_a_check_fails_and_a_definition_is_wrong(repo: Repo) -> None:
    done = repo.ci()
    assert (done.code, "✅ Nothing differs from main" in done.out) == (0, True), done.out + done.err
    assert repo.report.startswith("# ✅ Nothing differs from main\n")

    # A new check on a table that is not built: it looks at the base's.
    repo.write({"dbt/tests/few_shops.sql": "select * from {{ ref('shops') }}"})
    done = repo.ci("--report", "out/ci.md")
    assert done.code == 1, done.out + done.err
    assert "check few_shops on shop.shops failed (2 rows)" in done.out
    report = (repo.root / "out/ci.md").read_text(encoding="utf-8")
    assert report.startswith("# ❌ CI failed\n")
    assert "| ❌ failed | `few_shops` | `shop.shops` | 2 |" in report
    assert report.index("Checks that did not pass") < report.index("Checks that differ")

    # The whole error, in the report and on the terminal; nothing is run.
    repo.write({"dbt/models/broken.sql": "select * from {{ ref('nowhere') }}"})
    done = repo.ci()
    assert done.code == 2, done.out + done.err
    assert done.err.count("DbtProjectError") == 1
    assert repo.report.startswith("# ❌ CI could not run: 1 error\n\nCompared with main.\n\n```\nDbtProjectError: ")


def test_an_unknown_base_is_said(repo: Repo) -> None:
    done = repo.orchestrator("ci", "--base", "origin/mian", "--engine", "local")
    assert (done.code, done.err) == (
        2,
        "ConfigError: --base 'origin/mian' is neither a commit of this repository nor a directory\n"
        f"  at:  {repo.root}\n"
        "  fix: fetch it first (`git fetch origin mian`), or name a directory\n",
    )


def test_schemas_that_ignore_the_target_stay_apart_and_what_cannot_is_refused(repo: Repo) -> None:
    macro = "{% macro generate_schema_name(custom_schema_name, node) %}analytics{% endmacro %}"
    repo.write({"dbt/macros/schema.sql": macro, "dbt/models/shops.sql": FILES["dbt/models/shops.sql"] + " -- all"})
    before = digest(repo.root / "dbt/dev.duckdb")
    done = repo.ci()
    assert done.code == 0, done.out + done.err
    assert digest(repo.root / "dbt/dev.duckdb") == before
    assert repo.tables(".orchestrator/ci/ci_feature_less.duckdb") == {
        "analytics.shops", "analytics.old", "analytics.report", "ml.forecast",
    }  # fmt: skip

    # Another database, which is nobody's place: refused before anything is written.
    import duckdb

    duckdb.connect(str(repo.root / "dbt/other.duckdb")).close()
    profiles = PROFILES.replace("schema:", "attach: [{path: other.duckdb}], schema:")
    fixed = "{{ config(database='other', materialized='table') }} select 1 as id"
    repo.write({"dbt/profiles.yml": profiles, "dbt/models/fixed.sql": fixed})
    done = repo.ci()
    assert (done.code, done.err) == (
        2,
        "PlanError: nothing was built: 1 of the relations to write belong to the environment 'dev': "
        "other.analytics.fixed (model.shop.fixed)\n"
        "  at:  models/fixed.sql\n"
        "  fix: let their database and file names follow the target (no fixed `database` or `location`)\n",
    )
    assert repo.report.startswith("# ❌ CI could not run: 1 error\n")


def test_another_checkout_is_a_base_and_what_it_has_not_built_is_built(repo: Repo, tmp_path: Path) -> None:
    other = tmp_path / "other"
    repo.git("worktree", "add", "-q", "--detach", str(other), "main")
    repo.write({"dbt/models/report.sql": FILES["dbt/models/report.sql"] + " where true"})
    done = repo.orchestrator("ci", "--base", str(other), "--engine", "local", "--json")
    assert done.code == 0, done.out + done.err
    steps = {step["key"]: step["status"] for step in done.last["run"]["steps"]}
    assert done.last["changed"] == {
        "shop.report": [{"kind": "code", "text": "code changed", "rebuilds": True}],
    }
    assert steps == dict.fromkeys(
        ["raw.orders", "raw.shops", "shop.orders", "shop.shops", "shop.big_orders", "shop.report", "ml.forecast"],
        "succeeded",
    )
