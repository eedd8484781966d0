"""`orchestrator lineage KEY`: what an asset or column is made from, and what is made from it; and of SQL in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from orchestrator.cli.columns import (
    Direction,
    asset_or_column,
    column_lineage_json,
    column_trees,
    columns_json,
    columns_table,
    find_column,
)
from orchestrator.cli.json_forms import UNRECORDED, States, lineage_json
from orchestrator.cli.ls import kind_of
from orchestrator.cli.options import WorkspaceOptions, workspace_command
from orchestrator.cli.output import STATES, make_console, print_json
from orchestrator.cli.sql_lineage import lineage_of_file
from orchestrator.cli.workspaces import print_findings
from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import ConfigError
from orchestrator.graph.impact import lineage
from orchestrator.graph.model import AssetGraph

if TYPE_CHECKING:
    from orchestrator.workspace import Workspace

Depth = Annotated[int | None, typer.Option(min=1, help="At most so many steps away.")]
Up = Annotated[bool, typer.Option("--up", help="Only what it is made from.")]
Down = Annotated[bool, typer.Option("--down", help="Only what is made from it.")]


@workspace_command
def command(
    options: WorkspaceOptions,
    key: Annotated[
        str | None, typer.Argument(metavar="KEY", help="An asset, or one of its columns: marts.daily.delay.")
    ] = None,
    depth: Depth = None,
    up: Up = False,
    down: Down = False,
    columns: Annotated[bool, typer.Option("--columns", help="Each column with what it comes from.")] = False,
    file: Annotated[
        str | None,
        typer.Option("--file", metavar="FILE|-", help="Not an asset but SQL in a file."),
    ] = None,
    dialect: Annotated[
        str | None, typer.Option("--dialect", metavar="NAME", help="Of --file; default: the project's adapter.")
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option("--schema", metavar="FILE.json", help='Of --file: {"table": {"column": "type"}} that is known.'),
    ] = None,
) -> int:
    """What an asset or a column is made from, and what is made from it; or what some SQL reads and writes."""
    if file is not None:
        if key is not None:
            raise ConfigError("KEY and --file were both given", fix="give one of them")
        _refuse({"--columns": columns, "--up": up, "--down": down, "--depth": depth}, "with --file", "assets")
        return lineage_of_file(options, file, dialect=dialect, schema=schema)
    _refuse({"--dialect": dialect, "--schema": schema}, "without --file", "SQL in a file")
    if key is None:
        raise ConfigError("no asset was named", fix="`orchestrator lineage KEY`, or --file for SQL that is no asset")
    workspace = options.load()
    direction: Direction = "both" if up == down else "up" if up else "down"
    asked, column = asset_or_column(workspace.graph, key)
    if column is not None:
        _show_column(workspace, asked, column, options=options, direction=direction, depth=depth)
    elif columns:
        entry = workspace.columns[asked]
        print_json(columns_json(entry)) if options.json else make_console().print(columns_table(entry))
    else:
        _show_asset(workspace, asked, options=options, direction=direction, depth=depth)
    if not options.json:
        print_findings(workspace)
    return 0


def _refuse(given: Mapping[str, object], how: str, about: str) -> None:
    """Raises ConfigError at the first option that was given and says nothing here."""
    for name, value in given.items():
        if value:
            raise ConfigError(f"{name} was given {how}", fix=f"leave it out: it is about {about}")


def _show_asset(
    workspace: Workspace, asked: AssetKey, *, options: WorkspaceOptions, direction: Direction, depth: int | None
) -> None:
    graph, states = workspace.graph, workspace.states()
    if options.json:
        print_json(lineage_json(graph, lineage(graph, asked, direction=direction, depth=depth), states=states))
    else:
        make_console().print(lineage_trees(graph, asked, states=states, direction=direction, depth=depth))


def _show_column(
    workspace: Workspace,
    asked: AssetKey,
    name: str,
    *,
    options: WorkspaceOptions,
    direction: Direction,
    depth: int | None,
) -> None:
    column = find_column(workspace.columns, asked, name)
    if options.json:
        print_json(column_lineage_json(workspace.columns, column, direction=direction, depth=depth))
    else:
        make_console().print(column_trees(workspace.columns, column, direction=direction, depth=depth))


def lineage_trees(
    graph: AssetGraph,
    key: AssetKey,
    *,
    states: States,
    direction: Literal["up", "down", "both"] = "both",
    depth: int | None = None,
) -> RenderableType:
    """A tree for each direction; an asset met again is named, not unfolded again."""
    parts: list[RenderableType] = []
    if direction in ("up", "both"):
        parts.append(_tree(graph, key, graph.upstream, "is made from", states, depth))
    if direction in ("down", "both"):
        parts.append(_tree(graph, key, graph.downstream, "feeds", states, depth, consumers=True))
    return Group(*_spaced(parts))


def _spaced(parts: list[RenderableType]) -> list[RenderableType]:
    spaced: list[RenderableType] = []
    for part in parts:
        spaced += [Text(), part] if spaced else [part]
    return spaced


def _tree(
    graph: AssetGraph,
    key: AssetKey,
    edges: Mapping[AssetKey, frozenset[AssetKey]],
    verb: str,
    states: States,
    depth: int | None,
    *,
    consumers: bool = False,
) -> Tree:
    root = Tree(Text(str(key), style="title").append(f" {verb}", style="quiet not bold"), guide_style="quiet")
    seen: set[AssetKey] = {key}
    _grow(root, graph, key, edges, states, depth, seen, consumers)
    if not root.children:
        root.add(Text("nothing known here", style="quiet"))
    return root


def _grow(
    node: Tree,
    graph: AssetGraph,
    key: AssetKey,
    edges: Mapping[AssetKey, frozenset[AssetKey]],
    states: States,
    depth: int | None,
    seen: set[AssetKey],
    consumers: bool,
) -> None:
    if depth == 0:
        return
    for following in sorted(edges[key]):
        again = following in seen and bool(edges[following])
        child = node.add(asset_line(graph, following, states).append(" (see above)" if again else "", style="quiet"))
        if following not in seen:
            seen.add(following)
            _grow(child, graph, following, edges, states, None if depth is None else depth - 1, seen, consumers)
    if consumers:
        for consumer in graph.consumers:
            if key in consumer.reads:
                owners = f", {', '.join(consumer.owners)}" if consumer.owners else ""
                node.add(Text(f"→ {consumer.name}").append(f"  {consumer.kind}{owners}", style="quiet"))


def asset_line(graph: AssetGraph, key: AssetKey, states: States) -> Text:
    """An asset in a tree: state, key, kind."""
    glyph, style = STATES[states.get(key, UNRECORDED).state]
    return (
        Text(f"{glyph} ", style=style)
        .append(str(key), style="not dim default")
        .append(f"  {kind_of(graph[key])}", style="quiet")
        .append(f" in {graph[key].home}" if graph[key].home else "", style="quiet")
    )
