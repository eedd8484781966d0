"""A workspace, opened once: configuration, definitions, graph, records. No Prefect; no dbt while nothing changed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.config import Config, DbtFlags, load_config
from orchestrator.definitions.assets import PythonAction, PythonAsset, PythonCheck, Table
from orchestrator.definitions.facts import Facts
from orchestrator.definitions.keys import AssetKey, Relation
from orchestrator.errors import ConfigError, DefinitionErrors, OrchestratorError, SelectionError
from orchestrator.graph.model import Asset, AssetGraph
from orchestrator.graph.references import index_references
from orchestrator.graph.selection import select
from orchestrator.loaders.dbt_project import DbtChoices, DbtProject, load_dbt_project
from orchestrator.loaders.dbt_stub import refresh_stubs
from orchestrator.loaders.merge import MergeResult, merge
from orchestrator.loaders.module_resources import FoundResource
from orchestrator.loaders.python_modules import DirectConnection, PythonProject, load_python_project
from orchestrator.plan.check_choice import indirect_selection
from orchestrator.plan.run_plan import RunPlan, build_run_plan
from orchestrator.plan.states import AssetState, SameCode, build_states, newest_results
from orchestrator.resources.dbt_profile import Profile
from orchestrator.resources.profile_database import database_of

if TYPE_CHECKING:
    from orchestrator.dbt_engine.invocation import DbtInvocation
    from orchestrator.graph.columns import ColumnGraph
    from orchestrator.loaders.columns import Observed
    from orchestrator.records import Records
    from orchestrator.resources.database import Database

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
    project: DbtProject | None = None
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
        return build_states(self.graph, facts, same_code=self._same_code(facts))

    def _same_code(self, facts: Facts) -> SameCode:
        """Recorded code versions that do what today's do, though they are written in another way."""
        from orchestrator.loaders.same_code import Rewritten, same_code

        if self.project is None or self.project.invocation is None:
            return frozenset()
        rewritten = [
            Rewritten(writer.id, fact.key, fact.code_version, writer.code_version)
            for key, asset in self.graph.assets.items()
            for writer in asset.writers
            if (fact := facts.writers.get((str(key), writer.id, None))) is not None
            and fact.code_version is not None
            and writer.code_version is not None
            and writer.code_version != fact.code_version
        ]
        return same_code(
            rewritten,
            now=self._sql_now,
            then=lambda key: self.history.compiled_code(self.environment, key),
            same=self._does_the_same,
            cache=self.project.invocation.target_path,
        )

    def _sql_now(self, writer: str) -> str | None:
        from orchestrator.loaders.compiled import load_compiled

        if self.project is None or self.project.manifest is None:
            return None
        node = load_compiled(self.project, self.project.manifest, wanted=[writer]).get(writer)
        provable = node is not None and node.complete and not node.volatile and node.language == "sql"
        return node.full if node is not None and provable else None

    def _does_the_same(self, before: str, after: str) -> bool:
        """True if two queries are proved to give the same rows, whatever is in the tables they read."""
        from orchestrator.sql import classify

        profile = self.project.profile if self.project is not None else None
        return classify(before, after, dialect=profile.adapter if profile else "", schema=self._table_columns).kind in (
            "unchanged",
            "metadata",
        )

    @cached_property
    def _table_columns(self) -> Mapping[str, list[str]]:
        """{relation: its columns} of the tables whose columns are all known."""
        from orchestrator.loaders.columns import relation_name

        known = ((self.graph[key], entry) for key, entry in self.columns.assets.items() if entry.complete)
        return {relation_name(asset): list(entry.names) for asset, entry in known}

    @cached_property
    def database(self) -> Database | None:
        """The target's database as Python opens it; None where it cannot (DuckDB in memory, other adapters)."""
        profile = self.project.profile if self.project is not None else None
        return database_of(profile) if profile is not None else None

    @property
    def keep_samples(self) -> bool:
        """Row samples are data: they are stored for a local DuckDB only."""
        return self.database is not None and self.database.capabilities.local_file

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

        return load_columns(self.graph, self.project, root=self.root, observed=self._observed(look=look))

    @cached_property
    def observed(self) -> Observed:
        """Columns and SQL as they were seen in the warehouse and by runs."""
        return self._observed(look=True)

    def _observed(self, *, look: bool) -> Observed:
        from orchestrator.loaders.columns import Observed
        from orchestrator.loaders.seen_columns import RecordedSql, seen_in_warehouse

        recorded = {AssetKey.parse(key): columns for key, columns in self._recorded_columns().items()}
        missing = [asset for key, asset in self.graph.assets.items() if key not in recorded and asset.needs_looking]
        seen = {}
        if missing and self.database is not None and self.project is not None and self.project.invocation is not None:
            database = self.database if look else None
            seen = seen_in_warehouse(missing, database, cache=self.project.invocation.target_path)
        keys = {writer.id: str(key) for key, asset in self.graph.assets.items() for writer in asset.writers}
        compiled = RecordedSql(keys, lambda key: self.history.compiled_code(self.environment, key))
        return Observed(columns={**seen, **recorded}, compiled=compiled)

    def _recorded_columns(self) -> Mapping[str, tuple[tuple[str, str], ...]]:
        from orchestrator.records.quick import read_all_columns

        found = read_all_columns(self.config.records_url, self.environment)
        return self.history.all_columns(self.environment) if found is None else found

    @property
    def default_database(self) -> str:
        """The database that unqualified names in statements belong to, as relations have it; empty if not known."""
        profile = self.project.profile if self.project is not None else None
        return profile.database.lower() if profile is not None else ""

    def relate(self, table: Table) -> Relation:
        """Where a Python table lives in this environment."""
        return relate(table, self.project.profile if self.project is not None else None)

    def plan(
        self,
        words: Sequence[str] = (),
        *,
        exclude: Sequence[str] = (),
        stale: bool = False,
        full_refresh: bool = False,
        indirect: str | None = None,
        selector: str | None = None,
    ) -> RunPlan:
        """What a run of these selection words would do now: the command line, the app and the worker ask here.

        `indirect` is dbt's `--indirect-selection`, by default the project's flag; `selector` one of selectors.yml, by
        default the project's default one where nothing is selected. Raises DefinitionErrors, SelectionError.
        """
        self.require_sound()
        facts = self.facts()
        states = self.states_of(facts)
        keys, checks, selection = self._selected(words, exclude, selector, states, facts)
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

    def require_sound(self) -> None:
        """Raise DefinitionErrors when anything is wrong with the definitions."""
        if self.errors:
            raise DefinitionErrors(self.errors)


