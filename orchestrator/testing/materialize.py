"""Runs some definitions by themselves, as a run would, on a database of their own."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestrator.config import Config
from orchestrator.definitions.assets import Definition, PythonAsset, Table
from orchestrator.definitions.keys import AssetKey, Location, Relation
from orchestrator.definitions.resources import Resource
from orchestrator.errors import DefinitionError, DefinitionErrors, ExecutionError, OrchestratorError
from orchestrator.execution.executor import run_plan
from orchestrator.execution.results import RunResult
from orchestrator.execution.session import Names
from orchestrator.graph.model import Asset
from orchestrator.loaders.fragments import DraftAsset, Fragment
from orchestrator.loaders.merge import merge
from orchestrator.loaders.python_modules import PythonProject, read_definitions
from orchestrator.resources.database import Database
from orchestrator.resources.duckdb import DuckDBFile
from orchestrator.workspace import Workspace, draft_ids

DBT_SCHEMA = "dbt"


@dataclass(frozen=True, slots=True)
class Materialized:
    """How it went, and what is there now."""

    result: RunResult
    names: Names
    database: DuckDBFile
    _directory: Any = field(repr=False)
    """Lives as long as this object does."""

    @property
    def succeeded(self) -> bool:
        """True when every step and check did."""
        return self.result.status == "succeeded"

    @property
    def steps(self) -> dict[str, str]:
        """{key of asset or action: status}"""
        return {step.key: step.status for step in self.result.steps}

    @property
    def checks(self) -> dict[str, str]:
        """{name: status}"""
        return {check.name: check.status for check in self.result.checks}

    def rows(self, asset: Any) -> Any:
        """The rows of an asset, a table or a dbt model as a pyarrow.Table."""
        try:
            return self.database.read(_relation(self.names, asset))
        finally:
            self.database.close()

    def metadata(self, asset: PythonAsset[..., Any]) -> dict[str, Any]:
        """{name: value} of what the function recorded."""
        step = next(step for step in self.result.steps if step.writer == asset.id)
        return {
            name: item["value"]
            for name, item in (step.materialization.metadata if step.materialization else {}).items()
        }


def materialize(
    definitions: Sequence[Definition[..., Any]],
    *,
    tables: Mapping[Any, Any] | None = None,
    resources: Mapping[Resource, Resource] | None = None,
    raise_on_failure: bool = True,
) -> Materialized:
    """Run assets, actions and checks in order, by the executor that runs everything.

    Every table is in one DuckDB file of a temporary directory, whatever the resource. `tables` are rows that are there
    before: {asset, table or dbt model: a frame}. `resources` are overrides, {resource: what stands in for it}. Raises
    DefinitionErrors for wrong definitions, and ExecutionError for the first failure unless `raise_on_failure` is False.
    """
    if not definitions or not all(isinstance(item, Definition) for item in definitions):
        raise DefinitionError("there is nothing to materialize", fix="pass assets, actions and checks: [flights, …]")
    directory = tempfile.TemporaryDirectory(prefix="orchestrator-test-")
    with ExitStack() as overridden:
        for resource, replacement in (resources or {}).items():
            overridden.enter_context(resource.override(replacement))
        workspace = _workspace(Path(directory.name), definitions, list(tables or ()))
        names = Names(workspace.graph, workspace.ids)
        for reference, frame in (tables or {}).items():
            workspace.test_database.replace(_relation(names, reference), frame, before_commit=lambda: None)
        workspace.test_database.close()
        own = [str(key) for key, asset in workspace.graph.assets.items() if not asset.external]
        plan = workspace.plan(["*"] if own else [])
        result = run_plan(workspace, plan)
    done = Materialized(result, names, workspace.test_database, directory)
    if raise_on_failure and not done.succeeded:
        raise _failure(result)
    return done


@dataclass
class _TestWorkspace(Workspace):
    """A workspace whose warehouse is a file in a temporary directory."""

    test_database: DuckDBFile = field(kw_only=True)

    @property
    def database(self) -> DuckDBFile:
        return self.test_database

    def database_for(self, resource: Any, *, id_: str) -> DuckDBFile:
        return self.test_database  # a test opens nothing of its own

    def own_databases_of(self, keys: Iterable[AssetKey]) -> tuple[Database, ...]:
        return ()


def _workspace(root: Path, definitions: Sequence[Definition[..., Any]], tables: Iterable[Any]) -> _TestWorkspace:
    project = _read(definitions)
    fragments = [project.fragment, Fragment(assets=tuple(_read_only(project, tables)))]
    merged = merge(fragments)
    if errors := (*project.fragment.errors, *merged.errors):
        raise DefinitionErrors(errors)
    return _TestWorkspace(
        config=Config(root=root, name="test", records_url=f"sqlite:///{root / 'records.db'}"),
        environment="test",
        graph=merged.graph,
        ids=draft_ids(merged),
        errors=(),
        warnings=(),
        definitions=project.definitions,
        say=lambda line: None,
        test_database=DuckDBFile(root / "test.duckdb"),
    )


def _read(definitions: Sequence[Definition[..., Any]]) -> PythonProject:
    modules = [sys.modules[name] for name in dict.fromkeys(item.module for item in definitions) if name in sys.modules]
    return read_definitions(
        definitions, modules, root=_root(modules, definitions), project="test", relate=_relate, kinds=("duckdb",)
    )


def _root(modules: Sequence[ModuleType], definitions: Sequence[Definition[..., Any]]) -> Path:
    """The directory that the code's package stands in: what is below it counts as the project's code."""
    file = Path(definitions[0].file).resolve()
    depth = modules[0].__name__.count(".") if modules else 0
    return file.parents[depth]


def _relate(table: Table) -> Relation:
    schema, name = ["main", *table.name.split(".")][-2:]
    return Relation.normalised(None, schema, name)


def _read_only(project: PythonProject, tables: Iterable[Any]) -> Iterator[DraftAsset]:
    """Drafts for what is read and not among the definitions: dbt's models and sources, other assets."""
    wanted = {id_ for draft in project.fragment.assets for id_ in draft.reads}
    wanted |= {id_ for check in project.fragment.checks for id_ in check.reads}
    wanted |= {table.id for table in tables if hasattr(table, "id")}
    known = {draft.id for draft in project.fragment.assets}
    for id_ in sorted(wanted - known):
        prefix, _, name = id_.rpartition(":")
        layer, _, last = name.rpartition(".")
        if prefix in ("dbt:model", "dbt:source"):
            kind = prefix.removeprefix("dbt:")
            unique_id = f"{kind}.{'test.' if kind == 'source' or not layer else ''}{name}"
            schema = layer if kind == "source" else DBT_SCHEMA
            yield _external(
                unique_id, AssetKey.of_names(schema, last), Relation.normalised(None, schema, last), unique_id
            )
        elif prefix.startswith("graph:"):
            yield _external(id_, AssetKey.of_names(layer, last), Relation.normalised(None, layer, last))
    for table in tables:
        if isinstance(table, PythonAsset) and table.id not in known and isinstance(table.table, Table):
            relation = _relate(table.table)
            yield _external(table.id, AssetKey(relation.schema, relation.identifier), relation)


def _external(id_: str, key: AssetKey, relation: Relation, *dbt_ids: str) -> DraftAsset:
    asset = Asset(key=key, name=key.name, project="test", location=Location("test"), relation=relation, dbt_ids=dbt_ids)
    return DraftAsset(id_, asset)


def _relation(names: Names, reference: Any) -> Relation:
    found = names.find(reference)
    if found is None or found.relation is None:
        if isinstance(reference, Table):
            return _relate(reference)
        raise ExecutionError(f"{reference!r} has no table here", fix="pass the object that the code under test reads")
    return found.relation


def _failure(result: RunResult) -> OrchestratorError:
    for step in result.steps:
        if step.failure is not None:
            return ExecutionError(f"{step.key} failed: {step.failure.message}", at=step.failure.traceback)
    for check in result.checks:
        if check.status == "failed":
            return ExecutionError(f"check {check.name} on {check.key} failed: {check.reason}")
    return ExecutionError(result.reason or f"the run ended as {result.status}")


__all__ = ["Materialized", "materialize"]
