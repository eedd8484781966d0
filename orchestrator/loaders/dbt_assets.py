"""Turns a dbt manifest into a fragment: assets, checks, consumers. Pure, but for lines looked up in YAML files.

Models, seeds, snapshots, functions and sources are assets; ephemeral models are passed through; data tests and unit
tests are checks; exposures, metrics, semantic models and saved queries are consumers. Disabled resources and
analyses are none of these. Ids are dbt's unique_ids, edges are `depends_on.nodes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator.definitions.keys import AssetKey, Location, Relation
from orchestrator.errors import DefinitionError
from orchestrator.graph.model import Asset, Check, Column, Consumer, Ephemeral, Writer
from orchestrator.loaders.dbt_meta import DbtMeta, read_meta
from orchestrator.loaders.dbt_places import Places
from orchestrator.loaders.dbt_versions import CodeVersions, depends_on_target, inline_config
from orchestrator.loaders.fragments import DraftAsset, DraftCheck, DraftConsumer, DraftEphemeral, Fragment
from orchestrator.loaders.manifest import (
    ConsumerNode,
    Group,
    Manifest,
    ManifestColumn,
    Node,
    Resource,
    Source,
    UnitTest,
)

ASSET_TYPES = frozenset({"model", "seed", "snapshot", "function"})
PACKAGES_DIR = "dbt_packages"
_CONSUMERS = ("exposures", "semantic_models", "metrics", "saved_queries")


@dataclass(frozen=True, slots=True)
class Operation:
    """A hook of a project: what dbt runs before or after everything else."""

    id: str
    package: str
    when: Literal["on-run-start", "on-run-end"]
    sql: str


def build_fragment(
    manifest: Manifest,
    *,
    project_dir: Path,
    workspace_root: Path,
    adapter_type: str | None = None,
    variables: Mapping[str, Any] | None = None,
    packages_dir: str = PACKAGES_DIR,
) -> Fragment:
    """Everything in the manifest that Orchestrator knows.

    `variables` are the project's vars with those of the command line; code that names one of them has another code
    version when its value changes. Definition errors (a bad `meta.orchestrator.key`) are in the fragment.
    """
    builder = _Builder(
        manifest,
        project_dir=project_dir,
        workspace_root=workspace_root,
        adapter_type=adapter_type,
        variables=variables or {},
        packages_dir=packages_dir,
    )
    return builder.fragment()


def operations(manifest: Manifest) -> tuple[Operation, ...]:
    """The on-run-start and on-run-end hooks of the project and its packages."""
    return tuple(
        Operation(
            id=node.unique_id,
            package=node.package_name,
            when="on-run-start" if "on-run-start" in node.name else "on-run-end",
            sql=node.code,
        )
        for node in manifest.all_of("nodes").values()
        if node.resource_type == "operation"
    )


def asset_key(node: Node) -> AssetKey:
    """The logical key of a model, seed, snapshot or function: custom schema as written, or project; then the name.

    What depends on the target is not used, so that the key is equal in every environment.
    """
    return AssetKey.of_names(_written(node, "schema", "target_schema") or node.package_name, _name(node))


def _name(node: Node) -> str:
    """The alias as written; else the name, with dbt's suffix for a version (`generate_alias_name`)."""
    alias = _written(node, "alias")
    if alias:
        return alias
    return node.name if node.version is None else f"{node.name}_v{str(node.version).replace('.', '_')}"


def _written(node: Node, *settings: str) -> str | None:
    """The first setting that has a value and does not depend on the target."""
    inside = inline_config(node.code)
    for setting in settings:
        value = node.settings.get(setting)
        inline = depends_on_target(inside) and f"{setting}=" in inside.replace(" ", "")
        if value and not inline and not depends_on_target(node.as_written.get(setting)):
            return str(value)
    return None


