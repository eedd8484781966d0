"""Opening each resource once, to see whether it answers: `validate --connect`."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.definitions.keys import Location
from orchestrator.definitions.masking import MASK
from orchestrator.definitions.resources import Resource
from orchestrator.errors import OrchestratorError, ResourceUnavailableError
from orchestrator.resources.warehouse import Warehouse
from orchestrator.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Opened:
    """A resource that was tried: what it answered, or the problem and what to do. Neither: nothing is to be opened."""

    name: str
    location: Location
    answer: str | None = None
    problem: str | None = None
    fix: str | None = None


def open_resources(workspace: Workspace) -> tuple[Opened, ...]:
    """Every resource of the workspace, opened and closed again."""
    return tuple(_opened(workspace, item.name, item.resource, item.location) for item in workspace.resources)


def _opened(workspace: Workspace, name: str, resource: Resource, location: Location) -> Opened:
    try:
        if isinstance(resource, Warehouse):
            return Opened(name, location, _open_warehouse(workspace))
        return Opened(name, location, resource.check_connection())
    except OrchestratorError as exc:
        return Opened(name, location, problem=MASK.text(exc.what), fix=exc.fix)
    except Exception as exc:  # noqa: BLE001  a driver's or a user's own code
        said = MASK.text(str(exc)).strip().splitlines()
        what = f"{type(exc).__name__}: {said[0]}" if said else type(exc).__name__
        return Opened(name, location, problem=what, fix="correct its settings, or start what it points to")


def _open_warehouse(workspace: Workspace) -> str:
    database = workspace.database
    if database is None:
        raise ResourceUnavailableError(
            "this environment's warehouse cannot be opened from Python", fix="use a target of type duckdb"
        )
    tables = len(database.relations())  # read-only: a DuckDB file that is not there yet is not made
    return f"target {workspace.environment}: {tables:,} table{'' if tables == 1 else 's'}"


__all__ = ["Opened", "open_resources"]
