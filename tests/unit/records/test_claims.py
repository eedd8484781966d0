"""Who is at work now: claims with fencing tokens, heartbeats, and what becomes of the dead."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from orchestrator.records import ClaimedElsewhereError, Records
from tests.unit.records.story import DAILY, FLIGHTS, Run


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A live process that is not ours."""
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def in_another_host(tmp_path: Path, run_id: str) -> None:
    """Rewrite where a run's process is: no second host is at hand."""
    connection = sqlite3.connect(tmp_path / "state" / "records.sqlite")
    connection.execute("update orchestrator_liveness set host = 'elsewhere' where run_id = ?", (run_id,))
    connection.commit()
    connection.close()


def test_tokens_grow_and_a_released_claim_is_free(records: Records):
    one = records.claim("dev", *FLIGHTS, None, run_id="run-1")
    assert records.holds("dev", *FLIGHTS, None, token=one)
    records.release("dev", *FLIGHTS, None, token=one)
    assert not records.holds("dev", *FLIGHTS, None, token=one)
    two = records.claim("dev", *FLIGHTS, None, run_id="run-2")
    assert two > one


def test_a_live_run_keeps_its_claim(records: Records, sleeper: subprocess.Popen[bytes]):
    records.record(Run("run-1", pid=sleeper.pid).started(FLIGHTS))
    token = records.claim("dev", *FLIGHTS, "2013-02", run_id="run-1")
    with pytest.raises(ClaimedElsewhereError) as caught:
        records.claim("dev", *FLIGHTS, "2013-02", run_id="run-2")
    assert str(caught.value) == (
        "ClaimedElsewhereError: partition 2013-02 of raw.flights is being written by run run-1 "
        f"(pid {sleeper.pid} on {socket.gethostname()})\n"
        "  fix: wait until that run ends, or stop it; the claim is free as soon as its process is gone"
    )
    assert (caught.value.run_id, caught.value.pid) == ("run-1", sleeper.pid)
    assert records.holds("dev", *FLIGHTS, "2013-02", token=token)


def test_a_step_that_begins_is_claimed_and_one_that_ends_is_free(records: Records):
    run = Run("run-1")
    records.record(run.started(FLIGHTS))
    token = records.begin(run.begins(FLIGHTS, "run-1-a"))
    assert records.holds("dev", *FLIGHTS, None, token=token)
    assert [step.status for step in records.run("run-1").steps] == ["running"]
    records.end(run.ends(FLIGHTS, "run-1-a"), token=token)
    assert not records.holds("dev", *FLIGHTS, None, token=token)
    assert [step.status for step in records.run("run-1").steps] == ["succeeded"]


def test_a_refused_step_is_not_recorded(records: Records, sleeper: subprocess.Popen[bytes]):
    first, second = Run("run-1", pid=sleeper.pid), Run("run-2")
    records.record(first.started(FLIGHTS), second.started(FLIGHTS))
    token = records.begin(first.begins(FLIGHTS, "run-1-a"))
    with pytest.raises(ClaimedElsewhereError):
        records.begin(second.begins(FLIGHTS, "run-2-a"))
    assert [step.status for step in records.run("run-2").steps] == ["waiting"]
    assert records.holds("dev", *FLIGHTS, None, token=token)


def test_a_late_end_does_not_free_what_another_has_taken_over(records: Records, sleeper: subprocess.Popen[bytes]):
    first, second = Run("run-1", pid=sleeper.pid), Run("run-2")
    records.record(first.started(FLIGHTS), second.started(FLIGHTS))
    stale = records.begin(first.begins(FLIGHTS, "run-1-a"))
    kill(sleeper)
    token = records.begin(second.begins(FLIGHTS, "run-2-a"))
    records.end(first.ends(FLIGHTS, "run-1-a"), token=stale)
    assert records.holds("dev", *FLIGHTS, None, token=token)


def test_claims_of_other_partitions_writers_and_environments_are_free(records: Records):
    records.claim("dev", *FLIGHTS, "2013-02", run_id="run-1")
    records.claim("dev", *FLIGHTS, "2013-03", run_id="run-2")
    records.claim("dev", FLIGHTS[0], "another writer", "2013-02", run_id="run-3")
    records.claim("prod", *FLIGHTS, "2013-02", run_id="run-4")


def test_a_run_may_claim_again_for_its_next_attempt(records: Records):
    one = records.claim("dev", *FLIGHTS, None, run_id="run-1")
    two = records.claim("dev", *FLIGHTS, None, run_id="run-1")
    assert two > one
    assert not records.holds("dev", *FLIGHTS, None, token=one)  # the attempt before, timed out, must not commit


