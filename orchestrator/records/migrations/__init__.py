"""The schema's history, with Alembic. Imported only when a schema must be made or upgraded.

A new revision: change `schema.py`, then write `versions/r0002_what.py` by the model of the one before, and append
its number to `schema.REVISIONS`. A test holds migrations and `schema.py` together.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def upgrade(connection: Connection) -> None:
    """Bring the schema to the newest revision, inside the caller's transaction."""
    config = build_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def build_config() -> Config:
    """Alembic's configuration without an ini file, so that it works from an installed wheel."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
