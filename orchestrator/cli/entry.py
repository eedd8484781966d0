"""From what was typed to the command's module, and from errors to messages and exit codes."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.cli.catalogue import ALIASES, COMMANDS, Entry, find
from orchestrator.errors import OrchestratorError, did_you_mean

INTERRUPTED = 130
WRONG_USAGE = 2


def run_command(name: str, arguments: Sequence[str]) -> int:
    """The exit code of one command."""
    entry = find(name)
    if entry is None:
        return _unknown_command(name)
    try:
        return _invoke(entry, arguments)
    except OrchestratorError as error:
        if _caused_by_interrupt(error):
            return _interrupted()
        from orchestrator.cli.errors import print_error

        print_error(error, as_json="--json" in arguments)
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        # `orchestrator ls | head`: nobody reads any more; keep Python from complaining once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _interrupted() -> int:
    sys.stderr.write("\ninterrupted\n")
    return INTERRUPTED


def _caused_by_interrupt(error: BaseException | None) -> bool:
    """dbt hands a Ctrl-C that it met on as any other error."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None


def leave(code: int) -> None:
    """End the process at once where duckdb is loaded, after everything that asked to run at exit has run.

    DuckDB 2 prints hundreds of lines about leaked objects when an interpreter that holds any of them shuts down, below
    everything that a person wanted to read; without duckdb this does nothing.
    """
    if "_duckdb" not in sys.modules and "duckdb" not in sys.modules:
        return
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _invoke(entry: Entry, arguments: Sequence[str]) -> int:
    import typer

    from orchestrator.cli.dbt_flags import HELP

    command: Callable[..., Any] = importlib.import_module(f"orchestrator.cli.{entry.module}").command
    app = typer.Typer(
        add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
    )
    app.command(epilog=HELP if getattr(command, "takes_dbt_flags", False) else None)(command)
    typed = typer.main.get_command(app)
    try:
        return int(typed.main(args=list(arguments), prog_name=f"orchestrator {entry.name}", standalone_mode=False) or 0)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else WRONG_USAGE
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as exc:
        # typer ships its own click or uses an installed one, by version: a usage error is known by what it can do.
        if not (hasattr(exc, "show") and hasattr(exc, "exit_code")):
            raise
        exc.show()
        return int(exc.exit_code)


def _unknown_command(name: str) -> int:
    names = [*(entry.name for entry in COMMANDS), *ALIASES]
    if name.startswith("-"):
        fix = "options come after the command: `orchestrator COMMAND OPTIONS`"
        what = f"'{name}' is no command"
    else:
        what = f"there is no command '{name}'"
        fix = did_you_mean(name, names) or "`orchestrator --help` lists all commands"
    sys.stderr.write(f"error: {what}\n  fix: {fix}\n")
    return WRONG_USAGE
