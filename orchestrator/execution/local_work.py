"""`Shell` and `ExternalPython`: a command on this machine, its environment, its messages."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from orchestrator import external
from orchestrator.definitions.context import Context
from orchestrator.definitions.events import Materialization
from orchestrator.definitions.remote import ExternalPython, Shell
from orchestrator.definitions.settings import SettingError, read_setting
from orchestrator.errors import ExternalWorkError
from orchestrator.execution.elsewhere import Host, Log, context_data, judge_process, outcome, take_over
from orchestrator.execution.messages import Inbox
from orchestrator.execution.processes import Command, GuardedProcess

CLIENT = "orchestrator_external.py"
ALWAYS_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TMPDIR")
CHUNK_BYTES = 65_536


@dataclass(slots=True)
class LineReader:
    """New whole lines of a file that grows, or of a pipe that does not block."""

    descriptor: int
    rest: bytes = b""

    def read(self) -> list[bytes]:
        """The lines that are whole now and were not before."""
        found: list[bytes] = []
        while True:
            try:
                data = os.read(self.descriptor, CHUNK_BYTES)
            except BlockingIOError:  # a pipe that is empty
                return found
            if not data:
                return found
            *lines, self.rest = (self.rest + data).split(b"\n")
            found += lines


@dataclass(slots=True)
class Exchange:
    """A private directory with the context and the client, and the way on which messages come."""

    folder: Path
    reader: LineReader
    place: str
    passed: tuple[int, ...] = ()

    @classmethod
    def open(cls, *, pipe: bool) -> Exchange:
        """A new one. Close it in any case."""
        folder = Path(tempfile.mkdtemp(prefix="orchestrator-"))
        if pipe:
            reading, writing = os.pipe()
            os.set_blocking(reading, False)
            return cls(folder, LineReader(reading), f"pipe={writing},{folder}", (writing,))
        descriptor = os.open(folder / external.MESSAGES_FILE, os.O_RDONLY | os.O_CREAT, 0o600)
        return cls(folder, LineReader(descriptor), f"lines={folder}")

    def started(self) -> None:
        """The command has its own copy of the pipe's end now."""
        for descriptor in self.passed:
            os.close(descriptor)
        self.passed = ()

    def close(self) -> None:
        """Remove all of it."""
        self.started()
        os.close(self.reader.descriptor)
        shutil.rmtree(self.folder, ignore_errors=True)


def run_locally(
    work: Shell | ExternalPython, context: Context, host: Host, *, parameters: Mapping[str, Any] | None
) -> Materialization:
    """Run the command to its end; what it reported. Raises ExternalWorkError."""
    given = {**work.parameters, **(parameters or {})}
    exchange = Exchange.open(pipe=work.messages == "pipe")
    try:
        (exchange.folder / external.CONTEXT_FILE).write_bytes(
            context_data(context, host, parameters=given, resources=work.resources)
        )
        command = _command(work, host, exchange)
        return _Local(work.label, context, host, exchange).run(command)
    finally:
        exchange.close()


@dataclass(slots=True)
class _Local:
    label: str
    context: Context
    host: Host
    exchange: Exchange
    log: Log = field(init=False)
    inbox: Inbox = field(init=False)

    def run(self, command: Command) -> Materialization:
        self.log = Log(self.host.log)
        self.inbox = Inbox(self.log.add, self.host.progress)
        process = GuardedProcess(command, lines=self._output, look=self._look)
        process.start()
        self.exchange.started()
        self.host.on_stop(process.stop)
        try:
            end = process.wait()
        finally:
            process.stop()
        self.inbox.take(self.exchange.reader.read())
        self.inbox.take_torn(self.exchange.reader.rest)
        take_over(self.inbox, self.context, self.host, self.log)
        judge_process(self.label, end, self.inbox)
        return outcome(self.label, self.inbox)

    def _output(self, stream: str, lines: list[str]) -> None:
        for line in lines:
            self.log.add("info", line)

    def _look(self) -> None:
        self.inbox.take(self.exchange.reader.read())
        self.log.flush(now=False)


def _command(work: Shell | ExternalPython, host: Host, exchange: Exchange) -> Command:
    cwd = host.root / work.cwd if work.cwd is not None else host.root
    if not cwd.is_dir():
        raise ExternalWorkError(f"{work.label} is to run in {cwd}, which is no directory", fix="correct cwd=")
    environ = _environ(work.env, work.inherit, work.label)
    environ[external.PLACE_VARIABLE] = exchange.place
    if isinstance(work, ExternalPython):
        argv = _python_argv(work, host.root)
        client = exchange.folder / "client"
        client.mkdir()
        shutil.copyfile(external.__file__, client / CLIENT)
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, [environ.get("PYTHONPATH"), str(client)]))
        environ.setdefault("PYTHONUNBUFFERED", "1")  # lines come when they are printed
    else:
        argv = work.argv
    return Command(argv, environ, cwd, exchange.passed)


def _python_argv(work: ExternalPython, root: Path) -> list[str]:
    python = str(work.python)
    if os.sep in python:
        python = str(root / python)  # not resolved: a virtual environment's python is a link
    if work.script is None:
        return [python, "-m", str(work.module), *map(str, work.args)]
    script = root / work.script
    if not script.is_file():
        raise ExternalWorkError(f"there is no script {script}", fix="correct script=; it starts at the project's root")
    return [python, str(script), *map(str, work.args)]


def _environ(env: Mapping[str, Any], inherit: Sequence[str], label: str) -> dict[str, str]:
    patterns = (*ALWAYS_INHERITED, *inherit)
    environ = {name: value for name, value in os.environ.items() if any(fnmatchcase(name, item) for item in patterns)}
    for name, value in env.items():
        try:
            environ[name] = str(read_setting(value, str))
        except SettingError as exc:
            raise ExternalWorkError(f"{name} for {label}: {exc.what}", fix=exc.fix) from exc
    return environ
