"""A command of a step: its output as it comes, how it ended, and a stop that reaches everything it started."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GUARDIAN = Path(__file__).with_name("guardian.py")
GRACE_S = 1.5
"""Between SIGTERM and SIGKILL: short enough for a cancel to be over within three seconds."""
LOOK_EVERY_S = 0.05
DRAIN_S = 1.0
TAIL_LINES = 20
MAX_LINE_BYTES = 16_384
CHUNK_BYTES = 65_536

Lines = Callable[[str, list[str]], None]
"""(stream: `stdout` or `stderr`, lines)"""


@dataclass(frozen=True, slots=True)
class Command:
    """What to start: `environ` is the whole environment, `passed` are file descriptors it inherits."""

    argv: Sequence[str]
    environ: Mapping[str, str]
    cwd: Path
    passed: tuple[int, ...] = ()
    grace_s: float = GRACE_S


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """How a command ended: an exit code (negative: the signal), or why it could not be started."""

    code: int | None
    error: str = ""
    tail: tuple[str, ...] = ()
    """The last lines of stderr, or of stdout where stderr is empty."""

    @property
    def ok(self) -> bool:
        """Exit code 0."""
        return self.code == 0

    @property
    def signal_name(self) -> str | None:
        """`SIGKILL` and the like, if a signal ended it; a shell reports one as 128 and its number."""
        if self.code is None or not (self.code < 0 or 128 < self.code < 160):
            return None
        number = -self.code if self.code < 0 else self.code - 128
        with contextlib.suppress(ValueError):
            return signal.Signals(number).name
        return f"signal {number}"


@dataclass(slots=True)
class GuardedProcess:
    """A command under `guardian.py`. Everything is read and waited for in a thread of its own, also when the caller's
    is stopped: so neither zombies nor half-read pipes are left."""

    command: Command
    lines: Lines
    look: Callable[[], None] = lambda: None
    """Called now and then while it runs, and once after it has ended."""
    _guardian: Any = field(default=None, init=False)
    _control: int = field(default=-1, init=False)
    _status: int = field(default=-1, init=False)
    _ended: threading.Event = field(default_factory=threading.Event, init=False)
    _guard: threading.Lock = field(default_factory=threading.Lock, init=False)
    _end: ProcessEnd | None = field(default=None, init=False)
    _broken: BaseException | None = field(default=None, init=False)
    _pid: int | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it; what cannot be started is told by `wait`."""
        control, self._control = os.pipe()
        self._status, status = os.pipe()
        command = self.command
        python = [sys.executable, "-I", "-S", str(GUARDIAN)]  # nothing of ours, and nothing of the user's, is loaded
        numbers = ",".join(map(str, command.passed))
        try:
            self._guardian = subprocess.Popen(
                [*python, str(control), str(status), str(command.grace_s), numbers, *command.argv],
                env=dict(command.environ),
                cwd=command.cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(control, status, *command.passed),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._control)
            os.close(self._status)
            raise
        finally:
            os.close(control)
            os.close(status)
        threading.Thread(target=self._attend, name="orchestrator-process", daemon=True).start()

    def wait(self, stopped: threading.Event | None = None) -> ProcessEnd:
        """Block until it has ended, or until `stopped`, which stops it. Raises what a callback raised."""
        while not self._ended.wait(LOOK_EVERY_S):
            if stopped is not None and stopped.is_set():
                self.stop()
        if self._broken is not None:
            raise self._broken
        assert self._end is not None
        return self._end

    def stop(self) -> None:
        """SIGTERM to its group, SIGKILL after the grace; returns when all is over. Any thread, any number of times."""
        self.ask_to_stop()
        self._ended.wait(self.command.grace_s + DRAIN_S)

    def ask_to_stop(self) -> None:
        """Begin to stop it, without waiting."""
        with self._guard:
            if self._control >= 0:
                with contextlib.suppress(OSError):  # it has ended already
                    os.write(self._control, b".")
                os.close(self._control)
                self._control = -1

    def _attend(self) -> None:
        try:
            self._end = self._read_all()
        except BaseException as exc:  # noqa: BLE001  raised by `wait`, in the thread that asked for this process
            self._broken = exc
            self.ask_to_stop()
        finally:
            self._guardian.wait()
            self.ask_to_stop()  # closes the pipe
            for stream in (self._guardian.stdout, self._guardian.stderr):
                stream.close()
            os.close(self._status)
            self._ended.set()

    def _read_all(self) -> ProcessEnd:
        said = b""
        streams = {"stdout": _Stream(), "stderr": _Stream()}
        with selectors.DefaultSelector() as selector:
            for name, pipe in (("stdout", self._guardian.stdout), ("stderr", self._guardian.stderr)):
                selector.register(pipe.fileno(), selectors.EVENT_READ, name)
            selector.register(self._status, selectors.EVENT_READ, "status")
            drained: float | None = None
            while selector.get_map() and (drained is None or time.monotonic() < drained):
                for key, _ in selector.select(LOOK_EVERY_S):
                    data = os.read(key.fd, CHUNK_BYTES)
                    if not data:
                        selector.unregister(key.fd)
                    if key.data == "status":
                        said += data
                        self._note_pid(said)
                        if not data:  # the guardian is gone: what still holds the pipes is none of ours
                            drained = time.monotonic() + DRAIN_S
                    elif lines := streams[key.data].take(data):
                        self.lines(key.data, lines)
                self.look()
        self.look()
        tail = tuple(streams["stderr"].tail or streams["stdout"].tail)
        return self._conclude([json.loads(line) for line in said.splitlines()], tail)

    def _note_pid(self, said: bytes) -> None:
        if self._pid is None and b"\n" in said:
            self._pid = json.loads(said.splitlines()[0]).get("pid")

    def _conclude(self, said: list[dict[str, Any]], tail: tuple[str, ...]) -> ProcessEnd:
        for word in said:
            if "code" in word:
                return ProcessEnd(int(word["code"]), tail=tail)
            if "error" in word:
                return ProcessEnd(None, error=f"{word['file']}: {word['error']}")
        if self._pid is not None:  # the guardian was killed: end its charge in its place
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)
        return ProcessEnd(None, error="the process that guards it was killed", tail=tail)


@dataclass(slots=True)
class _Stream:
    """Bytes to lines: a carriage return ends one too (progress bars), and so does an endless line."""

    rest: bytes = b""
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    def take(self, data: bytes) -> list[str]:
        """The lines that are whole now; with no data, the end, the rest too."""
        parts = (self.rest + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self.rest = parts.pop() if data else b""
        if len(self.rest) > MAX_LINE_BYTES:
            parts.append(self.rest)
            self.rest = b""
        lines = [text for part in parts if (text := part[:MAX_LINE_BYTES].decode("utf-8", "replace").rstrip())]
        self.tail.extend(lines)
        return lines
