"""The measurements: ours and dbt's in turn, each on a fresh copy of the warehouse."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.benchmarks.measure import Sample, clean_environment, measure, median
from tests.benchmarks.projects import WAREHOUSE, write_project

RUN_TARGETS = {10: 1.25, 100: 1.10, 500: 1.10}
LARGEST_RATIO = 1.10
SERVER_WAIT_S = 180
IDLE_S = 10
SETTLE_S = 3
"""The server goes on for a moment after the flow has ended: its events are still being written."""
Unit = Literal["x", "CPU-s", "MB", ""]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    value: float
    limit: float | None
    """None where there is no target."""
    unit: Unit
    ours: tuple[float, ...] = ()
    theirs: tuple[float, ...] = ()
    """What it was computed from, in the order measured; dbt's figures, where there are any."""

    @property
    def met(self) -> bool:
        """True when the target is met."""
        return self.limit is None or self.value <= self.limit


@dataclass(frozen=True, slots=True)
class Suite:
    """Measures in directories under `place`. `progress` hears what is going on."""

    place: Path
    repeats: int
    progress: Callable[[str], None]
    bin: Path = field(default_factory=lambda: Path(sys.executable).parent)

    def startup(self) -> Iterator[Row]:
        """Commands that must be instant."""
        for name, command, limit in (
            ("import orchestrator", [self.python, "-c", "import orchestrator"], 0.15),
            ("--version", [self.orchestrator, "--version"], 0.25),
            ("--help", [self.orchestrator, "--help"], 0.25),
        ):
            self.progress(name)
            self.once(command, self.place)
            samples = [self.once(command, self.place) for _ in range(self.repeats)]
            yield cpu_row(name, samples, limit)

    def project(self, models: int) -> Iterator[Row]:
        """`run` against `dbt build`, the warm `ls`, memory, and whether the file is free afterwards."""
        directory = self.warm_project(models)
        ours, theirs = [], []
        for repeat in range(self.repeats):
            self.progress(f"{models} models, {repeat + 1} of {self.repeats}")
            ours.append(self._build(directory, self._run))
            theirs.append(self._build(directory, self._dbt))
        yield _ratio_row(f"run / dbt build, {models} models", ours, theirs, RUN_TARGETS.get(models, LARGEST_RATIO))
        more = median([sample.peak_mb for sample in ours]) - median([sample.peak_mb for sample in theirs])
        yield Row(
            name=f"peak memory over dbt, {models} models",
            value=more,
            limit=100,
            unit="MB",
            ours=tuple(sample.peak_mb for sample in ours),
            theirs=tuple(sample.peak_mb for sample in theirs),
        )
        yield self._file_is_free(directory, models)
        yield self._listing(directory, models)

    def prefect(self, models: int) -> Iterator[Row]:
        """What a run through a running Prefect server costs more: ours and the server's work, without its idling."""
        directory = self.warm_project(models)
        with (
            tempfile.TemporaryDirectory(prefix="orchestrator-bench-") as home,
            _prefect_server(self.bin, Path(home)) as (url, server),
        ):
            (directory / "orchestrator.toml").write_text(f'dbt = "."\n[prefect]\napi_url = "{url}"\n', encoding="utf-8")
            flow = [self.orchestrator, "run", "--engine", "prefect"]
            self.progress(f"Prefect, {models} models, warming up")
            self._build(directory, flow, PREFECT_HOME=home)
            idle = _idle_rate(server)
            apart, through = [], []
            for repeat in range(self.repeats):
                self.progress(f"Prefect, {models} models, {repeat + 1} of {self.repeats}")
                apart.append(self._build(directory, self._run).cpu_s)
                before, began = _cpu_of(server), time.monotonic()
                sample = self._build(directory, flow, PREFECT_HOME=home)
                time.sleep(SETTLE_S)
                waited = time.monotonic() - began
                through.append(sample.cpu_s + _cpu_of(server) - before - idle * waited)
        yield Row(
            name=f"Prefect's surcharge, {models} models",
            value=median(through) - median(apart),
            limit=3.0,
            unit="CPU-s",
            ours=tuple(through),
            theirs=tuple(apart),
        )

    def warm_project(self, models: int) -> Path:
        """A project that both sides have built once: parse caches are warm, as on any day but the first."""
        directory = self.place / f"models_{models}"
        if not directory.exists():
            self.progress(f"{models} models, warming up")
            write_project(directory, models=models)
            shutil.copyfile(directory / WAREHOUSE, directory / "fresh.duckdb")
            self._build(directory, self._run)
            self._build(directory, self._dbt)
        return directory

    def _build(self, directory: Path, command: Sequence[str], **environment: str) -> Sample:
        shutil.copyfile(directory / "fresh.duckdb", directory / WAREHOUSE)
        return self.once(command, directory, **environment)

    def once(self, command: Sequence[str], directory: Path, **environment: str) -> Sample:
        """One execution."""
        return measure(command, cwd=directory, environment=clean_environment(**environment))

    def _listing(self, directory: Path, models: int) -> Row:
        command = [self.orchestrator, "ls"]
        self.once(command, directory)
        samples = [self.once(command, directory) for _ in range(self.repeats)]
        return cpu_row(f"warm ls, {models} models", samples, 0.7)

    def _file_is_free(self, directory: Path, models: int) -> Row:
        """A run, and at once another process that writes to the same file; it fails if anything still holds it."""
        write = "import duckdb; duckdb.connect('warehouse.duckdb').execute('create table main.proof as select 1')"
        self._build(directory, self._run)
        self.once([self.python, "-c", write], directory)
        return Row(name=f"DuckDB file free after a run, {models} models", value=0, limit=0, unit="")

    @property
    def python(self) -> str:
        """The interpreter."""
        return str(self.bin / "python")

    @property
    def orchestrator(self) -> str:
        """The command."""
        return str(self.bin / "orchestrator")

    @property
    def _run(self) -> list[str]:
        return [self.orchestrator, "run", "--engine", "local"]

    @property
    def _dbt(self) -> list[str]:
        return [str(self.bin / "dbt"), "build"]


