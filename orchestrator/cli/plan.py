"""`orchestrator plan`: what `run` would do with the same words, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.dbt_flags import dbt_variables
from orchestrator.cli.json_forms import plan_json
from orchestrator.cli.options import (
    Exclude,
    Select,
    Selection,
    Selector,
    WorkspaceOptions,
    build_command,
    selection_words,
)
from orchestrator.cli.output import STATUSES, count, make_console, one_line, print_json
from orchestrator.cli.workspaces import print_findings
from orchestrator.definitions.events import PlannedStep, step_id, step_titles
from orchestrator.graph.model import AssetGraph
from orchestrator.plan.run_plan import RunPlan

CHECK_WIDTH, RANGES_SHOWN = 40, 3
Stale = Annotated[bool, typer.Option("--stale", help="Only what is out of date, and what that feeds.")]
FullRefresh = Annotated[
    bool,
    typer.Option(
        "--full-refresh", "-f", help="Rebuild incremental models from scratch.", envvar=dbt_variables("FULL_REFRESH")
    ),
]
Partitions = Annotated[
    str | None,
    typer.Option(
        "--partitions",
        metavar="KEYS",
        help="Which partitions: 2013-03, 2013-03-05..2013-03-20 (both included), EWR; of each asset what overlaps.",
    ),
]
IndirectSelection = Annotated[
    str | None,
    typer.Option(
        metavar="eager|cautious|buildable|empty",
        help="Which checks come along, as in dbt; default: eager.",
        envvar=dbt_variables("INDIRECT_SELECTION"),
    ),
]


@build_command
def command(
    options: WorkspaceOptions,
    selection: Selection = None,
    select: Select = None,
    exclude: Exclude = None,
    stale: Stale = False,
    full_refresh: FullRefresh = False,
    selector: Selector = None,
    indirect_selection: IndirectSelection = None,
    partitions: Partitions = None,
) -> int:
    """What `run` would do with the same words, and why. Nothing is run."""
    workspace = options.load()
    words = selection_words(selection, select)
    plan = workspace.plan(
        words,
        exclude=exclude or (),
        stale=stale,
        full_refresh=full_refresh,
        indirect=indirect_selection,
        selector=selector,
        partitions=partitions,
    )
    if options.json:
        print_json(plan_json(plan))
        return 0
    make_console().print(plan_table(workspace.graph, plan))
    print_findings(workspace)
    return 0


def plan_table(graph: AssetGraph, plan: RunPlan) -> RenderableType:
    """The steps that would run, in order, then those that would not, each with its reason; totals last."""
    skipped = [step for step in plan.steps if step.action == "skip"]
    parts: list[RenderableType] = []
    if plan.to_build:
        parts += [Text("Would run", style="title"), _steps(graph, plan, action="build"), Text()]
    if skipped:
        parts += [Text("Would not run", style="title"), _steps(graph, plan, action="skip"), Text()]
    if plan.skipped_checks:
        parts += [Text("Checks left out", style="title"), _skipped_checks(graph, plan), Text()]
    return Group(*parts, _totals(plan, len(skipped)))


def _steps(graph: AssetGraph, plan: RunPlan, *, action: str) -> Table:
    glyph, style = STATUSES[action]
    writers = {writer.id: writer for asset in graph.assets.values() for writer in asset.writers}
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, style="quiet")
    grid.add_column()
    titles = step_titles(replace(step, partition=None) for step in plan.steps)
    for step, partitions in alike(plan.steps, action=action):
        writer = writers.get(step.writer)
        how = "action" if step.kind == "action" else writer.strategy if writer else step.kind
        full = " (full refresh)" if plan.full_refresh and how == "incremental" else ""
        title = titles[step_id(replace(step, partition=None))]
        if partitions and writer is not None and writer.partitions is not None:
            title += f" [{writer.partitions.of_keys(partitions).text(at_most=RANGES_SHOWN)}]"
        name = Text(f"  {glyph} ", style=style).append(title, style="default")
        grid.add_row(name, how + full, one_line(step.reason))
    return grid


def alike(steps: Iterable[PlannedStep], *, action: str) -> list[tuple[PlannedStep, list[str]]]:
    """The steps of an action, partitions of one writer with one reason as one line: its first step, their keys."""
    lines: dict[tuple[str, str, str], tuple[PlannedStep, list[str]]] = {}
    for step in steps:
        if step.action == action:
            _, partitions = lines.setdefault((step.key, step.writer, step.reason), (step, []))
            partitions.extend([step.partition] if step.partition is not None else [])
    return list(lines.values())


def _skipped_checks(graph: AssetGraph, plan: RunPlan) -> Table:
    names = {check.id: check.name for check in graph.checks}
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, max_width=CHECK_WIDTH, overflow="ellipsis")
    grid.add_column()
    for skipped in plan.skipped_checks:
        grid.add_row(f"  {names.get(skipped.check, skipped.check)}", one_line(skipped.reason))
    return grid


def _totals(plan: RunPlan, skipped: int) -> Text:
    if plan.is_empty:
        return Text(f"Nothing to do in {plan.environment}" + (": all is up to date" if skipped else ""))
    parts = [count(len(plan.to_build), "step"), count(len(plan.checks), "check")]
    left_out = f", {skipped} left out" if skipped else ""
    return Text(f"{' and '.join(parts)} would run in {plan.environment}{left_out}")
