"""The report of a CI run: Markdown for a pull request, what went wrong before what went well. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.ci.carry_out import Rows
from orchestrator.ci.prepare import Comparison, Prepared
from orchestrator.definitions.events import CheckFinished, StepFinished
from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import OrchestratorError
from orchestrator.execution.results import RunResult
from orchestrator.graph.diff import Change
from orchestrator.graph.model import Check

SHOWN = 100
"""Rows of a table."""
REASON_LENGTH = 300
_ORDER = ("failed", "unknown", "blocked", "cancelled", "warned", "succeeded", "up_to_date")
_GLYPHS = {"succeeded": "✅", "warned": "⚠️", "failed": "❌", "blocked": "⛔", "cancelled": "🚫", "unknown": "❓"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a report tells; what did not come about is None."""

    base: str
    comparison: Comparison | None = None
    prepared: Prepared | None = None
    result: RunResult | None = None
    rows: Mapping[AssetKey, Rows] = field(default_factory=dict)
    errors: tuple[OrchestratorError, ...] = ()


def build_report(outcome: Outcome) -> str:
    """The whole report."""
    parts = [f"# {headline(outcome)}", _summary(outcome)]
    if outcome.errors:
        parts += [_errors(outcome.errors)]
    if outcome.result is not None:
        parts += _results(outcome, outcome.result)
    if outcome.comparison is not None:
        parts += _differences(outcome.comparison)
    if outcome.prepared is not None:
        parts += _footnotes(outcome.prepared)
    return "\n\n".join(part for part in parts if part) + "\n"


def headline(outcome: Outcome) -> str:
    """How it ended, in one line."""
    if outcome.errors:
        count = len(outcome.errors)
        return f"❌ CI could not run: {count} error{'s' if count != 1 else ''}"
    if outcome.result is None:
        unchanged = outcome.comparison is not None and outcome.comparison.diff.is_empty
        return f"✅ Nothing differs from {outcome.base}" if unchanged else "✅ No data differs, nothing to build"
    match outcome.result.status:
        case "succeeded":
            return "✅ CI succeeded"
        case "cancelled":
            return "🚫 CI was cancelled"
        case _:
            return "❌ CI failed" + (f": {_cell(outcome.result.reason)}" if outcome.result.reason else "")


def _summary(outcome: Outcome) -> str:
    if outcome.comparison is None:
        return f"Compared with {outcome.base}."
    diff, base = outcome.comparison.diff, outcome.comparison.base
    said = [f"{len(diff.added)} added", f"{len(diff.changed)} changed", f"{len(diff.removed)} removed"]
    line = f"Compared with **{_cell(base.name)}**: {', '.join(said)}; {len(diff.affected)} affected."
    if outcome.prepared is not None and outcome.result is not None:
        line += f" Built in `{outcome.prepared.place.environment}` by run `{outcome.result.run_id}`, "
        line += f"{outcome.result.duration_s:.1f} s; {_counts(outcome.result)}."
    return "\n".join([line, *(f"\n> ⚠️ {_cell(warning)}" for warning in outcome.comparison.warnings)])


def _counts(result: RunResult) -> str:
    said = []
    for noun, items in (("asset", result.steps), ("check", result.checks)):
        counts: Counter[str] = Counter(item.status for item in items)
        words = ", ".join(f"{counts[status]} {_word(status)}" for status in _ORDER if counts[status])
        if words:
            said.append(f"{noun}s: {words}")
    return "; ".join(said) or "nothing to do"


def _errors(errors: Sequence[OrchestratorError]) -> str:
    texts = [f"```\n{str(error).replace('```', '``')}\n```" for error in errors[:SHOWN]]
    return "\n\n".join(texts + ([f"… and {len(errors) - SHOWN} more"] if len(errors) > SHOWN else []))


def _results(outcome: Outcome, result: RunResult) -> list[str]:
    checks = [_check_row(check) for check in _worst_first(result.checks) if check.status != "succeeded"]
    steps = [_step_row(step, outcome) for step in _worst_first(result.steps)]
    passed = sum(check.status == "succeeded" for check in result.checks)
    failures = _table("Checks that did not pass", ("check", "name", "asset", "rows", "reason"), checks)
    built = _table(
        "Built", ("", "asset", "rows in the base", "rows now", "time", "why it was built or what failed"), steps
    )
    return [failures, built, f"{passed} check{'s' if passed != 1 else ''} passed." if passed else ""]


