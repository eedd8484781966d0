"""The options that every command has, and the decorator that adds them."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from orchestrator.cli.dbt_flags import as_typed, flag_parameters, passed_flags, refuse_environment
from orchestrator.config import NOTHING_PASSED, DbtFlags, PassedFlags
from orchestrator.errors import ConfigError

if TYPE_CHECKING:
    from orchestrator.workspace import Workspace

PANEL = "Workspace"

Selection = Annotated[
    list[str] | None,
    typer.Argument(metavar="SELECTION", help="Which assets: keys, dbt names, +x+, tag:…; default: all."),
]
Select = Annotated[
    list[str] | None,
    typer.Option("--select", "-s", "--models", "-m", metavar="SELECTION", help="The same as the positional selection."),
]
Selector = Annotated[
    str | None, typer.Option(metavar="NAME", help="A selector of dbt's selectors.yml, instead of a selection.")
]
Exclude = Annotated[list[str] | None, typer.Option("--exclude", metavar="SELECTION", help="Leave these out.")]


@dataclass(frozen=True, slots=True)
class WorkspaceOptions:
    """Where the workspace is, which environment, and whether JSON is wanted. The fields are the options."""

    target: Annotated[
        str | None, typer.Option("--target", "-t", metavar="NAME", help="dbt target (= environment).")
    ] = None
    profile: Annotated[str | None, typer.Option(metavar="NAME", help="dbt profile.")] = None
    profiles_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Where profiles.yml is.")] = None
    project_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="dbt project or workspace; default: searched upwards.")
    ] = None
    vars: Annotated[str | None, typer.Option(metavar="YAML", help="dbt variables, as dbt takes them.")] = None
    env: Annotated[str | None, typer.Option(metavar="NAME", help="Environment: a dbt target by its name.")] = None
    json: Annotated[bool, typer.Option("--json", help="JSON for programs: docs/reference/json.md.")] = False
    passed: PassedFlags = NOTHING_PASSED
    """dbt's other flags; no option of its own."""

    def load(self) -> Workspace:
        """The workspace that these options name."""
        from orchestrator.workspace import load_workspace

        return load_workspace(flags=self.flags(), environment=self.env)

    def flags(self) -> DbtFlags:
        """dbt's share of the options. Raises ConfigError."""
        return DbtFlags(
            project_dir=self.project_dir,
            profiles_dir=self.profiles_dir,
            profile=self.profile,
            target=self.target,
            vars=parse_vars(self.vars),
            passed=self.passed,
        )

    def as_typed(self) -> str:
        """The options as they would be typed again (without --json), with a leading space, or nothing."""
        parts: list[str] = []
        for item in fields(self):
            value = getattr(self, item.name)
            if value and item.name not in ("json", "passed"):
                text = str(value.absolute()) if isinstance(value, Path) else str(value)
                parts += [f"--{item.name.replace('_', '-')}", shlex.quote(text)]
        return "".join(f" {part}" for part in (*parts, *as_typed(self.passed)))


def build_command(fn: Callable[..., int | None]) -> Callable[..., int]:
    """A `workspace_command` that also takes the flags that dbt has for building."""
    return workspace_command(fn, builds=True)


def workspace_command(fn: Callable[..., int | None], *, builds: bool = False) -> Callable[..., int]:
    """`fn(…, options)` as a command with all workspace options and dbt's flags; its own come first in `--help`."""
    signature = inspect.signature(fn, eval_str=True)
    shared = _shared_parameters()
    own = [parameter for name, parameter in signature.parameters.items() if name != "options"]
    dbts = tuple(flag_parameters(builds=builds))

    def command(**values: Any) -> int:
        passed = passed_flags({parameter.name: values.pop(parameter.name) for parameter in dbts})
        if builds:
            refuse_environment()
        named = {parameter.name: values.pop(parameter.name) for parameter in shared}
        return fn(**values, options=WorkspaceOptions(**named, passed=passed)) or 0

    parameters = [*(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own), *shared, *dbts]
    command.__name__ = fn.__name__
    command.takes_dbt_flags = True  # type: ignore[attr-defined]
    command.__doc__ = fn.__doc__
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    setattr(command, "__signature__", inspect.Signature(parameters))  # noqa: B010 - typer reads it, mypy has no name for it
    return command


def _shared_parameters() -> list[inspect.Parameter]:
    hints = get_type_hints(WorkspaceOptions, include_extras=True)
    return [
        inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, default=item.default, annotation=hints[item.name])
        for item in fields(WorkspaceOptions)
        if item.name != "passed"
    ]


def parse_vars(text: str | None) -> Mapping[str, Any]:
    """`--vars` as a dict. Raises ConfigError.

    >>> parse_vars("{'days': 3}")
    {'days': 3}
    """
    if not text:
        return {}
    import yaml

    fix = "write it as dbt takes it, for example --vars '{\"days\": 3}'"
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ConfigError(f"--vars is not valid YAML: {text}", fix=fix) from exc
    if not isinstance(value, dict):
        raise ConfigError(f"--vars must be a mapping of names to values, not {text}", fix=fix)
    return value


def selection_words(positional: list[str] | None, select: list[str] | None) -> list[str]:
    """One selection from what was given both ways; several words mean or.

    >>> selection_words(["raw.flights"], ["tag:daily", "+x"])
    ['raw.flights', 'tag:daily', '+x']
    """
    return [*(positional or ()), *(select or ())]
