# ruff: noqa: TID252 - absolute imports would load the package twice: as `app` from the checkout and as `orchestrator_app`
"""The columns of an asset: types, descriptions, where each comes from, and the way of one in both directions."""

from __future__ import annotations

from typing import Any, Literal

import streamlit as st

from orchestrator.graph.columns import ALL, AssetColumns, ColumnEdge, ColumnGraph, ColumnKey
from orchestrator.graph.model import Asset

from ..site import Site, escape, section

SOURCES_SHOWN = 3
STEPS_SHOWN = 60
Way = Literal["up", "down"]


def show_columns(site: Site, asset: Asset) -> None:
    """All columns as a table, and a choice of one to follow."""
    columns = site.reads.columns()
    entry = columns[asset.key]
    rows = _rows(site, asset, entry)
    if not rows:
        st.markdown(":gray[No columns are declared, and none were seen yet: they are recorded when it is built.]")
        return
    widths = {"Column": st.column_config.Column(width="medium"), "Type": st.column_config.Column(width="small")}
    st.dataframe(rows, hide_index=True, column_config=widths, height="content" if len(rows) <= 20 else 740)
    for reason in entry.reasons:
        st.caption(f"Not exact: {escape(reason)}")
    _follow(site, asset, columns, entry)


def _rows(site: Site, asset: Asset, entry: AssetColumns) -> list[dict[str, Any]]:
    """In the order of the table; declared columns that nobody has seen come last."""
    seen = site.reads.seen_columns(asset.key)
    declared = {column.name.lower(): column for column in asset.columns}
    spelt = {name.lower(): name for name in (*(column.name for column in asset.columns), *entry.names, *seen)}
    order = dict.fromkeys([*(name.lower() for name in seen), *(name.lower() for name in entry.names), *declared])
    kinds = {name.lower(): kind for name, kind in {**entry.types, **seen}.items()}
    rows = []
    for name in order:
        column = declared.get(name)
        rows.append(
            {
                "Column": spelt[name],
                "Type": kinds.get(name) or (column.type if column else None),
                "Comes from": _origin(entry, entry.find(name) or name),
                "Description": column.description if column else "",
            }
        )
    return rows


def _origin(entry: AssetColumns, name: str) -> str:
    sources = entry.sources.get(name, ())
    shown = [f"{key}.{column}" for key, column, _ in sources[:SOURCES_SHOWN]]
    return ", ".join(shown) + (f" and {len(sources) - SOURCES_SHOWN} more" if len(sources) > SOURCES_SHOWN else "")


def _follow(site: Site, asset: Asset, columns: ColumnGraph, entry: AssetColumns) -> None:
    if not entry.names:
        return
    chosen = st.selectbox(
        "Follow a column",
        entry.names,
        index=None,
        placeholder="Follow a column …",
        label_visibility="collapsed",
        bind="query-params",
        key="column",
    )
    if chosen is None:
        return
    column = ColumnKey(asset.key, chosen)
    up, down = st.columns(2, gap="large")
    with up, section("Made from"):
        _tree(site, columns, column, "up")
        filters = [f"`{edge.source}`" for edge in columns.filters(asset.key)]
        if filters:
            st.caption(f"Which rows there are is decided by {', '.join(filters)}.")
    with down, section("Feeds"):
        _tree(site, columns, column, "down")


def _tree(site: Site, columns: ColumnGraph, column: ColumnKey, way: Way) -> None:
    lines: list[str] = []
    _grow(site, columns, column, way, 0, {column}, lines)
    if not lines:
        nothing = "No column: it is where it begins, a constant, or a count." if way == "up" else "No column reads it."
        st.markdown(f":gray[{nothing}]")
        return
    st.markdown("\n".join(lines[:STEPS_SHOWN]))
    if len(lines) > STEPS_SHOWN:
        st.caption(f"… and {len(lines) - STEPS_SHOWN} more. `orchestrator lineage {column}` shows all.")


def _grow(
    site: Site, columns: ColumnGraph, column: ColumnKey, way: Way, depth: int, seen: set[ColumnKey], lines: list[str]
) -> None:
    for edge in _edges(columns, column, way):
        following = edge.source if way == "up" else edge.target
        again = following in seen
        lines.append(f"{'    ' * depth}- {_link(site, following)} :gray[{edge.kind}{', see above' if again else ''}]")
        if not again:
            seen.add(following)
            _grow(site, columns, following, way, depth + 1, seen, lines)


def _edges(columns: ColumnGraph, column: ColumnKey, way: Way) -> list[ColumnEdge]:
    if way == "up":
        return sorted(columns.sources(column))
    return sorted(edge for edge in columns.readers(column) if edge.kind != "indirect")


def _link(site: Site, column: ColumnKey) -> str:
    """The column as a link to its asset's page, followed there."""
    if column.column == ALL:
        return f"[{escape(str(column.asset))}](?key={column.asset}) :gray[any column]"
    return f"[{escape(str(column))}](?key={column.asset}&column={column.column})"
