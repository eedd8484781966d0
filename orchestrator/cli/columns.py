"""Columns in commands: what `ASSET.COLUMN` means, and lineage and impact of columns as trees and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from orchestrator.cli.output import SCHEMA_VERSION, count
from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import SelectionError, did_you_mean
from orchestrator.graph.columns import ALL, AssetColumns, ColumnEdge, ColumnGraph, ColumnKey, ColumnStep
from orchestrator.graph.model import AssetGraph
from orchestrator.graph.selection import find_asset

if TYPE_CHECKING:
    from orchestrator.graph.column_impact import ColumnImpact

FILTERS_SHOWN = 12
Way = Literal["up", "down"]
Direction = Literal["up", "down", "both"]
Json = dict[str, Any]


def asset_or_column(graph: AssetGraph, name: str) -> tuple[AssetKey, str | None]:
    """What a name on the command line means: an asset, or `ASSET.COLUMN`. Raises SelectionError."""
    try:
        return find_asset(graph, name), None
    except SelectionError as error:
        asset, dot, column = name.rpartition(".")
        if not dot or not column:
            raise
        try:
            return find_asset(graph, asset), column
        except SelectionError:
            raise error from None


def find_column(columns: ColumnGraph, key: AssetKey, name: str) -> ColumnKey:
    """The column of that name, in any case. Raises SelectionError where all are known and none is called so."""
    entry = columns[key]
    found = entry.find(name)
    if found is not None:
        return ColumnKey(key, found)
    if entry.complete:
        raise SelectionError(
            f"{key} has no column '{name}'",
            fix=did_you_mean(name, entry.names) or f"`orchestrator lineage {key} --columns` lists its columns",
        )
    if not entry.names:
        raise SelectionError(
            f"the columns of {key} are not known: {'; '.join(entry.reasons) or 'nothing says what they are'}",
            fix="build it once, or let `dbt docs generate` write a catalog",
        )
    return ColumnKey(key, name)


# Lineage


def column_trees(columns: ColumnGraph, column: ColumnKey, *, direction: Direction, depth: int | None) -> RenderableType:
    """A tree for each direction, with how each column comes from the next; then what decides which rows there are."""
    parts: list[RenderableType] = []
    if direction in ("up", "both"):
        parts += [_tree(columns, column, "up", depth), *_filters(columns, column.asset)]
    if direction in ("down", "both"):
        parts += [Text()] if parts else []
        parts.append(_tree(columns, column, "down", depth))
    return Group(*parts, *_not_exact(columns, column, direction, depth))


def _tree(columns: ColumnGraph, column: ColumnKey, direction: Way, depth: int | None) -> RenderableType:
    verb = "is made from" if direction == "up" else "feeds"
    kind = columns[column.asset].types.get(column.column, "")
    heading = Text(str(column), style="title").append(f"  {kind}" if kind else "", style="quiet").append(f"  {verb}")
    tree = Tree(heading, guide_style="quiet")
    edges = _edges(columns, column, direction)
    if not edges:
        return Text.assemble((str(column), "title"), f"  {_without_edges(columns, column, direction)}")
    _grow(tree, columns, edges, direction, depth, {column})
    return tree


def _without_edges(columns: ColumnGraph, column: ColumnKey, direction: Way) -> str:
    if direction == "down":
        return "feeds nothing"
    entry = columns[column.asset]
    if column.column in entry.sources:
        return "is made from no column: it is a constant, or counts rows"
    return "is where it begins" if entry.exact else "is made from nothing that is known"


def _edges(columns: ColumnGraph, column: ColumnKey, direction: Way) -> Sequence[ColumnEdge]:
    if direction == "up":
        return sorted(columns.sources(column))
    return sorted(edge for edge in columns.readers(column) if edge.kind != "indirect")


def _grow(
    node: Tree,
    columns: ColumnGraph,
    edges: Sequence[ColumnEdge],
    direction: Way,
    depth: int | None,
    seen: set[ColumnKey],
) -> None:
    if depth == 0:
        return
    for edge in edges:
        following = edge.source if direction == "up" else edge.target
        more = _edges(columns, following, direction)
        again = following in seen and bool(more)
        shown = f"{following.asset}.*" if following.column == ALL else str(following)
        line = (
            Text(shown).append(f"  {edge.kind}", style="quiet").append("  (see above)" if again else "", style="quiet")
        )
        child = node.add(line)
        if not again:
            seen.add(following)
            _grow(child, columns, more, direction, None if depth is None else depth - 1, seen)


def _filters(columns: ColumnGraph, key: AssetKey) -> list[RenderableType]:
    found = [str(edge.source) for edge in columns.filters(key)]
    if not found:
        return []
    shown = ", ".join(found[:FILTERS_SHOWN])
    rest = f" and {len(found) - FILTERS_SHOWN} more" if len(found) > FILTERS_SHOWN else ""
    return [Text("\nWhich rows there are is decided by", style="title"), indented(f"{shown}{rest}")]


def _not_exact(
    columns: ColumnGraph, column: ColumnKey, direction: Direction, depth: int | None
) -> list[RenderableType]:
    """What on the way is not exact, and why."""
    ways: tuple[Way, ...] = ("up", "down") if direction == "both" else (direction,)
    keys: dict[AssetKey, None] = {}
    for way in ways:
        keys.update(dict.fromkeys(step.column.asset for step in columns.trace(column, direction=way, depth=depth)))
    lines = [f"{key}: {columns[key].reasons[0]}" for key in keys if columns[key].reasons]
    return [Text("\nNot exact", style="title"), *(indented(line, style="quiet") for line in lines)] if lines else []


def indented(text: str, *, style: str = "") -> RenderableType:
    """A paragraph with all its lines indented."""
    return Padding(Text(text, style=style), (0, 0, 0, 2), expand=False)


def columns_table(entry: AssetColumns) -> RenderableType:
    """All columns of an asset with what each comes from."""
    if not entry.names:
        return Text(f"The columns of {entry.key} are not known: {'; '.join(entry.reasons)}")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, style="quiet")
    grid.add_column(overflow="fold")
    for name in entry.names:
        sources = [f"{key}.{column} ({kind})" for key, column, kind in entry.sources.get(name, ())]
        grid.add_row(f"  {name}", entry.types.get(name, ""), ", ".join(sources))
    parts: list[RenderableType] = [Text(str(entry.key), style="title"), grid]
    if not entry.complete:
        parts.append(Text("  … and columns that are not known", style="quiet"))
    return Group(*parts, *(Text(f"  not exact: {reason}", style="quiet") for reason in entry.reasons))


def column_lineage_json(columns: ColumnGraph, column: ColumnKey, *, direction: Direction, depth: int | None) -> Any:
    """`lineage ASSET.COLUMN --json`."""
    up = columns.trace(column, direction="up", depth=depth) if direction in ("up", "both") else []
    down = columns.trace(column, direction="down", depth=depth) if direction in ("down", "both") else []
    reasons = {str(step.column.asset): list(columns[step.column.asset].reasons) for step in (*up, *down)}
    return {
        "schema_version": SCHEMA_VERSION,
        "asset": str(column.asset),
        "column": column.column,
        "type": columns[column.asset].types.get(column.column),
        "upstream": [_step(step) for step in up if step.distance],
        "downstream": [_step(step) for step in down if step.distance],
        "indirect": [_place(edge.source) for edge in columns.filters(column.asset)],
        "exact": not any(reasons.values()),
        "reasons": {key: why for key, why in reasons.items() if why},
    }


def _step(step: ColumnStep) -> dict[str, Any]:
    return {**_place(step.column), "distance": step.distance, "edges": [_edge(edge) for edge in step.edges]}


def _edge(edge: ColumnEdge) -> dict[str, Any]:
    return {"from": _place(edge.source), "to": _place(edge.target), "kind": edge.kind}


def _place(column: ColumnKey) -> dict[str, str]:
    return {"asset": str(column.asset), "column": column.column}


def columns_json(entry: AssetColumns) -> Mapping[str, Any]:
    """`lineage ASSET --columns --json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "asset": str(entry.key),
        "columns": [
            {
                "name": name,
                "type": entry.types.get(name),
                "sources": [
                    {"asset": str(key), "column": column, "kind": kind}
                    for key, column, kind in entry.sources.get(name, ())
                ],
            }
            for name in entry.names
        ],
        "indirect": [{"asset": str(key), "column": column} for key, column in entry.indirect],
        "complete": entry.complete,
        "exact": entry.exact,
        "reasons": list(entry.reasons),
    }


# Impact


def column_impact_report(found: ColumnImpact) -> RenderableType:
    """What a change of a column reaches: columns by distance, rows, checks, consumers, owners."""
    if not found.total:
        return Text(f"Nothing here reads {found.column}.")
    parts: list[RenderableType] = [_sentence(found)]
    if found.columns:
        parts += [Text("\nColumns", style="title"), _rows(_by_distance(found.columns))]
    if found.filtered:
        text = ((f"  {key}", "which rows it has is decided by it") for key in found.filtered)
        parts += [Text("\nRows", style="title"), _rows(text)]
    if found.checks:
        parts += [Text("\nChecks", style="title"), _rows((f"  {item.key}", item.name) for item in found.checks)]
    if found.consumers:
        parts += [Text("\nWho looks at it", style="title")]
        parts.append(_rows((f"  {item.name}", f"{item.kind}  {', '.join(item.owners)}") for item in found.consumers))
    if found.owners:
        parts += [Text("\nAsk", style="title")]
        parts.append(_rows((f"  {owner}", ", ".join(things)) for owner, things in found.owners.items()))
    if found.reasons:
        parts += [Text("\nNot exact", style="title"), _rows((f"  {key}", why) for key, why in found.reasons.items())]
    return Group(*parts)


def _sentence(found: ColumnImpact) -> Text:
    kinds = [
        (len(found.columns), "column"),
        (len(found.assets), "asset"),
        (len(found.checks), "check"),
        (len(found.consumers), "consumer"),
    ]
    text = Text(f"A change of {found.column} reaches ", style="title")
    return text.append(", ".join(count(amount, noun) for amount, noun in kinds if amount), style="bad")


def _by_distance(steps: Sequence[ColumnStep]) -> Iterable[tuple[str, str]]:
    for step in steps:
        kinds = ", ".join(dict.fromkeys(edge.kind for edge in step.edges))
        yield f"  {step.column}", f"{kinds}" + (f", {step.distance} steps away" if step.distance > 1 else "")


def _rows(rows: Iterable[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(style="quiet", overflow="fold")
    for left, right in rows:
        grid.add_row(left, right)
    return grid


def column_impact_json(graph: AssetGraph, found: ColumnImpact) -> list[dict[str, Any]]:
    """`impact ASSET.COLUMN --json`: columns nearest first, assets whose rows change, checks, consumers."""
    base = {"schema_version": SCHEMA_VERSION}
    columns: list[Json] = [
        {**base, "type": "column", **_place(step.column), "distance": step.distance}
        | {"kinds": sorted({edge.kind for edge in step.edges}), "owners": list(graph[step.column.asset].owners)}
        for step in found.columns
    ]
    rows: list[Json] = [
        {**base, "type": "asset", "asset": str(key), "column": ALL, "distance": None, "kinds": ["indirect"]}
        | {"owners": list(graph[key].owners)}
        for key in found.filtered
    ]
    checks: list[Json] = [
        {**base, "type": "check", "asset": str(item.key), "column": item.column, "distance": None, "kinds": []}
        | {"name": item.name, "owners": list(graph[item.key].owners)}
        for item in found.checks
    ]
    consumers: list[Json] = [
        {**base, "type": item.kind, "asset": None, "column": None, "distance": None, "kinds": []}
        | {"name": item.name, "owners": list(item.owners)}
        for item in found.consumers
    ]
    return [*columns, *rows, *checks, *consumers]
