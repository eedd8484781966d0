"""How things are said: states in words, colours and signs; times, durations and counts as people read them.

Pure. One place, so that a state looks the same on every page; colour never stands alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is shown: the word, its colour, a sign of our widget and one of Streamlit's icons."""

    word: str
    tone: str
    glyph: str
    icon: str

    @property
    def badge(self) -> str:
        """Markdown that Streamlit shows as a coloured badge."""
        return f":{self.tone}-badge[:material/{self.icon}: {self.word}]"

    def counted(self, count: int) -> str:
        """The badge with a number before the word."""
        return f":{self.tone}-badge[:material/{self.icon}: {count:,} {self.word}]"


_LOOKS = (
    Look("failed", "red", "cross", "cancel"),
    Look("unknown", "violet", "question", "help"),
    Look("lost", "violet", "question", "help"),
    Look("stale", "orange", "clock", "schedule"),
    Look("warned", "orange", "warn", "warning"),
    Look("blocked", "orange", "bar", "block"),
    Look("running", "blue", "turn", "autorenew"),
    Look("queued", "blue", "clock", "hourglass_empty"),
    Look("starting", "blue", "clock", "hourglass_top"),
    Look("missing", "gray", "ring", "radio_button_unchecked"),
    Look("fresh", "green", "check", "check_circle"),
    Look("succeeded", "green", "check", "check_circle"),
    Look("adopted", "blue", "link", "link"),
    Look("up to date", "gray", "check", "check"),
    Look("external", "gray", "bar", "input"),
    Look("cancelled", "gray", "cross", "do_not_disturb_on"),
)
_BY_WORD = {look.word: look for look in _LOOKS}
STATES = ("failed", "unknown", "stale", "missing", "running", "fresh", "adopted", "external")
"""States of assets, the most urgent first."""


def look_of(word: str) -> Look:
    """How a state or status is shown; one that is not known is shown by its own name, in gray."""
    plain = word.replace("_", " ")
    return _BY_WORD.get(plain) or Look(plain, "gray", "ring", "radio_button_unchecked")


def ago(at: datetime, *, now: datetime) -> str:
    """The distance to a moment in the past, rounded as people do.

    >>> from datetime import timedelta, timezone
    >>> noon = datetime(2026, 1, 5, 12, tzinfo=timezone.utc)
    >>> ago(noon - timedelta(seconds=130), now=noon)
    '2 minutes ago'
    """
    seconds = max(0.0, (now - at).total_seconds())
    if seconds < 10:
        return "just now"
    for unit, size, upto in (
        ("second", 1, 60),
        ("minute", 60, 3600),
        ("hour", 3600, 86400),
        ("day", 86400, 86400 * 30),
    ):
        if seconds < upto:
            return f"{counted(int(seconds // size), unit)} ago"
    return f"on {at:%d %B %Y}".replace("on 0", "on ")


def duration(seconds: float | None) -> str:
    """Seconds as a person would say them.

    >>> [duration(value) for value in (0.004, 1.24, 42, 75, 7325)]
    ['4 ms', '1.2 s', '42 s', '1 min 15 s', '2 h 2 min']
    """
    if seconds is None:
        return ""
    if seconds < 0.1:
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def counted(count: int, noun: str) -> str:
    """A count with its noun.

    >>> counted(1, "row"), counted(336776, "row")
    ('1 row', '336,776 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def change(now: int, before: int | None) -> str:
    """What became of a number of rows since the last time.

    >>> change(10, 4), change(4, 10), change(4, 4), change(4, None)
    ('6 more than before', '6 fewer than before', 'as many as before', '')
    """
    if before is None:
        return ""
    if now == before:
        return "as many as before"
    return f"{abs(now - before):,} {'more' if now > before else 'fewer'} than before"


def moment(at: datetime) -> str:
    """A moment in full, in UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def first_line(text: str, *, length: int = 160) -> str:
    """The first line that says something, shortened."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= length else f"{line[: length - 1]}…"


def short(code: str) -> str:
    """The beginning of a hash, enough to see whether two differ."""
    return code.split(":")[-1][:8]


__all__ = ["STATES", "Look", "ago", "change", "counted", "duration", "first_line", "look_of", "moment", "short"]
