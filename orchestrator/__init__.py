"""One graph for dbt models and Python ingestion. What users import; nothing heavy comes with it."""

from __future__ import annotations

from orchestrator.definitions import mappings, metadata
from orchestrator.definitions.assets import PythonAction, PythonAsset, PythonCheck, Table
from orchestrator.definitions.context import Context
from orchestrator.definitions.decorators import action, asset, check, writes
from orchestrator.definitions.events import Materialization
from orchestrator.definitions.jobs import Job
from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.partitions import (
    Daily,
    Dynamic,
    Hourly,
    Monthly,
    Multi,
    Quarterly,
    Static,
    Weekly,
    Yearly,
)
from orchestrator.definitions.remote import ExternalPython, JobRequest, JobStatus, RemoteJob, Shell
from orchestrator.definitions.resources import Resource
from orchestrator.definitions.selection import group, kind, owner, path, source, state, tag
from orchestrator.definitions.settings import Env, Secret, SecretSource
from orchestrator.errors import OrchestratorError
from orchestrator.resources.files import Files
from orchestrator.resources.http import Http
from orchestrator.resources.own_database import DuckDB, Postgres
from orchestrator.resources.warehouse import Warehouse

__all__ = [
    "AssetKey",
    "Context",
    "Daily",
    "DuckDB",
    "Dynamic",
    "Env",
    "ExternalPython",
    "Files",
    "Hourly",
    "Http",
    "Job",
    "JobRequest",
    "JobStatus",
    "Materialization",
    "Monthly",
    "Multi",
    "OrchestratorError",
    "Postgres",
    "PythonAction",
    "PythonAsset",
    "PythonCheck",
    "Quarterly",
    "RemoteJob",
    "Resource",
    "Secret",
    "SecretSource",
    "Shell",
    "Static",
    "Table",
    "Warehouse",
    "Weekly",
    "Yearly",
    "action",
    "asset",
    "check",
    "group",
    "kind",
    "mappings",
    "metadata",
    "owner",
    "path",
    "source",
    "state",
    "tag",
    "writes",
]
__version__ = "0.1.0"
