"""Resources at module level: what each is called, where it is made, and what is wrong with its settings."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from orchestrator.definitions.assets import Definition, Table
from orchestrator.definitions.keys import Location
from orchestrator.definitions.resources import Resource, find_problems
from orchestrator.errors import DefinitionError, OrchestratorError
from orchestrator.graph.model import UsedResource
from orchestrator.loaders.code_reader import CodeReading
from orchestrator.loaders.python_source import read_tree
from orchestrator.resources.warehouse import Warehouse

_DEEPEST = 2


@dataclass(frozen=True, slots=True)
class FoundResource:
    """A resource and its name, `module.variable`; `own` if this workspace's code makes it."""

    name: str
    resource: Resource
    location: Location
    own: bool = True
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a name of a module gets its value. The lowest `rank` names a resource that has several names."""

    line: int
    rank: int
    value: ast.AST | None = None


MADE, PASSED_ON, IMPORTED = range(3)


def find_resources(modules: Sequence[ModuleType], *, relative: Callable[[str], str]) -> tuple[FoundResource, ...]:
    """Every resource that a variable of these modules holds: itself, in a list or dict, in a class or an object."""
    best: dict[int, tuple[int, FoundResource]] = {}
    for module in modules:
        file = getattr(module, "__file__", None)
        if file is None:
            continue
        places = _places(read_tree(file))
        for variable, value in list(vars(module).items()):
            if variable.startswith("__"):
                continue
            place = places.get(variable, _Place(1, IMPORTED))
            for name, resource, line, rank in _inside(f"{module.__name__}.{variable}", value, place, module, 0):
                found = FoundResource(name, resource, Location(relative(file), line), own=rank != IMPORTED)
                if id(resource) not in best or rank < best[id(resource)][0]:
                    best[id(resource)] = (rank, found)
    return tuple(sorted((found for _, found in best.values()), key=lambda found: found.name))


def _places(tree: ast.Module | None) -> dict[str, _Place]:
    found: dict[str, _Place] = {}
    for node in _top_level(tree.body if tree is not None else []):
        match node:
            case ast.Assign(targets=targets, value=value):
                pairs = [pair for target in targets for pair in _unpacked(target, value)]
            case ast.AnnAssign(target=ast.Name() as named, value=ast.expr() as made):
                pairs = [(named, made)]
            case ast.ClassDef(name=name):
                found[name] = _Place(node.lineno, MADE, node)
                continue
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                for alias in names:
                    name = (alias.asname or alias.name).partition(".")[0]
                    found[name] = _Place(node.lineno, IMPORTED)
                continue
            case _:
                continue
        for target, value in pairs:
            if isinstance(target, ast.Name):
                rank = PASSED_ON if isinstance(value, (ast.Name, ast.Attribute)) else MADE
                found[target.id] = _Place(value.lineno, rank, value)
    return found


def _unpacked(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    """`a, b = x, y` as pairs."""
    sequences = (ast.Tuple, ast.List)
    if isinstance(target, sequences):
        if isinstance(value, sequences) and len(target.elts) == len(value.elts):
            return list(zip(target.elts, value.elts, strict=True))
        return [(item, value) for item in target.elts]
    return [(target, value)]


def _top_level(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported, those in `if`, `try` and `with` too."""
    for node in body:
        yield node
        match node:
            case ast.If() | ast.For() | ast.While():
                yield from _top_level([*node.body, *node.orelse])
            case ast.With():
                yield from _top_level(node.body)
            case ast.Try():
                handled = [item for handler in node.handlers for item in handler.body]
                yield from _top_level([*node.body, *handled, *node.orelse, *node.finalbody])


