"""`orchestrator retry [RUN]`: take up a run where it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import WorkspaceOptions, build_command
from orchestrator.cli.output import make_console, utc_now
from orchestrator.cli.run import Engine, FailFast, Threads, engine_name, run_and_report
from orchestrator.cli.runs import find_run
from orchestrator.errors import PlanError
from orchestrator.plan.retry import build_retry_plan

if TYPE_CHECKING:
    from orchestrator.plan.run_plan import RunPlan
    from orchestrator.records import RunDetail
    from orchestrator.workspace import Workspace


@build_command
def command(
    options: WorkspaceOptions,
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, or its beginning; default: the last.")
    ] = "last",
    fail_fast: FailFast = None,
    threads: Threads = None,
    engine: Engine = "auto",
) -> int:
    """Run again what failed in a run and what that blocked, and nothing that succeeded."""
    name = engine_name(engine)
    workspace = options.load()
    workspace.require_sound()
    workspace.records.reap(workspace.environment, as_of=utc_now())
    detail = find_run(workspace.history, run, environment=workspace.environment)
    if detail.environment != workspace.environment:
        raise PlanError(
            f"run {detail.run_id} was in {detail.environment}, this is {workspace.environment}",
            fix=f"for a run of `orchestrator ci` run that again; else pass --env {detail.environment}",
        )
    if detail.status in ("running", "queued"):
        raise PlanError(f"run {detail.run_id} is still running", fix=f"`orchestrator cancel {detail.run_id}` stops it")
    plan = retry_plan(workspace, detail)
    if plan.is_empty and not options.json:
        make_console().print(f"Nothing to do: run {detail.run_id} left nothing undone")
        return 0
    return run_and_report(workspace, plan, options=options, engine=name, threads=threads, fail_fast=fail_fast)


def retry_plan(workspace: Workspace, run: RunDetail) -> RunPlan:
    """The plan that takes up `run` in today's graph."""
    return build_retry_plan(
        workspace.graph,
        run_id=run.run_id,
        steps={(step.writer, step.partition): step.status for step in run.steps if step.kind != "hook"},
        checks={check.check: check.status for check in run.checks},
        states=workspace.states(),
        environment=workspace.environment,
    )
