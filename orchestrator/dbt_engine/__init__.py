"""The only home of dbt: parse a project, compile its nodes, build a selection, tell what dbt says in its own words.

Comes in: a `DbtInvocation`. Goes out: manifests, events, errors. Always holds: one dbt invocation at a time in a
process (`DBT_LOCK`), and after each of them nothing holds the warehouse. May import: errors, definitions, resources.
dbt itself is imported inside functions, never when this package is.
"""

from __future__ import annotations

from orchestrator.dbt_engine.invocation import DBT_LOCK, DbtInvocation

__all__ = ["DBT_LOCK", "DbtInvocation"]
