"""Runs one command and leaves nothing behind: `python -I -S guardian.py CONTROL STATUS GRACE PASSED COMMAND…`.

CONTROL is a pipe that the orchestrator holds open: a byte on it, or its end because the orchestrator died, stops the
command. STATUS is a pipe on which one JSON object a line tells {"pid"}, then {"code"} or {"error"}. The command leads
a process group of its own: SIGTERM to the group, GRACE seconds, SIGKILL; also for what it leaves running when it ends.
On Linux even daemons that left the group come back to this process, and are ended. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

LOOK_EVERY_S = 0.02
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


_LIBC: Any = None
if sys.platform == "linux":
    with contextlib.suppress(ImportError, OSError):
        import ctypes

        _LIBC = ctypes.CDLL(None)


def guard(control: int, status: int, grace_s: float, passed: tuple[int, ...], command: list[str]) -> None:
    """Run `command` to its end, or to the end of `control`."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # a handler, and no SIG_IGN, which the command would inherit
    _prctl(PR_SET_CHILD_SUBREAPER, 1)

    def begin() -> None:  # in the child, which has one thread, before it becomes the command
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # with this process, whatever ends it
        _tell(status, pid=os.getpid())

    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, pass_fds=passed, start_new_session=True, preexec_fn=begin
        )
    except OSError as exc:
        _tell(status, error=f"{exc.strerror or exc}", file=command[0] if exc.filename is None else str(exc.filename))
        return
    threading.Thread(target=_stop_when_told, args=(control, child.pid, grace_s), daemon=True).start()
    code = child.wait()
    _end_group(child.pid, grace_s)
    _end_adopted()
    _tell(status, code=code)


def _stop_when_told(control: int, group: int, grace_s: float) -> None:
    os.read(control, 1)
    _end_group(group, grace_s)


def _end_group(group: int, grace_s: float) -> None:
    until = time.monotonic() + grace_s
    if not _signal(group, signal.SIGTERM):
        return
    while time.monotonic() < until:
        time.sleep(LOOK_EVERY_S)
        _reap(but=group)
        if not _signal(group, 0):
            return
    _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    """False when there is nobody in the group any more."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        return False
    return True


def _prctl(option: int, value: int) -> None:
    if _LIBC is not None:
        _LIBC.prctl(option, value, 0, 0, 0)


def _end_adopted() -> None:
    """End what has left the group (setsid, double fork) and was given to this process."""
    for _ in range(50):
        _reap()
        left = _children()
        if not left:
            return
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(LOOK_EVERY_S)


def _children() -> list[int]:
    found: list[int] = []
    for file in Path("/proc/self/task").glob("*/children"):  # there is none on macOS
        with contextlib.suppress(OSError):  # a thread that has just ended
            found.extend(int(pid) for pid in file.read_text().split())
    return found


def _reap(but: int = 0) -> None:
    """Take the exit codes of adopted processes; that of `but` is somebody else's to take."""
    for pid in _children():
        if pid != but:
            with contextlib.suppress(OSError):
                os.waitpid(pid, os.WNOHANG)


def _tell(status: int, **what: object) -> None:
    with contextlib.suppress(OSError):  # the orchestrator is gone
        os.write(status, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    guard(
        int(sys.argv[1]),
        int(sys.argv[2]),
        float(sys.argv[3]),
        tuple(int(number) for number in sys.argv[4].split(",") if number),
        sys.argv[5:],
    )
