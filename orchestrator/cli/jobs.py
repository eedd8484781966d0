"""`orchestrator jobs`: the named selections, and what each means today."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.options import WorkspaceOptions, workspace_command
from orchestrator.cli.output import SCHEMA_VERSION, count, make_console, one_line, print_json
from orchestrator.cli.workspaces import print_findings
from orchestrator.errors import SelectionError
from orchestrator.graph.model import AssetGraph
from orchestrator.graph.selection import select


@workspace_command
def command(options: WorkspaceOptions) -> int:
    """List the jobs: named selections that `run job:NAME` takes."""
    workspace = options.load()
    assets = {name: _assets(workspace.graph, name) for name in workspace.graph.jobs}
    if options.json:
        print_json(
            [
                {
                    "schema_version": SCHEMA_VERSION,
                    "name": name,
                    "selection": str(placed.job.select.__selection__()),
                    "assets": assets[name],
                    "description": placed.job.description,
                    "location": placed.location,
                }
                for name, placed in workspace.graph.jobs.items()
            ]
        )
        return 0
    make_console().print(job_list(workspace.graph, assets))
    print_findings(workspace)
    return 0


def job_list(graph: AssetGraph, assets: dict[str, list[str]]) -> RenderableType:
    """One line a job, and how to run one."""
    if not graph.jobs:
        return Text('no jobs here: write name = Job("name", select=…) in a Python module', style="quiet")
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, placed in graph.jobs.items():
        selection = one_line(str(placed.job.select.__selection__()))
        grid.add_row(Text(name, style="title"), count(len(assets[name]), "asset"), selection, placed.location)
    first = next(iter(graph.jobs))
    return Group(grid, Text(f"\n`orchestrator run job:{first}` runs one", style="quiet"))


def _assets(graph: AssetGraph, name: str) -> list[str]:
    """Keys of what a job selects; none where that depends on the records."""
    try:
        return sorted(map(str, select(graph, f"job:{name}")))
    except SelectionError:
        return []
