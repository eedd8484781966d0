"""The database that a dbt profile's target is, as Python opens it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.resources.database import Database
from orchestrator.resources.dbt_profile import Profile
from orchestrator.resources.duckdb import DuckDBFile

_LIBPQ = ("host", "port", "user", "sslmode", "sslcert", "sslkey", "sslrootcert", "connect_timeout", "keepalives_idle")
"""Settings that dbt-postgres and libpq call by one name."""


def database_of(profile: Profile) -> Database | None:
    """The target's database; None for adapters that Python does not open, and for DuckDB in memory."""
    if profile.duckdb_path is not None:
        return DuckDBFile(profile.duckdb_path, config=profile.duckdb_config, settings=profile.duckdb_settings)
    if profile.adapter == "postgres":
        from orchestrator.resources.postgres import PostgresDatabase

        return PostgresDatabase(
            libpq_keywords(profile.output),
            profile.database,
            role=profile.output.get("role"),
            fix=f"check the target '{profile.target}' in {profile.path}, and that the server runs",
        )
    return None


def libpq_keywords(output: Mapping[str, Any]) -> dict[str, Any]:
    """What dbt-postgres hands to psycopg2, by libpq's names.

    >>> libpq_keywords({"host": "db", "pass": "", "dbname": "shop", "search_path": "a, b", "threads": 4})
    {'host': 'db', 'dbname': 'shop', 'password': '', 'options': '-c search_path=a,b'}
    """
    found = {name: output[name] for name in _LIBPQ if output.get(name) not in (None, "", 0)}
    for name, others in {"dbname": ("dbname", "database"), "password": ("password", "pass")}.items():
        value = next((output[other] for other in others if output.get(other) is not None), None)
        if value is not None:
            found[name] = str(value)
    if search_path := output.get("search_path"):
        found["options"] = f"-c search_path={str(search_path).replace(' ', '')}"
    return found
