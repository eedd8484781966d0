"""Which code versions are the same code, differently written: proved by comparing the SQL that they compile to.

A comment, another layout, a renamed common table expression, a macro that writes the same, a new dbt: all change the
code version and none changes a row. What a run has recorded of the SQL that it built with is compared with what the
model compiles to now, both digested by the versions of today, so that an upgrade proves nothing different.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.kept_files import keep
from orchestrator.loaders.dbt_versions import how_part

CACHE_FILE = "same_code.json"
KEPT = 5_000
"""Verdicts; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A writer whose code version is not the recorded one."""

    writer: str
    key: str
    recorded: str
    current: str

    @property
    def may_be_same(self) -> bool:
        """False where the SQL alone cannot show it."""
        how = how_part(self.current)
        return how is not None and how == how_part(self.recorded)


def same_code(
    candidates: Iterable[Rewritten],
    *,
    now: Callable[[str], str | None],
    then: Callable[[str], str | None],
    same: Callable[[str, str], bool],
    cache: Path,
) -> frozenset[tuple[str, str]]:
    """{(writer, recorded code version)} that do what the current ones do.

    `now` gives a writer's SQL of today, `then` the recorded SQL of an asset's newest success; None where it is not
    known, which proves nothing. Each pair is compared once.
    """
    asked = [candidate for candidate in candidates if candidate.may_be_same]
    if not asked:
        return frozenset()
    known = _read(cache / CACHE_FILE)
    verdicts = dict(known)
    for candidate in asked:
        name = f"{candidate.writer} {candidate.recorded} {candidate.current}"
        if name not in verdicts:
            after, before = now(candidate.writer), then(candidate.key)
            verdicts[name] = after is not None and before is not None and same(before, after)
    if verdicts != known:
        keep(cache / CACHE_FILE, json.dumps(dict(list(verdicts.items())[-KEPT:])).encode())
    return frozenset(
        (candidate.writer, candidate.recorded)
        for candidate in asked
        if verdicts[f"{candidate.writer} {candidate.recorded} {candidate.current}"]
    )


def _read(file: Path) -> Mapping[str, bool]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


__all__ = ["Rewritten", "same_code"]
