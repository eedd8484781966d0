"""Processes that end with us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from orchestrator.service.processes import SupervisedProcess, free_port, port_is_free

T = TypeVar("T")
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
FAMILY = [sys.executable, "-c", f"import subprocess, time; subprocess.Popen({SLEEP!r}); time.sleep(600)"]


def test_stopping_leaves_neither_the_command_nor_its_children(tmp_path: Path) -> None:
    process = SupervisedProcess(FAMILY, env=dict(os.environ), cwd=tmp_path)
    family = eventually(lambda: found if len(found := children(process.pid)) == 2 else None)

    process.stop()

    eventually(lambda: not any(lives(member) for member in family) or None)  # a killed process takes a moment to go


def test_a_stubborn_command_is_ended_all_the_same(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); open('ready', 'w'); time.sleep(600)"
    process = SupervisedProcess([sys.executable, "-c", code], env=dict(os.environ), cwd=tmp_path)
    eventually(lambda: (tmp_path / "ready").exists() or None)
    (stubborn,) = children(process.pid)

    process.stop(grace_s=0.2)

    eventually(lambda: not lives(stubborn) or None)


def test_a_command_ends_soon_after_its_parent_was_killed(tmp_path: Path) -> None:
    code = f"""
import os, time
from pathlib import Path
from typing import TypeVar
from orchestrator.service.processes import SupervisedProcess
process = SupervisedProcess({FAMILY!r}, env=dict(os.environ), cwd=Path({str(tmp_path)!r}))
print(process.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        leader = psutil.Process(int(parent.stdout.readline()))
        family = eventually(lambda: found if len(found := children(leader.pid)) == 2 else None)
        parent.send_signal(signal.SIGKILL)

    eventually(lambda: not any(lives(member) for member in [leader, *family]) or None)


def test_the_exit_code_is_the_commands(tmp_path: Path) -> None:
    process = SupervisedProcess([sys.executable, "-c", "raise SystemExit(7)"], env=dict(os.environ), cwd=tmp_path)

    assert eventually(lambda: process.exit_code) == 7


def test_a_port_that_is_listened_on_is_not_free(tmp_path: Path) -> None:
    port = free_port()
    code = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(600)"
    process = SupervisedProcess([sys.executable, "-c", code], env=dict(os.environ), cwd=tmp_path)
    try:
        eventually(lambda: process.listens_on(port) or None)
        assert not port_is_free(port)
        assert free_port(preferred=[port]) != port
    finally:
        process.stop()
    assert not process.listens_on(port)


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def eventually(look: Callable[[], T | None], *, within_s: float = 30) -> T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + within_s
    while (found := look()) is None:
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)
    return found
