"""What a change of one column reaches: columns made from it, rows decided by it, and whoever looks at those."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.columns import ALL, ColumnGraph, ColumnKey, ColumnStep
from orchestrator.graph.model import AssetGraph, Check, Consumer


@dataclass(frozen=True, slots=True)
class ColumnImpact:
    """What has to be looked at when `column` changes its meaning, or goes."""

    column: ColumnKey
    columns: tuple[ColumnStep, ...] = ()
    """Nearest first. Columns of assets whose rows are decided by it are reached too."""
    filtered: tuple[AssetKey, ...] = ()
    """Assets whose rows are decided by it, or by a column that it reaches."""
    assets: tuple[AssetKey, ...] = ()
    """All assets that are reached, upstream first."""
    checks: tuple[Check, ...] = ()
    """Those on a column that is reached, and those of a whole asset that is."""
    consumers: tuple[Consumer, ...] = ()
    owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    """{asset: why what is said of it is not exact}"""

    @property
    def total(self) -> int:
        """How many things are reached."""
        return len(self.columns) + len(self.filtered) + len(self.checks) + len(self.consumers)


def column_impact(
    graph: AssetGraph, columns: ColumnGraph, column: ColumnKey, *, depth: int | None = None
) -> ColumnImpact:
    """Everything that a change of `column` reaches, at most `depth` assets away."""
    steps = columns.trace(column, direction="down", depth=depth, filters=True)[1:]
    filtered = {step.column.asset for step in steps if step.column.column == ALL}
    reached = {step.column for step in steps} | {column}
    touched = {step.column.asset for step in steps}
    opaque = _opaque(graph, columns, [ColumnStep(column, 0, ()), *steps], depth) - touched
    whole = filtered | opaque
    assets = tuple(key for key in graph.assets if key in touched | opaque)
    checks = tuple(check for check in graph.checks if _sees(check, reached, whole))
    consumers = tuple(item for item in graph.consumers if not item.reads.isdisjoint({*assets, column.asset}))
    return ColumnImpact(
        column=column,
        columns=tuple(step for step in steps if step.column.column != ALL),
        filtered=tuple(key for key in graph.assets if key in whole),
        assets=assets,
        checks=checks,
        consumers=consumers,
        owners=_owners(graph, assets, consumers),
        reasons={str(key): columns[key].reasons[0] for key in assets if columns[key].reasons},
    )


def _opaque(graph: AssetGraph, columns: ColumnGraph, steps: Iterable[ColumnStep], depth: int | None) -> set[AssetKey]:
    """What reads one of the assets and cannot be looked into: it must count as reached, with all made from it."""
    found: set[AssetKey] = set()
    nearest: dict[AssetKey, int] = {}
    for step in steps:
        nearest.setdefault(step.column.asset, step.distance)
    for asset, distance in nearest.items():
        left = None if depth is None else depth - distance - 1
        if left is not None and left < 0:
            continue
        for key in graph.downstream[asset]:
            entry = columns[key]
            table = graph[key].kind == "asset"  # an action has no rows
            if table and entry.reasons and not entry.sources and not entry.indirect:
                found |= {key} | graph.descendants([key], depth=left)
    return found


def _sees(check: Check, reached: set[ColumnKey], whole: set[AssetKey]) -> bool:
    """A check on a column sees that column; one without sees all of what it reads."""
    if check.key in whole:
        return True
    on_asset = {item.column.lower() for item in reached if item.asset == check.key}
    if check.column is not None:
        return check.column.lower() in on_asset
    return any(item.asset in check.reads for item in reached)


def _owners(
    graph: AssetGraph, assets: tuple[AssetKey, ...], consumers: tuple[Consumer, ...]
) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for key in assets:
        for owner in graph[key].owners:
            found.setdefault(owner, []).append(str(key))
    for consumer in consumers:
        for owner in consumer.owners:
            found.setdefault(owner, []).append(consumer.name)
    return {owner: tuple(things) for owner, things in sorted(found.items())}


__all__ = ["ColumnImpact", "column_impact"]
