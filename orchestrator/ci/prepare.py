"""From a head and a base to a workspace that builds apart and the plan of what it builds. Nothing is run here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from orchestrator.ci.base import Base, dbt_of, load_base
from orchestrator.ci.guard import Written, dbt_writes, graph_relations, makes_relation, refuse_shared
from orchestrator.ci.place import Place, find_place, write_profile
from orchestrator.config import DbtFlags
from orchestrator.dbt_engine.defer import Names, deferring, place_sources
from orchestrator.definitions.keys import AssetKey, Relation
from orchestrator.graph.diff import GraphDiff, diff_graphs
from orchestrator.graph.model import Asset, AssetGraph
from orchestrator.loaders.manifest import Manifest, Node, load_manifest
from orchestrator.plan.partition_states import PartitionStates
from orchestrator.plan.run_plan import RunPlan, build_run_plan
from orchestrator.plan.states import AssetState, WriterState
from orchestrator.resources.duckdb import DuckDBFile
from orchestrator.workspace import Workspace, load_workspace


@dataclass(frozen=True, slots=True)
class Comparison:
    """The head next to its base."""

    head: Workspace
    base: Base
    diff: GraphDiff
    warnings: tuple[str, ...] = ()

    @property
    def nothing_to_do(self) -> bool:
        """True when neither data nor checks can differ."""
        return not self.diff.affected and not self.diff.checks_differ


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a CI run is about to do."""

    place: Place
    workspace: Workspace
    """The head in its own place: what is built is there, everything else is where the base has it."""
    plan: RunPlan
    base_relations: Mapping[AssetKey, Relation] = field(default_factory=dict)
    """Where the base has what is built here."""
    not_run: tuple[AssetKey, ...] = ()
    """Affected actions: they would act on the world."""
    written: tuple[Node, ...] = ()
    """dbt nodes that make a relation."""


def compare(head: Workspace, base: str, *, say: Callable[[str], None] = lambda _: None) -> Comparison:
    """The head, which has no errors, compared with the base that `base` names. Raises ConfigError."""
    head.require_sound()
    _, profile = dbt_of(head)
    found = load_base(head, base, say=say)
    # A database's name tells the file or server apart, which is no change of any asset.
    there = _in_database(found.snapshot.graph, old=found.snapshot.database.lower(), new=profile.database.lower())
    return Comparison(head, found, diff_graphs(there, head.graph), found.warnings)


def prepare(comparison: Comparison, *, name: str | None = None) -> Prepared:
    """The CI run's workspace and plan. Raises PlanError rather than plan to write what is the base's."""
    head, base = comparison.head, comparison.base
    _, profile = dbt_of(head)
    place = find_place(profile, base, state_dir=head.state_dir, root=head.root, name=name)
    write_profile(place)
    workspace = load_place(head, place)
    outside = _relations_outside(comparison)
    exists = _existing(place, outside, base)
    build = _to_build(comparison, exists)
    plan = _plan(
        workspace.graph,
        comparison,
        build=build,
        exists=exists,
        environment=place.environment,
        as_of=workspace.as_of(),
    )
    plan = replace(plan, full_refresh=profile.adapter != "duckdb")
    _guard(workspace, plan, comparison, place)
    _read_from_base(workspace, build.keys(), outside, comparison, place)
    affected = [head.graph[key] for key in comparison.diff.affected]
    return Prepared(
        place,
        workspace,
        plan,
        base_relations={key: outside[key] for key in build if key in base.snapshot.graph and key in outside},
        not_run=tuple(asset.key for asset in affected if asset.kind == "action"),
        written=tuple(_written(workspace, plan)),
    )


def _written(workspace: Workspace, plan: RunPlan) -> Iterable[Node]:
    manifest = _manifest_of(workspace)
    ids = [*(step.writer for step in plan.to_build), *plan.checks]
    nodes = {**manifest.all_of("nodes"), **manifest.all_of("functions")} if manifest is not None else {}
    return (nodes[unique_id] for unique_id in ids if unique_id in nodes and makes_relation(nodes[unique_id]))