def relate(table: Table, profile: Profile | None) -> Relation:
    """The relation of `schema.table` or `database.schema.table` in the profile's target."""
    database, schema, name = [None, *table.name.split(".")][-3:]
    return Relation.normalised(database or (profile.database if profile is not None else None), schema, name or "")


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
    project = _load_dbt(config, flags, environment, force_parse)
    profile = project.profile if project is not None else None
    python = _load_python(config, profile)
    fragments = [*([project.fragment] if project is not None else []), python.fragment]
    merged = merge(fragments)
    refresh_stubs(config.root, merged.graph)
    return Workspace(
        config=config,
        environment=environment or (profile.target if profile is not None else DEFAULT_ENVIRONMENT),
        graph=merged.graph,
        ids=draft_ids(merged),
        errors=(*(error for fragment in fragments for error in fragment.errors), *merged.errors),
        warnings=tuple(warning for fragment in fragments for warning in fragment.warnings),
        project=project,
        definitions=python.definitions,
        resources=python.resources,
        direct=python.direct,
    )


def _make_state_dir(directory: Path) -> None:
    """Our directory in the user's repository, kept out of it. Where nothing can be written, reading still works."""
    ignore = directory / ".gitignore"
    with contextlib.suppress(OSError):
        if not ignore.exists():
            directory.mkdir(parents=True, exist_ok=True)
            ignore.write_text("*\n", encoding="utf-8")


def _load_dbt(config: Config, flags: DbtFlags, environment: str | None, force_parse: bool) -> DbtProject | None:
    if not config.dbt_dirs:
        return None
    if flags.target and environment and flags.target != environment:
        raise ConfigError(
            f"--target is '{flags.target}' and --env is '{environment}'", fix="an environment is a dbt target: give one"
        )
    choices = DbtChoices(
        project_dir=config.dbt_dirs[0],
        profiles_dir=flags.profiles_dir,
        profile=flags.profile,
        target=flags.target or environment,
        vars=flags.vars,
        passed=flags.passed,
    )
    force_parse = force_parse or flags.full_parse
    return load_dbt_project(choices, workspace_root=config.root, state_dir=config.state_dir, force_parse=force_parse)


def draft_ids(merged: MergeResult) -> dict[str, AssetKey]:
    """Drafts, dbt nodes and the references that Python code makes to them, as far as they mean one asset."""
    dbt = {unique_id: key for key, asset in merged.graph.assets.items() for unique_id in asset.dbt_ids}
    references = {name: dbt[found[0]] for name, found in index_references(list(dbt)).items() if len(found) == 1}
    return {**references, **dbt, **merged.ids}


def _load_python(config: Config, profile: Profile | None) -> PythonProject:
    return load_python_project(
        config.python_packages,
        root=config.root,
        project=config.name,
        relate=lambda table: relate(table, profile),
        kinds=(profile.adapter,) if profile is not None else (),
    )
