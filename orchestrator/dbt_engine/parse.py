"""Parse a dbt project in process."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.dbt_engine.invocation import DBT_LOCK, DbtInvocation
from orchestrator.dbt_engine.messages import MISSING_PACKAGES, dbt_error, one_line

MANIFEST_FILE = "manifest.json"
LOCK_FILE = "package-lock.yml"
_SAID_BY_THE_EXCEPTION = ("MainEncounteredError", "MainStackTrace")


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
        result, heard = _invoke("parse", invocation, write_json)
        if _misses_packages(result) and (invocation.project_dir / LOCK_FILE).is_file():
            install_packages(invocation)
            result, heard = _invoke("parse", invocation, write_json)
    raise_interrupt(result.exception)
    if not result.success or result.result is None:
        text = "\n".join([str(result.exception or "dbt cannot parse the project"), *heard.errors])
        raise dbt_error(text, project_dir=invocation.project_dir) from result.exception
    return ParsedManifest(
        manifest=result.result,
        path=invocation.target_path / MANIFEST_FILE,
        env_vars=tuple(sorted(result.result.env_vars)),
        warnings=heard.warnings(),
    )


def install_packages(invocation: DbtInvocation) -> None:
    """`dbt deps`. Raises DbtProjectError."""
    from dbt.cli.main import dbtRunner

    with DBT_LOCK:
        started_in = Path.cwd()
        try:
            result = dbtRunner().invoke(["deps", *invocation.project_args()])
        finally:
            os.chdir(started_in)  # `deps` alone of dbt's commands goes to the project and stays there
    raise_interrupt(result.exception)
    if not result.success:
        raise dbt_error(result.exception, project_dir=invocation.project_dir) from result.exception


def raise_interrupt(error: BaseException | None) -> None:
    """dbt hands a Ctrl-C on like any other error; it is one all the same."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        error = error.__cause__


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


def _invoke(command: str, invocation: DbtInvocation, write_json: bool) -> tuple[Any, _Listener]:
    from dbt.cli.main import dbtRunner

    heard = _Listener()
    writing = "--write-json" if write_json else "--no-write-json"
    arguments = [command, *invocation.global_args(), writing, "--show-all-deprecations"]
    try:
        return dbtRunner(callbacks=[heard.take]).invoke(arguments), heard
    finally:
        release_warehouse()


def _misses_packages(result: Any) -> bool:
    return result.exception is not None and MISSING_PACKAGES in str(result.exception)


class _Listener:
    """A dbt event callback that keeps the warnings: the first text of each kind, and how many there were.

    Errors that dbt only logs (what is wrong with the semantic models) are kept too.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.first: dict[str, str] = {}
        self.counts: Counter[str] = Counter()

    def take(self, event: Any) -> None:
        if event.info.level == "error" and event.info.name not in _SAID_BY_THE_EXCEPTION:
            self.errors.append(event.info.msg)
        if event.info.level != "warn" or event.info.name == "DeprecationsSummary":
            return
        self.counts[event.info.name] += 1
        self.first.setdefault(event.info.name, one_line(event.info.msg))

    def warnings(self) -> tuple[str, ...]:
        return tuple(
            text if self.counts[name] == 1 else f"{text} (and {self.counts[name] - 1} more like this)"
            for name, text in self.first.items()
        )


__all__ = ["ParsedManifest", "install_packages", "parse_project", "release_warehouse"]
