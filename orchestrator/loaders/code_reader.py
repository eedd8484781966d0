"""What a Python function refers to, read from its code: other assets, dbt models, resources, project helpers.

A name counts when the function, or project code that it refers to, loads it: from its module, a closure, an import
inside of it, a default argument, an attribute of a class or of a module-level object, or out of a module-level list or
dict. Values are looked at, code is not run. What cannot be seen is listed in docs/how-to/resources.md.
"""

from __future__ import annotations

import ast
import builtins
import functools
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

from orchestrator.dbt import Models, Sources, SourceTables
from orchestrator.definitions.assets import DbtReference, Definition, GraphReference, PythonAsset, Table
from orchestrator.definitions.remote import ExternalPython, Shell
from orchestrator.definitions.resources import Resource
from orchestrator.graphs import Graph, GraphLayer
from orchestrator.loaders.outside_code import describe_work
from orchestrator.loaders.python_source import (
    COMPREHENSIONS,
    FUNCTIONS,
    Unloaded,
    function_nodes,
    local_imports,
    normalised,
    own_names,
    parameters,
)

DIRECT = ("duckdb.connect", "psycopg.connect", "psycopg2.connect", "sqlalchemy.create_engine", "sqlite3.connect")
"""Functions that open a database past every resource."""
_PLAIN = (str, bytes, int, float, bool, type(None))
_DEEPEST = 3
"""Containers in containers are looked into as far as this."""
_NOTHING: Any = object()


@dataclass(frozen=True, slots=True)
class Use:
    """An object that code refers to, and where."""

    target: Any
    file: str
    line: int


