"""Column lineage of a loaded workspace: compiled SQL, seeds, Python functions and what the warehouse has, as one graph.

What a table's columns are is taken from the most trusted place that knows: the SQL that fills it (exact, and true
before it is built), the header of a seed, the warehouse as it was last seen, dbt's catalog, an enforced contract, and
last the YAML, which rarely lists all.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.dbt_engine.compile import CompiledNode
from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.columns import ALL, AssetColumns, ColumnGraph
from orchestrator.graph.model import Asset, AssetGraph
from orchestrator.loaders.compiled import load_compiled
from orchestrator.loaders.dbt_project import DbtProject
from orchestrator.loaders.manifest import Node
from orchestrator.sql.model import EdgeKind
from orchestrator.sql.project import SqlHome, TableColumns, TableSql, analyze_tables
from orchestrator.sql.schema import Columns, same_end

CACHE_FILE = "columns.bin"
CATALOG_FILE = Path("target") / "catalog.json"
_SNAPSHOT_COLUMNS = ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to")


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of tables in the warehouse."""

    columns: Mapping[AssetKey, Columns] = field(default_factory=dict)
    compiled: Mapping[str, str] = field(default_factory=dict)
    """{dbt unique_id: SQL that a run was seen to build with}, for what cannot be compiled without a warehouse."""


