"""Prefect's server as our own subprocess, and the server of a running `orchestrator dev`. Imports no prefect."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import ServiceError
from orchestrator.service.processes import SupervisedProcess, free_port

if TYPE_CHECKING:
    from filelock import FileLock

OnWait = Callable[[float], None]
"""Called about once a second with the seconds waited so far."""

PATIENCE_S = 120.0
ATTEMPTS = 4
LOG_LINES_SHOWN = 15
WITHOUT_PREFECT = "run without Prefect: --engine local"
# Each of these writes to the database every few seconds, and SQLite has one writer: on a busy machine requests of ours
# waited a minute for its lock.
_NOT_NEEDED_HERE = ("PAUSE_EXPIRATIONS", "CANCELLATION_CLEANUP", "FOREMAN", "TRIGGERS", "EVENT_PERSISTER")
_NOT_NEEDED_FOR_ONE_RUN = ("SCHEDULER", "LATE_RUNS")


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Where a running `orchestrator dev` can be reached, as written in `<state_dir>/dev.json`."""

    api_url: str
    pid: int
    create_time: float
    """Of process `pid`: pids are used again."""
    app_url: str | None = None
    auth: str | None = None
    environment: str | None = None


class PrefectServer:
    """A Prefect server on a free loopback port, with its database in `<state_dir>/prefect`.

    While another server of the same state directory runs, this one gets a database of its own, which is removed
    afterwards: two servers on one SQLite file disturb each other. `for_one_run` leaves out the page and the services
    that a single run does not need, and with them a part of the CPU.

        with PrefectServer(state_dir, on_wait=show) as server:
            server.api_url
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        on_wait: OnWait | None = None,
        auth: str | None = None,
        for_one_run: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.auth = auth
        self._state_dir = state_dir.absolute()
        self._on_wait = on_wait
        self._for_one_run = for_one_run
        self._patience_s = patience_s
        self._port = 0
        self._process: SupervisedProcess | None = None
        self._lock: FileLock | None = None
        self._home = self._state_dir / "prefect"
        self._own_home = False

    @property
    def api_url(self) -> str:
        """The address of the API; changes when a busy port is given up."""
        return f"http://127.0.0.1:{self._port}/api"

    @property
    def home(self) -> Path:
        """Its PREFECT_HOME."""
        return self._home

    @property
    def pid(self) -> int | None:
        """Of the group's leader; None when it is not running."""
        return self._process.pid if self._process and self._process.exit_code is None else None

    @property
    def log_file(self) -> Path:
        """What the server printed."""
        name = f"prefect-server-{os.getpid()}.log" if self._own_home else "prefect-server.log"
        return self._state_dir / "logs" / name

    def __enter__(self) -> PrefectServer:
        self.launch()
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def launch(self, *, port: int | None = None) -> None:
        """Start the process without waiting for it, so that the caller can do something useful meanwhile."""
        if self._lock is None:
            self._take_home()
        self._port = port or free_port()
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("wb") as log:
            self._process = SupervisedProcess(self._command(), env=self._environment(), cwd=self._home, output=log)

    def wait(self) -> None:
        """Wait until the API answers. When it does not, stop it and raise ServiceError with the end of the log."""
        try:
            for attempt in range(1, ATTEMPTS + 1):
                failure = self._wait_once()
                if failure is None:
                    return
                # Somebody was quicker on the port that we had found free.
                if attempt == ATTEMPTS or "already in use" not in self._log_end():
                    raise ServiceError(failure + self._log_end(), at=str(self.log_file), fix=WITHOUT_PREFECT)
                self._stop_process()
                self.launch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and all its processes."""
        self._stop_process()
        if self._own_home:
            shutil.rmtree(self._home, ignore_errors=True)
            self.log_file.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _wait_once(self) -> str | None:
        """None as soon as it answers, else what went wrong."""
        assert self._process is not None, "launch() comes first"
        started, shown = time.monotonic(), 0.0
        while (waited := time.monotonic() - started) < self._patience_s:
            if self._process.exit_code is not None:
                return f"the Prefect server stopped while starting (exit code {self._process.exit_code})"
            if api_answers(self.api_url) and self._process.listens_on(self._port):
                return None
            if self._on_wait is not None and waited - shown >= 1:
                shown = waited
                self._on_wait(waited)
            time.sleep(0.2)
        return f"the Prefect server did not answer within {self._patience_s:.0f} seconds"

    def _stop_process(self) -> None:
        if self._process is not None:
            self._process.stop()

    def _take_home(self) -> None:
        from filelock import FileLock, Timeout

        self._home.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self._state_dir / "prefect.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            self._home, self._own_home = Path(tempfile.mkdtemp(prefix="prefect-", dir=self._state_dir)), True

    def _command(self) -> list[str]:
        services = ["--no-scheduler", "--no-late-runs", "--no-ui"] if self._for_one_run else []
        where = ["--host", "127.0.0.1", "--port", str(self._port)]
        return [sys.executable, "-m", "prefect", "server", "start", *where, "--analytics-off", *services]

    def _environment(self) -> dict[str, str]:
        """Ours, without any PREFECT_ setting: an inherited one may point to another database."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        ours = {
            "PREFECT_HOME": str(self._home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "NO_COLOR": "1",
            "PREFECT_CLI_PROMPT": "false",
            # Any page in the browser may otherwise call an API without a password on the loopback address.
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{self._port},http://localhost:{self._port}",
        }
        if self.auth:
            ours["PREFECT_SERVER_API_AUTH_STRING"] = self.auth
        idle = (*_NOT_NEEDED_HERE, *(_NOT_NEEDED_FOR_ONE_RUN if self._for_one_run else ()))
        ours |= {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in idle}
        return inherited | ours

    def _log_end(self) -> str:
        try:
            lines = self.log_file.read_text("utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        said = [line.rstrip() for line in lines if line.strip()][-LOG_LINES_SHOWN:]
        return "".join(f"\n    | {line}" for line in said)


def api_answers(api_url: str, *, timeout_s: float = 3.0) -> bool:
    """True when a Prefect API at `api_url` says that it is healthy. Never goes through a proxy to this machine."""
    import urllib.error
    import urllib.request

    proxies = urllib.request.ProxyHandler({} if is_local(api_url) else None)
    try:
        with urllib.request.build_opener(proxies).open(f"{api_url.rstrip('/')}/health", timeout=timeout_s) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        return error.code in (401, 403)  # there, but it wants credentials, which the client has
    except (OSError, ValueError):
        return False


def is_local(api_url: str) -> bool:
    """True for an API on this machine."""
    from urllib.parse import urlsplit

    return urlsplit(api_url).hostname in ("127.0.0.1", "localhost", "::1")


def running_server(state_dir: Path) -> ServerInfo | None:
    """The server of the `orchestrator dev` that runs for this state directory; None unless it lives and answers."""
    info = read_server(state_dir)
    return info if info is not None and api_answers(info.api_url) else None


def read_server(state_dir: Path) -> ServerInfo | None:
    """What `dev.json` says, if the process that wrote it still lives. Cheap: nothing is asked over the network."""
    try:
        stored = json.loads((state_dir / "dev.json").read_text("utf-8"))
        known = {field.name for field in fields(ServerInfo)}
        info = ServerInfo(**{name: value for name, value in stored.items() if name in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return info if _lives(info) else None


def write_server(state_dir: Path, info: ServerInfo) -> None:
    """Write `dev.json`, at once and readable by its owner only: it may hold the password of the API."""
    state_dir.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix="dev-", suffix=".tmp", dir=state_dir)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(info), file)
    Path(name).replace(state_dir / "dev.json")


def remove_server(state_dir: Path, *, pid: int) -> None:
    """Remove `dev.json`, unless another process has written its own meanwhile."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if json.loads((state_dir / "dev.json").read_text("utf-8")).get("pid") == pid:
            (state_dir / "dev.json").unlink()


def _lives(info: ServerInfo) -> bool:
    import psutil

    try:
        return abs(psutil.Process(info.pid).create_time() - info.create_time) < 1.0
    except (psutil.Error, TypeError, ValueError):
        return False
