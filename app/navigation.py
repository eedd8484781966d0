"""The pages of the app and the frame around them."""

from __future__ import annotations

import streamlit as st

from orchestrator.errors import OrchestratorError

from .reads import open_reads
from .site import Site, show_error
from .views import asset, lineage, overview, runs
from .views.progress import show_progress
from .views.run_button import show_dialog
from .words import counted

_MARK = """<path fill="none" stroke="#6d7af0" stroke-width="2.2"
 d="M10 7.5C15 7.5 14 14 19 14M10 20.5C15 20.5 14 14 19 14"/>
<g fill="#6d7af0"><circle cx="6.5" cy="7.5" r="4"/><circle cx="6.5" cy="20.5" r="4"/>
<circle cx="22.5" cy="14" r="4.5"/>"""
_ICON = f"""<svg xmlns="http://www.w3.org/2000/svg" width="28" height="28" viewBox="0 0 28 28">{_MARK}</g></svg>"""
_LOGO = f"""<svg xmlns="http://www.w3.org/2000/svg" width="160" height="28" viewBox="0 0 160 28">
{_MARK}<text x="34" y="19.5" font-family="'Source Sans 3', system-ui, sans-serif" font-size="17" font-weight="600"
 textLength="104" lengthAdjust="spacingAndGlyphs">Orchestrator</text></g></svg>"""
_STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding: 4.6rem 1.75rem 3rem; max-width: 1760px; }
[data-testid="stMarkdownContainer"] h2 { padding: 0 0 1rem; font-size: 1.7rem; letter-spacing: -0.015em; }
[data-testid="stMarkdownContainer"] h4 { padding: 0.2rem 0 1rem; font-size: 1.15rem; letter-spacing: -0.01em; }
[data-testid="stHeaderActionElements"] { display: none; }
[data-testid="stPageLink"] a { padding-inline: 6px; background: none; }
[data-testid="stPageLink"] a:hover { background: color-mix(in srgb, currentColor 7%, transparent); }
[data-testid="stPageLink"] a * { font-weight: 500; }
@media (max-width: 1100px) {
  .st-key-lineage_canvas, .st-key-lineage_panel { flex: 1 1 100% !important; width: 100% !important; }
}
</style>"""


def run() -> None:
    """Show the page that the address asks for."""
    st.set_page_config(page_title="Orchestrator", page_icon=_ICON, layout="wide")
    st.html(_STYLE)
    st.logo(_LOGO, size="large")
    try:
        site = Site(open_reads())
    except OrchestratorError as error:
        _show_broken(error)
        return
    site.pages = {
        "overview": st.Page(lambda: overview.show(site), title="Overview", icon=":material/home:", default=True),
        "lineage": st.Page(
            lambda: lineage.show(site), title="Lineage", icon=":material/account_tree:", url_path="lineage"
        ),
        "runs": st.Page(lambda: runs.show_list(site), title="Runs", icon=":material/history:", url_path="runs"),
        "run": st.Page(lambda: runs.show_run(site), title="Run", url_path="run", visibility="hidden"),
        "asset": st.Page(lambda: asset.show(site), title="Asset", url_path="asset", visibility="hidden"),
    }
    page = st.navigation(list(site.pages.values()), position="top")
    show_progress(site)
    if site.reads.errors and page != site.pages["overview"]:
        _warn(site)
    page.run()
    show_dialog(site)
    _watch(site)


@st.fragment(run_every=3)
def _watch(site: Site) -> None:
    """Rerun the page once something was recorded or edited: a small query and a look at the files' times."""
    if site.reads.is_outdated():
        st.rerun(scope="app")


def _warn(site: Site) -> None:
    """Broken definitions are said on every page; the overview lists them."""
    count = counted(len(site.reads.errors), "definition error")
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f":red-badge[:material/error: {count}]", width="content")
        text = "The last good graph is shown." if site.reads.is_last_good else "What could be loaded is shown."
        st.markdown(f":gray[{text}]", width="stretch")
        st.page_link(site.pages["overview"], label="Show them", icon=":material/arrow_forward:")


def _show_broken(error: OrchestratorError) -> None:
    st.markdown("## This workspace cannot be loaded")
    show_error(error)
    if st.button("Try again", icon=":material/refresh:"):
        st.rerun()
