# ruff: noqa: TID252 - absolute imports would load the package twice: as `app` from the checkout and as `orchestrator_app`
"""The runs that are under way, above every page: how far they are, a link, and how to stop them."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from orchestrator.errors import OrchestratorError
from orchestrator.records import RunSummary
from orchestrator.service.prefect_api import FlowRunView

from ..actions import cancel, launched, look, put_away
from ..site import Site, escape
from ..words import counted, duration, first_line, look_of

LOOK_EVERY_S = 2
_ACTIVE = ("running", "queued")
_OPEN = ("waiting", "running", "queued")


def show_progress(site: Site) -> None:
    """A line a run. Looked at every two seconds while anything is under way, then no more."""
    runs = {run.run_id: run for run in site.reads.runs()}
    views = _views(site, runs)
    shown = _shown(runs)
    if not shown:
        return
    if any(_is_active(runs.get(one), views.get(one)) for one in shown):
        st.fragment(_lines, run_every=LOOK_EVERY_S)(site)
    else:
        _draw(site, shown, runs, views)


def _lines(site: Site) -> None:
    """The body of the live part; the whole page is drawn again at the end."""
    runs = {run.run_id: run for run in site.reads.now().runs()}
    views = _views(site, runs)
    shown = _shown(runs)
    _draw(site, shown, runs, views)
    if not any(_is_active(runs.get(one), views.get(one)) for one in shown):
        st.rerun(scope="app")


def _shown(runs: Mapping[str, RunSummary]) -> list[str]:
    """What this visitor has started, then what else is under way."""
    return [*launched(), *(one for one, run in runs.items() if run.status in _ACTIVE and one not in launched())]


def _views(site: Site, runs: Mapping[str, RunSummary]) -> dict[str, FlowRunView]:
    """What Prefect knows of the runs whose end is not recorded yet."""
    wanted = [one for one in _shown(runs) if one not in runs or runs[one].status in _ACTIVE]
    try:
        return look(site.reads, wanted)
    except OrchestratorError:
        return {}


def _is_active(run: RunSummary | None, view: FlowRunView | None) -> bool:
    if run is not None:
        return run.status in _ACTIVE
    return view is not None and not view.is_over


def _draw(site: Site, shown: list[str], runs: Mapping[str, RunSummary], views: Mapping[str, FlowRunView]) -> None:
    with st.container(gap="xsmall", key="runs_under_way"):
        for run_id in shown:
            _line(site, run_id, runs.get(run_id), views.get(run_id))


def _line(site: Site, run_id: str, run: RunSummary | None, view: FlowRunView | None) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(look_of(_status(run, view)).badge, width=100)
        request = launched().get(run_id)
        title = run.selection if run is not None else request.selection if request else ""
        st.markdown(f"**{escape(title or 'everything')}**", width="content")
        if run is not None and run.status in _ACTIVE:
            _bar(run)
        else:
            st.markdown(f":gray[{escape(_words(run, view))}]", width="stretch")
        if run is not None:
            site.run_link(run_id, label="Open the run")
        _button(site, run_id, run, view)


def _status(run: RunSummary | None, view: FlowRunView | None) -> str:
    if run is not None:
        return run.status
    if view is None:
        return "unknown"
    return {"SCHEDULED": "queued", "CANCELLED": "cancelled"}.get(view.state, "failed" if view.is_over else "starting")


def _bar(run: RunSummary) -> None:
    total = sum(run.counts.values())
    done = total - sum(run.counts.get(status, 0) for status in _OPEN)
    checks = sum(run.check_counts.values())
    text = f"{done} of {counted(total, 'step')}" + (f", {counted(checks, 'check')} done" if checks else "")
    st.progress(done / total if total else 0.0, text=text, width="stretch")


def _words(run: RunSummary | None, view: FlowRunView | None) -> str:
    """What there is to say where no bar can be drawn."""
    if run is not None:
        parts = [f"took {duration(run.duration_s)}" if run.duration_s is not None else "", first_line(run.reason)]
        if run.failed:
            parts.append(f"failed: {', '.join(run.failed)}")
        return " · ".join(part for part in parts if part)
    if view is None:
        return "Prefect does not know this run any more"
    if view.state == "SCHEDULED":
        return "waits for the worker, which does one run at a time"
    if view.is_over:
        return first_line(view.message, length=400) or "it never began"
    return "the definitions are being read"


def _button(site: Site, run_id: str, run: RunSummary | None, view: FlowRunView | None) -> None:
    """Cancel while it can be cancelled from here, else a way to put the line away."""
    if not _is_active(run, view):
        st.button("", icon=":material/close:", help="Put away", type="tertiary", key=f"away_{run_id}",
                  on_click=put_away, args=(run_id,))  # fmt: skip
        return
    if view is None or view.is_over:
        return  # a run of the command line: Ctrl-C there, or `orchestrator cancel`
    if view.state == "CANCELLING":
        st.markdown(":gray[cancelling …]", width="content")
    elif st.button("Cancel", icon=":material/stop:", key=f"cancel_{run_id}"):
        try:
            cancel(site.reads, run_id)
        except OrchestratorError as error:
            st.toast(error.what, icon=":material/error:")
