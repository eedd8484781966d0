"""What an edit of a query means for those who read its table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.sql.fingerprints import fingerprint, token_digest
from orchestrator.sql.model import Change, Fingerprint

CHANCE = "which rows there are depends on chance or on the time"


def classify(
    old: str | Fingerprint,
    new: str | Fingerprint,
    *,
    dialect: str = "",
    schema: Mapping[str, Any] | None = None,
    relations: Mapping[str, str] | None = None,
) -> Change:
    """What has changed between two queries, given as SQL (then with the arguments of `fingerprint`) or fingerprints.

    Where it is not sure the answer is `breaking`.
    """
    if isinstance(old, str) and isinstance(new, str):
        if old == new:
            return Change("unchanged", reasons=("the text is the same",))
        if (words := token_digest(old, dialect=dialect)) and words == token_digest(new, dialect=dialect):
            return Change("unchanged", reasons=("only comments or blanks changed",))
    before, after = (
        item
        if isinstance(item, Fingerprint)
        else fingerprint(item, dialect=dialect, schema=schema, relations=relations)
        for item in (old, new)
    )
    # The same text does something else where `*`, a name or a position means another column than before.
    if before.reads == after.reads:
        if before.raw == after.raw:
            return Change("unchanged", reasons=("the text is the same",))
        if before.tokens and before.tokens == after.tokens:
            return Change("unchanged", reasons=("only comments or blanks changed",))
    if not before.comparable(after):
        return Change("breaking", reasons=("the fingerprints were taken by different versions",))
    if before.rows is None or after.rows is None:
        if before.whole and before.whole == after.whole and before.reads == after.reads:
            return Change("unchanged", reasons=("only the way it is written changed",))
        reason = next(iter((*after.reasons, *before.reasons)), "it cannot be compared in parts")
        return Change("breaking", reasons=(f"it cannot be compared in parts: {reason}",))
    return _by_parts(before, after)


def _by_parts(before: Fingerprint, after: Fingerprint) -> Change:
    if before.rows != after.rows:
        return Change("breaking", reasons=("other rows: a filter, join, grouping or the like changed",))
    old, new = dict(before.columns), dict(after.columns)
    if len(old) != len(before.columns) or len(new) != len(after.columns):
        if before.columns == after.columns:
            return _unchanged(before, after)
        return Change("breaking", reasons=("two columns have the same name",))
    kept = [name for name in new if name in old]
    changed = tuple(name for name in kept if old[name] != new[name])
    removed = tuple(name for name in old if name not in new)
    added = tuple(name for name in new if name not in old)
    if not (changed or removed or added) and tuple(old) == tuple(new):
        return _unchanged(before, after)
    if [name for name in old if name in new] != kept:
        return Change("breaking", reasons=("columns changed places: whoever reads them by position reads others",))
    if after.volatile_rows or before.volatile_rows:
        return Change("breaking", reasons=(CHANCE,))
    # What depends on the time comes out differently whenever it is built again.
    volatile = tuple(name for name in kept if name in after.volatile_columns and name not in changed)
    touched = (*changed, *removed, *volatile)
    reasons = _reasons(changed, removed, added, volatile)
    if touched:
        return Change("partial", columns=touched, added=added, removed=removed, reasons=reasons)
    return Change("additive", added=added, reasons=reasons)


def _unchanged(before: Fingerprint, after: Fingerprint) -> Change:
    # What depends on chance or on the time is never proved to be the same: it is not, if it is built again.
    if after.volatile_rows:
        return Change("breaking", reasons=(CHANCE,))
    if after.volatile_columns:
        columns = tuple(dict.fromkeys(after.volatile_columns))
        return Change("partial", columns=columns, reasons=_reasons((), (), (), columns))
    if before.ordered != after.ordered:
        return Change("metadata", reasons=("only the order of the rows changed",))
    return Change("unchanged", reasons=("only the way it is written changed",))


def _reasons(
    changed: tuple[str, ...], removed: tuple[str, ...], added: tuple[str, ...], volatile: tuple[str, ...]
) -> tuple[str, ...]:
    said = (
        ("computed in another way", changed),
        ("removed", removed),
        ("added", added),
        ("not the same twice: it depends on chance or on the time", volatile),
    )
    return tuple(f"{', '.join(names)}: {what}" for what, names in said if names)
