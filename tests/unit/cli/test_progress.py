"""Progress: plain lines for logs, JSON lines for programs, a live area for people."""

from __future__ import annotations

import io
import json
import sys

import pytest
from rich.console import Console

from orchestrator.cli.output import THEME
from orchestrator.cli.progress import (
    JsonProgress,
    LiveProgress,
    PlainProgress,
    listener,
    make_progress,
    status_line,
)
from orchestrator.cli.run_view import RunView
from tests.unit.cli.stories import at, begins, ends, failing_run, seen, started


def plain_console() -> Console:
    return Console(file=io.StringIO(), theme=THEME, width=80, highlight=False)


def test_a_line_a_step_and_a_line_a_check_that_did_not_pass() -> None:
    console, view = plain_console(), RunView()
    with PlainProgress(view, console=console) as progress:
        tell = listener(view, progress)
        for event in failing_run():
            tell(event)
    assert (
        console.file.getvalue()
        == """\
Run 1122-110000-ab12  5 steps, environment dev, engine local
  ✓ raw.flights          1.2 s  336,776 rows
  ✓ staging.flights      0.7 s  done
  ! check unique_flight on staging.flights warned: 3 rows
  ✗ ml.delays            2.0 s  failed: ValueError: not enough rows
  ⊘ marts.report                blocked: ml.delays failed
  ⊘ ops.vacuum                  blocked: ml.delays failed
"""
    )  # type: ignore[attr-defined]


def test_waiting_is_said_once() -> None:
    console = plain_console()
    with PlainProgress(RunView(), console=console) as progress:
        progress.waiting("waiting for the server", 1)
        progress.waiting("waiting for the server", 2)
    assert console.file.getvalue() == "… waiting for the server\n"  # type: ignore[attr-defined]


def test_json_lines_are_all_that_reaches_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonProgress() as progress:
        print("a user's own print")
        for event in failing_run():
            progress(event)
        progress.say("waiting for a lock")
    captured = capsys.readouterr()
    events = [json.loads(line)["event"] for line in captured.out.splitlines()]
    assert events[:3] == ["run_started", "step_started", "step_finished"]
    assert events[-1] == "run_finished"
    assert captured.err == "a user's own print\nwaiting for a lock\n"
    assert sys.stdout is not sys.stderr


def test_the_bar_counts_failures_and_estimates() -> None:
    view = seen([started(), ends("raw.flights", 1), ends("staging.flights", 2, "failed"), begins("ml.delays", 2)])
    assert status_line(view, elapsed=32, remaining=20).plain == (
        "  ━━━━━━━━━━━━━─────────────────── 2/5  1 failed  0:32  about 0:20 left"
    )


def test_the_terminal_decides_what_is_drawn() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    assert isinstance(make_progress(RunView(), console=terminal, as_json=False), LiveProgress)
    assert isinstance(make_progress(RunView(), console=plain_console(), as_json=False), PlainProgress)
    assert isinstance(make_progress(RunView(), console=terminal, as_json=True), JsonProgress)


def test_live_progress_leaves_only_the_lines_that_stay() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, theme=THEME, color_system=None)
    view = RunView()
    with LiveProgress(view, console=console) as progress:
        progress.waiting("waiting for the server", 3)
        tell = listener(view, progress)
        for event in failing_run():
            tell(event)
    last = console.file.getvalue().splitlines()[-1]  # type: ignore[attr-defined]
    assert "━" not in last
    assert view.elapsed(at(100)) == 6.0
