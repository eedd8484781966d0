"""Windows of time: Hourly, Daily, Weekly, Monthly, Quarterly, Yearly, and sets of them.

A key is the label of its window on the calendar, `2013-02`, in the partitioning's time zone. Key and window are found
from each other, and from a number, without walking through others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from orchestrator.definitions.partitions.base import BETWEEN, EVERYTHING, Partition, Partitions, PartitionSet
from orchestrator.definitions.partitions.grains import (
    DAY,
    HOUR,
    LAST_DAY,
    MONTH,
    QUARTER,
    WEEK,
    YEAR,
    CalendarGrain,
    Grain,
    Period,
    read_period,
)
from orchestrator.definitions.partitions.ranges import Range, Ranges, common, holds, merged, without
from orchestrator.errors import DefinitionError, UnknownPartitionError

_UTC = timezone.utc
_EPOCH = datetime(1970, 1, 1, tzinfo=_UTC)
_HOUR = timedelta(hours=1)
_MOMENT = timedelta(microseconds=1)
_SHORTEST = {HOUR: _HOUR, DAY: timedelta(1), WEEK: timedelta(7), MONTH: timedelta(28), QUARTER: timedelta(90)}
_LONE_DIGIT = re.compile(r"(?<!\d)\d(?!\d)")


@dataclass(frozen=True, slots=True)
class TimePartitions(Partitions):
    """Windows that follow each other without gaps, from `first` to `last` (included), or without end.

    `first` and `last` are keys, coarser keys (`Daily("2013", last="2013")` is the whole year), or dates that lie in
    the window meant. Windows begin by the wall clock of `tz`, shifted by `offset`: with `timedelta(hours=6)` a day
    goes from six to six and has the key of the day it begins on. `column` is what a row's window is decided by.
    """

    first: str | date
    last: str | date | None = field(default=None, kw_only=True)
    column: str | None = field(default=None, kw_only=True)
    tz: str = field(default="UTC", kw_only=True)
    offset: timedelta = field(default=timedelta(), kw_only=True)
    lowest: int = field(init=False, repr=False, compare=False)
    """The number of the first window."""
    highest: int = field(init=False, repr=False, compare=False)
    """The number of the last window; without one, of the last window of the calendar."""
    _zone: tzinfo = field(init=False, repr=False, compare=False)
    _minute: timedelta = field(init=False, repr=False, compare=False, default=timedelta())
    grain: ClassVar[Grain]

    def __post_init__(self) -> None:
        hidden = object.__setattr__
        hidden(self, "_zone", _zone_of(self.tz))
        if abs(self.offset) >= _SHORTEST.get(self.grain, timedelta(365)):
            raise DefinitionError(
                f"{self._class}(offset={self.offset!r}) is no shorter than a {self.grain.name}",
                fix=f"an offset moves the start within one {self.grain.name}; choose another first={self.first!r}",
            )
        hidden(self, "lowest", self._bound(self.first, "first"))
        hidden(self, "first", self.key(self.lowest))
        if self.last is None:
            hidden(self, "highest", self.number_at(LAST_DAY))
            return
        hidden(self, "highest", self._bound(self.last, "last"))
        hidden(self, "last", self.key(self.highest))
        if self.highest < self.lowest:
            raise DefinitionError(
                f"{self._class}(first='{self.first}', last='{self.last}') ends before it begins",
                fix=f"write first='{self.last}', last='{self.first}', or leave last out",
            )

    @property
    def _class(self) -> str:
        return type(self).__name__

    @property
    def name(self) -> str:
        """The column, or the grain."""
        return self.column or self.grain.name

    @property
    def kind(self) -> str:
        """`daily`, `monthly` …"""
        return self.grain.adverb

    # Numbers, keys and moments

    def number(self, key: str) -> int:
        """The window's number, by which windows are compared and counted. Raises UnknownPartitionError."""
        number = self._quick_number(key)
        if number is None:
            period = read_period(key)
            if period is None or period.grain is not self.grain:
                raise self._unknown(key, period)
            number = self._exact_number(period)
        if not self.lowest <= number <= self.highest:
            self._check_within(key, number)
        return number

    def _quick_number(self, key: str) -> int | None:
        """The number of a plain key; None where it takes more to tell. A ledger has hundreds of thousands of keys."""
        grain = self.grain
        if not isinstance(grain, CalendarGrain) or (found := grain.pattern.fullmatch(key)) is None:
            return None
        try:
            return grain.ordinal(grain.first_day(found))
        except ValueError:
            return None

    def key(self, number: int) -> str:
        """The key of a window, whether or not the partitioning reaches there."""
        grain = self.grain
        if isinstance(grain, CalendarGrain):
            return grain.label(grain.start(number))
        local = (self.start(number) - self.offset).astimezone(self._zone)
        minutes = f":{local:%M}" if local.minute else ""
        # Of the two hours of an autumn night the second says which it is.
        return f"{local:%Y-%m-%dT%H}{minutes}{f'{local:%z}' if local.fold else ''}"

    def start(self, number: int) -> datetime:
        """The moment (UTC) at which a window begins, which is the one at which the window before ends."""
        grain = self.grain
        if isinstance(grain, CalendarGrain):
            return self._moment(datetime.combine(grain.start(number), time()) + self.offset)
        return _EPOCH + number * _HOUR + self._minute

    def number_at(self, moment: date) -> int:
        """The number of the window that a moment lies in; without time zone it is wall-clock time of `tz`."""
        moment = self._aware(moment)
        grain = self.grain
        if not isinstance(grain, CalendarGrain):
            return (moment - _EPOCH - self._minute) // _HOUR
        number = grain.ordinal((moment.astimezone(self._zone).replace(tzinfo=None) - self.offset).date())
        # Where a clock was put back over midnight, the calendar's day is not yet the window.
        while self.start(number) > moment:
            number -= 1
        while self.start(number + 1) <= moment:
            number += 1
        return number

    def key_of(self, moment: date) -> str:
        """The key of the window that a moment (or the first moment of a date) lies in.

        A datetime without time zone is wall-clock time of `tz`. Raises UnknownPartitionError outside first..last.
        """
        number = self.number_at(moment)
        self._check_within(self.key(number), number)
        return self.key(number)

    def window(self, key: str) -> tuple[datetime, datetime]:
        """(start, end), half-open, aware, in `tz`. Raises UnknownPartitionError."""
        number = self.number(key)
        return self.start(number).astimezone(self._zone), self.start(number + 1).astimezone(self._zone)

    def _moment(self, local: datetime) -> datetime:
        # A time that the spring night skips is the moment of the jump's other side; the first of two in autumn.
        return local.replace(tzinfo=self._zone).astimezone(_UTC)

    def _aware(self, moment: date) -> datetime:
        if not isinstance(moment, datetime):
            moment = datetime.combine(moment, time())
        return self._moment(moment) if moment.tzinfo is None else moment

    def _exact_number(self, period: Period) -> int:
        """The number of the window that a key of this grain names."""
        grain = self.grain
        if isinstance(grain, CalendarGrain):
            return grain.ordinal(period.start.date())
        moment = self._hour_moment(period) + self.offset
        number, beyond = divmod(moment - _EPOCH - self._minute, _HOUR)
        if beyond:
            raise UnknownPartitionError(
                f"there is no partition '{period.text}' of {self.about()}: its hours begin at other minutes",
                fix=f"the one that it lies in is '{self.key(number)}'",
            )
        return number

    def _hour_moment(self, period: Period) -> datetime:
        if period.utc_offset is None:
            moment = self._moment(period.start)
        else:
            moment = (period.start - period.utc_offset).replace(tzinfo=_UTC)
        local = moment.astimezone(self._zone)
        if local.replace(tzinfo=None, fold=0) != period.start:
            why = "the clock skips it" if period.utc_offset is None else "the zone has another offset then"
            raise UnknownPartitionError(
                f"there is no hour '{period.text}' in {self.tz}: {why}", fix=f"write '{local:%Y-%m-%dT%H}'"
            )
        return moment

    # Sets

    def every(self) -> TimeSet:
        """first..last, or to the end of the calendar."""
        return TimeSet(self, ((self.lowest, self.highest),))

    def nothing(self) -> TimeSet:
        """No window."""
        return TimeSet(self, ())

    def only(self, key: str) -> TimeSet:
        """One window. Raises UnknownPartitionError."""
        number = self.number(key)
        return TimeSet(self, ((number, number),))

    def of_keys(self, keys: Iterable[str]) -> TimeSet:
        """The windows of these keys, as far as they are windows of this partitioning."""
        numbers = []
        for key in keys:
            with suppress(UnknownPartitionError):
                numbers.append(self.number(key))
        return TimeSet(self, merged((number, number) for number in numbers))

    def partition(self, key: str) -> Partition:
        """One window. Raises UnknownPartitionError."""
        start, end = self.window(key)
        return Partition(key, start, end, {self.name: key})

    def of_ranges(self, *ranges: Range) -> TimeSet:
        """The windows in ranges of numbers, as far as the partitioning reaches."""
        return TimeSet(self, common(merged(ranges), ((self.lowest, self.highest),)))

    def closed(self, *, as_of: datetime) -> TimeSet:
        """The windows that have ended at an (aware) moment: a month that has not ended is not due."""
        if as_of.tzinfo is None:
            raise ValueError("as_of needs a time zone")
        return self.of_ranges((self.lowest, self.number_at(as_of) - 1))

    def overlapping(self, start: datetime, end: datetime) -> TimeSet:
        """The windows whose calendar label lies in or around a half-open, naive window of the calendar."""
        return self.of_ranges(self.numbers(start, end))

    def numbers(self, start: datetime, end: datetime) -> Range:
        """The first and last window of `overlapping`, reaching where they may."""
        grain = self.grain
        if isinstance(grain, CalendarGrain):
            return grain.ordinal(start.date()), grain.ordinal((end - _MOMENT).date())
        shift = self.offset
        return self.number_at(self._moment(start) + shift), self.number_at(self._moment(end) + shift - _MOMENT)

    def parse_part(self, text: str) -> TimeSet:
        """One word: a key, a coarser key, a range, `*`. Raises UnknownPartitionError."""
        if text == EVERYTHING:
            return self.every()
        first, between, last = text.partition(BETWEEN)
        if not between:
            return self._read(text)
        low = self._read(first.strip()).ranges[0][0] if first.strip() else self.lowest
        high = self._read(last.strip()).ranges[-1][1] if last.strip() else self.highest
        if high < low:
            raise UnknownPartitionError(
                f"'{text}' ends before it begins", fix=f"write '{last.strip()}{BETWEEN}{first.strip()}'"
            )
        return self.of_ranges((low, high))

    def _read(self, text: str) -> TimeSet:
        period = read_period(text)
        if period is None or period.grain.rank < self.grain.rank:
            raise self._unknown(text, period)
        if period.grain is self.grain:
            return self.only(text)
        found = self.overlapping(period.start, period.end)
        if not found:
            self._check_within(text, self.numbers(period.start, period.end)[0])
        return found

    # Errors

    def _bound(self, value: str | date, which: str) -> int:
        """The number of the first or last window, from however it was written."""
        if isinstance(value, datetime):
            local = value if value.tzinfo is None else value.astimezone(self._zone).replace(tzinfo=None)
            self._align(local.replace(minute=0, second=0, microsecond=0), which)
            return self.number_at(value)
        period = read_period(value if isinstance(value, str) else value.isoformat())
        if period is None or (isinstance(value, str) and period.grain.rank < self.grain.rank):
            raise DefinitionError(
                f"{which}={value!r} is no {self.grain.name} of {self._class}", fix=self._written(str(value), period)
            )
        self._align(period.start, which)
        if period.grain is self.grain:
            return self._exact_number(period)
        return self.numbers(period.start, period.end)[0 if which == "first" else 1]

    def _align(self, first: datetime, which: str) -> None:
        """Hours begin at the minute at which the first one does: not all zones are whole hours from UTC."""
        if which == "first" and self.grain is HOUR:
            object.__setattr__(self, "_minute", (self._moment(first) + self.offset - _EPOCH) % _HOUR)

    def _check_within(self, text: str, number: int) -> None:
        if self.lowest <= number <= self.highest:
            return
        end, at = ("begins after", self.first) if number < self.lowest else ("ends before", self.last)
        bound = "first" if number < self.lowest else "last"
        raise UnknownPartitionError(
            f"there is no partition '{text}': {self.about()} {end} it",
            fix=f"the {bound} is '{at}'; change {bound}= where the partitions are declared if there are more",
        )

    def _unknown(self, text: str, period: Period | None) -> UnknownPartitionError:
        what = f"'{text}' is no partition of {self.about()}"
        if period is not None:
            article = "an" if period.grain is HOUR else "a"
            what = f"'{text}' is {article} {period.grain.name}, and no partition of {self.about()}"
        return UnknownPartitionError(what, fix=self._written(text, period))

    def _written(self, text: str, period: Period | None) -> str:
        grain = self.grain
        if period is not None and isinstance(grain, CalendarGrain):
            return f"write '{grain.label(grain.start(grain.ordinal(period.start.date())))}'"
        padded = _LONE_DIGIT.sub(lambda digit: f"0{digit[0]}", text)
        near = read_period(padded)
        if near is not None and near.grain is grain:
            return f"did you mean '{padded}'?"
        return f"write it like '{grain.example}'"

    # For people and programs

    def about(self) -> str:
        """`monthly, 2013-01..2013-12, column flight_date, America/New_York`."""
        parts = [f"{self.kind}, {self.first}{BETWEEN}{self.last or ''}"]
        parts += [f"column {self.column}"] if self.column else []
        parts += [self.tz] if self.tz != "UTC" else []
        parts += [f"offset {self.offset}"] if self.offset else []
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """`kind`, `first`, `last`, `column`, `tz`, `offset_s`."""
        return {
            "kind": self.kind,
            "first": self.first,
            "last": self.last,
            "column": self.column,
            "tz": self.tz,
            "offset_s": self.offset.total_seconds(),
        }


