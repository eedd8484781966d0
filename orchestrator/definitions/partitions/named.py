"""Partitions that are names: a fixed list, one that grows while things run, and none at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from orchestrator.definitions.partitions.base import (
    BETWEEN,
    EVERYTHING,
    Partition,
    Partitions,
    PartitionSet,
    check_names,
)
from orchestrator.errors import DefinitionError, UnknownPartitionError, did_you_mean

SHOWN = 5


class NamedPartitions(Partitions):
    """Partitions with names in an order of their own."""

    __slots__ = ()

    names: tuple[str, ...]

    def every(self) -> NameSet:
        """All names."""
        return NameSet(self, frozenset(self.names))

    def nothing(self) -> NameSet:
        """No name."""
        return NameSet(self, frozenset())

    def of_keys(self, keys: Iterable[str]) -> NameSet:
        """The partitions of these names; names that are no partitions are left out."""
        return NameSet(self, frozenset(keys) & frozenset(self.names))

    def partition(self, key: str) -> Partition:
        """One of the names. Raises UnknownPartitionError."""
        self.only(key)
        return Partition(key, keys={self.name: key})

    def closed(self, *, as_of: datetime) -> NameSet:
        """All names: they are no windows that have to end first."""
        return self.every()

    def only(self, key: str) -> NameSet:
        """The set of one name. Raises UnknownPartitionError."""
        if key not in self.names:
            raise self._unknown(key)
        return NameSet(self, frozenset({key}))

    def parse_part(self, text: str) -> NameSet:
        """One word: a name, a range in the order of the names, `*`. Raises UnknownPartitionError."""
        if text == EVERYTHING:
            return self.every()
        first, between, last = (part.strip() for part in text.partition(BETWEEN))
        if not between:
            return self.only(text)
        for name in filter(None, (first, last)):
            self.only(name)
        low = self.names.index(first) if first else 0
        high = self.names.index(last) if last else len(self.names) - 1
        if high < low:
            raise UnknownPartitionError(
                f"'{text}' ends before it begins: '{last}' was declared before '{first}'",
                fix=f"write '{last}{BETWEEN}{first}'",
            )
        return self.of_keys(self.names[low : high + 1])

    def _unknown(self, text: str) -> UnknownPartitionError:
        return UnknownPartitionError(
            f"'{text}' is no partition of {self.about()}", fix=did_you_mean(text, self.names) or self._choice()
        )

    def _choice(self) -> str:
        return f"one of {_shortened(self.names)}" if self.names else "there is none yet"


@dataclass(frozen=True, slots=True)
class NameSet(PartitionSet):
    """Names, iterated in the order of the partitioning."""

    of: NamedPartitions
    names: frozenset[str]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.of.names if name in self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, key: object) -> bool:
        return key in self.names

    def __or__(self, other: PartitionSet) -> NameSet:
        return NameSet(self.of, self.names | self._same(other))

    def __and__(self, other: PartitionSet) -> NameSet:
        return NameSet(self.of, self.names & self._same(other))

    def __sub__(self, other: PartitionSet) -> NameSet:
        return NameSet(self.of, self.names - self._same(other))

    def _same(self, other: PartitionSet) -> frozenset[str]:
        if not isinstance(other, NameSet) or other.of != self.of:
            raise TypeError(f"sets of different partitions: {self} and {other}")
        return other.names

    def words(self) -> Iterator[str]:
        """The names."""
        return iter(self)


@dataclass(frozen=True, slots=True, init=False)
class Static(NamedPartitions):
    """A fixed list of partitions, in this order.

    >>> origins = Static("EWR", "JFK", "LGA", column="origin")
    >>> origins.parse("JFK..").text()
    'JFK, LGA'
    """

    names: tuple[str, ...]
    column: str | None = field(default=None)

    def __init__(self, *names: str, column: str | None = None) -> None:
        object.__setattr__(self, "names", check_names(names, what="Static(…)"))
        object.__setattr__(self, "column", column)
        if not names:
            raise DefinitionError("Static() has no partitions", fix='name them, as in Static("EWR", "JFK")')

    @property
    def name(self) -> str:
        """The column, or `static`."""
        return self.column or self.kind

    @property
    def kind(self) -> str:
        """`static`."""
        return "static"

    def about(self) -> str:
        """`static, EWR, JFK, LGA, column origin`."""
        return f"static, {_shortened(self.names)}{f', column {self.column}' if self.column else ''}"

    def to_json(self) -> dict[str, Any]:
        """`kind`, `keys`, `column`."""
        return {"kind": self.kind, "keys": list(self.names), "column": self.column}


@dataclass(frozen=True, slots=True)
class Dynamic(NamedPartitions):
    """Partitions that are added while things run, for example one a customer; the records keep the list.

    `label` names the list: two assets with `Dynamic("customers")` share it. The definition itself knows no names;
    `with_names` gives a copy that knows what the records hold.

    >>> customers = Dynamic("customers", column="customer_id")
    >>> len(customers.every()), customers.with_names(["acme", "umbrella"]).parse("*").text()
    (0, 'acme, umbrella')
    """

    label: str
    column: str | None = field(default=None, kw_only=True)
    names: tuple[str, ...] = field(default=(), kw_only=True, compare=False)

    def with_names(self, names: Iterable[str]) -> Dynamic:
        """A copy that knows these partitions, in this order."""
        return replace(self, names=check_names(names, what=f'Dynamic("{self.label}")'))

    @property
    def name(self) -> str:
        """The column, or the list's name."""
        return self.column or self.label

    @property
    def kind(self) -> str:
        """`dynamic`."""
        return "dynamic"

    def about(self) -> str:
        """`dynamic customers, column customer_id`."""
        return f"dynamic {self.label}{f', column {self.column}' if self.column else ''}"

    def to_json(self) -> dict[str, Any]:
        """`kind`, `label`, `column`."""
        return {"kind": self.kind, "label": self.label, "column": self.column}


@dataclass(frozen=True, slots=True)
class Unpartitioned(NamedPartitions):
    """What is not divided: one part, whose key is '' (as in the records)."""

    names = ("",)
    column = None

    @property
    def name(self) -> str:
        """Nothing, as it is no dimension."""
        return ""

    @property
    def kind(self) -> str:
        """`unpartitioned`."""
        return "unpartitioned"

    @property
    def dimensions(self) -> tuple[Partitions, ...]:
        """None."""
        return ()

    def about(self) -> str:
        """`unpartitioned`."""
        return self.kind

    def to_json(self) -> dict[str, Any]:
        """`kind`."""
        return {"kind": self.kind}


UNPARTITIONED = Unpartitioned()


def _shortened(names: tuple[str, ...]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
