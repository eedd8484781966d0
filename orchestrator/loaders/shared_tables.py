"""Several writers of one table: which may live together, and what is wrong with those that may not.

One writer may own the whole table; several must each own a slot, disjoint from the others as far as that can be seen.
Writers that only update rows come on top of either. Of several projects one owns a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from orchestrator.definitions.keys import Location
from orchestrator.definitions.partitions import UNPARTITIONED
from orchestrator.definitions.slots import Slot
from orchestrator.errors import ConflictingWritersError
from orchestrator.graph.model import Asset, Writer
from orchestrator.loaders.fragments import DraftAsset

_COUNTS = {2: "two", 3: "three", 4: "four"}
_SLOT_FIX = {
    "python": '@writes(table, slot="name", where={"column": "value"})',
    "dbt": "`meta.orchestrator.slot: {name: …, where: {column: value}}`",
}


def conflicts(table: str, writers: Sequence[Writer]) -> Iterator[ConflictingWritersError]:
    """What is wrong with these writers of one table; nothing for a table with one of them."""
    yield from _divided_differently(table, writers)
    inserting = [writer for writer in writers if writer.mode == "insert"]
    if len(inserting) < 2:
        return
    whole = [writer for writer in inserting if writer.slot is None]
    if len(whole) > 1:
        yield _several_whole(table, whole)
    elif whole:
        yield _whole_beside_slots(table, whole[0], [writer for writer in inserting if writer.slot is not None])
    yield from (_replaced_by_dbt(table, writer) for writer in inserting if writer.slot and _replaces_table(writer))
    for one, other in combinations(inserting, 2):
        if one.slot is not None and other.slot is not None:
            yield from _overlap(table, one, one.slot, other, other.slot)


def owned_by_several(table: str, drafts: Sequence[DraftAsset], *, own: str) -> list[ConflictingWritersError]:
    """An error where two projects each own the whole table; `own` names the workspace's. Slots and updates own none."""
    owners: dict[str, DraftAsset] = {}
    for draft in drafts:
        whole = any(writer.mode == "insert" and writer.slot is None for writer in draft.asset.writers)
        if draft.elsewhere or whole:
            owners.setdefault(draft.asset.home or own, draft)
    if len(owners) < 2:
        return []
    named = [
        f"'{project}' ({draft.asset.key if draft.elsewhere else draft.asset.writers[0].id})"
        for project, draft in owners.items()
    ]
    first = next((draft.asset.writers[0] for draft in owners.values() if draft.asset.writers), None)
    return [
        ConflictingWritersError(
            f"{_COUNTS.get(len(owners), str(len(owners)))} projects write one table, '{table}': {_listed(named)}",
            at=_listed([str(_place(draft.asset)) for draft in owners.values()]),
            fix="let one of them write it and the other read it, or declare a further writer: "
            + _SLOT_FIX[first.engine if first is not None else "python"],
        )
    ]


def _place(asset: Asset) -> Location:
    return asset.writers[0].location if asset.writers else asset.location


def _divided_differently(table: str, writers: Sequence[Writer]) -> Iterator[ConflictingWritersError]:
    """A table has one partitioning; only a writer that updates rows may do without."""
    sure = [writer for writer in writers if writer.mode == "insert" or writer.partitions is not None]
    for writer in sure[1:]:
        if writer.partitions != sure[0].partitions:
            one, other = ((item.partitions or UNPARTITIONED).about() for item in (sure[0], writer))
            yield ConflictingWritersError(
                f"two writers divide '{table}' differently: {sure[0].id} ({one}) and {writer.id} ({other})",
                at=_places(sure[0], writer),
                fix="give both the same partitions",
            )
            return


def _replaces_table(writer: Writer) -> bool:
    return writer.engine == "dbt" and writer.strategy != "incremental"


def _several_whole(table: str, writers: Sequence[Writer]) -> ConflictingWritersError:
    count = _COUNTS.get(len(writers), str(len(writers)))
    return ConflictingWritersError(
        f"{count} writers replace one table, '{table}': {_listed([writer.id for writer in writers])}",
        at=_places(*writers),
        fix=f"keep one of them, or make each the writer of a slot: {_SLOT_FIX[writers[-1].engine]}",
    )


def _whole_beside_slots(table: str, whole: Writer, slots: Sequence[Writer]) -> ConflictingWritersError:
    names = _listed([f"'{writer.slot.name}'" for writer in slots if writer.slot is not None])
    return ConflictingWritersError(
        f"{whole.id} replaces the whole table '{table}', also the rows of {names}",
        at=_places(whole, *slots),
        fix=f"make it the writer of a slot too: {_SLOT_FIX[whole.engine]}",
    )


def _replaced_by_dbt(table: str, writer: Writer) -> ConflictingWritersError:
    return ConflictingWritersError(
        f"{writer.id} has a slot of '{table}', but its materialization '{writer.strategy}' replaces the whole table",
        at=str(writer.location),
        fix="make the model incremental, with a strategy that leaves the other slots' rows alone",
    )


def _overlap(table: str, one: Writer, mine: Slot, other: Writer, its: Slot) -> Iterator[ConflictingWritersError]:
    if mine.name == its.name:
        yield ConflictingWritersError(
            f"two writers of '{table}' have the slot '{mine.name}': {one.id} and {other.id}",
            at=_places(one, other),
            fix="give one of them another name",
        )
    elif mine.overlaps(its):
        yield ConflictingWritersError(
            f"the slots '{mine.name}' ({mine.text}) and '{its.name}' ({its.text}) of '{table}' share rows",
            at=_places(one, other),
            fix="give them values that differ in one column",
        )


def _places(*writers: Writer) -> str:
    return _listed([str(writer.location) for writer in writers])


def _listed(items: Sequence[str]) -> str:
    *head, last = items
    return f"{', '.join(head)} and {last}" if head else last
