# ruff: noqa: TID252 - absolute imports would load the package twice: as `app` from the checkout and as `orchestrator_app`
"""What ran: the list, and one run with its steps, checks and log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from orchestrator.definitions.events import step_id, step_titles
from orchestrator.definitions.keys import AssetKey
from orchestrator.records import LogRecord, RunDetail, RunSummary, StepRecord

from ..site import Site, command_path, escape, page_title, section
from ..words import ago, counted, duration, first_line, look_of, moment

_ORDER = ("failed", "unknown", "blocked", "cancelled", "running", "warned", "succeeded", "waiting", "up_to_date")
_LOG_SHOWN = 500
_WARNINGS_SHOWN = 10


def show_list(site: Site) -> None:
    """The newest runs."""
    page_title(site, "Runs")
    run_table(site, site.reads.runs())


def run_table(site: Site, runs: Sequence[RunSummary], *, compact: bool = False) -> None:
    """Runs as lines with a link each; a hint what to type where there is none."""
    if not runs:
        st.info("Nothing has run yet in this environment. Run this:", icon=":material/play_circle:")
        st.code(f"{command_path()} run", language="bash")
        return
    with st.container(gap="xsmall"):
        for run in runs:
            _run_line(site, run, compact=compact)


def _run_line(site: Site, run: RunSummary, *, compact: bool) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(look_of(run.status).badge, width=96)
        site.run_link(run.run_id)
        took = duration(run.duration_s)
        if compact:
            st.markdown(f":gray[{ago(run.started_at, now=site.now)}]", width="stretch")
            st.markdown(f":gray[{took}]", width="content")
            return
        st.markdown(f":gray[{ago(run.started_at, now=site.now)}]", width=120)
        st.markdown(f":gray[{took}]", width=90)
        st.markdown(f"`{run.command}`", width="stretch")
        st.markdown(_counts(run.counts), width="content")
        st.markdown(f":gray[{escape(run.by)}]", width="content")


def _counts(counts: Mapping[str, int]) -> str:
    listed = [status for status in _ORDER if counts.get(status)]
    return " ".join(look_of(status).counted(counts[status]) for status in listed)


def show_run(site: Site) -> None:
    """The run of `?run=` (the first characters of its id will do)."""
    wanted = st.query_params.get("run", "")
    run = site.reads.run(wanted) if wanted else None
    if run is None:
        page_title(site, "Run")
        st.info(f"No run '{wanted}' is recorded." if wanted else "No run was asked for.", icon=":material/search_off:")
        st.page_link(site.pages["runs"], label="All runs")
        return
    page_title(site, f"Run {run.run_id}", beside=look_of(run.status).badge)
    st.markdown(escape(_sentence(site, run)))
    st.code(run.command, language="bash")
    st.markdown(_counts(run.counts))
    _failures(site, run)
    _warnings(site, run.log)
    titles = [f"Steps ({len(run.steps)})", f"Checks ({len(run.checks)})", f"Log ({len(run.log)})"]
    steps, checks, log = st.tabs(titles)
    with steps:
        _steps(run)
    with checks:
        _checks(run)
    with log:
        _log(run.log)


def _sentence(site: Site, run: RunDetail) -> str:
    took = f" and took {duration(run.duration_s)}" if run.duration_s is not None else ""
    what = f" Selection: {run.selection}." if run.selection else ""
    why = f" {first_line(run.reason).rstrip('.')}." if run.reason else ""
    began = f"Started {ago(run.started_at, now=site.now)} ({moment(run.started_at)}) by {run.by}"
    return f"{began}{took}, in {run.environment} with the {run.engine} engine.{what}{why}"


def _failures(site: Site, run: RunDetail) -> None:
    """The texts of what failed, before everything else."""
    failed = [step for step in run.steps if step.status in ("failed", "unknown")]
    checks = [check for check in run.checks if check.status == "failed"]
    if not failed and not checks:
        return
    with section("What failed"):
        for step in failed:
            with st.container(border=True, gap="small"):
                _failed_step(site, step)
        for check in checks:
            with st.container(border=True, gap="small"):
                with st.container(horizontal=True, vertical_alignment="center"):
                    st.markdown(f"{look_of(check.status).badge} check **{escape(check.name)}**", width="content")
                    _link(site, check.key)
                text = check.failure.message if check.failure else check.reason
                st.code(text or f"{counted(check.failures or 0, 'failing row')}", language=None, wrap_lines=True)


def _warnings(site: Site, lines: Sequence[LogRecord]) -> None:
    """What steps did that their code had not shown, and whatever else was warned of."""
    warned = list(dict.fromkeys((line.key, line.message) for line in lines if line.level == "warning"))
    if not warned:
        return
    with section(f"Warnings ({len(warned)})"):
        for key, message in warned[:_WARNINGS_SHOWN]:
            with st.container(border=True, gap="small"):
                if key:
                    _link(site, key)
                st.code(message, language=None, wrap_lines=True)
        if len(warned) > _WARNINGS_SHOWN:
            st.caption(f"… and {len(warned) - _WARNINGS_SHOWN} more in the log")


def _failed_step(site: Site, step: StepRecord) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(look_of(step.status).badge, width="content")
        _link(site, step.key)
    st.code(
        (step.failure.message if step.failure else "") or step.reason or "no message", language=None, wrap_lines=True
    )
    if step.failure and step.failure.traceback:
        with st.expander("Traceback"):
            st.code(step.failure.traceback, language="python", wrap_lines=True)
    if step.failure and step.failure.compiled_path:
        st.caption(f"Compiled SQL: `{step.failure.compiled_path}`")


def _link(site: Site, key: str) -> None:
    found = site.reads.graph.names.get(key.lower(), ())
    if len(found) == 1:
        site.asset_link(AssetKey.parse(str(found[0])))
    else:
        st.markdown(f"**{escape(key)}**", width="content")


def _steps(run: RunDetail) -> None:
    titles = step_titles(run.steps)
    rows: list[dict[str, Any]] = [
        {
            "Status": look_of(step.status).word,
            "Step": titles[step_id(step)],
            "Rows": step.rows,
            "Duration": duration(step.duration_s),
            "Attempts": step.attempt or None,
            "Reason": first_line(step.reason or step.plan_reason),
        }
        for step in run.steps
    ]
    config = {
        "Rows": st.column_config.NumberColumn(format="localized"),
        "Reason": st.column_config.Column(width="large"),
    }
    st.dataframe(rows, hide_index=True, column_config=config, height="content" if len(rows) <= 40 else 900)


def _checks(run: RunDetail) -> None:
    if not run.checks:
        st.markdown(":gray[No checks ran.]")
        return
    order = {status: at for at, status in enumerate(("failed", "warned", "blocked", "cancelled", "succeeded"))}
    rows = [
        {
            "Status": look_of(check.status).word,
            "Check": check.name,
            "Asset": check.key,
            "Failures": check.failures,
            "Severity": check.severity,
            "Duration": duration(check.duration_s),
            "Reason": first_line(check.reason),
        }
        for check in sorted(run.checks, key=lambda one: order[one.status])
    ]
    config = {"Check": st.column_config.Column(width="large")}
    st.dataframe(rows, hide_index=True, column_config=config, height="content" if len(rows) <= 40 else 900)


def _log(lines: Sequence[LogRecord]) -> None:
    if not lines:
        st.markdown(":gray[Nothing was logged.]")
        return
    shown = lines[-_LOG_SHOWN:]
    if len(shown) < len(lines):
        st.caption(f"The last {len(shown):,} of {len(lines):,} lines.")
    text = "\n".join(
        f"{line.at:%H:%M:%S} {line.level:<7} {f'[{line.key}] ' if line.key else ''}{line.message}" for line in shown
    )
    st.code(text, language=None, height="content" if len(shown) <= 40 else 620)
