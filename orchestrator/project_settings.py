"""The projects of a workspace as they are configured: its own one, and `[tool.orchestrator.projects.NAME]` each.

A project is another checkout (`path`), an installed package (`package`) or a graph that another repository has
published (`graph`). What is wrong with one is kept with it: the others load all the same.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.errors import ConfigError, did_you_mean
from orchestrator.settings_file import SettingsFile, read_settings, strings

KINDS = ("path", "package", "graph")
SETTINGS = (*KINDS, "dbt", "python", "venv", "python_executable", "targets")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_BIN = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """One project of a workspace. All paths are absolute."""

    name: str
    root: Path
    """Its repository: what its packages are imported from."""
    at: str | None = None
    """Where it is configured: `file:line`."""
    own: bool = False
    """True for the project that the workspace itself is: its modules keep their plain names."""
    dbt_dir: Path | None = None
    python_packages: tuple[str, ...] = ()
    """Dotted names of packages or modules with definitions, importable from `root`."""
    package: str | None = None
    """An installed package that it is; where that lies is looked up when it is loaded."""
    dbt_in_package: str | None = None
    graph: str | None = None
    """The path or URL of a published graph that it is."""
    interpreter: Path | None = None
    """The Python that its code runs in; None: this one."""
    targets: Mapping[str, str] = field(default_factory=dict)
    """{environment: dbt target} where its targets are called otherwise."""
    errors: tuple[ConfigError, ...] = ()
    """What is wrong with its settings; nothing of it is loaded then."""


def read_projects(file: SettingsFile, *, taken: str) -> tuple[ProjectSettings, ...]:
    """The projects besides the workspace's own one, which is called `taken`. Raises ConfigError."""
    tables = file.values.get("projects", {})
    if not isinstance(tables, Mapping):
        raise ConfigError(
            f"'projects' must be a table, not {tables!r}",
            at=file.at("projects"),
            fix=f'write {file.title("projects", "other")} and below it path = "../other"',
        )
    return tuple(_Reader(file, str(name), table).project(taken) for name, table in tables.items())


