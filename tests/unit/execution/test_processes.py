"""Real processes: what they print, how they end, and that nothing of them is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from orchestrator.execution.processes import Command, GuardedProcess, ProcessEnd

Lines = list[tuple[str, str]]
STUBBORN = "trap '' TERM; echo ready; while true; do sleep 1; done"


@dataclass
class Ran:
    process: GuardedProcess
    lines: Lines = field(default_factory=list)

    def wait(self) -> ProcessEnd:
        return self.process.wait()

    def wait_for(self, text: str) -> None:
        until = time.monotonic() + 10
        while text not in [line for _, line in self.lines]:
            assert time.monotonic() < until, self.lines
            time.sleep(0.01)


def start(directory: Path, command: str | list[str], *, grace_s: float = 0.3, env: dict[str, str] | None = None) -> Ran:
    argv = ["/bin/sh", "-c", command] if isinstance(command, str) else command
    environ = {"PATH": os.environ["PATH"], "MARK": str(directory), **(env or {})}
    lines: Lines = []
    process = GuardedProcess(
        Command(argv, environ, directory, grace_s=grace_s),
        lines=lambda stream, found: lines.extend((stream, line) for line in found),
    )
    process.start()
    return Ran(process, lines)


def left_over(directory: Path) -> list[str]:
    """Processes of this test that are still there, and children of ours that nobody has waited for."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                ours = process.ppid() == os.getpid()
            else:
                ours = process.environ().get("MARK") == str(directory)
            if ours:
                found.append(f"{process.pid} {process.status()} {process.name()}")
    return found


def test_output_comes_line_by_line_from_both_streams(tmp_path: Path) -> None:
    ran = start(tmp_path, "echo one; echo two >&2; printf 'a\\rb\\nrest'")
    assert ran.wait() == ProcessEnd(0, tail=("two",))
    assert [line for stream, line in ran.lines if stream == "stdout"] == ["one", "a", "b", "rest"]
    assert ("stderr", "two") in ran.lines


def test_output_comes_while_it_runs(tmp_path: Path) -> None:
    ran = start(tmp_path, "echo first; while [ ! -e go ]; do sleep 0.02; done; echo last")
    ran.wait_for("first")
    (tmp_path / "go").touch()
    assert ran.wait().ok
    assert ran.lines[-1] == ("stdout", "last")


def test_much_output_neither_blocks_nor_gets_lost(tmp_path: Path) -> None:
    program = "import sys\nfor n in range(30000): print(n, 'x' * 50); print(n, file=sys.stderr)"
    ran = start(tmp_path, [sys.executable, "-I", "-S", "-c", program])
    assert ran.wait().ok
    assert len(ran.lines) == 60_000


def test_strange_bytes_and_endless_lines_are_cut(tmp_path: Path) -> None:
    program = r"import os; os.write(1, b'\xff\xfe ok\n' + b'x' * 100000 + b'\n')"
    ran = start(tmp_path, [sys.executable, "-I", "-S", "-c", program])
    assert ran.wait().ok
    assert ran.lines[0] == ("stdout", "\ufffd\ufffd ok")
    assert max(len(line) for _, line in ran.lines) <= 16_384


@pytest.mark.parametrize(
    ("command", "code", "signal_name"),
    [
        ("exit 3", 3, None),
        ("kill -9 $$", -9, "SIGKILL"),
        ("kill -TERM $$", -15, "SIGTERM"),
        (["/bin/sh", "-c", "sh -c 'kill -SEGV $$'; exit $?"], 139, "SIGSEGV"),
    ],
)
def test_how_it_ended(tmp_path: Path, command: str | list[str], code: int, signal_name: str | None) -> None:
    end = start(tmp_path, command).wait()
    assert (end.code, end.signal_name) == (code, signal_name)


def test_the_last_lines_of_stderr_are_kept(tmp_path: Path) -> None:
    end = start(tmp_path, "for n in $(seq 50); do echo $n >&2; done; exit 1").wait()
    assert end.tail == tuple(str(number) for number in range(31, 51))


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (["./no-such-program"], "./no-such-program: No such file or directory"),
        (["./data.txt"], "./data.txt: Permission denied"),
    ],
)
def test_what_cannot_be_started(tmp_path: Path, command: list[str], error: str) -> None:
    (tmp_path / "data.txt").touch()
    assert start(tmp_path, command).wait() == ProcessEnd(None, error=error)


