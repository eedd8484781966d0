"""dbt's flags beyond those that name a workspace: which are passed on to dbt, which are not, and why.

A flag is never swallowed: it reaches dbt, or it is an error that says what to do instead. dbt's environment variables
(`DBT_WARN_ERROR` …) reach dbt by themselves, but for those that would make it build something else than was planned.
"""

from __future__ import annotations

import inspect
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from orchestrator.config import PassedFlags
from orchestrator.errors import ConfigError

Scope = Literal["parse", "call", "build"]
"""What a flag reaches: parsing (with a cache of its own) and building; both, with the same outcome; building alone."""
_SCOPES: tuple[Scope, ...] = ("parse", "call", "build")


@dataclass(frozen=True, slots=True)
class DbtFlag:
    """A flag that is passed on."""

    name: str
    scope: Scope
    value: str | None = None
    """What stands for the value in help; None for a switch."""
    off: bool = False
    """A switch that has a `--no-` form."""
    path: bool = False


@dataclass(frozen=True, slots=True)
class RefusedFlag:
    """A flag that makes no sense here."""

    name: str
    why: str
    fix: str
    value: bool = False
    off: bool = False
    env: bool = False
    """Its environment variable is refused as well: it would change what is built behind the plan's back."""


PASSED = (
    DbtFlag("warn-error", "parse"),
    DbtFlag("warn-error-options", "parse", "YAML"),
    DbtFlag("version-check", "parse", off=True),
    DbtFlag("static-parser", "parse", off=True),
    DbtFlag("use-experimental-parser", "parse", off=True),
    DbtFlag("partial-parse", "call", off=True),
    DbtFlag("partial-parse-file-diff", "call", off=True),
    DbtFlag("send-anonymous-usage-stats", "call", off=True),
    DbtFlag("macro-debugging", "call", off=True),
    DbtFlag("log-path", "call", "DIR", path=True),
    DbtFlag("log-level-file", "call", "LEVEL"),
    DbtFlag("log-format-file", "call", "FORMAT"),
    DbtFlag("log-file-max-bytes", "call", "N"),
    DbtFlag("log-cache-events", "call", off=True),
    DbtFlag("use-colors-file", "call", off=True),
    DbtFlag("record-timing-info", "call", "FILE", path=True),
    DbtFlag("populate-cache", "build", off=True),
    DbtFlag("use-fast-test-edges", "build", off=True),
    DbtFlag("defer", "build", off=True),
    DbtFlag("favor-state", "build", off=True),
    DbtFlag("state", "build", "DIR", path=True),
    DbtFlag("defer-state", "build", "DIR", path=True),
    DbtFlag("store-failures", "build"),
)
_PART = "it builds a part of a table, which would be recorded as the whole one"
_ASIDE = "do that with dbt itself, in a target that is not used here"
_TYPES = "a run takes assets, with their checks"
_KINDS = "select resource_type:seed, resource_type:snapshot …; --indirect-selection empty leaves checks out"
_QUERIES = "saved queries are not run here"
_ARTIFACTS = "what dbt writes is kept apart from your own target/, in a directory for each target"
_OUTPUT = "dbt's own output is not shown here"
_LOG_FILE = "let dbt write its log, --log-level-file debug --log-path DIR; `orchestrator logs` has what steps said"
REFUSED = (
    RefusedFlag("empty", "it builds tables without rows, which would be recorded as whole ones", _ASIDE, off=True,
                env=True),
    RefusedFlag("sample", _PART, _ASIDE, value=True, env=True),
    RefusedFlag("event-time-start", _PART, _ASIDE, value=True, env=True),
    RefusedFlag("event-time-end", _PART, _ASIDE, value=True, env=True),
    RefusedFlag("resource-type", _TYPES, _KINDS, value=True),
    RefusedFlag("resource-types", _TYPES, _KINDS, value=True, env=True),
    RefusedFlag("exclude-resource-type", _TYPES, _KINDS, value=True),
    RefusedFlag("exclude-resource-types", _TYPES, _KINDS, value=True, env=True),
    RefusedFlag("export-saved-queries", _QUERIES, "use `dbt build --export-saved-queries`", off=True),
    RefusedFlag("include-saved-query", _QUERIES, "use `dbt build --include-saved-query`", off=True),
    RefusedFlag("single-threaded", "dbt's nodes wait for Python steps in threads", "use --threads 1", off=True,
                env=True),
    RefusedFlag("write-json", _ARTIFACTS, "`orchestrator runs RUN --json` has the results of a run", off=True),
    RefusedFlag("upload-to-artifacts-ingest-api", _ARTIFACTS, "use `dbt build` for that", off=True),
    RefusedFlag("target-path", _ARTIFACTS, "leave it out: .orchestrator/dbt has them", value=True),
    RefusedFlag("partial-parse-file-path", _ARTIFACTS, "leave it out: .orchestrator/dbt has it", value=True),
    RefusedFlag("cache-selected-only", "dbt is always told to", "leave it out", off=True),
    RefusedFlag("log-level", _OUTPUT, _LOG_FILE, value=True),
    RefusedFlag("log-format", _OUTPUT, "--json is for programs", value=True),
    RefusedFlag("debug", _OUTPUT, _LOG_FILE, off=True),
    RefusedFlag("print", _OUTPUT, _LOG_FILE, off=True),
    RefusedFlag("quiet", _OUTPUT, "--json is for programs", off=True),
    RefusedFlag("show", _OUTPUT, "use `orchestrator preview KEY`"),
    RefusedFlag("show-all-deprecations", "each kind of warning is shown once, with a count", "`dbt parse` shows all"),
    RefusedFlag("use-colors", _OUTPUT, "set NO_COLOR=1", off=True),
    RefusedFlag("printer-width", _OUTPUT, "set COLUMNS", value=True),
)  # fmt: skip
HELP = (
    "dbt's flags work too where they make sense here, for example --warn-error, --no-partial-parse, --log-level-file; "
    "docs/reference/cli.md lists them."
)


