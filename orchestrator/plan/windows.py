"""`--partitions`: the same words, projected on each asset's own partitioning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.partitions import NamedPartitions, Partitions, PartitionSet, TimePartitions
from orchestrator.definitions.partitions.base import BETWEEN, EVERYTHING
from orchestrator.definitions.partitions.grains import Period, read_period
from orchestrator.definitions.partitions.multi import JOINT, set_of
from orchestrator.errors import PlanError, UnknownPartitionError
from orchestrator.graph.model import AssetGraph

Windows = dict[AssetKey, PartitionSet]
"""{partitioned asset: its partitions in the window}"""


def project(graph: AssetGraph, selected: Iterable[AssetKey], words: str, *, as_of: datetime) -> Windows:
    """The partitions of each selected asset that the words mean; assets without partitions are not in it.

    A word of the calendar (`2013-03`, `2013-03-05..2013-03-20`, both included) means every window that it overlaps,
    of whatever grain; a name means itself; parts joined by `|` each mean what they fit. Only what there is at `as_of`:
    windows that have ended. Raises UnknownPartitionError where a word means nothing anywhere.
    """
    assets = {key: partitions for key in selected if (partitions := graph[key].partitions) is not None}
    if not assets:
        raise PlanError(
            "nothing that is selected is partitioned", fix="leave --partitions out, or select something else"
        )
    found = {key: partitions.nothing() for key, partitions in assets.items()}
    for word in words.split(","):
        parts = [_Word.read(part.strip()) for part in word.split(JOINT)]
        meant = {key: _meant(partitions, parts) for key, partitions in assets.items()}
        due = {key: some & assets[key].closed(as_of=as_of) for key, some in meant.items() if some is not None}
        if not any(due.values()):
            raise _no_partition(word.strip(), assets, fits=any(meant.values()))
        found.update((key, found[key] | some) for key, some in due.items())
    return found


@dataclass(frozen=True, slots=True)
class _Word:
    """A key or range: of the calendar, or of names."""

    text: str
    first: str
    last: str
    periods: tuple[Period | None, Period | None]

    @classmethod
    def read(cls, text: str) -> _Word:
        first, between, last = (part.strip() for part in text.partition(BETWEEN))
        last = last if between else first
        start, end = read_period(first), read_period(last)
        if start is not None and end is not None and end.end <= start.start:
            raise UnknownPartitionError(f"'{text}' ends before it begins", fix=f"write '{last}{BETWEEN}{first}'")
        return cls(text, first, last, (start, end))

    def of(self, part: Partitions) -> PartitionSet | None:
        """What it means in one dimension; None if nothing."""
        if self.text == EVERYTHING:
            return part.every()
        if isinstance(part, TimePartitions):
            return self._of_time(part)
        ends = [end for end in (self.first, self.last) if end]
        if isinstance(part, NamedPartitions) and ends and all(end in part.names for end in ends):
            return part.parse_part(self.text)
        return None

    def _of_time(self, part: TimePartitions) -> PartitionSet | None:
        start, end = self.periods
        if (self.first and start is None) or (self.last and end is None) or (start is None and end is None):
            return None
        # A key of the partitioning itself is exact: of two hours with one name it may mean the second.
        low = part.lowest if start is None else _numbers(part, start)[0]
        high = part.highest if end is None else _numbers(part, end)[1]
        return part.of_ranges((low, high))


def _numbers(part: TimePartitions, period: Period) -> tuple[int, int]:
    if period.utc_offset is not None and part.grain is period.grain:
        number = part.number(period.text)
        return number, number
    return part.numbers(period.start, period.end)


def _meant(partitions: Partitions, words: list[_Word]) -> PartitionSet | None:
    """The combinations of what each word means in the first dimension that it fits; None if one fits nowhere."""
    sides: dict[int, PartitionSet] = {}
    fitting = 0
    for word in words:
        for at, part in enumerate(partitions.dimensions):
            meant = word.of(part) if at not in sides else None
            if meant is not None:
                sides[at] = meant
                fitting += 1
                break
    if not fitting:
        return None
    return set_of(partitions, [tuple(sides.get(at, part.every()) for at, part in enumerate(partitions.dimensions))])


def _no_partition(word: str, assets: dict[AssetKey, Partitions], *, fits: bool) -> UnknownPartitionError:
    shown = "; ".join(f"{key} is {partitions.about()}" for key, partitions in list(assets.items())[:3])
    more = f" and {len(assets) - 3} more" if len(assets) > 3 else ""
    what = f"'{word}' names no partition of what is selected"
    if fits:
        what = f"no selected partition in '{word}' is there yet: its window has to end first"
    return UnknownPartitionError(what, fix=f"{shown}{more}")
