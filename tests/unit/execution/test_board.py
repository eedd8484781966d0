"""Who waits for whom, and what is said when it does not come."""

from __future__ import annotations

import threading
import time

from orchestrator.execution.board import Board, End
from orchestrator.execution.ops import Op
from tests.scenarios import check, key


def op(name: str, *needs: str, engine: str = "python") -> Op:
    return Op(name, "asset", engine, key(name), frozenset(needs))  # type: ignore[arg-type]


def board(*ops: Op) -> Board:
    return Board({one.id: one for one in ops})


def names(found: list[tuple[Op, End | None]]) -> list[tuple[str, End | None]]:
    return [(one.id, verdict) for one, verdict in found]


def test_what_needs_nothing_is_ready_once() -> None:
    ours = board(op("raw.a"), op("raw.b", "raw.a"))
    assert names(ours.ready("python")) == [("raw.a", None)]
    assert ours.ready("python") == []


def test_what_waits_is_ready_when_all_it_needs_has_ended_well() -> None:
    ours = board(op("raw.a"), op("raw.b"), op("raw.c", "raw.a", "raw.b"))
    ours.ready("python")
    ours.end("raw.a", End("ok"))
    assert ours.ready("python") == []
    ours.end("raw.b", End("ok"))
    assert names(ours.ready("python")) == [("raw.c", None)]


def test_a_failure_blocks_and_is_named_all_the_way_down() -> None:
    ours = board(op("raw.a"), op("raw.b", "raw.a"), op("raw.c", "raw.b"))
    ours.end("raw.a", End("failed", "no route"))
    assert names(ours.ready("python")) == [("raw.b", End("blocked", "raw.a failed"))]
    ours.end("raw.b", End("blocked", "raw.a failed"))
    assert names(ours.ready("python")) == [("raw.c", End("blocked", "raw.a failed"))]


def test_a_failure_tells_more_than_what_it_blocked() -> None:
    ours = board(op("raw.a"), op("raw.z"), op("raw.c", "raw.a", "raw.z"))
    ours.end("raw.a", End("blocked", "something far away failed"))
    ours.end("raw.z", End("failed", "no route"))
    assert dict(names(ours.ready("python")))["raw.c"] == End("blocked", "raw.z failed")


def test_a_blocked_op_does_not_wait_for_the_rest_of_its_needs() -> None:
    ours = board(op("raw.a"), op("raw.slow"), op("raw.c", "raw.a", "raw.slow"))
    ours.end("raw.a", End("failed", "no route"))
    assert dict(names(ours.ready("python")))["raw.c"] == End("blocked", "raw.a failed")


def test_a_failed_check_is_called_by_its_name_and_asset() -> None:
    item = check("unique_id", "raw.a")
    guard = Op(item.id, "check", "python", key("raw.a"), frozenset(), check=item)
    ours = board(op("raw.a"), guard, op("raw.b", "raw.a", guard.id))
    ours.end("raw.a", End("ok"))
    ours.end(guard.id, End("failed", "2 rows"))
    assert ours.wait_for("raw.b") == End("blocked", "check unique_id on raw.a failed")


def test_the_first_word_counts() -> None:
    ours = board(op("raw.a"))
    assert ours.end("raw.a", End("failed", "no route"))
    assert not ours.end("raw.a", End("ok"))
    assert ours.ends["raw.a"].ending == "failed"


def test_engines_are_handed_out_apart() -> None:
    ours = board(op("raw.a"), op("marts.b", engine="dbt"))
    assert names(ours.ready("dbt")) == [("marts.b", None)]
    ours.end("marts.b", End("ok"))
    assert ours.all_ended("dbt")
    assert not ours.all_ended()


def test_after_a_cancel_nothing_starts_and_the_first_reason_stays() -> None:
    ours = board(op("raw.a"), op("raw.b", "raw.a"))
    ours.cancel("stopped at the first failure")
    ours.cancel("the run was cancelled")
    stopped = End("cancelled", "stopped at the first failure")
    assert names(ours.ready("python")) == [("raw.a", stopped), ("raw.b", stopped)]


def test_whoever_waits_wakes_up_at_once() -> None:
    ours = board(op("raw.a"), op("raw.b", "raw.a"))
    threading.Timer(0.02, ours.end, args=("raw.a", End("ok"))).start()
    started = time.monotonic()
    assert ours.wait_for("raw.b") is None
    assert time.monotonic() - started < 0.4, "not by polling"


def test_an_event_set_by_anybody_wakes_whoever_waits() -> None:
    ours = board(op("raw.a"), op("raw.b", "raw.a"))
    threading.Timer(0.02, ours.cancelled.set).start()
    assert ours.wait_for("raw.b") == End("cancelled", "the run was cancelled")
