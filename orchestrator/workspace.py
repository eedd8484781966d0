"""A workspace, opened once: configuration, definitions, graph, records. No Prefect; no dbt while nothing changed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.config import Config, DbtFlags, load_config
from orchestrator.definitions.assets import PythonAction, PythonAsset, PythonCheck
from orchestrator.definitions.facts import Facts
from orchestrator.definitions.keys import AssetKey, Relation
from orchestrator.errors import ConfigError, DefinitionErrors, OrchestratorError, SelectionError
from orchestrator.graph.model import Asset, AssetGraph
from orchestrator.graph.references import index_references
from orchestrator.graph.selection import select
from orchestrator.loaders.access import access_errors
from orchestrator.loaders.dbt_project import DbtProject
from orchestrator.loaders.dbt_stub import refresh_stubs
from orchestrator.loaders.merge import MergeResult, merge
from orchestrator.loaders.module_resources import FoundResource
from orchestrator.loaders.projects import Project, definitions_of, load_projects
from orchestrator.loaders.published import published_facts
from orchestrator.loaders.python_modules import DirectConnection
from orchestrator.plan.check_choice import indirect_selection
from orchestrator.plan.run_plan import RunPlan, build_run_plan
from orchestrator.plan.states import AssetState, SameCode, build_states, newest_results
from orchestrator.plan.windows import project as project_window
from orchestrator.resources.own_database import OwnDatabase, in_its_own

if TYPE_CHECKING:
    from orchestrator.dbt_engine.invocation import DbtInvocation
    from orchestrator.graph.columns import ColumnGraph
    from orchestrator.loaders.columns import Observed
    from orchestrator.records import Records
    from orchestrator.resources.database import Database
    from orchestrator.sql.schema import Columns

DEFAULT_ENVIRONMENT = "default"
Definition = PythonAsset[..., Any] | PythonAction[..., Any] | PythonCheck[..., Any]


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")


@dataclass
class Workspace:
    """Everything that is known about the projects of one configuration, in one environment."""

    config: Config
    environment: str
    graph: AssetGraph
    ids: Mapping[str, AssetKey]
    """{draft or reference id: asset}"""
    errors: tuple[OrchestratorError, ...]
    warnings: tuple[str, ...]
    projects: tuple[Project, ...] = ()
    """Its own project first, if it is one; broken ones too."""
    homes: Mapping[AssetKey, frozenset[str]] = field(default_factory=dict)
    """{asset: the projects that it hangs on: those that define or declare it, and broken ones that it reads}"""
    definitions: Mapping[str, Definition] = field(default_factory=dict)
    """{writer or check id: Python definition}"""
    resources: tuple[FoundResource, ...] = ()
    """The resources of the Python projects, by name."""
    direct: tuple[DirectConnection, ...] = ()
    """Where Python code opens databases past every resource."""
    say: Callable[[str], None] = _to_stderr
    """Where lines for people go, such as that a lock is waited for."""

    @property
    def root(self) -> Path:
        """The directory that everything is relative to."""
        return self.config.root

    @property
    def name(self) -> str:
        """The workspace's name, for people."""
        return self.config.name

    @property
    def state_dir(self) -> Path:
        """Where everything of ours lives."""
        return self.config.state_dir

    @cached_property
    def project(self) -> DbtProject | None:
        """The first dbt project: whose profile, flags and default selector count where there are several."""
        return next(iter(self.dbt_projects), None)

    @cached_property
    def dbt_projects(self) -> tuple[DbtProject, ...]:
        """All dbt projects."""
        return tuple(project.dbt for project in self.projects if project.dbt is not None)

    @cached_property
    def _project_of(self) -> Mapping[str, Project]:
        found = {id_: project for project in self.projects for id_ in project.python.definitions}
        for project in self.projects:
            fragment = project.dbt.fragment if project.dbt is not None else None
            for item in fragment.assets if fragment is not None else ():
                found[item.id] = project
            for check in fragment.checks if fragment is not None else ():
                found[check.check.id] = project
        return found

    def project_of(self, id_: str) -> Project | None:
        """The project that has a writer or check, by its id."""
        return self._project_of.get(id_)

    def dbt_project_of(self, unique_id: str) -> DbtProject:
        """The dbt project that has a node. Raises ConfigError for what no dbt project has."""
        project = self.project_of(unique_id)
        if project is None or project.dbt is None:
            raise ConfigError(f"no dbt project here has '{unique_id}'", fix="add it to [tool.orchestrator]")
        return project.dbt

    @cached_property
    def records(self) -> Records:
        """The store of what happened, opened for writing when first used."""
        from orchestrator.records import open_records

        return open_records(self.config.records_url)

    @cached_property
    def history(self) -> Records:
        """The same store for reading only: asking makes no file."""
        from orchestrator.records import open_records

        return self.__dict__.get("records") or open_records(self.config.records_url, create=False)

    def facts(self) -> Facts:
        """What is recorded about this environment. A run that is found dead here is recorded as lost first."""
        facts = self._read_facts()
        if any(fact.status == "running" for fact in facts.writers.values()) and self.reap():
            return self._read_facts()
        return facts

    def reap(self) -> list[str]:
        """Record runs whose process is dead as lost, what they were writing as unknown; their ids."""
        return self.records.reap(self.environment)

    def _read_facts(self) -> Facts:
        facts = self._recorded_facts()
        published = [project.published for project in self.projects if project.published is not None]
        known = {key: fact for item in published for key, fact in published_facts(item, self.ids).items()}
        return replace(facts, writers={**known, **facts.writers}) if known else facts

    def _recorded_facts(self) -> Facts:
        opened = self.__dict__.get("history") or self.__dict__.get("records")
        if opened is None:
            from orchestrator.records.quick import read_facts

            if (facts := read_facts(self.config.records_url, self.environment)) is not None:
                return facts
        return self.history.facts(self.environment)

    def states(self) -> dict[AssetKey, AssetState]:
        """The state of every asset."""
        return self.states_of(self.facts())

    def states_of(self, facts: Facts) -> dict[AssetKey, AssetState]:
        """The state of every asset as `facts` have it."""
        return build_states(self.graph, facts, same_code=self._same_code(facts), as_of=self.as_of())

    def as_of(self) -> datetime:
        """The moment that says which partitions are there."""
        return datetime.now(timezone.utc)

    def _same_code(self, facts: Facts) -> SameCode:
        """Recorded code versions that do what today's do, though they are written in another way."""
        from orchestrator.loaders.same_code import Rewritten, same_code

        rewritten: dict[str, list[Rewritten]] = {}
        for key, asset in self.graph.assets.items():
            for writer in asset.writers:
                # Of partitions only the newest one's SQL is kept, and others may be of older code.
                fact = facts.writers.get((str(key), writer.id, None))
                if fact is None or fact.code_version is None or writer.code_version is None:
                    continue
                project = self.project_of(writer.id)
                if project is not None and writer.code_version != fact.code_version:
                    item = Rewritten(writer.id, fact.key, fact.code_version, writer.code_version)
                    rewritten.setdefault(project.name, []).append(item)
        found: SameCode = frozenset()
        for project in self.projects:
            if project.name in rewritten and project.dbt is not None and project.dbt.invocation is not None:
                found |= same_code(
                    rewritten[project.name],
                    now=self._sql_now,
                    then=lambda key: self.history.compiled_code(self.environment, key),
                    same=partial(self._does_the_same, project.profile.adapter if project.profile else ""),
                    cache=project.dbt.invocation.target_path,
                )
        return found

    def _sql_now(self, writer: str) -> str | None:
        from orchestrator.loaders.compiled import load_compiled

        project = self.project_of(writer)
        if project is None or project.dbt is None or project.dbt.manifest is None:
            return None
        node = load_compiled(project.dbt, project.dbt.manifest, wanted=[writer]).get(writer)
        provable = node is not None and node.complete and not node.volatile and node.language == "sql"
        return node.full if node is not None and provable else None

    def _does_the_same(self, dialect: str, before: str, after: str) -> bool:
        """True if two queries are proved to give the same rows, whatever is in the tables they read."""
        from orchestrator.sql import classify

        found = classify(before, after, dialect=dialect, schema=self._table_columns)
        return found.kind in ("unchanged", "metadata")

    @cached_property
    def _table_columns(self) -> Mapping[str, list[str]]:
        """{relation: its columns} of the tables whose columns are all known."""
        from orchestrator.loaders.columns import relation_name

        known = ((self.graph[key], entry) for key, entry in self.columns.assets.items() if entry.complete)
        return {relation_name(asset): list(entry.names) for asset, entry in known}

    @cached_property
    def database(self) -> Database | None:
        """The first project's database as Python opens it; None where it cannot (DuckDB in memory)."""
        first = next((project for project in self.projects if project.dbt is not None), None)
        return first.database if first is not None else None

    def database_of(self, id_: str) -> Database | None:
        """The database that a writer or check works on: for a file one object, whoever asks."""
        project = self.project_of(id_)
        if project is None or project.dbt is None or project.dbt is self.project:
            return self.database
        return self._databases.get(project.name)

    @cached_property
    def _databases(self) -> Mapping[str, Database]:
        """{project: its database}; projects that share a file share the object."""
        found: dict[str, Database] = {}
        of_file: dict[Path, Database] = {}
        for project in self.projects:
            database = self.database if project.dbt is self.project else project.database
            if project.dbt is not None and database is not None:
                file = database.file
                found[project.name] = of_file.setdefault(file, database) if file is not None else database
        return found

    @property
    def databases(self) -> tuple[Database, ...]:
        """All databases of the environment, each once."""
        return tuple({id(database): database for database in self._databases.values()}.values())

    def database_for(self, resource: Any, *, id_: str) -> Database | None:
        """The database of a resource that a writer or check names: one of its own, or else its project's warehouse."""
        if not isinstance(resource, OwnDatabase):
            return self.database_of(id_)
        if (opened := self._own_databases.get(resource)) is None:
            opened = resource.open(self.root)
            same = [
                item for item in (self.database, *self.databases, *self._own_databases.values()) if item is not None
            ]
            opened = next((item for item in same if item.file is not None and item.file == opened.file), opened)
            opened = self._own_databases.setdefault(resource, opened)
        return opened

    @cached_property
    def _own_databases(self) -> dict[OwnDatabase, Database]:
        return {}

    def place_of(self, key: AssetKey) -> tuple[Database | None, Relation | None]:
        """Where an asset's rows are: the database, and the relation as that knows it."""
        asset = self.graph[key]
        for writer in asset.writers:
            resource = getattr(getattr(self.definitions.get(writer.id), "table", None), "resource", None)
            if isinstance(resource, OwnDatabase) and asset.relation is not None:
                return self.database_for(resource, id_=writer.id), in_its_own(asset.relation, resource)
        return (self.database_of(asset.writers[0].id) if asset.writers else self.database), asset.relation

    def own_databases_of(self, keys: Iterable[AssetKey]) -> tuple[Database, ...]:
        """The databases beside the warehouse that building these assets writes, reads and names, each once."""
        built = set(keys)
        named = {item.name: item.resource for item in self.resources}
        used: dict[int, Database] = {}

        def take(database: Database | None) -> None:
            if database is not None and any(database is own for own in self._own_databases.values()):
                used[id(database)] = database

        for key in built:
            for place in {key, *self.graph[key].reads} & self.graph.assets.keys():
                take(self.place_of(place)[0])
        checks = [check for check in self.graph.checks if check.reads & built]
        uses = [use for user in (self.graph[key] for key in built) for use in user.resources]
        for use in [*uses, *(use for check in checks for use in check.resources)]:
            if isinstance(resource := named.get(use.name), OwnDatabase):
                take(self.database_for(resource, id_=use.name))
        return tuple(used.values())

    @property
    def keep_samples(self) -> bool:
        """Row samples are data: they are stored for a local DuckDB only."""
        return self.database is not None and self.database.file is not None

    @property
    def profile_threads(self) -> int | None:
        """The profile's `threads`."""
        profile = self.project.profile if self.project is not None else None
        threads = profile.output.get("threads") if profile is not None else None
        return int(threads) if threads else None

    def dbt_flag(self, name: str) -> Any:
        """What `flags` in dbt_project.yml says; None if it says nothing."""
        return self.project.flags.get(name) if self.project is not None else None

    @cached_property
    def dbt_nodes(self) -> frozenset[str]:
        """unique_ids of all writers that dbt runs."""
        return frozenset(
            writer.id for asset in self.graph.assets.values() for writer in asset.writers if writer.engine == "dbt"
        )

    @property
    def dbt_invocation(self) -> DbtInvocation:
        """How dbt is called here. Raises ConfigError in a workspace without a usable dbt project."""
        if self.project is None or self.project.invocation is None:
            raise ConfigError("this workspace has no dbt project", fix="add 'dbt' to [tool.orchestrator]")
        return self.project.invocation

    def dbt_manifest(self) -> Any:
        """dbt's own manifest; the first call imports dbt, which is slow."""
        if self.project is None:
            raise ConfigError("this workspace has no dbt project", fix="add 'dbt' to [tool.orchestrator]")
        return self.project.dbt_manifest()

    @cached_property
    def columns(self) -> ColumnGraph:
        """Columns of all assets and where each comes from; what has changed since the last time is analysed first."""
        return self.column_graph()

    def column_graph(self, *, look: bool = True) -> ColumnGraph:
        """The same as the records are now. With `look=False` the warehouse is not opened for what they do not know."""
        from orchestrator.loaders.columns import load_columns

        return load_columns(self.graph, self.dbt_projects, root=self.root, observed=self._observed(look=look))

    @cached_property
    def observed(self) -> Observed:
        """Columns and SQL as they were seen in the warehouse and by runs."""
        return self._observed(look=True)

    def _observed(self, *, look: bool) -> Observed:
        from orchestrator.loaders.columns import Observed
        from orchestrator.loaders.seen_columns import RecordedSql, seen_in_warehouse

        recorded = {AssetKey.parse(key): columns for key, columns in self._recorded_columns().items()}
        published = self._published_columns()
        missing = [
            asset
            for key, asset in self.graph.assets.items()
            if key not in recorded and key not in published and asset.needs_looking
        ]
        seen: dict[AssetKey, Columns] = {}
        for project in self.projects if missing else ():
            if project.dbt is None or project.dbt.invocation is None or self._database_for(project) is None:
                continue
            database = self._database_for(project) if look else None
            found = seen_in_warehouse(missing, database, cache=project.dbt.invocation.target_path)
            seen = {**found, **seen}
        keys = {writer.id: str(key) for key, asset in self.graph.assets.items() for writer in asset.writers}
        compiled = RecordedSql(keys, lambda key: self.history.compiled_code(self.environment, key))
        return Observed(columns={**seen, **recorded, **published}, compiled=compiled)

    def _database_for(self, project: Project) -> Database | None:
        return self.database if project.dbt is self.project else project.database

    def _published_columns(self) -> dict[AssetKey, Columns]:
        """Columns of the assets whose published graph knows them all: the other repository's word is the newest."""
        return {
            self.ids[draft]: columns
            for project in self.projects
            if project.published is not None
            for draft, columns in project.published.columns.items()
            if draft in self.ids and self.graph[self.ids[draft]].external
        }

    def _recorded_columns(self) -> Mapping[str, tuple[tuple[str, str], ...]]:
        from orchestrator.records.quick import read_all_columns

        found = read_all_columns(self.config.records_url, self.environment)
        return self.history.all_columns(self.environment) if found is None else found

    @property
    def default_database(self) -> str:
        """The database that unqualified names in statements belong to, as relations have it; empty if not known."""
        profile = self.project.profile if self.project is not None else None
        return profile.database.lower() if profile is not None else ""

    def plan(
        self,
        words: Sequence[str] = (),
        *,
        exclude: Sequence[str] = (),
        stale: bool = False,
        full_refresh: bool = False,
        indirect: str | None = None,
        selector: str | None = None,
        partitions: str | None = None,
    ) -> RunPlan:
        """What a run of these selection words would do now: the command line, the app and the worker ask here.

        `indirect` is dbt's `--indirect-selection`, by default the project's flag; `selector` one of selectors.yml, by
        default the project's default one where nothing is selected. `partitions` are words for `plan.windows.project`.
        Raises DefinitionErrors, SelectionError, PlanError.
        """
        if not (words or selector):
            self.require_sound()
        facts = self.facts()
        states = self.states_of(facts)
        try:
            keys, checks, selection = self._selected(words, exclude, selector, states, facts)
        except SelectionError:
            self.require_sound()  # what is wrong with a project may be why its asset is not found
            raise
        self.require_sound(keys)
        return build_run_plan(
            self.graph,
            keys,
            states=states,
            environment=self.environment,
            selection=selection,
            stale=stale,
            full_refresh=full_refresh,
            everything=not words and checks is None,
            indirect=indirect_selection(indirect or self.dbt_flag("indirect_selection")),
            only_checks=checks,
            window=project_window(self.graph, keys, partitions, as_of=self.as_of()) if partitions else None,
        )

    def _selected(
        self,
        words: Sequence[str],
        exclude: Sequence[str],
        selector: str | None,
        states: Mapping[AssetKey, AssetState],
        facts: Facts,
    ) -> tuple[frozenset[AssetKey], frozenset[str] | None, str]:
        """The assets selected, the checks where a selector names them, and the selection for people."""
        default = self.project.default_selector if self.project is not None and not (words or exclude) else None
        if (name := selector or default) is not None:
            if words or exclude:
                raise SelectionError("a selector and a selection were given", fix="give one of them")
            if selector is None:
                self.say(f"the project's default selector '{name}' is taken; select '*' for everything")
            return self._by_selector(name, with_python=selector is None)
        keys = select(
            self.graph,
            list(words) or None,
            exclude=list(exclude) or None,
            states={key: state.state for key, state in states.items()},
            results=newest_results(facts),
        )
        without = f" --exclude {' '.join(exclude)}" if exclude else ""
        return keys, None, " ".join(words) + without

    def _by_selector(self, name: str, *, with_python: bool) -> tuple[frozenset[AssetKey], frozenset[str] | None, str]:
        """What dbt selects; of Python, which dbt does not know, everything or nothing."""
        if self.project is None:
            raise ConfigError("this workspace has no dbt project", fix="give a selection instead of a selector")
        ids = self.project.selected_by(name)

        def is_in(asset: Asset) -> bool:
            if asset.external:
                return bool(ids.intersection(asset.dbt_ids))
            return any(item.id in ids or (with_python and item.engine == "python") for item in asset.writers)

        keys = {key for key, asset in self.graph.assets.items() if is_in(asset)}
        checks = {item.id for item in self.graph.checks if item.id in ids or (with_python and item.kind == "python")}
        return frozenset(keys), frozenset(checks), f"selector {name}"

    def require_sound(self, keys: Iterable[AssetKey] | None = None) -> None:
        """Raise DefinitionErrors when anything is wrong with the definitions; of `keys`, with their projects."""
        errors = self.errors if keys is None else self.errors_of(keys)
        if errors:
            raise DefinitionErrors(errors)

    def errors_of(self, keys: Iterable[AssetKey]) -> tuple[OrchestratorError, ...]:
        """What is wrong with the projects that these assets hang on; everything if there are no assets.

        An asset that nobody here writes may be written by a project that could not be loaded.
        """
        keys = tuple(keys)
        if not self.errors or not keys:
            return self.errors
        touched = {home for key in keys for home in self.homes.get(key, ())}
        if any(self.graph[key].external for key in keys if key in self.graph):
            touched |= self.broken
        return tuple(error for error in self.errors if error.homes is None or error.homes & touched)

    @cached_property
    def broken(self) -> frozenset[str]:
        """The homes of projects that could not be loaded: of them nothing, or not all, is in the graph."""
        return frozenset(project.home for project in self.projects if any(item.partial for item in project.fragments))


