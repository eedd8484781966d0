"""What hangs on an asset: everything that breaks without it, and its lineage in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import UnknownAssetError, did_you_mean
from orchestrator.graph.model import AssetGraph, Check, Consumer

Direction = Literal["up", "down", "both"]


@dataclass(frozen=True, slots=True)
class ImpactedAsset:
    """An asset that would lose what it is made from."""

    key: AssetKey
    distance: int
    """Steps from the asset asked about; 1 reads it directly."""
    via: AssetKey
    """The asset one step nearer through which it is reached."""


@dataclass(frozen=True, slots=True)
class Impact:
    """What breaks when `key` is deleted."""

    key: AssetKey
    assets: tuple[ImpactedAsset, ...] = ()
    """Nearest first, then by key."""
    checks: tuple[Check, ...] = ()
    """Checks that read the asset or one that breaks with it."""
    consumers: tuple[Consumer, ...] = ()
    owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """{owner: what they lose, assets by key and consumers by name}"""

    @property
    def total(self) -> int:
        """How many things break."""
        return len(self.assets) + len(self.checks) + len(self.consumers)


@dataclass(frozen=True, slots=True)
class LineageEntry:
    """An asset upstream or downstream of the one asked about."""

    key: AssetKey
    distance: int
    """Fewest steps; 0 for the asset itself."""
    direction: Literal["up", "self", "down"]
    parents: tuple[AssetKey, ...]
    """What it reads directly, as far as it is part of this lineage."""


def impact(graph: AssetGraph, key: AssetKey, *, depth: int | None = None) -> Impact:
    """Everything that needs `key`, at most `depth` steps away. Raises UnknownAssetError."""
    _known(graph, key)
    distances = _distances(key, graph.downstream, depth)
    broken = [
        ImpactedAsset(other, steps, min(p for p in graph.upstream[other] if distances.get(p) == steps - 1))
        for other, steps in sorted(distances.items(), key=lambda item: (item[1], item[0]))
        if other != key
    ]
    lost = frozenset(distances)
    checks = tuple(check for check in graph.checks if not check.reads.isdisjoint(lost))
    consumers = tuple(consumer for consumer in graph.consumers if not consumer.reads.isdisjoint(lost))
    return Impact(key, tuple(broken), checks, consumers, _owners(graph, broken, consumers))


def lineage(
    graph: AssetGraph, key: AssetKey, *, direction: Direction = "both", depth: int | None = None
) -> list[LineageEntry]:
    """The asset with what it is made from and what is made from it, upstream first. Raises UnknownAssetError."""
    _known(graph, key)
    up = _distances(key, graph.upstream, depth) if direction in ("up", "both") else {}
    down = _distances(key, graph.downstream, depth) if direction in ("down", "both") else {}
    found = {key} | up.keys() | down.keys()
    return [
        LineageEntry(
            other,
            up.get(other, down.get(other, 0)),
            "self" if other == key else "up" if other in up else "down",
            tuple(sorted(graph.upstream[other] & found)),
        )
        for other in graph.assets
        if other in found
    ]


def _known(graph: AssetGraph, key: AssetKey) -> None:
    if key not in graph:
        raise UnknownAssetError(
            f"no asset has the key '{key}'",
            fix=did_you_mean(str(key), map(str, graph.assets)) or "`orchestrator ls` lists all assets",
        )


def _distances(
    start: AssetKey, edges: Mapping[AssetKey, frozenset[AssetKey]], depth: int | None
) -> dict[AssetKey, int]:
    """{asset: fewest steps from `start`}, `start` itself with 0."""
    found = {start: 0}
    frontier = {start}
    step = 0
    while frontier and (depth is None or step < depth):
        step += 1
        frontier = {following for key in frontier for following in edges[key]} - found.keys()
        found.update(dict.fromkeys(frontier, step))
    return found


def _owners(
    graph: AssetGraph, broken: list[ImpactedAsset], consumers: tuple[Consumer, ...]
) -> dict[str, tuple[str, ...]]:
    lost: dict[str, list[str]] = {}
    for item in broken:
        for owner in graph[item.key].owners:
            lost.setdefault(owner, []).append(str(item.key))
    for consumer in consumers:
        for owner in consumer.owners:
            lost.setdefault(owner, []).append(consumer.name)
    return {owner: tuple(things) for owner, things in sorted(lost.items())}
