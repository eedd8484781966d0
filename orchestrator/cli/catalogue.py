"""Which commands there are, and the front page. Standard library only: this is what `--help` costs."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: the module in this package that has it, and what it answers in one line."""

    name: str
    module: str
    summary: str
    section: str


LOOK, CHANGE, HISTORY = "Look", "Run", "What happened"
COMMANDS = (
    Entry("ls", "ls", "List assets with their state", LOOK),
    Entry("describe", "describe", "Everything about one asset: when, by whom, with what, how its numbers moved", LOOK),
    Entry("partitions", "partitions", "The partitions of an asset by state, and what each is", LOOK),
    Entry("lineage", "lineage", "What an asset is made from, and what is made from it", LOOK),
    Entry("preview", "preview", "The first rows of an asset, read-only", LOOK),
    Entry("impact", "impact", "What breaks if an asset is deleted, and whom to ask", LOOK),
    Entry("jobs", "jobs", "The named selections, and what each means", LOOK),
    Entry("resources", "resources", "What code uses outside: databases, APIs, files; and who uses it where", LOOK),
    Entry("validate", "validate", "What is wrong in models and YAML, found without running them", LOOK),
    Entry("init", "init", "Add the configuration and a first Python asset to a dbt project", CHANGE),
    Entry("new", "new", "Write a file with an asset, action or check to start from", CHANGE),
    Entry("stubs", "stubs", "dbt models for editors and type checkers", CHANGE),
    Entry("plan", "plan", "What `run` would do with the same words, and why", CHANGE),
    Entry("run", "run", "Build assets in order: Python and dbt in one run (alias: build)", CHANGE),
    Entry("adopt", "adopt", "Record tables that existed before, as they are", CHANGE),
    Entry("publish", "publish", "Write the graph for other repositories to read", CHANGE),
    Entry("retry", "retry", "Take up a run where it failed: what failed and what that blocked", CHANGE),
    Entry("cancel", "cancel", "Stop a run that another process carries out", CHANGE),
    Entry("ci", "ci", "Compare with a base; build and check what differs, apart from everything else", CHANGE),
    Entry("dev", "dev", "Start the app, and everything it needs", CHANGE),
    Entry("runs", "runs", "Recorded runs; with a run's id its steps, failures first", HISTORY),
    Entry("logs", "logs", "The lines that a run's steps logged", HISTORY),
    Entry("verify", "verify", "Compare what runs recorded with what is in the warehouse; mark what differs", HISTORY),
)
ALIASES = {"build": "run", "list": "ls", "show": "describe"}
EXAMPLES = (
    ("orchestrator run", "build everything"),
    ("orchestrator run +marts.daily", "one asset and all it is made from"),
    ("orchestrator plan --stale", "what is out of date, and why"),
    ("orchestrator ls tag:hourly,state:failed", "comma = and, space = or"),
)


def find(name: str) -> Entry | None:
    """The command called `name` or its alias."""
    wanted = ALIASES.get(name, name)
    return next((entry for entry in COMMANDS if entry.name == wanted), None)


def version_line() -> str:
    from orchestrator import __version__

    return f"orchestrator {__version__}\n"


def front_page(*, colour: bool | None = None) -> str:
    """What `orchestrator` alone prints."""
    bold, dim, reset = _styles(_wants_colour() if colour is None else colour)
    lines = [
        f"{bold}orchestrator{reset}: one graph for dbt models and Python ingestion",
        "",
        f"{bold}Usage{reset}  orchestrator COMMAND [SELECTION …] [OPTIONS]",
    ]
    for section in dict.fromkeys(entry.section for entry in COMMANDS):
        lines += ["", f"{bold}{section}{reset}"]
        lines += [f"  {entry.name:<10} {entry.summary}" for entry in COMMANDS if entry.section == section]
    lines += ["", f"{bold}Examples{reset}"]
    lines += [f"  {command:<42} {dim}{meaning}{reset}" for command, meaning in EXAMPLES]
    lines += ["", f"{dim}orchestrator COMMAND --help tells more; --version names the version.{reset}"]
    return "\n".join(lines) + "\n"


def _wants_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _styles(colour: bool) -> tuple[str, str, str]:
    return ("\x1b[1m", "\x1b[2m", "\x1b[0m") if colour else ("", "", "")
