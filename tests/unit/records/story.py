"""A teller of runs: makes the events that an executor would, one second apart."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import Any

from orchestrator.definitions.events import (
    CheckFinished,
    ColumnInfo,
    Event,
    Failure,
    LogLine,
    Materialization,
    PlannedStep,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)

NOON = datetime(2013, 6, 1, 12, tzinfo=timezone.utc)
FLIGHTS = ("raw.flights", "python:python_assets.flights.flights")
DAILY = ("marts.daily_delays", "model.flights.daily_delays")


class Run:
    """One run of `environment`; each method returns the next event. Steps are named by (key, writer)."""

    def __init__(
        self, run_id: str, *, environment: str = "dev", begins: datetime = NOON, pid: int | None = None
    ) -> None:
        self.run_id = run_id
        self.environment = environment
        self.pid = os.getpid() if pid is None else pid
        self._moments = (begins + timedelta(seconds=number) for number in count())

    def started(self, *steps: tuple[str, str], skipped: tuple[tuple[str, str], ...] = ()) -> RunStarted:
        planned = [PlannedStep(key, writer, None, "build", "selected") for key, writer in steps]
        left_out = [PlannedStep(key, writer, None, "skip", "nothing changed") for key, writer in skipped]
        return RunStarted(
            command="orchestrator run",
            selection="",
            engine="local",
            by="ada@laptop",
            pid=self.pid,
            steps=(*planned, *left_out),
            **self._common(),
        )

    def begins(self, step: tuple[str, str], attempt_id: str, **more: Any) -> StepStarted:
        return StepStarted(key=step[0], writer=step[1], attempt_id=attempt_id, **more, **self._common())

    def ends(
        self, step: tuple[str, str], attempt_id: str | None, status: Any = "succeeded", **more: Any
    ) -> StepFinished:
        common = self._common()
        return StepFinished(key=step[0], writer=step[1], attempt_id=attempt_id, status=status, **more, **common)

    def checked(self, check: str, status: Any = "succeeded", **more: Any) -> CheckFinished:
        about = {"check": check, "name": check.split(".")[-1], "key": DAILY[0], "severity": "error", **more}
        return CheckFinished(status=status, **about, **self._common())

    def says(self, message: str, **more: Any) -> LogLine:
        return LogLine(level="info", message=message, **more, **self._common())

    def finished(self, status: Any = "succeeded", **more: Any) -> RunFinished:
        return RunFinished(status=status, **more, **self._common())

    def _common(self) -> dict[str, Any]:
        return {"at": next(self._moments), "run_id": self.run_id, "environment": self.environment}


PICTURE = {"kind": "image", "value": {"mime": "image/png", "base64": "iVBORw0K" * 400}}


def good_run(
    run_id: str = "run-1", *, environment: str = "dev", rows: int = 842, begins: datetime = NOON
) -> list[Event]:
    """Flights are ingested, daily delays are built from them and checked. Twelve o'clock plus 0 … 7 seconds."""
    run = Run(run_id, environment=environment, begins=begins)
    flights, daily = f"{run_id}-flights", f"{run_id}-daily"
    left_behind = Materialization(
        rows=rows,
        columns=(ColumnInfo("flight_date", "DATE"), ColumnInfo("origin", "VARCHAR")),
        metadata={"late": {"kind": "number", "value": 0.25}, "delays": PICTURE},
        sample={"columns": ["flight_date", "origin"], "rows": [["2013-01-01", "JFK"]]},
    )
    return [
        run.started(FLIGHTS, DAILY),
        run.begins(FLIGHTS, flights, code_version="v1"),
        run.says("reading 2013", key=FLIGHTS[0]),
        run.ends(FLIGHTS, flights, duration_s=2.0, materialization=left_behind),
        run.begins(DAILY, daily, code_version="v7", inputs={FLIGHTS[0]: flights}),
        run.ends(DAILY, daily, duration_s=0.5, materialization=Materialization(rows=365, compiled_code="select 1")),
        run.checked("test.flights.not_null_origin"),
        run.finished(duration_s=7.0),
    ]


def failing_run(run_id: str = "run-2", *, begins: datetime = NOON + timedelta(hours=1)) -> list[Event]:
    """Flights fail, so daily delays are blocked."""
    run = Run(run_id, begins=begins)
    failure = Failure("\nConnectionError: no route\nto host", traceback="flights.py:12")
    return [
        run.started(FLIGHTS, DAILY),
        run.begins(FLIGHTS, f"{run_id}-flights", code_version="v2"),
        run.ends(FLIGHTS, f"{run_id}-flights", "failed", duration_s=1.0, failure=failure),
        run.ends(DAILY, None, "blocked", reason="raw.flights failed"),
        run.finished("failed", reason="1 step failed"),
    ]
