"""The asset graph: frozen, built once a load, asked by everything after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from orchestrator.definitions.assets import Retry
from orchestrator.definitions.jobs import PlacedJob
from orchestrator.definitions.keys import AssetKey, Location, Relation
from orchestrator.definitions.mappings import All, Edge, PartitionMapping, resolve
from orchestrator.definitions.partitions import UNPARTITIONED, Partitions
from orchestrator.definitions.slots import Mode, Slot


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it is declared; `type` where it is known."""

    name: str
    type: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class UsedResource:
    """A resource that code uses: what it is called, what it is, where it is made, and where that code names it."""

    name: str
    """`module.variable`"""
    type: str
    kinds: tuple[str, ...]
    location: Location
    used_at: tuple[Location, ...]


@dataclass(frozen=True, slots=True)
class Writer:
    """What writes an asset: a dbt node or a Python function.

    `id` is unique and stable: dbt's unique_id, or `python:module.function`.
    """

    id: str
    engine: Literal["dbt", "python"]
    name: str
    strategy: str
    """dbt's materialized (table, view, incremental, seed, snapshot …) or `python`."""
    location: Location
    reads: frozenset[AssetKey] = frozenset()
    code_version: str | None = None
    """Changes when the code does; None when it cannot be known (then it counts as changed)."""
    raw_code: str | None = None
    retry: Retry = field(default_factory=Retry)
    slot: Slot | None = None
    """The rows that are its own; None: the whole table, or for an update any of them."""
    mode: Mode = "insert"
    partitions: Partitions | None = None
    """How it divides what it writes; None: it writes all at once."""
    run: Literal["each", "range"] = "each"
    """Whether neighbouring partitions may be written in one go."""
    mappings: tuple[tuple[AssetKey, PartitionMapping], ...] = ()
    """The declared ones; others are inferred."""


@dataclass(frozen=True, slots=True)
class Check:
    """An assertion. `key` is the asset it is shown on, `reads` all assets it needs (`key` included).

    A failing check with severity error that is `blocking` blocks what descends from *all* of `reads`.
    """

    id: str
    name: str
    kind: Literal["dbt_test", "unit_test", "python", "reported"]
    """`reported`: by a writer that runs elsewhere. Nothing that could be run by itself; in no graph."""
    key: AssetKey
    reads: frozenset[AssetKey]
    severity: Literal["error", "warn"]
    blocking: bool
    location: Location
    description: str = ""
    column: str | None = None
    code_version: str | None = None
    """Changes when the code does; None where the id says it (dbt's generic tests) or it is not known."""
    resources: tuple[UsedResource, ...] = ()


