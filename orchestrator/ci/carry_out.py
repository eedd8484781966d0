"""The CI run itself: a fresh place, the base kept still while it is read, and the rows on both sides afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from orchestrator.ci.ownership import claim_schemas
from orchestrator.ci.prepare import Comparison, Prepared
from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import ResourceError
from orchestrator.execution.results import RunResult
from orchestrator.resources.duckdb import DuckDBFile
from orchestrator.resources.file_lock import writer_lock

_VIEWS = ("view", "materialized_view")


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows an asset has; None where that is not known."""

    base: int | None
    head: int | None


@contextmanager
def ready(prepared: Prepared, *, say: Callable[[str], None]) -> Iterator[None]:
    """The place emptied or claimed, and nobody of ours writing to the base's DuckDB file meanwhile."""
    place, timeout_s = prepared.place, prepared.workspace.config.lock_timeout_s
    if place.profile.adapter != "duckdb":
        claim_schemas(prepared.workspace, place.name, prepared.written)
        yield
        return
    with ExitStack() as stack:
        if place.reads is not None and place.reads.exists():
            lock = writer_lock(place.reads, run_id=place.environment, timeout_s=timeout_s, on_wait=say)
            with contextlib.suppress(OSError):  # a directory that is read-only: nobody writes there either
                stack.enter_context(lock)
        with writer_lock(place.database_path, run_id=place.environment, timeout_s=timeout_s, on_wait=say):
            for file in (place.database_path, place.database_path.with_name(place.database_path.name + ".wal")):
                file.unlink(missing_ok=True)
        yield


def count_rows(prepared: Prepared, comparison: Comparison, result: RunResult) -> dict[AssetKey, Rows]:
    """Rows of what was built well, here and in the base: counted where that can be looked into, else as recorded."""
    graph = prepared.workspace.graph
    built = {
        AssetKey.parse(step.key): step.materialization.rows
        for step in result.steps
        if step.status in ("succeeded", "warned") and step.materialization is not None
    }
    tables = {key: rows for key, rows in built.items() if graph[key].writers[0].strategy not in _VIEWS}
    before = _counted(prepared, tables)
    if before is None:
        before = _recorded(comparison)
    return {key: Rows(before.get(key), rows) for key, rows in tables.items()}


def _counted(prepared: Prepared, keys: Mapping[AssetKey, int | None]) -> dict[AssetKey, int | None] | None:
    """Rows in the base; None where this warehouse, or the base's from here, cannot be looked into."""
    database = prepared.workspace.database
    wanted = {key: relation for key, relation in prepared.base_relations.items() if key in keys}
    if database is None:
        return None
    if not wanted or (isinstance(database, DuckDBFile) and not database.attached):
        return {}
    try:
        looks = {key: database.look(relation) for key, relation in wanted.items()}
    except ResourceError:  # somebody has taken the file since, or it is another server: rows are not worth a failure
        return {} if isinstance(database, DuckDBFile) else None
    finally:
        database.close()
    return {key: look.rows if look is not None else None for key, look in looks.items()}


def _recorded(comparison: Comparison) -> dict[AssetKey, int | None]:
    from orchestrator.records import open_records

    base = comparison.base.snapshot
    facts = open_records(base.records_url, create=False).facts(base.environment)
    return {AssetKey.parse(fact.key): fact.rows for fact in facts.writers.values()}
