"""`orchestrator adopt`: record tables that existed before us."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from orchestrator.cli.options import Exclude, Select, Selection, WorkspaceOptions, selection_words, workspace_command
from orchestrator.cli.output import count, make_console, print_json
from orchestrator.cli.run import typed_command
from orchestrator.cli.workspaces import selected_keys

SHOWN = 20


@workspace_command
def command(
    options: WorkspaceOptions,
    selection: Selection = None,
    select: Select = None,
    exclude: Exclude = None,
    run_results: Annotated[
        Path | None, typer.Option(metavar="FILE", help="dbt's run_results.json: adopt what it built well.")
    ] = None,
) -> int:
    """Record tables that existed before us as adopted, so that the first plan is not "everything".

    They count as up to date until their code changes or something they read is written. Nothing is run, and what has a
    record already is left as it is.
    """
    from orchestrator.execution.adoption import adopt, read_run_results

    workspace = options.load()
    built = read_run_results(run_results) if run_results is not None else None
    words = selection_words(selection, select)
    selected = selected_keys(
        workspace.graph, words, exclude=exclude or (), states=workspace.states(), facts=workspace.facts()
    )
    done = adopt(workspace, selected, built=built, command=typed_command())
    left_out = {str(key): reason for key, reason in done.left_out.items()}
    if options.json:
        adopted = [str(key) for key in done.adopted]
        print_json({"schema_version": 1, "run_id": done.run_id, "adopted": adopted, "left_out": left_out})
        return 0
    console = make_console()
    console.print(f"{count(len(done.adopted), 'table')} adopted in {workspace.environment}")
    if left_out:
        console.print(f"\nLeft out ({len(left_out)})", style="bold")
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for key, reason in list(left_out.items())[:SHOWN]:
            table.add_row(f"  {key}", reason)
        console.print(table)
        if len(left_out) > SHOWN:
            console.print(f"  … and {len(left_out) - SHOWN} more", style="quiet")
    return 0
