"""Jobs that share nothing with us but a store: here a store in memory, and jobs that are threads of this process."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pytest

from orchestrator import JobRequest, JobStatus, RemoteJob, Secret
from orchestrator.errors import DefinitionError, ExternalWorkError
from orchestrator.execution import remote_jobs
from orchestrator.execution.messages import ReportedCheck
from orchestrator.execution.remote_jobs import BackOff
from orchestrator.external import Context as Outside
from orchestrator.external import open_context
from tests.unit.execution.elsewhere import Attempted

RUNNING, SUCCEEDED = JobStatus("running"), JobStatus("succeeded")


@dataclass(eq=False)
class Cluster(RemoteJob):
    """Runs `work` with the context of the request in a thread, as another machine would."""

    work: Callable[[Outside], None] = lambda context: None
    poll_s = 0.01
    settle_s = 5.0
    requests: list[JobRequest] = field(default_factory=list)
    cancelled: list[Any] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    """What the next polls answer: exceptions, or statuses."""
    done: threading.Event = field(default_factory=threading.Event)
    error: str = ""

    def submit(self, request: JobRequest) -> Any:
        self.requests.append(request)
        threading.Thread(target=self._run, args=(request,), daemon=True).start()
        return {"job": request.name}

    def _run(self, request: JobRequest) -> None:
        try:
            with open_context(request.place) as context:
                self.work(context)
        except Exception as exc:  # noqa: BLE001
            self.error = str(exc)
        self.done.set()

    def poll(self, handle: Any) -> JobStatus:
        assert handle == {"job": self.requests[-1].name}
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            assert isinstance(answer, JobStatus)
            return answer
        if not self.done.is_set():
            return RUNNING
        return JobStatus("failed", "exit code 1") if self.error else SUCCEEDED

    def cancel(self, handle: Any) -> None:
        self.cancelled.append(handle)


@pytest.fixture
def attempted(tmp_path: Path) -> Attempted:
    return Attempted(tmp_path)


@pytest.fixture
def store() -> str:
    return f"memory://bucket-{uuid.uuid4().hex[:8]}/orchestrator"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_jobs, "FIRST_BACK_OFF_S", 0.001)
    monkeypatch.setattr(remote_jobs, "LONGEST_BACK_OFF_S", 0.01)


def failure(job: RemoteJob, attempted: Attempted, store: str) -> ExternalWorkError:
    with pytest.raises(ExternalWorkError) as raised:
        job.run(attempted.context(), store=store)
    return raised.value


def report(context: Outside) -> None:
    context.log.info("reading %s for %s", context.parameters["station"], context.resources["warehouse"]["adapter"])
    context.metadata["mean"] = 1.5
    context.check("positive", True)
    context.rows(24)


def test_a_job_reports_through_the_store(attempted: Attempted, store: str) -> None:
    job = Cluster(report)
    made = job.run(attempted.context(), store=store, parameters={"station": "EWR"})
    assert (made.rows, attempted.checks) == (24, [ReportedCheck("positive", True)])
    assert attempted.lines == [("info", "reading EWR for duckdb")]
    assert job.cancelled == []
    assert not fsspec.filesystem("memory").exists(f"{store}/1125-100000-ab12-0001"), "what was exchanged is removed"


def test_the_request_and_the_handle(attempted: Attempted, store: str) -> None:
    job = Cluster()
    job.run(attempted.context(), store=store)
    place = f"store={store}/1125-100000-ab12-0001"
    assert job.requests == [
        JobRequest(
            name="ml-scores-1125-100000-ab12-0001",
            place=place,
            env={"ORCHESTRATOR_EXTERNAL": place},
            run_id="1125-100000-ab12",
            environment="dev",
            key="ml.scores",
            attempt=1,
        )
    ]
    assert attempted.handles == [("Cluster", {"job": "ml-scores-1125-100000-ab12-0001"}, place)]


def test_a_directory_is_a_store_too(attempted: Attempted, tmp_path: Path) -> None:
    made = Cluster(report).run(attempted.context(), store=tmp_path / "shared", parameters={"station": "EWR"})
    assert made.rows == 24


def fail(context: Outside) -> None:
    context.metadata["read"] = 3
    raise ValueError("no rows")


def test_a_job_that_fails(attempted: Attempted, store: str) -> None:
    job = Cluster(fail)
    found = failure(job, attempted, store)
    assert found.what == "Cluster failed: ValueError: no rows: exit code 1"
    assert found.traceback is not None
    assert found.traceback.splitlines()[-1] == "ValueError: no rows"
    assert job.cancelled == [], "it is over"
    assert fsspec.filesystem("memory").exists(f"{store}/1125-100000-ab12-0001"), "kept, to be looked at"


def test_a_job_that_says_it_failed_has_failed_though_the_cluster_is_content(attempted: Attempted, store: str) -> None:
    job = Cluster(fail)

    def content(handle: Any) -> JobStatus:
        return SUCCEEDED if job.done.is_set() else RUNNING

    job.poll = content  # type: ignore[method-assign]
    assert failure(job, attempted, store).what == "Cluster failed: ValueError: no rows"


def test_a_job_whose_last_word_never_comes(attempted: Attempted, store: str) -> None:
    gate = threading.Event()
    job = Cluster(lambda context: gate.wait(10) and None)
    job.settle_s = 0.05
    job.answers = [RUNNING] * 3 + [SUCCEEDED]
    text = failure_after_opening(job, attempted, store)
    gate.set()
    assert text == (
        "ExternalWorkError: Cluster opened its context and ended without leaving it\n"
        "  fix: let it leave the `with open_context()` block: os._exit() and kill do not"
    )


def failure_after_opening(job: Cluster, attempted: Attempted, store: str) -> str:
    """The error's text; the job is polled only when it has opened its context."""
    real_submit = job.submit

    def submit(request: JobRequest) -> Any:
        handle = real_submit(request)
        folder = f"{store}/1125-100000-ab12-0001/messages"
        while not fsspec.filesystem("memory").exists(folder):
            threading.Event().wait(0.005)
        return handle

    job.submit = submit  # type: ignore[method-assign]
    return str(failure(job, attempted, store))


