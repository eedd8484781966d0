"""What one attempt of a Python step may touch: the assets it declared, through connections that can be interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.definitions.assets import DbtReference, GraphReference, PythonAsset, Table
from orchestrator.definitions.context import Context
from orchestrator.definitions.events import Materialization
from orchestrator.definitions.keys import AssetKey, Location, Relation
from orchestrator.errors import ExecutionError, ResourceError, UndeclaredResourceError
from orchestrator.execution.elsewhere import Host, run_elsewhere
from orchestrator.graph.model import Asset, AssetGraph
from orchestrator.loaders.projects import Project, relate
from orchestrator.resources.database import Database
from orchestrator.resources.observer import ObservedConnection, sent
from orchestrator.resources.own_database import in_its_own

OPENED = "use a target of type duckdb (a file) or postgres, or write the table with a dbt model"


@dataclass(frozen=True, slots=True)
class Names:
    """From the objects in users' code to assets."""

    graph: AssetGraph
    ids: Mapping[str, AssetKey]
    """{draft id or reference id: asset}"""
    project: Project | None = None
    """Whose code it is: names of dbt nodes and tables mean its own first."""

    def place(self, key: AssetKey, writer: str) -> Location:
        """Where a writer of an asset is written."""
        asset = self.graph[key]
        return next((item.location for item in asset.writers if item.id == writer), asset.location)

    def find(self, reference: Any) -> Asset | None:
        """The asset that an object stands for; None for a table that nobody knows."""
        match reference:
            case DbtReference() if self.project is not None:
                key = self.ids.get(self.project.references.get(reference.id, reference.id))
            case PythonAsset() | DbtReference() | GraphReference():
                key = self.ids.get(reference.id)
            case Table():
                relation = self.project.relate(reference) if self.project is not None else relate(reference, None)
                key = self.ids.get(f"table:{relation}") or self._at(relation)
            case _:
                key = None
        return self.graph[key] if key in self.graph.assets and key is not None else None

    def _at(self, relation: Relation) -> AssetKey | None:
        """The asset of a table that no code names, so that an error can name it."""
        return next((key for key, asset in self.graph.assets.items() if asset.relation == relation), None)


@dataclass(slots=True)
class AttemptSession:
    """The `Session` of one attempt. `interrupt` stops what it is running and lets it open nothing more."""

    names: Names
    database: Database | None
    asset: Asset
    declared: frozenset[AssetKey]
    label: str = ""
    """Whose connections these are, for those who look at the server."""
    host: Host | None = None
    """For work that runs elsewhere; none where a check is evaluated."""
    database_for: Callable[[Any], Database | None] | None = None
    """{resource: its database}; where it is not given there is one database only."""
    _connections: list[tuple[Database, Any]] = field(default_factory=list)
    _stops: list[Callable[[], None]] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _closed: bool = False

    def read(self, reference: Any, *, columns: Sequence[str] | None) -> Any:
        """The rows of an asset as a pyarrow.Table. Raises UndeclaredResourceError for one the loader did not see."""
        found = self.names.find(reference)
        if found is None:
            raise UndeclaredResourceError(
                f"{self.asset.key} reads {getattr(reference, 'name', reference)!r}, which is no known asset",
                fix="name a dbt model, a source or an asset of this workspace",
            )
        if found.key != self.asset.key and found.key not in self.declared:
            raise UndeclaredResourceError(
                f"{self.asset.key} reads {found.key}, which its code did not show when it was loaded",
                at=str(self.asset.location),
                fix="refer to it by name in the function, or add it to after=[…], so that it is built first",
            )
        if found.relation is None:
            raise ResourceError(f"{found.key} has no table that could be read")
        resource = _resource_of(reference)
        relation = in_its_own(found.relation, resource)
        return self.opened(resource).read(relation, columns=columns, connection=self.connect(resource))

    def connection(self, resource: Any) -> Any:
        """An observed connection of this attempt's own, on the database that the whole run shares."""
        return ObservedConnection(self.connect(resource), resource)

    def execute(self, resource: Any, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run one statement; its rows, or an empty list."""
        sent(resource, sql)
        return self.opened(resource).execute(self.connect(resource), sql, parameters)

    def opened(self, resource: Any = None) -> Database:
        """The resource's database, or the environment's. Raises ResourceError where Python cannot open it."""
        database = self.database_for(resource) if self.database_for is not None else self.database
        if database is None:
            raise ResourceError("this environment's warehouse cannot be opened from Python", fix=OPENED)
        return database

    def connect(self, resource: Any = None) -> Any:
        """A connection that `interrupt` reaches."""
        database = self.opened(resource)
        with self._guard:
            if self._closed:
                raise ResourceError("this attempt has been stopped; it can open nothing more")
            connection = database.connect(label=self.label)
            self._connections.append((database, connection))
            return connection

    def run_elsewhere(self, work: Any, context: Context, **how: Any) -> Materialization:
        """Run a Shell, an ExternalPython or a RemoteJob. Raises ExternalWorkError."""
        if self.host is None:
            raise ExecutionError(
                f"{self.asset.key}: work that runs elsewhere has no place in a check",
                fix="run it in the asset, which reports checks: context.check(…) of orchestrator.external",
            )
        return run_elsewhere(work, context, self.host, **how)

    def on_stop(self, stop: Callable[[], None]) -> None:
        """Have `stop` called when the attempt is stopped; now, if it has been."""
        with self._guard:
            if not self._closed:
                self._stops.append(stop)
                return
        stop()

    def interrupt(self) -> None:
        """Stop running statements and work elsewhere, from another thread; returns when processes are gone."""
        with self._guard:
            self._closed = True
            stops, self._stops = self._stops, []
            connections = list(self._connections)
        try:
            for database, connection in connections:
                database.interrupt(connection)
        finally:
            for stop in stops:
                stop()

    def close(self) -> None:
        """Give the connections back."""
        with self._guard:
            self._closed = True
            for _, connection in self._connections:
                connection.close()
            self._connections.clear()


def _resource_of(reference: Any) -> Any:
    """The resource that a table or an asset names; None for what dbt writes."""
    table = reference.table if isinstance(reference, PythonAsset) else reference
    return table.resource if isinstance(table, Table) else None
