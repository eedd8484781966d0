"""Comments that ignore findings, and those that ignore nothing."""

from __future__ import annotations

from orchestrator.validation.findings import RULES, Finding, Settings
from orchestrator.validation.ignores import Ignore, apply_ignores, find_ignores

EVERYTHING = frozenset(rule.id for rule in RULES)


def finding(line: int, rule: str = "unknown-column", file: str = "a.sql") -> Finding:
    return Finding(file, line, 1, rule, "error", "x has no column y")


def left(text: str, *findings: Finding, looked_for: frozenset[str] = EVERYTHING) -> list[Finding]:
    ignores = {"a.sql": find_ignores(text)}
    return apply_ignores(findings, ignores, settings=Settings(), looked_for=looked_for, whole=["a.sql"])


def test_every_kind_of_comment_is_understood() -> None:
    text = """\
select a, -- orchestrator: ignore[unknown-column]
       b, /* orchestrator:ignore[ parse , unknown-table ] */
{# orchestrator: ignore #}
- name: x  # orchestrator: ignore[yaml-column]
-- orchestrated: ignore
"""
    assert find_ignores(text) == (
        Ignore(1, 11, ("unknown-column",)),
        Ignore(2, 11, ("parse", "unknown-table")),
        Ignore(3, 2, alone=True),
        Ignore(4, 12, ("yaml-column",)),
    )


def test_a_comment_counts_for_its_line_and_alone_for_the_next() -> None:
    assert left("select y -- orchestrator: ignore[unknown-column]", finding(1)) == []
    assert left("-- orchestrator: ignore\nselect y", finding(2)) == []
    other = finding(2, "parse")
    assert left("select y -- orchestrator: ignore[unknown-column]\n, z", finding(1), other) == [other]


def test_a_comment_that_ignores_nothing_is_a_finding() -> None:
    assert left("\n  -- orchestrator: ignore[parse]") == [
        Finding("a.sql", 2, 3, "unused-ignore", "info", "this comment ignores nothing", fix="take it out")
    ]


def test_a_rule_that_was_not_looked_for_may_need_its_comment() -> None:
    assert left("-- orchestrator: ignore[parse]", looked_for=EVERYTHING - {"parse"}) == []
    assert left("-- orchestrator: ignore", looked_for=EVERYTHING - {"parse"}) == []


def test_a_comment_with_an_unknown_rule_says_which_was_meant() -> None:
    assert left("-- orchestrator: ignore[unknown-colum]") == [
        Finding(
            "a.sql", 1, 1, "unused-ignore", "info", "there is no rule 'unknown-colum'",
            fix="did you mean 'unknown-column' or 'unknown-table'?",
        )
    ]  # fmt: skip


def test_definition_errors_cannot_be_ignored() -> None:
    wrong = finding(1, "definition")
    assert left("select 1 -- orchestrator: ignore", wrong)[0] == wrong
