"""What is dear to start is started once: one Prefect server for all integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.service.server import PrefectServer


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A running Prefect server with everything on, as `orchestrator dev` has it."""
    with PrefectServer(tmp_path_factory.mktemp("prefect_server") / "state") as server:
        yield server
