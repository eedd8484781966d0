"""What a selector of selectors.yml selects, as dbt itself evaluates it: `dbt ls`."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.dbt_engine.build import own_copy
from orchestrator.dbt_engine.invocation import DBT_LOCK, DbtInvocation
from orchestrator.dbt_engine.messages import dbt_error
from orchestrator.dbt_engine.parse import release_warehouse


def select_nodes(invocation: DbtInvocation, manifest: Any, *, selector: str) -> frozenset[str]:
    """unique_ids of all that the selector selects, tests included. Raises DbtProjectError."""
    from dbt.cli.main import dbtRunner

    command = ["ls", "--selector", selector, "--output", "json", "--output-keys", "unique_id", "--no-write-json"]
    with DBT_LOCK:
        try:
            result = dbtRunner(manifest=own_copy(manifest)).invoke([*command, *invocation.global_args()])
        finally:
            release_warehouse()
    if not result.success:
        raise dbt_error(result.exception, project_dir=invocation.project_dir) from result.exception
    lines: Any = result.result or []
    return frozenset(json.loads(line)["unique_id"] for line in lines)


__all__ = ["select_nodes"]