class _Builder:
    def __init__(
        self,
        manifest: Manifest,
        *,
        project_dir: Path,
        workspace_root: Path,
        adapter_type: str | None,
        variables: Mapping[str, Any],
        packages_dir: str,
    ) -> None:
        self.manifest = manifest
        metadata = manifest.metadata
        self.adapter = adapter_type or (metadata.adapter_type if metadata else None) or ""
        self.nodes: dict[str, Node] = {**manifest.all_of("nodes"), **manifest.all_of("functions")}
        directories = package_dirs(manifest, project_dir, packages_dir)
        self.places = Places(
            package_dir=directories, project_dir=project_dir.resolve(), workspace_root=workspace_root.resolve()
        )
        self.versions = CodeVersions(manifest, package_dir=directories, variables=variables)
        self.groups = _groups(manifest)
        sections = ("sources", *_CONSUMERS)
        self.known = {*self.nodes, *(unique_id for name in sections for unique_id in manifest.all_of(name))}
        self.errors: list[DefinitionError] = []
        self.warnings = list(manifest.warnings)

    def fragment(self) -> Fragment:
        nodes = sorted(filter(_enabled, self.nodes.values()), key=lambda node: node.unique_id)
        written = [node for node in nodes if node.resource_type in ASSET_TYPES]
        tables = [node for node in written if node.materialized != "ephemeral"]
        assets = [self.written_asset(node) for node in tables]
        assets += [self.source_asset(source) for source in self._sorted("sources")]
        checks = [self.data_test(node) for node in nodes if node.resource_type == "test"]
        checks += [self.unit_test(test) for test in self._sorted("unit_tests")]
        return Fragment(
            assets=tuple(assets),
            checks=tuple(checks),
            consumers=tuple(self.consumer(item) for name in _CONSUMERS for item in self._sorted(name)),
            ephemerals=tuple(self.ephemeral(node) for node in written if node.materialized == "ephemeral"),
            errors=tuple(self.errors),
            warnings=tuple(self.warnings),
        )

    def _sorted(self, section: str) -> list[Any]:
        return [item for _, item in sorted(self.manifest.all_of(section).items()) if _enabled(item)]

    # Assets

    def written_asset(self, node: Node) -> DraftAsset:
        location = self.places.file(node.package_name, node.original_file_path)
        key = asset_key(node)
        ours = self.meta(node, location)
        writer = Writer(
            id=node.unique_id,
            engine="dbt",
            name=node.name,
            strategy=node.materialized,
            location=location,
            code_version=self.versions.of(node),
            raw_code=node.code or None,
            retry=ours.retry,
            slot=ours.slot,
            partitions=ours.partitions.partitions if ours.partitions else None,
            run=ours.partitions.run if ours.partitions else "each",
        )
        group = node.group or _text(node.settings.get("group"))
        asset = Asset(
            key=key,
            name=key.name,
            project=node.package_name,
            location=location,
            aliases=_aliases(node, key),
            kinds=_kinds(node, self.adapter),
            group=group,
            owners=self.owners(node, group),
            tags=node.all_tags,
            description=(node.description or "").strip(),
            relation=Relation.normalised(node.database, node.schema_, node.alias or node.name),
            columns=_columns(node.columns),
            writers=(writer,),
            access=_access(node),
            access_written=_writes_access(node),
            meta=node.all_meta,
            dbt_ids=(node.unique_id,),
        )
        others = (AssetKey.of_names(key.layer, node.name), AssetKey(key.layer, f"{node.package_name}.{key.name}"))
        return DraftAsset(
            node.unique_id,
            asset,
            self.reads(node),
            ours.key,
            other_keys=tuple(dict.fromkeys(other for other in others if other != key)),
            mappings=ours.mappings,
        )

    def source_asset(self, source: Source) -> DraftAsset:
        location = self._yaml(source, source.source_name, source.name)
        names = f"{source.source_name}.{source.name}"
        asset = Asset(
            key=AssetKey.of_names(source.source_name, source.name),
            name=source.name,
            project=source.package_name,
            location=location,
            aliases=(f"source:{names}", f"source:{source.package_name}.{names}"),
            kinds=tuple(filter(None, (self.adapter, "source"))),
            owners=self.owners(source, None, source.source_meta or {}),
            tags=source.all_tags,
            description=(source.description or source.source_description or "").strip(),
            relation=Relation.normalised(source.database, source.schema_, source.identifier or source.name),
            columns=_columns(source.columns),
            meta=_source_meta(source),
            dbt_ids=(source.unique_id,),
        )
        return DraftAsset(
            source.unique_id,
            asset,
            explicit_key=self.meta(source, location).key,
            other_keys=(
                AssetKey.of_names("source", names),
                AssetKey.of_names("source", f"{source.package_name}.{names}"),
            ),
        )

    def ephemeral(self, node: Node) -> DraftEphemeral:
        path = self.places.file(node.package_name, node.original_file_path).file
        empty: frozenset[AssetKey] = frozenset()
        return DraftEphemeral(
            Ephemeral(node.unique_id, node.name, path, reads=empty, read_by=empty, tags=node.all_tags), self.reads(node)
        )

    def meta(self, item: Resource, location: Location) -> DbtMeta:
        """`meta.orchestrator`; what is wrong with it is noted."""
        found = read_meta(
            item.all_meta,
            name=item.unique_id.split(".", 2)[-1],
            at=str(location),
            materialized=item.materialized if isinstance(item, Node) else item.resource_type,
            settings=item.settings,
        )
        self.errors.extend(found.errors)
        return found

    def owners(self, item: Resource, group: Any, more: Mapping[str, Any] | None = None) -> tuple[str, ...]:
        """From `meta.owner`, then from the group; an email before a name."""
        declared = [*_people(item.all_meta.get("owner")), *_people((more or {}).get("owner"))]
        found = self.groups.get((item.package_name, group)) or self.groups.get(("", group)) if group else None
        return tuple(dict.fromkeys([*declared, *(_people(found.owner) if found else ())]))

    def reads(self, item: Resource) -> frozenset[str]:
        """unique_ids of its parents; those that are not in the manifest are left out and said."""
        unknown = [parent for parent in item.parents if parent not in self.known]
        for parent in unknown:
            self.warnings.append(f"{item.unique_id} reads {parent}, which is not in the manifest")
        return frozenset(item.parents) - set(unknown) - {item.unique_id}

    def _yaml(self, item: Resource, *names: str) -> Location:
        return self.places.file(item.package_name, item.original_file_path, *names)

    # Checks

    def data_test(self, node: Node) -> DraftCheck:
        reads = self.reads(node)
        parents = [parent for parent in node.parents if parent in reads]
        shown_on = node.attached_node if node.attached_node in self.known else (parents[-1] if parents else "")
        severity: Literal["error", "warn"] = (
            "warn" if str(node.settings.get("severity") or "").lower() == "warn" else "error"
        )
        check = _check(
            node,
            kind="dbt_test",
            severity=severity,
            location=self._yaml(node, *self._yaml_names(shown_on)),
            description=_test_description(node),
            column=node.column_name,
            code_version=self._test_version(node),
        )
        return DraftCheck(check, shown_on or "", reads)

    def _test_version(self, node: Node) -> str | None:
        """Of singular tests and of the project's own generic ones; for dbt's own the id says it, arguments included."""
        own = any(not name.startswith("macro.dbt.") for name in node.macros)
        return self.versions.of(node) if own or not node.attached_node else None

    def _yaml_names(self, unique_id: str | None) -> tuple[str, ...]:
        """The names under which YAML describes it: a generic test stands below the model or source it is on."""
        if (node := self.nodes.get(unique_id or "")) is not None:
            return (node.name,)
        source = self.manifest.all_of("sources").get(unique_id or "")
        return (source.source_name, source.name) if source is not None else ()

    def unit_test(self, test: UnitTest) -> DraftCheck:
        tested = test.tested_node_unique_id
        models = [parent for parent in test.parents if parent in self.known]
        shown_on = tested if tested in self.known else (models[0] if models else "")
        check = _check(
            test,
            kind="unit_test",
            severity="error",
            location=self._yaml(test, test.name),
            description=(test.description or "").strip(),
            column=None,
            code_version=test.checksum,
        )
        return DraftCheck(check, shown_on or "", frozenset({shown_on} - {""}))

    # Consumers

    def consumer(self, item: ConsumerNode) -> DraftConsumer:
        consumer = Consumer(
            id=item.unique_id,
            name=item.name,
            kind=item.resource_type or item.unique_id.partition(".")[0],
            reads=frozenset(),
            owners=tuple(dict.fromkeys([*_people(item.owner), *_people(item.all_meta.get("owner"))])),
            description=(item.description or item.label or "").strip(),
            url=item.url,
            location=self._yaml(item, item.name),
        )
        return DraftConsumer(consumer, self.reads(item))


