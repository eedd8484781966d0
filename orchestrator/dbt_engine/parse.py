"""Parse a dbt project in process."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.dbt_engine.invocation import DBT_LOCK, DbtInvocation
from orchestrator.dbt_engine.messages import MISSING_PACKAGES, dbt_error, one_line

MANIFEST_FILE = "manifest.json"
LOCK_FILE = "package-lock.yml"


@dataclass(frozen=True, slots=True)
class ParsedManifest:
    """dbt's answer to `parse`."""

    manifest: Any = field(repr=False)
    """dbt's own Manifest. Give each invocation a deep copy: a second one on the same object breaks."""
    path: Path
    """manifest.json, up to date only when it was asked for."""
    env_vars: tuple[str, ...] = ()
    """Names of the environment variables that dbt recorded as read."""
    warnings: tuple[str, ...] = ()
    """One line each; the same kind of warning is counted, not repeated."""


def parse_project(invocation: DbtInvocation, *, write_json: bool = True) -> ParsedManifest:
    """Parse with partial parsing in our own target path. Raises DbtProjectError.

    Missing packages are installed once where a package-lock.yml says which. Slow: seconds for a cold parse, 5 CPU-s
    for the first import of dbt.
    """
    invocation.target_path.mkdir(parents=True, exist_ok=True)
    with DBT_LOCK:
        result, warnings = _invoke("parse", invocation, write_json)
        if _misses_packages(result) and (invocation.project_dir / LOCK_FILE).is_file():
            install_packages(invocation)
            result, warnings = _invoke("parse", invocation, write_json)
    if not result.success or result.result is None:
        raise dbt_error(result.exception, project_dir=invocation.project_dir) from result.exception
    return ParsedManifest(
        manifest=result.result,
        path=invocation.target_path / MANIFEST_FILE,
        env_vars=tuple(sorted(result.result.env_vars)),
        warnings=warnings.lines(),
    )


def install_packages(invocation: DbtInvocation) -> None:
    """`dbt deps`. Raises DbtProjectError."""
    from dbt.cli.main import dbtRunner

    with DBT_LOCK:
        result = dbtRunner().invoke(["deps", *invocation.project_args()])
    if not result.success:
        raise dbt_error(result.exception, project_dir=invocation.project_dir) from result.exception


def release_warehouse() -> None:
    """Let go of every connection that dbt has left open in this process. dbt-duckdb keeps its file locked after
    `invoke()`; only dropping its environment and collecting it closes the file."""
    if "dbt.adapters.factory" not in sys.modules:
        return
    from dbt.adapters.factory import reset_adapters

    with DBT_LOCK:
        reset_adapters()
        connections = sys.modules.get("dbt.adapters.duckdb.connections")
        if connections is not None and connections.DuckDBConnectionManager._ENV is not None:
            connections.DuckDBConnectionManager.close_all_connections()
            gc.collect()


def _invoke(command: str, invocation: DbtInvocation, write_json: bool) -> tuple[Any, _Warnings]:
    from dbt.cli.main import dbtRunner

    warnings = _Warnings()
    writing = "--write-json" if write_json else "--no-write-json"
    arguments = [command, *invocation.global_args(), writing, "--show-all-deprecations"]
    try:
        return dbtRunner(callbacks=[warnings.take]).invoke(arguments), warnings
    finally:
        release_warehouse()


def _misses_packages(result: Any) -> bool:
    return result.exception is not None and MISSING_PACKAGES in str(result.exception)


class _Warnings:
    """A dbt event callback that keeps the warnings: the first text of each kind, and how many there were."""

    def __init__(self) -> None:
        self.first: dict[str, str] = {}
        self.counts: Counter[str] = Counter()

    def take(self, event: Any) -> None:
        if event.info.level != "warn" or event.info.name in ("DeprecationsSummary",):
            return
        self.counts[event.info.name] += 1
        self.first.setdefault(event.info.name, one_line(event.info.msg))

    def lines(self) -> tuple[str, ...]:
        return tuple(
            text if self.counts[name] == 1 else f"{text} (and {self.counts[name] - 1} more like this)"
            for name, text in self.first.items()
        )


__all__ = ["ParsedManifest", "install_packages", "parse_project", "release_warehouse"]
