"""Graphs that other repositories publish → drafts of external assets, from the place or from the last copy of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec

from orchestrator.definitions.facts import WriterFact
from orchestrator.definitions.keys import AssetKey, Location, Relation
from orchestrator.errors import DefinitionError, PublishedGraphError
from orchestrator.graph.model import Asset, Column
from orchestrator.graph_places import plain, read_place
from orchestrator.kept_files import keep
from orchestrator.loaders.fragments import DraftAsset, Fragment
from orchestrator.loaders.published_graph import PublishedAsset, PublishedGraph, decode_graph
from orchestrator.sql.schema import Columns


@dataclass(frozen=True, slots=True)
class Published:
    """A published graph as it was read: drafts for our graph, and what only the other repository knows."""

    fragment: Fragment
    columns: Mapping[str, Columns] = field(default_factory=dict)
    """{draft id: its columns} where these are all."""
    assets: Mapping[str, PublishedAsset] = field(default_factory=dict)
    """{draft id: the asset as it was published}"""
    at: datetime = datetime.min
    """When it was published."""


class _Copy(msgspec.Struct):
    """The last copy that could be read."""

    place: str
    """A digest of it: an address may hold a secret."""
    stamp: str
    read_at: datetime
    content: bytes


def load_published(name: str, place: str, *, cache: Path, at: str | None, as_of: datetime | None = None) -> Published:
    """The graph at `place`, as project `name`; `at` is where it is configured. Nothing is raised.

    What has not changed since the last time is not read again. Where it cannot be read, the last copy is taken, with a
    warning that says its age; without one it is an error.
    """
    now = as_of or datetime.now(timezone.utc)
    file = cache / f"{name}.msgpack"
    copy = _read_copy(file, place)
    try:
        graph = _read(place, copy, file, now)
    except PublishedGraphError as exc:
        graph_then = _decoded(copy, place)
        if copy is None or graph_then is None:
            exc.at = exc.at or at
            return Published(Fragment(errors=(exc,), incomplete=True))
        said = f"project '{name}': {exc.what}; shown is the copy of {_age(now - copy.read_at)} ago"
        return _published(name, graph_then, warnings=(said,))
    return _published(name, graph)


def _read(place: str, copy: _Copy | None, file: Path, now: datetime) -> PublishedGraph:
    """What is there now. Raises PublishedGraphError."""
    found = read_place(place, stamp=copy.stamp if copy is not None else "")
    if found.content is None and copy is not None:
        if now - copy.read_at > timedelta(minutes=1):  # its age counts from when it was last seen to be the newest
            keep(file, msgspec.msgpack.encode(_Copy(copy.place, copy.stamp, now, copy.content)))
        return decode_graph(copy.content, url=plain(place))
    content = found.content or b""
    graph = decode_graph(content, url=plain(place))
    keep(file, msgspec.msgpack.encode(_Copy(_digest(place), found.stamp, now, content)))
    return graph


def _read_copy(file: Path, place: str) -> _Copy | None:
    try:
        copy = msgspec.msgpack.decode(file.read_bytes(), type=_Copy)
    except (OSError, msgspec.DecodeError):
        return None
    return copy if copy.place == _digest(place) else None


def _decoded(copy: _Copy | None, place: str) -> PublishedGraph | None:
    try:
        return decode_graph(copy.content, url=plain(place)) if copy is not None else None
    except PublishedGraphError:
        return None


def _digest(place: str) -> str:
    return hashlib.sha256(place.encode()).hexdigest()[:16]


def _age(passed: timedelta) -> str:
    """
    >>> [_age(timedelta(seconds=s)) for s in (5, 60, 7200, 86400, 259200)]
    ['less than a minute', '1 minute', '2 hours', '1 day', '3 days']
    """
    seconds = int(passed.total_seconds())
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"


# From the document to drafts


def _published(name: str, graph: PublishedGraph, *, warnings: tuple[str, ...] = ()) -> Published:
    """All that the other repository writes; what it only reads is for others to say."""
    drafts: list[DraftAsset] = []
    errors: list[DefinitionError] = []
    columns: dict[str, Columns] = {}
    assets: dict[str, PublishedAsset] = {}
    for asset in graph.assets:
        if asset.external:
            continue
        try:
            draft = _draft(name, graph, asset)
        except DefinitionError as exc:
            errors.append(exc)
            continue
        drafts.append(draft)
        assets[draft.id] = asset
        if asset.columns_complete:
            columns[draft.id] = tuple((column.name.lower(), column.type) for column in asset.columns)
    fragment = Fragment(assets=tuple(drafts), errors=tuple(errors), warnings=warnings)
    return Published(fragment, columns, assets, graph.at)


def _draft(name: str, graph: PublishedGraph, asset: PublishedAsset) -> DraftAsset:
    location = _location(name, asset.location)
    key = AssetKey.parse(asset.key, at=str(location))
    relation = asset.relation
    return DraftAsset(
        f"graph:{name}:{asset.key}",
        Asset(
            key=key,
            name=key.name,
            project=name,
            location=location,
            aliases=asset.aliases,
            kinds=asset.kinds,
            group=asset.group,
            owners=asset.owners,
            tags=asset.tags,
            description=asset.description,
            relation=Relation.normalised(relation.database, relation.schema, relation.identifier)
            if relation is not None
            else None,
            columns=tuple(Column(column.name, column.type, column.description) for column in asset.columns),
            access=asset.access or "protected",
            access_written=asset.access is not None,
            elsewhere=True,
            meta={"freshness": asset.freshness} if asset.freshness else {},
        ),
        other_keys=(AssetKey(name, asset.key),),
        elsewhere=True,
    )


def published_facts(published: Published, ids: Mapping[str, AssetKey]) -> dict[tuple[str, str, str | None], WriterFact]:
    """What the other repository recorded of its newest writes, as facts of one writer, `graph:PROJECT`, an asset."""
    found: dict[tuple[str, str, str | None], WriterFact] = {}
    for draft in published.fragment.assets:
        asset = published.assets[draft.id]
        if draft.id not in ids or asset.version is None:
            continue
        newest = max(asset.materializations, key=lambda item: item.at, default=None)
        rows = [item.rows for item in asset.materializations]
        key, writer = str(ids[draft.id]), f"graph:{draft.asset.project}"
        at = newest.at if newest is not None else published.at
        found[key, writer, None] = WriterFact(
            key=key,
            writer=writer,
            partition=None,
            status="succeeded",
            attempt_id=asset.version,
            run_id="",
            at=at,
            version=asset.version,
            version_at=at,
            rows=None if None in rows or not rows else sum(row for row in rows if row is not None),
        )
    return found


def _location(name: str, place: str) -> Location:
    """`other:models/x.sql:3`: no path here leads there."""
    file, _, line = place.rpartition(":")
    if file and line.isdigit():
        return Location(f"{name}:{file}", int(line))
    return Location(f"{name}:{place}" if place else name)


__all__ = ["Published", "load_published", "published_facts"]
