"""`RemoteJob`: submit, follow the store, poll, cancel."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator import external
from orchestrator.definitions.context import Context
from orchestrator.definitions.events import Materialization
from orchestrator.definitions.remote import JobRequest, JobStatus, RemoteJob
from orchestrator.definitions.resources import Resource
from orchestrator.errors import ExternalWorkError
from orchestrator.execution.elsewhere import Host, Log, context_data, judge_job, outcome, take_over
from orchestrator.execution.messages import Inbox

FIRST_BACK_OFF_S = 1.0
LONGEST_BACK_OFF_S = 60.0
CANCEL_TRIES = 3
CANCEL_WAIT_S = 2.5
"""How long a stop waits for the cancel to be taken; it goes on after that."""
NAME_CHARS = 63


@dataclass(slots=True)
class StoreFolder:
    """The place of one attempt in a store: `context.json`, and `messages/` that fill up."""

    url: str
    _system: Any = field(default=None, init=False)
    _root: str = field(default="", init=False)
    _seen: set[str] = field(default_factory=set, init=False)

    @classmethod
    def below(cls, store: Any, name: str) -> StoreFolder:
        """A folder of a directory, an fsspec URL, or a resource that has a `url`."""
        url = str(getattr(store, "url", store)).rstrip("/")
        return cls(f"{url if '://' in url else Path(url).absolute().as_uri()}/{name}")

    def write(self, name: str, data: bytes) -> None:
        """Store an object."""
        system, path = self._open(), f"{self._root}/{name}"
        try:
            system.pipe_file(path, data)
        except FileNotFoundError:  # a store with directories
            system.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            system.pipe_file(path, data)

    def read_new(self) -> list[bytes]:
        """The lines of objects that were not there before, in the order of their names."""
        system = self._open()
        folder = f"{self._root}/{external.MESSAGES_FOLDER}"
        system.invalidate_cache()
        try:
            found = sorted(path for path in system.ls(folder, detail=False) if str(path).endswith(".jsonl"))
        except FileNotFoundError:  # nobody has written yet
            return []
        lines: list[bytes] = []
        for path in found:
            if path not in self._seen:
                lines += bytes(system.cat_file(path)).splitlines()
                self._seen.add(path)
        return lines

    def remove(self) -> None:
        """Delete it, where that is allowed."""
        with suppress(Exception):
            self._open().rm(self._root, recursive=True)

    def _open(self) -> Any:
        if self._system is None:
            import fsspec

            self._system, self._root = fsspec.core.url_to_fs(self.url)
        return self._system


def run_remotely(
    job: RemoteJob,
    context: Context,
    host: Host,
    *,
    store: Any,
    parameters: Mapping[str, Any] | None,
    resources: Mapping[str, Resource] | None,
) -> Materialization:
    """Submit the job, follow it to its end; what it reported. Raises ExternalWorkError."""
    folder = StoreFolder.below(store, host.attempt_id)
    data = context_data(context, host, parameters=parameters or {}, resources=resources or {})
    folder.write(external.CONTEXT_FILE, data)
    request = _request(context, host, folder)
    label = type(job).__name__
    handle = job.submit(request)
    remote = _Remote(job, handle, label, context, host, folder)
    try:
        host.on_stop(remote.stop)
        remote.note_handle(request)
        result = remote.follow()
    except BaseException:
        remote.cancel()
        raise
    folder.remove()
    return result


def _request(context: Context, host: Host, folder: StoreFolder) -> JobRequest:
    place = f"store={folder.url}"
    name = re.sub(r"[^a-z0-9]+", "-", f"{context.key}-{host.attempt_id}".lower()).strip("-")
    return JobRequest(
        name=name if len(name) <= NAME_CHARS else name[-NAME_CHARS:].lstrip("-"),
        place=place,
        env={external.PLACE_VARIABLE: place},
        run_id=context.run_id,
        environment=context.environment,
        key=str(context.key),
        attempt=context.attempt,
    )


@dataclass(slots=True)
class BackOff:
    """Waiting longer each time that something fails."""

    delay_s: float = 0.0
    failing_since: float | None = None

    def failed(self, *, at: float) -> None:
        """One more failure."""
        self.failing_since = at if self.failing_since is None else self.failing_since
        self.delay_s = min(max(FIRST_BACK_OFF_S, self.delay_s * 2), LONGEST_BACK_OFF_S)

    def worked(self) -> None:
        """All is well again."""
        self.delay_s, self.failing_since = 0.0, None

    def lasts(self, *, at: float) -> float:
        """For how long nothing has worked."""
        return 0.0 if self.failing_since is None else at - self.failing_since


@dataclass(slots=True)
class _Remote:
    job: RemoteJob
    handle: Any
    label: str
    context: Context
    host: Host
    folder: StoreFolder
    stopped: threading.Event = field(default_factory=threading.Event)
    over: bool = False
    """True once the job itself says so."""
    log: Log = field(init=False)
    inbox: Inbox = field(init=False)
    back_off: BackOff = field(default_factory=BackOff)
    problem: str = ""
    """Why polling or reading failed last."""
    _cancelling: threading.Thread | None = None
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.log = Log(self.host.log)
        self.inbox = Inbox(self.log.add, self.host.progress)

    def note_handle(self, request: JobRequest) -> None:
        """Record what was submitted, before anything is waited for."""
        try:
            handle = json.loads(json.dumps(self.handle))
        except (TypeError, ValueError) as exc:
            raise ExternalWorkError(
                f"{self.label}.submit returned {type(self.handle).__name__}, which cannot be recorded: {exc}",
                fix="return what the job is found by as a JSON value: a text, or a dict of texts",
            ) from exc
        self.host.submitted(self.label, handle, request.place)

    def follow(self) -> Materialization:
        """Wait for the end. Raises ExternalWorkError."""
        status = self._wait_for_end()
        self.over = True
        if status.state == "succeeded":
            self._settle()
        else:
            self._try(self._listen)
        take_over(self.inbox, self.context, self.host, self.log)
        if status.state == "failed":
            self._fail(status)
        judge_job(self.label, self.inbox)
        return outcome(self.label, self.inbox)

    def _fail(self, status: JobStatus) -> None:
        closing = self.inbox.report.last_closing
        said = [closing.message] if closing is not None and not closing.ok else []
        message = ": ".join([f"{self.label} failed", *filter(None, [*said, status.message])])
        raise ExternalWorkError(message, traceback=closing.traceback if closing is not None else None)

    def _wait_for_end(self) -> JobStatus:
        while True:
            status = self._try(lambda: self.job.poll(self.handle))
            if status is not None:
                if not isinstance(status, JobStatus):
                    raise ExternalWorkError(
                        f"{self.label}.poll returned {type(status).__name__}", fix="return a JobStatus"
                    )
                if status.state != "running":
                    return status
                self._try(self._listen)
            if (lasted := self.back_off.lasts(at=time.monotonic())) > self.job.patience_s:
                raise ExternalWorkError(
                    f"{self.label} could not be asked for {lasted:.0f} s and was given up: {self.problem}",
                    fix="look at the job where it runs; a larger patience_s waits longer",
                )
            self._sleep(max(self.job.poll_s, self.back_off.delay_s))

    def _settle(self) -> None:
        """The job has ended well: wait for messages that are still on their way."""
        until = time.monotonic() + self.job.settle_s
        while True:
            heard = self._try(self._listen)
            report = self.inbox.report
            unclosed = bool(report.opened) and report.last_closing is None
            if (heard and not unclosed and not self.inbox.missing) or self.inbox.newer is not None:
                return
            if time.monotonic() > until:
                if not heard:
                    raise ExternalWorkError(
                        f"{self.label} succeeded, but what it reported cannot be read: {self.problem}",
                        fix="check that this process may read the store",
                    )
                return
            self._sleep(min(self.job.poll_s, 1.0) + self.back_off.delay_s)

    def _listen(self) -> bool:
        self.inbox.take(self.folder.read_new())
        self.log.flush()
        return True

    def _try(self, ask: Callable[[], Any]) -> Any:
        """What was asked for; None if that failed, which may pass."""
        try:
            answer = ask()
        except Exception as exc:  # noqa: BLE001  a network, a user's code: not knowing is no failure of the job
            before, self.problem = self.problem, f"{type(exc).__name__}: {exc}"
            if self.problem != before:
                self.log.add("warning", f"asking {self.label} failed and is tried again: {self.problem}")
                self.log.flush()
            self.back_off.failed(at=time.monotonic())
            return None
        self.back_off.worked()
        return answer

    def _sleep(self, seconds: float) -> None:
        if self.stopped.wait(seconds):
            raise ExternalWorkError(f"{self.label} was cancelled, since the step was stopped")

    def stop(self) -> None:
        """From another thread: cancel the job and let nobody wait for it any more."""
        self.cancel()
        self.stopped.set()

    def cancel(self) -> None:
        """Cancel the job, once, unless it is over. Waits a moment; a cancel that takes longer goes on in its thread."""
        if self.over:
            return
        with self._guard:
            thread = self._cancelling
            first = thread is None
            if thread is None:
                thread = threading.Thread(target=self._cancel, name="orchestrator-cancel", daemon=True)
                self._cancelling = thread
                thread.start()
        thread.join(CANCEL_WAIT_S)
        if first and thread.is_alive():
            self._warn(f"{self.label} was told to cancel {self.handle!r}, and has not answered yet")

    def _cancel(self) -> None:
        for number in range(1, CANCEL_TRIES + 1):
            try:
                self.job.cancel(self.handle)
                return
            except Exception as exc:  # noqa: BLE001  the user's code, or a network
                if number == CANCEL_TRIES:
                    self._warn(f"{self.label} could not cancel {self.handle!r}: {type(exc).__name__}: {exc}")
                else:
                    time.sleep(0.2 * number)

    def _warn(self, text: str) -> None:
        with suppress(Exception):  # the records may be closed by now; the cancel itself comes first
            self.host.log([("warning", text)])
