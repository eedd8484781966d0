"""Which partitions of an upstream asset a partition reads, and which read it: relations, in both directions.

A mapping is what a user declares; `resolve` ties it to the two partitionings and checks that it fits. An `Edge`
answers for sets, on ranges of windows, without walking through keys. Partitions that one side does not have (outside
first..last) are in neither direction, so the directions are exactly each other's inverse.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from orchestrator.definitions.partitions import (
    UNPARTITIONED,
    Dynamic,
    NamedPartitions,
    NameSet,
    Partitions,
    PartitionSet,
    TimePartitions,
    TimeSet,
)
from orchestrator.definitions.partitions.grains import FIRST_DAY, HOUR, LAST_DAY
from orchestrator.definitions.partitions.multi import Block, blocks_of, set_of
from orchestrator.definitions.partitions.ranges import Range
from orchestrator.errors import DefinitionError, UnknownPartitionError, UnmappedPartitionError

_MOMENT = timedelta(microseconds=1)


class PartitionMapping(ABC):
    """A rule that can be tied to two partitionings."""

    __slots__ = ()

    @abstractmethod
    def misfit(self, down: Partitions, up: Partitions) -> str | None:
        """Why the rule cannot hold between two partitionings, or None."""

    @abstractmethod
    def upstream(self, found: PartitionSet, up: Partitions) -> PartitionSet:
        """What partitions read."""

    @abstractmethod
    def downstream(self, found: PartitionSet, down: Partitions, *, within: PartitionSet) -> PartitionSet:
        """What reads partitions; `within` is all that can, for rules that have to try."""

    def about(self) -> str:
        """For people."""
        return type(self).__name__.lower()


@dataclass(frozen=True, slots=True)
class Edge:
    """A mapping between the partitionings of an asset (`down`) and of one that it reads (`up`)."""

    mapping: PartitionMapping
    down: Partitions
    up: Partitions

    @property
    def keeps_keys(self) -> bool:
        """True if a partition reads exactly the one of its own key, where upstream has it."""
        if isinstance(self.mapping, Same):
            return True
        down, up = self.down, self.up
        aligned = isinstance(down, TimePartitions) and isinstance(up, TimePartitions) and _aligned(down, up)
        return isinstance(self.mapping, Overlap) and aligned

    def upstream(self, found: PartitionSet | str) -> PartitionSet:
        """The upstream partitions that partitions (a set or a key) read."""
        return self.mapping.upstream(self.down.only(found) if isinstance(found, str) else found, self.up)

    def downstream(self, found: PartitionSet | str, *, within: PartitionSet | None = None) -> PartitionSet:
        """The partitions that read upstream partitions (a set or a key); those in `within` only, if it is given."""
        start = self.up.only(found) if isinstance(found, str) else found
        everything = self.down.every() if within is None else within
        return self.mapping.downstream(start, self.down, within=everything) & everything


# Rules


@dataclass(frozen=True, slots=True)
class Overlap(PartitionMapping):
    """Windows read the windows that they share time with, whatever the grains, zones and offsets; equal ones each
    other.

    >>> from orchestrator.definitions.partitions import Daily, Monthly
    >>> edge = resolve(Overlap(), down=Monthly("2013-01"), up=Daily("2013-01-01"))
    >>> edge.upstream("2013-02").text(), edge.downstream("2013-02-14").text()
    ('2013-02-01..2013-02-28', '2013-02')
    """

    def misfit(self, down: Partitions, up: Partitions) -> str | None:
        """Only windows of time overlap."""
        return _not_time(down, up)

    def upstream(self, found: PartitionSet, up: Partitions) -> PartitionSet:
        """Ranges to ranges: windows follow each other without gaps."""
        down, up = _times(found, up)
        return up.of_ranges(*(_overlapped(down, pair, up) for pair in _ranges(found)))

    def downstream(self, found: PartitionSet, down: Partitions, *, within: PartitionSet) -> PartitionSet:
        """To share time is mutual."""
        return self.upstream(found, down)


@dataclass(frozen=True, slots=True)
class Offset(PartitionMapping):
    """The overlapping windows, moved: `Offset(-1)` reads the upstream window before.

    >>> from orchestrator.definitions.partitions import Daily
    >>> days = Daily("2013-01-01")
    >>> edge = resolve(Offset(-1), down=days, up=days)
    >>> edge.upstream("2013-01-02").text(), edge.downstream("2013-01-02").text(), edge.upstream("2013-01-01").text()
    ('2013-01-01', '2013-01-03', '')
    """

    by: int

    def misfit(self, down: Partitions, up: Partitions) -> str | None:
        """Only windows of time have a before and an after."""
        return _not_time(down, up)

    def upstream(self, found: PartitionSet, up: Partitions) -> PartitionSet:
        """The overlapped ranges, moved."""
        down, up = _times(found, up)
        moved = (_overlapped(down, pair, up) for pair in _ranges(found))
        return up.of_ranges(*((low + self.by, high + self.by) for low, high in moved))

    def downstream(self, found: PartitionSet, down: Partitions, *, within: PartitionSet) -> PartitionSet:
        """What overlaps the ranges moved back."""
        up, down = _times(found, down)
        back = ((_bounded(up, low - self.by), _bounded(up, high - self.by)) for low, high in _ranges(found))
        return down.of_ranges(*(_overlapped(up, pair, down) for pair in back))

    def about(self) -> str:
        """`offset -1`."""
        return f"offset {self.by:+}"


@dataclass(frozen=True, slots=True)
class Trailing(PartitionMapping):
    """The last `count` upstream windows, up to the last one that a window overlaps: a rolling window.

    >>> from orchestrator.definitions.partitions import Daily, Weekly
    >>> edge = resolve(Trailing(28), down=Weekly("2013-W01"), up=Daily("2013-01-01"))
    >>> edge.upstream("2013-W07").text(), edge.downstream("2013-02-01").text()
    ('2013-01-21..2013-02-17', '2013-W05..2013-W08')
    """

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise DefinitionError(f"Trailing({self.count}) reads nothing", fix="Trailing(3) reads the last three")

    def misfit(self, down: Partitions, up: Partitions) -> str | None:
        """Only windows of time trail."""
        return _not_time(down, up)

    def upstream(self, found: PartitionSet, up: Partitions) -> PartitionSet:
        """Window by window where some upstream ones may be skipped, else ranges to ranges."""
        down, up = _times(found, up)
        pairs: Iterable[Range] = _ranges(found)
        if up.grain.rank <= down.grain.rank and not _aligned(down, up):
            pairs = ((number, number) for low, high in pairs for number in range(low, high + 1))
        ends = ((_last_overlapped(down, low, up), _last_overlapped(down, high, up)) for low, high in pairs)
        return up.of_ranges(*((low - self.count + 1, high) for low, high in ends))

    def downstream(self, found: PartitionSet, down: Partitions, *, within: PartitionSet) -> PartitionSet:
        """The windows whose last overlapped one is among this one and the next `count - 1`."""
        up, down = _times(found, down)
        return down.of_ranges(*(self._read_by(up, pair, down) for pair in _ranges(found)))

    def _read_by(self, up: TimePartitions, pair: Range, down: TimePartitions) -> Range:
        first, beyond = up.start(pair[0]), _bounded(up, pair[1] + self.count)
        return down.number_at(first), down.number_at(up.start(beyond)) - 1

    def about(self) -> str:
        """`trailing 28`."""
        return f"trailing {self.count}"


@dataclass(frozen=True, slots=True)
class All(PartitionMapping):
    """Every partition reads every upstream one. What holds where one side is not partitioned.

    >>> from orchestrator.definitions.partitions import Monthly
    >>> edge = resolve(All(), down=UNPARTITIONED, up=Monthly("2013-01", last="2013-12"))
    >>> edge.upstream("").text(), list(edge.downstream("2013-05"))
    ('2013-01..2013-12', [''])
    """

    def misfit(self, down: Partitions, up: Partitions) -> str | None:
        """It always fits."""
        return None

    def upstream(self, found: PartitionSet, up: Partitions) -> PartitionSet:
        """All or nothing."""
        return up.every() if found else up.nothing()

    def downstream(self, found: PartitionSet, down: Partitions, *, within: PartitionSet) -> PartitionSet:
        """All or nothing."""
        return within if found else down.nothing()


@dataclass(frozen=True, slots=True)
class Same(PartitionMapping):
    """A partition reads the upstream one of the same key; for days and longer also where the time zones differ, as
    with a column of local dates that dbt takes for UTC.

    >>> from orchestrator.definitions.partitions import Static
    >>> resolve(Same(), down=Static("EWR"), up=Static("EWR", "JFK")).upstream("EWR").text()
    'EWR'
    """

    def misfit(self, down: Partitions, up: Partitions) -> str | None:
        """Names are compared; a key that upstream does not have would read nothing."""
        if isinstance(down, TimePartitions) and isinstance(up, TimePartitions):
            if down.grain is HOUR or down.grain is not up.grain:
                return "keys are equal only for the same grain, and name the same hours only in one zone"
            return None
        if not isinstance(down, NamedPartitions) or not isinstance(up, NamedPartitions):
            return "their keys are not alike"
        if isinstance(down, Dynamic) or isinstance(up, Dynamic):
            shared = isinstance(down, Dynamic) and isinstance(up, Dynamic) and down.label == up.label
            return None if shared else "their keys come from different lists"
        absent = [name for name in down.names if name not in up.names]
        return f"'{absent[0]}' is no key upstream" if absent else None

    def upstream(self, found: PartitionSet, up: Partitions) -> PartitionSet:
        """The same keys, where they are there."""
        if isinstance(up, TimePartitions):
            return up.of_ranges(*_ranges(found))
        assert isinstance(up, NamedPartitions), "checked by misfit"
        return up.of_keys(found)

    def downstream(self, found: PartitionSet, down: Partitions, *, within: PartitionSet) -> PartitionSet:
        """The same keys, where they are there."""
        return self.upstream(found, down)


@dataclass(frozen=True, slots=True, init=False)
class KeyMap(PartitionMapping):
    """A table of which keys read which upstream keys or ranges.

    >>> from orchestrator.definitions.partitions import Static
    >>> edge = resolve(KeyMap({"east": ["EWR", "JFK"]}), down=Static("east"), up=Static("EWR", "JFK", "LGA"))
    >>> edge.upstream("east").text(), edge.downstream("JFK").text(), edge.downstream("LGA").text()
    ('EWR, JFK', 'east', '')
    """

    table: tuple[tuple[str, tuple[str, ...]], ...]

    def __init__(self, table: Mapping[str, str | Sequence[str]]) -> None:
        rows = ((key, (value,) if isinstance(value, str) else tuple(value)) for key, value in table.items())
        object.__setattr__(self, "table", tuple(rows))

    def misfit(self, down: Partitions, up: Partitions) -> str | None:
        """Every key named must be one."""
        for key, names in self.table:
            try:
                down.only(key)
                up.parse(",".join(names))
            except UnknownPartitionError as exc:
                return exc.what
        return None

    def upstream(self, found: PartitionSet, up: Partitions) -> PartitionSet:
        """What the table says; nothing for keys that it does not name."""
        named = [name for key, names in self.table if key in found for name in names]
        return up.parse(",".join(named)) if named else up.nothing()

    def downstream(self, found: PartitionSet, down: Partitions, *, within: PartitionSet) -> PartitionSet:
        """The table read backwards."""
        rows = [key for key, names in self.table if names and found.of.parse(",".join(names)) & found]
        return down.parse(",".join(rows)) if rows else down.nothing()

    def about(self) -> str:
        """`key map`."""
        return "key map"


@dataclass(frozen=True, slots=True)
class Custom(PartitionMapping):
    """Functions of your own, from a key to keys or words (`"2013-01..2013-03"`).

    Without `reverse` the readers of a partition are found by trying all, which needs a partitioning with a last one.

    >>> from orchestrator.definitions.partitions import Monthly
    >>> months = Monthly("2012-01", last="2013-12")
    >>> def year_before(key): return [f"{int(key[:4]) - 1}{key[4:]}"] if key >= "2013" else []
    >>> edge = resolve(Custom(year_before), down=months, up=months)
    >>> edge.upstream("2013-05").text(), edge.downstream("2012-05").text()
    ('2012-05', '2013-05')
    """

    reads: Callable[[str], Iterable[str] | str]
    reverse: Callable[[str], Iterable[str] | str] | None = field(default=None, kw_only=True)

    def misfit(self, down: Partitions, up: Partitions) -> str | None:
        """Trying all needs an end."""
        endless = any(isinstance(part, TimePartitions) and part.last is None for part in down.dimensions)
        if self.reverse is None and endless:
            return "the readers of a partition can be found neither by reverse= nor by trying all, which never ends"
        return None

    def upstream(self, found: PartitionSet, up: Partitions) -> PartitionSet:
        """What the function says for each key."""
        return _union(self.reads, found, up)

    def downstream(self, found: PartitionSet, down: Partitions, *, within: PartitionSet) -> PartitionSet:
        """What `reverse` says, else those of `within` whose reads meet the set."""
        if self.reverse is not None:
            return _union(self.reverse, found, down)
        keys = [key for key in within if _union(self.reads, [key], found.of) & found]
        return down.parse(",".join(keys)) if keys else down.nothing()

    def about(self) -> str:
        """The function's name."""
        return getattr(self.reads, "__name__", "custom")


