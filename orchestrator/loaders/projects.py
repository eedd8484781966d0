"""All projects of a workspace: each loaded by itself, so that a broken one leaves the others as they are."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestrator.config import Config, DbtFlags
from orchestrator.dbt_engine.adapter_database import open_database
from orchestrator.definitions.assets import Table
from orchestrator.definitions.keys import Relation
from orchestrator.errors import ConfigError, DbtProjectError, OrchestratorError
from orchestrator.graph.references import index_references
from orchestrator.loaders.dbt_project import DbtChoices, DbtProject, load_dbt_project
from orchestrator.loaders.fragments import DraftAsset, Fragment
from orchestrator.loaders.other_python import OtherPython, load_other_python
from orchestrator.loaders.published import Published, load_published
from orchestrator.loaders.python_modules import PythonProject, load_python_project
from orchestrator.project_settings import ProjectSettings
from orchestrator.resources.database import Database
from orchestrator.resources.dbt_profile import Profile, read_project_file
from orchestrator.resources.own_database import OwnDatabase

GRAPHS_DIR = "graphs"


@dataclass(kw_only=True)
class Project:
    """One loaded project. What is wrong with it is in the errors of its fragments."""

    settings: ProjectSettings
    dbt: DbtProject | None = None
    python: PythonProject = field(default_factory=lambda: PythonProject(Fragment(), {}))
    published: Published | None = None
    errors: tuple[OrchestratorError, ...] = ()
    """Those of its settings."""
    borrowed: Profile | None = None
    """Of the first project that has one, where this one has no dbt project of its own."""

    @property
    def name(self) -> str:
        """What the workspace calls it."""
        return self.settings.name

    @property
    def home(self) -> str:
        """Its name, empty for the workspace's own."""
        return "" if self.settings.own else self.name

    @property
    def profile(self) -> Profile | None:
        """The dbt target that it is loaded for; without a dbt project of its own, that of the first one."""
        return self.dbt.profile if self.dbt is not None else self.borrowed

    @cached_property
    def fragments(self) -> tuple[Fragment, ...]:
        """What its loaders found, each with the project's name."""
        found = [Fragment(errors=self.errors, incomplete=bool(self.errors))]
        if self.dbt is not None:
            found.append(self.dbt.fragment)
            found.append(_scoped(self.python.fragment, self.dbt.fragment))
        else:
            found.append(self.python.fragment)
        if self.published is not None:
            found.append(self.published.fragment)
        for fragment in found:
            for error in fragment.errors:
                error.homes = frozenset((self.home,))
        return tuple(replace(fragment, project=self.name, own=self.settings.own) for fragment in found)

    @cached_property
    def references(self) -> Mapping[str, str]:
        """{reference to a dbt node as this project's code writes it: unique_id}, where it means one."""
        return _references(self.dbt.fragment) if self.dbt is not None else {}

    @cached_property
    def database(self) -> Database | None:
        """The target's database as Python opens it; None where it cannot."""
        return open_database(self.profile) if self.profile is not None else None

    def relate(self, table: Table) -> Relation:
        """Where a Python table lives in this environment."""
        return relate(table, self.profile)


def relate(table: Table, profile: Profile | None) -> Relation:
    """The relation of `schema.table` or `database.schema.table` in the profile's target."""
    database, schema, name = [None, *table.name.split(".")][-3:]
    if isinstance(table.resource, OwnDatabase):
        return Relation.normalised(table.resource.database_name, schema, name or "")
    return Relation.normalised(database or (profile.database if profile is not None else None), schema, name or "")


def load_projects(
    config: Config, flags: DbtFlags, *, environment: str | None, force_parse: bool = False
) -> tuple[tuple[Project, ...], str | None]:
    """The projects, and the environment: as asked for, else the default target of the first one that has a profile.

    Raises ConfigError when `--target` and `--env` differ.
    """
    if flags.target and environment and flags.target != environment:
        raise ConfigError(
            f"--target is '{flags.target}' and --env is '{environment}'", fix="an environment is a dbt target: give one"
        )
    environment = flags.target or environment
    loader = _Loader(config, flags, force_parse or flags.full_parse)
    projects: dict[int, Project] = {}
    # Those without dbt last: their warehouse is that of the first one that has a profile.
    order = sorted(enumerate(config.projects), key=lambda item: item[1].dbt_dir is None and item[1].package is None)
    for number, settings in order:
        project = projects[number] = loader.load(settings, environment)
        if environment is None and project.profile is not None:
            environment = _environment_of(settings, project.profile.target)
    return tuple(projects[number] for number in sorted(projects)), environment


def _environment_of(settings: ProjectSettings, target: str) -> str:
    return next((name for name, called in settings.targets.items() if called == target), target)


