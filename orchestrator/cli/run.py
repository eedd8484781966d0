"""`orchestrator run`: build what is selected, everything by default."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from orchestrator.cli.dbt_flags import dbt_variables
from orchestrator.cli.options import (
    Exclude,
    Select,
    Selection,
    Selector,
    WorkspaceOptions,
    build_command,
    selection_words,
)
from orchestrator.cli.output import make_console, print_json, program, utc_now
from orchestrator.cli.plan import FullRefresh, IndirectSelection, Partitions, Stale
from orchestrator.cli.progress import Progress, listener, make_progress
from orchestrator.cli.run_view import RunView, summary_json
from orchestrator.cli.summary import print_summary
from orchestrator.cli.workspaces import print_findings
from orchestrator.execution.results import RunOptions, RunResult
from orchestrator.plan.run_plan import RunPlan

if TYPE_CHECKING:
    from orchestrator.workspace import Workspace

EngineName = Literal["auto", "prefect", "local"]
EXIT_CODES = {"succeeded": 0, "cancelled": 130}
FailFast = Annotated[
    bool | None,
    typer.Option(
        "--fail-fast/--no-fail-fast", "-x", help="Stop at the first failure.", envvar=dbt_variables("FAIL_FAST")
    ),
]
Threads = Annotated[int | None, typer.Option(min=1, metavar="N", help="Steps at once; default: the profile's threads.")]
Engine = Annotated[str, typer.Option(metavar="auto|prefect|local", help="What carries it out.")]


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
    fail_fast: FailFast = None,
    threads: Threads = None,
    engine: Engine = "auto",
) -> int:
    """Build what is selected, everything by default, in order: Python and dbt in one run.

    Ends with 0 when every selected step succeeded, warned or was up to date, 1 when one failed, 2 when the usage or a
    definition is wrong, 130 when it was interrupted.
    """
    name = engine_name(engine)
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
    return run_and_report(workspace, plan, options=options, engine=name, threads=threads, fail_fast=fail_fast)


def run_and_report(
    workspace: Workspace,
    plan: RunPlan,
    *,
    options: WorkspaceOptions,
    engine: EngineName,
    threads: int | None = None,
    fail_fast: bool | None = None,
) -> int:
    """Run a plan with progress, print how it ended, and give the exit code."""
    console = make_console()
    view = RunView(durations=workspace.facts().durations)
    if not options.json:
        print_findings(workspace)
    with make_progress(view, console=console, as_json=options.json) as progress:
        result = carry_out(
            workspace,
            plan,
            engine=engine,
            view=view,
            progress=progress,
            run_options=RunOptions(threads=threads, fail_fast=fail_fast, command=typed_command()),
        )
    if options.json:
        print_json(summary_json(view), line=True)
    else:
        _print_end(workspace, plan, view, console=console, options=options)
    return EXIT_CODES.get(result.status, 1)


def carry_out(
    workspace: Workspace,
    plan: RunPlan,
    *,
    engine: EngineName,
    view: RunView,
    progress: Progress,
    run_options: RunOptions,
) -> RunResult:
    """Run the plan by the engine that fits; where there is nothing to do, without waiting for one."""
    from orchestrator.service.engine import choose_engine, run_with_engine

    workspace.say = progress.say
    choice = choose_engine(
        "local" if plan.is_empty else engine,
        state_dir=workspace.state_dir,
        configured_api_url=workspace.config.prefect_api_url,
    )
    return run_with_engine(
        choice,
        workspace,
        plan,
        options=run_options,
        listeners=[listener(view, progress)],
        on_wait=lambda seconds: progress.waiting("waiting for the Prefect server to start", seconds),
    )


def engine_name(text: str) -> EngineName:
    """The engine as typed. Raises typer.BadParameter for an unknown one."""
    match text:
        case "auto" | "prefect" | "local":
            return text
    raise typer.BadParameter(f"'{text}' is no engine: auto, prefect or local", param_hint="--engine")


def typed_command() -> str:
    """What was typed, for the records."""
    return shlex.join(["orchestrator", *sys.argv[1:]])


def _print_end(
    workspace: Workspace, plan: RunPlan, view: RunView, *, console: Console, options: WorkspaceOptions
) -> None:
    if plan.is_empty and not view.failed_steps:
        console.print(f"Nothing to do in {plan.environment}: all that is selected is up to date")
        return
    print_summary(
        view, graph=workspace.graph, console=console, program=program(), options=options.as_typed(), now=utc_now()
    )
