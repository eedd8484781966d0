"""Validation as a whole: gather, apply all rules, find the places, leave out what is to be ignored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import OrchestratorError
from orchestrator.validation import rules_exact, rules_graph, rules_python, rules_sql, rules_yaml
from orchestrator.validation.connections import Opened, open_resources
from orchestrator.validation.findings import RULES, Draft, Finding, InFile, Settings
from orchestrator.validation.gather import gather
from orchestrator.validation.ignores import MARK, Ignore, apply_ignores, find_ignores
from orchestrator.validation.places import Locator
from orchestrator.validation.subject import Subject
from orchestrator.workspace import Workspace

ALL: tuple[Callable[[Subject], Iterator[Draft]], ...] = (
    rules_sql.names,
    rules_sql.undeclared_relations,
    rules_sql.unreadable,
    rules_yaml.contracts,
    rules_yaml.columns,
    rules_graph.microbatch_parents,
    rules_graph.unused_sources,
    rules_graph.unread_models,
    rules_python.direct_connections,
    rules_exact.refusals,
    rules_exact.disagreements,
)
_EXACT = frozenset(("binder-error", "analysis-disagrees"))
_CONNECTING = frozenset(("resource-connection",))
_AT = re.compile(r"(?P<file>[^\n]+?):(?P<line>\d+)(?::(?P<column>\d+))?(?= and |, |$)")
TABLES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, by place, and what they are about."""

    findings: tuple[Finding, ...]
    models: int
    """How many models and snapshots were looked at."""
    unchecked: int = 0
    """How many of them read something whose columns are not known."""
    notes: tuple[str, ...] = ()
    opened: tuple[Opened, ...] = ()
    """The resources that were opened, or could not be."""

    def count(self, severity: str) -> int:
        """How many findings are of this severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """0, 1 with an error, 2 with a wrong definition."""
        if any(finding.rule == "definition" for finding in self.findings):
            return 2
        return 1 if self.count("error") else 0


def validate(
    workspace: Workspace, selected: frozenset[AssetKey], *, settings: Settings, exact: bool, connect: bool = False
) -> Report:
    """What is wrong with the selected assets' code, and with the workspace's definitions. Nothing is run.

    With `connect` the resources are opened, too.
    """
    parts = gather(workspace, selected, exact=exact)
    locator = parts[0][1]
    drafts = [
        (place, draft)
        for subject, place in parts
        for rule in ALL
        for draft in rule(subject)
        if settings.wants(draft.rule)
    ]
    errors = definition_errors(workspace.errors, default=str(workspace.config.file or workspace.root))
    drafts += [(locator, draft) for draft in errors]
    opened = open_resources(workspace) if connect else ()
    drafts += [(locator, draft) for draft in rules_python.unopened(opened) if settings.wants(draft.rule)]
    findings = (place.finding(draft, settings=settings) for place, draft in drafts)
    found = {_identity(finding): finding for finding in findings}
    ignores = {file: comments for part in parts for file, comments in _ignores(*part).items()}
    whole = set(ignores)
    if not selected >= frozenset(workspace.graph.assets):
        whole &= {place.code_file(model.unique_id) for subject, place in parts for model in subject.models}
    left_out = (frozenset() if exact else _EXACT) | (frozenset() if connect else _CONNECTING)
    looked_for = frozenset(rule.id for rule in RULES if settings.wants(rule.id) and rule.id not in left_out)
    left = apply_ignores(found.values(), ignores, settings=settings, looked_for=looked_for, whole=whole)
    open_models = [unchecked_models(subject) for subject, _ in parts]
    return Report(
        tuple(sorted(left, key=lambda finding: finding.order)),
        sum(len(subject.models) for subject, _ in parts),
        unchecked=sum(count for count, _ in open_models),
        notes=tuple(dict.fromkeys(note for _, notes in open_models for note in notes)),
        opened=opened,
    )


def _identity(finding: Finding) -> tuple[object, ...]:
    """Several models may show the fault of one ephemeral model."""
    return finding.file, finding.line, finding.column, finding.rule, finding.message


def definition_errors(errors: tuple[OrchestratorError, ...], *, default: str) -> Iterator[Draft]:
    """What loading found, as findings."""
    for error in errors:
        found = _AT.match(error.at or "")
        place = (
            InFile(found["file"], int(found["line"]), int(found["column"] or 1))
            if found is not None
            else InFile(error.at or default)
        )
        more = f" (at {error.at})" if found is not None and found.end() < len(error.at or "") else ""
        yield Draft("definition", f"{error.what}{more}", place, fix=error.fix)


def _ignores(subject: Subject, locator: Locator) -> Mapping[str, tuple[Ignore, ...]]:
    """{file: comments in it}, of models and of the YAML that describes them."""
    files = [locator.code_file(model.unique_id) for model in subject.models if MARK in model.node.code.lower()]
    ephemeral = [subject.nodes[item.unique_id] for item in subject.graph.ephemerals if item.unique_id in subject.nodes]
    files += [locator.code_file(node.unique_id) for node in ephemeral if MARK in node.code.lower()]
    described = [item.unique_id for _, item in subject.described()]
    described += [node.unique_id for node in ephemeral if subject.is_own(node)]
    files += [item.location.file for _, item in subject.direct]
    files += [file for unique_id in described if (file := locator.yaml_file(unique_id)) is not None]
    found = {file: find_ignores(locator.text(file)) for file in dict.fromkeys(files)}
    return {file: comments for file, comments in found.items() if comments}


def unchecked_models(subject: Subject) -> tuple[int, tuple[str, ...]]:
    """How many models read, at whatever distance, tables whose columns are not known, and what to do about it."""
    roots: dict[AssetKey, frozenset[AssetKey]] = {}
    for key, asset in subject.graph.assets.items():
        columns = subject.columns[key]
        above = frozenset[AssetKey]().union(*(roots.get(read, frozenset()) for read in columns.reads))
        looked_for = asset.kind == "asset" and (asset.needs_looking or asset.writers[0].strategy == "seed")
        own = frozenset((key,)) if looked_for and not columns.complete else frozenset[AssetKey]()
        roots[key] = own or (above if not columns.complete or above else frozenset())
    open_models = {model.key: roots[model.key] for model in subject.models if _reads_unknown(subject, model.key)}
    if not open_models:
        return 0, ()
    tables = sorted(frozenset().union(*open_models.values()))
    built = [key for key in tables if subject.graph[key].writers]
    external = [key for key in tables if not subject.graph[key].writers]
    notes = []
    if built:
        notes.append(f"the columns of {_listed(built)} are known once built: `orchestrator run {_words(built)}`")
    if external:
        notes.append(
            f"the columns of {_listed(external)} are not known: they are read from a DuckDB warehouse that has them, "
            "from target/catalog.json (`dbt docs generate`), or from an enforced contract"
        )
    return len(open_models), tuple(notes)


def _reads_unknown(subject: Subject, key: AssetKey) -> bool:
    """True when a table that it reads directly may have more columns than are known."""
    return any(not subject.columns[read].complete for read in subject.columns[key].reads)


def _listed(keys: list[AssetKey]) -> str:
    shown = [str(key) for key in keys[:TABLES_SHOWN]]
    more = len(keys) - len(shown)
    return f"{', '.join(shown)} and {more} more" if more > 0 else ", ".join(shown)


def _words(keys: list[AssetKey]) -> str:
    return " ".join(str(key) for key in keys[:TABLES_SHOWN])


__all__ = ["ALL", "Report", "definition_errors", "unchecked_models", "validate"]