@dataclass(slots=True)
class _Loader:
    config: Config
    flags: DbtFlags
    force_parse: bool
    dbt_names: dict[str, Project] = field(default_factory=dict)
    """{name of a dbt project: where it was met first}"""
    profile: Profile | None = None
    """The first that there is."""
    ids: dict[str, str] = field(default_factory=dict)
    """{dbt unique_id: the project that has it}"""

    def load(self, settings: ProjectSettings, environment: str | None) -> Project:
        if settings.package is not None and not settings.errors:
            settings = locate_package(settings)
        if settings.errors:
            return Project(settings=settings, errors=tuple(map(self._shown, settings.errors)))
        if settings.graph is not None:
            cache = self.config.state_dir / GRAPHS_DIR
            at = self._at(settings)
            return Project(
                settings=settings, published=load_published(settings.name, settings.graph, cache=cache, at=at)
            )
        project = Project(settings=settings, borrowed=self.profile)
        self._load_dbt(project, environment)
        self.profile = self.profile or project.profile
        self._load_python(project)
        return project

    def _load_dbt(self, project: Project, environment: str | None) -> None:
        settings, flags = project.settings, self.flags
        if settings.dbt_dir is None or self._is_taken(project, settings.dbt_dir):
            return
        choices = DbtChoices(
            project_dir=settings.dbt_dir,
            profiles_dir=flags.profiles_dir if settings.own else None,
            profile=flags.profile if settings.own else None,
            target=settings.targets.get(environment, environment) if environment is not None else None,
            vars=flags.vars,
            passed=flags.passed,
        )
        project.dbt = load_dbt_project(
            choices,
            workspace_root=self.config.root,
            state_dir=self.config.state_dir,
            force_parse=self.force_parse,
        )
        project.dbt.fragment = self._without_others(project, project.dbt.fragment)

    def _is_taken(self, project: Project, directory: Path) -> bool:
        """True for a dbt project that is called as another one: their nodes would have the same ids."""
        try:
            name = str(read_project_file(directory).get("name") or directory.name)
        except DbtProjectError:
            return False  # loading it says what is wrong
        first = self.dbt_names.setdefault(name, project)
        if first is project:
            return False
        project.errors += (
            DbtProjectError(
                f"two dbt projects of this workspace are called '{name}': those of '{first.name}' and '{project.name}'",
                at=f"{first.settings.dbt_dir}/dbt_project.yml, {directory}/dbt_project.yml",
                fix="rename one of them; dbt knows its nodes by the project's name",
            ),
        )
        return True

    def _without_others(self, project: Project, fragment: Fragment) -> Fragment:
        """The fragment without nodes of packages that another project has installed, too."""
        ids = [item.id for item in fragment.assets]
        ids += [item.check.id for item in fragment.checks]
        ids += [item.ephemeral.unique_id for item in fragment.ephemerals]
        ids += [item.consumer.id for item in fragment.consumers]
        twice = {id_ for id_ in ids if id_ in self.ids}
        self.ids.update({id_: project.name for id_ in ids if id_ not in twice})
        if not twice:
            return fragment
        packages: dict[tuple[str, str], int] = {}
        for id_ in twice:
            packages[id_.split(".")[1], self.ids[id_]] = packages.get((id_.split(".")[1], self.ids[id_]), 0) + 1
        errors = [
            DbtProjectError(
                f"the dbt package '{package}' is part of '{other}' and of '{project.name}': {count} of its nodes would "
                "be there twice",
                at=f"{project.settings.dbt_dir}/dbt_project.yml",
                fix=f"switch its nodes off in one of them: `models: {{{package}: {{+enabled: false}}}}`, and likewise "
                "seeds, snapshots, sources and tests; or remove the package",
            )
            for (package, other), count in sorted(packages.items())
        ]
        return replace(
            fragment,
            assets=tuple(item for item in fragment.assets if item.id not in twice),
            checks=tuple(item for item in fragment.checks if item.check.id not in twice),
            ephemerals=tuple(item for item in fragment.ephemerals if item.ephemeral.unique_id not in twice),
            consumers=tuple(item for item in fragment.consumers if item.consumer.id not in twice),
            errors=(*fragment.errors, *errors),
        )

    def _load_python(self, project: Project) -> None:
        settings, profile = project.settings, project.profile
        if settings.interpreter is not None:
            python = OtherPython(
                settings.interpreter,
                settings.root,
                settings.name,
                settings.python_packages,
                shown_from=self.config.root,
                private=settings.package is None,
            )
            project.python = load_other_python(
                python,
                database=profile.database if profile is not None else "",
                kinds=(profile.adapter,) if profile is not None else (),
                at=self._at(settings),
            )
            return
        project.python = load_python_project(
            settings.python_packages,
            root=settings.root,
            project=settings.name,
            relate=project.relate,
            kinds=(profile.adapter,) if profile is not None else (),
            shown_from=self.config.root,
            private=not settings.own and settings.package is None,
        )

    def _at(self, settings: ProjectSettings) -> str | None:
        root = f"{self.config.root}/"
        return settings.at.removeprefix(root) if settings.at is not None else None

    def _shown(self, error: ConfigError) -> ConfigError:
        if error.at is not None:
            error.at = error.at.removeprefix(f"{self.config.root}/")
        return error


