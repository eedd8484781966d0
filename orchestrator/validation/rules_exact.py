"""Rules about what DuckDB says of each model on empty tables."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.errors import did_you_mean
from orchestrator.validation.exact import Refusal
from orchestrator.validation.findings import Draft, InCode, InSql, Severity
from orchestrator.validation.rules_sql import doubted, is_refused
from orchestrator.validation.subject import Model, Subject


def refusals(subject: Subject) -> Iterator[Draft]:
    """What DuckDB refuses, unless the analysis has said so already: DuckDB stops at a query's first fault."""
    for model in subject.models:
        refusal = model.bound.refusal if model.bound is not None else None
        if refusal is not None and (refusal.incremental or not is_refused(model)):
            yield _refused(subject, model, refusal)


def _refused(subject: Subject, model: Model, refusal: Refusal) -> Draft:
    said, casts, _ = refusal.message.partition(". You might need to add explicit type casts")
    message = f"DuckDB refuses it{' in an incremental run' if refusal.incremental else ''}: {said}"
    fix = "cast one side" if casts else did_you_mean(refusal.name, [name.strip() for name in refusal.known])
    severity: Severity | None = None
    if not refusal.syntax:
        message, severity = doubted(subject, model, message)
    place = InSql(model.unique_id, refusal.line, refusal.column, incremental=refusal.incremental)
    return Draft("binder-error", message, place, key=model.key, fix=fix, severity=severity)


def disagreements(subject: Subject) -> Iterator[Draft]:
    """Models whose columns are others for DuckDB than for the analysis."""
    for model in subject.models:
        bound = model.bound
        if bound is None or bound.columns is None or not bound.comparable or not model.columns.complete:
            continue
        theirs = [name.lower() for name, _ in bound.columns]
        ours = [name.lower() for name in model.columns.names]
        if model.node.resource_type == "snapshot":
            ours = ours[: len(theirs)]
        if theirs != ours:
            yield Draft("analysis-disagrees", _difference(ours, theirs), InCode(model.unique_id), key=model.key)


def _difference(ours: list[str], theirs: list[str]) -> str:
    more = [name for name in ours if name not in theirs]
    fewer = [name for name in theirs if name not in ours]
    if not more and not fewer:
        return f"the analysis has the columns in another order than DuckDB: {', '.join(theirs)}"
    parts = [f"the analysis alone has {', '.join(more)}"] if more else []
    parts += [f"DuckDB alone has {', '.join(fewer)}"] if fewer else []
    return "; ".join(parts)


__all__ = ["disagreements", "refusals"]
