"""What each asset's version is: the attempt ids of its writers' newest successes; by partition where there are some."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.definitions.facts import Facts
from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.mappings import Edge
from orchestrator.definitions.partitions import PartitionSet
from orchestrator.graph.model import Asset, AssetGraph, Writer

Known = dict[str | None, str]
"""{partition, None where there are none: attempt id}"""


@dataclass(frozen=True, slots=True)
class _Source:
    """An asset that a writer reads, with the versions of its writers as they are at any time."""

    name: str
    key: AssetKey
    asset: Asset | None
    known: tuple[Known, ...]
    edge: Edge | None
    """Which partitions are read, where both sides have some."""
    keeps_keys: bool


@dataclass(slots=True)
class Versions:
    """The newest success of every writer and partition; grows while a run writes."""

    graph: AssetGraph
    of_writer: dict[tuple[AssetKey, str], Known] = field(default_factory=dict)
    """{(asset, writer id): {partition: attempt id}}; what never succeeded is missing."""
    _sources: dict[str, tuple[_Source, ...]] = field(default_factory=dict)
    """{writer id: what it reads}"""

    @classmethod
    def recorded(cls, graph: AssetGraph, facts: Facts) -> Versions:
        """The versions as they are recorded."""
        versions = cls(graph)
        keys = {str(key): key for key in graph.assets}
        for fact in facts.writers.values():
            if fact.version and fact.key in keys:
                versions.add(keys[fact.key], fact.writer, fact.partition, fact.version)
        return versions

    def add(self, key: AssetKey, writer: str, partition: str | None, version: str) -> None:
        """Something has been written."""
        self.of_writer.setdefault((key, writer), {})[partition] = version

    def has(self, key: AssetKey, writer: str, partition: str | None = None) -> bool:
        """Whether it was ever written."""
        return partition in self.of_writer.get((key, writer), {})

    def of(self, key: AssetKey) -> str | None:
        """The version of a whole asset, its writers' joined; None if nothing is recorded for it."""
        asset = self.graph.assets.get(key)
        if asset is None:
            return None
        return self._joined(asset, asset.writers, asset.partitions.every() if asset.partitions else None)

    def inputs(self, asset: Asset, writer: Writer, partition: str | None = None) -> dict[str, str | None]:
        """{key: version} of what the writer reads now: its upstream, and for an update what the others inserted."""
        found = {source.name: self._read(writer, source, partition) for source in self._sources_of(writer)}
        if writer.mode == "update":
            own = writer.partitions.only(partition) if writer.partitions and partition else None
            own = own or (asset.partitions.every() if asset.partitions else None)
            found[str(asset.key)] = self._joined(asset, asset.inserting, own)
        return found

    def _sources_of(self, writer: Writer) -> tuple[_Source, ...]:
        """What a writer reads, looked up once: a ledger has hundreds of thousands of partitions."""
        if writer.id not in self._sources:
            self._sources[writer.id] = tuple(self._source(writer, key) for key in sorted(writer.reads))
        return self._sources[writer.id]

    def _source(self, writer: Writer, key: AssetKey) -> _Source:
        asset = self.graph.assets.get(key)
        writers = asset.writers if asset is not None else ()
        known = tuple(self.of_writer.setdefault((key, item.id), {}) for item in writers)
        divided = asset is not None and asset.partitions is not None and writer.partitions is not None
        edge = self.graph.edge(writer.id, key) if divided else None
        return _Source(str(key), key, asset, known, edge, edge is not None and edge.keeps_keys)

    def _read(self, writer: Writer, source: _Source, partition: str | None) -> str | None:
        """The version of what one partition reads of an asset."""
        if source.asset is None or source.edge is None or partition is None:
            return self.of(source.key)
        if source.keeps_keys:
            if len(source.known) == 1:
                return source.known[0].get(partition)
            return "+".join(known[partition] for known in source.known if partition in known) or None
        return self._joined(source.asset, source.asset.writers, source.edge.upstream(partition))

    def _joined(self, asset: Asset, writers: tuple[Writer, ...], found: PartitionSet | None) -> str | None:
        parts = []
        for writer in writers:
            known = self.of_writer.get((asset.key, writer.id), {})
            part = known.get(None) if writer.partitions is None or found is None else _of_set(known, found)
            parts += [part] if part else []
        others = (self.of_writer.get((asset.key, name), {}) for name in elsewhere(asset))
        parts += [known[None] for known in others if None in known]
        return "+".join(parts) or None


def elsewhere(asset: Asset) -> tuple[str, ...]:
    """The id under which a published graph's word about its own writers is a fact; none for assets of no project."""
    return (f"graph:{asset.home}",) if asset.home else ()


def _of_set(known: Mapping[str | None, str], found: PartitionSet) -> str | None:
    """One version of several partitions: changes when any of them does, or another one comes.

    A year of days would be 8 kB of attempt ids in every row of the ledger: more than one are a digest.
    """
    if len(found) <= len(known):
        pairs = [(key, known[key]) for key in found if key in known]
    else:
        pairs = [(key, version) for key, version in known.items() if key is not None and key in found]
    if len(pairs) < 2:
        return pairs[0][1] if pairs else None
    text = "\n".join(f"{key} {version}" for key, version in sorted(pairs))
    return f"{len(pairs)}@{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
