"""What differs between two graphs of one workspace: a base and a head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.model import Asset, AssetGraph, Check, Writer

ChangeKind = Literal["code", "config", "writer", "relation", "upstream", "columns", "metadata"]
SAID_ONLY: frozenset[ChangeKind] = frozenset(("columns", "metadata"))
"""Kinds of change that leave the data as it is: enforced columns are part of the code version."""


@dataclass(frozen=True, slots=True)
class Change:
    """One way in which an asset differs."""

    kind: ChangeKind
    text: str

    @property
    def rebuilds(self) -> bool:
        """True when the asset's data may differ, too."""
        return self.kind not in SAID_ONLY


@dataclass(frozen=True, slots=True)
class GraphDiff:
    """How `head` differs from `base`. Keys in head's order (removed ones in base's), upstream first."""

    added: tuple[AssetKey, ...] = ()
    removed: tuple[AssetKey, ...] = ()
    changed: Mapping[AssetKey, tuple[Change, ...]] = field(default_factory=dict)
    checks_added: tuple[Check, ...] = ()
    checks_removed: tuple[Check, ...] = ()
    checks_changed: tuple[Check, ...] = ()
    """As they are in head."""
    affected: tuple[AssetKey, ...] = ()
    """Assets of head whose data may differ: added, changed, and all that descends from them."""

    @property
    def is_empty(self) -> bool:
        """True when nothing at all differs."""
        return not (self.added or self.removed or self.changed or self.checks_differ)

    @property
    def checks_differ(self) -> bool:
        """True when a check was added, removed or changed."""
        return bool(self.checks_added or self.checks_removed or self.checks_changed)

    def reason(self, key: AssetKey, head: AssetGraph) -> str:
        """Why `key` is affected, in one clause."""
        if key in self.added:
            return "new"
        if own := [change.text for change in self.changed.get(key, ()) if change.rebuilds]:
            return "; ".join(own)
        changed = set(self.affected)
        upstream = sorted(str(parent) for parent in head.upstream[key] if parent in changed)
        more = f" and {len(upstream) - 1} more" if len(upstream) > 1 else ""
        return f"upstream {upstream[0]}{more} differs" if upstream else "upstream differs"


def diff_graphs(base: AssetGraph, head: AssetGraph) -> GraphDiff:
    """Compare by key. Both graphs must be of one environment: relations are compared as they are.

    A code version that is not known on one side counts as changed.
    """
    added = tuple(key for key in head.assets if key not in base)
    changed = {
        key: changes
        for key, asset in head.assets.items()
        if key in base and (changes := tuple(_changes(base[key], asset)))
    }
    roots = {*added, *(key for key, changes in changed.items() if any(change.rebuilds for change in changes))}
    reached = roots | head.descendants(roots)
    before = {check.id: check for check in base.checks}
    now = {check.id: check for check in head.checks}
    return GraphDiff(
        added=added,
        removed=tuple(key for key in base.assets if key not in head),
        changed=changed,
        checks_added=tuple(check for check in head.checks if check.id not in before),
        checks_removed=tuple(check for check in base.checks if check.id not in now),
        checks_changed=tuple(
            check for check in head.checks if check.id in before and _checked(check) != _checked(before[check.id])
        ),
        affected=tuple(key for key in head.assets if key in reached),
    )


def _checked(check: Check) -> tuple[object, ...]:
    return (check.code_version, check.reads, check.severity, check.blocking, check.column, check.name)


def _changes(base: Asset, head: Asset) -> Iterator[Change]:
    yield from _writer_changes(base, head)
    if base.relation != head.relation:
        yield Change("relation", f"moved from {base.relation or 'nowhere'} to {head.relation or 'nowhere'}")
    if base.writers and head.writers:
        yield from _edge_changes(base, head)
    yield from _column_changes(base, head)
    names = ("owners", "group", "tags", "description", "access")
    if different := [name for name in names if getattr(base, name) != getattr(head, name)]:
        yield Change("metadata", f"{', '.join(different)} changed")


def _writer_changes(base: Asset, head: Asset) -> Iterator[Change]:
    if base.external != head.external:
        yield Change("writer", "no longer written here" if head.external else "now written here")
        return
    before = {writer.id: writer for writer in base.writers}
    if before.keys() != {writer.id for writer in head.writers}:
        yield Change("writer", f"written by {', '.join(writer.name for writer in head.writers)} now")
        return
    for writer in head.writers:
        yield from _code_changes(before[writer.id], writer)


def _code_changes(base: Writer, head: Writer) -> Iterator[Change]:
    if base.strategy != head.strategy:
        yield Change("config", f"{base.strategy} → {head.strategy}")
    if base.code_version is None or head.code_version is None:
        yield Change("code", "its code cannot be compared")
    elif base.code_version != head.code_version:
        if base.raw_code != head.raw_code or base.raw_code is None:
            yield Change("code", "code changed")
        elif base.strategy == head.strategy:
            yield Change("config", "configuration, variables, or code that it calls changed")


def _edge_changes(base: Asset, head: Asset) -> Iterator[Change]:
    if new := sorted(head.reads - base.reads):
        yield Change("upstream", f"now reads {_listed(new)}")
    if gone := sorted(base.reads - head.reads):
        yield Change("upstream", f"no longer reads {_listed(gone)}")


def _column_changes(base: Asset, head: Asset) -> Iterator[Change]:
    before = {column.name.lower(): (column.type or "").lower() for column in base.columns}
    now = {column.name.lower(): (column.type or "").lower() for column in head.columns}
    said = [f"+{name}" for name in now if name not in before]
    said += [f"-{name}" for name in before if name not in now]
    said += [f"{name} {before[name] or 'untyped'} → {kind or 'untyped'}" for name, kind in now.items()
             if name in before and before[name] != kind]  # fmt: skip
    if said:
        yield Change("columns", f"declared columns: {', '.join(said)}")


def _listed(keys: list[AssetKey]) -> str:
    return ", ".join(str(key) for key in keys)


__all__ = ["Change", "GraphDiff", "diff_graphs"]
