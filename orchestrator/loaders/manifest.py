"""A tolerant reader of dbt's manifest.json (v10 to v12): the part that we use, nothing required but ids.

Real manifests are trimmed by hand, written by old versions and extended by vendors. So every field may be missing or
null, unknown fields are ignored, and a node that cannot be read at all becomes a warning instead of an error.
Reading 5,000 models costs a third of a CPU-second.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from orchestrator.errors import DbtProjectError

Text = str | None
Values = dict[str, Any] | None


class DependsOn(msgspec.Struct, frozen=True):
    # Lists of anything: dbt writes null for a test macro that does not exist.
    nodes: list[Any] | None = None
    macros: list[Any] | None = None


class Checksum(msgspec.Struct, frozen=True):
    name: Text = None
    checksum: Text = None


class ManifestColumn(msgspec.Struct, frozen=True):
    name: Text = None
    data_type: Text = None
    description: Text = None


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """What all of dbt's resources have."""

    unique_id: str = ""
    name: str = ""
    resource_type: str = ""
    package_name: str = ""
    original_file_path: str = ""
    description: Text = None
    tags: list[str] | str | None = None
    meta: Values = None
    config: Values = None
    unrendered_config: Values = None
    depends_on: DependsOn | None = None
    group: Text = None

    @property
    def parents(self) -> list[str]:
        """unique_ids of the nodes and sources it reads, as dbt orders them."""
        return _ids(self.depends_on.nodes) if self.depends_on else []

    @property
    def macros(self) -> list[str]:
        """unique_ids of the macros it calls."""
        return _ids(self.depends_on.macros) if self.depends_on else []

    @property
    def settings(self) -> Mapping[str, Any]:
        """`config`, empty if there is none."""
        return self.config or {}

    @property
    def as_written(self) -> Mapping[str, Any]:
        """`unrendered_config`, empty if there is none."""
        return self.unrendered_config or {}

    @property
    def all_meta(self) -> dict[str, Any]:
        """`meta`, with `config.meta` winning."""
        configured = self.settings.get("meta")
        return {**(self.meta or {}), **(configured if isinstance(configured, dict) else {})}

    @property
    def all_tags(self) -> tuple[str, ...]:
        """`tags` and `config.tags`, each once."""
        found: dict[str, None] = {}
        for tags in (self.tags, self.settings.get("tags")):
            names = [tags] if isinstance(tags, str) else tags if isinstance(tags, list) else []
            found.update(dict.fromkeys(str(name) for name in names))
        return tuple(found)


class Node(Resource, frozen=True, kw_only=True):
    """Model, seed, snapshot, function, data test, operation, analysis."""

    database: Text = None
    schema_: Text = msgspec.field(default=None, name="schema")
    alias: Text = None
    relation_name: Text = None
    raw_code: Text = None
    raw_sql: Text = None
    language: Text = None
    checksum: Checksum | None = None
    columns: dict[str, ManifestColumn] | None = None
    access: Text = None
    version: str | float | int | None = None
    latest_version: str | float | int | None = None
    patch_path: Text = None
    attached_node: Text = None
    test_metadata: Values = None
    column_name: Text = None
    arguments: Any = None
    returns: Any = None

    @property
    def code(self) -> str:
        """The code as it was written; empty for seeds."""
        return self.raw_code or self.raw_sql or ""

    @property
    def materialized(self) -> str:
        """dbt's strategy; the resource type where none is set."""
        return str(self.settings.get("materialized") or self.resource_type)


class Source(Resource, frozen=True, kw_only=True):
    """A table that dbt reads and does not write."""

    source_name: str = ""
    identifier: Text = None
    database: Text = None
    schema_: Text = msgspec.field(default=None, name="schema")
    relation_name: Text = None
    source_description: Text = None
    source_meta: Values = None
    columns: dict[str, ManifestColumn] | None = None
    freshness: Any = None
    loaded_at_field: Text = None
    loader: Text = None


class ConsumerNode(Resource, frozen=True, kw_only=True):
    """Exposure, metric, semantic model, saved query."""

    type: Text = None
    label: Text = None
    url: Text = None
    owner: Any = None


class UnitTest(Resource, frozen=True, kw_only=True):
    checksum: Text = None
    model: Text = None
    tested_node_unique_id: Text = None


class Macro(Resource, frozen=True, kw_only=True):
    macro_sql: Text = None


class Group(Resource, frozen=True, kw_only=True):
    owner: Any = None


class Metadata(msgspec.Struct, frozen=True):
    dbt_schema_version: Text = None
    dbt_version: Text = None
    project_name: Text = None
    adapter_type: Text = None
    generated_at: Text = None