def test_a_dead_runs_claim_is_taken_over_and_its_token_refused(records: Records, sleeper: subprocess.Popen[bytes]):
    records.record(Run("run-1", pid=sleeper.pid).started(FLIGHTS))
    stale = records.claim("dev", *FLIGHTS, None, run_id="run-1")
    kill(sleeper)
    token = records.claim("dev", *FLIGHTS, None, run_id="run-2")
    assert token > stale
    assert not records.holds("dev", *FLIGHTS, None, token=stale)
    records.release("dev", *FLIGHTS, None, token=stale)  # a late release by the dead one changes nothing
    assert records.holds("dev", *FLIGHTS, None, token=token)


def test_a_finished_run_holds_nothing(records: Records):
    run = Run("run-1")
    records.record(run.started(FLIGHTS))
    token = records.claim("dev", *FLIGHTS, None, run_id="run-1")
    records.record(run.finished())
    assert not records.holds("dev", *FLIGHTS, None, token=token)
    records.claim("dev", *FLIGHTS, None, run_id="run-2")


def test_all_claims_of_a_run_are_released_at_once(records: Records):
    tokens = [records.claim("dev", *step, None, run_id="run-1") for step in (FLIGHTS, DAILY)]
    records.release_run("run-1")
    assert not any(
        records.holds("dev", *step, None, token=token) for step, token in zip((FLIGHTS, DAILY), tokens, strict=True)
    )


def test_a_dead_process_leaves_a_lost_run_and_an_unknown_step(records: Records, sleeper: subprocess.Popen[bytes]):
    run = Run("run-1", pid=sleeper.pid)
    found_at = datetime(2013, 6, 1, 13, tzinfo=timezone.utc)
    records.record(run.started(FLIGHTS, DAILY), run.begins(FLIGHTS, "a1"))
    token = records.claim("dev", *FLIGHTS, None, run_id="run-1")
    assert records.reap(as_of=found_at) == []
    kill(sleeper)
    assert records.reap("prod", as_of=found_at) == []
    assert records.reap("dev", as_of=found_at) == ["run-1"]
    assert records.reap(as_of=found_at) == []

    died = f"its process (pid {sleeper.pid} on {socket.gethostname()}) died"
    lost = records.run("run-1")
    assert (lost.status, lost.reason, lost.finished_at, lost.duration_s) == ("lost", died, found_at, None)
    assert [(step.key, step.status, step.reason) for step in lost.steps] == [
        ("raw.flights", "unknown", died),
        ("marts.daily_delays", "cancelled", f"not begun: {died}"),
    ]
    assert lost.failed == ("raw.flights",)
    assert records.facts("dev").writers[(*FLIGHTS, None)].status == "unknown"
    assert not records.holds("dev", *FLIGHTS, None, token=token)


def test_a_killed_process_that_nobody_waited_for_is_dead(records: Records, sleeper: subprocess.Popen[bytes]):
    records.record(Run("run-1", pid=sleeper.pid).started())
    sleeper.kill()  # it stays a zombie until its parent asks
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert records.reap() == ["run-1"]


def test_a_pid_that_was_given_to_another_process_is_dead(
    tmp_path: Path, records: Records, sleeper: subprocess.Popen[bytes]
):
    records.record(Run("run-1", pid=sleeper.pid).started())
    connection = sqlite3.connect(tmp_path / "state" / "records.sqlite")
    connection.execute("update orchestrator_liveness set process_started = process_started - 3600")
    connection.commit()
    connection.close()
    assert records.reap() == ["run-1"]


def test_a_run_on_another_host_lives_as_long_as_its_heart_beats(tmp_path: Path, records: Records):
    records.record(Run("run-1").started(FLIGHTS))
    in_another_host(tmp_path, "run-1")
    beat = datetime(2030, 1, 1, tzinfo=timezone.utc)
    records.heartbeat("run-1", as_of=beat)
    records.claim("dev", *FLIGHTS, None, run_id="run-1")
    with pytest.raises(ClaimedElsewhereError):
        records.claim("dev", *FLIGHTS, None, run_id="run-2", as_of=beat + timedelta(seconds=60))
    assert records.reap(as_of=beat + timedelta(seconds=60)) == []
    assert records.reap(as_of=beat + timedelta(seconds=61)) == ["run-1"]
    assert records.claim("dev", *FLIGHTS, None, run_id="run-2") == 2


_DIES = """
import os, signal, sys
from orchestrator.records import open_records
from tests.unit.records.story import FLIGHTS, Run
records, run = open_records(sys.argv[1]), Run("run-1")
records.record(run.started(FLIGHTS), run.begins(FLIGHTS, "a1"))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_an_intent_survives_the_death_of_its_process(url: str, records: Records):
    """Killed right after the intent was recorded: nothing was flushed or closed, and nothing is forgotten."""
    died = subprocess.run([sys.executable, "-c", _DIES, url], check=False)
    assert died.returncode == -signal.SIGKILL
    assert records.facts("dev").writers[(*FLIGHTS, None)].status == "running"
    assert records.reap() == ["run-1"]
    assert records.facts("dev").writers[(*FLIGHTS, None)].status == "unknown"
