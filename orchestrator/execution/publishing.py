"""The workspace's graph as one document for other repositories, and when it is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from orchestrator.definitions.facts import Facts
from orchestrator.errors import ConfigError
from orchestrator.graph.columns import AssetColumns, ColumnGraph
from orchestrator.graph.model import Asset, Check
from orchestrator.graph_places import plain, write_place
from orchestrator.loaders.published_graph import (
    SCHEMA_VERSION,
    ColumnPlace,
    PublishedAsset,
    PublishedCheck,
    PublishedColumn,
    PublishedEdge,
    PublishedGraph,
    PublishedMaterialization,
    PublishedRelation,
    encode_graph,
)
from orchestrator.plan.versions import Versions
from orchestrator.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Publication:
    """What was written, and where to (without secrets)."""

    to: str
    graph: PublishedGraph


def publish(workspace: Workspace, *, to: str | None = None) -> Publication:
    """Write the graph of this environment to `to`, by default to the configured place.

    Raises DefinitionErrors when something is wrong with what is published, ConfigError without a place,
    PublishedGraphError when it cannot be written there.
    """
    place = to or (workspace.config.publish.to if workspace.config.publish is not None else None)
    if place is None:
        raise ConfigError(
            "it is not said where the graph is published to",
            fix='pass --to PATH|URL, or write [tool.orchestrator.publish] with to = "…"',
        )
    own = [key for key, asset in workspace.graph.assets.items() if not asset.external]
    workspace.require_sound(own)
    graph = describe_graph(workspace, at=datetime.now(timezone.utc))
    write_place(place, encode_graph(graph))
    return Publication(plain(place), graph)


def publish_after_run(workspace: Workspace) -> str | None:
    """Publish if that is configured for runs of this environment; a warning where it fails, which makes no run red."""
    settings = workspace.config.publish
    if settings is None or settings.after != "production" or workspace.environment not in workspace.config.production:
        return None
    try:
        publish(workspace)
    except Exception as exc:  # noqa: BLE001  the run is over and its result stands
        said = str(getattr(exc, "what", None) or f"{type(exc).__name__}: {exc}")
        return f"the graph was not published after the run: {said}"
    return None


def describe_graph(workspace: Workspace, *, at: datetime) -> PublishedGraph:
    """All that this workspace's projects write and read, as it is recorded now. The warehouse is not opened."""
    facts, columns = workspace.facts(), workspace.column_graph(look=False)
    describer = _Describer(workspace, facts, columns)
    assets = [asset for asset in workspace.graph.assets.values() if describer.is_ours(asset)]
    profile = workspace.project.profile if workspace.project is not None else None
    return PublishedGraph(
        schema_version=SCHEMA_VERSION,
        project=workspace.name,
        environment=workspace.environment,
        at=at,
        adapter=profile.adapter if profile is not None else "",
        assets=tuple(describer.asset(asset) for asset in assets),
        column_lineage=tuple(edge for asset in assets for edge in _edges(columns[asset.key])),
    )


class _Describer:
    def __init__(self, workspace: Workspace, facts: Facts, columns: ColumnGraph) -> None:
        self.graph, self.facts, self.columns = workspace.graph, facts, columns
        self.states = workspace.states_of(facts)
        self.versions = Versions.recorded(workspace.graph, facts)
        self.published = {project.home for project in workspace.projects if project.published is not None}
        self.materializations: dict[str, list[PublishedMaterialization]] = {}
        for fact in facts.writers.values():
            if fact.version is not None and not fact.writer.startswith("graph:"):
                at = fact.version_at or fact.at
                self.materializations.setdefault(fact.key, []).append(
                    PublishedMaterialization(fact.writer, fact.version, at, fact.partition, fact.rows)
                )

    def is_ours(self, asset: Asset) -> bool:
        """False for actions, and for what other repositories publish themselves."""
        return asset.kind == "asset" and not (asset.external and asset.home in self.published)

    def asset(self, asset: Asset) -> PublishedAsset:
        key, relation, freshness = str(asset.key), asset.relation, asset.meta.get("freshness")
        return PublishedAsset(
            key=key,
            aliases=asset.aliases,
            relation=PublishedRelation(relation.identifier, relation.schema, relation.database) if relation else None,
            external=asset.external,
            kinds=asset.kinds,
            description=asset.description,
            group=asset.group,
            owners=asset.owners,
            tags=asset.tags,
            access=asset.access if asset.access_written else None,
            location=str(asset.writers[0].location if asset.writers else asset.location),
            columns=self.columns_of(asset),
            columns_complete=self.columns[asset.key].complete,
            upstream=tuple(str(parent) for parent in sorted(self.graph.upstream[asset.key])),
            checks=tuple(self.check(check) for check in self.graph.checks_of[asset.key]),
            freshness=dict(freshness) if isinstance(freshness, dict) else None,
            state=self.states[asset.key].state,
            version=self.versions.of(asset.key),
            materializations=tuple(self.materializations.get(key, ())),
        )

    def columns_of(self, asset: Asset) -> tuple[PublishedColumn, ...]:
        """All that are known, as SQL or the warehouse has them; what is only declared comes last."""
        known = self.columns[asset.key]
        declared = {column.name.lower(): column for column in asset.columns}
        names = dict.fromkeys(known.names)
        if not known.complete:
            spelt = {name.lower() for name in names}
            names |= dict.fromkeys(column.name for name, column in declared.items() if name not in spelt)
        found = []
        for name in names:
            column = declared.get(name.lower())
            found.append(
                PublishedColumn(
                    name,
                    known.types.get(name) or (column.type if column else None),
                    column.description if column else "",
                )
            )
        return tuple(found)

    def check(self, check: Check) -> PublishedCheck:
        result = self.facts.checks.get(check.id)
        return PublishedCheck(
            name=check.name,
            kind=check.kind,
            severity=check.severity,
            column=check.column,
            description=check.description,
            status=result.status if result else None,
            at=result.at if result else None,
            failures=result.failures if result else None,
        )


def _edges(columns: AssetColumns) -> Iterator[PublishedEdge]:
    key = str(columns.key)
    for name, sources in columns.sources.items():
        for asset, column, kind in sources:
            yield PublishedEdge(ColumnPlace(str(asset), column), ColumnPlace(key, name), kind)
    for asset_key, column in columns.indirect:
        yield PublishedEdge(ColumnPlace(str(asset_key), column), ColumnPlace(key, "*"), "indirect")


__all__ = ["Publication", "describe_graph", "publish", "publish_after_run"]
