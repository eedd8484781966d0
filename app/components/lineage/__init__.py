# ruff: noqa: TID252 - absolute imports would load the package twice: as `app` from the checkout and as `orchestrator_app`
"""The lineage graph as a widget: cards and lines with pan, zoom, search, keyboard; a click comes back.

Positions are computed in `orchestrator_app.layout`; the browser only draws. The module is mounted with `show_lineage`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from importlib.resources import files
from typing import Any

import streamlit as st

from ...card import Card
from ...layout import CARD_HEIGHT, CARD_WIDTH, build_layout


def lineage_data(cards: Sequence[Card], edges: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """What the browser needs to draw the graph: JSON-ready, with `id` changing when anything in it does.

    Only the positions, not states, make up `shape`: the browser keeps pan and zoom as long as it is the same.
    """
    edges = sorted(set(edges))
    layout = build_layout([card.id for card in cards], edges)
    nodes = [{**asdict(card), "x": layout.positions[card.id][0], "y": layout.positions[card.id][1]} for card in cards]
    number = {card.id: at for at, card in enumerate(cards)}
    lines = [
        [number[a], number[b], [point for pair in layout.paths.get((a, b), ()) for point in pair]]
        for a, b in edges
        if a in number and b in number
    ]
    drawing = {"nodes": nodes, "edges": lines, "size": layout.size, "card": [CARD_WIDTH, CARD_HEIGHT]}
    shape = [[node["id"], node["x"], node["y"]] for node in nodes]
    return {**drawing, "id": _digest(drawing), "shape": _digest(shape)}


def show_lineage(
    data: Mapping[str, Any], *, key: str, on_click: Callable[[str], None], selected: str | None = None, note: str = ""
) -> None:
    """Draw the graph over the rest of the window's height. `on_click` gets a card's id before the next rerun.

    `data` is from `lineage_data`; `note` stands in the lower right corner.
    """

    def clicked() -> None:
        card = st.session_state[key].click
        if isinstance(card, str):
            on_click(card)

    _widget()(key=key, data={**data, "selected": selected, "note": note}, on_click_change=clicked)


@lru_cache(maxsize=1)
def _widget() -> Any:
    here = files(__package__)
    html, css, js = (here.joinpath(name).read_text("utf-8") for name in ("lineage.html", "lineage.css", "lineage.js"))
    return st.components.v2.component("orchestrator_lineage", html=html, css=css, js=js)


def _digest(value: object) -> str:
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=8).hexdigest()
