"""Merges what the loaders found into one graph: by relation, so that a source and what writes it are one asset.

Errors are collected, and what they are about is left out, so that one broken node does not hide the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from orchestrator.definitions.jobs import PlacedJob
from orchestrator.definitions.keys import AssetKey, Location, Relation
from orchestrator.definitions.mappings import All
from orchestrator.errors import (
    DefinitionError,
    KeyClashError,
    OrchestratorError,
    SelectionError,
    UnknownAssetError,
    UnmappedPartitionError,
    did_you_mean,
)
from orchestrator.graph.build import build_graph, cycle_error, find_cycle
from orchestrator.graph.model import (
    Asset,
    AssetGraph,
    Check,
    Column,
    Consumer,
    Ephemeral,
    UsedResource,
    Writer,
    resolve_edge,
)
from orchestrator.graph.references import index_references
from orchestrator.graph.selection import check_job
from orchestrator.loaders.fragments import DraftAsset, DraftCheck, DraftConsumer, DraftEphemeral, Fragment
from orchestrator.loaders.key_clashes import key_of, settle_keys
from orchestrator.loaders.references import ProjectNames, References
from orchestrator.loaders.shared_tables import conflicts, owned_by_several


@dataclass(frozen=True, slots=True)
class MergeResult:
    """The graph of all that is sound, what was wrong, and how drafts are called in it."""

    graph: AssetGraph
    errors: tuple[OrchestratorError, ...] = ()
    """Those of merging; the fragments' own errors are not repeated."""
    ids: Mapping[str, AssetKey] = field(default_factory=dict)
    """{draft id, or `graph:PROJECT:KEY`: key of its asset}; drafts that were left out are missing."""
    homes: Mapping[AssetKey, frozenset[str]] = field(default_factory=dict)
    """{asset: projects that define or declare it, or that it reads and that could not be loaded}"""


def merge(fragments: Sequence[Fragment]) -> MergeResult:
    """One graph of all fragments.

    Errors: KeyClashError, ConflictingWritersError, UnknownAssetError, DependencyCycleError; none is raised.
    """
    drafts = [_at_home(draft, fragment) for fragment in fragments for draft in fragment.assets]
    ephemerals = [draft for fragment in fragments for draft in fragment.ephemerals]
    consumers = [draft for fragment in fragments for draft in fragment.consumers]
    checks = [draft for fragment in fragments for draft in fragment.checks]
    errors: list[OrchestratorError] = []

    drafts = _with_updated_tables(drafts, errors)
    groups = _group_by_relation(drafts)
    if moved := settle_keys(groups):
        drafts = [moved.get(draft.id, draft) for draft in drafts]
        groups = _group_by_relation(drafts)
    groups = _sound(groups, errors, own=next((item.project for item in fragments if item.own), ""))
    ids = {draft.id: key_of(group) for group in groups for draft in group}
    names = ProjectNames.of(fragments)
    references = References(ids, drafts, ephemerals, consumers, errors, projects=names)
    assets = {}
    for group in groups:
        with about(errors, group):
            assets[key_of(group)] = _united(group, references)
    _resolve_left_out(drafts, groups, references, errors)
    _map_partitions(assets, errors)
    _cut_cycles(assets, errors)
    graph = build_graph(assets.values())
    position = {key: index for index, key in enumerate(graph.assets)}
    graph = replace(
        graph,
        checks=tuple(_placed_checks(checks, references, position)),
        consumers=tuple(_placed(draft, references) for draft in consumers),
        ephemerals=tuple(_placed_ephemerals(ephemerals, drafts, references)),
    )
    graph = replace(graph, jobs=_sound_jobs(graph, [job for fragment in fragments for job in fragment.jobs], errors))
    homes = {key_of(group): frozenset(draft.asset.home for draft in group) for group in groups}
    for reader, missing in references.waiting.items():
        if (key := next((key for key in homes if str(key) == reader), None)) is not None:
            homes[key] |= missing
    return MergeResult(graph, tuple(errors), {**names.keys(ids), **ids}, homes)


def _at_home(draft: DraftAsset, fragment: Fragment) -> DraftAsset:
    return draft if fragment.own else replace(draft, asset=replace(draft.asset, home=fragment.home))


