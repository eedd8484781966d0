"""Slots: the rows of one table that one of its writers owns, so that several writers never touch each other's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Mode = Literal["insert", "update"]
"""`insert`: the writer puts rows there. `update`: it changes rows that the inserting writers have put there."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The rows whose columns have certain values.

    `where` is {column: the values of the slot's rows}, as a tuple of pairs; a row must fit every column.

    >>> Slot.of("emea", {"region": "EMEA", "channel": ["web", "shop"]}).text
    "region = 'EMEA' and channel in ('web', 'shop')"
    """

    name: str
    where: tuple[tuple[str, tuple[Any, ...]], ...]

    @classmethod
    def of(cls, name: str, where: Mapping[str, Any]) -> Slot:
        """The slot as it is written down: one value a column, or a list, tuple or set of them."""
        return cls(name, tuple((str(column), _values(value)) for column, value in where.items()))

    @property
    def text(self) -> str:
        """The rows in words that SQL would understand."""
        return " and ".join(
            f"{column} = {values[0]!r}" if len(values) == 1 else f"{column} in ({', '.join(map(repr, values))})"
            for column, values in self.where
        )

    def is_disjoint(self, other: Slot) -> bool:
        """True if no row can be in both: they share a column and no value of it. False is no proof of the opposite.

        >>> emea, web = Slot.of("emea", {"region": "EMEA"}), Slot.of("web", {"channel": "web"})
        >>> emea.is_disjoint(Slot.of("apac", {"region": "APAC"})), emea.is_disjoint(web)
        (True, False)
        """
        mine = {column.lower(): set(values) for column, values in self.where}
        return any(mine[column.lower()].isdisjoint(values) for column, values in other.where if column.lower() in mine)

    def overlaps(self, other: Slot) -> bool:
        """True if rows of one are surely rows of the other as well: neither has a column that could tell them apart.

        >>> Slot.of("a", {"region": "EMEA"}).overlaps(Slot.of("b", {"region": ["EMEA", "APAC"], "channel": "web"}))
        True
        """
        mine = {column.lower() for column, _ in self.where}
        its = {column.lower() for column, _ in other.where}
        return (mine <= its or its <= mine) and not self.is_disjoint(other)


def _values(value: Any) -> tuple[Any, ...]:
    if isinstance(value, (set, frozenset)):
        return tuple(sorted(value, key=repr))
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)
