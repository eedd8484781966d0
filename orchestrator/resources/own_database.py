"""Databases beside the warehouse of the dbt profile: `DuckDB("other.duckdb")`, `Postgres(Env("REPORTING_URL"))`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from orchestrator.definitions.assets import Table
from orchestrator.definitions.keys import Relation
from orchestrator.definitions.resources import Resource
from orchestrator.errors import OrchestratorError
from orchestrator.resources.warehouse import table_of

if TYPE_CHECKING:
    from orchestrator.definitions.context import Context
    from orchestrator.resources.database import Database


@dataclass(frozen=True)
class OwnDatabase(Resource):
    """What `DuckDB` and `Postgres` share: tables that assets write, statements through the run's connection."""

    def table(self, name: str) -> Table:
        """The table `schema.name` of this database."""
        return table_of(self, name)

    def execute(self, context: Context, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement on the run's own connection; its rows, or an empty list. Parameters: `?` or `%s`."""
        return context.session.execute(self, sql, parameters or ())

    @property
    def database_name(self) -> str:
        """What relations call it; it is asked at load time, so never raises."""
        raise NotImplementedError

    def open(self, root: Path) -> Database:
        """The database, not connected yet; paths are relative to `root`, the workspace."""
        raise NotImplementedError

    def check_connection(self) -> str | None:
        """How many tables it has."""
        database = self.open(Path.cwd())
        try:
            tables = len(database.relations())
        finally:
            database.close()
        return f"{tables:,} table{'' if tables == 1 else 's'}"


@dataclass(frozen=True)
class DuckDB(OwnDatabase):
    """A DuckDB file. A run that uses it holds the only right to write it, as it does the profile's.

        archive = DuckDB("archive.duckdb")

        @asset(archive.table("raw.letters"))
        def letters(context): ...

    A relative path starts at the workspace's root.
    """

    path: str | Path

    @property
    def kinds(self) -> tuple[str, ...]:
        """duckdb"""
        return ("duckdb",)

    @property
    def database_name(self) -> str:
        """As DuckDB derives it from the path."""
        from orchestrator.resources.dbt_profile import database_name

        try:
            return database_name(str(self.resolved.path))
        except OrchestratorError:  # told by the loader
            return "duckdb"

    def open(self, root: Path) -> Database:
        """The file, not opened yet."""
        from orchestrator.resources.duckdb import DuckDBFile

        return DuckDBFile((root / Path(self.resolved.path).expanduser()).resolve())


@dataclass(frozen=True)
class Postgres(OwnDatabase):
    """A PostgreSQL database by its URL, `postgresql://user:password@host:5432/name`.

    The URL may be an `Env` or a `Secret`, or a `password` stand beside it.
    """

    url: str
    password: str | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """postgres"""
        return ("postgres",)

    @property
    def database_name(self) -> str:
        """The database in the URL."""
        try:
            return unquote(urlparse(self.resolved.url).path.lstrip("/")) or "postgres"
        except (OrchestratorError, ValueError):  # told by the loader
            return "postgres"

    def open(self, root: Path) -> Database:
        """The database, not connected yet."""
        from orchestrator.resources.postgres import PostgresDatabase

        settings = self.resolved
        keywords = {"dsn": settings.url} | ({"password": settings.password} if settings.password else {})
        return PostgresDatabase(keywords, "", fix="check the url of that resource, and that the server runs")


def in_its_own(relation: Relation, resource: Any) -> Relation:
    """The relation as the resource's own connection knows it: without the database's name, which it is connected to."""
    return Relation("", relation.schema, relation.identifier) if isinstance(resource, OwnDatabase) else relation