def load_columns(
    graph: AssetGraph,
    projects: Sequence[DbtProject],
    *,
    root: Path,
    observed: Observed | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ColumnGraph:
    """The columns of every asset. `root` is what locations are relative to. Raises nothing: reasons are in the answer.

    dbt and sqlglot are imported only for what has changed since the last time.
    """
    observed = observed or Observed()
    builder = _Builder(graph, projects, root, observed)
    tables = [builder.table(asset) for asset in graph.assets.values() if asset.kind == "asset"]
    first = projects[0] if projects else None
    home = _home(first)
    found = analyze_tables(
        tables,
        dialect=home.dialect,
        default_db=home.database,
        default_schema=home.schema,
        cache=first.invocation.target_path / CACHE_FILE if first is not None and first.invocation else None,
        progress=progress,
    )
    return _Assembler(graph, found).graph_of_columns()


def _home(project: DbtProject | None) -> SqlHome:
    profile = project.profile if project is not None else None
    if profile is None:
        return SqlHome("")
    return SqlHome(profile.adapter, profile.database or None, profile.schema)


def relation_name(asset: Asset) -> str:
    """The name under which an asset's table is known to the analysis."""
    return str(asset.relation).lower() if asset.relation is not None else str(asset.key).lower()


class _Builder:
    """How each asset's table is filled."""

    def __init__(self, graph: AssetGraph, projects: Sequence[DbtProject], root: Path, observed: Observed) -> None:
        self.graph, self.root, self.observed = graph, root, observed
        self.nodes: dict[str, Node] = {}
        self.compiled: dict[str, Mapping[str, CompiledNode]] = {}
        self.catalog: dict[str, Columns] = {}
        self.homes: dict[str, SqlHome] = {}
        models = self._models()
        for project in projects:
            self.catalog.update(_read_catalog(project))
            if project.manifest is None:
                continue
            nodes = project.manifest.all_of("nodes")
            wanted = [unique_id for unique_id in models if unique_id in nodes and unique_id not in self.nodes]
            self.nodes.update({unique_id: node for unique_id, node in nodes.items() if unique_id not in self.nodes})
            compiled = load_compiled(project, project.manifest, wanted=wanted, known=observed.compiled)
            self.compiled.update(dict.fromkeys(compiled, compiled))
            if project is not projects[0]:
                self.homes.update(dict.fromkeys(wanted, _home(project)))

    def _models(self) -> list[str]:
        writers = [writer for asset in self.graph.assets.values() for writer in asset.writers]
        return [writer.id for writer in writers if writer.engine == "dbt" and writer.strategy != "seed"]

    def table(self, asset: Asset) -> TableSql:
        """One asset's table, as the analysis wants it."""
        name = relation_name(asset)
        known, closed = self._known(asset)
        writers = asset.writers
        if not writers:
            reason = "" if closed else _reason_for_source(asset, known=bool(known))
            return TableSql(name, known=known, closed=closed, reason=reason)
        if len(writers) > 1:
            return TableSql(name, known=known, closed=closed, reason="it has several writers")
        writer = writers[0]
        if writer.engine == "python":
            return TableSql(name, known=known, closed=closed, reason="" if known else "it was not built yet")
        if writer.strategy == "seed":
            header = self._seed_header(asset, seen=known or ())
            return TableSql(name, known=header or known, closed=closed or bool(header))
        compiled = self.compiled[writer.id][writer.id] if writer.id in self.compiled else None
        if compiled is None or compiled.full is None or compiled.language != "sql":
            python = compiled is not None and compiled.language != "sql"
            reason = (compiled.reason if compiled is not None else None) or "it has no SQL"
            return TableSql(
                name, known=known, closed=closed, reason="Python models are not followed" if python else reason
            )
        home = self.homes.get(writer.id)
        return TableSql(name, sql=compiled.full, added=self._added(writer.id), known=known, closed=closed, home=home)

    def _known(self, asset: Asset) -> tuple[Columns | None, bool]:
        """(columns, whether these are all) from the most trusted place other than SQL."""
        if (seen := self.observed.columns.get(asset.key)) is not None:
            return seen, True
        for unique_id in asset.dbt_ids:
            if (listed := self.catalog.get(unique_id)) is not None:
                return listed, True
        declared = tuple((column.name.lower(), column.type) for column in asset.columns)
        enforced = any(_has_contract(self.nodes.get(unique_id)) for unique_id in asset.dbt_ids)
        return (declared or None), enforced and bool(declared)

    def _seed_header(self, asset: Asset, *, seen: Columns) -> Columns | None:
        """The columns of the file; their types as configured, else as the warehouse has them."""
        node = self.nodes.get(asset.writers[0].id)
        settings = node.settings if node is not None else {}
        types = settings.get("column_types") if isinstance(settings.get("column_types"), Mapping) else {}
        try:
            with (self.root / asset.location.file).open(encoding="utf-8-sig", newline="") as file:
                header = next(csv.reader(file, delimiter=str(settings.get("delimiter") or ",")), [])
        except (OSError, UnicodeDecodeError, csv.Error, TypeError):
            return None
        known = {name.lower(): kind for name, kind in seen}
        known |= {str(name).lower(): str(kind) for name, kind in (types or {}).items()}
        return tuple((name.strip().lower(), known.get(name.strip().lower())) for name in header) or None

    def _added(self, unique_id: str) -> tuple[tuple[str, str | None, tuple[str, ...]], ...]:
        """What dbt adds to a snapshot's query."""
        node = self.nodes.get(unique_id)
        if node is None or node.resource_type != "snapshot":
            return ()
        settings = node.settings
        renamed = settings.get("snapshot_meta_column_names")
        names = {**{name: name for name in _SNAPSHOT_COLUMNS}, "dbt_is_deleted": "dbt_is_deleted"}
        names |= {key: str(value) for key, value in (renamed or {}).items() if value}
        updated = (str(settings["updated_at"]).lower(),) if settings.get("updated_at") else ()
        keys = tuple(str(key).lower() for key in _listed(settings.get("unique_key")))
        origins = {"dbt_scd_id": (*keys, *updated)}
        listed = [*_SNAPSHOT_COLUMNS]
        if settings.get("hard_deletes") == "new_record":
            listed.append("dbt_is_deleted")
        return tuple((names[name], None, origins.get(name, updated)) for name in listed)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value] if value else []


def _has_contract(node: Node | None) -> bool:
    contract = node.settings.get("contract") if node is not None else None
    return isinstance(contract, Mapping) and bool(contract.get("enforced"))


def _reason_for_source(asset: Asset, *, known: bool) -> str:
    return "its columns are known from YAML only, which may not list all" if known else "its columns are not known"


def _read_catalog(project: DbtProject) -> Mapping[str, Columns]:
    """{unique_id: columns} of what `dbt docs generate` found last; empty where it never ran."""
    try:
        content = json.loads((project.choices.project_dir / CATALOG_FILE).read_bytes())
        sections = [content.get("sources") or {}, content.get("nodes") or {}]
        return {
            unique_id: tuple((str(name).lower(), item.get("type")) for name, item in entry["columns"].items())
            for section in sections
            for unique_id, entry in section.items()
        }
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return {}


class _Keys(dict[str, AssetKey | None]):
    """{table: the asset that it is}; each is looked for once, when it is asked for first."""

    def __init__(self, resolve: Callable[[str], AssetKey | None]) -> None:
        super().__init__()
        self.resolve = resolve

    def __missing__(self, table: str) -> AssetKey | None:
        found = self[table] = self.resolve(table)
        return found


