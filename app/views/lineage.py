# ruff: noqa: TID252 - absolute imports would load the package twice: as `app` from the checkout and as `orchestrator_app`
"""The lineage graph with states, and the asset that was clicked beside it."""

from __future__ import annotations

from collections import Counter

import streamlit as st

from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import SelectionError
from orchestrator.graph.model import AssetGraph
from orchestrator.graph.selection import select

from ..components.lineage import show_lineage
from ..site import Site, page_title
from ..words import STATES, look_of
from .panel import show_consumer, show_panel

_GRAPH = "lineage_graph"
_HOPS = {"Whole graph": None, "1 step": 1, "2 steps": 2, "3 steps": 3}


def show(site: Site) -> None:
    """The page. `?select=` narrows it, `?key=` names the asset whose panel is open."""
    reads = site.reads
    if not len(reads.graph):
        page_title(site, "Lineage")
        st.info("This workspace has no assets yet. Add a dbt project or a Python asset.", icon=":material/inbox:")
        return
    states = reads.states()
    page_title(site, "Lineage", beside=_legend(Counter(state.state for state in states.values())))
    opened = st.query_params.get("key")
    focus = _asset(reads.graph, opened)
    keys, hops = _controls(site, has_focus=focus is not None)
    data, note = reads.picture(keys=keys, focus=focus if hops is not None else None, hops=hops)
    with st.container(horizontal=True, gap="small"):
        with st.container(width="stretch", key="lineage_canvas"):
            show_lineage(data, key=_GRAPH, selected=opened, note=note, on_click=_clicked)
        if focus is not None:
            with st.container(width=360, key="lineage_panel"):
                show_panel(site, reads.graph[focus], states[focus], on_close=_close)
        elif consumer := next((one for one in reads.graph.consumers if f"consumer:{one.id}" == opened), None):
            with st.container(width=360, key="lineage_panel"):
                show_consumer(site, consumer, states, on_close=_close)


def _controls(site: Site, *, has_focus: bool) -> tuple[frozenset[AssetKey] | None, int | None]:
    """The selected assets (None for all) and how far around the clicked one to look."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        text = st.text_input(
            "Selection",
            key="select",
            bind="query-params",
            placeholder="Selection, as on the command line: +marts.daily_delays, tag:hourly, state:stale, owner:…",
            label_visibility="collapsed",
            icon=":material/filter_alt:",
            width="stretch",
        )
        around = st.segmented_control(
            "Around the clicked asset",
            list(_HOPS),
            key="around",
            default="Whole graph",
            required=True,
            disabled=not has_focus,
            label_visibility="collapsed",
            help="How much to show around the asset that was clicked",
        )
    hops = _HOPS[around or "Whole graph"] if has_focus else None
    if not text:
        return None, hops
    words = {key: state.state for key, state in site.reads.states().items()}
    try:
        return select(site.reads.graph, text, states=words), hops
    except SelectionError as error:
        st.warning(f"{error.what}" + (f"  \n{error.fix}" if error.fix else ""), icon=":material/filter_alt_off:")
        return None, hops


def _legend(counts: Counter[str]) -> str:
    return " ".join(look_of(state).counted(counts[state]) for state in STATES if counts[state])


def _clicked(card: str) -> None:
    """A card of a layer opens that layer, any other one its panel."""
    if card.startswith("layer:"):
        st.session_state["select"] = f"{card.removeprefix('layer:')}.*"
    else:
        st.query_params["key"] = card


def _close() -> None:
    st.query_params.pop("key", None)


def _asset(graph: AssetGraph, text: str | None) -> AssetKey | None:
    found = graph.names.get((text or "").lower(), ())
    return found[0] if len(found) == 1 else None