class Manifest(msgspec.Struct, frozen=True):
    """The decoded manifest; read it through `load_manifest` or `build_manifest`, which fill in what is missing."""

    metadata: Metadata | None = None
    nodes: dict[str, Node] | None = None
    sources: dict[str, Source] | None = None
    macros: dict[str, Macro] | None = None
    exposures: dict[str, ConsumerNode] | None = None
    metrics: dict[str, ConsumerNode] | None = None
    semantic_models: dict[str, ConsumerNode] | None = None
    saved_queries: dict[str, ConsumerNode] | None = None
    unit_tests: dict[str, UnitTest] | None = None
    functions: dict[str, Node] | None = None
    groups: dict[str, Group] | None = None
    parent_map: dict[str, list[str]] | None = None
    selectors: Any = None
    warnings: tuple[str, ...] = ()

    @property
    def default_selector(self) -> str | None:
        """The selector of selectors.yml that dbt takes when nothing is selected."""
        known = self.selectors if isinstance(self.selectors, dict) else {}
        return next((name for name, item in known.items() if isinstance(item, dict) and item.get("default")), None)

    def all_of(self, section: str) -> Mapping[str, Any]:
        """A section by its name; empty if the manifest has none."""
        return getattr(self, section) or {}


_SECTIONS: dict[str, type[Resource]] = {
    "nodes": Node,
    "sources": Source,
    "macros": Macro,
    "exposures": ConsumerNode,
    "metrics": ConsumerNode,
    "semantic_models": ConsumerNode,
    "saved_queries": ConsumerNode,
    "unit_tests": UnitTest,
    "functions": Node,
    "groups": Group,
}
_DECODER = msgspec.json.Decoder(Manifest)
_R = TypeVar("_R", bound=Resource)


def load_manifest(path: Path) -> Manifest:
    """The manifest in `path`. Raises DbtProjectError when it is missing or no JSON object."""
    try:
        return build_manifest(path.read_bytes())
    except OSError as exc:
        raise DbtProjectError(f"cannot read the manifest: {exc.strerror}", at=str(path), fix="run `dbt parse`") from exc
    except (UnicodeDecodeError, msgspec.DecodeError) as exc:
        raise DbtProjectError(
            f"the manifest is not valid: {exc}", at=str(path), fix="write it again with `dbt parse`"
        ) from exc


def build_manifest(content: bytes) -> Manifest:
    """The manifest of some JSON. What does not fit is left out with a warning. Raises msgspec.DecodeError."""
    try:
        manifest = _DECODER.decode(content)
    except msgspec.ValidationError:
        manifest = _piecewise(content)
    filled = {name: _filled(manifest.all_of(name), name) for name in _SECTIONS}
    return msgspec.structs.replace(manifest, **filled)


def _piecewise(content: bytes) -> Manifest:
    data = msgspec.json.decode(content)
    if not isinstance(data, dict):
        raise msgspec.ValidationError("it is no object")
    warnings: list[str] = []
    sections = {name: _readable(data.get(name), kind, warnings) for name, kind in _SECTIONS.items()}
    metadata = _converted(data.get("metadata") or {}, Metadata, "metadata", warnings) or Metadata()
    selectors = data.get("selectors")
    return Manifest(metadata=metadata, warnings=tuple(warnings), selectors=selectors, **sections)  # type: ignore[arg-type]


def _readable(items: Any, kind: type[_R], warnings: list[str]) -> dict[str, _R]:
    if not isinstance(items, dict):
        return {}
    read = {key: _converted(item, kind, key, warnings) for key, item in items.items()}
    return {key: item for key, item in read.items() if item is not None}


_T = TypeVar("_T")


def _converted(item: Any, kind: type[_T], name: str, warnings: list[str]) -> _T | None:
    """`item` as `kind`, without the fields that do not fit."""
    dropped: list[str] = []
    for _ in range(20):
        try:
            found = msgspec.convert(item, kind, strict=False)
        except msgspec.ValidationError as exc:
            field = str(exc).partition("`$.")[2].partition(".")[0].rstrip("`").partition("[")[0]
            if not isinstance(item, dict) or field not in item:
                warnings.append(f"{name} in the manifest cannot be read: {exc}")
                return None
            dropped.append(field)
            item = {key: value for key, value in item.items() if key != field}
        else:
            if dropped:
                warnings.append(f"{name} in the manifest: cannot read {', '.join(dropped)}; left out")
            return found
    return None


def _ids(items: list[Any] | None) -> list[str]:
    return [item for item in items or [] if isinstance(item, str)]


def _filled(items: Mapping[str, _R], section: str) -> dict[str, _R]:
    return {key: _complete(key, item, section) for key, item in items.items()}


def _complete(key: str, item: _R, section: str) -> _R:
    """Ids, names, packages and types are part of the key `type.package.name`, should they be missing."""
    if item.unique_id and item.name and item.resource_type and item.package_name:
        return item
    kind, _, rest = key.partition(".")
    package, _, name = rest.partition(".")
    more = {"source_name": item.source_name or name.partition(".")[0]} if isinstance(item, Source) else {}
    return msgspec.structs.replace(
        item,
        **more,
        unique_id=item.unique_id or key,
        name=item.name or (name.rpartition(".")[2] if section == "sources" else name),
        resource_type=item.resource_type or kind,
        package_name=item.package_name or package,
    )


__all__ = [
    "ConsumerNode",
    "Macro",
    "Manifest",
    "Node",
    "Resource",
    "Source",
    "UnitTest",
    "build_manifest",
    "load_manifest",
]
