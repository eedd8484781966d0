"""`-- orchestrator: ignore[rule]`: findings that somebody has looked at and wants to hear no more of.

A comment counts for its own line, and alone on its line for the next. In SQL it may be `--`, `/* */` or Jinja's
`{# #}`, in YAML `#`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.errors import did_you_mean
from orchestrator.validation.findings import RULE_OF, Draft, Finding, InFile, Settings

_COMMENT = re.compile(r"(?:--|#|/\*)[-#*\s]*orchestrator:\s*ignore\b(?:\s*\[(?P<rules>[^\]\n]*)\])?", re.IGNORECASE)
MARK = "orchestrator:"


@dataclass(frozen=True, slots=True)
class Ignore:
    """One comment. `rules` is empty where it ignores everything; `alone` is True if nothing else is on its line."""

    line: int
    column: int
    rules: tuple[str, ...] = ()
    alone: bool = False

    def covers(self, finding: Finding) -> bool:
        """True when the finding is not to be shown."""
        here = finding.line == self.line or (self.alone and finding.line == self.line + 1)
        return here and (not self.rules or finding.rule in self.rules)


def find_ignores(text: str) -> tuple[Ignore, ...]:
    """All ignoring comments of a file.

    >>> find_ignores("select a -- orchestrator: ignore[unknown-column, parse]")
    (Ignore(line=1, column=10, rules=('unknown-column', 'parse'), alone=False),)
    """
    if MARK not in text.lower():
        return ()
    return tuple(_found(text))


def _found(text: str) -> Iterator[Ignore]:
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _COMMENT.search(line):
            listed = (name.strip().lower() for name in (found["rules"] or "").split(","))
            before = line[: found.start()].strip()
            yield Ignore(number, found.start() + 1, tuple(filter(None, listed)), alone=before in ("", "{"))


def apply_ignores(
    findings: Iterable[Finding],
    ignores: Mapping[str, Sequence[Ignore]],
    *,
    settings: Settings,
    looked_for: frozenset[str],
    whole: Collection[str],
) -> list[Finding]:
    """The findings that are left, and one for each comment that ignored nothing.

    `ignores` is {file: its comments}; `looked_for` are the rules that were asked, `whole` the files of which everything
    was looked at: a comment on anything else may be needed after all.
    """
    kept: list[Finding] = []
    used: set[tuple[str, Ignore]] = set()
    for finding in findings:
        # Two comments may cover one finding: both are of use.
        covering = [ignore for ignore in ignores.get(finding.file, ()) if ignore.covers(finding)]
        if not covering or finding.rule == "definition":
            kept.append(finding)
        used |= {(finding.file, ignore) for ignore in covering}
    if settings.wants("unused-ignore"):
        kept += [
            unused
            for file, comments in ignores.items()
            if file in whole
            for ignore in comments
            if (unused := _unused(file, ignore, used, settings, looked_for)) is not None
        ]
    return kept


def _unused(
    file: str, ignore: Ignore, used: set[tuple[str, Ignore]], settings: Settings, looked_for: frozenset[str]
) -> Finding | None:
    wrong = next((name for name in ignore.rules if name not in RULE_OF), None)
    if wrong is not None:
        message, fix = f"there is no rule '{wrong}'", did_you_mean(wrong, RULE_OF)
    elif (file, ignore) in used or not looked_for.issuperset(ignore.rules or set(RULE_OF) - {"unused-ignore"}):
        return None
    else:
        message, fix = "this comment ignores nothing", "take it out"
    draft = Draft("unused-ignore", message, InFile(file, ignore.line, ignore.column))
    return Finding(file, ignore.line, ignore.column, "unused-ignore", settings.severity(draft), message, fix=fix)


__all__ = ["Ignore", "apply_ignores", "find_ignores"]
