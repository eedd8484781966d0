"""`orchestrator logs RUN`: the lines that a run's steps logged."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from orchestrator.cli.options import WorkspaceOptions, workspace_command
from orchestrator.cli.output import make_console, print_json
from orchestrator.cli.runs import find_run

STYLES = {"warning": "attention", "error": "bad", "debug": "quiet"}


@workspace_command
def command(
    options: WorkspaceOptions,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or its beginning; `last`.")] = "last",
    step: Annotated[str | None, typer.Option(metavar="KEY", help="Only the lines of this asset.")] = None,
) -> int:
    """The lines that a run's steps logged, oldest first; of the last run by default."""
    workspace = options.load()
    detail = find_run(workspace.history, run, environment=workspace.environment)
    lines = [line for line in detail.log if step is None or line.key == step]
    if options.json:
        print_json(
            [
                {
                    "schema_version": 1,
                    "at": line.at.isoformat(),
                    "level": line.level,
                    "key": line.key,
                    "message": line.message,
                }
                for line in lines
            ]
        )
        return 0
    console = make_console()
    for line in lines:
        where = f"{line.key}  " if line.key else ""
        style = STYLES.get(line.level, "")
        console.print(Text(f"{line.at:%H:%M:%S}  {where}{line.message}", style=style), soft_wrap=True)
    if not lines:
        console.print(f"run {detail.run_id} logged nothing", style="quiet")
    return 0
