from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.records import Records, open_records


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state/records.sqlite"


@pytest.fixture
def records(url: str) -> Iterator[Records]:
    """New records in a SQLite file."""
    with open_records(url) as opened:
        yield opened
