"""Rules about SQL: names that mean nothing, relations that were not declared, and what could not be read at all."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator

from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import did_you_mean
from orchestrator.graph.model import Asset
from orchestrator.sql.model import Diagnostic
from orchestrator.validation.findings import Draft, InCode, InSql, Severity
from orchestrator.validation.subject import Model, Subject

RULE_OF_KIND = {
    "unknown_column": "unknown-column",
    "ambiguous_column": "ambiguous-column",
    "unknown_table": "unknown-table",
    "set_operation_columns": "set-operation-columns",
}
COLUMNS_SHOWN = 8
_CONSEQUENCE = re.compile(
    r"not known|cannot tell|may be a column or|has no column|is ambiguous|nothing in FROM|there is no"
)
"""Reasons that say what another finding, or the note about unknown tables, says better."""
_SYSTEM = re.compile(
    r"(?:^|\.)(?:information_schema|pg_catalog|sys|system|account_usage|duckdb_\w+|pg_\w+|__dbt_\w+)\b"
)
_FILE = re.compile(r"[/\\*?:]|\.(?:csv|parquet|json|jsonl|ndjson|xlsx|gz|zst|arrow|avro|orc|txt|tsv)$")


def names(subject: Subject) -> Iterator[Draft]:
    """Columns and tables that are unknown or ambiguous, set operations of unequal widths."""
    for model in subject.models:
        for diagnostic in model.columns.diagnostics:
            if diagnostic.kind in RULE_OF_KIND and not _follows(subject, model, diagnostic):
                yield _disputed(model, diagnostic) if _is_accepted(model) else _refused(subject, model, diagnostic)


def _follows(subject: Subject, model: Model, diagnostic: Diagnostic) -> bool:
    """True for an unknown column that another fault has made unknown: somewhere above its name is misspelt."""
    if diagnostic.kind != "unknown_column":
        return False
    own = model.columns.diagnostics
    before = own[: own.index(diagnostic)]
    causes = (item for item in subject.misspelt[model.key] if item in before or item not in own)
    return any(is_misspelt(diagnostic.name, cause) and has(diagnostic.known, cause.name) for cause in causes)


def is_misspelt(name: str, cause: Diagnostic) -> bool:
    """True when `name` is what an unknown column should probably have been called."""
    return has(cause.known, name) and bool(difflib.get_close_matches(name.lower(), [cause.name.lower()]))


def has(names: Iterable[str], name: str) -> bool:
    """Whether a name is among others; case does not count."""
    return name.lower() in (other.lower() for other in names)


def is_refused(model: Model) -> bool:
    """True when the analysis alone already says that a database will refuse it."""
    return any(diagnostic.kind in RULE_OF_KIND for diagnostic in model.columns.diagnostics)


def _is_accepted(model: Model) -> bool:
    return model.bound is not None and model.bound.columns is not None


def _refused(subject: Subject, model: Model, diagnostic: Diagnostic) -> Draft:
    message = _shortened(diagnostic.message, model)
    severity: Severity | None = None
    if diagnostic.kind == "unknown_column":
        message, severity = doubted(subject, model, message)
    return Draft(
        RULE_OF_KIND[diagnostic.kind],
        message,
        InSql(model.unique_id, diagnostic.line, diagnostic.column),
        key=model.key,
        fix=_fix(diagnostic),
        severity=severity,
    )


def _shortened(message: str, model: Model) -> str:
    """Without the database that everything is in."""
    database = model.asset.relation.database if model.asset.relation is not None else ""
    return re.sub(rf"(?<![\w.]){re.escape(database)}\.(?=\w+\.\w)", "", message) if database else message


def doubted(subject: Subject, model: Model, message: str) -> tuple[str, Severity | None]:
    """The message and its severity, weaker where a table that is read may have other columns by now."""
    doubtful = sorted({table for key in model.columns.reads for table in subject.doubts.get(key, ())})
    if not doubtful:
        return message, None
    return f"{message} ({'; '.join(subject.doubtful[key] for key in doubtful)})", "warning"


def _disputed(model: Model, diagnostic: Diagnostic) -> Draft:
    return Draft(
        "analysis-disagrees",
        f"the analysis says '{diagnostic.message}', DuckDB accepts it",
        InSql(model.unique_id, diagnostic.line, diagnostic.column),
        key=model.key,
    )


def _fix(diagnostic: Diagnostic) -> str | None:
    known = list(dict.fromkeys(diagnostic.known))
    match diagnostic.kind:
        case "ambiguous_column":
            owners = re.split(", | and ", diagnostic.message.partition(" is a column of ")[2])
            named = dict.fromkeys(owner.rpartition(".")[2] for owner in owners if " " not in owner)
            listed = " or ".join(f"{owner}.{diagnostic.name}" for owner in named)
            return f"write {listed}" if len(named) > 1 else "say which with its table's alias"
        case "unknown_column" | "unknown_table":
            near = did_you_mean(diagnostic.name, known)
            if near is None and 0 < len(known) <= COLUMNS_SHOWN:
                return f"there is {', '.join(known)}"
            return near
    return None


def unreadable(subject: Subject) -> Iterator[Draft]:
    """SQL that could not be analysed, with the reason."""
    for model in subject.models:
        if model.node.language == "python":
            continue
        wrong = [item for item in model.columns.diagnostics if item.kind == "parse_error"]
        for item in wrong:
            place = InSql(model.unique_id, item.line, item.column)
            yield Draft("parse", f"not analysed: {item.message}", place, key=model.key)
        said = {item.message for item in model.columns.diagnostics}
        reasons = [text for text in model.columns.reasons if text not in said and not _CONSEQUENCE.search(text)]
        if reasons and not wrong:
            yield Draft("parse", f"not analysed in full: {'; '.join(reasons)}", InCode(model.unique_id), key=model.key)


def undeclared_relations(subject: Subject) -> Iterator[Draft]:
    """Relations that are read without ref() or source(): dbt does not know that they must be there first."""
    for model in subject.models:
        declared = model.asset.reads | {model.key}
        for key in model.columns.reads:
            if key not in declared:
                yield _undeclared(subject, model, key)
        parents = {name for parent in model.node.parents for name in _identifiers(subject, parent)}
        for relation in model.columns.unknown_reads:
            if not (_SYSTEM.search(relation) or _FILE.search(relation) or relation.split(".")[-1] in parents):
                yield _hard_coded(model, relation)


def _undeclared(subject: Subject, model: Model, key: AssetKey) -> Draft:
    read = subject.graph[key]
    reference = reference_to(subject, read)
    fix = f"read {reference}" if reference else "declare it as a source, and read it through {{ source(…) }}"
    parts = str(read.relation).split(".") if read.relation is not None else [key.layer, key.name]
    if read.writers:
        message = f"{key} is read without ref() or source(): nothing makes sure that it is built before"
        severity: Severity | None = None
    else:
        message, severity = f"hard-coded relation: {key} is read without source()", "warning"
    place = InCode(model.unique_id, relation_patterns(parts))
    return Draft("undeclared-relation", message, place, key=model.key, fix=fix, severity=severity)


def _hard_coded(model: Model, relation: str) -> Draft:
    parts = relation.split(".")
    own = model.asset.relation
    shown = parts[1:] if own is not None and len(parts) == 3 and parts[0] == own.database else parts
    return Draft(
        "undeclared-relation",
        f"hard-coded relation: nothing here is {'.'.join(shown)}",
        InCode(model.unique_id, relation_patterns(parts)),
        key=model.key,
        fix="declare it as a source, and read it through {{ source(…) }}",
        severity="warning",
    )


def reference_to(subject: Subject, asset: Asset) -> str | None:
    """How dbt code should name an asset; None if dbt does not know it.

    A model, seed or snapshot by ref(), anything else by source().
    """
    for unique_id in asset.dbt_ids:
        if (node := subject.nodes.get(unique_id)) is not None:
            version = f", v={node.version}" if node.version is not None else ""
            return f"{{{{ ref('{node.name}'{version}) }}}}"
    for unique_id in asset.dbt_ids:
        if (source := subject.sources.get(unique_id)) is not None:
            return f"{{{{ source('{source.source_name}', '{source.name}') }}}}"
    return None


def relation_patterns(parts: list[str]) -> tuple[str, ...]:
    """Regular expressions that find a relation's name in code, the most complete spelling first.

    >>> [bool(re.search(p, 'from "raw" . flights', re.I)) for p in relation_patterns(["dev", "raw", "flights"])]
    [False, True, False, False]
    """
    quoted = [rf"[\"`\[]?{re.escape(part)}[\"`\]]?" for part in parts]
    spellings = [r"\s*\.\s*".join(quoted[start:]) for start in range(len(quoted))]
    named = [rf"(?<![\w.'\"`]){spelling}(?![\w('])" for spelling in spellings[:-1]]
    return (*named, *(rf"\b{word}\s+({quoted[-1]})(?![\w.(])" for word in ("from", "join")))


def _identifiers(subject: Subject, unique_id: str) -> Iterator[str]:
    if (node := subject.nodes.get(unique_id)) is not None:
        yield from (node.name.lower(), (node.alias or node.name).lower())
    if (source := subject.sources.get(unique_id)) is not None:
        yield (source.identifier or source.name).lower()


__all__ = ["RULE_OF_KIND", "doubted", "is_refused", "names", "undeclared_relations", "unreadable"]
