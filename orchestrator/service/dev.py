"""`orchestrator dev`: Prefect's server, a worker and the app, side by side until Ctrl-C. Imports neither of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from orchestrator.config import DbtFlags
from orchestrator.errors import ServiceError
from orchestrator.service.prefect_api import PrefectApi
from orchestrator.service.processes import SupervisedProcess, free_port, port_is_free
from orchestrator.service.server import PrefectServer, ServerInfo, read_server, remove_server, write_server
from orchestrator.service.worker_spec import WorkerSpec

AppCommand = Callable[[int], tuple[list[str], Mapping[str, str]]]
"""{port the app shall listen on: its command and environment}. The app lies above this package and is handed in."""

USUAL_PORTS = range(8501, 8521)
APP_PATIENCE_S = 120.0
LOOK_EVERY_S = 0.5
WORKER_STARTS = 5
"""A worker that dies is replaced, but not for ever."""


def run_dev(
    root: Path,
    *,
    app: AppCommand,
    state_dir: Path,
    environment: str | None = None,
    flags: DbtFlags | None = None,
    port: int | None = None,
    say: Callable[[str], None] | None = None,
) -> int:
    """Serve one workspace on this machine until Ctrl-C or SIGTERM, then stop everything; the exit code.

    `port` is the app's; by default the first free one from 8501. Raises ServiceError when it is taken, when another
    `orchestrator dev` serves this workspace, or when one of the parts does not start or ends by itself.
    """
    say = say or _say
    _only_one(state_dir)
    if port is not None and not port_is_free(port):
        raise ServiceError(f"port {port} is in use", fix="choose another --port, or leave it out")
    try:
        with _signals_interrupt(), ExitStack() as stack:
            setting = _Setting(root, state_dir, environment, flags or DbtFlags(), say)
            _serve(setting, app, port or free_port(preferred=USUAL_PORTS), stack)
    except KeyboardInterrupt:
        say("stopped")
    return 0


@dataclass(frozen=True, slots=True)
class _Setting:
    """What all parts are about."""

    root: Path
    state_dir: Path
    environment: str | None
    flags: DbtFlags
    say: Callable[[str], None]


@dataclass(slots=True)
class _Worker:
    """The process that carries out what the app asks for; another one takes its place when it dies."""

    setting: _Setting
    api_url: str
    auth: str | None
    last_lines: list[str] = field(default_factory=list)
    _process: SupervisedProcess | None = None
    _starts: int = 0

    def start(self) -> None:
        spec = WorkerSpec.of(
            self.setting.root,
            state_dir=self.setting.state_dir,
            api_url=self.api_url,
            auth=self.auth,
            environment=self.setting.environment,
            flags=self.setting.flags,
        )
        self._starts += 1
        self._process = SupervisedProcess(
            spec.command(), env=spec.variables(), cwd=self.setting.root, output=subprocess.PIPE
        )
        _follow(self._process.output, "worker", self.setting.say, self.last_lines)

    def watch(self) -> None:
        if self._process is None or self._process.exit_code is None:
            return
        if self._starts >= WORKER_STARTS:
            raise ServiceError("the worker has ended" + _quoted(self.last_lines), fix="start orchestrator dev again")
        self.setting.say("worker  | has ended; starting another one")
        begun = ("PENDING", "RUNNING", "CANCELLING")  # what is scheduled waits for the next one
        PrefectApi(self.api_url, auth=self.auth).close(begun, why="its worker has died")
        self.start()

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()


def _serve(setting: _Setting, app: AppCommand, port: int, stack: ExitStack) -> None:
    say, state_dir = setting.say, setting.state_dir
    stack.callback(_ignore_signals, False)
    server = PrefectServer(state_dir, on_wait=_waiting(say))
    stack.callback(server.stop)
    server.launch()
    argv, env = app(port)
    page = SupervisedProcess(argv, env=env, cwd=setting.root, output=subprocess.PIPE)
    stack.callback(page.stop)
    last_lines: list[str] = []
    _follow(page.output, "app", say, last_lines)
    server.wait()
    PrefectApi(server.api_url, auth=server.auth).register()
    worker = _Worker(setting, server.api_url, server.auth)
    stack.callback(worker.stop)
    worker.start()
    _wait_for_page(page, port, last_lines)
    stack.callback(remove_server, state_dir, pid=os.getpid())
    stack.callback(_ignore_signals, True)  # first of all on the way out: a second Ctrl-C must not leave things behind
    app_url = f"http://127.0.0.1:{port}"
    write_server(state_dir, _info(server, app_url, setting.environment))
    say(f"app      {app_url}")
    say(f"Prefect  {server.api_url.removesuffix('/api')}")
    say("Ctrl-C stops all of it")
    with server.log_file.open("rb") as log:
        log.seek(0, os.SEEK_END)
        while True:
            _watch(server, page, last_lines)
            worker.watch()
            for line in log.read().decode("utf-8", "replace").splitlines():
                if line.strip():
                    say(f"prefect | {line.rstrip()}")
            time.sleep(LOOK_EVERY_S)


def _only_one(state_dir: Path) -> None:
    if (other := read_server(state_dir)) is not None:
        raise ServiceError(
            f"orchestrator dev runs here already, as process {other.pid}",
            at=other.app_url,
            fix=f"use it, or stop it with Ctrl-C or: kill {other.pid}",
        )


def _info(server: PrefectServer, app_url: str, environment: str | None) -> ServerInfo:
    import psutil

    return ServerInfo(
        api_url=server.api_url,
        pid=os.getpid(),
        create_time=psutil.Process().create_time(),
        app_url=app_url,
        auth=server.auth,
        environment=environment,
    )


def _wait_for_page(page: SupervisedProcess, port: int, last_lines: list[str]) -> None:
    deadline = time.monotonic() + APP_PATIENCE_S
    while not page.listens_on(port):
        if page.exit_code is not None or time.monotonic() > deadline:
            raise ServiceError("the app did not start" + _quoted(last_lines), fix="correct what its last lines say")
        time.sleep(LOOK_EVERY_S)


def _watch(server: PrefectServer, page: SupervisedProcess, last_lines: list[str]) -> None:
    if server.pid is None:
        raise ServiceError("the Prefect server has ended", at=str(server.log_file), fix="start orchestrator dev again")
    if page.exit_code is not None:
        raise ServiceError("the app has ended" + _quoted(last_lines), fix="start orchestrator dev again")


def _follow(stream: IO[bytes] | None, prefix: str, say: Callable[[str], None], last_lines: list[str]) -> None:
    """Pass the lines of a process on, from a thread of its own, and keep the last few."""
    if stream is None:
        return

    def read() -> None:
        for raw in stream:
            if line := raw.decode("utf-8", "replace").rstrip():
                last_lines[:] = [*last_lines[-14:], line]
                say(f"{prefix:7} | {line}")

    threading.Thread(target=read, name=f"orchestrator-dev-{prefix}", daemon=True).start()


def _waiting(say: Callable[[str], None]) -> Callable[[float], None]:
    """Every ten seconds a line, so that nobody thinks that nothing happens."""
    said: list[int] = []

    def on_wait(seconds: float) -> None:
        if int(seconds) // 10 >= len(said):
            said.append(int(seconds))
            say(f"prefect | starting ({seconds:.0f} s)")

    return on_wait


def _quoted(lines: list[str]) -> str:
    return "".join(f"\n    | {line}" for line in lines)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and a closed terminal end us as Ctrl-C does."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, _interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _ignore_signals(ignored: bool) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if ignored else _interrupt)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