@dataclass(slots=True)
class CodeReading:
    """All that a function and the project code below it refer to, and a digest of that code."""

    uses: list[Use] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)
    """{qualified name: normalised code}, what the digest is made of."""
    direct: list[Use] = field(default_factory=list)
    """Calls that open a database past every resource; the targets are names such as `duckdb.connect`."""
    texts: set[str] = field(default_factory=set)
    """String constants of the code, such as file names."""
    works: list[Shell | ExternalPython] = field(default_factory=list)
    """Commands and scripts that are started, where they are objects of a module."""
    starts: bool = False
    """True where the code makes such an object itself: its `texts` may name files that are started."""

    @property
    def digest(self) -> str:
        """Changes when the function's or its project helpers' code (not comments or layout) changes."""
        text = "\n".join(f"{name}\n{code}" for name, code in sorted(self.parts.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_code(fn: Callable[..., Any], *, is_project_file: Callable[[str], bool]) -> CodeReading:
    """Everything that `fn` refers to. Functions whose file is not the project's are not entered."""
    reader = _Reader(is_project_file)
    reader.read(fn)
    if isinstance(fn, functools.partial) and isinstance(fn.func, FunctionType):
        for item in (*fn.args, *fn.keywords.values()):
            reader.take_argument(item, fn.func)
    return reader.reading


def is_reference(value: Any) -> bool:
    """True for what a use of it declares: an asset, a table, a dbt model, a resource."""
    return isinstance(value, (PythonAsset, Table, DbtReference, GraphReference, Resource))


@dataclass(frozen=True, slots=True)
class _Found:
    """What a chain of names leads to. `bound` is what `self` or `cls` is in it, `passed` the resources on the way."""

    name: str
    value: Any
    bound: Any = _NOTHING
    passed: tuple[Any, ...] = ()
    is_self: bool = False
    """`self` or `cls` alone: which of its attributes are meant is told where they are named."""


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where the names of a function come from."""

    fn: FunctionType
    outer: dict[str, Any]
    """What closures, imports inside of the function, and `self` bring."""
    me: str | None = None
    """The parameter that is `self` or `cls`, if it is known what that is."""
    local: frozenset[str] = frozenset()

    @classmethod
    def of(cls, fn: FunctionType, node: ast.AST, bound: Any) -> _Scope:
        outer: dict[str, Any] = {}
        for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
            try:
                outer[name] = cell.cell_contents
            except ValueError:  # not yet filled: a function that refers to itself
                continue
        outer |= local_imports(node, package=fn.__globals__.get("__package__"))
        me = next(iter(parameters(node)), None) if bound is not _NOTHING else None
        if me is not None:
            outer[me] = bound
        return cls(fn, outer, me, own_names(node) - frozenset(outer))

    def inside(self, node: ast.AST) -> _Scope:
        """The scope of a function or comprehension inside of this one."""
        more = local_imports(node, package=self.fn.__globals__.get("__package__"))
        hidden = own_names(node) - frozenset(more)
        outer = {name: value for name, value in self.outer.items() if name not in hidden} | more
        return replace(self, outer=outer, local=(self.local | hidden) - frozenset(more))

    def get(self, name: str) -> Any:
        if name in self.outer:
            return self.outer[name]
        if name in self.local or hasattr(builtins, name):
            return _NOTHING
        return self.fn.__globals__.get(name, _NOTHING)


@dataclass(slots=True)
class _Reader:
    is_project_file: Callable[[str], bool]
    reading: CodeReading = field(default_factory=CodeReading)
    _seen: dict[tuple[int, int], Any] = field(default_factory=dict)
    """{(code, what it is bound to): both, kept alive so that an id means one thing}"""

    # -- functions

    def read(self, fn: Any, bound: Any = _NOTHING) -> None:
        """A function, and each one that it wraps."""
        for layer in _layers(fn):
            if isinstance(layer, MethodType):
                self.read(layer.__func__, layer.__self__)
            elif isinstance(layer, functools.partial):
                self.read(layer.func, bound)
            elif isinstance(layer, FunctionType) and self.is_project_file(layer.__code__.co_filename):
                self._read_body(layer, bound)

    def take_argument(self, value: Any, fn: FunctionType) -> None:
        """What a function is given before anybody calls it: a default, an argument of a partial."""
        self._take(_Found("argument", value), fn, fn.__code__.co_firstlineno)

    def _read_body(self, fn: FunctionType, bound: Any) -> None:
        key = (id(fn.__code__), id(bound))
        if key in self._seen:
            return
        self._seen[key] = (fn, bound)
        nodes = function_nodes(fn)
        code = fn.__code__.co_name  # of a wrapper another one: functools.wraps gives it the name of what it wraps
        name = f"{fn.__module__}.{fn.__qualname__}" + (f":{code}" if code != fn.__name__ else "")
        self._keep(name, "".join(map(normalised, nodes)) or _bytecode(fn))
        for default in [*(fn.__defaults__ or ()), *(fn.__kwdefaults__ or {}).values()]:
            self.take_argument(default, fn)
        for node in nodes:
            scope = _Scope.of(fn, node, bound)
            body: Sequence[ast.AST] = [node]
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body
            for part in body:
                self._visit(part, scope)

    def _keep(self, name: str, code: str) -> None:
        while self.reading.parts.get(name, code) != code:
            name += "'"  # another lambda of the same place
        self.reading.parts[name] = code

    # -- nodes

    def _visit(self, node: ast.AST, scope: _Scope) -> None:
        if isinstance(node, (*FUNCTIONS, *COMPREHENSIONS)):
            scope = scope.inside(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.reading.texts.add(node.value)
        called = False
        found = self._resolve(node, scope)
        if found is None and isinstance(node, ast.Call):
            found, called = self._resolve(node.func, scope), True
        if found is not None and called and (name := _direct(found.value)) is not None and not _in_memory(name, node):
            self.reading.direct.append(Use(name, scope.fn.__code__.co_filename, getattr(node, "lineno", 1)))
        if found is not None:
            self._take(found, scope.fn, getattr(node, "lineno", 1), called=called)
        for child in _rest(node) if found is not None else ast.iter_child_nodes(node):
            self._visit(child, scope)

    def _resolve(self, node: ast.AST, scope: _Scope) -> _Found | None:
        """What a chain of names, attributes, constant subscripts leads to; None if that cannot be told."""
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                value = scope.get(name)
                return None if value is _NOTHING else _Found(name, value, is_self=name == scope.me)
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super"), args=[]), attr=attr):
                return _inherited(scope, attr)
            case ast.Attribute(value=base, attr=attr):
                return self._attribute(self._resolve(base, scope), attr)
            case ast.Call(func=ast.Name(id="getattr"), args=[base, ast.Constant(value=str() as attr), *_]):
                return self._attribute(self._resolve(base, scope), attr)
            case ast.Subscript(value=base, slice=ast.Constant(value=item)):
                return self._item(self._resolve(base, scope), item)
            case ast.Call(func=ast.Attribute(value=base, attr="table"), args=[ast.Constant(value=str() as table)]):
                owner = self._resolve(base, scope)
                if owner is not None and isinstance(owner.value, Resource) and hasattr(owner.value, "table"):
                    return _Found(owner.name, owner.value.table(table), passed=owner.passed)
        return None

    def _attribute(self, owner: _Found | None, attr: str) -> _Found | None:
        if owner is None or attr.startswith("__"):
            return None
        name, value = f"{owner.name}.{attr}", owner.value
        if isinstance(value, (Models, Sources, SourceTables, Graph, GraphLayer)):
            return _Found(name, getattr(value, attr))
        if isinstance(value, Unloaded):
            return _Found(name, Unloaded(f"{value.name}.{attr}"))
        if isinstance(value, ModuleType):
            return _Found(name, vars(value)[attr]) if attr in vars(value) else None
        if isinstance(value, (PythonAsset, Table, DbtReference, GraphReference)) or not self._is_project_object(value):
            return None
        member = inspect.getattr_static(value, attr, _NOTHING)
        if isinstance(member, (MemberDescriptorType, GetSetDescriptorType)):
            member = getattr(value, attr, _NOTHING)  # a slot
        if member is _NOTHING:
            return None
        passed = (*owner.passed, value) if isinstance(value, Resource) and not owner.is_self else owner.passed
        return _Found(name, member, bound=value, passed=passed)

    def _item(self, owner: _Found | None, item: Any) -> _Found | None:
        if owner is None:
            return None
        name, value = f"{owner.name}[{item}]", owner.value
        if isinstance(value, (Models, Sources, SourceTables, Graph, GraphLayer)) and isinstance(item, str):
            return _Found(name, value[item])
        if isinstance(value, (dict, list, tuple)):
            try:
                return _Found(name, value[item], passed=owner.passed)
            except (LookupError, TypeError):
                return None
        return None

    def _is_project_object(self, value: Any) -> bool:
        return self._is_project_class(value if isinstance(value, type) else type(value))

    def _is_project_class(self, cls: type) -> bool:
        file = getattr(sys.modules.get(cls.__module__), "__file__", None)
        return file is not None and self.is_project_file(file)

    # -- values

    def _take(self, found: _Found, fn: FunctionType, line: int, *, called: bool = False, depth: int = 0) -> None:
        """Note what is used, and read on where it is project code."""
        for passed in found.passed:
            self._use(passed, fn, line)
        value = found.value
        if found.is_self:
            return
        match value:
            case PythonAsset() | Table() | DbtReference() | GraphReference():
                self._use(value, fn, line)
                if isinstance(value, PythonAsset) and called:
                    self.read(value.fn)
            case Resource():
                self._use(value, fn, line)
                self._members(value)
            case Definition():
                self.read(value.fn)
            case Shell() | ExternalPython():
                self.reading.works.append(value)
                self._keep(f"{fn.__module__}:{found.name}", describe_work(value))
                for resource in value.resources.values():
                    self._use(resource, fn, line)
            case type() if value in (Shell, ExternalPython):
                self.reading.starts = True
            case functools.partial():
                self.read(value)
                for item in (*value.args, *value.keywords.values()):
                    self._take(replace(found, value=item, passed=()), fn, line, depth=depth)
            case staticmethod():
                self.read(value.__func__)
            case classmethod():
                self.read(value.__func__, found.bound if isinstance(found.bound, type) else type(found.bound))
            case property():
                self.read(value.fget, found.bound)
            case functools.cached_property():
                self.read(value.func, found.bound)
            case functools.partialmethod():
                self._take(replace(found, value=functools.partial(value.func, *value.args, **value.keywords)), fn, line)
            case FunctionType() | MethodType():
                self.read(value, found.bound)
            case _ if _is_plain(value):
                self.reading.parts[f"{fn.__module__}:{found.name}"] = repr(value)
            case list() | tuple() | set() | frozenset() | dict() if depth < _DEEPEST:
                items = value.values() if isinstance(value, dict) else value
                for item in items:
                    if not _is_plain(item):
                        self._take(replace(found, value=item, passed=()), fn, line, depth=depth + 1)
            case _ if hasattr(type(value), "__wrapped__") or "__wrapped__" in getattr(value, "__dict__", {}):
                self.read(value, found.bound)
            case type():
                self._members(value)
            case _ if self._is_project_object(value):
                self._members(value)

    def _use(self, target: Any, fn: FunctionType, line: int) -> None:
        self.reading.uses.append(Use(target, fn.__code__.co_filename, line))

    def _members(self, owner: Any) -> None:
        """All methods of a project class, whichever is called: `self` is the object, or else the class."""
        cls = owner if isinstance(owner, type) else type(owner)
        for base in cls.__mro__:
            if not self._is_project_class(base):
                continue
            for member in list(vars(base).values()):
                inner = getattr(member, "__func__", getattr(member, "fget", getattr(member, "func", member)))
                if inspect.isroutine(inner):
                    self.read(inner, cls if isinstance(member, classmethod) else owner)


def _direct(value: Any) -> str | None:
    """The name in DIRECT of what is called, if it is one of them."""
    if isinstance(value, Unloaded):
        return value.name if value.name in DIRECT else None
    for name in DIRECT:
        module, _, function = name.partition(".")
        if module in sys.modules and getattr(sys.modules[module], function, None) is value:
            return name
    return None


def _in_memory(name: str, node: ast.AST) -> bool:
    """True for a call that shows that it opens nothing outside: `duckdb.connect()`."""
    if name not in ("duckdb.connect", "sqlite3.connect") or not isinstance(node, ast.Call):
        return False
    given = [*node.args, *(item.value for item in node.keywords if item.arg in (None, "database"))]
    if not given:
        return True
    return isinstance(given[0], ast.Constant) and str(given[0].value).startswith(":memory:")


def _layers(fn: Any) -> Iterator[Any]:
    """The function and all that it wraps, outermost first; of a single dispatch all implementations."""
    seen: set[int] = set()
    while fn is not None and id(fn) not in seen:
        seen.add(id(fn))
        yield fn
        registry = getattr(fn, "registry", None)
        if registry is not None and hasattr(fn, "dispatch"):
            yield from registry.values()
        fn = getattr(fn, "__wrapped__", None)


def _rest(node: ast.AST) -> Iterator[ast.AST]:
    """What hangs on a chain of names and is no part of it: arguments, subscripts."""
    match node:
        case ast.Attribute(value=base):
            yield from _rest(base)
        case ast.Subscript(value=base, slice=item):
            yield from _rest(base)
            yield item
        case ast.Call(func=ast.Name(id="getattr"), args=[base, *args]):
            yield from _rest(base)
            yield from args
        case ast.Call(func=func, args=args, keywords=keywords):
            yield from _rest(func)
            yield from args
            yield from keywords
        case ast.Name():
            return
        case _:
            yield from ast.iter_child_nodes(node)


def _inherited(scope: _Scope, attr: str) -> _Found | None:
    """`super().attr`: a method that uses super() has its class in a closure."""
    own, bound = scope.outer.get("__class__"), scope.outer.get(scope.me or "")
    cls = bound if isinstance(bound, type) else type(bound)
    if own not in cls.__mro__:
        return None
    for base in cls.__mro__[cls.__mro__.index(own) + 1 :]:
        if attr in vars(base):
            return _Found(f"super().{attr}", vars(base)[attr], bound=bound)
    return None


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list, set, frozenset)):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_is_plain(item) for pair in value.items() for item in pair)
    return isinstance(value, _PLAIN)


def _bytecode(fn: FunctionType) -> str:
    return fn.__code__.co_code.hex() + repr(fn.__code__.co_consts)
