"""Rules and findings: the words of validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import ConfigError, did_you_mean

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
OFF = "off"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is looked for, under an id that stays."""

    id: str
    severity: Severity
    summary: str


RULES = (
    Rule("definition", "error", "A definition is wrong: what loading the workspace finds."),
    Rule("unknown-column", "error", "A column that no table in scope has."),
    Rule("ambiguous-column", "error", "A column name that several tables in scope have."),
    Rule("unknown-table", "error", "A qualifier that names nothing in FROM."),
    Rule("set-operation-columns", "error", "Sides of UNION, INTERSECT or EXCEPT with different numbers of columns."),
    Rule(
        "undeclared-relation",
        "error",
        "A relation that is read without ref() or source(): an error where its order is lost, a warning where nothing "
        "here writes it.",
    ),
    Rule(
        "contract-mismatch",
        "error",
        "An enforced contract with other columns than the model: an error; of another family of types: a warning.",
    ),
    Rule("tested-column", "error", "A test in YAML on a column that does not exist."),
    Rule("yaml-column", "warning", "A column that is documented in YAML and does not exist."),
    Rule(
        "microbatch-parent", "warning", "A parent of a microbatch model that dbt scans whole for each batch."
    ),
    Rule("direct-connection", "warning", "Python code that opens a database past every resource."),
    Rule("resource-connection", "error", "A resource that cannot be opened; looked for with --connect."),
    Rule("binder-error", "error", "SQL that DuckDB refuses, tried on empty tables."),
    Rule("parse", "info", "SQL that could not be analysed, so that nothing is said about it."),
    Rule("unused-source", "info", "A source that nothing reads."),
    Rule("unread-model", "info", "A model that nothing reads, no exposure either."),
    Rule("unused-ignore", "info", "An ignoring comment that ignores nothing."),
    Rule("analysis-disagrees", "info", "Our analysis and DuckDB disagree: a fault of ours, please report it."),
)  # fmt: skip
RULE_OF = {rule.id: rule for rule in RULES}


@dataclass(frozen=True, slots=True)
class InSql:
    """A place in the compiled SQL of a node."""

    unique_id: str
    line: int
    column: int
    incremental: bool = False
    """In the SQL of an incremental run."""


@dataclass(frozen=True, slots=True)
class InCode:
    """Where a node's own code names one of these first, outside of comments. Regular expressions; none: its start."""

    unique_id: str
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InYaml:
    """Where YAML describes a node, source or one of its columns."""

    unique_id: str
    column: str | None = None


@dataclass(frozen=True, slots=True)
class InFile:
    """A place that is known already."""

    file: str
    line: int = 1
    column: int = 1


Place = InSql | InCode | InYaml | InFile


@dataclass(frozen=True, slots=True)
class Draft:
    """What a rule found, its place still in the rule's own terms."""

    rule: str
    message: str
    place: Place
    key: AssetKey | None = None
    fix: str | None = None
    severity: Severity | None = None
    """Where it is not the rule's own."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, and where. `line` and `column` are 1-based and in the user's own file."""

    file: str
    line: int
    column: int
    rule: str
    severity: Severity
    message: str
    key: str | None = None
    fix: str | None = None
    exact: bool = True
    """False where the place is the Jinja block that wrote the line, or only the file."""

    @property
    def place(self) -> str:
        """`file:line:column`"""
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def order(self) -> tuple[Any, ...]:
        """By place; at one place the worst first."""
        return (self.file, self.line, self.column, SEVERITIES.index(self.severity), self.rule, self.message)


@dataclass(frozen=True, slots=True)
class Settings:
    """Which rules are looked for, and how bad each is."""

    severities: Mapping[str, str] = field(default_factory=dict)
    """{rule: error, warning, info or off}, where it is not the rule's own."""
    only: frozenset[str] = frozenset()
    """These rules and no others; empty means all."""
    without: frozenset[str] = frozenset()
    strict: bool = False
    """True when warnings count as errors."""

    def wants(self, rule: str) -> bool:
        """True when findings of the rule are shown."""
        if rule == "definition":
            return True
        return (not self.only or rule in self.only) and rule not in self.without and self.severities.get(rule) != OFF

    def severity(self, draft: Draft) -> Severity:
        """How bad a finding is here: as configured, else as the rule says."""
        configured = self.severities.get(draft.rule)
        found = next((known for known in SEVERITIES if known == configured), None)
        severity = found or draft.severity or RULE_OF[draft.rule].severity
        return "error" if self.strict and severity == "warning" else severity


def build_settings(
    configured: Mapping[str, Any], *, at: str, only: list[str], without: list[str], strict: bool
) -> Settings:
    """The settings of [tool.orchestrator.validate] and of the command line. Raises ConfigError."""
    rules = configured.get("rules", {})
    for name in configured:
        if name != "rules":
            raise ConfigError(
                f"unknown setting '{name}' in [tool.orchestrator.validate]",
                at=at,
                fix=did_you_mean(name, ["rules"]) or 'known is: rules = {rule = "severity"}',
            )
    if not isinstance(rules, Mapping):
        raise ConfigError(
            f"'rules' in [tool.orchestrator.validate] must be a table, not {rules!r}",
            at=at,
            fix='write rules = {unused-source = "off"}',
        )
    for name, severity in rules.items():
        _known_rule(name, at=at)
        if severity not in (*SEVERITIES, OFF):
            raise ConfigError(
                f"the severity of '{name}' is {severity!r}", at=at, fix="it can be error, warning, info or off"
            )
    for name in (*only, *without):
        _known_rule(name, at=None)
    return Settings(dict(rules), frozenset(only), frozenset(without), strict)


def _known_rule(name: str, *, at: str | None) -> None:
    if name not in RULE_OF:
        fix = did_you_mean(name, RULE_OF) or f"the rules are {', '.join(RULE_OF)}"
        raise ConfigError(f"there is no rule '{name}'", at=at, fix=fix)
    if name == "definition":
        raise ConfigError("the rule 'definition' cannot be changed", at=at, fix="correct the definitions")


__all__ = [
    "OFF",
    "RULES",
    "RULE_OF",
    "SEVERITIES",
    "Draft",
    "Finding",
    "InCode",
    "InFile",
    "InSql",
    "InYaml",
    "Place",
    "Rule",
    "Settings",
    "Severity",
    "build_settings",
]