@dataclass(frozen=True, slots=True)
class Asset:
    """A table (or an action) with everything known about it before anything runs."""

    key: AssetKey
    name: str
    project: str
    location: Location
    kind: Literal["asset", "action"] = "asset"
    aliases: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    group: str | None = None
    owners: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    description: str = ""
    relation: Relation | None = None
    columns: tuple[Column, ...] = ()
    writers: tuple[Writer, ...] = ()
    resources: tuple[UsedResource, ...] = ()
    access: Literal["public", "protected", "private"] = "protected"
    access_written: bool = False
    """False where the access is only dbt's default: then other projects may read it."""
    home: str = ""
    """The project of the workspace that it is of, also a published graph; empty for the workspace's own."""
    elsewhere: bool = False
    """Written in another repository, as the graph that it publishes says."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    dbt_ids: tuple[str, ...] = ()
    """unique_ids of all dbt nodes and sources merged into this asset."""

    @property
    def external(self) -> bool:
        """True when nothing here writes it."""
        return not self.writers

    @property
    def needs_looking(self) -> bool:
        """True when only the warehouse can say what its columns are: sources, and what Python writes."""
        return self.kind == "asset" and not any(writer.engine == "dbt" for writer in self.writers)

    @property
    def inserting(self) -> tuple[Writer, ...]:
        """The writers that put rows there; those that only update rows run after them."""
        return tuple(writer for writer in self.writers if writer.mode == "insert")

    @property
    def partitions(self) -> Partitions | None:
        """How it is divided: as its writers say, who agree (merging sees to it)."""
        return next((writer.partitions for writer in self.writers if writer.partitions is not None), None)

    @property
    def reads(self) -> frozenset[AssetKey]:
        """All assets that its writers read."""
        return frozenset(key for writer in self.writers for key in writer.reads)


@dataclass(frozen=True, slots=True)
class Ephemeral:
    """A dbt ephemeral model: no table, transparent for edges, but it can be selected by name."""

    unique_id: str
    name: str
    path: str
    reads: frozenset[AssetKey]
    read_by: frozenset[AssetKey]
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Consumer:
    """What reads at the end of lineage and is never run: exposure, metric, semantic model, saved query."""

    id: str
    name: str
    kind: str
    reads: frozenset[AssetKey]
    owners: tuple[str, ...] = ()
    description: str = ""
    url: str | None = None
    location: Location | None = None


@dataclass(frozen=True)
class AssetGraph:
    """All assets, actions, checks and consumers of a workspace, with their edges.

    Order of `assets` is topological (upstream first), ties by key; the builder in `graph.build` guarantees it and
    that there is no cycle. An edge from an asset to itself (incremental models) is not kept.
    """

    assets: Mapping[AssetKey, Asset]
    checks: tuple[Check, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    ephemerals: tuple[Ephemeral, ...] = ()
    jobs: Mapping[str, PlacedJob] = field(default_factory=dict)
    """{name: job}, sorted by name."""

    def __getitem__(self, key: AssetKey) -> Asset:
        return self.assets[key]

    def __contains__(self, key: AssetKey) -> bool:
        return key in self.assets

    def __len__(self) -> int:
        return len(self.assets)

    @cached_property
    def upstream(self) -> Mapping[AssetKey, frozenset[AssetKey]]:
        """{asset: assets it reads directly}, ephemeral models passed through."""
        return {key: asset.reads - {key} for key, asset in self.assets.items()}

    @cached_property
    def downstream(self) -> Mapping[AssetKey, frozenset[AssetKey]]:
        """{asset: assets that read it directly}."""
        down: dict[AssetKey, set[AssetKey]] = {key: set() for key in self.assets}
        for key, parents in self.upstream.items():
            for parent in parents:
                down[parent].add(key)
        return {key: frozenset(children) for key, children in down.items()}

    @cached_property
    def checks_of(self) -> Mapping[AssetKey, tuple[Check, ...]]:
        """{asset: checks shown on it}."""
        found: dict[AssetKey, list[Check]] = {key: [] for key in self.assets}
        for check in self.checks:
            if check.key in found:
                found[check.key].append(check)
        return {key: tuple(checks) for key, checks in found.items()}

    @cached_property
    def names(self) -> Mapping[str, tuple[AssetKey, ...]]:
        """{any spelling (key, alias, bare name, dbt unique_id): assets it may mean}, lower-cased."""
        found: dict[str, dict[AssetKey, None]] = {}
        for key, asset in self.assets.items():
            for name in (str(key), asset.name, *asset.aliases, *asset.dbt_ids):
                found.setdefault(name.lower(), {})[key] = None
        return {name: tuple(keys) for name, keys in found.items()}

    @cached_property
    def edges(self) -> Mapping[tuple[str, AssetKey], Edge]:
        """{(writer id, asset it reads): which partitions of it}, where either is partitioned.

        Raises UnmappedPartitionError; merging has reported that of all edges before.
        """
        found = {}
        for key, asset in self.assets.items():
            for writer in asset.writers:
                for read in writer.reads:
                    if read in self.assets and (writer.partitions or self.assets[read].partitions):
                        found[writer.id, read] = resolve_edge(writer, self.assets[read], reader=key)
        return found

    def edge(self, writer: str, read: AssetKey) -> Edge:
        """Which partitions of an asset a writer reads."""
        return self.edges.get((writer, read), _WHOLE)

    def ancestors(self, keys: Iterable[AssetKey], *, depth: int | None = None) -> frozenset[AssetKey]:
        """All assets upstream of `keys`, without `keys` themselves unless reached; at most `depth` steps away."""
        return _reach(keys, self.upstream, depth)

    def descendants(self, keys: Iterable[AssetKey], *, depth: int | None = None) -> frozenset[AssetKey]:
        """All assets downstream of `keys`, without `keys` themselves unless reached; at most `depth` steps away."""
        return _reach(keys, self.downstream, depth)


_WHOLE = Edge(All(), UNPARTITIONED, UNPARTITIONED)


def resolve_edge(writer: Writer, read: Asset, *, reader: AssetKey) -> Edge:
    """The mapping of one edge, declared or inferred. Raises UnmappedPartitionError."""
    return resolve(
        dict(writer.mappings).get(read.key),
        down=writer.partitions or UNPARTITIONED,
        up=read.partitions or UNPARTITIONED,
        names=(str(reader), str(read.key)),
        at=str(writer.location),
    )


def _reach(
    start: Iterable[AssetKey], edges: Mapping[AssetKey, frozenset[AssetKey]], depth: int | None
) -> frozenset[AssetKey]:
    seen: set[AssetKey] = set()
    frontier = set(start)
    while frontier and (depth is None or depth > 0):
        frontier = {following for key in frontier for following in edges[key]} - seen
        seen |= frontier
        depth = None if depth is None else depth - 1
    return frozenset(seen)


__all__ = ["Asset", "AssetGraph", "Check", "Column", "Consumer", "Ephemeral", "UsedResource", "Writer"]
