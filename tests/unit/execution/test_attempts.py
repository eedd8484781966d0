"""A time limit that holds, a cancel that stops, and a late commit that is refused."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from orchestrator.definitions.keys import Relation
from orchestrator.errors import ClaimLostError, StepTimeoutError
from orchestrator.execution.attempts import Attempt, StepCancelledError
from orchestrator.resources.duckdb import DuckDBFile

NEVER = threading.Event()
ENDLESS = "select count(*) from range(1000000000) a, range(1000000000) b where hash(a.range, b.range) = 1"
FLIGHTS = Relation("", "raw", "flights")


def loop_for_ever() -> None:
    while True:
        time.sleep(0.005)


def nothing() -> None:
    return None


def attempt(call: Callable[[], object], *, timeout_s: float | None = None) -> Attempt[object]:
    return Attempt(call, interrupt=nothing, timeout_s=timeout_s)


def test_the_value_comes_back() -> None:
    assert attempt(lambda: 42).run(cancelled=NEVER) == 42


def test_what_the_function_raises_comes_back() -> None:
    def fail() -> None:
        raise KeyError("origin")

    with pytest.raises(KeyError, match="origin"):
        attempt(fail).run(cancelled=NEVER)


def test_a_function_that_exits_does_not_end_the_process() -> None:
    with pytest.raises(SystemExit):
        attempt(lambda: exit(3)).run(cancelled=NEVER)


def test_a_python_loop_is_stopped_at_its_time_limit() -> None:
    threads = threading.active_count()
    with pytest.raises(StepTimeoutError) as raised:
        attempt(loop_for_ever, timeout_s=0.1).run(cancelled=NEVER)
    assert str(raised.value) == (
        "StepTimeoutError: it ran longer than its time limit of 0.1 s and was stopped\n"
        "  fix: raise timeout_s=, or make the step do less"
    )
    assert threading.active_count() == threads, "its thread is gone"


def test_except_exception_does_not_keep_it_alive() -> None:
    def stubborn() -> None:
        while True:
            try:
                loop_for_ever()
            except Exception:  # noqa: BLE001
                continue

    threads = threading.active_count()
    with pytest.raises(StepTimeoutError):
        attempt(stubborn, timeout_s=0.1).run(cancelled=NEVER)
    assert threading.active_count() == threads


def test_a_database_query_is_interrupted(tmp_path: Path) -> None:
    database = DuckDBFile(tmp_path / "dev.duckdb")
    cursor = database.connect()
    stopped = Attempt(lambda: cursor.execute(ENDLESS).fetchall(), interrupt=cursor.interrupt, timeout_s=0.2)
    started = time.monotonic()
    with pytest.raises(StepTimeoutError):
        stopped.run(cancelled=NEVER)
    assert time.monotonic() - started < 3
    assert [type(error) for error in stopped._error] == [duckdb.InterruptException]
    database.close()


def test_a_cancel_stops_it_without_a_time_limit() -> None:
    cancelled = threading.Event()
    threading.Timer(0.05, cancelled.set).start()
    with pytest.raises(StepCancelledError):
        attempt(loop_for_ever).run(cancelled=cancelled)


def test_what_is_stuck_outside_python_is_left_behind_and_its_late_commit_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.execution.attempts.GRACE_S", 0.1)
    database = DuckDBFile(tmp_path / "dev.duckdb")
    database.replace(FLIGHTS, [{"id": 1}], before_commit=nothing)
    late: list[BaseException] = []

    def stuck() -> None:
        with contextlib.suppress(BaseException):  # it goes on, whatever it was told
            time.sleep(0.8)  # in C: no exception gets in
        try:
            database.replace(FLIGHTS, [{"id": 2}], before_commit=left.refuse_if_stopped)
        except BaseException as exc:  # noqa: BLE001
            late.append(exc)

    left: Attempt[None] = Attempt(stuck, interrupt=nothing, timeout_s=0.1)
    with pytest.raises(StepTimeoutError):
        left.run(cancelled=NEVER)
    database.close()
    for _ in range(60):
        if late:
            break
        time.sleep(0.05)
    assert [str(exc) for exc in late] == ["ClaimLostError: this attempt was stopped; its result is refused"]
    assert isinstance(late[0], ClaimLostError)
    assert database._connection is None, "a late writer does not open the file again"
    with duckdb.connect(str(tmp_path / "dev.duckdb")) as other:
        assert other.execute("select id from raw.flights").fetchall() == [(1,)]
