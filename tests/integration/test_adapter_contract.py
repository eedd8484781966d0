"""The way through dbt's adapters keeps the contract of warehouses: on DuckDB and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.dbt_engine import adapter_database
from orchestrator.dbt_engine.adapter_database import AdapterDatabase
from orchestrator.definitions.keys import Relation
from orchestrator.errors import HalfWrittenError, ResourceError, ResourceUnavailableError
from orchestrator.resources.dbt_profile import Profile
from orchestrator.testing.warehouse_contract import *  # noqa: F403  the tests
from tests.integration.test_warehouses import postgres_output, server

pytestmark = pytest.mark.slow
__all__ = ["server"]


def profile(directory: Path, output: dict[str, Any]) -> Profile:
    return Profile("shop", "dev", output, directory / "profiles.yml", directory)


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def contract_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AdapterDatabase]:
    directory = tmp_path_factory.mktemp("adapter")
    output = {"type": "duckdb", "path": "own.duckdb", "schema": "dev"}
    if request.param == "postgres":
        output = postgres_output(request.getfixturevalue("server"))
    database = AdapterDatabase(profile(directory, output))
    yield database
    database.close()


def test_an_adapter_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResourceError) as raised:
        AdapterDatabase(profile(tmp_path, {"type": "snowflake"})).connect()
    assert (raised.value.what, raised.value.fix) == (
        "dbt has no adapter for snowflake here",
        "pip install dbt-snowflake",
    )


def test_a_write_that_cannot_be_undone_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a warehouse without transactions: nobody may believe that the old rows are still there."""
    monkeypatch.setattr(adapter_database, "ATOMIC", ())
    database = AdapterDatabase(profile(tmp_path, {"type": "duckdb", "path": "own.duckdb"}))
    asked: list[int] = []

    def refuse() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise RuntimeError("the line is dead")

    with pytest.raises(HalfWrittenError) as raised:
        database.replace(Relation("", "raw", "n"), [{"n": 1}], before_commit=refuse)
    database.close()
    assert str(raised.value) == (
        "HalfWrittenError: raw.n may be half replaced, which duckdb cannot undo: the line is dead\n"
        "  fix: run it again: its rows are replaced anew"
    )


def test_a_server_that_is_not_there_says_so(tmp_path: Path) -> None:
    output = {"type": "postgres", "host": "127.0.0.1", "port": 1, "user": "me", "password": "x", "dbname": "shop"}
    with pytest.raises(ResourceUnavailableError) as raised:
        AdapterDatabase(profile(tmp_path, {**output, "schema": "dev"})).connect()
    assert raised.value.what.startswith("dbt's adapter for postgres cannot connect: ")
    assert raised.value.fix == f"check the target 'dev' in {tmp_path / 'profiles.yml'}; `dbt debug` says more"