def cpu_row(name: str, samples: Sequence[Sample], limit: float | None) -> Row:
    """The median of CPU seconds."""
    figures = tuple(sample.cpu_s for sample in samples)
    return Row(name=name, value=median(figures), limit=limit, unit="CPU-s", ours=figures)


def _ratio_row(name: str, ours: Sequence[Sample], theirs: Sequence[Sample], limit: float) -> Row:
    """The median of the pairs' ratios: each pair ran side by side, under the same load of the machine."""
    ratios = [mine.cpu_s / other.cpu_s for mine, other in zip(ours, theirs, strict=True)]
    return Row(
        name=name,
        value=median(ratios),
        limit=limit,
        unit="x",
        ours=tuple(sample.cpu_s for sample in ours),
        theirs=tuple(sample.cpu_s for sample in theirs),
    )


@contextlib.contextmanager
def _prefect_server(bin_dir: Path, home: Path) -> Iterator[tuple[str, int]]:
    """A Prefect server of our own on a free port: its API's address and its process id."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(bin_dir / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    environment = clean_environment(PREFECT_HOME=str(home), PREFECT_SERVER_ANALYTICS_ENABLED="false")
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_healthy(f"http://127.0.0.1:{port}/api", server, home / "server.log")
        yield f"http://127.0.0.1:{port}/api", server.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=60)


def _wait_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    import httpx

    deadline = time.monotonic() + SERVER_WAIT_S
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/health", timeout=5).is_success:
                return
        time.sleep(0.5)
    raise RuntimeError(f"the Prefect server did not start:\n{log.read_text(encoding='utf-8')[-2000:]}")


def _cpu_of(pid: int) -> float:
    """CPU seconds so far of a running process and its children."""
    import psutil

    root = psutil.Process(pid)
    times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))


def _idle_rate(pid: int) -> float:
    """CPU seconds a second of a server that has nothing to do."""
    time.sleep(SETTLE_S)
    before = _cpu_of(pid)
    time.sleep(IDLE_S)
    return (_cpu_of(pid) - before) / IDLE_S
