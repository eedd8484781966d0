"""`orchestrator verify`: what is not there any more as it was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.options import Exclude, Select, Selection, WorkspaceOptions, selection_words, workspace_command
from orchestrator.cli.output import SCHEMA_VERSION, count, make_console, one_line, print_json
from orchestrator.cli.run import typed_command
from orchestrator.cli.workspaces import selected_keys

if TYPE_CHECKING:
    from orchestrator.execution.verifying import Verification
    from orchestrator.graph.model import AssetGraph

SHOWN = 50


@workspace_command
def command(
    options: WorkspaceOptions,
    selection: Selection = None,
    select: Select = None,
    exclude: Exclude = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mark what differs, so that the next `run --stale` does it again.")
    ] = False,
) -> int:
    """Compare rows, tables and columns in the warehouse with what runs recorded; exit code 1 where they differ.

    Nothing in the warehouse is changed. Run it while nobody writes.
    """
    from orchestrator.execution.verifying import verify

    workspace = options.load()
    words = selection_words(selection, select)
    selected = selected_keys(
        workspace.graph, words, exclude=exclude or (), states=workspace.states(), facts=workspace.facts()
    )
    found = verify(workspace, selected, repair=repair, command=typed_command())
    if options.json:
        print_json(verification_json(found))
    else:
        make_console().print(page(workspace.graph, found, repair=repair))
    return 1 if found.differences else 0


def page(graph: AssetGraph, found: Verification, *, repair: bool) -> RenderableType:
    """What differs, partition by partition; what to do; what was not compared."""
    scope = f"{count(found.compared, 'record')} of {count(found.assets, 'asset')} compared"
    parts: list[RenderableType] = []
    if found.differences:
        parts.append(Text(f"{scope}: {len(found.differences)} not as recorded", style="bad"))
        grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for item in found.differences[:SHOWN]:
            grid.add_row(f"  {item.key}", item.partition or "", one_line(item.detail), Text(item.run_id, style="quiet"))
        parts.append(grid)
        if len(found.differences) > SHOWN:
            parts.append(Text(f"  … and {len(found.differences) - SHOWN} more", style="quiet"))
        parts += [Text(), *_what_to_do(graph, found, repair=repair)]
    else:
        parts.append(Text(f"{scope}: all as recorded", style="good"))
    if found.left_out:
        parts += [Text(), Text(f"Not compared, or not wholly ({len(found.left_out)})", style="title")]
        grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for key, reason in list(found.left_out.items())[:SHOWN]:
            grid.add_row(f"  {key}", one_line(reason))
        parts.append(grid)
    return Group(*parts)


def _what_to_do(graph: AssetGraph, found: Verification, *, repair: bool) -> Iterator[Text]:
    mends = [item for item in found.differences if item.mends]
    if found.run_id is not None:
        yield Text(
            f"{count(found.marked, 'record')} marked in run {found.run_id}: `orchestrator run --stale` does them again"
        )
    elif mends and not repair:
        yield Text("`orchestrator verify --repair` marks them, so that the next `run --stale` does them again")
    for key in dict.fromkeys(item.key for item in found.differences if not item.mends):
        snapshot = any(writer.strategy == "snapshot" for writer in graph[key].writers)
        way = (
            "a snapshot's history cannot be made again" if snapshot else f"`orchestrator run {key} --full-refresh` does"
        )
        yield Text(f"{key}: running it again brings back nothing that is lost; {way}")


def verification_json(found: Verification) -> dict[str, Any]:
    """`verify --json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "compared": found.compared,
        "assets": found.assets,
        "differences": [
            {
                "key": str(item.key),
                "writer": item.writer,
                "partition": item.partition,
                "what": item.what,
                "recorded": item.recorded,
                "there": item.there,
                "detail": item.detail,
                "run_id": item.run_id,
                "mends": item.mends,
            }
            for item in found.differences
        ],
        "left_out": {str(key): reason for key, reason in found.left_out.items()},
        "run_id": found.run_id,
        "marked": found.marked,
    }
