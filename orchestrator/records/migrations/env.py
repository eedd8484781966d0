"""Run by Alembic for each command; the connection, already in a transaction, comes from `migrations.upgrade`."""

from __future__ import annotations

from alembic import context

from orchestrator.records import schema


def run() -> None:
    """Apply the revisions that are missing."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=schema.metadata,
        version_table=schema.VERSION_TABLE,
    )
    with context.begin_transaction():
        context.run_migrations()


if __name__ == "env_py":  # the name Alembic loads it by; anybody else (a doctest collector) only imports it
    run()