def _worst_first(items: Iterable[StepFinished] | Iterable[CheckFinished]) -> list[StepFinished] | list[CheckFinished]:
    return sorted(items, key=lambda item: _ORDER.index(item.status) if item.status in _ORDER else -1)  # type: ignore[return-value]


def _step_row(step: StepFinished | CheckFinished, outcome: Outcome) -> tuple[str, ...]:
    assert isinstance(step, StepFinished)
    key = AssetKey.parse(step.key)
    rows = outcome.rows.get(key)
    planned = {item.key: item.reason for item in outcome.prepared.plan.steps} if outcome.prepared is not None else {}
    bad = step.failure.message if step.failure else step.reason
    return (
        f"{_GLYPHS.get(step.status, '')} {_word(step.status)}",
        f"`{step.key}`",
        _number(rows.base) if rows else "",
        _difference(rows) if rows else "",
        "" if step.duration_s is None else f"{step.duration_s:.1f} s",
        _cell(planned.get(step.key, "") if step.status == "succeeded" else bad),
    )


def _difference(rows: Rows) -> str:
    if rows.head is None or rows.base is None or rows.head == rows.base:
        return _number(rows.head)
    return f"{_number(rows.head)} ({rows.head - rows.base:+,})"


def _check_row(check: StepFinished | CheckFinished) -> tuple[str, ...]:
    assert isinstance(check, CheckFinished)
    reason = check.failure.message if check.failure else check.reason
    status = f"{_GLYPHS.get(check.status, '')} {_word(check.status)}"
    return (status, f"`{check.name}`", f"`{check.key}`", _number(check.failures), _cell(reason))


def _differences(comparison: Comparison) -> list[str]:
    diff, graph = comparison.diff, comparison.head.graph
    added = [(f"`{key}`", _cell(str(graph[key].location))) for key in diff.added]
    changed = [(f"`{key}`", _cell(_said(changes))) for key, changes in diff.changed.items()]
    removed = [(f"`{key}`", _cell(_readers(comparison, key))) for key in diff.removed]
    own = {*diff.added, *(key for key, changes in diff.changed.items() if any(item.rebuilds for item in changes))}
    below = [(f"`{key}`", _cell(diff.reason(key, graph))) for key in diff.affected if key not in own]
    checks = [
        (word, f"`{check.name}`", f"`{check.key}`")
        for word, found in (
            ("added", diff.checks_added),
            ("changed", diff.checks_changed),
            ("removed", diff.checks_removed),
        )
        for check in _of_living(found, word, comparison)
    ]
    return [
        _table("Changed", ("asset", "what"), changed),
        _table("Added", ("asset", "where"), added),
        _table("Removed", ("asset", "who read it in the base"), removed),
        _table("Affected downstream", ("asset", "why"), below),
        _table("Checks that differ", ("", "check", "asset"), checks),
    ]


def _of_living(checks: Iterable[Check], word: str, comparison: Comparison) -> list[Check]:
    """Without those that went away with their asset."""
    gone = set(comparison.diff.removed)
    return [check for check in checks if word != "removed" or check.key not in gone]


def _said(changes: Iterable[Change]) -> str:
    return "; ".join(change.text if change.rebuilds else f"{change.text} (not rebuilt for that)" for change in changes)


def _readers(comparison: Comparison, key: AssetKey) -> str:
    """Who reads a removed asset: `marts.daily, exposure board`; those that are removed, too, are marked."""
    graph = comparison.base.snapshot.graph
    gone = set(comparison.diff.removed)
    readers = [f"{child}{' (also removed)' if child in gone else ''}" for child in sorted(graph.downstream[key])]
    readers += [f"{item.kind} {item.name}" for item in graph.consumers if key in item.reads]
    return ", ".join(readers) or "nothing here"


def _footnotes(prepared: Prepared) -> list[str]:
    plan = prepared.plan
    skipped = [(f"`{item.check}`", _cell(item.reason)) for item in plan.skipped_checks]
    actions = ", ".join(f"`{key}`" for key in prepared.not_run)
    return [
        _table("Checks left out", ("check", "why"), skipped),
        f"Actions are not run in CI: {actions}." if actions else "",
    ]


def _table(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    lines = [f"| {' | '.join(row)} |" for row in (head, tuple("---" for _ in head), *rows[:SHOWN])]
    more = [f"\n… and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
    return "\n".join([f"## {title} ({len(rows)})", "", *lines, *more])


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _word(status: str) -> str:
    return status.replace("_", " ")


def _cell(text: str) -> str:
    """One line without characters that would end a table's cell."""
    line = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return line if len(line) <= REASON_LENGTH else line[: REASON_LENGTH - 1] + "…"