@dataclass(frozen=True, slots=True, init=False)
class PerDimension(PartitionMapping):
    """One rule for each pair of dimensions, `{upstream dimension: (own dimension, rule)}`, by their names.

    An upstream dimension without a rule is read whole; an own dimension without one reads the same whatever its key.

    >>> from orchestrator.definitions.partitions import Monthly, Multi, Static
    >>> months, origins = Monthly("2013-01", last="2013-12"), Static("EWR", "JFK", column="origin")
    >>> edge = resolve(PerDimension({"month": ("month", Offset(-1))}), down=months, up=Multi(origins, months))
    >>> edge.upstream("2013-05").text(), edge.downstream("JFK|2013-04").text()
    ('EWR|2013-04, JFK|2013-04', '2013-05')
    """

    rules: tuple[tuple[str, str, PartitionMapping], ...]

    def __init__(self, rules: Mapping[str, tuple[str, PartitionMapping]]) -> None:
        object.__setattr__(self, "rules", tuple((up, down, rule) for up, (down, rule) in rules.items()))

    def misfit(self, down: Partitions, up: Partitions) -> str | None:
        """Each rule must name dimensions that are there, and fit them."""
        own = [down_name for _, down_name, _ in self.rules]
        if len(own) != len(set(own)):
            return "two rules use one dimension"
        for up_name, down_name, rule in self.rules:
            for side, name in ((up, up_name), (down, down_name)):
                names = [part.name for part in side.dimensions]
                if name not in names:
                    return f"{side.about()} has no dimension '{name}'"
            misfit = rule.misfit(_dimension(down, down_name), _dimension(up, up_name))
            if misfit:
                return f"'{down_name}' → '{up_name}': {misfit}"
        return None

    def upstream(self, found: PartitionSet, up: Partitions) -> PartitionSet:
        """Block by block, dimension by dimension."""
        own = [part.name for part in found.of.dimensions]
        rules = {up_name: (own.index(down_name), rule) for up_name, down_name, rule in self.rules}

        def read(block: Block) -> Block:
            sides = []
            for part in up.dimensions:
                at, rule = rules.get(part.name, (None, None))
                sides.append(part.every() if at is None or rule is None else rule.upstream(block[at], part))
            return tuple(sides)

        return set_of(up, (read(block) for block in blocks_of(found)))

    def downstream(self, found: PartitionSet, down: Partitions, *, within: PartitionSet) -> PartitionSet:
        """Block by block, dimension by dimension."""
        theirs = [part.name for part in found.of.dimensions]
        rules = {down_name: (theirs.index(up_name), rule) for up_name, down_name, rule in self.rules}

        def read_by(block: Block) -> Block:
            sides = []
            for part in down.dimensions:
                at, rule = rules.get(part.name, (None, None))
                whole = part.every()
                sides.append(whole if at is None or rule is None else rule.downstream(block[at], part, within=whole))
            return tuple(sides)

        return set_of(down, (read_by(block) for block in blocks_of(found)))

    def about(self) -> str:
        """`month: offset -1`."""
        return ", ".join(f"{up}: {rule.about()}" for up, _, rule in self.rules) or "all"


