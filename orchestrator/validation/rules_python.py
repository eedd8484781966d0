"""Rules about Python code and what it opens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator.validation.connections import Opened
from orchestrator.validation.findings import Draft, InFile
from orchestrator.validation.subject import Subject


def direct_connections(subject: Subject) -> Iterator[Draft]:
    """Calls that open a database past every resource: what is done there is in no lineage."""
    for key, item in subject.direct:
        if key is None or key in subject.selected:
            yield Draft(
                "direct-connection",
                f"{item.function} opens a database that is no resource: nobody sees who uses it",
                InFile(item.location.file, item.location.line),
                key=key,
                fix="make it a module-level resource (Warehouse, DuckDB, Postgres, or your own) and use that",
            )


def unopened(opened: Iterable[Opened]) -> Iterator[Draft]:
    """Resources that could not be opened."""
    for item in opened:
        if item.problem is not None:
            place = InFile(item.location.file, item.location.line)
            yield Draft("resource-connection", f"{item.name}: {item.problem}", place, fix=item.fix)


__all__ = ["direct_connections", "unopened"]
