"""One graph for dbt models and Python ingestion. What users import; nothing heavy comes with it."""

from __future__ import annotations

from orchestrator.definitions import metadata
from orchestrator.definitions.assets import PythonAction, PythonAsset, PythonCheck, Table
from orchestrator.definitions.context import Context
from orchestrator.definitions.decorators import action, asset, check, writes
from orchestrator.definitions.events import Materialization
from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.resources import Resource
from orchestrator.definitions.selection import group, kind, owner, path, source, state, tag
from orchestrator.definitions.settings import Env, Secret, SecretSource
from orchestrator.errors import OrchestratorError
from orchestrator.resources.warehouse import Warehouse

__all__ = [
    "AssetKey",
    "Context",
    "Env",
    "Materialization",
    "OrchestratorError",
    "PythonAction",
    "PythonAsset",
    "PythonCheck",
    "Resource",
    "Secret",
    "SecretSource",
    "Table",
    "Warehouse",
    "action",
    "asset",
    "check",
    "group",
    "kind",
    "metadata",
    "owner",
    "path",
    "source",
    "state",
    "tag",
    "writes",
]
__version__ = "0.1.0"