def package_dirs(manifest: Manifest, project_dir: Path, packages_dir: str) -> dict[str, Path]:
    """{package: where its files are}; the root project's own are in its directory."""
    project_dir = project_dir.resolve()
    root = manifest.metadata.project_name if manifest.metadata else None
    sections = ("nodes", "sources", "functions", *_CONSUMERS, "unit_tests")
    packages = {item.package_name for section in sections for item in manifest.all_of(section).values()}
    installed = {package: project_dir / packages_dir / package for package in packages}
    found = {package: path for package, path in installed.items() if package != root and path.is_dir()}
    return {**dict.fromkeys(packages, project_dir), **found}


def _groups(manifest: Manifest) -> dict[tuple[str, str], Group]:
    groups: dict[tuple[str, str], Group] = {}
    for group in manifest.all_of("groups").values():
        groups[group.package_name, group.name] = group
        groups.setdefault(("", group.name), group)
    return groups


def _check(
    item: Resource,
    *,
    kind: Literal["dbt_test", "unit_test"],
    severity: Literal["error", "warn"],
    location: Location,
    description: str,
    column: str | None,
    code_version: str | None,
) -> Check:
    return Check(
        id=item.unique_id,
        name=item.name,
        kind=kind,
        key=AssetKey("", ""),  # merging places it
        reads=frozenset(),
        severity=severity,
        blocking=severity == "error",
        location=location,
        description=description,
        column=column,
        code_version=code_version,
    )


