"""What a Python function refers to, read from its code: other assets, dbt models, resources, project helpers.

A name counts when the function (or a project function or class that it refers to) loads it from its module or a
closure. Values are looked at, code is not run. What cannot be seen: names built at run time (`getattr`, `eval`),
objects reached through containers or attributes of instances.
"""

from __future__ import annotations

import ast
import builtins
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from orchestrator.dbt import Models, Sources, SourceTables
from orchestrator.definitions.assets import DbtReference, Definition, PythonAsset, Table
from orchestrator.definitions.resources import Resource

_PLAIN = (str, bytes, int, float, bool, type(None))
_NAMESPACES = (ModuleType, Models, Sources, SourceTables)


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

    @property
    def digest(self) -> str:
        """Changes when the function's or its project helpers' code (not comments or layout) changes."""
        text = "\n".join(f"{name}\n{code}" for name, code in sorted(self.parts.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_code(fn: Callable[..., Any], *, is_project_file: Callable[[str], bool]) -> CodeReading:
    """Everything that `fn` refers to. Functions whose file is not the project's are not entered."""
    reading = CodeReading()
    _read_function(inspect.unwrap(fn), reading, is_project_file)
    return reading


def _read_function(fn: Any, reading: CodeReading, is_project_file: Callable[[str], bool]) -> None:
    if not isinstance(fn, FunctionType) or not is_project_file(fn.__code__.co_filename):
        return
    name = f"{fn.__module__}.{fn.__qualname__}"
    if name in reading.parts:
        return
    node = _function_node(fn)
    reading.parts[name] = _normalised(node) if node is not None else _bytecode(fn)
    if node is None:
        return
    scope = _Scope.of(fn)
    for found in _loads(node, scope):
        _take(found, fn, reading, is_project_file)


def _take(found: _Found, fn: FunctionType, reading: CodeReading, is_project_file: Callable[[str], bool]) -> None:
    value = found.value
    match value:
        case PythonAsset() | Table() | DbtReference() | Resource():
            reading.uses.append(Use(value, fn.__code__.co_filename, found.line))
            if isinstance(value, PythonAsset) and found.called:
                _read_function(inspect.unwrap(value.fn), reading, is_project_file)
        case Definition():
            _read_function(inspect.unwrap(value.fn), reading, is_project_file)
        case functools.partial():
            _read_function(inspect.unwrap(value.func), reading, is_project_file)
        case FunctionType():
            _read_function(inspect.unwrap(value), reading, is_project_file)
        case type():
            for member in vars(value).values():
                inner = getattr(member, "__func__", getattr(member, "fget", member))
                _read_function(inner, reading, is_project_file)
        case _ if _is_plain(value):
            reading.parts[f"{fn.__module__}:{found.name}"] = repr(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list, set, frozenset)):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_is_plain(item) for pair in value.items() for item in pair)
    return isinstance(value, _PLAIN)


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    value: Any
    line: int
    called: bool


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where a function's free names come from."""

    cells: dict[str, Any]
    module: dict[str, Any]

    @classmethod
    def of(cls, fn: FunctionType) -> _Scope:
        cells: dict[str, Any] = {}
        for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
            try:
                cells[name] = cell.cell_contents
            except ValueError:  # not yet filled: a function that refers to itself
                continue
        return cls(cells, fn.__globals__)

    def get(self, name: str) -> tuple[bool, Any]:
        if name in self.cells:
            return True, self.cells[name]
        if name in self.module and not hasattr(builtins, name):
            return True, self.module[name]
        return False, None


def _loads(node: ast.AST, scope: _Scope) -> Iterator[_Found]:
    """Every name or dotted chain in the function's body that leads to a known object."""
    local = _assigned(node)
    body: Sequence[ast.AST] = [node]
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        body = node.body
    called = {id(item.func) for part in body for item in ast.walk(part) if isinstance(item, ast.Call)}
    inner: set[int] = set()
    for part in body:
        for item in ast.walk(part):
            if id(item) in inner or not isinstance(item, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)):
                continue
            known, value, name = _resolve(item, scope, local)
            if known:
                inner.update(id(below) for below in ast.walk(item) if _is_chain(below))
                yield _Found(name, value, getattr(item, "lineno", 1), id(item) in called)


def _is_chain(node: ast.AST) -> bool:
    return isinstance(node, (ast.Name, ast.Attribute))


def _resolve(node: ast.AST, scope: _Scope, local: frozenset[str]) -> tuple[bool, Any, str]:
    match node:
        case ast.Name(id=name, ctx=ast.Load()) if name not in local:
            known, value = scope.get(name)
            return known, value, name
        case ast.Attribute(value=base, attr=attr):
            known, value, name = _resolve(base, scope, local)
            if not known:
                return False, None, ""
            if isinstance(value, _NAMESPACES):
                return (True, getattr(value, attr), f"{name}.{attr}") if _has(value, attr) else (False, None, "")
            return False, None, ""
        case ast.Subscript(value=base, slice=ast.Constant(value=str() as item)):
            known, value, name = _resolve(base, scope, local)
            if known and isinstance(value, (Models, Sources, SourceTables)):
                return True, value[item], f"{name}[{item}]"
            return False, None, ""
        case ast.Call(func=ast.Attribute(value=base, attr="table"), args=[ast.Constant(value=str() as table)]):
            known, value, name = _resolve(base, scope, local)
            if known and isinstance(value, Resource) and hasattr(value, "table"):
                return True, value.table(table), name
            return False, None, ""
    return False, None, ""


def _has(value: Any, attr: str) -> bool:
    return not attr.startswith("__") and (not isinstance(value, ModuleType) or attr in vars(value))


def _assigned(node: ast.AST) -> frozenset[str]:
    """Names that are the function's own: parameters and what it assigns, unless declared global."""
    stored = {item.id for item in ast.walk(node) if isinstance(item, ast.Name) and not isinstance(item.ctx, ast.Load)}
    parameters = {item.arg for item in ast.walk(node) if isinstance(item, ast.arg)}
    outside = {n for item in ast.walk(node) if isinstance(item, (ast.Global, ast.Nonlocal)) for n in item.names}
    return frozenset((stored | parameters) - outside)


def _function_node(fn: FunctionType) -> ast.AST | None:
    tree = _tree(fn.__code__.co_filename)
    if tree is None:
        return None
    first = fn.__code__.co_firstlineno
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == fn.__name__:
            top = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if top <= first <= node.lineno:
                return node
        elif isinstance(node, ast.Lambda) and node.lineno == first and fn.__name__ == "<lambda>":
            return node
    return None


def _tree(file: str) -> ast.Module | None:
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return _parsed(text)


@functools.lru_cache(maxsize=512)
def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except SyntaxError:
        return None


def _normalised(node: ast.AST) -> str:
    """The code without comments, layout, docstring and decorators."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        body = node.body[1:] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body
        return ast.dump(node.args) + "".join(ast.dump(part) for part in body)
    return ast.dump(node)


def _bytecode(fn: FunctionType) -> str:
    return fn.__code__.co_code.hex() + repr(fn.__code__.co_consts)
