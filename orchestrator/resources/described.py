"""The warehouse by reference, for work that runs elsewhere: where it is, never how to get in."""

from __future__ import annotations

import re
from typing import Any

from orchestrator.definitions.keys import Relation
from orchestrator.resources.dbt_profile import Profile

SHOWN = (
    "host", "port", "user", "account", "organization", "role", "warehouse", "project", "dataset", "location", "region",
    "region_name", "catalog", "http_path", "server", "driver", "s3_staging_dir", "s3_data_dir", "work_group", "method",
)  # fmt: skip
"""Settings of dbt's adapters that say where a warehouse is. All others may be secret and stay here."""
_ENV_VAR = re.compile(r"env_var\(\s*['\"]([^'\"]+)['\"]")


def describe_warehouse(profile: Profile, relation: Relation | None = None) -> dict[str, Any]:
    """Adapter, database, schema, address, the asset's table; under `env`, {setting: environment variables} of those
    settings that the profile takes from the environment, such as the password."""
    described: dict[str, Any] = {
        "type": "warehouse",
        "adapter": profile.adapter,
        "target": profile.target,
        "database": profile.database,
        "schema": profile.schema,
    }
    if profile.duckdb_path is not None:
        described["path"] = str(profile.duckdb_path)
    described |= {name: profile.output[name] for name in SHOWN if profile.output.get(name) is not None}
    if relation is not None:
        described["relation"] = {
            "database": relation.database,
            "schema": relation.schema,
            "table": relation.identifier,
        }
    described["env"] = {
        str(name): found for name, value in profile.raw_output.items() if (found := _ENV_VAR.findall(str(value)))
    }
    return described
