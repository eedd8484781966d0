# ruff: noqa: TID252 - absolute imports would load the package twice: as `app` from the checkout and as `orchestrator_app`
"""Run: what is offered, and the dialog that shows what would run before it does."""

from __future__ import annotations

import streamlit as st

from orchestrator.definitions.events import step_id, step_titles
from orchestrator.errors import OrchestratorError
from orchestrator.graph.model import Asset
from orchestrator.plan.run_plan import RunPlan
from orchestrator.service.requests import RunRequest, plan_request

from ..actions import amend, ask, asked, forget_asked, launch, why_not
from ..site import Site, escape, show_error
from ..words import counted, first_line

_CHOICES = {
    "only": "This asset",
    "downstream": "It and everything downstream",
    "stale": "Only what is stale, from here downstream",
}
_SKIPPED_SHOWN = 8


def run_menu(site: Site, asset: Asset, *, width: str = "content") -> None:
    """The button of one asset. Where nothing can run it is disabled, and the reason stands below it."""
    reason = why_not(site.reads)
    choices = [name for name in _CHOICES if name != "only" or not asset.external]
    chosen = st.menu_button(
        "Run",
        choices,
        format_func=lambda name: _CHOICES[name],
        icon=":material/play_arrow:",
        type="primary",
        disabled=reason is not None,
        key=f"run_{asset.key}",
        width="stretch" if width == "stretch" else "content",
    )
    if reason:
        st.caption(reason)
    if chosen:
        select = str(asset.key) if chosen == "only" else f"{asset.key}+"
        ask(RunRequest(environment=site.reads.environment, select=(select,), stale=chosen == "stale"))


def run_stale_button(site: Site) -> None:
    """Everything that is out of date. Disabled where nothing can run, or where nothing needs to."""
    states = site.reads.states().values()
    idle = all(state.state in ("fresh", "adopted", "external") for state in states)
    reason = why_not(site.reads) or ("Everything is up to date." if idle else None)
    if st.button(
        "Run what is stale", icon=":material/play_arrow:", type="primary", disabled=reason is not None, help=reason
    ):
        ask(RunRequest(environment=site.reads.environment, stale=True))


def show_dialog(site: Site) -> None:
    """The dialog of the request that was made, if there is one. To be called at the end of every rerun."""
    if asked() is not None:
        _dialog(site)


@st.dialog("Run this?", width="medium", on_dismiss=forget_asked)
def _dialog(site: Site) -> None:
    request = asked()
    if request is None:
        return
    try:
        plan = plan_request(site.reads.workspace, request)
        if _has_incremental(site, plan):
            full = st.toggle("Full refresh", help="Rebuild incremental models from scratch", key="run_full_refresh")
            request = amend(full_refresh=full) or request
        _show_plan(site, plan, full_refresh=request.full_refresh)
        st.code(request.command, language="bash")
        _buttons(site, plan, request)
    except OrchestratorError as error:
        show_error(error)


def _show_plan(site: Site, plan: RunPlan, *, full_refresh: bool) -> None:
    """What `orchestrator plan` would print."""
    steps = counted(len(plan.to_build), "step")
    if plan.is_empty:
        st.markdown(f"Nothing would run in **{escape(plan.environment)}**: everything selected is up to date.")
    else:
        checks = f" and **{counted(len(plan.checks), 'check')}**" if plan.checks else ""
        st.markdown(f"**{steps}**{checks} would run in **{escape(plan.environment)}**.")
    how = {writer.id: writer.strategy for asset in site.reads.graph.assets.values() for writer in asset.writers}
    titles = step_titles(plan.steps)
    rows = [
        {
            "Step": titles[step_id(step)],
            "How": how.get(step.writer, step.kind) + (" (full refresh)" if full_refresh else ""),
            "Why": first_line(step.reason),
        }
        for step in plan.to_build
    ]
    if rows:
        st.dataframe(rows, hide_index=True, height="content" if len(rows) <= 9 else 350)
    skipped = [step for step in plan.steps if step.action == "skip"]
    if skipped:
        names = ", ".join(f"`{step.key}`" for step in skipped[:_SKIPPED_SHOWN])
        more = f" and {len(skipped) - _SKIPPED_SHOWN:,} more" if len(skipped) > _SKIPPED_SHOWN else ""
        st.caption(f"Up to date and left out: {names}{more}")


def _buttons(site: Site, plan: RunPlan, request: RunRequest) -> None:
    with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        if st.button("Close" if plan.is_empty else "Cancel", key="run_dismiss"):
            forget_asked()
            st.rerun()
        if plan.is_empty:
            return
        label = f"Run {counted(len(plan.to_build), 'step')}" if plan.to_build else "Run the checks"
        if st.button(label, type="primary", icon=":material/play_arrow:", key="run_confirm"):
            launch(site.reads, request)
            forget_asked()
            st.rerun()


def _has_incremental(site: Site, plan: RunPlan) -> bool:
    building = {step.writer for step in plan.to_build}
    assets = site.reads.graph.assets.values()
    return any(writer.id in building and writer.strategy == "incremental" for one in assets for writer in one.writers)
