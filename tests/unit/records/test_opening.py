"""Opening a store: new, old, newer, damaged, out of reach; and many at once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from orchestrator.errors import RecordsError
from orchestrator.records import Records, open_records, schema
from orchestrator.records.migrations import build_config
from tests.unit.records.story import FLIGHTS, Run, good_run

_IMPORTED = """
import sys
from orchestrator.records import open_records
print(sorted({"sqlalchemy", "alembic", "psutil"} & set(sys.modules)))
open_records(sys.argv[1]).close()
print("alembic" in sys.modules)
"""


def test_heavy_packages_are_imported_when_they_are_needed(url: str):
    """SQLAlchemy when a store is opened, Alembic only when its schema is not the newest."""
    open_records(url).close()
    assert subprocess.check_output([sys.executable, "-c", _IMPORTED, url], text=True) == "[]\nFalse\n"


def test_what_was_recorded_is_there_after_opening_again(url: str):
    with open_records(url) as records:
        records.record(*good_run())
        before = records.facts("dev")
    with open_records(url) as records:
        assert records.facts("dev") == before


def test_migrations_and_tables_agree(tmp_path: Path, url: str):
    open_records(url).close()
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "version_table": schema.VERSION_TABLE}
        )
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()
    scripts = ScriptDirectory.from_config(build_config())
    assert tuple(reversed([script.revision for script in scripts.walk_revisions()])) == schema.REVISIONS


def test_a_new_store_uses_wal_so_that_readers_do_not_wait_for_writers(tmp_path: Path, records: Records):
    connection = sqlite3.connect(tmp_path / "state" / "records.sqlite")
    assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    connection.close()


def test_records_of_a_newer_version_are_left_alone(tmp_path: Path, url: str):
    open_records(url).close()
    file = tmp_path / "state" / "records.sqlite"
    connection = sqlite3.connect(file)
    connection.execute("update orchestrator_schema set version_num = '0999'")
    connection.commit()
    connection.close()
    with pytest.raises(RecordsError) as caught:
        open_records(url)
    assert str(caught.value) == (
        "RecordsError: the records were written by a newer version of Orchestrator "
        "(schema 0999, this one knows up to 0001)\n"
        f"  at:  {file}\n"
        "  fix: upgrade with 'pip install --upgrade dbt-orchestrator', or use another records database"
    )


def test_a_file_that_is_no_database(tmp_path: Path):
    file = tmp_path / "records.sqlite"
    file.write_bytes(b"these are no records " * 100)
    with pytest.raises(RecordsError) as caught:
        open_records(f"sqlite:///{file}")
    assert str(caught.value) == (
        "RecordsError: the records cannot be read: file is not a database\n"
        f"  at:  {file}\n"
        "  fix: restore the file from a backup, or move it away: the next run starts new records"
    )


def test_a_file_damaged_in_the_middle(tmp_path: Path, url: str):
    with open_records(url) as records:
        records.record(*good_run())
    file = tmp_path / "state" / "records.sqlite"
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(RecordsError) as caught, open_records(url) as records:
        records.facts("dev")
    assert caught.value.what == "the records cannot be read: database disk image is malformed"


def test_a_place_without_a_directory(tmp_path: Path):
    (tmp_path / "state").write_text("a file where a directory should be")
    file = tmp_path / "state" / "records.sqlite"
    with pytest.raises(RecordsError) as caught:
        open_records(f"sqlite:///{file}")
    assert str(caught.value) == (
        f"RecordsError: the records cannot be written: cannot make the directory {tmp_path}/state\n"
        f"  at:  {file}\n"
        "  fix: give this user write access to the file and its directory, or choose another place for the records"
    )


def test_a_directory_where_the_file_should_be(tmp_path: Path):
    with pytest.raises(RecordsError) as caught:
        open_records(f"sqlite:///{tmp_path}")
    assert caught.value.what == "the records cannot be written: unable to open database file"


def test_a_read_only_store_refuses_to_record(url: str):
    open_records(url).close()
    # `mode=ro` stands for missing permissions, which the superuser of a test machine does not feel.
    read_only = url.replace("sqlite:///", "sqlite:///file:") + "?mode=ro&uri=true"
    with open_records(read_only) as records:
        assert records.runs() == ()
        with pytest.raises(RecordsError) as caught:
            records.record(*good_run())
    assert caught.value.what == "the records cannot be written: attempt to write a readonly database"


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("records.sqlite", "this is not a URL of a records database: it has no scheme"),
        (
            "mysql://ada:secret@host/x",
            "this is not a URL of a records database: 'mysql' is neither sqlite nor postgresql",
        ),
        (
            "sqlite://",
            "this is not a URL of a records database: it names no file, and records must outlive the process",
        ),
    ],
)
def test_urls_that_are_none(url: str, what: str):
    with pytest.raises(RecordsError) as caught:
        open_records(url)
    assert caught.value.what == what
    assert "secret" not in str(caught.value)


def test_a_server_that_does_not_answer():
    pytest.importorskip("psycopg2")
    with pytest.raises(RecordsError) as caught:
        open_records("postgresql://ada:secret@127.0.0.1:1/records")
    assert caught.value.what.startswith("the records database does not answer: ")
    assert caught.value.at == "postgresql://ada:***@127.0.0.1:1/records"
    assert "secret" not in str(caught.value)


def test_looking_at_records_that_are_not_there_makes_no_file(tmp_path: Path, url: str):
    with open_records(url, create=False) as records:
        assert records.facts("dev").writers == {}
        assert records.runs() == ()
        assert records.run("x") is None
        assert records.reap() == []
        assert records.version() == 0
        with pytest.raises(RecordsError) as caught:
            records.record(*good_run())
    assert caught.value.what == "the records were opened for reading only, and there are none yet"
    assert list(tmp_path.iterdir()) == []


def test_records_that_come_into_being_are_seen_by_who_looked_before(url: str):
    with open_records(url, create=False) as looking:
        assert looking.runs() == ()
        with open_records(url) as records:
            records.record(*good_run())
        assert [run.run_id for run in looking.runs()] == ["run-1"]


_WRITE = """
import sys
from orchestrator.records import open_records
from tests.unit.records.story import Run
print("ready", flush=True)
sys.stdin.readline()
with open_records(sys.argv[1]) as records:
    run = Run(sys.argv[2])
    for number in range(200):
        records.record(run.says(str(number)))
"""


@pytest.mark.slow
def test_two_processes_open_new_records_at_once_and_write_200_events_each(url: str):
    command = [sys.executable, "-c", _WRITE, url]
    processes = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in ("a", "b")
    ]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.communicate("go\n", timeout=60)
    assert [process.returncode for process in processes] == [0, 0]
    with open_records(url) as records:
        assert records.version() == 400
        for name in ("a", "b"):
            assert [line.message for line in records.log_lines(name)] == [str(number) for number in range(200)]


def test_threads_may_share_one_store(records: Records):
    def write(name: str) -> None:
        run = Run(name)
        for number in range(25):
            records.record(run.begins(FLIGHTS, f"{name}-{number}"), run.ends(FLIGHTS, f"{name}-{number}"))

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert records.version() == 100
    assert len(records.history("dev", FLIGHTS[0], limit=1000)) == 100


def test_a_transaction_is_recorded_whole_or_not_at_all(records: Records):
    run = Run("run-1")
    broken = run.ends(FLIGHTS, "a1", duration_s="soon")  # type: ignore[arg-type]
    with pytest.raises(RecordsError):
        records.record(run.started(FLIGHTS), run.begins(FLIGHTS, "a1"), broken)
    assert records.runs() == ()
    assert records.version() == 0
