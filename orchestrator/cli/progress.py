"""Live progress of a run: a listener for events that draws on a terminal, writes plain lines, or writes JSON lines."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.cli.output import STATUSES, clock, count, duration, number, print_json, utc_now, words
from orchestrator.cli.run_view import RunView
from orchestrator.definitions.events import CheckFinished, Event, LogLine, RunFinished, RunStarted, StepFinished

RUNNING_SHOWN = 6
BAR_WIDTH = 32
KEY_WIDTH = 44


class Progress(Protocol):
    """Takes events as they come, between `with` and its end; `waiting` tells what a run waits for before it starts,
    `say` prints a line for people."""

    def __enter__(self) -> Progress: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def __call__(self, event: Event) -> None: ...

    def waiting(self, what: str, seconds: float) -> None: ...

    def say(self, line: str) -> None: ...


class JsonProgress:
    """One JSON object a line, nothing else on stdout: what user code prints goes to stderr."""

    def __init__(self) -> None:
        self._stdout = sys.stdout
        self._lock = threading.Lock()
        self._redirected = contextlib.redirect_stdout(sys.stderr)

    def __enter__(self) -> JsonProgress:
        self._redirected.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._redirected.__exit__(None, None, None)

    def __call__(self, event: Event) -> None:
        with self._lock:
            print_json(event.to_json(), line=True, stream=self._stdout)

    def waiting(self, what: str, seconds: float) -> None:
        pass

    def say(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")


class PlainProgress:
    """A line for each finished step and each check that did not pass: for logs and pipes."""

    def __init__(self, view: RunView, *, console: Console) -> None:
        self.view = view
        self.console = console
        self._said: str | None = None

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, event: Event) -> None:
        line = event_line(event, view=self.view)
        if line is not None:
            self.console.print(line, soft_wrap=True)

    def waiting(self, what: str, seconds: float) -> None:
        if self._said != what:
            self._said = what
            self.say(f"… {what}")

    def say(self, line: str) -> None:
        self.console.print(line, style="quiet", soft_wrap=True)


class LiveProgress:
    """The same lines, and below them what runs now, a bar, counts, elapsed and estimated time, redrawn in place."""

    def __init__(self, view: RunView, *, console: Console) -> None:
        self.view = view
        self._plain = PlainProgress(view, console=console)
        self._wait: tuple[str, float] | None = None
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=5, transient=True)

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        self._wait = None
        self._plain(event)

    def waiting(self, what: str, seconds: float) -> None:
        self._wait = (what, seconds)

    def say(self, line: str) -> None:
        self._plain.say(line)

    def _draw(self) -> RenderableType:
        if self._wait is not None:
            what, seconds = self._wait
            return Text(f"… {what}  {clock(seconds)}", style="quiet")
        return live_area(self.view)


def make_progress(view: RunView, *, console: Console, as_json: bool) -> Progress:
    """The progress that suits where the output goes."""
    if as_json:
        return JsonProgress()
    return LiveProgress(view, console=console) if console.is_terminal else PlainProgress(view, console=console)


def listener(view: RunView, progress: Progress) -> Callable[[Event], None]:
    """What is given to the run: the view learns first, then it is drawn."""

    def listen(event: Event) -> None:
        view.add(event)
        progress(event)

    return listen


def event_line(event: Event, *, view: RunView) -> Text | None:
    """The line that stays for an event, or None."""
    match event:
        case RunStarted():
            return _header(event, view)
        case StepFinished() if event.will_retry:
            return _line(
                "!", "attention", view.title(event), "failed, will be tried again", event.duration_s, key_width(view)
            )
        case StepFinished() if event.status != "up_to_date":
            return _step_line(event, view)
        case CheckFinished() if event.status in ("failed", "warned"):
            return _check_line(event)
        case LogLine() if event.level in ("warning", "error"):
            place = f"{event.key}: " if event.key else ""
            return Text("  ").append(f"{event.level} ", style="attention").append(f"{place}{event.message}")
    return None


def _header(event: RunStarted, view: RunView) -> Text:
    skipped = sum(step.action == "skip" for step in event.steps)
    left_out = f", {skipped} up to date" if skipped else ""
    text = Text(f"Run {event.run_id}", style="title")
    return text.append(
        f"  {count(len(view.to_build), 'step')}{left_out}, environment {event.environment}, engine {event.engine}",
        style="quiet not bold",
    )


def key_width(view: RunView) -> int:
    """How wide keys are printed, so that what follows them stands in one column."""
    return min(KEY_WIDTH, max(map(len, view.titles.values()), default=KEY_WIDTH))


def _step_line(event: StepFinished, view: RunView) -> Text:
    glyph, style = STATUSES[event.status]
    rows = event.materialization.rows if event.materialization else None
    if event.status == "succeeded":
        said = f"{number(rows)} rows" if rows is not None else "done"
    else:
        reason = event.reason or (event.failure.message.strip().splitlines()[0] if event.failure else "")
        said = f"{words(event.status)}{': ' + reason if reason else ''}"
    return _line(glyph, style, view.title(event), said, event.duration_s, key_width(view))


def _line(glyph: str, style: str, key: str, said: str, seconds: float | None, width: int) -> Text:
    text = Text("  ").append(glyph, style=style).append(f" {key:<{width}} ")
    text.append(f"{duration(seconds):>10}  ", style="quiet")
    return text.append(said, style="quiet" if style == "good" else style)


def _check_line(event: CheckFinished) -> Text:
    glyph, style = STATUSES[event.status]
    failing = f": {count(event.failures, 'row')}" if event.failures else ""
    text = Text("  ").append(glyph, style=style).append(f" check {event.name}", style=style)
    return text.append(f" on {event.key} {event.status}{failing}", style="quiet")


def live_area(view: RunView) -> RenderableType:
    """What runs now, and how far the whole is."""
    if view.started is None or isinstance(view.ended, RunFinished):
        return Text()
    now = utc_now()
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=KEY_WIDTH + 4)
    grid.add_column(no_wrap=True, style="quiet", justify="right")
    running = view.running_now()
    if not running and not view.done:
        grid.add_row(Text("  … preparing", style="quiet"), "")  # dbt takes seconds to be imported
    for step in running[:RUNNING_SHOWN]:
        again = f" (attempt {step.attempt})" if step.attempt > 1 else ""
        usual = view.durations.get((step.key, step.writer))
        passed = clock((now - step.at).total_seconds()) + (f" of about {clock(usual)}" if usual and usual >= 1 else "")
        grid.add_row(Text("  ▶ ", style="active").append(view.title(step) + again, style="default"), passed)
    if len(running) > RUNNING_SHOWN:
        grid.add_row(Text(f"    and {len(running) - RUNNING_SHOWN} more", style="quiet"), "")
    return Group(grid, status_line(view, elapsed=view.elapsed(now), remaining=view.remaining(now)))


def status_line(view: RunView, *, elapsed: float, remaining: float | None) -> Text:
    """`━━━━──── 17/41  1 failed  3 blocked  0:32  about 0:20 left`"""
    total = len(view.to_build)
    filled = round(BAR_WIDTH * view.done / total) if total else 0
    failed, blocked = view.count("failed", "unknown"), view.count("blocked")
    text = Text("  ").append("━" * filled, style="bad" if failed else "good")
    text.append("─" * (BAR_WIDTH - filled), style="quiet").append(f" {view.done}/{total}", style="bold")
    if failed or view.failed_checks():
        failing = [f"{failed} failed"] if failed else []
        failing += [f"{count(len(view.failed_checks()), 'check')} failed"] if view.failed_checks() else []
        text.append(f"  {', '.join(failing)}", style="bad")
    if blocked:
        text.append(f"  {blocked} blocked", style="attention")
    text.append(f"  {clock(elapsed)}", style="quiet")
    if remaining is not None and view.done < total:
        text.append(f"  about {clock(remaining)} left", style="quiet")
    return text
