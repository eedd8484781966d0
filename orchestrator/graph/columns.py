"""Column lineage of a whole graph: which column comes from which, and how. Standard library only; made by loaders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from orchestrator.definitions.keys import AssetKey
from orchestrator.sql.model import Diagnostic, EdgeKind

ALL = "*"
"""In place of a column: any column of the asset, or all of its rows."""


@dataclass(frozen=True, slots=True, order=True)
class ColumnKey:
    """A column of an asset; `*` stands for the asset as a whole."""

    asset: AssetKey
    column: str

    def __str__(self) -> str:
        return f"{self.asset}.{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class ColumnEdge:
    """`target` comes from `source`. An indirect edge ends in `*`: it decides which rows the asset has."""

    source: ColumnKey
    target: ColumnKey
    kind: EdgeKind


@dataclass(frozen=True, slots=True)
class AssetColumns:
    """What is known about the columns of one asset."""

    key: AssetKey
    names: tuple[str, ...] = ()
    """In order, as the dialect folds them."""
    types: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, tuple[tuple[AssetKey, str, EdgeKind], ...]] = field(default_factory=dict)
    """{column: ((asset, column or *, how), …)}"""
    indirect: tuple[tuple[AssetKey, str], ...] = ()
    complete: bool = False
    """True when `names` is every column."""
    reasons: tuple[str, ...] = ()
    """Why this is not exact; empty where it is."""
    diagnostics: tuple[Diagnostic, ...] = ()
    """What a database would refuse in the compiled SQL."""
    reads: tuple[AssetKey, ...] = ()
    """The assets that the SQL reads, whatever it takes from them: all that `sources` and `indirect` name, but for
    itself. Empty for what is not SQL."""
    unknown_reads: tuple[str, ...] = ()
    """Relations in the SQL that are no asset."""

    @property
    def exact(self) -> bool:
        """True when nothing was left out or guessed."""
        return not self.reasons

    def find(self, name: str) -> str | None:
        """The column as it is spelt here; case does not count."""
        lowered = name.lower()
        return next((known for known in self.names if known.lower() == lowered), None)


@dataclass(frozen=True, slots=True)
class ColumnStep:
    """A column on the way up or down from the one asked about."""

    column: ColumnKey
    distance: int
    edges: tuple[ColumnEdge, ...]
    """Those that lead from it towards the column asked about (or from there to it)."""


@dataclass(frozen=True)
class ColumnGraph:
    """Columns of all assets; each has an entry, if only one that says why nothing is known."""

    assets: Mapping[AssetKey, AssetColumns]

    def __getitem__(self, key: AssetKey) -> AssetColumns:
        return self.assets.get(key) or AssetColumns(key, reasons=("nothing is known about its columns",))

    def sources(self, column: ColumnKey) -> tuple[ColumnEdge, ...]:
        """What a column comes from directly. For `*`, what any of the asset's columns comes from."""
        entry = self[column.asset]
        if column.column == ALL:
            found = dict.fromkeys(source for sources in entry.sources.values() for source in sources)
        else:
            found = dict.fromkeys(entry.sources.get(column.column) or entry.sources.get(ALL, ()))
        return tuple(ColumnEdge(ColumnKey(key, name), column, kind) for key, name, kind in found)

    def filters(self, key: AssetKey) -> tuple[ColumnEdge, ...]:
        """The columns that decide which rows an asset has."""
        target = ColumnKey(key, ALL)
        return tuple(ColumnEdge(ColumnKey(other, name), target, "indirect") for other, name in self[key].indirect)

    def readers(self, column: ColumnKey) -> tuple[ColumnEdge, ...]:
        """What comes from a column directly, rows that it filters included. `*` on either side matches any column."""
        lowered = column.column.lower()
        return tuple(
            edge
            for edge in self._edges_from(column.asset)
            if ALL in (lowered, edge.source.column) or edge.source.column.lower() == lowered
        )

    def _edges_from(self, key: AssetKey) -> Sequence[ColumnEdge]:
        """All edges that leave an asset. Made when first asked for: a question is about few assets of many."""
        if key not in self._edges:
            readers = (key, *self._reading.get(key, ()))
            self._edges[key] = [edge for reader in readers for edge in self._edges_into(reader).get(key, ())]
        return self._edges[key]

    def _edges_into(self, key: AssetKey) -> Mapping[AssetKey, list[ColumnEdge]]:
        """{asset: edges that lead from it into `key`}"""
        if key not in self._by_source:
            found: dict[AssetKey, list[ColumnEdge]] = {}
            for name, sources in self[key].sources.items():
                target = ColumnKey(key, name)
                for other, column, kind in sources:
                    found.setdefault(other, []).append(ColumnEdge(ColumnKey(other, column), target, kind))
            for edge in self.filters(key):
                found.setdefault(edge.source.asset, []).append(edge)
            self._by_source[key] = found
        return self._by_source[key]

    @cached_property
    def _reading(self) -> Mapping[AssetKey, list[AssetKey]]:
        """{asset: the other ones that something in it leads to}"""
        found: dict[AssetKey, list[AssetKey]] = {}
        for key, entry in self.assets.items():
            named = (source[0] for sources in entry.sources.values() for source in sources)
            for other in entry.reads or dict.fromkeys(named):
                if other != key:
                    found.setdefault(other, []).append(key)
        return found

    @cached_property
    def _edges(self) -> dict[AssetKey, list[ColumnEdge]]:
        return {}

    @cached_property
    def _by_source(self) -> dict[AssetKey, Mapping[AssetKey, list[ColumnEdge]]]:
        return {}

    def trace(
        self, start: ColumnKey, *, direction: Literal["up", "down"], depth: int | None = None, filters: bool = False
    ) -> list[ColumnStep]:
        """All columns up or down from `start`, nearest first; `start` itself first of all, with distance 0.

        `filters` follows indirect edges too: down to `*` of an asset whose rows are decided by one, and so to whatever
        reads any of its columns.
        """
        steps: dict[ColumnKey, tuple[int, list[ColumnEdge]]] = {start: (0, [])}
        frontier = [start]
        distance = 0
        while frontier and (depth is None or distance < depth):
            distance += 1
            following: dict[ColumnKey, None] = {}
            for column in frontier:
                for edge in self._step(column, direction, filters):
                    reached = edge.source if direction == "up" else edge.target
                    if reached not in steps:
                        steps[reached] = (distance, [])
                        following[reached] = None
                    if steps[reached][0] > steps[column][0] or reached != start:
                        steps[reached][1].append(edge)
            frontier = list(following)
        return [ColumnStep(column, far, tuple(dict.fromkeys(edges))) for column, (far, edges) in steps.items()]

    def _step(self, column: ColumnKey, direction: Literal["up", "down"], filters: bool) -> Iterable[ColumnEdge]:
        if direction == "up":
            yield from self.sources(column)
            if filters:
                yield from self.filters(column.asset)
            return
        for edge in self.readers(column):
            if edge.kind != "indirect" or filters:
                yield edge


__all__ = ["ALL", "AssetColumns", "ColumnEdge", "ColumnGraph", "ColumnKey", "ColumnStep"]
