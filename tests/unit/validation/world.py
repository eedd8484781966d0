"""Small dbt projects told as SQL and YAML in Python, analysed and ready for the rules; no dbt, no file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.columns import AssetColumns, ColumnGraph
from orchestrator.graph.model import Asset
from orchestrator.loaders.columns import relation_name
from orchestrator.loaders.dbt_assets import build_fragment
from orchestrator.loaders.manifest import build_manifest
from orchestrator.loaders.merge import merge
from orchestrator.sql.project import TableColumns, TableSql, analyze_tables
from orchestrator.validation.exact import Table, bind_tables
from orchestrator.validation.subject import Subject

Tested = tuple[str, str, str]
"""(unique_id, column, test)"""


def model(name: str) -> str:
    return f"model.shop.{name}"


def source(name: str) -> str:
    return f"source.shop.raw.{name}"


def world(
    models: Mapping[str, str],
    *,
    sources: Mapping[str, Sequence[str] | None] | None = None,
    reads: Mapping[str, Sequence[str]] | None = None,
    columns: Mapping[str, Mapping[str, str | None]] | None = None,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    tests: Sequence[Tested] = (),
    exposed: Sequence[str] = (),
    unselected: Sequence[str] = (),
    asks_duckdb: bool = False,
) -> Subject:
    """Models `shop.NAME` in `dev.shop` and sources `raw.NAME` in `dev.raw`.

    `models` is {name: compiled SQL}, `sources` {name: "column type" each, None where nobody knows}, `reads` {model:
    unique_ids it declares}, `columns` {unique_id: what YAML says}, `config` {unique_id: dbt config}.
    """
    sources, reads, columns, config = sources or {}, reads or {}, columns or {}, config or {}
    nodes = {
        model(name): {
            "unique_id": model(name),
            "name": name,
            "resource_type": "model",
            "package_name": "shop",
            "original_file_path": f"models/{name}.sql",
            "patch_path": "shop://models/models.yml",
            "database": "dev",
            "schema": "shop",
            "raw_code": sql,
            "depends_on": {"nodes": list(reads.get(name, ()))},
            "config": {"materialized": "table", **config.get(model(name), {})},
            "columns": _yaml(columns.get(model(name), {})),
        }
        for name, sql in models.items()
    }
    nodes |= {
        f"test.shop.{kind}_{at}": {
            "unique_id": f"test.shop.{kind}_{at}",
            "name": f"{kind}_{at}",
            "resource_type": "test",
            "package_name": "shop",
            "original_file_path": "models/models.yml",
            "attached_node": unique_id,
            "column_name": column,
            "depends_on": {"nodes": [unique_id]},
            "test_metadata": {"name": kind},
        }
        for at, (unique_id, column, kind) in enumerate(tests)
    }
    listed = {
        source(name): {
            "unique_id": source(name),
            "source_name": "raw",
            "name": name,
            "resource_type": "source",
            "package_name": "shop",
            "original_file_path": "models/sources.yml",
            "database": "dev",
            "schema": "raw",
            "columns": _yaml(columns.get(source(name), {})),
            "config": dict(config.get(source(name), {})),
        }
        for name in sources
    }
    exposure = {
        "unique_id": "exposure.shop.board",
        "name": "board",
        "resource_type": "exposure",
        "package_name": "shop",
        "depends_on": {"nodes": [model(name) for name in exposed]},
    }
    manifest = build_manifest(
        json.dumps(
            {
                "metadata": {"project_name": "shop", "adapter_type": "duckdb"},
                "nodes": nodes,
                "sources": listed,
                "exposures": {"exposure.shop.board": exposure} if exposed else {},
            }
        ).encode()
    )
    fragment = build_fragment(manifest, project_dir=Path("/shop"), workspace_root=Path("/shop"))
    graph = merge([fragment]).graph
    known = {AssetKey("raw", name): _columns(listed) for name, listed in sources.items()}
    sql = {AssetKey("shop", name): text for name, text in models.items()}
    found = _analysed([graph[key] for key in graph.assets], known, sql)
    subject = Subject(
        graph=graph,
        columns=found,
        manifest=manifest,
        selected=frozenset(graph.assets) - {AssetKey.parse(name) for name in unselected},
    )
    return replace(subject, bound=dict(_bound(subject, sql))) if asks_duckdb else subject


def _yaml(columns: Mapping[str, str | None]) -> dict[str, Any]:
    return {name: {"name": name, "data_type": kind} for name, kind in columns.items()}


def _columns(listed: Sequence[str] | None) -> tuple[tuple[str, str | None], ...] | None:
    if listed is None:
        return None
    return tuple((text.partition(" ")[0], text.partition(" ")[2] or None) for text in listed)


def _analysed(assets: Sequence[Asset], known: Mapping[AssetKey, Any], sql: Mapping[AssetKey, str]) -> ColumnGraph:
    tables = [
        TableSql(relation_name(asset), sql=sql.get(asset.key), known=known.get(asset.key), closed=True)
        for asset in assets
    ]
    found = analyze_tables(tables, dialect="duckdb", default_db="dev", default_schema="main")
    keys = {relation_name(asset): asset.key for asset in assets}
    return ColumnGraph({asset.key: _entry(asset.key, found[relation_name(asset)], keys) for asset in assets})


def _entry(key: AssetKey, answer: TableColumns, keys: Mapping[str, AssetKey]) -> AssetColumns:
    return AssetColumns(
        key,
        names=tuple(name for name, _ in answer.columns),
        types={name: kind for name, kind in answer.columns if kind},
        complete=answer.closed,
        reasons=answer.reasons,
        diagnostics=answer.diagnostics,
        reads=tuple(keys[name] for name in answer.reads if name in keys),
        unknown_reads=tuple(name for name in answer.reads if name not in keys),
    )


def _bound(subject: Subject, sql: Mapping[AssetKey, str]) -> Iterator[tuple[AssetKey, Any]]:
    names = {key: ("dev", key.layer, key.name) for key in subject.graph.assets}
    tables = {}
    for key, entry in subject.columns.assets.items():
        known = tuple((name, entry.types.get(name)) for name in entry.names) if entry.complete else None
        tables[str(key)] = Table(names[key], known, sql.get(key), None, tuple(names[read] for read in entry.reads))
    for key, bound in bind_tables(tables, default=("dev", "main")).items():
        yield AssetKey.parse(key), bound
