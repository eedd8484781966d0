"""The warehouse that a dbt profile points to, as a module-level object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.definitions.assets import Table
from orchestrator.definitions.resources import Resource
from orchestrator.errors import DefinitionError

if TYPE_CHECKING:
    from orchestrator.definitions.context import Context


@dataclass(frozen=True)
class Warehouse(Resource):
    """The database of a dbt project's profile, in whichever environment the run is.

        warehouse = Warehouse.from_dbt()
        flights = warehouse.table("raw.flights")

    `project` names the dbt project where the workspace has several.
    """

    project: str | None = None

    @classmethod
    def from_dbt(cls, *, project: str | None = None) -> Warehouse:
        """The profile's target of the workspace's dbt project, also in CI and production."""
        return cls(project)

    def table(self, name: str) -> Table:
        """The table `schema.name` (or `database.schema.name`) of this warehouse."""
        return table_of(self, name)

    def execute(self, context: Context, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement on the run's own connection; its rows, or an empty list.

        Parameters are written as the driver wants them: `?` on DuckDB, `%s` on PostgreSQL.
        """
        return context.session.execute(self, sql, parameters or ())


def table_of(resource: Resource, name: str) -> Table:
    """The table `schema.name` of a resource. Raises DefinitionError for anything else."""
    parts = name.split(".")
    if len(parts) not in (2, 3) or not all(parts):
        raise DefinitionError(f"'{name}' does not name a table", fix="write 'schema.table', for example 'raw.flights'")
    return Table(resource, name)