@lru_cache(maxsize=64)
def _zone_of(name: str) -> tzinfo:
    if name == "UTC":
        return _UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        from zoneinfo import available_timezones

        from orchestrator.errors import did_you_mean

        raise DefinitionError(
            f"there is no time zone {name!r}",
            fix=did_you_mean(name, available_timezones()) or "write a name such as 'Europe/Berlin', or 'UTC'",
        ) from None


class Hourly(TimePartitions):
    """One partition an hour, `2013-02-03T05`. Where the clock is put back, the second of the two hours with one name
    carries its distance from UTC: `2013-11-03T01`, `2013-11-03T01-0500`. An hour that is skipped does not exist.

    >>> hours = Hourly("2013-11-03", last="2013-11-03", tz="America/New_York")
    >>> hours.parse("*").text(), len(hours.parse("*"))
    ('2013-11-03T00..2013-11-03T23', 25)
    >>> hours.key_of(datetime(2013, 11, 3, 6, tzinfo=timezone.utc))
    '2013-11-03T01-0500'
    """

    __slots__ = ()
    grain = HOUR


class Daily(TimePartitions):
    """One partition a day, `2013-02-03`. A day on which the clock moves has 23 or 25 hours.

    >>> days = Daily("2013-01-01", column="flight_date", tz="America/New_York")
    >>> days.parse("2013-02").text(), len(days.parse("2013"))
    ('2013-02-01..2013-02-28', 365)
    >>> [str(moment) for moment in days.window("2013-03-10")]
    ['2013-03-10 00:00:00-05:00', '2013-03-11 00:00:00-04:00']
    """

    __slots__ = ()
    grain = DAY


