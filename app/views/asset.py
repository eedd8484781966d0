# ruff: noqa: TID252 - absolute imports would load the package twice: as `app` from the checkout and as `orchestrator_app`
"""One asset in full: what it is, how it is, how its numbers moved, what is in it, what made it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import did_you_mean
from orchestrator.graph.model import Asset, Check
from orchestrator.plan.reported import reported_checks
from orchestrator.records import CheckRecord, MaterializationRecord

from ..picture import kind_of
from ..sentence import status_sentence
from ..site import Site, escape, page_title, section
from ..words import ago, counted, duration, first_line, look_of, moment, short
from .columns import show_columns
from .metadata import show_metadata
from .panel import facts_of
from .run_button import run_menu


def show(site: Site) -> None:
    """The page of `?key=raw.flights`; any spelling that means one asset will do."""
    graph = site.reads.graph
    text = st.query_params.get("key", "")
    found = graph.names.get(text.lower(), ())
    if len(found) != 1:
        _not_found(site, text, found)
        return
    asset = graph[found[0]]
    state = site.reads.states()[asset.key]
    history = site.reads.history(asset.key)
    badges = f"{look_of(state.state).badge} :gray-badge[{kind_of(asset)}]"
    if asset.home:
        badges += f" :blue-badge[:material/folder_open: {escape(asset.home)}]"
    page_title(site, escape(str(asset.key)), beside=badges)
    main, side = st.columns([3, 1], gap="large")
    with main:
        st.markdown(escape(status_sentence(state, history, now=site.now)))
        if history and history[0].status == "failed":
            _failure(site, asset, history[0])
        _tabs(site, asset, history)
    with side:
        run_menu(site, asset, width="stretch")
        _aside(site, asset)


def _not_found(site: Site, text: str, found: Sequence[AssetKey]) -> None:
    page_title(site, "Asset")
    if found:
        st.info(f"Several assets are called '{text}':", icon=":material/help:")
        for key in found:
            site.asset_link(key)
        return
    hint = did_you_mean(text, map(str, site.reads.graph.assets)) if text else None
    what = f"No asset has the key '{text}'" if text else "No asset was asked for"
    st.info(f"{what}{f', {hint}' if hint else '.'}", icon=":material/search_off:")
    site.lineage_link(label="Find it in the graph")


def _failure(site: Site, asset: Asset, record: MaterializationRecord) -> None:
    """dbt's or Python's own words."""
    run = site.reads.run(record.run_id)
    steps = run.steps if run else ()
    failure = next((step.failure for step in steps if step.key == str(asset.key) and step.failure), None)
    if failure is None:
        return
    with st.container(border=True, gap="small"):
        st.markdown(":red-badge[:material/error: last attempt failed]")
        st.code(failure.message, language=None, wrap_lines=True)
        if failure.traceback:
            with st.expander("Traceback"):
                st.code(failure.traceback, language="python", wrap_lines=True)
        if failure.compiled_path:
            st.caption(f"Compiled SQL: `{failure.compiled_path}`")
        site.run_link(record.run_id, label=f"Run {record.run_id}")


def _aside(site: Site, asset: Asset) -> None:
    """Description, owner, place, and the neighbours as links."""
    graph, states = site.reads.graph, site.reads.states()
    if asset.description:
        st.markdown(asset.description)
    st.markdown(facts_of(asset))
    for title, keys in (("Reads from", graph.upstream[asset.key]), ("Read by", graph.downstream[asset.key])):
        if keys:
            with section(title), st.container(gap=None):
                for key in sorted(keys):
                    site.asset_link(key, state=states[key].state)
    consumers = [consumer for consumer in graph.consumers if asset.key in consumer.reads]
    if consumers:
        with section("Used in"):
            for consumer in consumers:
                st.markdown(f":material/bar_chart: {escape(consumer.name)} :gray[{escape(consumer.kind)}]")
    site.lineage_link(label="Show in the graph", key=asset.key)


def _tabs(site: Site, asset: Asset, history: Sequence[MaterializationRecord]) -> None:
    checks = (*site.reads.graph.checks_of.get(asset.key, ()), *reported_checks(asset, site.reads.facts()))
    titles = ["Over time", "Columns", "Sample", f"Checks ({len(checks)})", "Code", "History"]
    over_time, columns, sample, checked, code, past = st.tabs(titles)
    with over_time:
        show_metadata(site, asset, history)
    with columns:
        show_columns(site, asset)
    with sample:
        _sample(site, asset)
    with checked:
        _checks(site, checks)
    with code:
        _code(site, asset)
    with past:
        _history(site, history)


def _sample(site: Site, asset: Asset) -> None:
    sample = site.reads.sample(asset.key)
    if not sample or not sample["columns"]:
        _empty("No rows are kept. Samples are recorded when it is built, for a local DuckDB by default.")
        return
    table = [dict(zip(sample["columns"], row, strict=False)) for row in sample["rows"]]
    st.dataframe(table, hide_index=True, height="content" if len(table) <= 12 else 440)
    st.caption(f"The first {counted(len(table), 'row')} as of the last build.")


def _checks(site: Site, checks: Sequence[Check]) -> None:
    if not checks:
        _empty("No checks. Add a data test in dbt, or a function with @check.")
        return
    known = site.reads.facts().checks
    urgency = {"failed": 0, "warned": 1, "blocked": 2, "succeeded": 4}
    for check in sorted(checks, key=lambda one: urgency.get(known[one.id].status if one.id in known else "", 3)):
        _check(site, check)


def _check(site: Site, check: Check) -> None:
    results = site.reads.check_history(check.id)
    with st.container(border=True, gap="xsmall"):
        badge = (
            look_of(results[0].status).badge if results else ":gray-badge[:material/radio_button_unchecked: not run]"
        )
        column = f" on `{check.column}`" if check.column else ""
        st.markdown(f"{badge} **{escape(check.name)}**{column}")
        lines = [f"severity {check.severity}", "blocks what follows" if check.blocking else "", f"`{check.location}`"]
        if results:
            lines.insert(0, f"{ago(results[0].at, now=site.now)}")
        st.caption(" · ".join(line for line in lines if line))
        if check.description:
            st.markdown(check.description)
        if results and results[0].status not in ("succeeded",):
            detail = results[0].failure.message if results[0].failure else results[0].reason
            count = results[0].failures
            text = f"{counted(count, 'failing row')}. {detail}" if count else detail
            if text:
                st.code(text, language=None, wrap_lines=True)
        if len(results) > 1:
            with st.expander(f"Last {len(results)} results"):
                st.dataframe([_result_row(result) for result in results], hide_index=True, height="content")


def _result_row(result: CheckRecord) -> dict[str, Any]:
    return {
        "At": result.at,
        "Status": look_of(result.status).word,
        "Failures": result.failures,
        "Duration": duration(result.duration_s),
        "Run": result.run_id,
    }


def _code(site: Site, asset: Asset) -> None:
    compiled = site.reads.compiled_code(asset.key)
    shown = False
    for writer in asset.writers:
        if writer.raw_code:
            shown = True
            st.caption(f"{writer.name} · `{writer.location}`")
            st.code(writer.raw_code, language="sql" if writer.engine == "dbt" else "python", line_numbers=True)
    if compiled:
        shown = True
        with st.expander("Compiled, as it last ran", expanded=False):
            st.code(compiled, language="sql", line_numbers=True)
    if not shown:
        _empty("There is no code here: nothing in this workspace writes it, or its text was not kept.")


def _history(site: Site, history: Sequence[MaterializationRecord]) -> None:
    if not history:
        _empty("It has not been built in this environment yet.")
        return
    rows = [
        {
            "At": record.at,
            "Status": look_of(record.status).word,
            "Rows": record.rows,
            "Duration": duration(record.duration_s),
            "By": record.by,
            "Run": record.run_id,
            "Code": short(record.code_version or ""),
            "Reason": first_line(record.reason),
        }
        for record in history
    ]
    config = {
        "At": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm:ss"),
        "Rows": st.column_config.NumberColumn(format="localized"),
    }
    st.dataframe(rows, hide_index=True, column_config=config, height="content")
    st.caption(f"Times are UTC. Newest: {moment(history[0].at)}.")


def _empty(text: str) -> None:
    st.markdown(f":gray[{text}]")
