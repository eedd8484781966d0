"""What every page is given: the reads of this rerun and the other pages to link to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import streamlit as st

from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import DefinitionErrors, OrchestratorError

from .reads import Reads
from .words import look_of

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage


@dataclass(slots=True)
class Site:
    """Made once a rerun. `pages` by the names overview, lineage, runs, run, asset."""

    reads: Reads
    now: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    pages: dict[str, StreamlitPage] = field(default_factory=dict)

    def asset_link(
        self, key: AssetKey, *, state: str | None = None, width: int | Literal["content"] = "content"
    ) -> None:
        """A link to the asset's own page, with the sign of its state where given."""
        icon = f":material/{look_of(state).icon}:" if state else None
        st.page_link(self.pages["asset"], label=str(key), icon=icon, query_params={"key": str(key)}, width=width)

    def run_link(self, run_id: str, *, label: str | None = None) -> None:
        """A link to one run."""
        st.page_link(self.pages["run"], label=label or run_id, query_params={"run": run_id})

    def lineage_link(self, *, label: str, key: AssetKey | None = None, select: str | None = None) -> None:
        """A link to the graph, at an asset or with a selection."""
        query = {name: str(value) for name, value in (("key", key), ("select", select)) if value is not None}
        st.page_link(self.pages["lineage"], label=label, icon=":material/account_tree:", query_params=query)


def page_title(site: Site, title: str, *, beside: str = "", action: Callable[[], None] | None = None) -> None:
    """The heading of a page; `beside` is markdown (badges) after it; at the right the environment and an action."""
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    left.markdown(f"## {title}{'&ensp;' + beside if beside else ''}")
    with right.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="xsmall"):
        where = f"{site.reads.workspace.name} · {site.reads.environment}"
        st.markdown(f":gray-badge[:material/database: {where}]", width="content")
        if action is not None:
            action()


@contextmanager
def section(title: str, *, gap: Literal["xsmall", "small"] = "small") -> Iterator[None]:
    """A part of a page under a small heading."""
    with st.container(gap=gap):
        st.markdown(f"#### {title}")
        yield


def show_error(error: OrchestratorError) -> None:
    """An error with its place and its fix, as the command line says it."""
    for one in error.errors if isinstance(error, DefinitionErrors) else (error,):
        with st.container(border=True, gap="xsmall"):
            st.markdown(f":red-badge[:material/error: {one.kind}]")
            st.code(one.what, language=None, wrap_lines=True)
            if one.at:
                st.markdown(f"**at** `{one.at}`")
            if one.fix:
                st.markdown(f"**fix** {escape(one.fix)}")


def command_path() -> str:
    """How `orchestrator` is called from here: with its full path, as it may not be on the search path."""
    beside = Path(sys.executable).with_name("orchestrator")
    return str(beside) if beside.exists() else "orchestrator"


def escape(text: str) -> str:
    """Text that Markdown shows as it is."""
    for sign in "\\`*_{}[]()#+-.!|<>$:~":
        text = text.replace(sign, "\\" + sign)
    return text
