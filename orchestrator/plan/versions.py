"""What each asset's version is: the attempt ids of its writers' newest successes, joined."""

from __future__ import annotations

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
            (key, writer.id): fact.version
            for key, asset in graph.assets.items()
            for writer in asset.writers
            if (fact := facts.writers.get((str(key), writer.id, None))) is not None and fact.version
        }
        return cls(graph, known)

    def of(self, key: AssetKey) -> str | None:
        """The version of an asset, its writers' joined; None if nothing is recorded for it."""
        return self._joined(key, self.graph[key].writers) if key in self.graph else None

    def inputs(self, asset: Asset, writer: Writer) -> dict[str, str | None]:
        """{key: version} of what the writer reads now: its upstream, and for an update what the others inserted."""
        found = {str(key): self.of(key) for key in sorted(writer.reads)}
        if writer.mode == "update":
            found[str(asset.key)] = self._joined(asset.key, asset.inserting)
        return found

    def _joined(self, key: AssetKey, writers: tuple[Writer, ...]) -> str | None:
        return "+".join(self.of_writer[key, item.id] for item in writers if (key, item.id) in self.of_writer) or None