def load_place(head: Workspace, place: Place) -> Workspace:
    """The head's definitions in the place. Raises DefinitionErrors."""
    choices = dbt_of(head)[0].choices
    flags = DbtFlags(
        profiles_dir=place.profiles_dir,
        profile=place.profile.name,
        target=place.profile.target,
        vars=choices.vars,
        passed=choices.passed,
    )
    workspace = load_workspace(head.root, flags=flags)
    workspace.require_sound()
    workspace.environment = place.environment
    if place.profile.adapter == "duckdb":
        workspace.database = DuckDBFile(
            place.database_path,
            config=place.profile.duckdb_config,
            settings=place.profile.duckdb_settings,
            attached=(place.reads,) if place.reads is not None and place.reads.exists() else (),
        )
    return workspace


def _in_database(graph: AssetGraph, *, old: str, new: str) -> AssetGraph:
    """The graph with relations of the database `old` in `new`."""
    if old == new:
        return graph
    return _relocated(
        graph,
        lambda asset: (
            replace(asset.relation, database=new)
            if asset.relation is not None and asset.relation.database == old
            else asset.relation
        ),
    )


def _relocated(graph: AssetGraph, place: Callable[[Asset], Relation | None]) -> AssetGraph:
    assets = {key: replace(asset, relation=place(asset)) for key, asset in graph.assets.items()}
    return replace(graph, assets=assets)


def _relations_outside(comparison: Comparison) -> dict[AssetKey, Relation]:
    """{asset: where it is in the base's environment}, new ones as the head would place them there."""
    base, profile = comparison.base.snapshot, dbt_of(comparison.head)[1]
    there = _in_database(comparison.head.graph, old=profile.database.lower(), new=base.database.lower())
    found = {key: asset.relation for graph in (there, base.graph) for key, asset in graph.assets.items()}
    return {key: relation for key, relation in found.items() if relation is not None}


def _existing(place: Place, outside: Mapping[AssetKey, Relation], base: Base) -> frozenset[AssetKey]:
    """Assets that are there in the base's environment, as far as that can be looked up; else all."""
    if place.profile.adapter != "duckdb" or place.reads is None:
        return frozenset(outside)
    tables = DuckDBFile(place.reads, config=place.profile.duckdb_config).relations()
    here = base.snapshot.database.lower()
    known = {(relation.schema, relation.identifier) for relation in tables}
    return frozenset(
        key
        for key, relation in outside.items()
        if relation.database != here or (relation.schema, relation.identifier) in known
    )


def _to_build(comparison: Comparison, exists: frozenset[AssetKey]) -> dict[AssetKey, str]:
    """{asset: why}: all that is affected, and what that reads and the base has not built."""
    graph, diff = comparison.head.graph, comparison.diff
    build = {key: diff.reason(key, graph) for key in diff.affected if _is_built(graph[key])}
    waiting = list(build)
    while waiting:
        for parent in sorted(graph.upstream[waiting.pop()]):
            if parent not in build and parent not in exists and _is_built(graph[parent]):
                build[parent] = f"not built in {comparison.base.snapshot.environment}"
                waiting.append(parent)
    return build


def _is_built(asset: Asset) -> bool:
    return asset.kind == "asset" and not asset.external


def _plan(
    graph: AssetGraph,
    comparison: Comparison,
    *,
    build: Mapping[AssetKey, str],
    exists: frozenset[AssetKey],
    environment: str,
    as_of: datetime,
) -> RunPlan:
    """Builds `build` with the checks that read it, and the checks that are new or have changed."""

    def state(asset: Asset) -> AssetState:
        if asset.key in build:
            return AssetState("stale", build[asset.key], _all_partitions(asset, build[asset.key], as_of))
        if asset.external:
            return AssetState("external", "written elsewhere")
        if asset.key not in exists and asset.kind == "asset":
            return AssetState("missing", f"not built in {comparison.base.snapshot.environment}")
        return AssetState("adopted", f"read from {comparison.base.snapshot.environment}")

    states = {key: state(asset) for key, asset in graph.assets.items()}
    plan = build_run_plan(
        graph, build, states=states, environment=environment, selection=f"what differs from {comparison.base.name}"
    )
    diff = comparison.diff
    differing = {check.id for check in (*diff.checks_added, *diff.checks_changed)}
    taken = {*plan.checks, *(item.check for item in plan.skipped_checks)}
    more = [
        check.id
        for check in graph.checks
        if check.id in differing - taken and all(states[key].state != "missing" for key in check.reads)
    ]
    return replace(plan, checks=(*plan.checks, *more))