def flag_parameters(*, builds: bool) -> Iterator[inspect.Parameter]:
    """A hidden option for each flag of a command; flags for building only where it builds."""
    for flag in PASSED:
        if builds or flag.scope != "build":
            yield _parameter(flag.name, value=flag.value is not None, off=flag.off)
    for refused in REFUSED:
        yield _parameter(refused.name, value=refused.value, off=refused.off)


def passed_flags(values: Mapping[str, Any]) -> PassedFlags:
    """The flags to hand on, from {parameter: what was typed}. Raises ConfigError for one that cannot be honoured."""
    _refuse(values)
    return PassedFlags(*(tuple(_of_scope(scope, values)) for scope in _SCOPES))


def refuse_environment() -> None:
    """Raise ConfigError for a dbt environment variable that would change what is built."""
    for flag in REFUSED:
        for name in dbt_variables(flag.name.upper().replace("-", "_")):
            if flag.env and os.environ.get(name, "").lower() not in ("", "0", "false", "f", "no", "off"):
                raise ConfigError(f"{name} is set: {flag.why}", fix=f"unset it; {flag.fix}")


def dbt_variables(name: str) -> list[str]:
    """The environment variables that dbt reads for a flag which is ours, too; the first that is set counts."""
    return [f"DBT_ENGINE_{name}", f"DBT_{name}"]


def as_typed(passed: PassedFlags) -> list[str]:
    """The flags as they are typed, for a shell."""
    return [shlex.quote(word) for words in (passed.parse, passed.call, passed.build) for word in words]


def parameter_name(flag: str) -> str:
    """
    >>> parameter_name("warn-error")
    'dbt_warn_error'
    """
    return "dbt_" + flag.replace("-", "_")


def _refuse(values: Mapping[str, Any]) -> None:
    for flag in REFUSED:
        given = values.get(parameter_name(flag.name))
        if given is not None:
            typed = f"--no-{flag.name}" if given is False else f"--{flag.name}"
            raise ConfigError(f"{typed} cannot be used: {flag.why}", fix=flag.fix)


def _of_scope(scope: Scope, values: Mapping[str, Any]) -> Iterator[str]:
    for flag in PASSED:
        if flag.scope == scope:
            yield from _as_arguments(flag, values.get(parameter_name(flag.name)))


def _as_arguments(flag: DbtFlag, given: Any) -> Iterable[str]:
    match given:
        case None:
            return ()
        case bool():
            return (f"--{flag.name}" if given else f"--no-{flag.name}",)
        case _:
            return (f"--{flag.name}", str(Path(given).absolute()) if flag.path else str(given))


def _parameter(name: str, *, value: bool, off: bool) -> inspect.Parameter:
    spelling = f"--{name}/--no-{name}" if off else f"--{name}"
    kind: Any = Annotated[(str if value else bool) | None, typer.Option(spelling, hidden=True)]
    return inspect.Parameter(parameter_name(name), inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


__all__ = [
    "HELP",
    "PASSED",
    "REFUSED",
    "as_typed",
    "dbt_variables",
    "flag_parameters",
    "passed_flags",
    "refuse_environment",
]