def _aliases(node: Node, key: AssetKey) -> tuple[str, ...]:
    names = [node.name, f"{node.package_name}.{node.name}"]
    if node.version is not None:
        names += [f"{node.name}.v{node.version}", f"{node.package_name}.{node.name}.v{node.version}"]
    names += [f"{node.package_name}.{key.name}"]
    return tuple(dict.fromkeys(name for name in names if name != str(key)))


def _kinds(node: Node, adapter: str) -> tuple[str, ...]:
    is_seed = node.resource_type == "seed"
    language = "" if is_seed else node.language or "sql"
    # dbt-duckdb's `external` strategy writes files: https://github.com/duckdb/dbt-duckdb#writing-to-external-files
    written = str(node.settings.get("format") or "parquet") if node.materialized == "external" else ""
    kinds = (adapter, "dbt", node.materialized, language, "csv" if is_seed else written)
    return tuple(dict.fromkeys(kind for kind in kinds if kind))


def _access(node: Node) -> Literal["public", "protected", "private"]:
    match node.access or node.settings.get("access"):
        case "public":
            return "public"
        case "private":
            return "private"
    return "protected"


def _writes_access(node: Node) -> bool:
    """False where the access is dbt's default only, `protected`."""
    return "access" in node.as_written or "access=" in inline_config(node.code).replace(" ", "")


def _columns(columns: Mapping[str, ManifestColumn] | None) -> tuple[Column, ...]:
    return tuple(
        Column(column.name or name, column.data_type, column.description or "")
        for name, column in (columns or {}).items()
    )


def _source_meta(source: Source) -> dict[str, Any]:
    """The table's meta over the source's, and its freshness rule under `freshness` where it has one."""
    meta = {**(source.source_meta or {}), **source.all_meta}
    rule = source.freshness if isinstance(source.freshness, Mapping) else source.settings.get("freshness")
    limits = [rule.get(name) for name in ("warn_after", "error_after")] if isinstance(rule, Mapping) else []
    if any(isinstance(limit, Mapping) and limit.get("count") for limit in limits):
        meta.setdefault("freshness", rule)
    return meta


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _people(owner: Any) -> list[str]:
    """Owners in any of the forms people write: text, a list, or dbt's {name, email}."""
    if isinstance(owner, str):
        return [owner] if owner else []
    if isinstance(owner, Mapping):
        return _people(owner.get("email")) or _people(owner.get("name"))
    if isinstance(owner, Iterable):
        return [person for item in owner for person in _people(item)]
    return []


def _enabled(item: Resource) -> bool:
    """What is disabled is mostly not in the manifest at all; a test of a model that does not exist still is."""
    return item.settings.get("enabled") is not False


def _test_description(node: Node) -> str:
    """The description, with thresholds that are not dbt's default."""
    limits = [
        f"{status} if {node.settings[setting]}"
        for setting, status in (("warn_if", "warn"), ("error_if", "error"))
        if node.settings.get(setting) not in (None, "", "!= 0")
    ]
    return "; ".join(filter(None, ((node.description or "").strip(), ", ".join(limits))))


__all__ = ["Operation", "asset_key", "build_fragment", "operations", "package_dirs"]
