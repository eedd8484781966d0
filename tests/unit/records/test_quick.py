"""Facts read without SQLAlchemy: the same as the store's, or none at all."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

from orchestrator.definitions.events import Materialization
from orchestrator.records import Records, quick, schema
from tests.unit.records.story import DAILY, FLIGHTS, Run

_IMPORTED = """
import sys
from orchestrator.records.quick import read_facts
assert read_facts(sys.argv[1], "dev") is not None
print(sorted({"sqlalchemy", "alembic", "psutil"} & set(sys.modules)))
"""


def tell(records: Records) -> None:
    """A run of everything that facts are made of: successes, a failure, a running attempt, checks, another world."""
    for environment in ("dev", "prod"):
        run = Run(f"run-{environment}", environment=environment)
        records.record(
            run.started(FLIGHTS, DAILY),
            run.begins(FLIGHTS, f"{environment}-1", code_version="c1", inputs={"raw.x": None}),
            run.ends(FLIGHTS, f"{environment}-1", materialization=Materialization(rows=3), duration_s=1.5),
            run.begins(DAILY, f"{environment}-2", partition="2013-06-01", inputs={"raw.flights": "dev-1"}),
            run.ends(DAILY, f"{environment}-2", "failed", partition="2013-06-01", reason="Über-Fehler"),
            run.checked("test.flights.unique", "warned", failures=2, reason="2 rows"),
            run.checked("test.flights.unique", failures=0),
            run.begins(DAILY, f"{environment}-3"),
        )


def test_it_says_what_the_store_says(records: Records, url: str) -> None:
    tell(records)
    for environment in ("dev", "prod", "nowhere"):
        assert quick.read_facts(url, environment) == records.facts(environment)


def test_it_is_written_for_the_newest_schema() -> None:
    assert schema.REVISIONS[-1] == quick.REVISION


def test_another_schema_is_left_to_the_store(records: Records, url: str) -> None:
    tell(records)
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        database.execute(f"update {schema.VERSION_TABLE} set version_num = '9999'")
    assert quick.read_facts(url, "dev") is None


def test_no_file_a_damaged_one_and_another_database_are_left_to_the_store(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"not a database at all" * 100)
    assert quick.read_facts(f"sqlite:///{damaged}", "dev") is None
    assert quick.read_facts(f"sqlite:///{tmp_path}/absent.db", "dev") is None
    assert not (tmp_path / "absent.db").exists()
    assert quick.read_facts("postgresql://localhost/records", "dev") is None


def test_it_imports_nothing_heavy(records: Records, url: str) -> None:
    tell(records)
    done = subprocess.run([sys.executable, "-c", _IMPORTED, url], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
