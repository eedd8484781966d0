"""Python packages with definitions → drafts. Modules are discovered; nothing is listed anywhere.

Every module below the configured packages is imported. One that does not import is an error of its own; the others
still load.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestrator.definitions.assets import (
    DbtReference,
    Definition,
    GraphReference,
    PythonAction,
    PythonAsset,
    PythonCheck,
    Table,
)
from orchestrator.definitions.keys import AssetKey, Location, Relation
from orchestrator.definitions.resources import Resource
from orchestrator.errors import DefinitionError, OrchestratorError, PythonModuleError
from orchestrator.graph.model import Asset, Check, UsedResource, Writer
from orchestrator.loaders.code_reader import CodeReading, read_code
from orchestrator.loaders.fragments import DraftAsset, DraftCheck, Fragment
from orchestrator.loaders.module_resources import FoundResource, Resources, settings_errors
from orchestrator.loaders.outside_code import files_named, files_of, read_files
from orchestrator.loaders.private_modules import PrivateModules
from orchestrator.loaders.python_jobs import find_jobs
from orchestrator.loaders.python_kinds import file_formats, frame_kinds
from orchestrator.loaders.shown_paths import shown_path
from orchestrator.loaders.signatures import refuse_unfilled
from orchestrator.loaders.uncollected import find_uncollected, find_unimported

Relate = Callable[[Table], Relation]
_OURSELVES = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class PythonProject:
    """What was found in the Python packages: drafts for the graph, and the definitions that run."""

    fragment: Fragment
    definitions: dict[str, PythonAsset[..., Any] | PythonAction[..., Any] | PythonCheck[..., Any]]
    """{writer or check id: the definition}"""
    resources: tuple[FoundResource, ...] = ()
    """All that its modules hold or its code uses, by name."""
    direct: tuple[DirectConnection, ...] = ()


@dataclass(frozen=True, slots=True)
class DirectConnection:
    """A call such as `duckdb.connect(…)`, past every resource, in the code of a definition."""

    definition: str
    function: str
    location: Location


def load_python_project(
    packages: Sequence[str],
    *,
    root: Path,
    project: str,
    relate: Relate,
    kinds: Sequence[str] = (),
    shown_from: Path | None = None,
    private: bool = False,
) -> PythonProject:
    """All definitions in `packages`, importable from `root`. `relate` places a table in the active environment.

    Places are shown relative to `shown_from`, by default `root`. `private` modules are imported under names of their
    own, `project:package.module`.
    """
    errors: list[OrchestratorError] = []
    found: dict[str, Any] = {}
    names = list(packages)
    where = _Where(root, shown_from or root)
    if private:
        PrivateModules(project, root, packages).install()
        names = [f"{project}:{name}" for name in packages]
    else:
        _make_importable(root)
    importlib.invalidate_caches()
    modules = list(_modules(names, where, errors))
    for module in modules:
        for value in vars(module).values():
            # A module's own definitions only: the same object imported elsewhere is no second definition.
            if isinstance(value, (PythonAsset, PythonAction, PythonCheck)) and value.module == module.__name__:
                found[value.id] = value
    read = read_definitions(
        found.values(), modules, root=root, project=project, relate=relate, kinds=kinds, shown_from=shown_from
    )
    fragment = replace(
        read.fragment,
        jobs=tuple(find_jobs(modules, relative=where.shown)),
        errors=(*errors, *read.fragment.errors),
        warnings=tuple(_overlooked(modules, names, found.values(), where)),
    )
    return replace(read, fragment=fragment)


def read_definitions(
    definitions: Iterable[Any],
    modules: Sequence[ModuleType],
    *,
    root: Path,
    project: str,
    relate: Relate,
    kinds: Sequence[str] = (),
    shown_from: Path | None = None,
) -> PythonProject:
    """Drafts of these definitions, which stand in `modules`, with what their code refers to."""
    where = _Where(root, shown_from or root)
    found = {definition.id: definition for definition in definitions}
    errors: list[OrchestratorError] = []
    resources = Resources.of(modules, shown=where.shown, kinds=kinds)
    builder = _Builder(where, project, relate, tuple(kinds), resources)
    assets: list[DraftAsset] = []
    checks: list[DraftCheck] = []
    for definition in found.values():
        try:
            refuse_unfilled(definition, at=str(builder.location(definition)))
            if isinstance(definition, PythonCheck):
                checks.append(builder.check(definition))
            else:
                assets.append(builder.draft(definition))
        except DefinitionError as exc:
            errors.append(exc)
    assets.extend(builder.external_tables(assets, found.values()))
    errors.extend(settings_errors(resources.found))
    fragment = Fragment(assets=tuple(assets), checks=tuple(checks), errors=tuple(errors))
    direct = [
        DirectConnection(definition.id, use.target, Location(where.shown(use.file), use.line))
        for definition in found.values()
        for use in builder.read(definition).direct
    ]
    return PythonProject(fragment, found, resources.found, tuple(direct))


def _overlooked(
    modules: Sequence[ModuleType], packages: Sequence[str], found: Iterable[Definition[..., Any]], where: _Where
) -> Iterator[str]:
    collected = {(definition.file, definition.line) for definition in found}
    yield from find_uncollected(modules, collected=collected, root=where.shown_from)
    for module in modules:
        if module.__name__ in packages:
            yield from find_unimported(module, root=where.shown_from)


@dataclass(frozen=True, slots=True)
class _Where:
    """Where a project's code lies, and what its places are shown relative to."""

    root: Path
    shown_from: Path

    def is_own(self, file: str) -> bool:
        """True for the project's own code, not that of packages installed below it."""
        return _is_project_file(file, self.root)

    def shown(self, file: str) -> str:
        return shown_path(file, str(self.shown_from))


