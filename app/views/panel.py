# ruff: noqa: TID252 - absolute imports would load the package twice: as `app` from the checkout and as `orchestrator_app`
"""What is known about one asset in a few lines: beside the graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import streamlit as st

from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.model import Asset, Consumer, UsedResource
from orchestrator.plan.reported import reported_checks
from orchestrator.plan.states import AssetState

from ..kinds import shown_kinds
from ..picture import kind_of
from ..sentence import status_sentence
from ..site import Site, escape
from ..words import counted, duration, look_of
from .run_button import run_menu

PLACES_SHOWN = 3


def show_panel(site: Site, asset: Asset, state: AssetState, *, on_close: Callable[[], None]) -> None:
    """Status, last run, rows, owners, checks, and the way to the full page."""
    history = site.reads.history(asset.key)
    with st.container(border=True, gap="small"):
        _head(asset.key.name, f"{asset.key.layer} · {kind_of(asset)}", look_of(state.state).badge, on_close)
        st.markdown(escape(status_sentence(state, history, now=site.now)))
        run_menu(site, asset, width="stretch")
        _numbers(site, asset)
        if asset.description:
            st.markdown(asset.description)
        st.markdown(facts_of(asset))
        _checks(site, asset)
        if st.button("Open full page", icon=":material/open_in_full:", width="stretch", key="panel_open"):
            st.switch_page(site.pages["asset"], query_params={"key": str(asset.key)})


def show_consumer(
    site: Site, consumer: Consumer, states: Mapping[AssetKey, AssetState], *, on_close: Callable[[], None]
) -> None:
    """What reads at the end of lineage: an exposure, a metric."""
    with st.container(border=True, gap="small"):
        _head(consumer.name, consumer.kind.replace("_", " "), "", on_close)
        if consumer.description:
            st.markdown(consumer.description)
        if consumer.owners:
            st.markdown(f"**Owner** {escape(', '.join(consumer.owners))}")
        if consumer.url and consumer.url.startswith(("https://", "http://")):
            st.link_button("Open", consumer.url, icon=":material/open_in_new:")
        st.markdown("**Reads**")
        with st.container(gap=None):
            for key in sorted(consumer.reads):
                site.asset_link(key, state=states[key].state)


def _numbers(site: Site, asset: Asset) -> None:
    """Rows and duration of the last success with how they moved."""
    successes = [record for record in site.reads.history(asset.key) if record.version is not None]
    if not successes:
        return
    newest, before = successes[0], (successes[1] if len(successes) > 1 else None)
    with st.container(horizontal=True, gap="large"):
        if newest.rows is not None:
            moved = newest.rows - before.rows if before is not None and before.rows is not None else None
            st.metric("Rows", f"{newest.rows:,}", f"{moved:+,}" if moved else None, delta_color="off", width="content")
        if newest.duration_s is not None:
            st.metric("Duration", duration(newest.duration_s), width="content")


def facts_of(asset: Asset) -> str:
    """Kinds, owner, group, tags, table, file, resources: one line each, as Markdown."""
    lines = [
        ("Made with", escape(shown_kinds(asset.kinds))),
        ("Owner", escape(", ".join(asset.owners))),
        ("Group", escape(asset.group or "")),
        ("Tags", " ".join(f"`{tag}`" for tag in asset.tags)),
        ("Table", f"`{asset.relation}`" if asset.relation else ""),
        ("Code", f"`{asset.location}`"),
        *(("Uses", f"`{item.name}` at {_places(item)}") for item in asset.resources),
    ]
    return "  \n".join(f":gray[{name}]&ensp;{value}" for name, value in lines if value)


def _places(resource: UsedResource) -> str:
    shown = ", ".join(f"`{place}`" for place in resource.used_at[:PLACES_SHOWN])
    more = len(resource.used_at) - PLACES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _head(title: str, subtitle: str, badge: str, on_close: Callable[[], None]) -> None:
    with st.container(horizontal=True, vertical_alignment="top", gap="small", wrap=False):
        with st.container(width="stretch", gap=None):
            st.markdown(f"#### {escape(title)}", width="stretch")
            st.markdown(f":gray[{escape(subtitle)}]&ensp;{badge}")
        st.button("", icon=":material/close:", help="Close", type="tertiary", on_click=on_close, key="panel_close")


def _checks(site: Site, asset: Asset) -> None:
    facts = site.reads.facts()
    checks = (*site.reads.graph.checks_of.get(asset.key, ()), *reported_checks(asset, facts))
    if not checks:
        return
    known = facts.checks
    counts = Counter(known[check.id].status if check.id in known else "missing" for check in checks)
    badges = " ".join(look_of(status).counted(count) for status, count in sorted(counts.items()))
    st.markdown(f":gray[{counted(len(checks), 'check')}]&ensp;{badges.replace(' missing', ' not run')}")