class _Sources(Mapping[str, tuple[tuple[AssetKey, str, EdgeKind], ...]]):
    """{column: (asset, column, how) of all that it comes from}, made of an answer about tables as it is asked for.

    A thousand models have eighty thousand edges, and a question follows a hundred of them.
    """

    __slots__ = ("_answer", "_keys")

    def __init__(self, answer: Mapping[str, tuple[tuple[str, str, EdgeKind], ...]], keys: _Keys) -> None:
        self._answer, self._keys = answer, keys

    def __getitem__(self, column: str) -> tuple[tuple[AssetKey, str, EdgeKind], ...]:
        resolved = [(self._keys[table], name, kind) for table, name, kind in self._answer[column]]
        return tuple((key, name, kind) for key, name, kind in resolved if key is not None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._answer)

    def __len__(self) -> int:
        return len(self._answer)


class _Assembler:
    """Answers about tables, as answers about assets."""

    def __init__(self, graph: AssetGraph, found: Mapping[str, TableColumns]) -> None:
        self.graph, self.found = graph, found
        self.by_name = {relation_name(asset): key for key, asset in graph.assets.items() if asset.kind == "asset"}
        self._ends: dict[str, list[AssetKey]] = {}
        for name, key in self.by_name.items():
            self._ends.setdefault(name.rpartition(".")[2], []).append(key)
        self.keys = _Keys(self._resolve)

    def graph_of_columns(self) -> ColumnGraph:
        made: dict[AssetKey, AssetColumns] = {}
        for key, asset in self.graph.assets.items():
            if asset.kind == "asset":
                made[key] = self._python(asset, made) if _is_python(asset) else self._asset(asset)
        return ColumnGraph(made)

    def _asset(self, asset: Asset) -> AssetColumns:
        answer = self.found[relation_name(asset)]
        resolved = [(table, self.keys[table]) for table in answer.reads]
        indirect = [(self.keys[table], name) for table, name in answer.indirect]
        return AssetColumns(
            key=asset.key,
            names=tuple(name for name, _ in answer.columns),
            types={name: kind for name, kind in answer.columns if kind},
            sources=_Sources(answer.sources, self.keys),
            indirect=tuple((key, name) for key, name in indirect if key is not None),
            complete=answer.closed,
            reasons=answer.reasons,
            diagnostics=answer.diagnostics,
            reads=tuple(dict.fromkeys(key for _, key in resolved if key is not None)),
            unknown_reads=tuple(table for table, key in resolved if key is None),
        )

    def _python(self, asset: Asset, made: Mapping[AssetKey, AssetColumns]) -> AssetColumns:
        """A function is not followed: columns of the same name are taken for the same, others may come from any."""
        answer = self.found[relation_name(asset)]
        upstream = sorted(key for key in asset.reads if key in made)
        sources: dict[str, tuple[tuple[AssetKey, str, EdgeKind], ...]] = {}
        for name, _ in answer.columns:
            same = [(key, found) for key in upstream if (found := made[key].find(name)) is not None]
            sources[name] = tuple((key, found, "copy") for key, found in same) or tuple(
                (key, ALL, "expression") for key in upstream
            )
        if not answer.closed:
            sources[ALL] = tuple((key, ALL, "expression") for key in upstream)
        said = "Python is not followed: columns of the same name are taken for the same, others may come from any"
        return AssetColumns(
            key=asset.key,
            names=tuple(name for name, _ in answer.columns),
            types={name: kind for name, kind in answer.columns if kind},
            sources=sources if upstream else {},
            complete=answer.closed,
            reasons=(*answer.reasons, *((said,) if upstream else ())),
        )

    def _resolve(self, name: str) -> AssetKey | None:
        """The asset that a relation in SQL is; by the end of its name where that is enough to tell."""
        table = name.lower()
        if (exact := self.by_name.get(table)) is not None:
            return exact
        parts = table.split(".")
        similar = [
            key for key in self._ends.get(parts[-1], ()) if same_end(relation_name(self.graph[key]).split("."), parts)
        ]
        return similar[0] if len(similar) == 1 else None


def _is_python(asset: Asset) -> bool:
    return any(writer.engine == "python" for writer in asset.writers)


__all__ = ["Observed", "load_columns", "relation_name"]
