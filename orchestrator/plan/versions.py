"""What each asset's version is: the attempt ids of its writers' newest successes, joined."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.definitions.facts import Facts
from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.model import Asset, AssetGraph, Writer


@dataclass(slots=True)
class Versions:
    """The newest success of every writer; grows while a run writes."""

    graph: AssetGraph
    of_writer: dict[tuple[AssetKey, str], str] = field(default_factory=dict)
    """{(asset, writer id): attempt id}; writers that never succeeded are missing."""

    @classmethod
    def recorded(cls, graph: AssetGraph, facts: Facts) -> Versions:
        """The versions as they are recorded."""
        known = {
            (key, writer): fact.version
            for key, asset in graph.assets.items()
            for writer in (*(item.id for item in asset.writers), *elsewhere(asset))
            if (fact := facts.writers.get((str(key), writer, None))) is not None and fact.version
        }
        return cls(graph, known)

    def of(self, key: AssetKey) -> str | None:
        """The version of an asset, its writers' joined; None if nothing is recorded for it."""
        if key not in self.graph:
            return None
        asset = self.graph[key]
        return self._joined(key, (*(item.id for item in asset.writers), *elsewhere(asset)))

    def inputs(self, asset: Asset, writer: Writer) -> dict[str, str | None]:
        """{key: version} of what the writer reads now: its upstream, and for an update what the others inserted."""
        found = {str(key): self.of(key) for key in sorted(writer.reads)}
        if writer.mode == "update":
            inserting = (item.id for item in asset.inserting)
            found[str(asset.key)] = self._joined(asset.key, (*inserting, *elsewhere(asset)))
        return found

    def _joined(self, key: AssetKey, writers: Iterable[str]) -> str | None:
        return "+".join(self.of_writer[key, item] for item in writers if (key, item) in self.of_writer) or None


def elsewhere(asset: Asset) -> tuple[str, ...]:
    """The id under which a published graph's word about its own writers is a fact; none for assets of no project."""
    return (f"graph:{asset.home}",) if asset.home else ()
