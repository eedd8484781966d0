"""A run of the sandwich told as events, and the facts that it leaves: what the command line's tests look at."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from rich.console import Console

from orchestrator.cli.output import THEME
from orchestrator.cli.run_view import RunView
from orchestrator.definitions.events import (
    CheckFinished,
    Event,
    Failure,
    Materialization,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from orchestrator.definitions.facts import CheckFact, Facts, WriterFact
from orchestrator.graph.model import AssetGraph
from orchestrator.plan.run_plan import build_run_plan
from orchestrator.plan.states import build_states
from orchestrator.records.views import MaterializationRecord
from tests.scenarios import key, sandwich

START = datetime(2026, 11, 22, 11, 0, tzinfo=timezone.utc)
RUN = {"run_id": "1122-110000-ab12", "environment": "dev"}
TRACEBACK = 'Traceback (most recent call last):\n  File "python_assets/ml.py", line 12, in delays\n    fit(rows)'
GRAPH = sandwich()


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def writer(asset: str) -> str:
    return GRAPH[key(asset)].writers[0].id


def started(graph: AssetGraph = GRAPH, *, facts: Facts | None = None, stale: bool = False) -> RunStarted:
    facts = facts or Facts("dev")
    plan = build_run_plan(graph, graph.assets, states=build_states(graph, facts), environment="dev", stale=stale)
    return RunStarted(
        at=START, **RUN, command="orchestrator run", selection="", engine="local", by="ann@laptop", pid=1,
        steps=plan.steps,
    )  # fmt: skip


def begins(asset: str, seconds: float) -> StepStarted:
    return StepStarted(at=at(seconds), **RUN, key=asset, writer=writer(asset), attempt_id=f"a-{asset}")


def ends(asset: str, seconds: float, status: str = "succeeded", **more: Any) -> StepFinished:
    return StepFinished(
        at=at(seconds),
        **RUN,
        key=asset,
        writer=writer(asset),
        attempt_id=f"a-{asset}",
        status=status,
        **more,  # type: ignore[arg-type]
    )


def failing_run() -> list[Event]:
    """The Python step in the middle fails; the mart and the action behind it are blocked; a check warns."""
    boom = Failure("ValueError: not enough rows", f"{TRACEBACK}\nValueError: not enough rows")
    return [
        started(),
        begins("raw.flights", 0),
        ends("raw.flights", 1.2, duration_s=1.2, materialization=Materialization(rows=336776)),
        begins("staging.flights", 1.3),
        ends("staging.flights", 2, duration_s=0.7),
        CheckFinished(
            at=at(2.5), **RUN, check="test.shop.unique_flight", name="unique_flight", key="staging.flights",
            status="warned", severity="warn", failures=3,
        ),
        begins("ml.delays", 3),
        ends("ml.delays", 5, "failed", duration_s=2.0, failure=boom),
        ends("marts.report", 5, "blocked", reason="ml.delays failed"),
        ends("ops.vacuum", 5, "blocked", reason="ml.delays failed"),
        RunFinished(
            at=at(6), **RUN, status="failed", reason="the hook shop-on-run-end-0 failed: no such table", duration_s=6.0,
        ),
    ]  # fmt: skip


def seen(events: Iterable[Event], **more: Any) -> RunView:
    view = RunView(**more)
    for event in events:
        view.add(event)
    return view


def fact(asset: str, **more: Any) -> WriterFact:
    values: dict[str, Any] = {
        "key": asset, "writer": writer(asset), "partition": None, "status": "succeeded", "attempt_id": f"a-{asset}",
        "run_id": "r1", "at": START, "version": f"a-{asset}", "version_at": START, "version_run_id": "r1",
        "code_version": "1", "rows": 336776, "duration_s": 12.3,
        "inputs": {str(up): f"a-{up}" if GRAPH[up].writers else None for up in GRAPH.upstream[key(asset)]},
    }  # fmt: skip
    return WriterFact(**{**values, **more})


def facts(*known: WriterFact) -> Facts:
    """Flights and staging are fresh, the model failed with an older version still there."""
    known = known or (fact("raw.flights"), fact("staging.flights"), fact("ml.delays", status="failed", reason="boom"))
    passed = CheckFact("test.shop.unique_flight", "unique_flight", "staging.flights", "succeeded", "error", START, "r1")
    return Facts("dev", {(item.key, item.writer, item.partition): item for item in known}, {passed.check: passed})


def attempt(days_ago: int, **more: Any) -> MaterializationRecord:
    values: dict[str, Any] = {
        "key": "staging.flights", "writer": writer("staging.flights"), "partition": None, "status": "succeeded",
        "attempt_id": f"a{days_ago}", "run_id": f"r{days_ago}", "by": "ann@laptop", "version": f"a{days_ago}",
        "at": START - timedelta(days=days_ago), "rows": 1000 - 10 * days_ago, "duration_s": 12.0,
        "code_version": "1", "inputs": {"raw.flights": "a-raw.flights"},
        "metadata": {"mean_delay": {"kind": "number", "value": 6.5}},
    }  # fmt: skip
    return MaterializationRecord(**{**values, **more})


def printed(*renderables: Any, width: int = 80) -> str:
    """What a terminal of that width shows, without colours and trailing spaces."""
    console = Console(width=width, theme=THEME, highlight=False, no_color=True)
    with console.capture() as capture:
        for renderable in renderables:
            console.print(
                renderable, soft_wrap=not hasattr(renderable, "__rich_console__") or hasattr(renderable, "plain")
            )
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