# Tying


def resolve(
    mapping: PartitionMapping | None,
    *,
    down: Partitions,
    up: Partitions,
    names: tuple[str, str] = ("the asset", "its upstream"),
    at: str | None = None,
) -> Edge:
    """The mapping tied to two partitionings; None infers it (`default_mapping`).

    `names` are those of the two assets, for the UnmappedPartitionError that is raised where nothing fits.
    """
    reader, read = names
    if mapping is None:
        found = default_mapping(down, up)
        if found is None:
            raise UnmappedPartitionError(
                f"{reader} ({down.about()}) reads {read} ({up.about()}), and which partitions of it cannot be inferred",
                at=at,
                fix=f"declare it on {reader}: mappings={{{read}: All()}}, KeyMap({{…}}) or Custom(…)",
            )
        return Edge(found, down, up)
    misfit = mapping.misfit(down, up)
    if misfit:
        raise UnmappedPartitionError(
            f"{reader} ({down.about()}) reads {read} ({up.about()}) by {mapping.about()}, which does not fit: {misfit}",
            at=at,
            fix="correct the mapping, or leave it out where it can be inferred",
        )
    return Edge(mapping, down, up)


def default_mapping(down: Partitions, up: Partitions) -> PartitionMapping | None:
    """What two partitionings say by themselves; None where they say nothing.

    Windows overlap, names are equal, dimensions pair by name or where only two of them fit; what is not partitioned,
    or a dimension without partner, is read whole.
    """
    if not down.dimensions or not up.dimensions:
        return All()
    if len(down.dimensions) == len(up.dimensions) == 1:
        return _simple(down, up)
    rules: dict[str, tuple[str, PartitionMapping]] = {}
    for part in up.dimensions:
        partner = _partner(part, up, down)
        if partner is not None:
            rule = _simple(partner, part)
            if rule is None:
                return None
            rules[part.name] = (partner.name, rule)
    return PerDimension(rules) if rules else None


