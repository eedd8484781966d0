"""What a workspace is made of: `[tool.orchestrator]` in pyproject.toml, or `orchestrator.toml`, or nothing at all.

With no configuration a directory that holds a `dbt_project.yml` is a workspace with that one project.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.errors import ConfigError, did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

STATE_DIR = ".orchestrator"
KNOWN_SETTINGS = ("name", "dbt", "python", "records", "prefect", "lock_timeout_s", "production", "strict", "validate")


@dataclass(frozen=True, slots=True)
class PassedFlags:
    """dbt's own flags as they are handed on to it, in its own spelling."""

    parse: tuple[str, ...] = ()
    """Decide what parsing says: to each set of them belongs a cache of its own."""
    call: tuple[str, ...] = ()
    """For every call of dbt; nothing that comes out depends on them."""
    build: tuple[str, ...] = ()
    """For building only."""


NOTHING_PASSED = PassedFlags()


@dataclass(frozen=True, slots=True)
class DbtFlags:
    """dbt's own choices as given on the command line; None means dbt's default."""

    project_dir: Path | None = None
    profiles_dir: Path | None = None
    profile: str | None = None
    target: str | None = None
    vars: Mapping[str, Any] = field(default_factory=dict)
    passed: PassedFlags = NOTHING_PASSED

    @property
    def full_parse(self) -> bool:
        """True when caches of parsing are not wanted."""
        return "--no-partial-parse" in self.passed.call


@dataclass(frozen=True, slots=True)
class Config:
    """A workspace's settings, checked. All paths are absolute."""

    root: Path
    name: str
    file: Path | None = None
    """Where the settings stand; None when there are none."""
    dbt_dirs: tuple[Path, ...] = ()
    python_packages: tuple[str, ...] = ()
    """Dotted names of packages or modules with definitions, importable from `root`."""
    records_url: str = ""
    prefect_api_url: str | None = None
    lock_timeout_s: float = 60.0
    production: tuple[str, ...] = ("prod", "production")
    """Names of the environments that count as production."""
    strict: bool = False
    """True when a Python step fails that uses what its code did not show."""
    validate: Mapping[str, Any] = field(default_factory=dict)
    """[tool.orchestrator.validate], which validation itself checks."""

    @property
    def state_dir(self) -> Path:
        """Where everything of ours lives: records, parse caches, logs."""
        return self.root / STATE_DIR


def load_config(start: Path | None = None, *, project_dir: Path | None = None) -> Config:
    """The configuration that governs `start` (default: the current directory), searched upwards.

    The first directory with orchestrator.toml, a pyproject.toml with [tool.orchestrator], or a dbt_project.yml is the
    root; a configuration further up wins over a bare dbt project if it names that project. Raises ConfigError.
    """
    origin = (project_dir or start or _dbt_project_dir() or Path.cwd()).resolve()
    if not origin.is_dir():
        raise ConfigError(f"there is no directory {origin}", fix="check --project-dir or DBT_PROJECT_DIR")
    bare: Path | None = None
    for directory in (origin, *origin.parents):
        if (found := _read_settings(directory)) is not None:
            file, settings = found
            config = _checked(directory, file, settings)
            if bare is None or bare in config.dbt_dirs:
                return config
        if bare is None and (directory / "dbt_project.yml").is_file():
            bare = directory
    if bare is None:
        raise ConfigError(
            f"neither a dbt project nor an Orchestrator configuration in {origin} or above",
            fix="go to a directory with a dbt_project.yml, name it with --project-dir, or add [tool.orchestrator] to "
            "pyproject.toml",
        )
    return _with_environment(Config(root=bare, name=bare.name, dbt_dirs=(bare,)))


def _dbt_project_dir() -> Path | None:
    named = os.environ.get("DBT_ENGINE_PROJECT_DIR") or os.environ.get("DBT_PROJECT_DIR")
    return Path(named) if named else None


def _read_settings(directory: Path) -> tuple[Path, dict[str, Any]] | None:
    file = directory / "orchestrator.toml"
    if file.is_file():
        return file, _toml(file)
    file = directory / "pyproject.toml"
    if file.is_file():
        settings = _toml(file).get("tool", {}).get("orchestrator")
        if settings is not None:
            return file, settings
    return None


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{file.name} is not valid TOML: {exc}", at=str(file), fix="correct the file") from exc


def _checked(root: Path, file: Path, settings: Mapping[str, Any]) -> Config:
    for name in settings:
        if name not in KNOWN_SETTINGS:
            raise ConfigError(
                f"unknown setting '{name}' in [tool.orchestrator]",
                at=str(file),
                fix=did_you_mean(name, KNOWN_SETTINGS) or f"known settings: {', '.join(KNOWN_SETTINGS)}",
            )
    dirs = tuple((root / name).resolve() for name in _names(settings.get("dbt", ()), "dbt", file))
    if len(dirs) > 1:
        raise ConfigError(
            f"'dbt' names {len(dirs)} projects; a workspace has one so far",
            at=str(file),
            fix="name one project here, and give each other one a workspace of its own",
        )
    for directory in dirs:
        if not (directory / "dbt_project.yml").is_file():
            raise ConfigError(
                f"there is no dbt project in {directory}", at=str(file), fix="correct 'dbt', or create the project"
            )
    prefect = settings.get("prefect", {})
    validate = settings.get("validate", {})
    if not isinstance(validate, Mapping):
        raise ConfigError(
            f"'validate' must be a table, not {validate!r}",
            at=str(file),
            fix='write [tool.orchestrator.validate] and below it rules = {unused-source = "off"}',
        )
    if not isinstance(settings.get("strict", False), bool):
        raise ConfigError(
            f"'strict' must be true or false, not {settings['strict']!r}", at=str(file), fix="write strict = true"
        )
    return _with_environment(
        Config(
            root=root,
            name=str(settings.get("name", root.name)),
            file=file,
            dbt_dirs=dirs,
            python_packages=_names(settings.get("python", ()), "python", file),
            records_url=str(settings.get("records", "")),
            prefect_api_url=prefect.get("api_url") if isinstance(prefect, Mapping) else None,
            lock_timeout_s=float(settings.get("lock_timeout_s", 60)),
            production=_names(settings.get("production", ("prod", "production")), "production", file),
            strict=settings.get("strict", False),
            validate=dict(validate),
        )
    )


def _names(value: Any, setting: str, file: Path) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ConfigError(
        f"'{setting}' must be a string or a list of strings, not {value!r}",
        at=str(file),
        fix=f'write {setting} = "name" or {setting} = ["one", "two"]',
    )


def _with_environment(config: Config) -> Config:
    """Environment variables win over the file: ORCHESTRATOR_RECORDS, ORCHESTRATOR_LOCK_TIMEOUT_S."""
    from dataclasses import replace

    default = f"sqlite:///{config.state_dir / 'records.db'}"
    timeout = os.environ.get("ORCHESTRATOR_LOCK_TIMEOUT_S")
    try:
        lock_timeout_s = float(timeout) if timeout else config.lock_timeout_s
    except ValueError:
        raise ConfigError(
            f"ORCHESTRATOR_LOCK_TIMEOUT_S is '{timeout}', not a number", fix="give seconds, for example 60"
        ) from None
    return replace(
        config,
        records_url=os.environ.get("ORCHESTRATOR_RECORDS") or config.records_url or default,
        lock_timeout_s=lock_timeout_s,
    )
