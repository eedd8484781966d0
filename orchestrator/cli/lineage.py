"""`orchestrator lineage KEY`: what an asset is made from, and what is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import typer
from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from orchestrator.cli.describe import Key
from orchestrator.cli.json_forms import UNRECORDED, States, lineage_json
from orchestrator.cli.ls import kind_of
from orchestrator.cli.options import WorkspaceOptions, workspace_command
from orchestrator.cli.output import STATES, make_console, print_json
from orchestrator.cli.workspaces import print_findings
from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.impact import lineage
from orchestrator.graph.model import AssetGraph
from orchestrator.graph.selection import find_asset

Depth = Annotated[int | None, typer.Option(min=1, help="At most so many steps away.")]
Up = Annotated[bool, typer.Option("--up", help="Only what it is made from.")]
Down = Annotated[bool, typer.Option("--down", help="Only what is made from it.")]


@workspace_command
def command(options: WorkspaceOptions, key: Key, depth: Depth = None, up: Up = False, down: Down = False) -> int:
    """What an asset is made from, and what is made from it."""
    workspace = options.load()
    graph, states = workspace.graph, workspace.states()
    asked = find_asset(graph, key)
    direction: Literal["up", "down", "both"] = "both" if up == down else "up" if up else "down"
    if options.json:
        print_json(lineage_json(graph, lineage(graph, asked, direction=direction, depth=depth), states=states))
        return 0
    make_console().print(lineage_trees(graph, asked, states=states, direction=direction, depth=depth))
    print_findings(workspace)
    return 0


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
    )