def test_messages_that_come_late_and_out_of_order_are_waited_for(attempted: Attempted, store: str) -> None:
    """The last object shows up before the one in between, and the job is over long before both."""

    class Slow(Cluster):
        def submit(self, request: JobRequest) -> Any:
            self.requests.append(request)
            self.done.set()
            lines = [{"type": "opened"}, {"type": "rows", "rows": 7}, {"type": "closed", "ok": True}]
            system, root = fsspec.core.url_to_fs(request.place.removeprefix("store="))

            def write(number: int) -> None:
                line = {"orchestrator": 1, "sender": "pod", "seq": number, **lines[number - 1]}
                system.pipe_file(f"{root}/messages/{number:010d}-pod.jsonl", json.dumps(line).encode() + b"\n")

            write(1)
            threading.Timer(0.05, write, [3]).start()
            threading.Timer(0.1, write, [2]).start()
            return {"job": request.name}

    assert Slow().run(attempted.context(), store=store).rows == 7


def test_polls_that_fail_for_a_while_are_tried_again(attempted: Attempted, store: str) -> None:
    job = Cluster(report, answers=[ConnectionError("reset")] * 5 + [RUNNING])
    assert job.run(attempted.context(), store=store, parameters={"station": "EWR"}).rows == 24
    assert attempted.lines[0] == ("warning", "asking Cluster failed and is tried again: ConnectionError: reset")
    assert len([text for text in attempted.texts if "tried again" in text]) == 1, "said once"


def test_polls_that_only_fail_are_given_up_and_the_job_cancelled(attempted: Attempted, store: str) -> None:
    job = Cluster(answers=[ConnectionError("reset")] * 10_000)
    job.patience_s = 0.1
    assert str(failure(job, attempted, store)) == (
        "ExternalWorkError: Cluster could not be asked for 0 s and was given up: ConnectionError: reset\n"
        "  fix: look at the job where it runs; a larger patience_s waits longer"
    )
    assert job.cancelled == [{"job": "ml-scores-1125-100000-ab12-0001"}]


def test_a_stop_cancels_the_job(attempted: Attempted, store: str) -> None:
    gate = threading.Event()
    job = Cluster(lambda context: gate.wait(10) and None)
    attempted.stop_when(lambda: bool(job.requests))
    assert failure(job, attempted, store).what == "Cluster was cancelled, since the step was stopped"
    gate.set()
    assert job.cancelled == [{"job": "ml-scores-1125-100000-ab12-0001"}], "once"


def test_a_cancel_that_fails_is_tried_again_and_said(attempted: Attempted, store: str) -> None:
    gate = threading.Event()
    tries: list[Any] = []

    class Deaf(Cluster):
        def cancel(self, handle: Any) -> None:
            tries.append(handle)
            raise ConnectionError("reset")

    job = Deaf(lambda context: gate.wait(10) and None)
    attempted.stop_when(lambda: bool(job.requests))
    failure(job, attempted, store)
    gate.set()
    assert len(tries) == 3
    assert attempted.lines[-1] == (
        "warning",
        "Deaf could not cancel {'job': 'ml-scores-1125-100000-ab12-0001'}: ConnectionError: reset",
    )


def test_a_handle_that_is_no_json_is_refused_and_the_job_cancelled(attempted: Attempted, store: str) -> None:
    class Odd(Cluster):
        def submit(self, request: JobRequest) -> Any:
            return threading.Event()

    job = Odd()
    assert str(failure(job, attempted, store)) == (
        "ExternalWorkError: Odd.submit returned Event, which cannot be recorded: "
        "Object of type Event is not JSON serializable\n"
        "  fix: return what the job is found by as a JSON value: a text, or a dict of texts"
    )
    assert len(job.cancelled) == 1


def test_a_poll_that_answers_something_else_is_an_error(attempted: Attempted, store: str) -> None:
    class Wordy(Cluster):
        def poll(self, handle: Any) -> Any:
            return "running"

    assert str(failure(Wordy(), attempted, store)) == (
        "ExternalWorkError: Wordy.poll returned str\n  fix: return a JobStatus"
    )


def test_a_job_that_cannot_be_submitted_fails_with_its_own_error(attempted: Attempted, store: str) -> None:
    class Full(Cluster):
        def submit(self, request: JobRequest) -> Any:
            raise RuntimeError("no quota")

    with pytest.raises(RuntimeError, match="no quota"):
        Full().run(attempted.context(), store=store)


def test_secrets_do_not_travel_as_parameters(attempted: Attempted, store: str) -> None:
    job = Cluster()
    with pytest.raises(DefinitionError, match="the parameter 'token' is a secret"):
        job.run(attempted.context(), store=store, parameters={"token": Secret.env("UPLOAD_TOKEN")})
    assert job.requests == []


def test_the_back_off_doubles_up_to_a_minute_and_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_jobs, "FIRST_BACK_OFF_S", 1.0)
    monkeypatch.setattr(remote_jobs, "LONGEST_BACK_OFF_S", 60.0)
    back_off, delays = BackOff(), []
    for second in range(8):
        back_off.failed(at=100.0 + second)
        delays.append(back_off.delay_s)
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
    assert back_off.lasts(at=110.0) == 10.0
    back_off.worked()
    assert (back_off.delay_s, back_off.lasts(at=120.0)) == (0.0, 0.0)
