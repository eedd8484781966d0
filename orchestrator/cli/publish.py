"""`orchestrator publish`: the graph as a document that other repositories can read."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.options import WorkspaceOptions, workspace_command
from orchestrator.cli.output import SCHEMA_VERSION, count, make_console, print_json
from orchestrator.execution.publishing import publish

To = Annotated[
    str | None,
    typer.Option(metavar="PATH|URL", help="Where to: a path, http(s) (PUT), fsspec; default: as configured."),
]


@workspace_command
def command(options: WorkspaceOptions, to: To = None) -> int:
    """Write assets, columns, checks and last materializations of this environment for other repositories to read."""
    workspace = options.load()
    done = publish(workspace, to=to)
    written = sum(not asset.external for asset in done.graph.assets)
    if options.json:
        print_json(
            {
                "schema_version": SCHEMA_VERSION,
                "to": done.to,
                "project": done.graph.project,
                "environment": done.graph.environment,
                "at": done.graph.at.isoformat(),
                "assets": written,
            }
        )
    else:
        make_console().print(
            f"Published {count(written, 'asset')} of {done.graph.project} in {done.graph.environment} to {done.to}",
            soft_wrap=True,
        )
    return 0
