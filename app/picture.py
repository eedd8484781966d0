"""Which part of the graph is shown, and how each asset looks on its card.

Comes in: the graph with states, what was selected, where the focus is. Goes out: cards and lines for the widget, and
how many of how many they are. Pure: no Streamlit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.model import Asset, AssetGraph, Consumer
from orchestrator.plan.states import AssetState

from .card import Card
from .words import STATES, counted, look_of

READABLE = 150
"""More boxes than this cannot be read (FIELD_NOTES §6): layers are shown instead."""
_KIND_WORDS = ("python", "seed", "snapshot", "incremental", "view", "table")
_UNKNOWN = AssetState("unknown", "nothing is known about it")

States = Mapping[AssetKey, AssetState]
Scope = Literal["whole", "near", "layers"]


@dataclass(frozen=True, slots=True)
class Picture:
    """Cards and lines. `shown` of `total` assets are in it; in a picture of layers each card stands for many."""

    cards: tuple[Card, ...]
    edges: tuple[tuple[str, str], ...]
    shown: int
    total: int
    by_layer: bool = False

    @property
    def note(self) -> str:
        """What the picture leaves out, in a few words."""
        if self.by_layer:
            return f"{counted(self.total, 'asset')} in {counted(len(self.cards), 'layer')}: click one to open it"
        return f"{self.shown:,} of {self.total:,} assets" if self.shown < self.total else counted(self.total, "asset")


def draw_picture(
    graph: AssetGraph,
    states: States,
    *,
    selected: frozenset[AssetKey] | None = None,
    focus: AssetKey | None = None,
    hops: int | None = None,
) -> Picture:
    """The selected assets (all when None), cut down to `hops` steps around `focus` where both are given.

    More than `READABLE` assets become one card a layer.
    """
    keys = frozenset(graph.assets) if selected is None else selected
    if focus is not None and hops is not None and focus in graph:
        near = graph.ancestors([focus], depth=hops) | graph.descendants([focus], depth=hops) | {focus}
        keys = (keys & near) | {focus}
    if len(keys) > READABLE and len({key.layer for key in keys}) > 1:
        return _layers(graph, states, keys)
    return _assets(graph, states, keys, focus)


def _assets(graph: AssetGraph, states: States, keys: Collection[AssetKey], focus: AssetKey | None) -> Picture:
    shown = [key for key in graph.assets if key in keys]
    cards = [asset_card(graph[key], states.get(key, _UNKNOWN), focus=key == focus) for key in shown]
    edges = [(str(parent), str(key)) for key in shown for parent in graph.upstream[key] if parent in keys]
    for consumer in graph.consumers:
        read = sorted(str(key) for key in consumer.reads if key in keys)
        if read:
            cards.append(_consumer_card(consumer))
            edges += [(key, cards[-1].id) for key in read]
    return Picture(tuple(cards), tuple(sorted(edges)), len(shown), len(graph))


def _layers(graph: AssetGraph, states: States, keys: Collection[AssetKey]) -> Picture:
    members: dict[str, list[AssetKey]] = {}
    for key in graph.assets:
        if key in keys:
            members.setdefault(key.layer, []).append(key)
    cards = tuple(_layer_card(layer, found, states) for layer, found in members.items())
    edges = {
        (f"layer:{parent.layer}", f"layer:{key.layer}")
        for key in keys
        for parent in graph.upstream[key]
        if parent in keys and parent.layer != key.layer
    }
    return Picture(cards, tuple(sorted(edges)), len(keys), len(graph), by_layer=True)


def asset_card(asset: Asset, state: AssetState, *, focus: bool = False) -> Card:
    """The card of an asset or action."""
    look = look_of(state.state)
    kind = kind_of(asset)
    place = f"{asset.key.layer} in {asset.home}" if asset.home else asset.key.layer
    hint = f"{asset.key}: {look.word}" + (f", {state.reason}" if state.reason else "")
    return Card(
        id=str(asset.key),
        title=asset.key.name,
        subtitle=place if kind == asset.key.layer else f"{place} · {kind}",
        icon=kind,
        word=look.word,
        tone=look.tone,
        glyph=look.glyph,
        hint=hint,
        focus=focus,
        outside=asset.external,
    )


def kind_of(asset: Asset) -> str:
    """One word for what an asset is: action, source, python, or dbt's own word for its strategy."""
    if asset.kind == "action":
        return "action"
    if asset.external:
        return "source"
    known = {writer.strategy for writer in asset.writers} | {writer.engine for writer in asset.writers}
    return next((kind for kind in _KIND_WORDS if kind in known), "table")


def _consumer_card(consumer: Consumer) -> Card:
    kind = consumer.kind.replace("_", " ")
    hint = f"{consumer.name}: {kind}" + (f" of {', '.join(consumer.owners)}" if consumer.owners else "")
    return Card(
        id=f"consumer:{consumer.id}", title=consumer.name, subtitle=kind, icon="consumer",
        word="reads", tone="gray", glyph="bar", hint=hint, outside=True,
    )  # fmt: skip


def _layer_card(layer: str, members: list[AssetKey], states: States) -> Card:
    counts: Counter[str] = Counter(states.get(key, _UNKNOWN).state for key in members)
    worst = next((state for state in STATES if counts[state]), "unknown")
    look = look_of(worst)
    listed = ", ".join(f"{counts[state]:,} {state}" for state in STATES if counts[state])
    return Card(
        id=f"layer:{layer}", title=layer, subtitle=counted(len(members), "asset"), icon="group",
        word=f"{counts[worst]:,} {look.word}", tone=look.tone, glyph=look.glyph, hint=f"layer {layer}: {listed}",
    )  # fmt: skip
