"""What every partitioning can do, and sets of partitions, which stay small however many partitions they hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from orchestrator.errors import DefinitionError, UnknownPartitionError

BETWEEN = ".."
"""`a..b` names the first partition and the last, both included, everywhere."""
EVERYTHING = "*"
_SEPARATORS = ("|", ",", BETWEEN, "*")


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: its key, and what it is in each dimension.

    `start` and `end` are aware, half-open; None where no dimension is time. `keys` is {dimension: key}.

    >>> from orchestrator.definitions.partitions import Monthly
    >>> february = Monthly("2013-01", column="flight_date").partition("2013-02")
    >>> str(february), february.start.isoformat(), february.keys
    ('2013-02', '2013-02-01T00:00:00+00:00', {'flight_date': '2013-02'})
    """

    key: str
    start: datetime | None = None
    end: datetime | None = None
    keys: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.key


class PartitionSet(ABC):
    """Some partitions of one partitioning, in its order. Compact: ranges, not keys; iterating makes the keys.

    `|`, `&` and `-` need two sets of the same partitioning.
    """

    __slots__ = ()

    of: Partitions
    """What the partitions are those of."""

    @abstractmethod
    def __iter__(self) -> Iterator[str]:
        """The keys, oldest (or first declared) first."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __contains__(self, key: object) -> bool: ...

    @abstractmethod
    def __or__(self, other: PartitionSet) -> PartitionSet: ...

    @abstractmethod
    def __and__(self, other: PartitionSet) -> PartitionSet: ...

    @abstractmethod
    def __sub__(self, other: PartitionSet) -> PartitionSet: ...

    @abstractmethod
    def words(self) -> Iterator[str]:
        """Keys and ranges, `a..b`, that together name the set."""

    def __bool__(self) -> bool:
        return len(self) > 0

    def text(self, *, at_most: int | None = None) -> str:
        """`2013-01..2013-03, 2013-07`; what is beyond `at_most` words is counted. Can be parsed again if complete."""
        words = list(self.words())
        if at_most is None or len(words) <= at_most:
            return ", ".join(words)
        return f"{', '.join(words[:at_most])} and {len(words) - at_most} more"

    def __str__(self) -> str:
        return self.text()


class Partitions(ABC):
    """How an asset is divided. Frozen values: equal ones divide alike, wherever they were declared."""

    __slots__ = ()

    column: str | None

    @property
    @abstractmethod
    def name(self) -> str:
        """What a dimension is called: its column, else what it is made of (`month`, `static`, the name)."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """`monthly`, `static`, `dynamic`, `multi` …: the word of the YAML form."""

    @property
    def dimensions(self) -> tuple[Partitions, ...]:
        """The parts that a key is joined of; a plain partitioning is its only one."""
        return (self,)

    @abstractmethod
    def every(self) -> PartitionSet:
        """All partitions that can ever be; without a last one it reaches to the end of the calendar."""

    @abstractmethod
    def nothing(self) -> PartitionSet:
        """The empty set."""

    @abstractmethod
    def of_keys(self, keys: Iterable[str]) -> PartitionSet:
        """The partitions of these keys; what is none of them, such as one that was removed, is left out."""

    @abstractmethod
    def partition(self, key: str) -> Partition:
        """One partition, as code that writes it sees it. Raises UnknownPartitionError."""

    @abstractmethod
    def closed(self, *, as_of: datetime) -> PartitionSet:
        """The partitions that are there at a moment: windows that have ended, and all that are no windows."""

    @abstractmethod
    def parse_part(self, text: str) -> PartitionSet:
        """One word of `parse`: a key, a range, a coarser key."""

    @abstractmethod
    def about(self) -> str:
        """One line for people: `monthly, 2013-01..2013-12, column flight_date`."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """For programs, as documented in docs/reference/json.md."""

    def parse(self, text: str) -> PartitionSet:
        """The partitions that words name: `2013-02`, `2013-01..2013-03`, `2013-05..`, `..2013-02`, `*`; joined by `,`.

        Ends are included. A coarser word means every partition that it overlaps: `2013` the twelve months of 2013.
        Open ends are those of the partitioning. Raises UnknownPartitionError.
        """
        found = self.nothing()
        for word in text.split(","):
            found = found | self.parse_part(word.strip())
        return found

    def only(self, key: str) -> PartitionSet:
        """The set of one partition. Raises UnknownPartitionError for what is not exactly a key."""
        found = self.parse_part(key)
        if len(found) != 1 or BETWEEN in key or key == EVERYTHING:
            self.refuse_several(key, found)
        return found

    def contains(self, key: str) -> bool:
        """Whether there can be a partition of this key."""
        try:
            self.only(key)
        except UnknownPartitionError:
            return False
        return True

    def keys(self, *, as_of: datetime) -> Iterator[str]:
        """The keys of the partitions that are there at a moment, made one by one."""
        return iter(self.closed(as_of=as_of))

    def count(self, *, as_of: datetime) -> int:
        """How many partitions are there at a moment."""
        return len(self.closed(as_of=as_of))

    def refuse_several(self, key: str, found: PartitionSet) -> NoReturn:
        """Raises the error for words where one key is wanted."""
        raise UnknownPartitionError(
            f"'{key}' names {len(found)} partitions of {self.about()}, and one is wanted",
            fix=f"write one key, such as '{next(iter(found))}'" if found else "write one key",
        )


def check_names(names: Iterable[str], *, what: str) -> tuple[str, ...]:
    """Names of partitions, in order. Raises DefinitionError for those that could not be written in a selection."""
    found = tuple(names)
    for name in found:
        if not isinstance(name, str) or not name or name != name.strip() or any(part in name for part in _SEPARATORS):
            raise DefinitionError(
                f"{name!r} cannot be a key of {what}",
                fix="a key is text without |, comma, *, '..' and spaces around it",
            )
    repeated = sorted({name for name in found if found.count(name) > 1})
    if repeated:
        raise DefinitionError(f"{what} has the key '{repeated[0]}' twice", fix="remove one of them")
    return found