# An installed package


def locate_package(settings: ProjectSettings) -> ProjectSettings:
    """The settings with the places of an installed package, which may hold a dbt project, Python modules or both."""
    assert settings.package is not None
    module = _module_of(settings.package)
    directory = _directory_of(module) if module is not None else None
    if module is None or directory is None:
        return _wrong(
            settings,
            f"project '{settings.name}': there is no installed package '{settings.package}'",
            fix=f"pip install {settings.package}, or correct 'package'",
        )
    dbt_dirs = [directory / settings.dbt_in_package] if settings.dbt_in_package else _dbt_dirs(directory)
    if settings.dbt_in_package and not (dbt_dirs[0] / "dbt_project.yml").is_file():
        return _wrong(settings, f"there is no dbt project in {dbt_dirs[0]}", fix="correct 'dbt'")
    if len(dbt_dirs) > 1:
        names = ", ".join(path.name for path in dbt_dirs)
        return _wrong(
            settings,
            f"the package '{settings.package}' has {len(dbt_dirs)} dbt projects: {names}",
            fix=f'say which: dbt = "{dbt_dirs[0].name}"',
        )
    has_modules = any(directory.glob("*.py"))
    packages = settings.python_packages or ((module,) if has_modules else ())
    return replace(settings, root=directory.parent, dbt_dir=dbt_dirs[0] if dbt_dirs else None, python_packages=packages)


def _wrong(settings: ProjectSettings, what: str, *, fix: str) -> ProjectSettings:
    return replace(settings, errors=(*settings.errors, ConfigError(what, at=settings.at, fix=fix)))


def _module_of(package: str) -> str | None:
    """The importable name of a package that may be named as its distribution is."""
    plain = package.replace("-", "_")
    if _directory_of(plain) is not None:
        return plain
    try:
        top = importlib.metadata.distribution(package).read_text("top_level.txt") or ""
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((name for name in top.split() if _directory_of(name) is not None), None)


def _directory_of(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    locations = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(locations[0]) if locations else None


def _dbt_dirs(directory: Path) -> list[Path]:
    if (directory / "dbt_project.yml").is_file():
        return [directory]
    return sorted(file.parent for file in directory.glob("*/dbt_project.yml"))


# References to dbt nodes mean the project's own


def _references(fragment: Fragment) -> Mapping[str, str]:
    ids = [unique_id for draft in fragment.assets for unique_id in draft.asset.dbt_ids]
    ids += [item.ephemeral.unique_id for item in fragment.ephemerals]
    return {name: found[0] for name, found in index_references(ids).items() if len(found) == 1}


def _scoped(python: Fragment, dbt: Fragment) -> Fragment:
    """The drafts of Python code with `dbt.orders` read as the model of this very project."""
    known = _references(dbt)

    def scope(ids: Iterable[str]) -> frozenset[str]:
        return frozenset(known.get(id_, id_) for id_ in ids)

    def asset(draft: DraftAsset) -> DraftAsset:
        return replace(
            draft,
            reads=scope(draft.reads),
            same_as=_with_project(draft.same_as, known),
            places={known.get(id_, id_): place for id_, place in draft.places.items()},
            mappings={known.get(id_, id_): mapping for id_, mapping in draft.mappings.items()},
        )

    return replace(
        python,
        assets=tuple(asset(draft) for draft in python.assets),
        checks=tuple(
            replace(check, asset_id=known.get(check.asset_id, check.asset_id), reads=scope(check.reads))
            for check in python.checks
        ),
    )


def _with_project(reference: str | None, known: Mapping[str, str]) -> str | None:
    """`dbt:model:orders` as `dbt:model:shop.orders`, where this project has one."""
    if reference is None or reference not in known:
        return reference
    project = known[reference].split(".")[1]
    prefix, _, name = reference.rpartition(":")
    return reference if name.startswith(f"{project}.") else f"{prefix}:{project}.{name}"


def definitions_of(projects: Sequence[Project]) -> dict[str, Any]:
    """{writer or check id: Python definition} of all projects."""
    return {id_: definition for project in projects for id_, definition in project.python.definitions.items()}


__all__ = ["Project", "definitions_of", "load_projects", "locate_package", "relate"]