@contextmanager
def about(errors: list[OrchestratorError], drafts: Iterable[DraftAsset]) -> Iterator[None]:
    """What is found wrong meanwhile is about the projects of these drafts."""
    before = len(errors)
    yield
    for error in errors[before:]:
        error.homes = frozenset(draft.asset.home for draft in drafts)


# Which drafts are one asset


def _with_updated_tables(drafts: Sequence[DraftAsset], errors: list[OrchestratorError]) -> list[DraftAsset]:
    """Drafts that change the table of a dbt node get its relation; without such a node they are left out."""
    by_id = {draft.id: draft for draft in drafts}
    meanings = index_references([unique_id for draft in drafts for unique_id in draft.asset.dbt_ids])
    found: list[DraftAsset] = []
    for draft in drafts:
        if draft.same_as is None:
            found.append(draft)
            continue
        meant = [by_id[id_] for id_ in meanings.get(draft.same_as, ()) if id_ in by_id]
        if len(meant) == 1:
            found.append(replace(draft, asset=replace(draft.asset, relation=meant[0].asset.relation)))
        else:
            with about(errors, [draft]):
                errors.append(_no_table(draft, [other.id for other in meant], meanings))
    return found


def _no_table(draft: DraftAsset, meant: Sequence[str], known: Iterable[str]) -> UnknownAssetError:
    prefix, name = (draft.same_as or "").rsplit(":", 1)
    at, writer = str(_place(draft.asset)), draft.asset.writers[0].name
    if meant:
        what = f"'{writer}' updates '{name}', which may mean {' or '.join(meant)}"
        return UnknownAssetError(what, at=at, fix="write its project before the name: 'project.name'")
    names = [spelling.removeprefix(f"{prefix}:") for spelling in known if spelling.startswith(f"{prefix}:")]
    fix = did_you_mean(name, names) or "correct the name; `orchestrator ls` lists all assets"
    return UnknownAssetError(f"'{writer}' updates '{name}', which no dbt project here has", at=at, fix=fix)


def _group_by_relation(drafts: Iterable[DraftAsset]) -> list[list[DraftAsset]]:
    """Drafts of one relation together, the one that gives the key first; drafts without relation stay alone."""
    drafts = tuple(drafts)
    full = _full_relations(draft.asset.relation for draft in drafts if draft.asset.relation)
    groups: dict[object, list[DraftAsset]] = {}
    for index, draft in enumerate(drafts):
        relation = draft.asset.relation
        groups.setdefault(full[relation] if relation else index, []).append(draft)
    return [sorted(group, key=_rank) for group in groups.values()]


def _full_relations(relations: Iterable[Relation]) -> Mapping[Relation, Relation]:
    """{relation: itself, or the only one of the same name whose database is known}"""
    relations = tuple(dict.fromkeys(relations))
    databases: dict[tuple[str, str], list[Relation]] = {}
    for relation in relations:
        if relation.database:
            databases.setdefault((relation.schema, relation.identifier), []).append(relation)
    full = {}
    for relation in relations:
        candidates = databases.get((relation.schema, relation.identifier), [])
        full[relation] = candidates[0] if not relation.database and len(candidates) == 1 else relation
    return full


def _rank(draft: DraftAsset) -> int:
    """Writers first, those that insert before others and those here before those elsewhere; mere mentions last."""
    if draft.asset.writers:
        return 0 if draft.asset.inserting else 1
    if draft.elsewhere:
        return 2
    return 3 if draft.asset.dbt_ids else 4


def _sound(groups: Iterable[list[DraftAsset]], errors: list[OrchestratorError], *, own: str) -> list[list[DraftAsset]]:
    """The groups without those whose key is taken already; several writers of one table are reported."""
    by_key: dict[AssetKey, list[DraftAsset]] = {}
    for group in groups:
        table = str(group[0].asset.relation)
        with about(errors, group):
            found = owned_by_several(table, group, own=own)
            errors += found or conflicts(table, [item for draft in group for item in draft.asset.writers])
        first = by_key.setdefault(key_of(group), group)
        if first is not group:
            with about(errors, (first[0], group[0])):
                errors.append(_clash(first[0], group[0]))
    return list(by_key.values())


