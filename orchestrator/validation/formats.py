"""Findings for programs: JSON, GitHub's workflow commands, SARIF 2.1.0."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from orchestrator.validation.findings import RULES, SEVERITIES, Finding
from orchestrator.validation.validate import Report

GITHUB_COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}
SARIF_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def report_json(report: Report, *, environment: str, schema_version: int) -> dict[str, Any]:
    """`validate --json`."""
    return {
        "schema_version": schema_version,
        "environment": environment,
        "exit_code": report.exit_code,
        "summary": {severity: report.count(severity) for severity in SEVERITIES}
        | {"models": report.models, "unchecked": report.unchecked},
        "findings": [
            {
                "rule": finding.rule,
                "severity": finding.severity,
                "message": finding.message,
                "file": finding.file,
                "line": finding.line,
                "column": finding.column,
                "exact": finding.exact,
                "key": finding.key,
                "fix": finding.fix,
            }
            for finding in report.findings
        ],
        "notes": list(report.notes),
        "resources": [
            {"name": item.name, "location": str(item.location), "answer": item.answer, "problem": item.problem}
            for item in report.opened
        ],
    }


def github_lines(report: Report, *, path: Callable[[str], str] = str) -> Iterator[str]:
    """A workflow command a finding; `path` makes a file relative to the repository.

    https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    """
    for finding in report.findings:
        properties = {
            "file": path(finding.file),
            "line": str(finding.line),
            "col": str(finding.column),
            "title": finding.rule,
        }
        listed = ",".join(f"{name}={_escaped_property(value)}" for name, value in properties.items())
        yield f"::{GITHUB_COMMANDS[finding.severity]} {listed}::{_escaped(_text(finding))}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def _text(finding: Finding) -> str:
    return f"{finding.message}\nfix: {finding.fix}" if finding.fix else finding.message


def sarif(report: Report, *, version: str, path: Callable[[str], str] = str) -> dict[str, Any]:
    """SARIF 2.1.0, as code scanning services take it; `path` makes a file relative to the repository."""
    index = {rule.id: position for position, rule in enumerate(RULES)}
    driver = {
        "name": "orchestrator",
        "version": version,
        "rules": [
            {
                "id": rule.id,
                "shortDescription": {"text": rule.summary},
                "defaultConfiguration": {"level": SARIF_LEVELS[rule.severity]},
            }
            for rule in RULES
        ],
    }
    results = [_result(finding, index[finding.rule], path(finding.file)) for finding in report.findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: Finding, rule: int, file: str) -> dict[str, Any]:
    artifact: dict[str, Any] = {"uri": _uri(file)}
    if not Path(file).is_absolute():
        artifact["uriBaseId"] = "%SRCROOT%"
    # Lines move with every edit; a finding stays the same one.
    identity = hashlib.sha256(f"{finding.rule}\0{file}\0{finding.message}".encode()).hexdigest()
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": SARIF_LEVELS[finding.severity],
        "message": {"text": _text(finding)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": artifact,
                    "region": {"startLine": finding.line, "startColumn": finding.column},
                }
            }
        ],
        "partialFingerprints": {"orchestratorFinding/v1": identity},
    }


def _uri(file: str) -> str:

    return Path(file).as_uri() if Path(file).is_absolute() else quote(file)


def repository_path(root: Path) -> Callable[[str], str]:
    """From a path relative to `root` to one relative to the git repository around it, as GitHub wants them."""
    root = root.resolve()
    repository = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)

    def relative(file: str) -> str:
        full = root / file
        return full.relative_to(repository).as_posix() if full.is_relative_to(repository) else file

    return relative


__all__ = ["github_lines", "report_json", "repository_path", "sarif"]
