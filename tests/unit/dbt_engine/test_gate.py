"""dbt's events, as its threads send them, and what the gate makes of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace as Some
from typing import Any

import pytest

from orchestrator.dbt_engine.gate import Gate, GateRefusedError, NodeOutcome

A, YEARLY, EPHEMERAL = "model.shop.a", "model.shop.yearly", "model.shop.eph"


@dataclass
class Heard:
    """A listener that writes down what it hears."""

    story: list[str] = field(default_factory=list)
    outcomes: list[NodeOutcome] = field(default_factory=list)
    refuse: str = ""

    def wait(self, unique_id: str) -> None:
        self.story.append("wait")

    def start(self, unique_id: str) -> None:
        self.story.append("start")
        if self.refuse:
            raise GateRefusedError(self.refuse)

    def finish(self, outcome: NodeOutcome) -> None:
        self.story.append(outcome.status)
        self.outcomes.append(outcome)


class Dbt:
    """Says what dbt would say."""

    def __init__(self, heard: Heard, *, slots: int = 1) -> None:
        self.slots = threading.Semaphore(slots)
        self.gate = Gate(heard, self.slots, {A, YEARLY}, microbatch={YEARLY})

    def starts(self, unique_id: str) -> None:
        self._say("NodeStart", node_info=Some(unique_id=unique_id))

    def compiles(self, unique_id: str) -> None:
        self._say("NodeCompiling", node_info=Some(unique_id=unique_id))

    def finishes(self, unique_id: str, status: str = "success", message: str = "") -> None:
        result = Some(
            status=status,
            message=message,
            num_failures=0,
            execution_time=0.5,
            adapter_response=Some(fields={"rows_affected": Some(number_value=3.0)}),
        )
        self._say("NodeFinished", node_info=Some(unique_id=unique_id), run_result=result)

    def breaks(self, unique_id: str, message: str) -> None:
        self._say("GenericExceptionOnRun", unique_id=unique_id, exc=message)

    def _say(self, name: str, **data: Any) -> None:
        self.gate(Some(info=Some(name=name), data=Some(**data)))

    @property
    def free(self) -> bool:
        """Whether a slot is free."""
        if not self.slots.acquire(blocking=False):
            return False
        self.slots.release()
        return True


def test_a_node_waits_takes_a_slot_and_gives_it_back() -> None:
    heard = Heard()
    dbt = Dbt(heard)
    dbt.starts(A)
    assert not dbt.free
    dbt.compiles(A)
    dbt.finishes(A)
    assert dbt.free
    assert heard.story == ["wait", "start", "success"]
    assert heard.outcomes == [NodeOutcome(A, "success", "", None, 0.5, 3)]


def test_a_refused_node_is_refused_where_dbt_fails_it_cleanly() -> None:
    heard = Heard(refuse="raw.flights failed")
    dbt = Dbt(heard)
    dbt.starts(A)
    with pytest.raises(GateRefusedError):
        dbt.compiles(A)
    dbt.finishes(A, "error", "raw.flights failed")
    assert dbt.free
    assert heard.story == ["wait", "start", "error"]


def test_what_was_not_asked_for_passes() -> None:
    heard = Heard()
    dbt = Dbt(heard, slots=0)
    dbt.starts(EPHEMERAL)
    dbt.compiles(EPHEMERAL)
    dbt.finishes(EPHEMERAL)
    assert heard.story == []


def test_an_error_that_dbt_handles_ends_its_node_once() -> None:
    heard = Heard()
    dbt = Dbt(heard)
    dbt.starts(A)
    dbt.compiles(A)
    dbt.breaks(A, "Unhandled error while executing\nno such thing")
    dbt.finishes(A, "error", "no such thing")
    assert heard.story == ["wait", "start", "error"]


def test_an_error_without_a_result_ends_its_node() -> None:
    heard = Heard()
    dbt = Dbt(heard)
    dbt.starts(A)
    dbt.breaks(A, "Exception on worker thread. no such thing")
    assert dbt.free
    assert heard.outcomes == [NodeOutcome(A, "error", "no such thing")]


def test_batches_take_slots_and_their_model_none() -> None:
    heard = Heard()
    dbt = Dbt(heard)
    dbt.starts(YEARLY)
    dbt.compiles(YEARLY)
    assert dbt.free
    for _ in range(2):
        dbt.starts(YEARLY)
        assert not dbt.free
        dbt.compiles(YEARLY)
        dbt.finishes(YEARLY)
        assert dbt.free
    assert heard.story == ["wait", "start"]
    dbt.finishes(YEARLY)
    assert heard.story == ["wait", "start", "success"]


def test_a_failing_batch_does_not_end_its_model_and_tells_why_it_failed() -> None:
    heard = Heard()
    dbt = Dbt(heard)
    dbt.starts(YEARLY)
    dbt.compiles(YEARLY)
    dbt.starts(YEARLY)
    dbt.breaks(YEARLY, "Exception on worker thread. Runtime Error\n  Invalid Input Error: a bad year")
    dbt.finishes(YEARLY, "error", "ERROR")
    assert heard.story == ["wait", "start"]
    dbt.starts(YEARLY)
    dbt.finishes(YEARLY)
    dbt.finishes(YEARLY, "partial success", "PARTIAL SUCCESS (1/2)")
    assert dbt.free
    (outcome,) = heard.outcomes
    assert (outcome.status, outcome.cause) == (
        "partial success",
        "PARTIAL SUCCESS (1/2): Invalid Input Error: a bad year",
    )


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("Runtime Error in model a (models/a.sql)\n  Binder Error: no column b\n  LINE 1", "Binder Error: no column b"),
        ("shop.on-run-end.0 failed, error:\n Catalog Error: no table", "Catalog Error: no table"),
        ("Got 2 results, configured to fail if != 0", "Got 2 results, configured to fail if != 0"),
        ("", "dbt says: error"),
    ],
)
def test_the_cause_is_one_line(message: str, cause: str) -> None:
    assert NodeOutcome(A, "error", message).cause == cause