def _clash(first: DraftAsset, second: DraftAsset) -> KeyClashError:
    tables = _listed(str(draft.asset.relation or draft.id) for draft in (first, second))
    return KeyClashError(
        f"two assets have the key '{key_of([first])}': {tables}",
        at=_listed(str(draft.asset.location) for draft in (first, second)),
        fix="give one of them another key: `meta.orchestrator.key` in dbt, `key=` in Python",
    )


def _listed(items: Iterable[str]) -> str:
    *head, last = items
    return f"{', '.join(head)} and {last}" if head else last


# What a merged asset looks like


def _united(group: Sequence[DraftAsset], references: References) -> Asset:
    """One asset of all drafts of a relation; where they differ, the first (a writer) wins."""
    first, assets = group[0].asset, [draft.asset for draft in group]
    key = key_of(group)
    return replace(
        first,
        key=key,
        aliases=_aliases(key, assets),
        kinds=_in_order(asset.kinds for asset in assets if asset.writers or not first.writers),
        group=next((asset.group for asset in assets if asset.group), None),
        owners=_in_order(asset.owners for asset in assets),
        tags=_in_order(asset.tags for asset in assets),
        description=next((asset.description for asset in assets if asset.description), ""),
        relation=max((asset.relation for asset in assets if asset.relation), key=_has_database, default=None),
        columns=_columns(column for asset in assets for column in asset.columns),
        writers=tuple(writer for draft in group for writer in _placed_writers(draft, key, references)),
        resources=_resources(item for asset in assets for item in asset.resources),
        meta={name: value for asset in reversed(assets) for name, value in asset.meta.items()},
        dbt_ids=_in_order(asset.dbt_ids for asset in assets),
    )


def _placed_writers(draft: DraftAsset, key: AssetKey, references: References) -> Iterable[Writer]:
    if not draft.asset.writers:
        return ()
    reads = references.keys_of(draft.reads, reader=str(key), at=_place(draft.asset), places=draft.places) - {key}
    mappings = references.mappings_of(draft, reads=reads, reader=str(key), at=_place(draft.asset))
    return [replace(writer, reads=reads, mappings=mappings) for writer in draft.asset.writers]


def _has_database(relation: Relation) -> bool:
    return bool(relation.database)


def _aliases(key: AssetKey, assets: Sequence[Asset]) -> tuple[str, ...]:
    spellings = [spelling for asset in assets for spelling in (*asset.aliases, str(asset.key), asset.name)]
    return tuple(dict.fromkeys(item for item in spellings if item not in (str(key), assets[0].name)))


def _in_order(values: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for several in values for item in several))


def _resources(resources: Iterable[UsedResource]) -> tuple[UsedResource, ...]:
    """Resources by name, each with all places that use it."""
    found: dict[str, UsedResource] = {}
    for item in resources:
        known = found.setdefault(item.name, item)
        found[item.name] = replace(known, used_at=tuple(dict.fromkeys((*known.used_at, *item.used_at))))
    return tuple(found.values())


