"""Messages as they really come: torn, twice, in another order, with garbage between them, or from the future."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestrator.definitions.metadata import MetadataValue
from orchestrator.errors import ExternalWorkError
from orchestrator.execution.elsewhere import judge_job, judge_messages, judge_process, outcome
from orchestrator.execution.messages import Inbox, ReportedCheck
from orchestrator.execution.processes import ProcessEnd


@dataclass
class Box:
    """An inbox, and what it passed on."""

    said: list[tuple[str, str]] = field(default_factory=list)
    steps: list[tuple[float, float | None]] = field(default_factory=list)
    inbox: Inbox = field(init=False)

    def __post_init__(self) -> None:
        self.inbox = Inbox(
            lambda level, text: self.said.append((level, text)), lambda done, total: self.steps.append((done, total))
        )


@pytest.fixture
def box() -> Box:
    return Box()


def story(*messages: dict[str, Any], sender: str = "a", version: int = 1) -> list[bytes]:
    """The lines that one process sends."""
    head = {"orchestrator": version, "sender": sender}
    return [json.dumps({**head, "seq": seq, **message}).encode() for seq, message in enumerate(messages, start=1)]


OPENED, CLOSED = {"type": "opened"}, {"type": "closed", "ok": True}
GOOD = story(
    OPENED,
    {"type": "rows", "rows": 3},
    {"type": "metadata", "name": "mean", "value": 1.5},
    {"type": "check", "name": "positive", "passed": True, "severity": "error", "blocking": True},
    {"type": "log", "level": "warning", "message": "slow"},
    {"type": "progress", "done": 1, "total": 2},
    CLOSED,
)


def test_a_story_in_order(box: Box) -> None:
    box.inbox.take(GOOD)
    report = box.inbox.report
    assert report.rows == 3
    assert report.metadata == {"mean": MetadataValue("number", 1.5)}
    assert report.checks == {"positive": ReportedCheck("positive", True)}
    assert (box.said, box.steps) == ([("warning", "slow")], [(1.0, 2.0)])
    judge_process("job.py", ProcessEnd(0), box.inbox)
    assert outcome("job.py", box.inbox).rows == 3


@pytest.mark.parametrize("seed", range(20))
def test_any_order_with_repetitions_and_garbage_tells_the_same_story(box: Box, seed: int) -> None:
    dice = random.Random(seed)
    lines = [*GOOD, *dice.sample(GOOD, 3), b"Traceback (most recent call last):", b"\xff\xfe{", b"[1]", b"{}", b""]
    dice.shuffle(lines)
    in_order = Box()
    in_order.inbox.take(GOOD)
    for line in lines:
        box.inbox.take([line])
    assert box.inbox.report == in_order.inbox.report
    assert (box.said, box.steps, box.inbox.missing) == (in_order.said, in_order.steps, 0)
    assert len(box.inbox.foreign) == 4


def test_what_comes_early_waits_for_its_turn(box: Box) -> None:
    lines = story({"type": "rows", "rows": 1}, {"type": "rows", "rows": 2})
    box.inbox.take([lines[1]])
    assert (box.inbox.report.rows, box.inbox.missing) == (None, 1)
    box.inbox.take([lines[0]])
    assert (box.inbox.report.rows, box.inbox.missing) == (2, 0)


def test_a_message_that_was_lost_is_no_success(box: Box) -> None:
    box.inbox.take([line for number, line in enumerate(GOOD) if number != 3])
    with pytest.raises(ExternalWorkError) as raised:
        judge_messages("job.py", box.inbox)
    assert str(raised.value) == (
        "ExternalWorkError: 1 message of job.py never arrived, so what it did is not known\n"
        "  fix: look at the place where its messages go: is it full, or emptied while it is in use?"
    )


def test_a_last_line_that_is_cut_off_counts_for_nothing(box: Box) -> None:
    box.inbox.take(GOOD[:-1])
    box.inbox.take_torn(GOOD[-1][:30])
    with pytest.raises(ExternalWorkError) as raised:
        judge_process("job.py", ProcessEnd(0), box.inbox)
    assert str(raised.value) == (
        "ExternalWorkError: job.py opened its context and ended without leaving it; "
        'the last thing found is half a message: {"orchestrator": 1, "sender":\n'
        "  fix: let it leave the `with open_context()` block: os._exit() and kill do not"
    )


def test_a_last_line_without_its_end_is_read_when_it_is_whole(box: Box) -> None:
    box.inbox.take(GOOD[:-1])
    box.inbox.take_torn(GOOD[-1])
    judge_process("job.py", ProcessEnd(0), box.inbox)


def test_a_message_from_the_future_is_refused(box: Box) -> None:
    box.inbox.take(story(OPENED, CLOSED, version=2))
    with pytest.raises(ExternalWorkError) as raised:
        judge_job("Pod", box.inbox)
    assert str(raised.value) == (
        "ExternalWorkError: Pod sends messages of version 2, and this orchestrator understands 1\n"
        "  fix: use the orchestrator_external.py of this version there"
    )


def test_what_a_newer_client_of_the_same_version_adds_is_said_and_left_out(box: Box) -> None:
    box.inbox.take(story(OPENED, {"type": "colour", "value": "red"}, CLOSED))
    assert box.said == [("warning", "a message of type 'colour' is not known to this orchestrator")]
    judge_process("job.py", ProcessEnd(0), box.inbox)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"type": "rows", "rows": "many"}, "ValueError: invalid literal for int() with base 10: 'many'"),
        ({"type": "metadata", "name": "x", "kind": "sound", "value": 1}, "ValueError: 'sound' is no kind of metadata"),
        ({"type": "metadata", "name": "x", "kind": "table", "value": [1]}, "TypeError: list indices must be integers"),
        ({"type": "progress"}, "KeyError: 'done'"),
    ],
)
def test_a_message_that_makes_no_sense_is_said_and_left_out(box: Box, message: dict[str, Any], said: str) -> None:
    box.inbox.take(story(OPENED, message, CLOSED))
    (level, text) = box.said[0]
    assert (level, text.startswith(f"a message of type '{message['type']}' cannot be used: {said}")) == (
        "warning",
        True,
    )
    judge_process("job.py", ProcessEnd(0), box.inbox)


def test_a_check_that_cannot_be_understood_has_not_passed(box: Box) -> None:
    box.inbox.take(story(OPENED, {"type": "check", "name": "positive", "passed": "yes"}, CLOSED))
    with pytest.raises(ExternalWorkError) as raised:
        judge_process("job.py", ProcessEnd(0), box.inbox)
    assert raised.value.what == "job.py reported a check that cannot be understood: TypeError: passed is 'yes'"


def checked(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "check", "name": name, "passed": False, **more}


@pytest.mark.parametrize(
    ("checks", "what"),
    [
        ([checked("positive", message="2 rows are not")], "failed check 'positive': 2 rows are not"),
        ([checked("a"), checked("b", severity="warn"), checked("c")], "failed checks 'a', 'c'"),
        ([checked(name) for name in "abcdefg"], "failed checks 'a', 'b', 'c', 'd', 'e' and 2 more"),
    ],
)
def test_failed_checks_that_block_fail_the_work(box: Box, checks: list[dict[str, Any]], what: str) -> None:
    box.inbox.take(story(OPENED, *checks, CLOSED))
    judge_process("job.py", ProcessEnd(0), box.inbox)
    with pytest.raises(ExternalWorkError) as raised:
        outcome("job.py", box.inbox)
    assert raised.value.what == f"job.py reported the {what}"


def test_failed_checks_that_do_not_block_do_not_fail_the_work(box: Box) -> None:
    box.inbox.take(story(OPENED, checked("a", blocking=False), checked("b", severity="warn"), CLOSED))
    assert outcome("job.py", box.inbox).rows is None


FAILED = {"type": "closed", "ok": False, "message": "ValueError: no rows", "traceback": "Traceback …"}


@pytest.mark.parametrize("code", [0, 1])
def test_work_that_says_that_it_failed_has_failed_whatever_its_exit_code(box: Box, code: int) -> None:
    box.inbox.take(story(OPENED, FAILED))
    with pytest.raises(ExternalWorkError) as raised:
        judge_process("job.py", ProcessEnd(code), box.inbox)
    assert (raised.value.what, raised.value.traceback) == ("job.py failed: ValueError: no rows", "Traceback …")


def test_a_good_word_does_not_outweigh_a_bad_exit_code(box: Box) -> None:
    box.inbox.take(GOOD)
    with pytest.raises(ExternalWorkError) as raised:
        judge_process("job.py", ProcessEnd(3, tail=("out of paper",)), box.inbox)
    assert raised.value.what == "job.py ended with exit code 3:\n  out of paper"


def test_each_process_that_opened_the_context_must_have_left_it(box: Box) -> None:
    box.inbox.take([*story(OPENED, sender="main"), *story(OPENED, CLOSED, sender="worker")])
    with pytest.raises(ExternalWorkError, match="opened its context and ended without leaving it"):
        judge_process("job.py", ProcessEnd(0), box.inbox)


def test_a_job_that_was_restarted_is_judged_by_its_last_start(box: Box) -> None:
    box.inbox.take(
        [*story(OPENED, {"type": "rows", "rows": 1}, sender="first"), *story(OPENED, CLOSED, sender="second")]
    )
    judge_job("Pod", box.inbox)
    box.inbox.take(story(OPENED, FAILED, sender="third"))
    with pytest.raises(ExternalWorkError, match="Pod failed: ValueError: no rows"):
        judge_job("Pod", box.inbox)