def _inside(
    name: str, value: Any, place: _Place, module: ModuleType, depth: int
) -> Iterator[tuple[str, Resource, int, int]]:
    """(name, resource, line, rank) for a value and what it holds."""
    if isinstance(value, Resource):
        yield name, value, place.line, place.rank
        return
    if depth >= _DEEPEST or place.rank == IMPORTED:
        return
    if isinstance(value, (list, tuple, dict)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _inside(f"{name}[{key!r}]", item, _element(place, key), module, depth + 1)
    elif isinstance(value, type):
        if value.__module__ == module.__name__:
            members = _places(ast.Module(place.value.body, [])) if isinstance(place.value, ast.ClassDef) else {}
            for key, item in list(vars(value).items()):
                if not key.startswith("__"):
                    inner = members.get(key, _Place(place.line, PASSED_ON))
                    yield from _inside(f"{name}.{key}", item, inner, module, depth + 1)
    elif not callable(value) and type(value).__module__.partition(".")[0] == module.__name__.partition(".")[0]:
        for key, item in list(getattr(value, "__dict__", {}).items()):
            yield from _inside(f"{name}.{key}", item, _argument(place, key), module, depth + 1)


def _element(place: _Place, key: Any) -> _Place:
    """An item of a literal list or dict."""
    value: ast.AST | None = None
    match place.value:
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            value = next((item for own, item in pairs if isinstance(own, ast.Constant) and own.value == key), None)
        case ast.List(elts=items) | ast.Tuple(elts=items) if isinstance(key, int) and key < len(items):
            value = items[key]
    if not isinstance(value, ast.expr):
        return _Place(place.line, PASSED_ON)
    return _Place(value.lineno, PASSED_ON if isinstance(value, (ast.Name, ast.Attribute)) else MADE, value)


def _argument(place: _Place, name: str) -> _Place:
    """What an object was made with."""
    if isinstance(place.value, ast.Call):
        for keyword in place.value.keywords:
            if keyword.arg == name and isinstance(keyword.value, ast.Call):
                return _Place(keyword.value.lineno, MADE, keyword.value)
    return _Place(place.line, PASSED_ON)


def settings_errors(resources: Sequence[FoundResource]) -> list[OrchestratorError]:
    """Everything that is wrong with the settings of the workspace's own resources."""
    return [
        DefinitionError(f"{problem.field} of {found.name}: {problem.what}", at=str(found.location), fix=problem.fix)
        for found in resources
        if found.own
        for problem in find_problems(found.resource)
    ]


class Resources:
    """The resources of a Python project as its code is read: those at module level, and what is met besides."""

    def __init__(self, found: Sequence[FoundResource], *, relative: Callable[[str], str], kinds: Sequence[str]) -> None:
        self._relative = relative
        self._profile_kinds = tuple(kinds)
        self._found = {id(item.resource): replace(item, kinds=self.kinds_of(item.resource)) for item in found}

    @classmethod
    def of(cls, modules: Sequence[ModuleType], *, shown: Callable[[str], str], kinds: Sequence[str]) -> Resources:
        """Those of `modules`; `shown` is how a file is shown, `kinds` are the dbt profile's, for the warehouse."""
        return cls(find_resources(modules, relative=shown), relative=shown, kinds=kinds)

    @property
    def found(self) -> tuple[FoundResource, ...]:
        """All known so far, by name."""
        return tuple(sorted(self._found.values(), key=lambda item: item.name))

    def kinds_of(self, resource: Resource) -> tuple[str, ...]:
        """What a resource is; the warehouse is what the dbt profile says."""
        return self._profile_kinds if isinstance(resource, Warehouse) and not resource.kinds else resource.kinds

    def used(
        self, reading: CodeReading, definition: Definition[..., Any], *, own: Table | None = None
    ) -> tuple[UsedResource, ...]:
        """What the code of `definition` names, with each place; and where it writes to, at the definition itself."""
        here = Location(self._relative(definition.file), definition.line)
        places: dict[int, dict[Location, None]] = {}
        uses = [(use.target, Location(self._relative(use.file), use.line)) for use in reading.uses]
        for target, place in [*([(own, here)] if own is not None else []), *uses]:
            resource = target.resource if isinstance(target, Table) else target
            if isinstance(resource, Resource):
                name, kinds = f"{type(resource).__name__} in {definition.module}", self.kinds_of(resource)
                self._found.setdefault(id(resource), FoundResource(name, resource, place, kinds=kinds))
                places.setdefault(id(resource), {})[place] = None
        return tuple(self._use(self._found[found], tuple(at)) for found, at in places.items())

    def _use(self, found: FoundResource, at: tuple[Location, ...]) -> UsedResource:
        return UsedResource(found.name, type(found.resource).__name__, found.kinds, found.location, at)
