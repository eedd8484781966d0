"""Builds an AssetGraph from its parts: sorts them, refuses cycles and edges that lead nowhere."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.definitions.keys import AssetKey, Location
from orchestrator.errors import DependencyCycleError, UnknownAssetError
from orchestrator.graph.model import Asset, AssetGraph, Check, Consumer, Ephemeral

Edges = Mapping[AssetKey, frozenset[AssetKey]]
"""{asset: assets it reads directly}"""


def build_graph(
    assets: Iterable[Asset],
    checks: Iterable[Check] = (),
    consumers: Iterable[Consumer] = (),
    ephemerals: Iterable[Ephemeral] = (),
) -> AssetGraph:
    """The graph in topological order, upstream first, ties by key.

    Raises DependencyCycleError with the path of a cycle, UnknownAssetError where something reads what is not there.
    """
    by_key = {asset.key: asset for asset in assets}
    edges = {key: asset.reads - {key} for key, asset in by_key.items()}
    checks, consumers, ephemerals = tuple(checks), tuple(consumers), tuple(ephemerals)
    _refuse_unknown(by_key, edges, checks, consumers)
    order = topological_order(edges)
    if len(order) < len(edges):
        cycle = find_cycle(edges)
        assert cycle is not None, "what cannot be sorted has a cycle"
        raise cycle_error(cycle, by_key)
    return AssetGraph({key: by_key[key] for key in order}, checks, consumers, ephemerals)


def topological_order(edges: Edges) -> list[AssetKey]:
    """Keys with what they read before them, ties by key; what is in or behind a cycle is left out."""
    waiting = {key: len(parents) for key, parents in edges.items()}
    children: dict[AssetKey, list[AssetKey]] = {key: [] for key in edges}
    for key, parents in edges.items():
        for parent in parents:
            children[parent].append(key)
    ready = [key for key, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        key = heapq.heappop(ready)
        order.append(key)
        for child in children[key]:
            waiting[child] -= 1
            if waiting[child] == 0:
                heapq.heappush(ready, child)
    return order


def find_cycle(edges: Edges) -> tuple[AssetKey, ...] | None:
    """The assets of a cycle in the direction of the data, each once, the smallest key first; None if there is none.

    >>> a, b = AssetKey("x", "a"), AssetKey("x", "b")
    >>> [str(key) for key in find_cycle({a: frozenset({b}), b: frozenset({a})})]
    ['x.a', 'x.b']
    """
    sortable = set(topological_order(edges))
    left = {key: parents - sortable for key, parents in edges.items() if key not in sortable}
    for start in sorted(left):
        path = _shortest_way_back(start, left)
        if path is not None:
            smallest = path.index(min(path))
            return (*path[smallest:], *path[:smallest])
    return None


def cycle_error(cycle: Sequence[AssetKey], assets: Mapping[AssetKey, Asset]) -> DependencyCycleError:
    """The error that shows a cycle's path and where its assets are defined."""
    path = " → ".join(str(key) for key in (*cycle, cycle[0]))
    places = dict.fromkeys(str(writer.location) for key in cycle for writer in assets[key].writers)
    return DependencyCycleError(
        f"these assets need each other: {path}",
        at=", ".join(places) or None,
        fix="remove one of these reads; an asset may read itself, but not what is made from it",
    )


def _shortest_way_back(start: AssetKey, edges: Edges) -> list[AssetKey] | None:
    """The shortest cycle through `start`, in the direction of the data."""
    read_by: dict[AssetKey, AssetKey] = {}
    queue = deque([start])
    while queue:
        key = queue.popleft()
        for parent in sorted(edges[key]):
            if parent == start:
                path = [key]
                while path[-1] != start:
                    path.append(read_by[path[-1]])
                return [start, *(step for step in path if step != start)]
            if parent not in read_by:
                read_by[parent] = key
                queue.append(parent)
    return None


def _refuse_unknown(
    assets: Mapping[AssetKey, Asset], edges: Edges, checks: Iterable[Check], consumers: Iterable[Consumer]
) -> None:
    readers: list[tuple[str, frozenset[AssetKey], Location | None]]
    readers = [(str(key), parents, assets[key].location) for key, parents in edges.items()]
    readers += [(check.name, check.reads | {check.key}, check.location) for check in checks if check.reads]
    readers += [(consumer.name, consumer.reads, consumer.location) for consumer in consumers]
    for name, reads, location in readers:
        # Not `reads - assets.keys()`, which walks through all assets each time.
        for missing in sorted(read for read in reads if read not in assets):
            raise UnknownAssetError(f"'{name}' reads '{missing}', which is not in the graph", at=str(location or ""))
