"""`orchestrator partitions ASSET`: its partitions by state, and each of those that are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.options import WorkspaceOptions, workspace_command
from orchestrator.cli.output import (
    SCHEMA_VERSION,
    ago,
    make_console,
    number,
    one_line,
    print_json,
    state_text,
    utc_now,
)
from orchestrator.cli.plan import Partitions
from orchestrator.cli.workspaces import print_findings
from orchestrator.definitions.facts import Facts, WriterFact
from orchestrator.definitions.partitions import PartitionSet
from orchestrator.errors import PlanError
from orchestrator.graph.model import Asset, AssetGraph
from orchestrator.graph.selection import find_asset
from orchestrator.plan.partition_states import PartitionStates
from orchestrator.plan.states import AssetState
from orchestrator.plan.windows import project

RANGES_SHOWN, REASONS_SHOWN = 4, 2
Key = Annotated[str, typer.Argument(metavar="ASSET", help="A partitioned asset: its key, its dbt name or an alias.")]


@workspace_command
def command(options: WorkspaceOptions, key: Key, partitions: Partitions = None) -> int:
    """The partitions of an asset by state; with --partitions each of them. Only windows that have ended are there."""
    workspace = options.load()
    graph, facts = workspace.graph, workspace.facts()
    asset = graph[find_asset(graph, key)]
    if asset.partitions is None:
        raise PlanError(f"{asset.key} is not partitioned", at=str(asset.location), fix="docs/reference/partitions.md")
    state = workspace.states_of(facts).get(asset.key)
    shown = project(graph, [asset.key], partitions, as_of=workspace.as_of())[asset.key] if partitions else None
    if options.json:
        print_json(partitions_json(graph, asset, state, facts, shown))
        return 0
    console = make_console()
    console.print(page(graph, asset, state, facts, shown, now=utc_now()))
    print_findings(workspace)
    return 0


def page(
    graph: AssetGraph,
    asset: Asset,
    state: AssetState | None,
    facts: Facts,
    shown: PartitionSet | None,
    *,
    now: datetime,
) -> RenderableType:
    """What it is divided by, how many partitions are in which state, what they read; then `shown`, one a line."""
    assert asset.partitions is not None
    parts: list[RenderableType] = [
        Text(str(asset.key), style="title").append(f"  {asset.partitions.about()}", style="quiet")
    ]
    states = state.partitions if state else None
    if states is not None:
        parts.append(_summary(states))
    if reads := list(_reads(graph, asset)):
        grid = Table.grid(padding=(0, 2, 0, 0))
        for read, how in reads:
            grid.add_row(f"  reads {read}", Text(how, style="quiet"))
        parts += [Text(), grid]
    if shown is not None and states is not None:
        parts += [Text(), _cells(asset, states, facts, shown, now)]
    return Group(*parts)


def _summary(states: PartitionStates) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column()
    for word, found in states.by_state.items():
        reasons = dict.fromkeys(states.reasons[key] for key in found if key in states.reasons)
        said = "; ".join(list(reasons)[:REASONS_SHOWN]) if word not in ("fresh", "adopted") else ""
        grid.add_row(
            Text("  ").append_text(state_text(word)),
            number(len(found)),
            found.text(at_most=RANGES_SHOWN),
            one_line(said),
        )
    if not states.by_state:
        grid.add_row("  no partition is due yet", "", "", "")
    return grid


def _reads(graph: AssetGraph, asset: Asset) -> Iterator[tuple[str, str]]:
    """(upstream, which partitions of it), where that says something."""
    for writer in asset.writers:
        for read in sorted(writer.reads):
            upstream = graph[read].partitions
            if upstream is not None:
                yield str(read), f"{graph.edge(writer.id, read).mapping.about()} ({upstream.about()})"


def _cells(asset: Asset, states: PartitionStates, facts: Facts, shown: PartitionSet, now: datetime) -> RenderableType:
    if not shown:
        return Text("  no partition is due yet", style="quiet")
    grid = Table.grid(padding=(0, 2, 0, 0))
    for justify in ("left", "left", "right", "left"):
        grid.add_column(no_wrap=True, justify=justify)
    grid.add_column()
    word_of = {key: word for word, found in states.by_state.items() for key in found & shown}
    for key in shown:
        newest = _newest(asset, facts, key)
        grid.add_row(
            f"  {key}",
            state_text(word_of.get(key, "missing")),
            f"{number(newest.rows)} rows" if newest and newest.rows is not None else "",
            ago(newest.at, now=now) if newest else "",
            one_line(states.reason(key)),
        )
    return grid


def _newest(asset: Asset, facts: Facts, key: str) -> WriterFact | None:
    found = [fact for writer in asset.writers if (fact := facts.writers.get((str(asset.key), writer.id, key)))]
    return max(found, key=lambda fact: fact.at, default=None)


def partitions_json(
    graph: AssetGraph, asset: Asset, state: AssetState | None, facts: Facts, shown: PartitionSet | None
) -> dict[str, Any]:
    """`partitions ASSET --json`. `cells` are those of --partitions, without it all that are there."""
    assert asset.partitions is not None
    states = state.partitions if state else None
    cells = []
    for key in (shown if shown is not None else states.all) if states is not None else ():
        newest = _newest(asset, facts, key)
        word = next((word for word, found in states.by_state.items() if key in found), "missing") if states else None
        cells.append(
            {
                "partition": key,
                "state": word,
                "reason": states.reason(key) if states else "",
                "rows": newest.rows if newest else None,
                "at": newest.at.isoformat() if newest else None,
                "run_id": newest.run_id if newest else None,
            }
        )
    return {
        "schema_version": SCHEMA_VERSION,
        "key": str(asset.key),
        "partitions": asset.partitions.to_json(),
        "states": {
            word: {"count": len(found), "partitions": list(found.words())}
            for word, found in (states.by_state if states else {}).items()
        },
        "reads": [{"key": read, "mapping": how} for read, how in _reads(graph, asset)],
        "cells": cells,
    }
