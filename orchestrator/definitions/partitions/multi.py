"""Partitions in two or more dimensions, and sets of them as rows of ranges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any

from orchestrator.definitions.partitions.base import BETWEEN, EVERYTHING, Partition, Partitions, PartitionSet
from orchestrator.definitions.partitions.named import UNPARTITIONED
from orchestrator.definitions.partitions.time import TimePartitions
from orchestrator.errors import DefinitionError, UnknownPartitionError, did_you_mean

JOINT = "|"
Block = tuple[PartitionSet, ...]
"""A set for each dimension; it stands for every combination of their keys."""


@dataclass(frozen=True, slots=True, init=False)
class Multi(Partitions):
    """Every combination of the keys of two or more partitionings, joined by `|` in this order.

    >>> from orchestrator.definitions.partitions import Monthly, Static
    >>> by_origin = Multi(Static("EWR", "JFK", column="origin"), Monthly("2013-01", last="2013-12", column="month"))
    >>> by_origin.parse("EWR|2013-02..2013-03").text()
    'EWR|2013-02..2013-03'
    >>> len(by_origin.parse("*|2013")), len(by_origin.parse("2013-02"))
    (24, 2)
    """

    parts: tuple[Partitions, ...]

    def __init__(self, *parts: Partitions) -> None:
        object.__setattr__(self, "parts", parts)
        if len(parts) < 2 or not all(isinstance(part, Partitions) for part in parts):
            raise DefinitionError(
                "Multi(…) needs two or more partitionings",
                fix='as in Multi(Static("EWR", "JFK", column="origin"), Monthly("2013-01", column="day"))',
            )
        if any(len(part.dimensions) != 1 for part in parts):
            raise DefinitionError("Multi(…) inside Multi(…)", fix="list all dimensions in one Multi(…)")
        names = [part.name for part in parts]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DefinitionError(
                f"two dimensions of Multi(…) are called '{twice[0]}'", fix="tell them apart by column="
            )

        endless = [part.name for part in parts if isinstance(part, TimePartitions) and part.last is None]
        if len(endless) > 1:
            raise DefinitionError(
                f"the dimensions {' and '.join(endless)} of Multi(…) have no last partition",
                fix="give all but one of them last=",
            )

    @property
    def column(self) -> None:  # type: ignore[override]
        """None: each dimension has its own."""
        return None

    @property
    def name(self) -> str:
        """The names of its dimensions."""
        return JOINT.join(part.name for part in self.parts)

    @property
    def kind(self) -> str:
        """`multi`."""
        return "multi"

    @property
    def dimensions(self) -> tuple[Partitions, ...]:
        """The partitionings that a key is joined of."""
        return self.parts

    @property
    def main(self) -> int:
        """The dimension whose ranges sets keep: the first of time, else the first."""
        return next((at for at, part in enumerate(self.parts) if isinstance(part, TimePartitions)), 0)

    def split(self, key: str) -> tuple[str, ...]:
        """The key's parts, one a dimension. Raises UnknownPartitionError."""
        parts = tuple(key.split(JOINT))
        if len(parts) != len(self.parts):
            raise UnknownPartitionError(
                f"'{key}' has {len(parts)} part{'' if len(parts) == 1 else 's'}, and {self.about()} has "
                f"{len(self.parts)} dimensions",
                fix=f"write it as {JOINT.join(part.name for part in self.parts)}",
            )
        return parts

    def of_blocks(self, blocks: Iterable[Block]) -> GridSet:
        """The set of all combinations in any of the blocks."""
        rows: dict[tuple[str, ...], PartitionSet] = {}
        main = self.main
        for block in blocks:
            for rest in product(*(part for at, part in enumerate(block) if at != main)):
                rows[rest] = rows[rest] | block[main] if rest in rows else block[main]
        return GridSet.of_rows(self, rows)

    def every(self) -> GridSet:
        """All combinations."""
        return self.of_blocks([tuple(part.every() for part in self.parts)])

    def nothing(self) -> GridSet:
        """No combination."""
        return GridSet(self, ())

    def of_keys(self, keys: Iterable[str]) -> GridSet:
        """The combinations of these keys, as far as they are some."""
        main, rows = self.main, defaultdict(list)
        for key in keys:
            parts = key.split(JOINT)
            if len(parts) == len(self.parts):
                rows[(*parts[:main], *parts[main + 1 :])].append(parts[main])
        others = (*self.parts[:main], *self.parts[main + 1 :])
        known = {rest: found for rest, found in rows.items() if all(map(_has, others, rest))}
        return GridSet.of_rows(self, {rest: self.parts[main].of_keys(found) for rest, found in known.items()})

    def partition(self, key: str) -> Partition:
        """One combination. Raises UnknownPartitionError."""
        found = [part.partition(text) for part, text in zip(self.parts, self.split(key), strict=True)]
        time = next((one for one in found if one.start is not None), Partition(key))
        keys = {name: text for one in found for name, text in one.keys.items()}
        return Partition(key, time.start, time.end, keys)

    def closed(self, *, as_of: datetime) -> GridSet:
        """All combinations whose windows have ended."""
        return self.of_blocks([tuple(part.closed(as_of=as_of) for part in self.parts)])

    def only(self, key: str) -> GridSet:
        """One combination. Raises UnknownPartitionError."""
        parts = zip(self.parts, self.split(key), strict=True)
        return self.of_blocks([tuple(part.only(text) for part, text in parts)])

    def parse_part(self, text: str) -> GridSet:
        """One word: what each dimension takes, joined by `|`, or of one dimension only.

        Raises UnknownPartitionError.
        """
        if text == EVERYTHING:
            return self.every()
        if JOINT in text:
            words = zip(self.parts, self.split(text), strict=True)
            return self.of_blocks([tuple(part.parse_part(word.strip()) for part, word in words)])
        for at, part in enumerate(self.parts):
            try:
                found = part.parse_part(text)
            except UnknownPartitionError:
                continue
            return self.of_blocks([tuple(found if at == other else dim.every() for other, dim in self._numbered())])
        example = JOINT.join(_example(part) for part in self.parts)
        raise UnknownPartitionError(f"'{text}' is no partition of {self.about()}", fix=f"write it like '{example}'")

    def _numbered(self) -> Iterable[tuple[int, Partitions]]:
        return enumerate(self.parts)

    def dimension(self, name: str) -> Partitions:
        """The dimension of a name. Raises DefinitionError."""
        for part in self.parts:
            if part.name == name:
                return part
        names = [part.name for part in self.parts]
        raise DefinitionError(
            f"{self.about()} has no dimension '{name}'", fix=did_you_mean(name, names) or f"one of {', '.join(names)}"
        )

    def about(self) -> str:
        """`multi (static, EWR, JFK, column origin | monthly, 2013-01.., column month)`."""
        return f"multi ({f' {JOINT} '.join(part.about() for part in self.parts)})"

    def to_json(self) -> dict[str, Any]:
        """`kind`, `dimensions`."""
        return {"kind": self.kind, "dimensions": [part.to_json() for part in self.parts]}


