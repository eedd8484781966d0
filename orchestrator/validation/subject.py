"""What the rules look at: everything known about the selected part of a workspace, without its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.columns import AssetColumns, ColumnGraph
from orchestrator.graph.model import Asset, AssetGraph
from orchestrator.loaders.manifest import Manifest, Node, Resource, Source
from orchestrator.loaders.python_modules import DirectConnection
from orchestrator.sql.model import Diagnostic
from orchestrator.validation.exact import Bound


@dataclass(frozen=True)
class Subject:
    """A workspace, as far as it is validated."""

    graph: AssetGraph
    columns: ColumnGraph
    manifest: Manifest = field(default_factory=Manifest)
    selected: frozenset[AssetKey] = frozenset()
    bound: Mapping[AssetKey, Bound] = field(default_factory=dict)
    """{model: what DuckDB makes of its SQL}; empty where it was not asked."""
    doubtful: Mapping[AssetKey, str] = field(default_factory=dict)
    """{table: why its columns may be others by now}"""
    direct: tuple[tuple[AssetKey | None, DirectConnection], ...] = ()
    """Calls that open databases past every resource; None for a check's."""

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        """All dbt nodes by unique_id."""
        return {**self.manifest.all_of("nodes"), **self.manifest.all_of("functions")}

    @property
    def sources(self) -> Mapping[str, Source]:
        """All dbt sources by unique_id."""
        return self.manifest.all_of("sources")

    def is_own(self, item: Resource) -> bool:
        """False for what comes from an installed package: nobody here can correct it."""
        root = self.manifest.metadata.project_name if self.manifest.metadata is not None else None
        return root is None or item.package_name == root

    @cached_property
    def models(self) -> tuple[Model, ...]:
        """The selected models and snapshots, upstream first."""
        return tuple(self._models())

    def _models(self) -> Iterator[Model]:
        for key, asset in self.graph.assets.items():
            if key not in self.selected:
                continue
            for writer in asset.writers:
                node = self.nodes.get(writer.id)
                if node is not None and node.resource_type in ("model", "snapshot") and self.is_own(node):
                    yield Model(key, asset, node, self.columns[key], self.bound.get(key))

    def described(self) -> Iterator[tuple[AssetKey, Node | Source]]:
        """What YAML may describe of the selected assets: models, seeds, snapshots and sources."""
        for key, asset in self.graph.assets.items():
            if key in self.selected:
                for unique_id in asset.dbt_ids:
                    item = self.nodes.get(unique_id) or self.sources.get(unique_id)
                    if item is not None and self.is_own(item):
                        yield key, item

    @cached_property
    def misspelt(self) -> Mapping[AssetKey, tuple[Diagnostic, ...]]:
        """{asset: unknown columns in its own SQL and in that of all it is made from}: what may cause other findings."""
        found: dict[AssetKey, tuple[Diagnostic, ...]] = {}
        for key in self.graph.assets:
            columns = self.columns[key]
            above = [item for read in columns.reads for item in found.get(read, ())]
            own = [item for item in columns.diagnostics if item.kind == "unknown_column"]
            found[key] = tuple(dict.fromkeys([*above, *own]))
        return found

    @cached_property
    def read(self) -> frozenset[AssetKey]:
        """All assets that the SQL of another one reads, declared or not."""
        entries = self.columns.assets.items()
        return frozenset(read for key, columns in entries for read in columns.reads if read != key)

    @cached_property
    def asset_of(self) -> Mapping[str, AssetKey]:
        """{dbt unique_id: asset}"""
        return {unique_id: key for key, asset in self.graph.assets.items() for unique_id in asset.dbt_ids}

    @cached_property
    def doubts(self) -> Mapping[AssetKey, frozenset[AssetKey]]:
        """{asset: the doubtful tables whose columns, all of them, may come out of it}: `select *` hands doubt on."""
        found: dict[AssetKey, frozenset[AssetKey]] = {}
        for key in self.graph.assets if self.doubtful else ():
            own = frozenset((key,)) if key in self.doubtful else frozenset[AssetKey]()
            for parent in self.columns[key].reads:
                handed = found.get(parent)
                if handed and _has_all(self.columns[key], self.columns[parent]):
                    own |= handed
            found[key] = own
        return found


@dataclass(frozen=True, slots=True)
class Model:
    """A selected model or snapshot."""

    key: AssetKey
    asset: Asset
    node: Node
    columns: AssetColumns
    bound: Bound | None

    @property
    def unique_id(self) -> str:
        return self.node.unique_id

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.node.settings

    @property
    def contract(self) -> bool:
        """True when it has an enforced contract."""
        contract = self.settings.get("contract")
        return isinstance(contract, Mapping) and bool(contract.get("enforced"))

    @property
    def names(self) -> tuple[str, ...] | None:
        """All columns, as DuckDB or else the analysis says; None where they are not known."""
        if self.bound is None or self.bound.columns is None or not self.bound.comparable:
            return self.columns.names if self.columns.complete else None
        added = self.columns.names if self.node.resource_type == "snapshot" else ()
        return tuple(dict.fromkeys([*(name for name, _ in self.bound.columns), *added]))

    def type_of(self, column: str) -> str | None:
        """The column's type, if known."""
        if self.bound is not None and self.bound.columns is not None:
            types = {name.lower(): kind for name, kind in self.bound.columns}
            return types.get(column.lower()) if self.bound.comparable else None
        known = self.columns.find(column)
        return self.columns.types.get(known) if known is not None else None


def _has_all(columns: AssetColumns, parent: AssetColumns) -> bool:
    return {name.lower() for name in parent.names} <= {name.lower() for name in columns.names}


__all__ = ["Model", "Subject"]
