"""The summary of a run as markdown, for Prefect's artifact (and whoever else shows markdown)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from orchestrator.definitions.events import CheckFinished, StepFinished, step_id, step_titles
from orchestrator.execution.results import RunResult

WORST_FIRST = ("failed", "unknown", "blocked", "cancelled", "warned", "succeeded", "up_to_date")
REASON_LENGTH = 300


def markdown_summary(result: RunResult) -> str:
    """A heading with the outcome, the counts, all steps with failures first, then the checks that did not succeed."""
    heading = f"# Run {_word(result.status)}" + (f": {_cell(result.reason)}" if result.reason else "")
    facts = f"`{result.run_id}` in {result.environment}, {result.duration_s:.1f} s"
    counts = _counts(result.steps, result.checks)
    parts = (heading, facts, counts, _steps_table(result.steps), _checks_table(result.checks))
    return "\n\n".join(part for part in parts if part)


def _counts(steps: Iterable[StepFinished], checks: Iterable[CheckFinished]) -> str:
    said = []
    for what, items in (("steps", list(steps)), ("checks", list(checks))):
        if items:
            counts: Counter[str] = Counter(item.status for item in items)
            words = (f"{counts[status]} {_word(status)}" for status in WORST_FIRST if counts[status])
            said.append(f"{len(items)} {what}: {', '.join(words)}")
    return "; ".join(said) + "." if said else "No steps."


def _steps_table(steps: Iterable[StepFinished]) -> str:
    steps = list(steps)
    titles = step_titles(steps)
    rows = [
        (
            _word(step.status),
            f"`{titles[step_id(step)]}`",
            _number(step.materialization.rows if step.materialization else None),
            "" if step.duration_s is None else f"{step.duration_s:.1f} s",
            _cell(step.failure.message if step.failure else step.reason),
        )
        for step in sorted(steps, key=lambda step: WORST_FIRST.index(step.status) if step.status in WORST_FIRST else -1)
    ]
    return _table(("status", "asset", "rows", "time", "reason"), rows)


def _checks_table(checks: Iterable[CheckFinished]) -> str:
    bad = [check for check in checks if check.status != "succeeded"]
    rows = [
        (
            _word(check.status),
            f"`{check.name}`",
            f"`{check.key}`",
            _number(check.failures),
            _cell(check.failure.message if check.failure else check.reason),
        )
        for check in sorted(bad, key=lambda check: WORST_FIRST.index(check.status))
    ]
    return _table(("check", "name", "asset", "failures", "reason"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, tuple("---" for _ in head), *rows))


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _word(status: str) -> str:
    return status.replace("_", " ")


def _cell(text: str) -> str:
    """One line without characters that would end a table's cell."""
    line = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return line if len(line) <= REASON_LENGTH else line[: REASON_LENGTH - 1] + "…"