def _columns(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Columns by name, ignoring case; later ones fill in what earlier ones leave open."""
    found: dict[str, Column] = {}
    for column in columns:
        known = found.setdefault(column.name.lower(), column)
        found[column.name.lower()] = Column(
            known.name, known.type or column.type, known.description or column.description
        )
    return tuple(found.values())


def _place(asset: Asset) -> Location:
    return asset.writers[0].location if asset.writers else asset.location


def _resolve_left_out(
    drafts: Iterable[DraftAsset],
    groups: Iterable[Sequence[DraftAsset]],
    references: References,
    errors: list[OrchestratorError],
) -> None:
    """Reads of drafts that are not in the graph are looked up too, so that all errors are listed at once."""
    placed = {id(group[0]) for group in groups}
    for draft in drafts:
        if id(draft) not in placed:
            with about(errors, [draft]):
                references.keys_of(draft.reads, reader=str(key_of([draft])), at=_place(draft.asset))


def _map_partitions(assets: dict[AssetKey, Asset], errors: list[OrchestratorError]) -> None:
    """Reports each edge whose partitions nothing maps; the reader is then taken to read everything."""
    for key, asset in assets.items():
        for writer in asset.writers:
            unmapped: list[AssetKey] = []
            for read in sorted(writer.reads):
                try:
                    if read in assets and (writer.partitions or writer.mappings or assets[read].partitions):
                        resolve_edge(writer, assets[read], reader=key)
                except UnmappedPartitionError as exc:
                    exc.homes = frozenset((assets[key].home,))
                    errors.append(exc)
                    unmapped.append(read)
            if unmapped:
                mappings = {**dict(writer.mappings), **dict.fromkeys(unmapped, All())}
                mended = replace(writer, mappings=tuple(mappings.items()))
                writers = tuple(mended if other is writer else other for other in assets[key].writers)
                assets[key] = replace(assets[key], writers=writers)


def _cut_cycles(assets: dict[AssetKey, Asset], errors: list[OrchestratorError]) -> None:
    """Reports each cycle and takes its edges out of `assets`."""
    edges = {key: asset.reads for key, asset in assets.items()}
    while cycle := find_cycle(edges):
        error = cycle_error(cycle, assets)
        error.homes = frozenset(assets[key].home for key in cycle)
        errors.append(error)
        for parent, key in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
            edges[key] -= {parent}
            writers = tuple(replace(writer, reads=writer.reads - {parent}) for writer in assets[key].writers)
            assets[key] = replace(assets[key], writers=writers)


# Checks, consumers and ephemeral models


def _placed_checks(
    drafts: Iterable[DraftCheck], references: References, position: Mapping[AssetKey, int]
) -> Iterable[Check]:
    """Checks with their keys. One on an ephemeral model is shown on the last asset that the model reads."""
    for draft in drafts:
        check = draft.check
        wanted = draft.reads | {draft.asset_id} if draft.asset_id else draft.reads
        reads = references.keys_of(wanted, reader=check.name, at=check.location)
        key = references.ids.get(draft.asset_id)
        if key is None:
            shown_on = references.quietly(draft.asset_id) if draft.asset_id else reads
            key = max(shown_on, key=position.__getitem__, default=None)
        if key is not None:
            yield replace(check, key=key, reads=reads | {key})
        elif not wanted or references.is_ephemeral(draft.asset_id):
            yield replace(check, key=_nowhere(draft), reads=frozenset())


def _nowhere(draft: DraftCheck) -> AssetKey:
    """For a check that reads no asset, such as one of a macro: the ephemeral model it is on, else its own name."""
    _, package, name, *_ = (*(draft.asset_id or draft.check.id).split("."), "", "", "")
    return AssetKey.of_names(package, name if draft.asset_id else draft.check.name)


def _placed(draft: DraftConsumer, references: References) -> Consumer:
    consumer = draft.consumer
    return replace(consumer, reads=references.keys_of(draft.reads, reader=consumer.name, at=consumer.location))


def _placed_ephemerals(
    ephemerals: Iterable[DraftEphemeral], drafts: Iterable[DraftAsset], references: References
) -> Iterable[Ephemeral]:
    read_by: dict[str, set[AssetKey]] = {}
    for draft in drafts:
        for unique_id in references.ephemerals_behind(draft.reads):
            if draft.id in references.ids:
                read_by.setdefault(unique_id, set()).add(references.ids[draft.id])
    for item in ephemerals:
        model = item.ephemeral
        at = Location(model.path) if model.path else None
        reads = references.keys_of(item.reads, reader=model.name, at=at)
        yield replace(model, reads=reads, read_by=frozenset(read_by.get(model.unique_id, ())))


# Jobs


def _sound_jobs(
    graph: AssetGraph, jobs: Iterable[PlacedJob], errors: list[OrchestratorError]
) -> Mapping[str, PlacedJob]:
    """{name: job} of those whose selections name what is there; two of one name are an error."""
    found: dict[str, PlacedJob] = {}
    for placed in jobs:
        first = found.setdefault(placed.job.name, placed)
        if first is not placed:
            what, at = f"two jobs are called '{placed.job.name}'", f"{first.location} and {placed.location}"
            errors.append(DefinitionError(what, at=at, fix="give one of them another name"))
    graph = replace(graph, jobs=dict(sorted(found.items())))
    for placed in found.values():
        try:
            check_job(graph, placed.job)
        except SelectionError as exc:
            error = DefinitionError(f"job '{placed.job.name}': {exc.what}", at=placed.location, fix=exc.fix)
            errors.append(error)
    return graph.jobs
