"""Rows counted by partition: one query a table, however many partitions it has."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

from orchestrator.definitions.keys import Relation
from orchestrator.resources.database import Scope, quote

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_SECOND = timedelta(seconds=1)
_TEMPORAL = ("timestamp", "date")


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of a time column, one after the other: each row is in at most one. In a tally's answer their numbers."""

    column: str
    starts: tuple[datetime, ...]
    end: datetime
    """Of the last window."""


@dataclass(frozen=True, slots=True)
class Values:
    """The values of a column, as text."""

    column: str


Counts = Mapping[tuple[int | str | None, ...], int]
"""{(what a row is in, one for each of `by`): rows}; what has no rows is not there"""


@dataclass(frozen=True, slots=True)
class Tally:
    """What is to be counted: the rows of a table that are in `scope`, by windows and values."""

    relation: Relation
    by: tuple[Windows | Values, ...] = ()
    scope: Scope = field(default_factory=Scope)

    def ask(
        self,
        columns: Mapping[str, str],
        run: Callable[[str, Scope], Iterable[Sequence[Any]]],
        *,
        zoned: Collection[str],
    ) -> Counts | None:
        """The counts; None where this table's columns allow no such query.

        `columns` are {lower-case name: type}, `zoned` those with a time zone. `run` executes `SELECT …, count(*)` with
        the given list of expressions on the rows of a scope, grouped by all of them.
        """
        expressions: list[str] = []
        readers: list[Callable[[Any], int | str | None]] = []
        scope = self.scope
        for item in self.by:
            kind = columns.get(item.column.lower())
            if kind is None:
                return None
            if isinstance(item, Values):
                expressions.append(f"CAST({quote(item.column)} AS VARCHAR)")
                readers.append(_as_it_is)
                continue
            if not kind.lower().startswith(_TEMPORAL) or scope.window is not None:
                return None
            steps = _Steps.of(item, zoned=item.column.lower() in zoned)
            if steps is None:
                return None
            expressions.append(steps.sql(item.column))
            readers.append(steps.window_of)
            scope = replace(scope, window=(item.column, item.starts[0], item.end))
        counts: dict[tuple[int | str | None, ...], int] = {}
        for *found, rows in run(", ".join(expressions), scope):
            place = tuple(read(value) for read, value in zip(readers, found, strict=True))
            counts[place] = counts.get(place, 0) + int(rows)
        return counts


def _as_it_is(value: Any) -> int | str | None:
    return None if value is None else str(value)


@dataclass(frozen=True, slots=True)
class _Steps:
    """Windows as whole numbers of equal steps from the first one's start: exact, and any SQL can group by it."""

    first: int
    """In seconds since 1970."""
    size: int
    starts: tuple[int, ...]
    """In steps."""

    @classmethod
    def of(cls, windows: Windows, *, zoned: bool) -> _Steps | None:
        """None where wall-clock time does not tell the windows apart: an hour that a clock shows twice."""
        bounds = [_seconds(moment, zoned=zoned) for moment in (*windows.starts, windows.end)]
        if any(later <= earlier for earlier, later in pairwise(bounds)):
            return None
        first = bounds[0]
        size = math.gcd(*(bound - first for bound in bounds))
        return cls(first, size, tuple((bound - first) // size for bound in bounds[:-1]))

    def sql(self, column: str) -> str:
        return f"CAST(floor((extract(epoch FROM {quote(column)}) - {self.first}) / {self.size}) AS BIGINT)"

    def window_of(self, step: Any) -> int:
        return bisect_right(self.starts, int(step)) - 1


def _seconds(moment: datetime, *, zoned: bool) -> int:
    """As the column has it: a point of time, or what a clock on the wall shows."""
    if moment.tzinfo is None or not zoned:
        moment = moment.replace(tzinfo=timezone.utc)
    return (moment - _EPOCH) // _SECOND
