"""`orchestrator runs [RUN]`: what was run, and one run in detail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.json_forms import run_detail_json, run_json
from orchestrator.cli.options import WorkspaceOptions, workspace_command
from orchestrator.cli.output import (
    ago,
    count,
    duration,
    make_console,
    moment,
    number,
    one_line,
    print_json,
    status_text,
    utc_now,
)
from orchestrator.definitions.events import Failure, step_id, step_titles
from orchestrator.errors import SelectionError, did_you_mean
from orchestrator.records.views import CheckRecord, RunDetail, RunSummary, StepRecord

if TYPE_CHECKING:
    from orchestrator.records import Records

FAILURE_LINES = 12
RUNS_SUGGESTED = 50
ENVIRONMENTS_NAMED = 3
BAD = ("failed", "unknown", "blocked", "cancelled")


@workspace_command
def command(
    options: WorkspaceOptions,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="A run's id, or its beginning; `last`.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many runs to list.")] = 20,
    everywhere: Annotated[
        bool, typer.Option("--all", help="Of all environments, those of CI runs too; default: the active one.")
    ] = False,
) -> int:
    """Recorded runs of the environment, newest first; with the id of any run its steps, failures first."""
    workspace = options.load()
    records, environment = workspace.history, None if everywhere else workspace.environment
    if any(item.status == "running" for item in records.runs(environment, limit=limit)):
        workspace.records.reap(environment)
    if run is None:
        listed = records.runs(environment, limit=limit)
        if options.json:
            print_json([run_json(item) for item in listed])
            return 0
        make_console().print(run_list(listed, environment=environment, now=utc_now()))
        if environment is not None and (others := _elsewhere(records, environment)):
            make_console().print(f"also run in {', '.join(others)}: --all shows it", style="quiet")
        return 0
    detail = find_run(records, run, environment=environment)
    if options.json:
        print_json(run_detail_json(detail))
    else:
        make_console().print(run_report(detail, now=utc_now()))
    return 0


def _elsewhere(records: Records, environment: str) -> list[str]:
    """Other environments that were run in lately, newest first."""
    found = dict.fromkeys(run.environment for run in records.runs(limit=RUNS_SUGGESTED))
    return [name for name in found if name != environment][:ENVIRONMENTS_NAMED]


def find_run(records: Records, text: str, *, environment: str | None) -> RunDetail:
    """The run whose id is or begins with `text`, in any environment; `last` is the newest of `environment`, None: of
    all. Raises SelectionError.
    """
    newest = records.runs(environment, limit=RUNS_SUGGESTED)
    wanted = newest[0].run_id if text == "last" and newest else text
    detail = records.run(wanted, logs=True)
    if detail is None:
        raise SelectionError(
            f"no run has the id '{text}'",
            fix=did_you_mean(text, [run.run_id for run in newest]) or "`orchestrator runs` lists them",
        )
    return detail


def run_list(runs: Sequence[RunSummary], *, environment: str | None, now: datetime) -> RenderableType:
    """A line a run, with its environment unless all are of one."""
    if not runs:
        return Text(f"nothing was run in {environment or 'any environment'} yet", style="quiet")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="quiet")
    table.add_column("status", no_wrap=True)
    table.add_column("run", no_wrap=True)
    if environment is None:
        table.add_column("environment", no_wrap=True)
    table.add_column("started", no_wrap=True, justify="right")
    table.add_column("took", no_wrap=True, justify="right")
    table.add_column("result")
    for run in runs:
        table.add_row(
            status_text(run.status),
            run.run_id,
            *((run.environment,) if environment is None else ()),
            ago(run.started_at, now=now),
            duration(run.duration_s),
            one_line(_result(run)),
        )
    return table


def _result(run: RunSummary) -> str:
    """`raw.flights failed; 2 succeeded, 1 failed; +marts.daily`"""
    failed = f"{', '.join(run.failed)} failed" if run.failed else ""
    return "; ".join(part for part in (failed, counts_text(run.counts), run.selection) if part)


def counts_text(counts: object) -> str:
    """
    >>> counts_text({"succeeded": 3, "failed": 1})
    '3 succeeded, 1 failed'
    """
    items = counts.items() if hasattr(counts, "items") else ()
    return ", ".join(f"{amount} {status.replace('_', ' ')}" for status, amount in items if amount)


def run_report(run: RunDetail, *, now: datetime) -> RenderableType:
    """The run in a few lines, then failures with their text, then all steps and the checks that did not pass."""
    parts: list[RenderableType] = [_heading(run, now)]
    for failed in [step for step in run.steps if step.status in ("failed", "unknown")]:
        parts += [Text(), _failure(failed.key, failed.failure, failed.reason)]
    for check in [check for check in run.checks if check.status == "failed"]:
        parts += [Text(), _failure(f"check {check.name} on {check.key}", check.failure, check.reason)]
    if run.steps:
        parts += [Text("\nSteps", style="title"), _steps(run.steps)]
    if run.checks:
        parts += [Text("\nChecks", style="title"), _checks(run.checks)]
    return Group(*parts)


def _heading(run: RunDetail, now: datetime) -> Text:
    text = Text(f"Run {run.run_id} ", style="title").append_text(status_text(run.status))
    text.append(f", {run.reason}" if run.reason else "", style="quiet")
    took = f", took {duration(run.duration_s)}" if run.duration_s is not None else ""
    lines = [
        ("started", f"{moment(run.started_at)} ({ago(run.started_at, now=now)}){took}"),
        ("by", run.by),
        ("command", run.command),
        ("engine", f"{run.engine}, environment {run.environment}"),
    ]
    for label, value in lines:
        text.append(f"\n  {label:<8}", style="quiet not bold").append(value, style="not bold")
    return text


def _failure(what: str, failure: Failure | None, reason: str) -> Text:
    text = Text(f"✗ {what}", style="bad")
    message = failure.message if failure else reason
    for line in message.strip().splitlines()[:FAILURE_LINES]:
        text.append(f"\n    {line}", style="not bold not red")
    if failure and failure.traceback:
        for line in failure.traceback.rstrip().splitlines()[-FAILURE_LINES:]:
            text.append(f"\n    {line}", style="quiet not bold not red")
    if failure and failure.compiled_path:
        text.append(f"\n    compiled: {failure.compiled_path}", style="quiet not bold not red")
    return text


def _steps(steps: Sequence[StepRecord]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(no_wrap=True, justify="right", style="quiet")
    grid.add_column()
    titles = step_titles(steps)
    for step in sorted(steps, key=lambda step: step.status not in BAD):
        again = f"{step.attempt} attempts; " if step.attempt > 1 else ""
        why = step.reason if step.status in BAD else step.plan_reason
        first = why.splitlines()[0] if why else ""
        grid.add_row(
            Text("  ").append_text(status_text(step.status)),
            titles[step_id(step)],
            number(step.rows),
            duration(step.duration_s),
            one_line(again + first),
        )
    return grid


def _checks(checks: Sequence[CheckRecord]) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    grid.add_column(no_wrap=True, style="quiet", justify="right")
    passed = sum(check.status == "succeeded" for check in checks)
    for check in checks:
        if check.status != "succeeded":
            rows = count(check.failures, "row") if check.failures else ""
            grid.add_row(
                Text("  ").append_text(status_text(check.status)),
                one_line(f"{check.name} on {check.key}", style="default"),
                rows,
            )
    if not passed:
        return grid
    said = Text(f"  {count(passed, 'check')} passed", style="quiet")
    return Group(grid, said) if passed < len(checks) else said
