"""Which rules are looked for, and how bad each is."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import ConfigError
from orchestrator.validation.findings import RULES, Draft, InFile, Settings, build_settings
from orchestrator.validation.types import differ, type_family


def built(configured: dict[str, Any], *, only: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> Settings:
    return build_settings(configured, at="pyproject.toml", only=list(only), without=list(without), strict=False)


def refused(configured: dict[str, Any], **more: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        built(configured, **more)
    return str(raised.value)


def test_severities_are_the_rules_own_the_findings_or_as_configured() -> None:
    draft = Draft("undeclared-relation", "…", InFile("a.sql"))
    softer = Draft("undeclared-relation", "…", InFile("a.sql"), severity="warning")
    assert (Settings().severity(draft), Settings().severity(softer)) == ("error", "warning")
    assert Settings(strict=True).severity(softer) == "error"
    assert built({"rules": {"undeclared-relation": "info"}}).severity(draft) == "info"


def test_rules_are_switched_off_in_the_configuration_and_on_the_command_line() -> None:
    settings = built({"rules": {"unused-source": "off"}}, without=("parse",))
    assert [rule.id for rule in RULES if not settings.wants(rule.id)] == ["parse", "unused-source"]
    assert [rule.id for rule in RULES if built({}, only=("parse",)).wants(rule.id)] == ["definition", "parse"]


def test_what_is_wrong_in_the_configuration_is_said() -> None:
    assert refused({"rules": {"unused-sources": "off"}}) == (
        "ConfigError: there is no rule 'unused-sources'\n"
        "  at:  pyproject.toml\n"
        "  fix: did you mean 'unused-source' or 'unused-ignore'?"
    )
    assert refused({"rules": {"unused-source": "none"}}) == (
        "ConfigError: the severity of 'unused-source' is 'none'\n"
        "  at:  pyproject.toml\n"
        "  fix: it can be error, warning, info or off"
    )
    assert refused({"rule": {}}) == (
        "ConfigError: unknown setting 'rule' in [tool.orchestrator.validate]\n"
        "  at:  pyproject.toml\n"
        "  fix: did you mean 'rules'?"
    )
    assert refused({"rules": ["parse"]}) == (
        "ConfigError: 'rules' in [tool.orchestrator.validate] must be a table, not ['parse']\n"
        "  at:  pyproject.toml\n"
        '  fix: write rules = {unused-source = "off"}'
    )
    assert refused({}, only=("parsing",)) == ("ConfigError: there is no rule 'parsing'\n  fix: did you mean 'parse'?")


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("integer", "BIGINT", False),
        ("int64", "hugeint", False),
        ("string", "character varying(20)", False),
        ("number(38,0)", "integer", False),
        ("decimal(10,2)", "NUMERIC", False),
        ("decimal(10,2)", "INTEGER", True),
        ("float", "double precision", False),
        ("double", "decimal(10,2)", True),
        ("bool", "BOOLEAN", False),
        ("date", "TIMESTAMP", True),
        ("timestamp", "TIMESTAMP WITH TIME ZONE", False),
        ("timestamptz", "timestamp", False),
        ("json", "VARCHAR", False),
        ("json", "INTEGER", True),
        ("text[]", "array<string>", False),
        ("struct<a int>", "STRUCT(a INTEGER)", False),
        ("Nullable(Int32)", "integer", False),
        ("my_enum", "INTEGER", False),
        (None, "INTEGER", False),
    ],
)
def test_types_differ_by_family(left: str | None, right: str, expected: bool) -> None:
    assert differ(left, right) is expected


def test_unknown_types_have_no_family() -> None:
    assert (type_family("my_enum"), type_family(""), type_family(None)) == (None, None, None)
