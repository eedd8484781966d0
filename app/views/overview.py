# ruff: noqa: TID252 - absolute imports would load the package twice: as `app` from the checkout and as `orchestrator_app`
"""What is wrong first, then how everything is, then what ran last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from orchestrator.definitions.facts import CheckFact, Facts
from orchestrator.definitions.keys import AssetKey
from orchestrator.plan.states import AssetState

from ..site import Site, escape, page_title, section, show_error
from ..words import STATES, ago, counted, first_line, look_of
from .run_button import run_stale_button
from .runs import run_table

_WRONG = ("failed", "unknown", "stale")
_SHOWN_AT_ONCE = 12
_RUNS_SHOWN = 8


def show(site: Site) -> None:
    """The page."""
    reads = site.reads
    states = reads.states()
    counts: Counter[str] = Counter(state.state for state in states.values())
    page_title(site, "Overview", action=(lambda: run_stale_button(site)) if states else None)
    _definition_errors(site)
    if not states:
        st.info("This workspace has no assets yet. Add a dbt project or a Python asset.", icon=":material/inbox:")
        return
    _tiles(site, counts)
    main, side = st.columns([3, 2], gap="large")
    with main, section("Needs attention", gap="xsmall"):
        _attention(site, states, reads.facts())
    with side, section("Last runs", gap="xsmall"):
        run_table(site, reads.runs()[:_RUNS_SHOWN], compact=True)


def _definition_errors(site: Site) -> None:
    errors = site.reads.errors
    if not errors:
        return
    if site.reads.is_last_good:
        st.markdown(
            ":gray[The definitions on the disk are broken. Until they are corrected, the last good graph is shown.]"
        )
    with st.expander(f"{counted(len(errors), 'definition error')}", icon=":material/error:", expanded=True):
        for error in errors:
            show_error(error)
        st.caption("They are read again as soon as a file changes.")


def _tiles(site: Site, counts: Counter[str]) -> None:
    """How many assets are in each state; states that nothing is in are left out."""
    with st.container(horizontal=True, gap="small"):
        for state in STATES:
            if counts[state]:
                with st.container(border=True, width=148, gap=None):
                    st.markdown(f"{look_of(state).badge}  \n## {counts[state]:,}")


def _attention(site: Site, states: dict[AssetKey, AssetState], facts: Facts) -> None:
    wrong = [(key, state) for wanted in _WRONG for key, state in states.items() if state.state == wanted]
    warned = [fact for fact in facts.checks.values() if fact.status == "warned"]
    if not wrong and not warned:
        missing = sum(state.state == "missing" for state in states.values())
        if missing:
            text = f"Nothing is wrong; {counted(missing, 'asset')} {'was' if missing == 1 else 'were'} never built."
            st.info(text, icon=":material/info:")
        else:
            st.success("Everything is fresh and every check passes.", icon=":material/check_circle:")
        return
    if not wrong:
        st.markdown(":gray[No asset is failed, unknown or stale. Some checks warn:]")
    for key, state in wrong[:_SHOWN_AT_ONCE]:
        _line(site, key, state.state, escape(first_line(state.reason)))
    if len(wrong) > _SHOWN_AT_ONCE:
        with st.expander(f"{len(wrong) - _SHOWN_AT_ONCE:,} more"):
            for key, state in wrong[_SHOWN_AT_ONCE : _SHOWN_AT_ONCE + 100]:
                _line(site, key, state.state, escape(first_line(state.reason)))
            if len(wrong) > _SHOWN_AT_ONCE + 100:
                site.lineage_link(label="All of them, in the graph", select=" ".join(f"state:{one}" for one in _WRONG))
    _warnings(site, warned)


def _line(site: Site, key: AssetKey, status: str, text: str) -> None:
    """A badge, a link to the asset, and what is the matter with it (Markdown)."""
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(look_of(status).badge, width=84)
        site.asset_link(key, width=230)
        st.markdown(f":gray[{text}]", width="stretch")


def _warnings(site: Site, warned: Sequence[CheckFact]) -> None:
    for fact in warned[:_SHOWN_AT_ONCE]:
        count = f"&ensp;{counted(fact.failures, 'row')}," if fact.failures else "&ensp;"
        when = f"{count} {ago(fact.at, now=site.now)}"
        _line(site, AssetKey.parse(fact.key), "warned", f"{escape(fact.name)}{when}")
    if len(warned) > _SHOWN_AT_ONCE:
        st.caption(f"… and {len(warned) - _SHOWN_AT_ONCE:,} more checks with a warning.")