def _simple(down: Partitions, up: Partitions) -> PartitionMapping | None:
    rules: tuple[PartitionMapping, ...] = (Overlap(), Same())
    return next((rule for rule in rules if rule.misfit(down, up) is None), None)


def _partner(part: Partitions, up: Partitions, down: Partitions) -> Partitions | None:
    """The dimension of `down` that goes with one of `up`: of the same name, else where only these two fit."""
    for other in down.dimensions:
        if other.name == part.name:
            return other
    ours = [other for other in down.dimensions if _simple(other, part) is not None]
    theirs = [other for other in up.dimensions if ours and _simple(ours[0], other) is not None]
    return ours[0] if len(ours) == 1 and len(theirs) == 1 else None


# Windows


def _not_time(down: Partitions, up: Partitions) -> str | None:
    for side in (down, up):
        if not isinstance(side, TimePartitions):
            return f"{side.about()} is not divided by time"
    return None


def _times(found: PartitionSet, other: Partitions) -> tuple[TimePartitions, TimePartitions]:
    assert isinstance(found, TimeSet), "checked by misfit"
    assert isinstance(other, TimePartitions), "checked by misfit"
    return found.of, other


def _ranges(found: PartitionSet) -> tuple[Range, ...]:
    return found.ranges if isinstance(found, TimeSet) else ()