class Weekly(TimePartitions):
    """One partition an ISO week, from Monday, `2013-W07`.

    >>> Weekly("2013-W01").parse("2013-03").text()
    '2013-W09..2013-W13'
    """

    __slots__ = ()
    grain = WEEK


class Monthly(TimePartitions):
    """One partition a month, `2013-02`.

    >>> months = Monthly("2013-01", last="2013-12", column="flight_date")
    >>> list(months.keys(as_of=datetime(2013, 3, 15, tzinfo=timezone.utc)))
    ['2013-01', '2013-02']
    >>> months.parse("2013-11.., 2013-01").text()
    '2013-01, 2013-11..2013-12'
    """

    __slots__ = ()
    grain = MONTH


class Quarterly(TimePartitions):
    """One partition a quarter of a year, `2013-Q1`.

    >>> Quarterly("2013").key_of(date(2013, 5, 17))
    '2013-Q2'
    """

    __slots__ = ()
    grain = QUARTER


class Yearly(TimePartitions):
    """One partition a year, `2013`.

    >>> Yearly("2013").count(as_of=datetime(2015, 7, 1, tzinfo=timezone.utc))
    2
    """

    __slots__ = ()
    grain = YEAR


@dataclass(frozen=True, slots=True)
class TimeSet(PartitionSet):
    """Windows as ranges of their numbers."""

    of: TimePartitions
    ranges: Ranges

    def __iter__(self) -> Iterator[str]:
        return (self.of.key(number) for low, high in self.ranges for number in range(low, high + 1))

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.ranges)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        try:
            return holds(self.ranges, self.of.number(key))
        except UnknownPartitionError:
            return False

    def __or__(self, other: PartitionSet) -> TimeSet:
        return TimeSet(self.of, merged((*self.ranges, *self._same(other))))

    def __and__(self, other: PartitionSet) -> TimeSet:
        return TimeSet(self.of, common(self.ranges, self._same(other)))

    def __sub__(self, other: PartitionSet) -> TimeSet:
        return TimeSet(self.of, without(self.ranges, self._same(other)))

    def _same(self, other: PartitionSet) -> Ranges:
        if not isinstance(other, TimeSet) or other.of != self.of:
            raise TypeError(f"sets of different partitions: {self} and {other}")
        return other.ranges

    def words(self) -> Iterator[str]:
        """A word a range; one that reaches the end of the calendar is open."""
        for low, high in self.ranges:
            if low == high:
                yield self.of.key(low)
            else:
                endless = self.of.last is None and high == self.of.highest
                yield f"{self.of.key(low)}{BETWEEN}{'' if endless else self.of.key(high)}"
