"""`orchestrator stubs`: dbt models and sources for editors and type checkers."""

from __future__ import annotations

from orchestrator.cli.options import WorkspaceOptions, workspace_command
from orchestrator.cli.output import SCHEMA_VERSION, make_console, print_json
from orchestrator.loaders.dbt_stub import write_stubs


@workspace_command
def command(options: WorkspaceOptions) -> int:
    """Write typings/orchestrator: completion of dbt models, and errors for misspelt ones. Later loads renew it."""
    workspace = options.load()
    file = write_stubs(workspace.root, workspace.graph).relative_to(workspace.root)
    if options.json:
        print_json({"schema_version": SCHEMA_VERSION, "file": str(file)})
        return 0
    console = make_console()
    console.print(f"Wrote {file}; every load of the workspace keeps it up to date")
    console.print('Pyright and editors find it by themselves; for mypy: mypy_path = "typings"', style="quiet")
    return 0
