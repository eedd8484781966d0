"""Processes that end with us: started under `supervise`, stopped as a whole group; and free ports for them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

GRACE_S = 10.0


class SupervisedProcess:
    """A command in a process group of its own, which is gone after `stop()`, or soon after we are."""

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: IO[bytes] | int | None = None
    ) -> None:
        argv = [sys.executable, "-m", "orchestrator.service.supervise", str(os.getpid()), *command]
        self._process = subprocess.Popen(
            argv,
            env={**env, "PYTHONPATH": _with_this_package(env.get("PYTHONPATH", ""))},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output is not None else None,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Of the supervisor, which is also the id of the process group."""
        return self._process.pid

    @property
    def output(self) -> IO[bytes] | None:
        """What it writes, when it was started with `output=subprocess.PIPE`."""
        return self._process.stdout

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def listens_on(self, port: int) -> bool:
        """True when a process of the group accepts connections on `port`, or when the system does not let us see."""
        import psutil

        try:
            return any(
                connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
                for process in psutil.Process(self.pid).children(recursive=True)
                for connection in process.net_connections(kind="tcp")
            )
        except psutil.AccessDenied:
            return True
        except psutil.NoSuchProcess:
            return False

    def stop(self, *, grace_s: float = GRACE_S) -> None:
        """Ask the group to end, then make it end. Does nothing the second time."""
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: int) -> None:
        # macOS answers PermissionError for a group of which only zombies are left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def _with_this_package(pythonpath: str) -> str:
    """PYTHONPATH by which `orchestrator` is found from any directory, also when the current one held it."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join([*(part for part in pythonpath.split(os.pathsep) if part and part != here), here])


def free_port(*, preferred: Sequence[int] = ()) -> int:
    """The first of the `preferred` ports that is free on the loopback address, else any free one."""
    for port in [*preferred, 0]:
        with contextlib.suppress(OSError), _bound(port) as number:
            return number
    raise OSError("no free port on 127.0.0.1")


def port_is_free(port: int) -> bool:
    """True when somebody could listen on the port of the loopback address now."""
    with contextlib.suppress(OSError), _bound(port):
        return True
    return False


@contextlib.contextmanager
def _bound(port: int) -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        yield listener.getsockname()[1]
