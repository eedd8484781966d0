"""How things are written: consoles, states and statuses as word + colour + glyph, durations, ages, counts."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text
from rich.theme import Theme

SCHEMA_VERSION = 1
PIPED_WIDTH = 160
MINUTE, HOUR, DAY = 60, 3600, 86400

# Status = word + glyph + colour, so that none of them is needed alone.
STATES: dict[str, tuple[str, str]] = {
    "fresh": ("✓", "good"),
    "stale": ("◐", "attention"),
    "missing": ("○", "quiet"),
    "failed": ("✗", "bad"),
    "unknown": ("?", "odd"),
    "running": ("▶", "active"),
    "adopted": ("◆", "good"),
    "external": ("◇", "quiet"),
}
STATUSES: dict[str, tuple[str, str]] = {
    "succeeded": ("✓", "good"),
    "warned": ("!", "attention"),
    "failed": ("✗", "bad"),
    "blocked": ("⊘", "attention"),
    "up_to_date": ("=", "quiet"),
    "cancelled": ("–", "quiet"),
    "unknown": ("?", "odd"),
    "running": ("▶", "active"),
    "waiting": ("·", "quiet"),
    "queued": ("·", "quiet"),
    "lost": ("?", "odd"),
    "build": ("●", "active"),
    "skip": ("=", "quiet"),
}
THEME = Theme(
    {
        "good": "green",
        "bad": "bold red",
        "attention": "yellow",
        "odd": "magenta",
        "active": "cyan",
        "quiet": "dim",
        "title": "bold",
        "key": "bold",
        "command": "cyan",
    }
)


def make_console(*, stderr: bool = False) -> Console:
    """A console with our colours: none where the output is no terminal or NO_COLOR is set, and then not cut at 80."""
    stream = sys.stderr if stderr else sys.stdout
    piped = not stream.isatty() and "COLUMNS" not in os.environ
    return Console(
        stderr=stderr, theme=THEME, highlight=False, markup=False, emoji=False, width=PIPED_WIDTH if piped else None
    )


def print_json(value: Any, *, line: bool = False, stream: TextIO | None = None) -> None:
    """JSON on stdout: indented, or in one line for streams of events."""
    text = json.dumps(value, ensure_ascii=False, default=str, indent=None if line else 2)
    stream = stream or sys.stdout
    stream.write(text + "\n")
    stream.flush()


def state_text(state: str) -> Text:
    """A state as glyph and word."""
    glyph, style = STATES.get(state, ("·", "quiet"))
    return Text(f"{glyph} {state}", style=style)


def status_text(status: str) -> Text:
    """A status of a step, check or run as glyph and word."""
    glyph, style = STATUSES.get(status, ("·", "quiet"))
    return Text(f"{glyph} {words(status)}", style=style)


def one_line(text: str, *, style: str = "quiet") -> Text:
    """A cell that gives way: cut with an ellipsis where the table is too wide, so that the others need not be."""
    return Text(" ".join(text.split()), style=style, no_wrap=True, overflow="ellipsis")


def words(name: str) -> str:
    """`up_to_date` as people say it."""
    return name.replace("_", " ")


def count(number: int, noun: str, *, plural: str | None = None) -> str:
    """
    >>> count(1, "step"), count(2, "step"), count(3, "entry", plural="entries")
    ('1 step', '2 steps', '3 entries')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def number(value: float | int | None) -> str:
    """
    >>> number(336776), number(0.5), number(12.3456), number(None)
    ('336,776', '0.5', '12.35', '')
    """
    if value is None:
        return ""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.2f}".rstrip("0") if abs(value) >= 0.01 else f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """
    >>> duration(0.04), duration(12.34), duration(75), duration(3700), duration(None)
    ('0.0 s', '12.3 s', '1 min 15 s', '1 h 01 min', '')
    """
    if seconds is None:
        return ""
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min {int(seconds % MINUTE):02d} s"
    return f"{int(seconds // HOUR)} h {int(seconds % HOUR // MINUTE):02d} min"


def clock(seconds: float) -> str:
    """
    >>> clock(3), clock(75), clock(3675)
    ('0:03', '1:15', '1:01:15')
    """
    whole = int(seconds)
    hours, minutes, rest = whole // HOUR, whole % HOUR // MINUTE, whole % MINUTE
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def ago(at: datetime | None, *, now: datetime) -> str:
    """How long ago, in the largest fitting unit.

    >>> now = datetime(2026, 1, 2, tzinfo=timezone.utc)
    >>> ago(datetime(2026, 1, 1, 21, tzinfo=timezone.utc), now=now), ago(None, now=now)
    ('3 h ago', '')
    """
    if at is None:
        return ""
    seconds = (now - at).total_seconds()
    if seconds < MINUTE:
        return "just now"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min ago"
    if seconds < 2 * DAY:
        return f"{int(seconds // HOUR)} h ago"
    return f"{int(seconds // DAY)} d ago"


def moment(at: datetime) -> str:
    """A time in the reader's own time zone, to the second."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def program() -> str:
    """This command, so that what we print can be pasted: its name where the shell finds it by that, else its path."""
    path = _own_path()
    named = shutil.which("orchestrator")
    return "orchestrator" if named and Path(named).resolve() == Path(path).resolve() else shlex.quote(path)


def _own_path() -> str:
    typed = Path(sys.argv[0])
    if typed.name.startswith("orchestrator") and typed.exists():
        return str(typed.resolve())
    beside = Path(sys.executable).with_name("orchestrator")
    found = str(beside) if beside.exists() else shutil.which("orchestrator")
    return found or "orchestrator"