@dataclass(slots=True)
class _Reader:
    """Reads the table of one project, and keeps what is wrong with it."""

    file: SettingsFile
    name: str
    table: Any
    errors: list[ConfigError] = field(default_factory=list)

    def project(self, taken: str) -> ProjectSettings:
        project = ProjectSettings(self.name, self.file.root, at=self.file.at("projects", self.name))
        if not isinstance(self.table, Mapping):
            self.wrong(f"project '{self.name}' must be a table, not {self.table!r}", fix=self.example())
            return replace(project, errors=tuple(self.errors))
        self.check_names(taken)
        kind = self.kind()
        if kind == "path":
            project = self.checkout(project)
        elif kind == "package":
            project = self.installed(project)
        elif kind == "graph":
            project = self.published(project)
        project = replace(project, interpreter=self.interpreter(), targets=self.targets())
        return replace(project, errors=tuple(self.errors))

    def wrong(self, what: str, *, fix: str, setting: str | None = None) -> None:
        names = (self.name, setting) if setting else (self.name,)
        self.errors.append(ConfigError(what, at=self.file.at("projects", *names), fix=fix))

    def example(self) -> str:
        return f'write {self.file.title("projects", self.name)} and below it path = "../{self.name}"'

    def check_names(self, taken: str) -> None:
        if not _NAME.fullmatch(self.name):
            better = re.sub("[^A-Za-z0-9_]", "_", self.name).lstrip("_0123456789") or "other"
            self.wrong(
                f"'{self.name}' cannot name a project: Python code refers to it by its name",
                fix=f"rename it, for example to '{better}'",
            )
        if self.name == taken:
            self.wrong(
                f"project '{self.name}' is called as the workspace itself",
                fix="rename the project, or the workspace by 'name'",
            )
        for setting in self.table:
            if setting not in SETTINGS:
                self.wrong(
                    f"unknown setting '{setting}' of project '{self.name}'",
                    fix=did_you_mean(setting, SETTINGS) or f"known settings: {', '.join(SETTINGS)}",
                    setting=setting,
                )

    def kind(self) -> str | None:
        given = [kind for kind in KINDS if kind in self.table]
        if len(given) == 1 and isinstance(self.table[given[0]], str) and self.table[given[0]]:
            return given[0]
        if len(given) == 1:
            self.wrong(
                f"'{given[0]}' of project '{self.name}' must be a string, not {self.table[given[0]]!r}",
                fix=f'write {given[0]} = "…"',
                setting=given[0],
            )
        else:
            said = f"has {' and '.join(given)}" if given else "says nowhere where it is"
            self.wrong(f"project '{self.name}' {said}", fix=f"give it one of {', '.join(KINDS)}")
        return None

    # What each kind of project is

    def checkout(self, project: ProjectSettings) -> ProjectSettings:
        """A directory: what it holds is what its own configuration says, or what is said here."""
        directory = Path(os.path.normpath(self.file.root / Path(self.table["path"]).expanduser()))
        if not directory.is_dir():
            self.wrong(
                f"project '{self.name}' is not there: {directory} is no directory",
                fix="correct 'path', or check the repository out there",
                setting="path",
            )
            return project
        own: SettingsFile | None = None
        try:
            own = read_settings(directory)
        except ConfigError as exc:
            self.errors.append(exc)
            return project
        given = {**_own_settings(own), **{name: self.table[name] for name in ("dbt", "python") if name in self.table}}
        dbt = self.strings("dbt", given)
        if "dbt" not in given and (directory / "dbt_project.yml").is_file():
            dbt = (".",)
        if len(dbt) > 1:
            self.wrong(f"'dbt' of project '{self.name}' names {len(dbt)} dbt projects", fix="give each its own table")
        python = self.strings("python", given)
        if not dbt and not python and not self.errors:
            self.wrong(
                f"nothing to load in project '{self.name}': {directory} has neither settings nor a dbt_project.yml",
                fix='say what it has: dbt = "dbt_project", python = "package"',
                setting="path",
            )
        dbt_dir = Path(os.path.normpath(directory / dbt[0])) if dbt else None
        if dbt_dir is not None and not (dbt_dir / "dbt_project.yml").is_file():
            self.wrong(
                f"there is no dbt project in {dbt_dir}",
                fix="correct 'dbt', or create the project",
                setting="dbt" if "dbt" in self.table else "path",
            )
        return replace(project, root=directory, dbt_dir=dbt_dir, python_packages=python)

    def installed(self, project: ProjectSettings) -> ProjectSettings:
        dbt = self.strings("dbt", self.table)
        return replace(
            project,
            package=self.table["package"],
            dbt_in_package=dbt[0] if dbt else None,
            python_packages=self.strings("python", self.table),
        )

    def published(self, project: ProjectSettings) -> ProjectSettings:
        """A document that is only read: nothing of it runs here."""
        for setting in ("dbt", "python", "venv", "python_executable", "targets"):
            if setting in self.table:
                self.wrong(
                    f"project '{self.name}' is a published graph, which has no '{setting}': nothing of it runs here",
                    fix=f"remove '{setting}'",
                    setting=setting,
                )
        graph = self.table["graph"]
        local = "://" not in graph
        return replace(project, graph=os.path.normpath(self.file.root / Path(graph).expanduser()) if local else graph)

    # Settings that several kinds have

    def strings(self, setting: str, given: Mapping[str, Any]) -> tuple[str, ...]:
        try:
            return strings(given.get(setting, ()), setting, at=self.file.at("projects", self.name, setting))
        except ConfigError as exc:
            self.errors.append(exc)
            return ()

    def interpreter(self) -> Path | None:
        """The Python of `venv` or `python_executable`."""
        given = [name for name in ("venv", "python_executable") if name in self.table]
        if not given or "graph" in self.table:
            return None
        if len(given) > 1:
            self.wrong(f"project '{self.name}' has venv and python_executable", fix="give one of them")
            return None
        (setting,) = given
        named = self.table[setting]
        if not isinstance(named, str):
            self.wrong(
                f"'{setting}' must be a path, not {named!r}", fix=f'write {setting} = "../other/.venv"', setting=setting
            )
            return None
        # Not resolved: a venv's Python is a link, and is the venv's only by the name that it is called by.
        place = Path(os.path.normpath(self.file.root / Path(named).expanduser()))
        python = place.joinpath(*_BIN) if setting == "venv" else place
        if not python.is_file():
            self.wrong(
                f"the virtual environment of project '{self.name}' is not there: {python} is no file"
                if setting == "venv"
                else f"the Python of project '{self.name}' is not there: {python} is no file",
                fix=f"make it: python3 -m venv {place} && {python} -m pip install dbt-orchestrator"
                if setting == "venv"
                else "correct 'python_executable'",
                setting=setting,
            )
        return python

    def targets(self) -> Mapping[str, str]:
        found = self.table.get("targets", {})
        if isinstance(found, Mapping) and all(isinstance(target, str) for target in found.values()):
            return {str(name): str(target) for name, target in found.items()}
        self.wrong(
            f"'targets' must map environments to dbt targets, not {found!r}",
            fix='write targets = {prod = "live"}',
            setting="targets",
        )
        return {}


def _own_settings(own: SettingsFile | None) -> dict[str, Any]:
    return {name: own.values[name] for name in ("dbt", "python") if name in own.values} if own is not None else {}


__all__ = ["ProjectSettings", "read_projects"]