def load_workspace(
    start: Path | None = None,
    *,
    flags: DbtFlags | None = None,
    environment: str | None = None,
    force_parse: bool = False,
) -> Workspace:
    """The workspace around `start` (default: the current directory), in `environment` (a dbt target).

    What is wrong with definitions is in `errors`, so that the rest can still be looked at. Raises ConfigError when
    there is no workspace, or its configuration cannot be read.
    """
    flags = flags or DbtFlags()
    config = load_config(start, project_dir=flags.project_dir)
    _make_state_dir(config.state_dir)
    projects, environment = load_projects(config, flags, environment=environment, force_parse=force_parse)
    fragments = [fragment for project in projects for fragment in project.fragments]
    merged = merge(fragments)
    refresh_stubs(config.root, merged.graph)
    found = (*(error for fragment in fragments for error in fragment.errors), *merged.errors)
    return Workspace(
        config=config,
        environment=environment or DEFAULT_ENVIRONMENT,
        graph=merged.graph,
        ids=draft_ids(merged),
        errors=(*found, *access_errors(merged.graph, own=config.name)),
        warnings=tuple(warning for fragment in fragments for warning in fragment.warnings),
        projects=projects,
        homes=merged.homes,
        definitions=definitions_of(projects),
        resources=tuple(item for project in projects for item in project.python.resources),
        direct=tuple(item for project in projects for item in project.python.direct),
    )


def _make_state_dir(directory: Path) -> None:
    """Our directory in the user's repository, kept out of it. Where nothing can be written, reading still works."""
    ignore = directory / ".gitignore"
    with contextlib.suppress(OSError):
        if not ignore.exists():
            directory.mkdir(parents=True, exist_ok=True)
            ignore.write_text("*\n", encoding="utf-8")


def draft_ids(merged: MergeResult) -> dict[str, AssetKey]:
    """Drafts, dbt nodes and the references that Python code makes to them, as far as they mean one asset."""
    dbt = {unique_id: key for key, asset in merged.graph.assets.items() for unique_id in asset.dbt_ids}
    references = {name: dbt[found[0]] for name, found in index_references(list(dbt)).items() if len(found) == 1}
    return {**references, **dbt, **merged.ids}
