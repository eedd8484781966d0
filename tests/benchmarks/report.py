"""The figures as JSON for machines and as a table of 80 columns for people."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import median
from tests.benchmarks.suite import Row

SCHEMA_VERSION = 1
VERSIONS = ("dbt-orchestrator", "dbt-core", "dbt-duckdb", "duckdb", "prefect", "sqlglot")


def build_document(rows: Sequence[Row], *, repeats: int, as_of: datetime) -> dict[str, Any]:
    """What is written to bench-results.json."""
    return {
        "schema_version": SCHEMA_VERSION,
        "at": as_of.isoformat(timespec="seconds"),
        "repeats": repeats,
        "machine": {"system": platform.system(), "cpus": os.cpu_count(), "python": platform.python_version()},
        "versions": {name: metadata.version(name) for name in VERSIONS},
        "rows": [{**asdict(row), "met": row.met} for row in rows],
    }


def write_document(file: Path, document: dict[str, Any]) -> None:
    """The document, readable in a diff."""
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def build_table(rows: Sequence[Row]) -> str:
    """One line a measurement, at most 80 columns wide.

    >>> print(build_table([Row(name="--help", value=0.1, limit=0.25, unit="CPU-s", ours=(0.1, 0.1))]))
    measurement                             ours       dbt      value   target
    --help                                  0.10               0.10 s   0.25 s  ok
    """
    lines = [f"{'measurement':38}{'ours':>6}{'dbt':>10}{'value':>11}{'target':>9}"]
    for row in rows:
        line = f"{row.name:38}{_middle(row.ours):>6}{_middle(row.theirs):>10}"
        value = _shown(row.value, row.unit) if row.unit else ""
        limit = _shown(row.limit, row.unit) if row.unit and row.limit is not None else ""
        verdict = "" if row.limit is None else "ok" if row.met else "MISSED"
        lines.append(f"{line}{value:>11}{limit:>9}  {verdict}".rstrip())
    return "\n".join(lines)


def _middle(figures: Sequence[float]) -> str:
    return f"{median(figures):.2f}" if figures else ""


def _shown(value: float, unit: str) -> str:
    match unit:
        case "x":
            return f"{value:.2f} x"
        case "MB":
            return f"{value:.0f} MB"
    return f"{value:.2f} s"