@dataclass(frozen=True, slots=True)
class GridSet(PartitionSet):
    """For each combination of the other dimensions' keys, a set in the main dimension."""

    of: Multi
    rows: tuple[tuple[tuple[str, ...], PartitionSet], ...]

    def __iter__(self) -> Iterator[str]:
        return (self._joined(rest, key) for rest, found in self.rows for key in found)

    def __len__(self) -> int:
        return sum(len(found) for _, found in self.rows)

    def __contains__(self, key: object) -> bool:
        parts = tuple(key.split(JOINT)) if isinstance(key, str) else ()
        if len(parts) != len(self.of.parts):
            return False
        main = self.of.main
        rest = (*parts[:main], *parts[main + 1 :])
        return any(parts[main] in found for held, found in self.rows if held == rest)

    def __or__(self, other: PartitionSet) -> GridSet:
        rows = dict(self.rows)
        for rest, found in self._same(other).items():
            rows[rest] = rows[rest] | found if rest in rows else found
        return GridSet.of_rows(self.of, rows)

    def __and__(self, other: PartitionSet) -> GridSet:
        theirs = self._same(other)
        return GridSet.of_rows(self.of, {rest: found & theirs[rest] for rest, found in self.rows if rest in theirs})

    def __sub__(self, other: PartitionSet) -> GridSet:
        theirs = self._same(other)
        return GridSet.of_rows(
            self.of, {rest: found - theirs[rest] if rest in theirs else found for rest, found in self.rows}
        )

    def _same(self, other: PartitionSet) -> dict[tuple[str, ...], PartitionSet]:
        if not isinstance(other, GridSet) or other.of != self.of:
            raise TypeError(f"sets of different partitions: {self} and {other}")
        return dict(other.rows)

    @classmethod
    def of_rows(cls, of: Multi, rows: Mapping[tuple[str, ...], PartitionSet]) -> GridSet:
        """The set of these rows, in the order of their keys; empty ones are left out."""
        return cls(of, tuple((rest, rows[rest]) for rest in sorted(rows) if rows[rest]))

    def _joined(self, rest: tuple[str, ...], key: str) -> str:
        main = self.of.main
        return JOINT.join((*rest[:main], key, *rest[main:]))

    def words(self) -> Iterator[str]:
        """A word a range and row, `EWR|2013-01..2013-03`."""
        return (self._joined(rest, word) for rest, found in self.rows for word in found.words())

    def blocks(self) -> Iterator[Block]:
        """The set as combinations, one a row."""
        main = self.of.main
        others = (*self.of.parts[:main], *self.of.parts[main + 1 :])
        for rest, found in self.rows:
            sides = [part.only(key) for part, key in zip(others, rest, strict=True)]
            yield (*sides[:main], found, *sides[main:])


def blocks_of(found: PartitionSet) -> Iterator[Block]:
    """Any set as combinations of its dimensions; of an unpartitioned asset, the one empty combination."""
    if isinstance(found, GridSet):
        yield from found.blocks()
    elif found:
        yield (found,) if found.of.dimensions else ()


def set_of(partitions: Partitions, blocks: Iterable[Block]) -> PartitionSet:
    """The set that combinations of its dimensions make up."""
    if isinstance(partitions, Multi):
        return partitions.of_blocks(blocks)
    found = partitions.nothing()
    for block in blocks:
        found = found | (block[0] if block else UNPARTITIONED.every())
    return found


def _has(part: Partitions, key: str) -> bool:
    return bool(part.of_keys([key]))


def _example(part: Partitions) -> str:
    return next(iter(part.every()), part.name).split(BETWEEN)[0]
