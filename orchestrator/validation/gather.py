"""From a loaded workspace to what the rules look at. dbt and sqlglot are imported only where something has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache

from orchestrator.dbt_engine.compile import CompiledNode
from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import OrchestratorError
from orchestrator.graph.columns import AssetColumns, ColumnGraph
from orchestrator.graph.model import Asset
from orchestrator.loaders.compiled import load_compiled
from orchestrator.loaders.dbt_assets import PACKAGES_DIR, package_dirs
from orchestrator.loaders.dbt_places import Places
from orchestrator.loaders.dbt_project import DbtProject
from orchestrator.loaders.manifest import Manifest, Node
from orchestrator.resources.dbt_profile import Profile, read_project_file
from orchestrator.validation.exact import BOUND_FILE, Bound, Table, bind_tables
from orchestrator.validation.places import Locator
from orchestrator.validation.subject import Subject
from orchestrator.workspace import Workspace

Compiled = Callable[[], Mapping[str, CompiledNode]]


def gather(workspace: Workspace, selected: frozenset[AssetKey], *, exact: bool) -> tuple[tuple[Subject, Locator], ...]:
    """All that is known about the selected assets, and who finds places in their files; a pair a dbt project."""
    columns = workspace.columns
    doubtful = _doubtful(workspace, columns)
    found: list[tuple[Subject, Locator]] = []
    for project in workspace.dbt_projects or (None,):
        manifest = (project.manifest if project is not None else None) or Manifest()
        compiled = _compiled(workspace, project, manifest)
        subject = Subject(
            graph=workspace.graph,
            columns=columns,
            manifest=manifest,
            selected=selected,
            bound=_bound(workspace, project, columns, compiled()) if exact else {},
            doubtful=doubtful,
            direct=tuple((workspace.ids.get(item.definition), item) for item in workspace.direct),
        )
        file_of = _file_of(project, manifest, workspace)
        found.append((subject, Locator(manifest, root=workspace.root, file_of=file_of, compiled=compiled)))
    return tuple(found)


def _compiled(workspace: Workspace, project: DbtProject | None, manifest: Manifest) -> Compiled:
    @cache
    def load() -> Mapping[str, CompiledNode]:
        if project is None:
            return {}
        writers = (writer for asset in workspace.graph.assets.values() for writer in asset.writers)
        wanted = [writer.id for writer in writers if writer.engine == "dbt" and writer.strategy != "seed"]
        return load_compiled(project, manifest, wanted=wanted, known=workspace.observed.compiled)

    return load


def _file_of(project: DbtProject | None, manifest: Manifest, workspace: Workspace) -> Callable[[str, str], str]:
    if project is None:
        return lambda package, path: path
    directory = project.choices.project_dir
    try:
        packages = str(read_project_file(directory).get("packages-install-path") or PACKAGES_DIR)
    except OrchestratorError:
        packages = PACKAGES_DIR
    places = Places(
        package_dir=package_dirs(manifest, directory, packages),
        project_dir=directory.resolve(),
        workspace_root=workspace.root.resolve(),
    )
    return lambda package, path: places.file(package, path).file


def _doubtful(workspace: Workspace, columns: ColumnGraph) -> dict[AssetKey, str]:
    """Tables whose columns are known from a look at them that may be out of date."""
    codes: dict[tuple[str, str], set[str]] = {}
    for fact in workspace.facts().writers.values():
        if fact.code_version is not None:
            codes.setdefault((fact.key, fact.writer), set()).add(fact.code_version)
    found: dict[AssetKey, str] = {}
    for key, asset in workspace.graph.assets.items():
        if asset.kind != "asset" or not columns[key].complete or not asset.needs_looking:
            continue
        if asset.external and key not in workspace.observed.columns:
            found[key] = f"by dbt's catalog of {key}, which may be older"
        for writer in asset.writers:
            recorded = codes.get((str(key), writer.id), set())
            if recorded - {writer.code_version}:
                found[key] = f"by the last run of {key}, whose code has changed since"
    return found


# The exact pass


def _bound(
    workspace: Workspace, project: DbtProject | None, columns: ColumnGraph, compiled: Mapping[str, CompiledNode]
) -> Mapping[AssetKey, Bound]:
    if project is None or project.profile is None or project.invocation is None or project.profile.adapter != "duckdb":
        return {}
    manifest = project.manifest or Manifest()
    nodes: Mapping[str, Node] = manifest.all_of("nodes")
    names = {key: _name(asset, project.profile) for key, asset in workspace.graph.assets.items()}
    tables = {
        str(key): _table(asset, columns[key], names=names, compiled=compiled, nodes=nodes)
        for key, asset in workspace.graph.assets.items()
        if asset.kind == "asset" and asset.relation is not None
    }
    found = bind_tables(
        tables,
        default=(project.profile.database.lower(), project.profile.schema.lower()),
        settings=project.profile.duckdb_settings,
        extensions=_extensions(project.profile),
        cache=project.invocation.target_path / BOUND_FILE,
    )
    return {key: found[str(key)] for key in workspace.graph.assets if str(key) in found}


def _table(
    asset: Asset,
    columns: AssetColumns,
    *,
    names: Mapping[AssetKey, tuple[str, str, str]],
    compiled: Mapping[str, CompiledNode],
    nodes: Mapping[str, Node],
) -> Table:
    known = tuple((name, columns.types.get(name)) for name in columns.names) if columns.complete else None
    code = compiled.get(asset.writers[0].id) if len(asset.writers) == 1 else None
    if code is None or code.full is None or code.language != "sql" or asset.writers[0].id not in nodes:
        return Table(names[asset.key], known)
    # A snapshot's query is wrapped by dbt in both cases.
    incremental = code.incremental if asset.writers[0].strategy == "incremental" else None
    return Table(names[asset.key], known, code.full, incremental, tuple(names[key] for key in columns.reads))


def _name(asset: Asset, profile: Profile) -> tuple[str, str, str]:
    relation = asset.relation
    if relation is None:
        return "", "", str(asset.key)
    return relation.database or profile.database.lower(), relation.schema or "main", relation.identifier


def _extensions(profile: Profile) -> tuple[str, ...]:
    listed: Iterable[object] = profile.output.get("extensions") or ()
    return tuple(str(item.get("name")) if isinstance(item, dict) else str(item) for item in listed)


__all__ = ["gather"]
