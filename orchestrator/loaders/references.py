"""Finds the assets that draft ids and references mean, through ephemeral models and consumers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.definitions.keys import AssetKey, Location
from orchestrator.definitions.mappings import PartitionMapping
from orchestrator.errors import OrchestratorError, UnknownAssetError, did_you_mean
from orchestrator.graph.references import index_references
from orchestrator.loaders.fragments import DraftAsset, DraftConsumer, DraftEphemeral, Fragment

_NOUNS = {"dbt:model:": "dbt model", "dbt:source:": "dbt source"}
GRAPH = "graph:"


@dataclass(frozen=True, slots=True)
class ProjectNames:
    """The assets of each project by the names that they have there: `graph:PROJECT:NAME`."""

    drafts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """{name, lower-cased: drafts}"""
    known: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """{project: the keys of its assets}"""
    broken: Mapping[str, str] = field(default_factory=dict)
    """{project of which something may be missing: its home}"""
    unread: frozenset[str] = frozenset()
    """The homes of projects that could not be read at all."""

    @classmethod
    def of(cls, fragments: Iterable[Fragment]) -> ProjectNames:
        drafts: dict[str, dict[str, None]] = {}
        known: dict[str, list[str]] = {}
        broken: dict[str, str] = {}
        unread: set[str] = set()
        for fragment in fragments:
            if fragment.incomplete:
                unread.add(fragment.home)
            if fragment.partial:
                broken[fragment.project] = fragment.home
            if not fragment.project:
                continue
            keys = known.setdefault(fragment.project, [])
            for draft in fragment.assets:
                asset = draft.asset
                keys.append(str(draft.explicit_key or asset.key))
                for name in (keys[-1], str(asset.key), *asset.aliases):
                    drafts.setdefault(f"{GRAPH}{fragment.project}:{name}".lower(), {})[draft.id] = None
        return cls(
            {name: tuple(ids) for name, ids in drafts.items()},
            {project: tuple(keys) for project, keys in known.items()},
            broken,
            frozenset(unread),
        )

    def find(self, id_: str) -> tuple[str, ...]:
        """The drafts that a reference may mean; those of its key before those that only have it as another name."""
        return self.drafts.get(id_.lower(), ()) if id_.startswith(GRAPH) else ()

    def keys(self, ids: Mapping[str, AssetKey]) -> dict[str, AssetKey]:
        """{reference: asset} of those that mean one."""
        meant = {name: {ids[draft] for draft in drafts if draft in ids} for name, drafts in self.drafts.items()}
        return {name: next(iter(keys)) for name, keys in meant.items() if len(keys) == 1}

    def missing(self, id_: str) -> frozenset[str]:
        """The homes of projects that could not be loaded, and that may have what is not known."""
        if id_.startswith(GRAPH):
            project = id_.split(":", 2)[1]
            return frozenset({self.broken[project]}) if project in self.broken else frozenset()
        return self.unread if id_.startswith(tuple(_NOUNS)) else frozenset()

    def error(self, id_: str, *, reader: str, at: Location | None) -> UnknownAssetError:
        _, project, name = id_.split(":", 2)
        place = str(at) if at else None
        if project not in self.known:
            fix = (
                did_you_mean(project, self.known)
                or f"add [tool.orchestrator.projects.{project}] with its path or graph"
            )
            return UnknownAssetError(
                f"'{reader}' reads '{name}' of '{project}', which is no project of this workspace", at=place, fix=fix
            )
        return UnknownAssetError(
            f"project '{project}' has no asset '{name}', which '{reader}' reads",
            at=place,
            fix=did_you_mean(name, self.known[project])
            or f"correct the name; `orchestrator ls project:{project}` lists its assets",
        )


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
        projects: ProjectNames | None = None,
    ) -> None:
        self.ids = ids
        self.waiting: dict[str, frozenset[str]] = {}
        """{reader: projects that could not be loaded, and that something it reads may be of}"""
        self._errors = errors
        self._projects = projects or ProjectNames()
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
            elif not meanings and (missing := self._projects.missing(id_)):
                self.waiting[reader] = self.waiting.get(reader, frozenset()) | missing
            else:
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
        found = self._references.get(id_) or self._projects.find(id_) or self._spellings.get(id_.lower(), ())
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
        if id_.startswith(GRAPH) and not meanings:
            return self._projects.error(id_, reader=reader, at=at)
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
