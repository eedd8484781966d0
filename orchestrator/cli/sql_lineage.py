"""`orchestrator lineage --file`: what some SQL reads and writes, without any project."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.columns import indented
from orchestrator.cli.options import WorkspaceOptions
from orchestrator.cli.output import make_console, print_json
from orchestrator.errors import ConfigError, OrchestratorError
from orchestrator.sql import SqlLineage, analyze

DIALECT_FIX = "name it, for example --dialect duckdb"


def lineage_of_file(options: WorkspaceOptions, file: str, *, dialect: str | None, schema: Path | None) -> int:
    """Print the lineage of the SQL in `file`. Raises ConfigError when something cannot be read."""
    sql = _read(file)
    known = _schema(schema) if schema is not None else None
    found = analyze(sql, dialect=dialect or _adapter(options), schema=known)
    if options.json:
        print_json(sql_json(found))
    else:
        make_console().print(sql_report(found))
    return 1 if any(item.kind == "parse_error" for item in found.diagnostics) else 0


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise ConfigError(f"cannot read {file}: {reason}", fix="name a file with SQL, or - for standard input") from exc


def _schema(file: Path) -> dict[str, Any]:
    fix = 'write it as {"schema.table": {"column": "type"}}'
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as exc:
        raise ConfigError(f"cannot read {file}: {exc.strerror}", fix=fix) from exc
    except ValueError as exc:
        raise ConfigError(f"{file} is not valid JSON: {exc}", at=str(file), fix=fix) from exc
    if not isinstance(content, dict):
        raise ConfigError(f"{file} holds no JSON object", at=str(file), fix=fix)
    return content


def _adapter(options: WorkspaceOptions) -> str:
    """The dialect of the project around, where there is one."""
    try:
        workspace = options.load()
    except OrchestratorError as exc:
        raise ConfigError("the SQL's dialect is not known", fix=DIALECT_FIX) from exc
    profile = workspace.project.profile if workspace.project is not None else None
    if profile is None or not profile.adapter:
        raise ConfigError("the SQL's dialect is not known", fix=DIALECT_FIX)
    return profile.adapter


def sql_json(found: SqlLineage) -> dict[str, Any]:
    """`lineage --file --json`."""
    return {
        "schema_version": 1,
        "reads": list(found.reads),
        "writes": list(found.writes),
        "columns": {name: [list(ref) for ref in refs] for name, refs in found.columns.items()},
        "kinds": {name: [[*ref, kind] for ref, kind in sources.items()] for name, sources in found.kinds.items()},
        "indirect": [list(ref) for ref in found.indirect],
        "diagnostics": [
            {"kind": item.kind, "message": item.message, "line": item.line, "column": item.column}
            for item in found.diagnostics
        ],
        "exact": found.exact,
        "reasons": list(found.reasons),
    }


def sql_report(found: SqlLineage) -> RenderableType:
    """The same for people."""
    parts: list[RenderableType] = []
    for title, names in (("Reads", found.reads), ("Writes", found.writes)):
        if names:
            parts.append(Text.assemble((f"{title:<8}", "title"), ", ".join(names)))
    if found.columns:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for name, sources in found.kinds.items():
            origins = [f"{table}.{column} ({kind})" for (table, column), kind in sources.items()]
            grid.add_row(f"  {name}", Text(", ".join(origins) or "nothing that is read", style="quiet"))
        parts += [Text("\nColumns", style="title"), grid]
    if found.indirect:
        listed = ", ".join(f"{table}.{column}" for table, column in found.indirect)
        parts += [Text("\nWhich rows there are is decided by", style="title"), indented(listed)]
    for item in found.diagnostics:
        parts.append(Text(f"\n{item.line}:{item.column}  {item.message}", style="bad"))
    said = {item.message for item in found.diagnostics}
    reasons = [reason for reason in found.reasons if reason not in said]
    if reasons:
        parts += [Text("\nNot exact", style="title"), *(indented(reason, style="quiet") for reason in reasons)]
    return Group(*parts) if parts else Text("It reads and writes nothing.")
