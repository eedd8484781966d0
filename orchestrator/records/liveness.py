"""Whether the process of a run is still there, and what becomes of a run whose process is not.

On the same host the process table answers: the pid must exist and have started when the run said (pids are reused).
On another host only the heartbeat can: silent for longer than a minute is dead.
"""

from __future__ import annotations

import math
import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from orchestrator.definitions.events import Event, RunFinished, StepFinished
from orchestrator.records.schema import attempts, liveness, run_steps, runs

SILENCE = timedelta(seconds=60)
"""A run on another host without a heartbeat for longer than this is dead. Beat at least every 20 seconds."""
_CLOCK_SLACK_S = 2.0
"""The start time of one process may be computed slightly differently after the clock was set."""


@dataclass(frozen=True, slots=True)
class Process:
    """The process that carries out a run. Without `started` (it could not be read) a pid alone must do."""

    host: str
    pid: int
    started: float | None
    heartbeat_at: datetime

    def is_alive(self, *, as_of: datetime) -> bool:
        """Expensive on the same host: asks the operating system."""
        if self.host != socket.gethostname():
            return as_of - self.heartbeat_at <= SILENCE
        started = start_time(self.pid)
        if started is None or self.started is None or math.isnan(started):
            return started is not None
        return abs(started - self.started) <= _CLOCK_SLACK_S

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}"


def start_time(pid: int) -> float | None:
    """When the process began, in seconds since 1970; None if there is no such process, or only its zombie."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:  # it is there, and nobody may ask since when
        return float("nan")


def _comparable(pid: int) -> float | None:
    started = start_time(pid)
    return None if started is None or math.isnan(started) else started


def announce(connection: Connection, run_id: str, *, at: datetime, pid: int | None = None) -> None:
    """Write down the process of a run, once: this one, or the one with `pid` on this host."""
    if connection.execute(select(liveness.c.run_id).where(liveness.c.run_id == run_id)).first():
        return
    pid = os.getpid() if pid is None else pid
    row = {"run_id": run_id, "host": socket.gethostname(), "pid": pid, "heartbeat_at": at}
    connection.execute(insert(liveness), row | {"process_started": _comparable(pid)})


def beat(connection: Connection, run_id: str, *, at: datetime) -> None:
    """Say that the run is alive."""
    connection.execute(_BEAT, {"_run_id": run_id, "heartbeat_at": at})


_BEAT = update(liveness).where(liveness.c.run_id == bindparam("_run_id")).values(heartbeat_at=bindparam("heartbeat_at"))


def read_process(connection: Connection, run_id: str) -> Process | None:
    """The process of a run; None if it never announced one."""
    found = connection.execute(select(liveness).where(liveness.c.run_id == run_id)).one_or_none()
    return None if found is None else _process(found)


def is_over(connection: Connection, run_id: str) -> bool:
    """True when the run's end is recorded."""
    return bool(connection.execute(select(runs.c.finished_at).where(runs.c.run_id == run_id)).scalar())


def read_unfinished(connection: Connection, environment: str | None) -> list[tuple[str, Process]]:
    """Runs without a recorded end, oldest first, each with its process."""
    query = (
        select(runs.c.run_id, runs.c.started_at, runs.c.pid.label("run_pid"), liveness)
        .outerjoin(liveness, liveness.c.run_id == runs.c.run_id)
        .where(runs.c.finished_at.is_(None))
        .order_by(runs.c.seq)
    )
    if environment is not None:
        query = query.where(runs.c.environment == environment)
    return [(row[0], _process(row)) for row in connection.execute(query)]


def _process(row: Any) -> Process:
    if row.host is None:  # the run's process is not written down: only time can tell
        return Process("an unknown host", row.run_pid, None, row.started_at)
    return Process(row.host, row.pid, row.process_started, row.heartbeat_at)


def build_last_words(connection: Connection, run_id: str, *, process: Process, as_of: datetime) -> list[Event]:
    """What a dead run could not say itself: its attempts are unknown, its other steps did not happen, it is lost."""
    environment = connection.execute(select(runs.c.environment).where(runs.c.run_id == run_id)).scalar_one()
    common: dict[str, Any] = {"at": as_of, "run_id": run_id, "environment": environment}
    running = attempts.c.status == "running"
    open_attempts = connection.execute(
        select(attempts).where(attempts.c.run_id == run_id, running).order_by(attempts.c.seq)
    )
    waiting = connection.execute(
        select(run_steps)
        .where(run_steps.c.run_id == run_id, run_steps.c.status == "waiting")
        .order_by(run_steps.c.position)
    )
    died = f"its process ({process}) died"
    return [
        *(_ended(row, common, attempt_id=row.attempt_id, status="unknown", reason=died) for row in open_attempts),
        *(_ended(row, common, attempt_id=None, status="cancelled", reason=f"not begun: {died}") for row in waiting),
        RunFinished(status="lost", reason=died, **common),
    ]


def _ended(row: Any, common: dict[str, Any], **outcome: Any) -> StepFinished:
    return StepFinished(
        key=row.key, writer=row.writer, partition=row.partition or None, kind=row.kind, **common, **outcome
    )
