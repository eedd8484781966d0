"""Finds the assets that draft ids and references mean, through ephemeral models and consumers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from orchestrator.definitions.keys import AssetKey, Location
from orchestrator.definitions.mappings import PartitionMapping
from orchestrator.errors import OrchestratorError, UnknownAssetError, did_you_mean
from orchestrator.graph.references import index_references
from orchestrator.loaders.fragments import DraftAsset, DraftConsumer, DraftEphemeral

_NOUNS = {"dbt:model:": "dbt model", "dbt:source:": "dbt source"}


class References:
    """What ids mean, looked up while merging. Ids that mean nothing become errors, each reader's once."""

    def __init__(
        self,
        ids: Mapping[str, AssetKey],
        drafts: Sequence[DraftAsset],
        ephemerals: Sequence[DraftEphemeral],
        consumers: Sequence[DraftConsumer],
        errors: list[OrchestratorError],
        *,
        incomplete: bool = False,
    ) -> None:
        self.ids = ids
        self._errors = errors
        self._incomplete = incomplete
        self._ephemerals = {draft.ephemeral.unique_id: draft.reads for draft in ephemerals}
        self._transparent = {**self._ephemerals, **{draft.consumer.id: draft.reads for draft in consumers}}
        self._known = {draft.id for draft in drafts}
        dbt_ids = [unique_id for draft in drafts for unique_id in (draft.id, *draft.asset.dbt_ids)]
        self._draft_of = {unique_id: draft.id for draft in drafts for unique_id in draft.asset.dbt_ids}
        self._references = index_references([*dbt_ids, *self._ephemerals])
        self._spellings = _index_spellings(drafts)

    def keys_of(
        self,
        wanted: Iterable[str],
        *,
        reader: str,
        at: Location | None,
        places: Mapping[str, Location] | None = None,
    ) -> frozenset[AssetKey]:
        """The assets that a reader's ids mean. What was left out of the graph is passed over.

        Errors are said to be at the id's place, else `at`.
        """
        found: set[AssetKey] = set()
        for id_ in sorted(wanted):
            meanings = self._meanings(id_)
            candidates = {frozenset(self._keys(meaning)) for meaning in meanings}
            if len(candidates) == 1:
                found |= candidates.pop()
            elif meanings or not self._excused(id_):
                where = (places or {}).get(id_, at)
                self._errors.append(self._error(id_, meanings, reader=reader, at=where))
        return frozenset(found)

    def mappings_of(
        self, draft: DraftAsset, *, reads: Collection[AssetKey], reader: str, at: Location
    ) -> tuple[tuple[AssetKey, PartitionMapping], ...]:
        """The declared mappings by asset. One for something that is not read is an error."""
        found: dict[AssetKey, PartitionMapping] = {}
        for id_, mapping in draft.mappings.items():
            keys = self.quietly(id_)
            if not keys or not keys <= set(reads):
                name = id_.removeprefix("python:").removeprefix("dbt:model:").removeprefix("dbt:source:")
                known = [str(key) for key in reads]
                self._errors.append(
                    UnknownAssetError(
                        f"'{reader}' maps partitions of '{name}', which it does not read",
                        at=str(at),
                        fix=did_you_mean(name, known) or f"it reads {', '.join(sorted(known)) or 'nothing'}",
                    )
                )
            found.update(dict.fromkeys(keys, mapping))
        return tuple(found.items())

    def _excused(self, id_: str) -> bool:
        """An unknown dbt name while a dbt project could not be read: the project's own error is the one to mend."""
        return self._incomplete and id_.startswith(tuple(_NOUNS))

    def is_ephemeral(self, id_: str) -> bool:
        """True for an ephemeral model, which is no asset."""
        return id_ in self._ephemerals

    def quietly(self, wanted: str) -> frozenset[AssetKey]:
        """The assets that an id means; none where it is wrong."""
        meanings = self._meanings(wanted)
        return frozenset(self._keys(meanings[0])) if len(meanings) == 1 else frozenset()

    def ephemerals_behind(self, wanted: Iterable[str]) -> frozenset[str]:
        """The ephemeral models that ids go through before they reach an asset."""
        found: set[str] = set()
        waiting = [meaning for id_ in wanted for meaning in self._meanings(id_)]
        while waiting:
            id_ = waiting.pop()
            if id_ in self._ephemerals and id_ not in found:
                found.add(id_)
                waiting += [meaning for read in self._ephemerals[id_] for meaning in self._meanings(read)]
        return frozenset(found)

    def _meanings(self, id_: str) -> tuple[str, ...]:
        """The drafts that an id may mean: one, none, or several of the same name."""
        if id_ in self._known or id_ in self._transparent:
            return (id_,)
        if id_ in self._draft_of:
            return (self._draft_of[id_],)
        found = self._references.get(id_) or self._spellings.get(id_.lower(), ())
        return tuple(dict.fromkeys(self._draft_of.get(meaning, meaning) for meaning in found))

    def _keys(self, id_: str) -> set[AssetKey]:
        """The asset of a draft, or those behind an ephemeral model or consumer."""
        found: set[AssetKey] = set()
        seen = {id_}
        waiting = [id_]
        while waiting:
            current = waiting.pop()
            if current in self.ids:
                found.add(self.ids[current])
            for read in self._transparent.get(current, ()):
                following = set(self._meanings(read)) - seen
                seen |= following
                waiting += following
        return found

    def _error(self, id_: str, meanings: Sequence[str], *, reader: str, at: Location | None) -> UnknownAssetError:
        prefix = next((prefix for prefix in _NOUNS if id_.startswith(prefix)), "")
        name, noun, place = id_.removeprefix(prefix), _NOUNS.get(prefix, "asset"), str(at) if at else None
        if meanings:
            what = f"'{reader}' reads the {noun} '{name}', which may mean {' or '.join(meanings)}"
            return UnknownAssetError(what, at=place, fix="write its project before the name: 'project.name'")
        if prefix:
            spellings = [known.removeprefix(prefix) for known in self._references if known.startswith(prefix)]
            known = _fewest_parts(spellings, name)
        else:
            known = sorted({*self._known, *self._transparent, *map(str, self.ids.values())})
        fix = did_you_mean(name, known) or "correct the name; `orchestrator ls` lists all assets"
        return UnknownAssetError(f"no {noun} is called '{name}', which '{reader}' reads", at=place, fix=fix)


def _fewest_parts(known: Iterable[str], name: str) -> list[str]:
    return sorted(spelling for spelling in known if spelling.count(".") <= name.count("."))


def _index_spellings(drafts: Iterable[DraftAsset]) -> Mapping[str, tuple[str, ...]]:
    """{key, lower-cased: drafts that have it}"""
    found: dict[str, list[str]] = {}
    for draft in drafts:
        for key in dict.fromkeys((draft.explicit_key or draft.asset.key, draft.asset.key)):
            found.setdefault(str(key).lower(), []).append(draft.id)
    return {spelling: tuple(ids) for spelling, ids in found.items()}
