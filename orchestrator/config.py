"""What a workspace is made of: `[tool.orchestrator]` in pyproject.toml, or `orchestrator.toml`, or nothing at all.

With no configuration a directory that holds a `dbt_project.yml` is a workspace with that one project. What is wrong
with the workspace's own settings is raised, all at once; what is wrong with one of its other projects is that
project's, so that the rest can still be looked at.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from orchestrator.errors import ConfigError, DefinitionErrors, did_you_mean
from orchestrator.project_settings import ProjectSettings, read_projects
from orchestrator.settings_file import SettingsFile, read_settings, strings

STATE_DIR = ".orchestrator"
KNOWN_SETTINGS = (
    "name",
    "dbt",
    "python",
    "projects",
    "publish",
    "records",
    "prefect",
    "lock_timeout_s",
    "production",
    "strict",
    "validate",
)
PUBLISH_SETTINGS = ("to", "after")


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
class PublishSettings:
    """[tool.orchestrator.publish]: where the graph is written for other repositories, and when."""

    to: str
    """A path, or a URL of http(s) or of fsspec."""
    after: Literal["never", "production"] = "never"
    """Of which runs: of none, or of each in a production environment."""
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """A workspace's settings, checked. All paths are absolute."""

    root: Path
    name: str
    file: Path | None = None
    """Where the settings stand; None when there are none."""
    projects: tuple[ProjectSettings, ...] = ()
    """The workspace's own project first, if it is one; then the others as they are configured."""
    publish: PublishSettings | None = None
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
    def python_packages(self) -> tuple[str, ...]:
        """The packages with definitions of the workspace's own project, importable from `root`."""
        return next((project.python_packages for project in self.projects if project.own), ())

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
        if (found := read_settings(directory)) is not None:
            config = _checked(directory, found)
            if bare is None or any(bare == project.dbt_dir for project in config.projects):
                return config
        if bare is None and (directory / "dbt_project.yml").is_file():
            bare = directory
    if bare is None:
        raise ConfigError(
            f"neither a dbt project nor an Orchestrator configuration in {origin} or above",
            fix="go to a directory with a dbt_project.yml, name it with --project-dir, or add [tool.orchestrator] to "
            "pyproject.toml",
        )
    own = ProjectSettings(bare.name, bare, own=True, dbt_dir=bare)
    return _with_environment(Config(root=bare, name=bare.name, projects=(own,)))


def _dbt_project_dir() -> Path | None:
    named = os.environ.get("DBT_ENGINE_PROJECT_DIR") or os.environ.get("DBT_PROJECT_DIR")
    return Path(named) if named else None


def _checked(root: Path, file: SettingsFile) -> Config:
    """The settings as a Config. Raises ConfigError, or DefinitionErrors with all that is wrong."""
    errors: list[ConfigError] = []
    settings, at = file.values, str(file.path)
    for name in settings:
        if name not in KNOWN_SETTINGS:
            errors.append(
                ConfigError(
                    f"unknown setting '{name}' in [tool.orchestrator]",
                    at=at,
                    fix=did_you_mean(name, KNOWN_SETTINGS) or f"known settings: {', '.join(KNOWN_SETTINGS)}",
                )
            )

    def names(setting: str, default: Any = ()) -> tuple[str, ...]:
        try:
            return strings(settings.get(setting, default), setting, at=at)
        except ConfigError as exc:
            errors.append(exc)
            return ()

    name = str(settings.get("name", root.name))
    beside = (".",) if (root / "dbt_project.yml").is_file() else ()
    own = _own_project(name, root, at, dbt=names("dbt", beside), python=names("python"), errors=errors)
    others: tuple[ProjectSettings, ...] = ()
    publish: PublishSettings | None = None
    try:
        others = read_projects(file, taken=name)
    except ConfigError as exc:
        errors.append(exc)
    try:
        publish = _publish(file)
    except ConfigError as exc:
        errors.append(exc)
    validate = settings.get("validate", {})
    if not isinstance(validate, Mapping):
        errors.append(
            ConfigError(
                f"'validate' must be a table, not {validate!r}",
                at=at,
                fix='write [tool.orchestrator.validate] and below it rules = {unused-source = "off"}',
            )
        )
    if not isinstance(settings.get("strict", False), bool):
        what = f"'strict' must be true or false, not {settings['strict']!r}"
        errors.append(ConfigError(what, at=at, fix="write strict = true"))
    production = names("production", ("prod", "production"))
    if errors:
        raise errors[0] if len(errors) == 1 else DefinitionErrors(errors)
    prefect = settings.get("prefect", {})
    return _with_environment(
        Config(
            root=root,
            name=name,
            file=file.path,
            projects=(*own, *others),
            publish=publish,
            records_url=str(settings.get("records", "")),
            prefect_api_url=prefect.get("api_url") if isinstance(prefect, Mapping) else None,
            lock_timeout_s=float(settings.get("lock_timeout_s", 60)),
            production=production,
            strict=settings.get("strict", False),
            validate=dict(validate),
        )
    )


def _own_project(
    name: str, root: Path, at: str, *, dbt: tuple[str, ...], python: tuple[str, ...], errors: list[ConfigError]
) -> tuple[ProjectSettings, ...]:
    """What the workspace holds itself; nothing where it only brings other projects together."""
    dirs = tuple((root / directory).resolve() for directory in dbt)
    if len(dirs) > 1:
        errors.append(
            ConfigError(
                f"'dbt' names {len(dirs)} projects",
                at=at,
                fix="name one here, and give each other one a table of its own: [tool.orchestrator.projects.NAME] with "
                'path = "…"',
            )
        )
    errors += [
        ConfigError(f"there is no dbt project in {directory}", at=at, fix="correct 'dbt', or create the project")
        for directory in dirs
        if not (directory / "dbt_project.yml").is_file()
    ]
    if not dirs and not python:
        return ()
    return (ProjectSettings(name, root, at=at, own=True, dbt_dir=dirs[0] if dirs else None, python_packages=python),)


def _publish(file: SettingsFile) -> PublishSettings | None:
    """Where and when the graph is published. Raises ConfigError."""
    table = file.values.get("publish")
    if table is None:
        return None
    title, at = file.title("publish"), file.at("publish")
    example = f'write {title} and below it to = "s3://bucket/graph.json" and after = "production"'
    if not isinstance(table, Mapping):
        raise ConfigError(f"'publish' must be a table, not {table!r}", at=at, fix=example)
    for name in table:
        if name not in PUBLISH_SETTINGS:
            raise ConfigError(
                f"unknown setting '{name}' in {title}",
                at=file.at("publish", name),
                fix=did_you_mean(name, PUBLISH_SETTINGS) or f"known settings: {', '.join(PUBLISH_SETTINGS)}",
            )
    to, after = table.get("to"), table.get("after", "never")
    if not isinstance(to, str) or not to:
        raise ConfigError(f"{title} does not say where to", at=at, fix=example)
    if after not in ("never", "production"):
        raise ConfigError(
            f"'after' in {title} is {after!r}",
            at=file.at("publish", "after"),
            fix='write after = "production", or leave it out: then only `orchestrator publish` publishes',
        )
    return PublishSettings(to if "://" in to else str(file.root / Path(to).expanduser()), after, at)


def _with_environment(config: Config) -> Config:
    """Environment variables win over the file: ORCHESTRATOR_RECORDS, ORCHESTRATOR_LOCK_TIMEOUT_S."""
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
