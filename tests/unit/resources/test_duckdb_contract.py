"""DuckDB keeps the contract of warehouses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.resources.duckdb import DuckDBFile
from orchestrator.testing.warehouse_contract import *  # noqa: F403  the tests


@pytest.fixture(scope="module")
def contract_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBFile]:
    database = DuckDBFile(tmp_path_factory.mktemp("contract") / "dev.duckdb")
    yield database
    database.close()