def _all_partitions(asset: Asset, reason: str, as_of: datetime) -> dict[str, WriterState]:
    """In a new place every partition is to be written."""
    found = {}
    for writer in asset.writers:
        if writer.partitions is not None:
            there = writer.partitions.closed(as_of=as_of)
            partitions = PartitionStates.of(there, ((key, "stale", reason) for key in there))
            found[writer.id] = WriterState("stale", reason, partitions)
    return found


def _guard(workspace: Workspace, plan: RunPlan, comparison: Comparison, place: Place) -> None:
    graph, base = workspace.graph, comparison.base
    writers = {step.writer: AssetKey.parse(step.key) for step in plan.to_build}
    writes = [
        Written(writer, relation, str(graph[key].location))
        for writer, key in writers.items()
        if writer not in workspace.dbt_nodes and (relation := graph[key].relation) is not None
    ]
    if (manifest := _manifest_of(workspace)) is not None:
        writes += dbt_writes(manifest, [*(writer for writer in writers if writer in workspace.dbt_nodes), *plan.checks])
    belongs: set[Relation | str] = {*graph_relations(comparison.head.graph, base.snapshot.graph)}
    for found in (_manifest_of(comparison.head), _read(base.manifest_dir)):
        if found is not None:
            belongs.update(item.target for item in dbt_writes(found))
    refuse_shared(
        writes,
        belongs,
        base=base.snapshot.environment,
        schema=None if place.profile.adapter == "duckdb" else place.schema,
    )


def _read_from_base(
    workspace: Workspace,
    build: Iterable[AssetKey],
    outside: Mapping[AssetKey, Relation],
    comparison: Comparison,
    place: Place,
) -> None:
    """Point everything that is not built at the base: Python by the graph, refs by dbt's defer, sources one by one."""
    built = frozenset(build)
    workspace.graph = _relocated(
        workspace.graph,
        lambda asset: asset.relation if asset.key in built else outside.get(asset.key, asset.relation),
    )
    project = workspace.project
    if project is None or project.invocation is None or not workspace.dbt_nodes:
        return
    manifest = workspace.dbt_manifest()  # parsed before the invocation learns to defer
    place_sources(manifest, _source_places(workspace, built, comparison))
    if (state := comparison.base.manifest_dir) is not None:
        project.invocation = deferring(project.invocation, state)


def _source_places(workspace: Workspace, built: frozenset[AssetKey], comparison: Comparison) -> dict[str, Names]:
    """{source's unique_id: where the base's environment has it}, in the spelling that dbt needs."""
    base, profile = comparison.base, dbt_of(comparison.head)[1]
    places: dict[str, Names] = {}
    for manifest, own in ((_manifest_of(comparison.head), profile.database), (_read(base.manifest_dir), None)):
        for unique_id, source in manifest.all_of("sources").items() if manifest is not None else ():
            if workspace.ids.get(unique_id) in built:
                continue
            database = base.snapshot.database if own is not None and source.database == own else source.database
            places[unique_id] = (database, source.schema_, source.identifier or source.name)
    return places


def _manifest_of(workspace: Workspace) -> Manifest | None:
    path = workspace.project.manifest_path if workspace.project is not None else None
    return load_manifest(path) if path is not None else None


def _read(directory: Path | None) -> Manifest | None:
    return load_manifest(directory / "manifest.json") if directory is not None else None


__all__ = ["Comparison", "Prepared", "compare", "load_place", "prepare"]
