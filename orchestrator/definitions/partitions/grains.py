"""The calendar: each grain's windows in wall-clock time, numbered, so that arithmetic on partitions is on integers.

An ordinal counts windows from the year 1 on. Everything here is naive; time zones come in `time`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

FIRST_DAY, LAST_DAY = date(10, 1, 1), date(9990, 12, 31)
"""How far computations reach: where a partitioning without a last one ends."""


@dataclass(frozen=True, slots=True)
class Grain:
    """One length of windows, and how its keys are written."""

    name: str
    adverb: str
    rank: int
    example: str
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class CalendarGrain(Grain):
    """A day and longer. Hours are numbered in `time`: the wall clock alone cannot tell them apart."""

    ordinal: Callable[[date], int]
    """The number of the window that a day lies in."""
    start: Callable[[int], date]
    """The first day of a window."""
    label: Callable[[date], str]
    """The key of the window that starts on a day."""
    first_day: Callable[[re.Match[str]], date]
    """The first day of the window that a key names. Raises ValueError if the calendar has none."""

    def window(self, label: re.Match[str]) -> tuple[datetime, datetime]:
        """Half-open, naive."""
        number = self.ordinal(self.first_day(label))
        return _midnight(self.start(number)), _midnight(self.start(number + 1))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def _month(number: int) -> date:
    return date(number // 12, number % 12 + 1, 1)


def _week_label(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"{year:04}-W{week:02}"


HOUR = Grain(
    name="hour",
    adverb="hourly",
    rank=0,
    example="2013-02-03T05",
    pattern=re.compile(r"(\d{4})-(\d{2})-(\d{2})[T ](\d{2})(?::(\d{2}))?(?::00)?([+-]\d{2}:?\d{2})?"),
)
DAY = CalendarGrain(
    name="day",
    adverb="daily",
    rank=1,
    example="2013-02-03",
    pattern=re.compile(r"(\d{4})-(\d{2})-(\d{2})"),
    ordinal=date.toordinal,
    start=date.fromordinal,
    label=date.isoformat,
    first_day=lambda found: date(int(found[1]), int(found[2]), int(found[3])),
)
WEEK = CalendarGrain(
    name="week",
    adverb="weekly",
    rank=2,
    example="2013-W07",
    pattern=re.compile(r"(\d{4})-[Ww](\d{2})"),
    # The year 1 begins on a Monday, so that weeks are sevens of days.
    ordinal=lambda day: (day.toordinal() - 1) // 7,
    start=lambda number: date.fromordinal(number * 7 + 1),
    label=_week_label,
    first_day=lambda found: date.fromisocalendar(int(found[1]), int(found[2]), 1),
)
MONTH = CalendarGrain(
    name="month",
    adverb="monthly",
    rank=3,
    example="2013-02",
    pattern=re.compile(r"(\d{4})-(\d{2})"),
    ordinal=lambda day: day.year * 12 + day.month - 1,
    start=_month,
    label=lambda day: f"{day.year:04}-{day.month:02}",
    first_day=lambda found: date(int(found[1]), int(found[2]), 1),
)
QUARTER = CalendarGrain(
    name="quarter",
    adverb="quarterly",
    rank=4,
    example="2013-Q1",
    pattern=re.compile(r"(\d{4})-[Qq]([1-4])"),
    ordinal=lambda day: day.year * 4 + (day.month - 1) // 3,
    start=lambda number: _month(number * 3),
    label=lambda day: f"{day.year:04}-Q{(day.month + 2) // 3}",
    first_day=lambda found: date(int(found[1]), int(found[2]) * 3 - 2, 1),
)
YEAR = CalendarGrain(
    name="year",
    adverb="yearly",
    rank=5,
    example="2013",
    pattern=re.compile(r"(\d{4})"),
    ordinal=lambda day: day.year,
    start=lambda number: date(number, 1, 1),
    label=lambda day: f"{day.year:04}",
    first_day=lambda found: date(int(found[1]), 1, 1),
)
CALENDAR = (DAY, WEEK, MONTH, QUARTER, YEAR)


@dataclass(frozen=True, slots=True)
class Period:
    """What a word of the calendar names: a half-open, naive window, and how fine the word is."""

    grain: Grain
    text: str
    start: datetime
    end: datetime
    utc_offset: timedelta | None = None
    """Of a key that tells the two hours of an autumn night apart."""


def read_period(text: str) -> Period | None:
    """The window that a key of any grain names; None where the text is no such key.

    >>> read_period("2013-02").end
    datetime.datetime(2013, 3, 1, 0, 0)
    >>> read_period("2013-W01").start, read_period("2013-02-30")
    (datetime.datetime(2012, 12, 31, 0, 0), None)
    """
    with contextlib.suppress(ValueError, OverflowError):  # the calendar has no such day, or no such hour
        if (found := HOUR.pattern.fullmatch(text)) is not None:
            return _hour(text, found)
        for grain in CALENDAR:
            if (found := grain.pattern.fullmatch(text)) is not None:
                return Period(grain, text, *grain.window(found))
    return None


def _hour(text: str, found: re.Match[str]) -> Period:
    day, clock = date(int(found[1]), int(found[2]), int(found[3])), time(int(found[4]), int(found[5] or 0))
    start = datetime.combine(day, clock)
    return Period(HOUR, text, start, start + timedelta(hours=1), _utc_offset(found[6]))


def _utc_offset(text: str | None) -> timedelta | None:
    if not text:
        return None
    sign = -1 if text[0] == "-" else 1
    return sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
