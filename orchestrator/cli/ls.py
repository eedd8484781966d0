"""`orchestrator ls`: assets by layer, with their state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.cli.json_forms import UNRECORDED, States, asset_json, newest_successes
from orchestrator.cli.options import Exclude, Select, Selection, WorkspaceOptions, selection_words, workspace_command
from orchestrator.cli.output import STATES, ago, count, make_console, number, one_line, print_json, state_text, utc_now
from orchestrator.cli.workspaces import print_findings, selected_keys
from orchestrator.definitions.facts import Facts, WriterFact
from orchestrator.graph.model import Asset, AssetGraph

WIDE = 100
STATE_WIDTH = 12


@workspace_command
def command(
    options: WorkspaceOptions, selection: Selection = None, select: Select = None, exclude: Exclude = None
) -> int:
    """List assets with their state, grouped by layer."""
    workspace = options.load()
    facts = workspace.facts()
    states = workspace.states_of(facts)
    words = selection_words(selection, select)
    keys = selected_keys(workspace.graph, words, exclude=exclude or (), states=states, facts=facts, external=True)
    assets = [asset for key, asset in workspace.graph.assets.items() if key in keys]
    if options.json:
        successes = newest_successes(facts)
        print_json(
            [asset_json(workspace.graph, asset, states=states, facts=facts, successes=successes) for asset in assets]
        )
        return 0
    console = make_console()
    console.print(asset_list(workspace.graph, assets, states=states, facts=facts, now=utc_now(), width=console.width))
    print_findings(workspace)
    return 0


def asset_list(
    graph: AssetGraph, assets: Iterable[Asset], *, states: States, facts: Facts, now: datetime, width: int
) -> RenderableType:
    """One table a layer, layers in the order data flows, and a line of totals."""
    layers: dict[str, list[Asset]] = {}
    for asset in assets:
        layers.setdefault(asset.key.layer, []).append(asset)
    if not layers:
        return Text("no assets are selected", style="quiet")
    successes = newest_successes(facts)
    rows = {layer: [_cells(asset, states, successes, now) for asset in members] for layer, members in layers.items()}
    widths = [max(len(cells[i]) for members in rows.values() for cells in members) for i in range(4)]
    parts: list[RenderableType] = []
    for layer, members in rows.items():
        parts += [Text(layer, style="title"), *_layer_lines(members, widths, width), Text()]
    return Group(*parts, totals([states.get(asset.key, UNRECORDED).state for m in layers.values() for asset in m]))


def _cells(
    asset: Asset, states: States, successes: Mapping[str, WriterFact], now: datetime
) -> tuple[str, str, str, str, str, str]:
    """Name, kind, rows, last success, owners, state."""
    newest = successes.get(str(asset.key))
    return (
        asset.key.name,
        kind_of(asset),
        number(newest.rows) if newest else "",
        ago(newest.version_at or newest.at, now=now) if newest else "",
        ", ".join((*((f"project {asset.home}",) if asset.home else ()), *asset.owners)),
        states.get(asset.key, UNRECORDED).state,
    )


def _layer_lines(
    members: Iterable[tuple[str, str, str, str, str, str]], widths: list[int], width: int
) -> Iterator[Text]:
    """The same column widths in every layer, so that they line up.

    Lines of text instead of a rich table, which takes four times as long: half of a warm `ls` of 500 assets.
    """
    wide = width >= WIDE
    name_width, kind_width = min(widths[0], 44 if wide else 27), min(widths[1], 16 if wide else 11)
    for name, kind, rows, last, owners, state in members:
        line = Text("  ", no_wrap=True, overflow="ellipsis").append_text(state_text(state))
        line.append(" " * (STATE_WIDTH - line.cell_len))
        line.append(f"  {_fitted(name, name_width)}  ")
        line.append(_fitted(kind, kind_width), style="quiet")
        line.append(f"  {rows:>{widths[2]}}  {last:>{widths[3]}}")
        if owners:
            line.append("  ").append_text(one_line(owners))
        line.rstrip()
        yield line


def _fitted(text: str, width: int) -> str:
    """The text in exactly so many columns of a terminal."""
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…"
    return set_cell_size(text, width)


def kind_of(asset: Asset) -> str:
    """What it is in one word or two: what writes it and how, or what kind of source it is."""
    if asset.kind == "action":
        return "action"
    if asset.external:
        return "published" if asset.elsewhere else "source"
    strategies = dict.fromkeys(writer.strategy for writer in asset.writers)
    return " + ".join(strategies)


def totals(states: Iterable[str]) -> Text:
    """`25 assets: 20 fresh, 5 stale`."""
    found = list(states)
    counts: Mapping[str, int] = {state: found.count(state) for state in STATES if state in found}
    text = Text(count(len(found), "asset"))
    for position, (state, amount) in enumerate(counts.items()):
        text.append(": " if position == 0 else ", ")
        text.append(f"{amount} {state}", style=STATES[state][1])
    return text
