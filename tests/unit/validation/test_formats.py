"""Findings as programs read them."""

from __future__ import annotations

from pathlib import Path

from orchestrator.validation.findings import RULES, Finding
from orchestrator.validation.formats import github_lines, report_json, repository_path, sarif
from orchestrator.validation.validate import Report

FINDINGS = (
    Finding("models/a, b.sql", 3, 7, "unknown-column", "error", "100 % of it has\nno column x", "shop.a", "write y"),
    Finding("models/s.yml", 1, 1, "unused-source", "info", "nothing reads the source raw.s", exact=False),
)
REPORT = Report(FINDINGS, models=4, unchecked=1, notes=("the columns of raw.s are not known",))


def test_json() -> None:
    assert report_json(REPORT, environment="dev", schema_version=1) == {
        "schema_version": 1,
        "environment": "dev",
        "exit_code": 1,
        "summary": {"error": 1, "warning": 0, "info": 1, "models": 4, "unchecked": 1},
        "findings": [
            {
                "rule": "unknown-column",
                "severity": "error",
                "message": "100 % of it has\nno column x",
                "file": "models/a, b.sql",
                "line": 3,
                "column": 7,
                "exact": True,
                "key": "shop.a",
                "fix": "write y",
            },
            {
                "rule": "unused-source",
                "severity": "info",
                "message": "nothing reads the source raw.s",
                "file": "models/s.yml",
                "line": 1,
                "column": 1,
                "exact": False,
                "key": None,
                "fix": None,
            },
        ],
        "notes": ["the columns of raw.s are not known"],
        "resources": [],
    }


def test_github_escapes_what_would_end_a_command() -> None:
    assert list(github_lines(REPORT, path=lambda file: f"dbt/{file}")) == [
        "::error file=dbt/models/a%2C b.sql,line=3,col=7,title=unknown-column::"
        "100 %25 of it has%0Ano column x%0Afix: write y",
        "::notice file=dbt/models/s.yml,line=1,col=1,title=unused-source::nothing reads the source raw.s",
    ]


def test_sarif_has_the_shape_that_2_1_0_asks_for() -> None:
    log = sarif(REPORT, version="1.2.3", path=str)
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("orchestrator", "1.2.3")
    assert [rule["id"] for rule in driver["rules"]] == [rule.id for rule in RULES]
    levels = {"none", "note", "warning", "error"}
    assert all(rule["shortDescription"]["text"] for rule in driver["rules"])
    assert {rule["defaultConfiguration"]["level"] for rule in driver["rules"]} <= levels
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in levels
        assert isinstance(result["message"]["text"], str)
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert place["artifactLocation"]["uriBaseId"] == "%SRCROOT%"
        assert " " not in place["artifactLocation"]["uri"]
        assert place["region"]["startLine"] >= 1
        assert place["region"]["startColumn"] >= 1
        assert all(isinstance(value, str) for value in result["partialFingerprints"].values())
    assert run["results"][0]["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "models/a%2C%20b.sql", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 3, "startColumn": 7},
    }


def test_files_are_named_from_the_repository_on(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "data").mkdir()
    path = repository_path(tmp_path / "data")
    assert (path("models/a.sql"), path("/elsewhere/b.sql")) == ("data/models/a.sql", "/elsewhere/b.sql")
