"""`orchestrator ci --base REF|DIR`: build and check what a change touches, apart from everything else."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.dbt_flags import refuse_environment
from orchestrator.cli.errors import parts
from orchestrator.cli.options import WorkspaceOptions, workspace_command
from orchestrator.cli.output import SCHEMA_VERSION, count, make_console, print_json, program, utc_now
from orchestrator.cli.progress import make_progress
from orchestrator.cli.run import (
    EXIT_CODES,
    Engine,
    EngineName,
    FailFast,
    Threads,
    carry_out,
    engine_name,
    typed_command,
)
from orchestrator.cli.run_view import RunView, summary_json
from orchestrator.cli.summary import print_summary
from orchestrator.cli.workspaces import print_findings
from orchestrator.errors import ConfigError, OrchestratorError
from orchestrator.execution.results import RunOptions

if TYPE_CHECKING:
    from orchestrator.ci.report import Outcome
    from orchestrator.workspace import Workspace

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"


@workspace_command
def command(
    options: WorkspaceOptions,
    base: Annotated[
        str | None, typer.Option(metavar="REF|DIR", help="What to compare with: a git ref or another checkout.")
    ] = None,
    cleanup: Annotated[
        bool,
        typer.Option("--cleanup", help="Remove what CI runs of that name have made; after this one, with --base."),
    ] = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the Markdown report goes.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What the run's place is called; default: the branch.")
    ] = None,
    fail_fast: FailFast = None,
    threads: Threads = None,
    engine: Engine = "auto",
) -> int:
    """Compare with a base, build and check what differs in a place of its own, write a report.

    What is not built is read from the base's environment, which is never written. Ends with 0 when all is well, 1 when
    a step or check failed, 2 when the usage or a definition is wrong, 130 when it was interrupted.
    """
    if base is None:
        if not cleanup:
            raise ConfigError(
                "there is nothing to compare with", fix="give --base REF, or --cleanup to remove what is left"
            )
        return _clean_up(options.load(), name, options)
    refuse_environment()
    run_options = RunOptions(threads=threads, fail_fast=fail_fast, command=typed_command())
    chosen = engine_name(engine)
    head = options.load()
    if not options.json and not head.errors:  # errors are raised below
        print_findings(head)
    reporter = _Reporter(report or head.state_dir / "ci" / "report.md", options)
    code = _compare_and_run(head, base, reporter, name=name, engine=chosen, run_options=run_options)
    if cleanup:
        _clean_up(head, name, options)
    return code


def _compare_and_run(
    head: Workspace,
    base: str,
    reporter: _Reporter,
    *,
    name: str | None,
    engine: EngineName,
    run_options: RunOptions,
) -> int:
    from orchestrator.ci.prepare import prepare
    from orchestrator.ci.report import Outcome

    options = reporter.options
    outcome = Outcome(base)
    try:
        outcome = _compared(head, outcome, options)
        if outcome.comparison is None or outcome.comparison.nothing_to_do:
            return reporter.end(outcome, 0)
        outcome = replace(outcome, prepared=prepare(outcome.comparison, name=name))
        outcome, code, view = _run(outcome, options=options, engine=engine, run_options=run_options)
        return reporter.end(outcome, code, view=view)
    except OrchestratorError as error:
        reporter.write(replace(outcome, errors=parts(error)))
        raise


def _clean_up(head: Workspace, name: str | None, options: WorkspaceOptions) -> int:
    """Remove what CI runs of a name have made, and say what that was."""
    from orchestrator.ci.cleanup import clean_up

    console = make_console(stderr=options.json)
    cleaned = clean_up(head, name=name, say=lambda line: console.print(line, style="quiet"))
    if options.json:
        schemas = [{"schema": i.schema, "dropped": list(i.relations), "left": list(i.left)} for i in cleaned.schemas]
        done = {"event": "ci_cleanup", "schema_version": SCHEMA_VERSION, "name": cleaned.place.name}
        print_json({**done, "schemas": schemas, "files": list(cleaned.files)}, line=True)
        return 0
    for item in cleaned.schemas:
        console.print(f"Removed {count(len(item.relations), 'relation')} in {item.schema}", soft_wrap=True)
        if item.left:
            console.print(f"  kept, since not made by CI: {', '.join(item.left)}", style="attention", soft_wrap=True)
    for file in cleaned.files:
        console.print(f"Removed {file}", soft_wrap=True)
    if not cleaned.schemas and not cleaned.files:
        console.print(f"Nothing of a CI run called '{cleaned.place.name}' is there", style="quiet")
    return 0


def _compared(head: Workspace, outcome: Outcome, options: WorkspaceOptions) -> Outcome:
    """What differs, said in a few lines."""
    from orchestrator.ci.prepare import compare

    console = make_console(stderr=options.json)
    comparison = compare(head, outcome.base, say=lambda line: console.print(f"… {line}", style="quiet"))
    diff = comparison.diff
    differing = len(diff.checks_added) + len(diff.checks_changed) + len(diff.checks_removed)
    said = [f"{len(diff.added)} added", f"{len(diff.changed)} changed", f"{len(diff.removed)} removed"]
    console.print(
        f"Compared with {comparison.base.name}: {', '.join(said)}; {len(diff.affected)} affected; "
        f"{count(differing, 'check')} differ{'s' if differing == 1 else ''}",
        soft_wrap=True,
    )
    for warning in comparison.warnings:
        console.print(f"warning: {warning}", style="attention", soft_wrap=True)
    return replace(outcome, comparison=comparison)


def _run(
    outcome: Outcome, *, options: WorkspaceOptions, engine: EngineName, run_options: RunOptions
) -> tuple[Outcome, int, RunView]:
    from orchestrator.ci.carry_out import count_rows, ready

    prepared, comparison = outcome.prepared, outcome.comparison
    assert prepared is not None
    assert comparison is not None
    console, workspace = make_console(), prepared.workspace
    view = RunView(durations=comparison.head.facts().durations)
    with make_progress(view, console=console, as_json=options.json) as progress, ready(prepared, say=progress.say):
        result = carry_out(
            workspace, prepared.plan, engine=engine, view=view, progress=progress, run_options=run_options
        )
        rows = count_rows(prepared, comparison, result)
    if not options.json:
        print_summary(
            view,
            graph=workspace.graph,
            console=console,
            program=program(),
            options=options.as_typed(),
            now=utc_now(),
            commands=False,
        )
    return replace(outcome, result=result, rows=rows), EXIT_CODES.get(result.status, 1), view


@dataclass(frozen=True, slots=True)
class _Reporter:
    """Where the report goes."""

    file: Path
    options: WorkspaceOptions

    def write(self, outcome: Outcome) -> None:
        """To the file, and to the page that GitHub shows for the job."""
        from orchestrator.ci.report import build_report

        text = build_report(outcome)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(text, encoding="utf-8")
            if summary := os.environ.get(STEP_SUMMARY):
                with Path(summary).open("a", encoding="utf-8") as page:
                    page.write(text)
        except OSError as exc:
            raise ConfigError(f"the report cannot be written: {exc}", fix="name another file: --report") from exc

    def end(self, outcome: Outcome, code: int, *, view: RunView | None = None) -> int:
        """Write the report, say where it is, give the exit code."""
        from orchestrator.ci.report import headline

        self.write(outcome)
        if self.options.json:
            print_json(_json(outcome, code, self.file, view), line=True)
            return code
        console = make_console()
        if view is None:
            console.print(headline(outcome))
        console.print(f"Report: {self.file}", soft_wrap=True)
        return code


def _json(outcome: Outcome, code: int, file: Path, view: RunView | None) -> dict[str, Any]:
    """The last line of `ci --json`."""
    assert outcome.comparison is not None
    diff = outcome.comparison.diff
    return {
        "event": "ci",
        "schema_version": SCHEMA_VERSION,
        "base": outcome.comparison.base.name,
        "exit_code": code,
        "report": str(file),
        "added": [str(key) for key in diff.added],
        "removed": [str(key) for key in diff.removed],
        "changed": {
            str(key): [{"kind": change.kind, "text": change.text, "rebuilds": change.rebuilds} for change in changes]
            for key, changes in diff.changed.items()
        },
        "affected": [str(key) for key in diff.affected],
        "checks": {
            "added": [check.id for check in diff.checks_added],
            "removed": [check.id for check in diff.checks_removed],
            "changed": [check.id for check in diff.checks_changed],
        },
        "rows": {str(key): {"base": rows.base, "head": rows.head} for key, rows in outcome.rows.items()},
        "warnings": list(outcome.comparison.warnings),
        "run": summary_json(view) if view is not None else None,
    }
