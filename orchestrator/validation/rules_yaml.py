"""Rules about what YAML says of columns: contracts, tests, descriptions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import did_you_mean
from orchestrator.loaders.manifest import Node, Source
from orchestrator.validation.findings import Draft, InYaml, Severity
from orchestrator.validation.rules_sql import is_misspelt
from orchestrator.validation.subject import Model, Subject
from orchestrator.validation.types import differ

_PLAIN = re.compile(r"[^\W\d][\w$]*(?:\.[\w$]+)*")


def contracts(subject: Subject) -> Iterator[Draft]:
    """Enforced contracts that the model does not keep: dbt would stop when it builds it."""
    for model in subject.models:
        if model.contract and (names := model.names) is not None:
            yield from _contract(model, names)


def _contract(model: Model, names: Sequence[str]) -> Iterator[Draft]:
    rule = "contract-mismatch"
    declared = _declared(model.node)
    found = {name.lower(): name for name in names}
    causes = [item for item in model.columns.diagnostics if item.kind == "unknown_column"]
    for lowered, (name, wanted) in declared.items():
        place = InYaml(model.unique_id, name)
        if lowered not in found and any(is_misspelt(name, cause) for cause in causes):
            continue
        if lowered not in found:
            fix = did_you_mean(name, [found[other] for other in found if other not in declared])
            fix = fix or "select it, or take it out of the contract"
            yield Draft(rule, f"the contract has a column {name}, {model.key} has not", place, key=model.key, fix=fix)
        elif differ(wanted, actual := model.type_of(name)):
            message = f"the contract says that {name} is {wanted}, in {model.key} it is {actual}"
            yield Draft(
                rule, message, place, key=model.key, fix=f"cast it, or write data_type: {actual}", severity="warning"
            )
    for lowered, name in found.items():
        if lowered not in declared and not any(cause.name.lower() == lowered for cause in causes):
            message = f"{model.key} has a column {name}, its contract has not"
            fix = "add it to the contract, or do not select it"
            yield Draft(rule, message, InYaml(model.unique_id), key=model.key, fix=fix)


def columns(subject: Subject) -> Iterator[Draft]:
    """Columns that are tested or documented, and do not exist."""
    models = {model.unique_id: model for model in subject.models}
    tests = _tests(subject)
    for key, item in subject.described():
        model = models.get(item.unique_id)
        known = model.names if model is not None else _known(subject, key)
        if known is None or not (item.columns or item.unique_id in tests):
            continue
        found = {name.lower() for name in known}
        promised = set(_declared(item)) if model is not None and model.contract else set()
        tested = tests.get(item.unique_id, {})
        named = {name.lower(): name for name in tested} | {low: name for low, (name, _) in _declared(item).items()}
        for lowered, name in named.items():
            if lowered not in promised and not _is_in(lowered, found) and not _follows(subject, key, name):
                yield _missing(subject, key, item, name, known=known, tests=tested.get(lowered, ()))


def _follows(subject: Subject, key: AssetKey, name: str) -> bool:
    """True when it is missing only because the SQL misspells it, which is a finding of its own."""
    return any(is_misspelt(name, cause) for cause in subject.misspelt[key])


def _missing(
    subject: Subject, key: AssetKey, item: Node | Source, name: str, *, known: Sequence[str], tests: Sequence[str]
) -> Draft:
    doubts = [subject.doubtful[table] for table in sorted(subject.doubts.get(key, ()))]
    aside = f" ({'; '.join(doubts)})" if doubts else ""
    severity: Severity | None = "warning" if doubts and tests else None
    if tests:
        message = f"{name} is tested ({', '.join(tests)}), and {key} has no such column{aside}"
    else:
        message = f"{name} is documented, and {key} has no such column{aside}"
    return Draft(
        "tested-column" if tests else "yaml-column",
        message,
        InYaml(item.unique_id, name),
        key=key,
        fix=did_you_mean(name, known) or "correct the name, or take it out",
        severity=severity,
    )


def _known(subject: Subject, key: AssetKey) -> tuple[str, ...] | None:
    columns = subject.columns[key]
    return columns.names if columns.complete else None


def _declared(item: Node | Source) -> dict[str, tuple[str, str | None]]:
    """{lower-cased name: (name, data type)} of the columns in YAML."""
    found = {}
    for name, column in (item.columns or {}).items():
        plain = (column.name or name).strip('"`')
        found[plain.lower()] = (plain, column.data_type)
    return found


def _tests(subject: Subject) -> Mapping[str, Mapping[str, list[str]]]:
    """{unique_id: {column: names of its tests}}, lower-cased; expressions in place of columns are left out."""
    found: dict[str, dict[str, list[str]]] = {}
    for test in subject.nodes.values():
        column = (test.column_name or "").strip('"`')
        if test.resource_type != "test" or not _PLAIN.fullmatch(column) or test.settings.get("enabled") is False:
            continue
        tested = test.attached_node or (test.parents[0] if len(test.parents) == 1 else None)
        if tested is not None:
            name = str((test.test_metadata or {}).get("name") or test.name)
            if "column_to_exist" in name:
                continue  # whether the column exists is what it tests
            found.setdefault(tested, {}).setdefault(column.lower(), []).append(name)
    return found


def _is_in(column: str, known: set[str]) -> bool:
    """A field of a struct is there when the struct is."""
    return column in known or column.split(".")[0] in known


__all__ = ["columns", "contracts"]
