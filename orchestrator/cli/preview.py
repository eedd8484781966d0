"""`orchestrator preview KEY`: the first rows of an asset, read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from orchestrator.cli.options import WorkspaceOptions, workspace_command
from orchestrator.cli.output import make_console, print_json
from orchestrator.errors import ResourceError, ResourceLockedError
from orchestrator.graph.selection import find_asset

if TYPE_CHECKING:
    from orchestrator.definitions.keys import AssetKey
    from orchestrator.workspace import Workspace

CELL = 40


@workspace_command
def command(
    options: WorkspaceOptions,
    key: Annotated[str, typer.Argument(metavar="KEY", help="One asset.")],
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, help="How many rows.")] = 20,
) -> int:
    """The first rows of an asset, so that nobody needs to keep a database shell open.

    The file is opened read-only for the moment of the query. While a run writes it, the rows that were stored with the
    asset's last write are shown instead, and said to be so.
    """
    workspace = options.load()
    asset = find_asset(workspace.graph, key)
    columns, values, note = read_rows(workspace, asset, limit=rows)
    if options.json:
        print_json({"schema_version": 1, "key": str(asset), "columns": columns, "rows": values, "note": note})
        return 0
    console = make_console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in values:
        table.add_row(*(_shown(value) for value in row))
    console.print(table)
    if note:
        console.print(note, style="quiet")
    return 0


def read_rows(workspace: Workspace, key: AssetKey, *, limit: int) -> tuple[list[str], list[list[Any]], str]:
    """(columns, rows, note). Raises ResourceError when there is nothing to show."""
    database, relation = workspace.place_of(key)
    if relation is None:
        raise ResourceError(f"{key} has no table")
    if database is not None:
        try:
            columns, rows = database.peek(relation, limit=limit)
        except ResourceLockedError as exc:
            locked = exc
        else:
            return columns, rows, ""
        sample = workspace.history.sample(workspace.environment, str(key))
        if sample is None:
            raise locked
        return sample["columns"], sample["rows"][:limit], f"as of its last write: {locked.what}"
    sample = workspace.history.sample(workspace.environment, str(key))
    if sample is None:
        raise ResourceError(
            f"the rows of {key} cannot be read: this warehouse cannot be opened from here",
            fix="`dbt show` reads every warehouse",
        )
    return sample["columns"], sample["rows"][:limit], "as of its last write"


def _shown(value: Any) -> Text:
    if value is None:
        return Text("–", style="quiet")
    text = str(value)
    return Text(text if len(text) <= CELL else text[: CELL - 1] + "…")
