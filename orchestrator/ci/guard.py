"""Refuses a CI run that would write what belongs to the base's environment (DESIGN §7.9).

Looked at is every table, stored test result and file that would be written, as the project itself names it in the CI
run's place: a `generate_schema_name` that does not look at the target, or a fixed database, is found here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.definitions.keys import Relation
from orchestrator.errors import PlanError
from orchestrator.graph.model import AssetGraph
from orchestrator.loaders.manifest import Manifest, Node

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Written:
    """Something that a writer or check writes."""

    by: str
    target: Relation | str
    """A table, or a file."""
    at: str = ""


def refuse_shared(
    writes: Iterable[Written], belongs: Iterable[Relation | str], *, base: str, schema: str | None
) -> None:
    """Raise PlanError naming all that would be overwritten. `schema` is the place's own where a schema sets it apart.

    A relation without a database is taken to be in every database.
    """
    owned = set(belongs)
    relations = [item for item in owned if isinstance(item, Relation)]
    anywhere = {_without_database(item) for item in relations if not item.database}
    known = {_without_database(item) for item in relations}
    shared = [
        item
        for item in writes
        if item.target in owned
        or (isinstance(item.target, Relation) and _without_database(item.target) in anywhere)
        or (isinstance(item.target, Relation) and not item.target.database and _without_database(item.target) in known)
    ]
    if not shared:
        return
    named = [f"{item.target} ({item.by})" for item in shared[:SHOWN]]
    more = f" and {len(shared) - SHOWN} more" if len(shared) > SHOWN else ""
    raise PlanError(
        f"nothing was built: {len(shared)} of the relations to write belong to the environment '{base}': "
        f"{', '.join(named)}{more}",
        at=", ".join(dict.fromkeys(item.at for item in shared[:SHOWN] if item.at)) or None,
        fix=_fix(schema),
    )


def dbt_writes(manifest: Manifest, ids: Iterable[str] | None = None) -> Iterator[Written]:
    """What dbt nodes (all, or those in `ids`) write: tables, failures that tests store, files."""
    nodes = {**manifest.all_of("nodes"), **manifest.all_of("functions")}
    for unique_id in nodes if ids is None else ids:
        node = nodes.get(unique_id)
        if node is None or not makes_relation(node):
            continue
        yield Written(unique_id, _relation(node), node.original_file_path)
        if node.materialized == "external" and isinstance(location := node.settings.get("location"), str):
            yield Written(unique_id, location, node.original_file_path)


def graph_relations(*graphs: AssetGraph) -> Iterator[Relation]:
    """Where the assets of graphs are."""
    return (asset.relation for graph in graphs for asset in graph.assets.values() if asset.relation is not None)


def makes_relation(node: Node) -> bool:
    """True for what leaves a table or view, tests that store their failures included."""
    if node.materialized == "ephemeral" or node.resource_type in ("operation", "analysis"):
        return False
    return node.resource_type != "test" or _stores(node)


def _stores(node: Node) -> bool:
    return any(map(os.environ.get, ("DBT_STORE_FAILURES", "DBT_ENGINE_STORE_FAILURES"))) or bool(
        node.settings.get("store_failures") or node.settings.get("store_failures_as") in ("table", "view")
    )


def _relation(node: Node) -> Relation:
    return Relation.normalised(node.database, node.schema_, node.alias or node.name)


def _without_database(relation: Relation) -> tuple[str, str]:
    return relation.schema, relation.identifier


def _fix(schema: str | None) -> str:
    if schema is None:
        return "let their database and file names follow the target (no fixed `database` or `location`)"
    return (
        f"let generate_schema_name begin with target.schema (here '{schema}'), and no config fix a schema, so that "
        "each environment has schemas of its own"
    )