def _make_importable(root: Path) -> None:
    """`root` on sys.path, first, once; it stays there, since definitions may import late."""
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))


def _modules(packages: Sequence[str], where: _Where, errors: list[OrchestratorError]) -> Iterator[ModuleType]:
    for name in packages:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            errors.append(
                PythonModuleError(
                    f"there is no Python package '{name.rpartition(':')[2]}' in {where.root}",
                    fix="correct 'python' in [tool.orchestrator], or create the package",
                )
            )
            continue
        yield from _walk(name, where, errors)


def _walk(name: str, where: _Where, errors: list[OrchestratorError]) -> Iterator[ModuleType]:
    try:
        module = importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # noqa: BLE001  user code, SystemExit included: the rest still loads
        errors.append(_import_error(name, exc, where))
        return
    yield module
    for found in sorted(pkgutil.iter_modules(getattr(module, "__path__", ())), key=lambda item: item.name):
        yield from _walk(f"{name}.{found.name}", where, errors)


def _import_error(name: str, exc: BaseException, where: _Where) -> OrchestratorError:
    if isinstance(exc, OrchestratorError) and exc.at is None:
        kind: type[OrchestratorError] = type(exc)
        return kind(exc.what, at=_last_line(exc, where), fix=exc.fix)
    if isinstance(exc, OrchestratorError):
        return exc
    if isinstance(exc, SyntaxError) and exc.filename:
        at: str | None = f"{where.shown(exc.filename)}:{exc.lineno or 1}"
    else:
        at = _last_line(exc, where)
    what = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    fix = "correct the module; everything else is still listed, but nothing runs until it imports"
    if isinstance(exc, ModuleNotFoundError) and exc.name:
        fix = f"install the package that has '{exc.name}', or correct the import"
    return PythonModuleError(f"module '{name}' does not import: {what}", at=at, fix=fix)


def _last_line(exc: BaseException, where: _Where) -> str | None:
    """The deepest line of the traceback that is the user's."""
    own = [frame for frame in traceback.extract_tb(exc.__traceback__) if where.is_own(frame.filename)]
    return f"{where.shown(own[-1].filename)}:{own[-1].lineno}" if own else None


@functools.lru_cache(maxsize=4096)
def _is_project_file(file: str, root: Path) -> bool:
    path = Path(file)
    if path.is_relative_to(_OURSELVES):  # in a checkout of this project the example lies beside us
        return False
    return path.is_relative_to(root) and not {"site-packages", ".venv"} & {*path.relative_to(root).parts}


