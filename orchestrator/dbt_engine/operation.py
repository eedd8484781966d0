"""Runs a macro of our own on the target's warehouse, whichever adapter it has: `dbt run-operation`."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.dbt_engine.build import own_copy
from orchestrator.dbt_engine.invocation import DBT_LOCK, DbtInvocation
from orchestrator.dbt_engine.messages import dbt_error
from orchestrator.dbt_engine.parse import release_warehouse

ANSWER = "orchestrator:"
"""What a macro logs after this, as JSON, is its answer."""


def run_macro(invocation: DbtInvocation, manifest: Any, *, name: str, sql: str, arguments: dict[str, Any]) -> list[Any]:
    """Call the macro `name` that `sql` defines; what it answers. Raises DbtProjectError when it fails.

    The user's project need not have it: it is put into this invocation's copy of the manifest.
    """
    from dbt.artifacts.resources.types import NodeType
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.nodes import Macro

    answers: list[Any] = []
    errors: list[str] = []

    def take(event: Any) -> None:
        if event.info.msg.startswith(ANSWER):
            answers.append(json.loads(event.info.msg.removeprefix(ANSWER)))
        elif event.info.level == "error":
            errors.append(event.info.msg)

    with DBT_LOCK:
        own = own_copy(manifest)
        project = own.metadata.project_name
        own.macros[f"macro.{project}.{name}"] = Macro(
            name=name,
            resource_type=NodeType.Macro,
            package_name=project,
            path="orchestrator.sql",
            original_file_path="orchestrator.sql",
            unique_id=f"macro.{project}.{name}",
            macro_sql=sql,
        )
        own._macros_by_name = own._macros_by_package = None  # dbt's look-up tables, made anew
        command = ["run-operation", name, "--args", json.dumps(arguments), *invocation.global_args()]
        try:
            result = dbtRunner(manifest=own, callbacks=[take]).invoke(command)
        finally:
            release_warehouse()
    if not result.success:
        text = str(result.exception or "\n".join(errors) or "dbt failed without a message")
        raise dbt_error(text, project_dir=invocation.project_dir) from result.exception
    return answers


__all__ = ["run_macro"]
