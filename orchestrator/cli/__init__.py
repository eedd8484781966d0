"""The command line: `orchestrator …`, one thin module a noun.

Comes in: what was typed. Goes out: text for people (stdout, errors on stderr) or JSON (docs/reference/json.md)
and an exit code: 0 good, 1 failed, 2 wrong usage or definitions, 130 interrupted. Always holds: rendering functions
take dataclasses and return text or rich objects, so they are tested without a workspace. May import: everything
before it; typer and rich only once a command is known, so that `--help` and `--version` are instant.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of `orchestrator ARGUMENTS`; the entry point of the command."""
    from orchestrator.cli.catalogue import front_page, version_line

    typed = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    match typed:
        case [] | ["--help" | "-h" | "help"]:
            sys.stdout.write(front_page())
            return 0
        case ["--version" | "-V"]:
            sys.stdout.write(version_line())
            return 0
        case ["help", name, *_]:
            typed = [name, "--help"]
    from orchestrator.cli.entry import leave, run_command

    code = run_command(typed[0], typed[1:])
    if arguments is None:
        leave(code)
    return code