@dataclass(frozen=True, slots=True)
class _Builder:
    where: _Where
    project: str
    relate: Relate
    kinds: tuple[str, ...]
    resources: Resources
    readings: dict[str, CodeReading] = field(default_factory=dict)

    def read(self, definition: Definition[..., Any]) -> CodeReading:
        if (known := self.readings.get(definition.id)) is None:
            known = read_code(definition.fn, is_project_file=self.where.is_own)
            files = [file for work in known.works for file in files_of(work, root=self.where.root)]
            if known.starts:
                files += files_named(known.texts, root=self.where.root)
            known.parts |= read_files(files, root=self.where.root)
            self.readings[definition.id] = known
        return known

    def location(self, definition: Definition[..., Any]) -> Location:
        return Location(self.where.shown(definition.file), definition.line)

    def draft(self, definition: PythonAsset[..., Any] | PythonAction[..., Any]) -> DraftAsset:
        """One Python asset or action with what its code refers to."""
        reading = self.read(definition)
        reads = {self.reference(use.target) for use in reading.uses if not isinstance(use.target, Resource)}
        reads |= {self.reference(target) for target in definition.after}
        is_asset = isinstance(definition, PythonAsset)
        own = definition.table if isinstance(definition, PythonAsset) else None
        used = self.resources.used(reading, definition, own=own if isinstance(own, Table) else None)
        updated = own if isinstance(own, DbtReference) else None
        # For an update of a dbt model only a stand-in: merging gives it the model's key.
        key = definition.key or AssetKey.of_names("dbt", own.name if own is not None else definition.name)
        writer = Writer(
            id=definition.id,
            engine="python",
            name=definition.name,
            strategy="python" if is_asset else "action",
            location=self.location(definition),
            code_version=reading.digest,
            raw_code=_source(definition),
            retry=definition.retry,
            slot=definition.slot if isinstance(definition, PythonAsset) else None,
            mode=definition.mode if isinstance(definition, PythonAsset) else "insert",
            partitions=definition.partitions if isinstance(definition, PythonAsset) else None,
        )
        asset = Asset(
            key=key,
            name=key.name,
            project=self.project,
            location=self.location(definition),
            kind="asset" if is_asset else "action",
            aliases=(definition.name,) if definition.name != key.name else (),
            kinds=_unique(["python", *self._kinds_of(definition, used), *file_formats(reading.texts)]),
            group=definition.group,
            owners=definition.owners,
            tags=definition.tags,
            description=definition.description,
            relation=self.relate(own) if isinstance(own, Table) else None,
            writers=(writer,),
            resources=used,
            dbt_ids=(),
        )
        own_reference = self.reference(own) if own is not None else None
        return DraftAsset(
            definition.id,
            asset,
            frozenset(reads - {definition.id, own_reference}),
            places={
                self.reference(use.target): Location(self.where.shown(use.file), use.line)
                for use in reversed(reading.uses)
                if not isinstance(use.target, Resource)
            },
            explicit_key=definition.key,
            same_as=updated.id if updated is not None else None,
            mappings={self.reference(target): rule for target, rule in getattr(definition, "mappings", ())},
        )

    def _kinds_of(
        self, definition: PythonAsset[..., Any] | PythonAction[..., Any], used: Sequence[UsedResource]
    ) -> tuple[str, ...]:
        """From what it writes to and what it uses; one's own come last."""
        of_resources = [kind for item in used for kind in item.kinds]
        if isinstance(definition, PythonAction):
            return ("action", *of_resources)
        table = definition.table
        written = self.resources.kinds_of(table.resource) if isinstance(table, Table) else self.kinds
        return (*written, *of_resources, *frame_kinds(definition.fn), *definition.kinds)

    def check(self, definition: PythonCheck[..., Any]) -> DraftCheck:
        """One Python check; assets that its code reads besides are needed too."""
        target = self.reference(definition.asset)
        reading = self.read(definition)
        more = {self.reference(use.target) for use in reading.uses if not isinstance(use.target, Resource)}
        check = Check(
            id=definition.id,
            name=definition.name,
            kind="python",
            key=AssetKey("", ""),
            reads=frozenset(),
            severity=definition.severity,
            blocking=definition.blocking,
            location=self.location(definition),
            description=definition.description,
            code_version=reading.digest,
            resources=self.resources.used(reading, definition),
        )
        return DraftCheck(check, target, frozenset({target, *more}))

    def reference(self, target: Any) -> str:
        """The draft id that an object stands for."""
        match target:
            case PythonAsset() | PythonAction():
                return target.id
            case DbtReference() | GraphReference():
                return target.id
            case Table():
                return f"table:{self.relate(target)}"
        raise DefinitionError(
            f"{target!r} is no asset", fix="pass an asset, warehouse.table(…), or a model from orchestrator.dbt"
        )

    def external_tables(self, drafts: Sequence[DraftAsset], definitions: Iterable[Any]) -> Iterator[DraftAsset]:
        """A draft without writer for each table that code names as `warehouse.table("…")`; merging finds its owner."""
        known = {draft.id for draft in drafts}
        for definition in definitions:
            for table in self._tables_of(definition):
                if (name := self.reference(table)) in known:
                    continue
                known.add(name)
                key = AssetKey.parse(".".join(table.name.split(".")[-2:]))
                asset = Asset(
                    key=key,
                    name=key.name,
                    project=self.project,
                    location=self.location(definition),
                    kinds=self.kinds,
                    relation=self.relate(table),
                )
                yield DraftAsset(name, asset)

    def _tables_of(self, definition: Definition[..., Any]) -> list[Table]:
        targets = [use.target for use in self.read(definition).uses]
        targets += [*getattr(definition, "after", ()), getattr(definition, "asset", None)]
        return [target for target in targets if isinstance(target, Table)]


def _unique(items: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _source(definition: Definition[..., Any]) -> str | None:
    try:
        return inspect.getsource(inspect.unwrap(definition.fn))
    except (OSError, TypeError):
        return None
