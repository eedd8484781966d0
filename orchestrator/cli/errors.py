"""Errors as people and as programs read them."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from orchestrator.cli.output import SCHEMA_VERSION, make_console, print_json
from orchestrator.errors import SHOWN_AT_ONCE, DefinitionErrors, OrchestratorError


def print_error(error: OrchestratorError, *, as_json: bool) -> None:
    """On stderr for people; for programs one JSON object in one line on stdout."""
    if as_json:
        print_json(error_json(error), line=True)
    else:
        show_errors(parts(error), console=make_console(stderr=True))


def parts(error: OrchestratorError) -> tuple[OrchestratorError, ...]:
    """The single errors that travel together in one."""
    return error.errors if isinstance(error, DefinitionErrors) else (error,)


def show_errors(errors: tuple[OrchestratorError, ...], *, console: Console) -> None:
    """All of them, up to a bound, each with what, where and fix: the same words as `str(error)`."""
    for position, error in enumerate(errors[:SHOWN_AT_ONCE]):
        if position:
            console.print()
        console.print(error_text(error), soft_wrap=True)
    if len(errors) > SHOWN_AT_ONCE:
        console.print(f"\n… and {len(errors) - SHOWN_AT_ONCE} more")


def error_text(error: OrchestratorError) -> Text:
    """`str(error)` with colours."""
    text = Text()
    text.append(f"{error.kind}: ", style="bad")
    text.append(error.what)
    if error.at:
        text.append("\n  at:  ", style="quiet").append(error.at, style="active")
    if error.fix:
        text.append("\n  fix: ", style="quiet").append(error.fix, style="good")
    return text


def error_json(error: OrchestratorError) -> dict[str, Any]:
    """`{"schema_version", "error": {…}, "errors": [{…}]}`: the error, and all that travelled in it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "error": _part(error),
        "errors": [_part(single) for single in parts(error)],
    }


def _part(error: OrchestratorError) -> dict[str, Any]:
    return {"kind": error.kind, "what": error.what, "at": error.at, "fix": error.fix}
