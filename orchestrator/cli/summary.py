"""The end of a run for people: failures first, each with the command that retries it, then counts and what is next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from orchestrator.cli.output import count, duration
from orchestrator.cli.run_view import RunView
from orchestrator.definitions.events import CheckFinished, Failure, StepFinished
from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.model import AssetGraph

MESSAGE_LINES = 24
TRACEBACK_LINES = 30
BLOCKED_SHOWN = 8
FAILURES_SHOWN = 10
WARNINGS_SHOWN = 5


def print_summary(
    view: RunView,
    *,
    graph: AssetGraph,
    console: Console,
    program: str,
    options: str,
    now: datetime,
    commands: bool = True,
) -> None:
    """Everything that is said after a run. `options` are the workspace options as typed, for commands to paste;
    without `commands` none are given, since `run` would not do the same again."""
    for text in summary_texts(view, graph=graph, program=program, options=options, now=now, commands=commands):
        console.print(text, soft_wrap=True)


def summary_texts(
    view: RunView, *, graph: AssetGraph, program: str, options: str, now: datetime, commands: bool = True
) -> Iterable[Text]:
    """Paragraphs: failures, warnings, the result in one line, what to do next."""
    steps, checks = view.failed_steps, view.failed_checks()
    everything: list[StepFinished | CheckFinished] = [*steps, *checks]
    for failed in everything[:FAILURES_SHOWN]:
        yield Text()
        yield _failure(failed, view=view, graph=graph)
    if len(everything) > FAILURES_SHOWN:
        yield Text(f"\n… and {len(everything) - FAILURES_SHOWN} more failures: see the run's record below")
    yield from _warnings(view)
    yield Text()
    yield _result(view, now)
    if commands:
        yield Text()
        yield _next(view, program=program, options=options)


def _failure(failed: StepFinished | CheckFinished, *, view: RunView, graph: AssetGraph) -> Text:
    text = _failed_step(failed, view, graph) if isinstance(failed, StepFinished) else _failed_check(failed, graph)
    _add_failure(text, failed.failure, failed.reason)
    blocked = blocked_by(failed, view=view, graph=graph)
    if blocked:
        listed = ", ".join(blocked[:BLOCKED_SHOWN])
        more = f" and {len(blocked) - BLOCKED_SHOWN} more" if len(blocked) > BLOCKED_SHOWN else ""
        text.append("\n    blocked:  ", style="quiet").append(listed + more, style="attention")
    return text


def _failed_step(step: StepFinished, view: RunView, graph: AssetGraph) -> Text:
    what = {"hook": "hook ", "action": "action "}.get(step.kind, "")
    fate = "failed" if step.status == "failed" else "died: its result is unknown, it is built again next time"
    text = Text("✗ ", style="bad").append(f"{what}{view.title(step)} {fate}", style="bad")
    key = _key(step.key)
    writers = graph[key].writers if key in graph else ()
    place = next((str(writer.location) for writer in writers if writer.id == step.writer), "")
    return text.append(f"  {place}" if place else "", style="quiet not bold")


def _failed_check(failed: CheckFinished, graph: AssetGraph) -> Text:
    rows = f" ({count(failed.failures, 'row')})" if failed.failures else ""
    text = Text("✗ ", style="bad").append(f"check {failed.name} on {failed.key} failed{rows}", style="bad")
    place = next((str(check.location) for check in graph.checks if check.id == failed.check), "")
    return text.append(f"  {place}" if place else "", style="quiet not bold")


def _add_failure(text: Text, failure: Failure | None, reason: str) -> None:
    message = failure.message if failure else reason
    for line in _bounded(message.strip().splitlines(), MESSAGE_LINES):
        text.append(f"\n    {line}", style="not bold")
    if failure is None:
        return
    if failure.traceback:
        # Python's last lines repeat the message.
        traceback = failure.traceback.rstrip().removesuffix(message.strip()).rstrip()
        for line in _bounded(traceback.splitlines(), TRACEBACK_LINES):
            text.append(f"\n    {line}", style="quiet not bold")
    if failure.compiled_path:
        text.append("\n    compiled: ", style="quiet").append(failure.compiled_path, style="active")


def _bounded(lines: Sequence[str], limit: int) -> list[str]:
    """The first and the last lines of a long text: causes stand at either end."""
    if len(lines) <= limit:
        return list(lines)
    head = limit // 2
    return [*lines[:head], f"… {len(lines) - limit} lines left out …", *lines[-(limit - head) :]]


def blocked_by(failed: StepFinished | CheckFinished, *, view: RunView, graph: AssetGraph) -> list[str]:
    """Keys of the blocked steps that descend from what failed; for a check from all the assets it reads."""
    roots: Iterable[AssetKey] = [_key(failed.key)]
    if isinstance(failed, CheckFinished):
        roots = next((check.reads for check in graph.checks if check.id == failed.check), roots)
    reached = [graph.descendants([root]) for root in roots if root in graph]
    common = frozenset.intersection(*reached) if reached else frozenset()
    return list(dict.fromkeys(view.title(step) for step in view.blocked_steps if _key(step.key) in common))


def _key(text: str) -> AssetKey:
    layer, _, name = text.partition(".")
    return AssetKey(layer, name)


def _warnings(view: RunView) -> Iterable[Text]:
    if logged := list(dict.fromkeys((line.key, line.message) for line in view.warnings if line.level == "warning")):
        text = Text(f"\n! {count(len(logged), 'warning')}", style="attention")
        for key, message in logged[:WARNINGS_SHOWN]:
            text.append(f"\n    {key}: {message}" if key else f"\n    {message}", style="quiet")
        if len(logged) > WARNINGS_SHOWN:
            text.append(f"\n    … and {len(logged) - WARNINGS_SHOWN} more: `orchestrator logs` has them", style="quiet")
        yield text
    warned = view.failed_checks("warn")
    if not warned:
        return
    text = Text(f"\n! {count(len(warned), 'check')} warned", style="attention")
    for check in warned[:WARNINGS_SHOWN]:
        rows = f": {count(check.failures, 'row')}" if check.failures else ""
        text.append(f"\n    {check.name} on {check.key}{rows}", style="quiet")
    if len(warned) > WARNINGS_SHOWN:
        text.append(f"\n    … and {len(warned) - WARNINGS_SHOWN} more", style="quiet")
    yield text


def _result(view: RunView, now: datetime) -> Text:
    """`Succeeded in 48.2 s: 31 steps succeeded, 2 warned; 45 checks passed, 4 warned`"""
    styles = {"succeeded": "good", "failed": "bad", "cancelled": "attention"}
    text = Text(view.status.capitalize(), style=f"{styles.get(view.status, 'odd')} bold")
    text.append(f" in {duration(view.elapsed(now))}", style="default not bold")
    steps = _counts([step.status for step in view.finished.values() if step.kind != "hook"])
    checks = _counts([check.status for check in view.checks.values()], rename={"succeeded": "passed"})
    if steps:
        text.append(f"  steps: {steps}", style="default not bold")
    if checks:
        text.append(f"; checks: {checks}", style="default not bold")
    if view.ended and view.ended.reason:
        text.append(f"\n{view.ended.reason}", style="not bold")
    return text


def _counts(statuses: list[str], *, rename: dict[str, str] | None = None) -> str:
    names = rename or {}
    return ", ".join(
        f"{statuses.count(status)} {names.get(status, status.replace('_', ' '))}"
        for status in dict.fromkeys(
            sorted(statuses, key=lambda status: _ORDER.index(status) if status in _ORDER else len(_ORDER))
        )
    )


_ORDER = ("succeeded", "warned", "failed", "unknown", "blocked", "cancelled", "up_to_date")


def _next(view: RunView, *, program: str, options: str) -> Text:
    """Commands to paste, with their full path."""
    run_id = view.started.run_id if view.started else ""
    if view.status == "succeeded":
        commands = [
            (f"{program} dev{options}", "look at the lineage"),
            (f"{program} ls{options}", "see what is there"),
        ]
    else:
        commands = [
            (f"{program} retry {run_id}{options}", "when it is mended"),
            (f"{program} runs {run_id}{options}", "see the record"),
            (f"{program} dev{options}", "look at the lineage"),
        ]
    width = max(len(meaning) for _, meaning in commands)
    text = Text("Next", style="title")
    for command, meaning in commands:
        text.append(f"\n  {meaning:<{width}}  ", style="not bold").append(command, style="command not bold")
    return text
