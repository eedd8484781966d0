"""`orchestrator impact KEY`: how many things break if it is deleted, and whom to ask."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.columns import asset_or_column, column_impact_json, column_impact_report, find_column
from orchestrator.cli.json_forms import impact_json
from orchestrator.cli.lineage import Depth
from orchestrator.cli.ls import kind_of
from orchestrator.cli.options import WorkspaceOptions, workspace_command
from orchestrator.cli.output import count, make_console, one_line, print_json
from orchestrator.cli.workspaces import print_findings
from orchestrator.graph.column_impact import column_impact
from orchestrator.graph.impact import Impact, impact
from orchestrator.graph.model import AssetGraph

THINGS_SHOWN = 6


@workspace_command
def command(
    options: WorkspaceOptions,
    key: Annotated[str, typer.Argument(metavar="KEY", help="An asset, or one of its columns: marts.daily.delay.")],
    depth: Depth = None,
) -> int:
    """What breaks if an asset is deleted, or what a change of a column reaches, and whom to ask."""
    workspace = options.load()
    graph = workspace.graph
    asked, column = asset_or_column(graph, key)
    if column is not None:
        reached = column_impact(graph, workspace.columns, find_column(workspace.columns, asked, column), depth=depth)
        if options.json:
            print_json(column_impact_json(graph, reached))
            return 0
        make_console().print(column_impact_report(reached))
    else:
        found = impact(graph, asked, depth=depth)
        if options.json:
            print_json(impact_json(graph, found))
            return 0
        make_console().print(impact_report(graph, found))
    print_findings(workspace)
    return 0


def impact_report(graph: AssetGraph, found: Impact) -> RenderableType:
    """The sentence first, then assets by distance, consumers, and owners with what they lose."""
    if not found.total:
        return Text(f"Nothing here needs {found.key}: nothing breaks if it is deleted.")
    parts: list[RenderableType] = [_sentence(graph, found)]
    if found.assets:
        parts += [Text("\nAssets", style="title"), _assets(graph, found)]
    if found.consumers:
        parts += [Text("\nWho looks at it", style="title"), _consumers(found)]
    if found.owners:
        parts += [Text("\nAsk", style="title"), _owners(found)]
    return Group(*parts)


def _sentence(graph: AssetGraph, found: Impact) -> Text:
    actions = sum(graph[item.key].kind == "action" for item in found.assets)
    kinds = [
        (len(found.assets) - actions, "asset"),
        (actions, "action"),
        (len(found.consumers), "consumer"),
        (len(found.checks), "check"),
    ]
    listed = ", ".join(count(amount, noun) for amount, noun in kinds if amount)
    text = Text().append(
        f"{count(found.total, 'thing')} ", style="bad" if found.assets or found.consumers else "attention"
    )
    text.append(f"break{'s' if found.total == 1 else ''} if {found.key} is deleted", style="title")
    return text.append(f"\n{listed}", style="quiet")


def _assets(graph: AssetGraph, found: Impact) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, justify="right", style="quiet")
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, style="quiet")
    grid.add_column()
    for item in found.assets:
        steps = "reads it" if item.distance == 1 else f"{item.distance} steps"
        asset = graph[item.key]
        grid.add_row(f"  {steps}", str(item.key), kind_of(asset), one_line(", ".join(asset.owners)))
    return grid


def _consumers(found: Impact) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        grid.add_column(no_wrap=True, overflow="ellipsis")
    for consumer in found.consumers:
        grid.add_row(
            f"  {consumer.name}", Text(consumer.kind, style="quiet"), Text(", ".join(consumer.owners), style="quiet")
        )
    return grid


def _owners(found: Impact) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(style="quiet")
    for owner, things in found.owners.items():
        shown = ", ".join(things[:THINGS_SHOWN])
        rest = f" and {len(things) - THINGS_SHOWN} more" if len(things) > THINGS_SHOWN else ""
        grid.add_row(f"  {owner}", f"loses {shown}{rest}")
    return grid
