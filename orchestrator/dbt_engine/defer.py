"""Reading what another environment has built: dbt's own defer for nodes, and sources put where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.dbt_engine.invocation import DbtInvocation

Names = tuple[str | None, str | None, str]
"""Database, schema and identifier as dbt writes them, not folded."""


def deferring(invocation: DbtInvocation, state: Path) -> DbtInvocation:
    """The invocation whose `ref`s to what is not selected read what the manifest in `state` says."""
    defer = ("--defer", "--favor-state", "--state", str(state))
    return replace(invocation, build_flags=(*invocation.build_flags, *defer))


def place_sources(manifest: Any, places: Mapping[str, Names]) -> None:
    """Point sources (by unique_id) of dbt's Manifest elsewhere: defer does not move them."""
    for unique_id, (database, schema, identifier) in places.items():
        source = manifest.sources.get(unique_id)
        if source is not None:
            source.database, source.schema, source.identifier = database, schema, identifier
            source.relation_name = None  # stale now; dbt makes it from the parts


__all__ = ["Names", "deferring", "place_sources"]
