"""One writer process for a file; who waits is told for whom."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from orchestrator.errors import ResourceLockedError
from orchestrator.resources.file_lock import Holder, read_holder, writer_lock

HOLD = """
import sys
from pathlib import Path
from orchestrator.resources.file_lock import writer_lock
sys.argv = ["/usr/bin/orchestrator", "run", "marts.*"]
with writer_lock(Path(PATH), run_id="run-1", timeout_s=0):
    print("held", flush=True)
    sys.stdin.read()
"""


def start_holder(path: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.replace("PATH", repr(str(path)))],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_holder_is_written_down_and_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "new" / "dev.duckdb"
    with writer_lock(path, run_id="run-1", timeout_s=0):
        holder = read_holder(path)
        assert holder is not None
        assert holder.run_id == "run-1"
    assert read_holder(path) is None
    with writer_lock(path, run_id="run-2", timeout_s=0):
        pass


def test_it_is_free_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "dev.duckdb"
    with pytest.raises(KeyError), writer_lock(path, run_id="run-1", timeout_s=0):
        raise KeyError
    with writer_lock(path, run_id="run-2", timeout_s=0):
        pass


def test_a_second_process_gives_up_and_names_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "dev.duckdb"
    with start_holder(path) as other:
        with pytest.raises(ResourceLockedError) as raised, writer_lock(path, run_id="run-2", timeout_s=0):
            pass
        other.communicate("")
    assert str(raised.value) == (
        f"ResourceLockedError: dev.duckdb is held by run run-1 (`orchestrator run marts.*`, PID {other.pid}); "
        "waited 0 s\n"
        f"  at:  {path}\n"
        "  fix: wait for that run, or stop it; ORCHESTRATOR_LOCK_TIMEOUT_S sets how long to wait"
    )


def test_a_second_process_waits_says_so_once_and_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "dev.duckdb"
    said: list[str] = []
    with start_holder(path) as other:
        threading.Timer(1.2, lambda: other.stdin and other.stdin.close()).start()
        with writer_lock(path, run_id="run-2", timeout_s=60, on_wait=said.append):
            holder = read_holder(path)
    assert holder is not None
    assert holder.run_id == "run-2"
    assert said == [
        f"waiting for dev.duckdb: held by run run-1 (`orchestrator run marts.*`, PID {other.pid}) (up to 60 s)"
    ]


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "dev.duckdb"
    with start_holder(path) as other:
        other.kill()
        other.wait()
    started = time.monotonic()
    with writer_lock(path, run_id="run-2", timeout_s=60):
        assert time.monotonic() - started < 1


def test_a_note_that_cannot_be_read_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / "dev.duckdb"
    note = Path(f"{path}.holder")
    for text in ("", "[]", json.dumps({"somebody": 1})):
        note.write_text(text)
        assert read_holder(path) is None
    assert str(Holder("run-1", "orchestrator run", 12)) == "run run-1 (`orchestrator run`, PID 12)"
