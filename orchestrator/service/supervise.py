"""A tiny parent for a long-running command: `python -m orchestrator.service.supervise PID COMMAND…`.

It leads a process group of its own, runs COMMAND in it, and ends the whole group when process PID, which must be its
own parent, is gone. So that nothing stays behind after a `kill -9` of the command line, on Linux and on macOS alike.
Standard library only: it lives as long as the server does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

LOOK_EVERY_S = 0.5
GRACE_S = 8.0


def supervise(parent: int, command: list[str]) -> int:
    """Run `command` until it ends or `parent` does; the exit code of the command."""
    # The group is told to stop by its SIGTERM; this process stays until the command is gone, to make sure of it.
    signal.signal(signal.SIGTERM, _stop_command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with subprocess.Popen(command) as child:
        while os.getppid() == parent and not _stopping:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(LOOK_EVERY_S)
        if not _stopping:
            os.killpg(os.getpgrp(), signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = child.wait(GRACE_S)
            if os.getppid() == parent:
                return code
        os.killpg(os.getpgrp(), signal.SIGKILL)  # grandchildren too, and this process with them
    return 1


_stopping: list[int] = []


def _stop_command(signum: int, frame: object) -> None:
    _stopping.append(signum)


if __name__ == "__main__":
    sys.exit(supervise(int(sys.argv[1]), sys.argv[2:]))