def test_it_sees_only_the_environment_that_it_is_given(tmp_path: Path) -> None:
    ran = start(tmp_path, "env | cut -d= -f1 | sort", env={"TOKEN": "s"})
    ran.wait()
    # What shells set themselves, and what Python sets in a locale that knows no UTF-8, is not ours.
    assert {line for _, line in ran.lines} - {"_", "PWD", "SHLVL", "OLDPWD", "LC_CTYPE"} == {"MARK", "PATH", "TOKEN"}


def test_a_stop_ends_what_listens_with_sigterm(tmp_path: Path) -> None:
    ran = start(tmp_path, "trap 'echo bye; exit 0' TERM; echo ready; while true; do sleep 0.02; done", grace_s=5)
    ran.wait_for("ready")
    ran.process.stop()
    assert ran.wait().code == 0
    assert ran.lines[-1] == ("stdout", "bye")
    assert left_over(tmp_path) == []


def test_a_stop_ends_what_does_not_listen_with_sigkill_and_all_it_started(tmp_path: Path) -> None:
    ran = start(tmp_path, "trap '' TERM; sleep 1000 & sleep 1000 & echo ready; while true; do sleep 1; done")
    ran.wait_for("ready")
    started = time.monotonic()
    ran.process.stop()
    assert time.monotonic() - started < 3  # a promise to users, not a measurement
    assert ran.wait().signal_name == "SIGKILL"
    assert left_over(tmp_path) == []


def test_stopping_twice_or_after_the_end_is_of_no_harm(tmp_path: Path) -> None:
    ran = start(tmp_path, "true")
    assert ran.wait().ok
    ran.process.stop()
    ran.process.stop()


def test_what_it_leaves_running_is_ended_with_it(tmp_path: Path) -> None:
    ran = start(tmp_path, "sleep 1000 & echo started")
    assert ran.wait().ok
    assert ran.lines == [("stdout", "started")]
    assert left_over(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to a process that asks for them")
def test_even_a_daemon_that_leaves_its_group_is_ended(tmp_path: Path) -> None:
    ran = start(tmp_path, "setsid sh -c 'setsid sleep 1000 &' & wait; echo started")
    assert ran.wait().ok
    assert left_over(tmp_path) == []


def test_a_thread_that_stops_it_lets_the_waiting_one_go_on(tmp_path: Path) -> None:
    ran = start(tmp_path, f"echo ready; {STUBBORN}")
    ran.wait_for("ready")
    threading.Thread(target=ran.process.stop).start()
    assert ran.wait().code is not None


def test_a_callback_that_fails_ends_the_command_and_is_raised(tmp_path: Path) -> None:
    def refuse(stream: str, lines: list[str]) -> None:
        raise OSError("the records are full")

    process = GuardedProcess(
        Command(["/bin/sh", "-c", "echo x; sleep 1000"], {"PATH": os.environ["PATH"], "MARK": str(tmp_path)}, tmp_path),
        lines=refuse,
    )
    process.start()
    with pytest.raises(OSError, match="the records are full"):
        process.wait()
    assert left_over(tmp_path) == []


def gone(directory: Path) -> bool:
    until = time.monotonic() + 10
    while left_over(directory):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


PARENT = """
import os, sys
from pathlib import Path
from orchestrator.execution.processes import Command, GuardedProcess
process = GuardedProcess(
    Command(["/bin/sh", "-c", sys.argv[2]], {**os.environ}, Path(sys.argv[1]), grace_s=0.2),
    lines=lambda stream, lines: print(*lines, flush=True),
)
process.start()
process.wait()
"""


@pytest.fixture
def parent(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process that runs a stubborn command."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), STUBBORN],
        env={**os.environ, "MARK": str(tmp_path)},
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill_parent(process: subprocess.Popen[str]) -> None:
    process.kill()


def kill_guardian(process: subprocess.Popen[str]) -> None:
    (guardian,) = psutil.Process(process.pid).children()
    guardian.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("kill", [kill_parent, kill_guardian])
def test_nothing_outlives_an_orchestrator_that_is_killed(
    tmp_path: Path, parent: subprocess.Popen[str], kill: Callable[[subprocess.Popen[str]], None]
) -> None:
    kill(parent)
    parent.wait()
    assert gone(tmp_path)
