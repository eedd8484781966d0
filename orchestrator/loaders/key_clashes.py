"""Gives tables that ask for one key different ones, where dbt lets them share a name.

dbt tells tables apart by relation, so a model of the schema `billing` and a source called `billing` may have tables of
one name, and two models one alias. The rule is the same in every environment: a table that somebody here writes keeps
its key before one that is only read; one that the key is named after before one that has it by an alias; and otherwise
all that clash take the next key that their loader offers. A key that was written down (`meta.orchestrator.key`, a
Python definition) never moves; what then still clashes is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from orchestrator.definitions.keys import AssetKey
from orchestrator.loaders.fragments import DraftAsset

Groups = Sequence[Sequence[DraftAsset]]
"""Drafts of one table together, the one that gives the key first."""


def key_of(group: Sequence[DraftAsset]) -> AssetKey:
    """The key of a table."""
    return group[0].explicit_key or group[0].asset.key


def settle_keys(groups: Groups) -> dict[str, DraftAsset]:
    """{draft id: the draft with another key}, for those that must move."""
    moved: dict[str, DraftAsset] = {}
    current = {group[0].id: group[0] for group in groups}
    while clashing := _clashing(current.values()):
        movers = [draft for drafts in clashing for draft in _movers(drafts)]
        if not movers:
            return moved
        for draft in movers:
            moved[draft.id] = current[draft.id] = _moved(draft)
    return moved


def _clashing(drafts: Iterable[DraftAsset]) -> list[list[DraftAsset]]:
    by_key: dict[AssetKey, list[DraftAsset]] = {}
    for draft in drafts:
        by_key.setdefault(key_of([draft]), []).append(draft)
    return [found for found in by_key.values() if len(found) > 1]


def _movers(drafts: Sequence[DraftAsset]) -> list[DraftAsset]:
    if elsewhere := [draft for draft in drafts if draft.elsewhere and draft.other_keys]:
        return elsewhere  # what another repository calls so gives way to what is called so here
    if not all(draft.asset.dbt_ids for draft in drafts):
        return []  # a Python table of that name: most likely they are meant to be one
    movable = [draft for draft in drafts if draft.other_keys and not draft.explicit_key]
    read_only = [draft for draft in movable if draft.asset.external]
    if read_only and len(read_only) < len(drafts):
        return read_only
    most = max((len(draft.other_keys) for draft in movable), default=0)
    return [draft for draft in movable if len(draft.other_keys) == most]


def _moved(draft: DraftAsset) -> DraftAsset:
    key, *rest = draft.other_keys
    return replace(draft, asset=replace(draft.asset, key=key), other_keys=tuple(rest))


__all__ = ["key_of", "settle_keys"]
