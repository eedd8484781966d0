# ruff: noqa: TID252 - absolute imports would load the package twice: as `app` from the checkout and as `orchestrator_app`
"""What was recorded beside an asset, over time: numbers as charts, pictures, texts, tables."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from orchestrator.graph.model import Asset
from orchestrator.records import MaterializationRecord

from ..reads import value_of
from ..site import Site, escape
from ..words import ago, duration

CHARTS_A_ROW = 3
EARLIER_PICTURES = 4
_ACCENT = "#5b69e6"  # readable on the light and the dark background


def show_metadata(site: Site, asset: Asset, history: Sequence[MaterializationRecord]) -> None:
    """Everything; a friendly line where nothing was recorded yet."""
    series = site.reads.series(asset.key)
    latest = site.reads.latest(asset.key)
    others = {name: entry for name, entry in (latest.metadata if latest else {}).items() if entry["kind"] != "number"}
    if not series and not others:
        st.markdown(":gray[Nothing was recorded yet. Numbers, tables and pictures appear with the first build.]")
        return
    _charts(series)
    for name, entry in others.items():
        _other(site, name, entry, history)


def _charts(series: Mapping[str, Sequence[tuple[Any, float]]]) -> None:
    names = list(series)
    for start in range(0, len(names), CHARTS_A_ROW):
        for column, name in zip(st.columns(CHARTS_A_ROW), names[start : start + CHARTS_A_ROW], strict=False):
            with column.container(border=True, gap="xsmall", height="stretch"):
                _chart(name, series[name])


def _chart(name: str, points: Sequence[tuple[Any, float]]) -> None:
    """The newest value in figures, and all of them as a line once there are two."""
    title = "duration" if name == "duration_s" else name.replace("_", " ")
    value = points[-1][1]
    st.markdown(f":gray[{escape(title)}]  \n**{_figure(name, value)}**")
    if len(points) < 2:
        st.caption("A chart appears with the second build.")
        return
    rows = [{"at": at, "value": number, "shown": _figure(name, number)} for at, number in points]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("at:T", title=None, axis=alt.Axis(grid=False, tickCount=3, labelOverlap=True)),
        y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False, nice=True), axis=_axis(points)),
        tooltip=[alt.Tooltip("at:T", title="at", format="%Y-%m-%d %H:%M:%S"), alt.Tooltip("shown:N", title=title)],
    )
    line = base.mark_line(color=_ACCENT, strokeWidth=2, interpolate="monotone")
    dots = base.mark_circle(color=_ACCENT, size=46, opacity=1)
    st.altair_chart((line + dots).properties(height=96), height=124)


def _axis(points: Sequence[tuple[Any, float]]) -> alt.Axis | None:
    """Thousands as k, small numbers in full; none for a number that never moved."""
    values = [value for _, value in points]
    if min(values) == max(values):
        return None
    return alt.Axis(tickCount=3, format="~s" if max(map(abs, values)) >= 10_000 else ",.4~r")


def _figure(name: str, value: float) -> str:
    if name == "duration_s":
        return duration(value)
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.1f}"


def _other(site: Site, name: str, entry: Mapping[str, Any], history: Sequence[MaterializationRecord]) -> None:
    value = value_of(site.reads, entry)
    if value is None:
        return
    with st.container(border=True, gap="small"):
        st.markdown(f":gray[{escape(name.replace('_', ' '))}]")
        match entry["kind"]:
            case "image":
                _pictures(site, name, history)
            case "markdown":
                st.markdown(str(value))
            case "table":
                rows = [dict(zip(value["columns"], row, strict=False)) for row in value["rows"]]
                st.dataframe(rows, hide_index=True, height="content" if len(rows) <= 12 else 440)
            case "url":
                st.link_button(str(value), str(value), icon=":material/open_in_new:")
            case "json":
                st.json(value, expanded=1) if isinstance(value, dict | list) else st.code(str(value), language=None)
            case _:
                st.text(str(value))


def _pictures(site: Site, name: str, history: Sequence[MaterializationRecord]) -> None:
    """The newest picture, earlier ones small below it: how it changed."""
    found = [(record, record.metadata[name]) for record in history if name in record.metadata and record.version]
    for at, (record, entry) in enumerate(found[:1]):
        _picture(site, entry, caption=ago(record.at, now=site.now), width=620 if at == 0 else 220)
    earlier = found[1 : 1 + EARLIER_PICTURES]
    if earlier:
        with st.expander("Earlier"), st.container(horizontal=True):
            for record, entry in earlier:
                _picture(site, entry, caption=ago(record.at, now=site.now), width=280)


def _picture(site: Site, entry: Mapping[str, Any], *, caption: str, width: int) -> None:
    value = value_of(site.reads, entry)
    if isinstance(value, Mapping) and "base64" in value:
        st.image(base64.b64decode(value["base64"]), caption=caption, width=width)
