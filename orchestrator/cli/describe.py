"""`orchestrator describe KEY`: when was it last updated, by whom, with what, how did its numbers move."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orchestrator.cli.json_forms import UNRECORDED, States, columns_json, describe_json
from orchestrator.cli.ls import kind_of
from orchestrator.cli.options import WorkspaceOptions, workspace_command
from orchestrator.cli.output import (
    ago,
    count,
    duration,
    make_console,
    moment,
    number,
    one_line,
    print_json,
    state_text,
    status_text,
    utc_now,
)
from orchestrator.cli.workspaces import print_findings
from orchestrator.definitions.facts import Facts
from orchestrator.graph.model import Asset, AssetGraph
from orchestrator.graph.selection import find_asset
from orchestrator.plan.reported import reported_checks
from orchestrator.records.views import MaterializationRecord

SPARKS = "▁▂▃▄▅▆▇█"
HISTORY_ROWS = 8
COLUMNS_SHOWN = 40
VALUE_SHOWN = 100
Key = Annotated[str, typer.Argument(metavar="KEY", help="An asset: its key, its dbt name or an alias.")]


@workspace_command
def command(options: WorkspaceOptions, key: Key) -> int:
    """Everything about one asset: when it was last updated, by whom, with what, how its numbers moved."""
    workspace = options.load()
    graph, facts, states = workspace.graph, workspace.facts(), workspace.states()
    asset = graph[find_asset(graph, key)]
    history = workspace.history.history(workspace.environment, str(asset.key))
    if options.json:
        print_json(describe_json(graph, asset, states=states, facts=facts, history=history))
        return 0
    console = make_console()
    console.print(description(graph, asset, states=states, facts=facts, history=history, now=utc_now()))
    print_findings(workspace)
    return 0


def description(
    graph: AssetGraph,
    asset: Asset,
    *,
    states: States,
    facts: Facts,
    history: Sequence[MaterializationRecord],
    now: datetime,
) -> RenderableType:
    """The asset on one page: what it is, its newest success, its numbers, history, columns, checks."""
    latest = next((attempt for attempt in history if attempt.version), None)
    sections: list[tuple[str, RenderableType | None]] = [
        ("Writers", _writers(asset, states, history)),
        ("Numbers", _numbers(history)),
        ("Recorded", _values(latest)),
        ("History", _history(history, now)),
        ("Columns", _columns(asset, latest)),
        ("Checks", _checks(graph, asset, facts)),
    ]
    parts: list[RenderableType] = [_heading(asset, states), _facts(graph, asset, latest, now)]
    for title, body in sections:
        if body is not None:
            parts += [Text(f"\n{title}", style="title"), Padding(body, (0, 0, 0, 2))]
    return Group(*parts)


def _heading(asset: Asset, states: States) -> Text:
    state = states.get(asset.key, UNRECORDED)
    text = Text(str(asset.key), style="title")
    text.append("  ").append_text(state_text(state.state))
    text.append(f", {state.reason}" if state.reason else "", style="quiet")
    if asset.description:
        text.append(f"\n{asset.description.strip()}", style="not bold")
    return text.append("\n")


def _facts(graph: AssetGraph, asset: Asset, latest: MaterializationRecord | None, now: datetime) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="quiet", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in _fact_lines(graph, asset, latest, now):
        if value:
            grid.add_row(f"  {label}", value)
    return grid


def _fact_lines(
    graph: AssetGraph, asset: Asset, latest: MaterializationRecord | None, now: datetime
) -> Iterable[tuple[str, str]]:
    if latest is not None:
        took = f" in {duration(latest.duration_s)}" if latest.duration_s is not None else ""
        yield "updated", f"{moment(latest.at)} ({ago(latest.at, now=now)}){took}"
        yield "by", f"{latest.by}, run {latest.run_id}"
        yield "rows", number(latest.rows)
        yield "read", ", ".join(f"{name} ({_version(version)})" for name, version in sorted(latest.inputs.items()))
        yield "code", _version(latest.code_version) if latest.code_version else ""
    elif not asset.external:
        yield "updated", "never"
    yield "kind", ", ".join(dict.fromkeys((kind_of(asset), *asset.kinds)))
    yield "partitions", asset.partitions.about() if asset.partitions else ""
    yield "project", asset.home
    yield "relation", str(asset.relation or "")
    yield "written in", ", ".join(str(writer.location) for writer in asset.writers) or str(asset.location)
    yield (
        "uses",
        "\n".join(
            f"{item.name} ({item.type}, {item.location}) at {', '.join(map(str, item.used_at))}"
            for item in asset.resources
        ),
    )
    yield "owners", ", ".join(asset.owners)
    yield "group", asset.group or ""
    yield "tags", ", ".join(asset.tags)
    yield "also called", ", ".join(asset.aliases)
    yield "upstream", ", ".join(str(key) for key in sorted(graph.upstream[asset.key]))
    yield "downstream", ", ".join(str(key) for key in sorted(graph.downstream[asset.key]))


def _writers(asset: Asset, states: States, history: Sequence[MaterializationRecord]) -> Table | None:
    """Of a table with several writers each: its state, its rows, when it last wrote."""
    if len(asset.writers) < 2:
        return None
    of_writers = states.get(asset.key, UNRECORDED).writers
    grid = Table.grid(padding=(0, 2, 0, 0))
    for writer in asset.writers:
        newest = next((attempt for attempt in history if attempt.writer == writer.id and attempt.version), None)
        state = of_writers.get(writer.id)
        owns = "updates rows" if writer.mode == "update" else writer.slot.text if writer.slot else "the whole table"
        grid.add_row(
            state_text(state.state) if state else Text(),
            writer.name,
            Text(owns, style="quiet"),
            moment(newest.at) if newest else "never",
            one_line(state.reason if state else ""),
        )
    return grid


def _version(version: str | None) -> str:
    return "not recorded" if version is None else version[:12]


def _numbers(history: Sequence[MaterializationRecord]) -> Table | None:
    """Each recorded number: a small curve over the last successes, oldest first, then its value and its change."""
    successes = [attempt for attempt in reversed(history) if attempt.version]
    series: dict[str, list[float]] = {}
    for attempt in successes:
        if attempt.rows is not None:
            series.setdefault("rows", []).append(attempt.rows)
        for name, value in attempt.metadata.items():
            if value.get("kind") == "number" and isinstance(value.get("value"), (int, float)):
                series.setdefault(name, []).append(value["value"])
    if not series:
        return None
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(style="active", no_wrap=True)
    for name, values in series.items():
        grid.add_row(name, number(values[-1]), change(values), sparkline(values[-24:]))
    return grid


def change(values: Sequence[float]) -> str:
    """From the value before the last to the last.

    >>> change([100, 110]), change([1]), change([2, 2]), change([0, 5])
    ('+10 (+10.0 %)', '', 'unchanged', '+5')
    """
    if len(values) < 2:
        return ""
    before, after = values[-2], values[-1]
    if before == after:
        return "unchanged"
    sign = "+" if after > before else "−"
    share = f" ({sign}{abs(after - before) / abs(before):.1%})".replace("%", " %") if before else ""
    return f"{sign}{number(abs(after - before))}{share}"


def sparkline(values: Sequence[float]) -> str:
    """
    >>> sparkline([1, 2, 3, 8]), sparkline([5, 5]), sparkline([5])
    ('▁▂▃█', '▄▄', '')
    """
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    if low == high:
        return SPARKS[3] * len(values)
    return "".join(SPARKS[round((value - low) / (high - low) * (len(SPARKS) - 1))] for value in values)


def _values(latest: MaterializationRecord | None) -> Table | None:
    """What was recorded beside the numbers, shortened to a line each."""
    found = {name: value for name, value in latest.metadata.items() if value.get("kind") != "number"} if latest else {}
    if not found:
        return None
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in found.items():
        grid.add_row(name, _one_line(value))
    return grid


def _one_line(value: Any) -> str:
    kind, content = value.get("kind"), value.get("value")
    if "blob" in value:
        return f"{kind}, {number(value.get('bytes'))} bytes; `orchestrator dev` shows it"
    if kind == "image":
        return "a picture; `orchestrator dev` shows it"
    if kind == "table":
        return f"a table of {count(len(content['rows']), 'row')}; `orchestrator dev` shows it"
    text = " ".join(str(content).split())
    return text if len(text) <= VALUE_SHOWN else text[: VALUE_SHOWN - 1] + "…"


def _history(history: Sequence[MaterializationRecord], now: datetime) -> RenderableType | None:
    if not history:
        return None
    grid = Table.grid(padding=(0, 2, 0, 0))
    for justify in ("left", "right", "right", "right"):
        grid.add_column(no_wrap=True, justify=justify)
    grid.add_column()
    for attempt in history[:HISTORY_ROWS]:
        grid.add_row(
            status_text(attempt.status),
            ago(attempt.at, now=now),
            f"{number(attempt.rows)} rows" if attempt.rows is not None else "",
            duration(attempt.duration_s),
            one_line(attempt.reason.splitlines()[0] if attempt.reason else attempt.by),
        )
    rest = len(history) - HISTORY_ROWS
    return Group(grid, Text(f"… and {rest} before", style="quiet")) if rest > 0 else grid


def _columns(asset: Asset, latest: MaterializationRecord | None) -> RenderableType | None:
    columns = columns_json(asset, latest)
    if not columns:
        return None
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, style="active")
    grid.add_column(style="quiet", ratio=1)
    for column in columns[:COLUMNS_SHOWN]:
        grid.add_row(column["name"], (column["type"] or "").lower(), column["description"])
    rest = len(columns) - COLUMNS_SHOWN
    return Group(grid, Text(f"… and {rest} more", style="quiet")) if rest > 0 else grid


def _checks(graph: AssetGraph, asset: Asset, facts: Facts) -> Table | None:
    checks = (*graph.checks_of[asset.key], *reported_checks(asset, facts))
    if not checks:
        return None
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    grid.add_column(no_wrap=True, style="quiet", justify="right")
    for check in checks:
        result = facts.checks.get(check.id)
        failures = f"{count(result.failures, 'row')} fail" if result and result.failures else ""
        grid.add_row(
            status_text(result.status) if result else Text("· not run yet", style="quiet"),
            one_line(check.name, style="default"),
            failures,
        )
    return grid