def _overlapped(down: TimePartitions, pair: Range, up: TimePartitions) -> Range:
    """The upstream windows (reaching where they may) that share time with any of a range."""
    if _aligned(down, up):
        return pair
    return up.number_at(down.start(pair[0])), _last_overlapped(down, pair[1], up)


def _last_overlapped(down: TimePartitions, number: int, up: TimePartitions) -> int:
    return up.number_at(down.start(number + 1) - _MOMENT)


def _aligned(left: TimePartitions, right: TimePartitions) -> bool:
    return left.grain is right.grain and left.start(left.lowest) == right.start(left.lowest) and left.tz == right.tz


def _bounded(partitions: TimePartitions, number: int) -> int:
    """A number moved, kept where the calendar has moments for it."""
    return max(partitions.number_at(FIRST_DAY), min(number, partitions.number_at(LAST_DAY)))


def _dimension(partitions: Partitions, name: str) -> Partitions:
    return next(part for part in partitions.dimensions if part.name == name)


def _union(function: Callable[[str], Any], keys: Iterable[str], of: Partitions) -> PartitionSet:
    found = of.nothing()
    for key in keys:
        words = function(key)
        for word in (words,) if isinstance(words, str) else words:
            found = found | of.parse_part(word)
    return found


__all__ = [
    "UNPARTITIONED",
    "All",
    "Custom",
    "Edge",
    "KeyMap",
    "NameSet",
    "Offset",
    "Overlap",
    "PartitionMapping",
    "PerDimension",
    "Same",
    "Trailing",
    "default_mapping",
    "resolve",
]
