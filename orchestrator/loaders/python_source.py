"""The text of Python files as syntax trees: which node a function is, what a scope assigns, what it imports."""

from __future__ import annotations

import ast
import functools
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def read_tree(file: str) -> ast.Module | None:
    """The file's syntax tree; None where it cannot be read or parsed. Cached by the text."""
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


def function_nodes(fn: FunctionType) -> list[ast.AST]:
    """The function's own node; several where lambdas of one line cannot be told apart; none without source."""
    tree = read_tree(fn.__code__.co_filename)
    found = _functions(tree).get((fn.__code__.co_name, fn.__code__.co_firstlineno), []) if tree is not None else []
    alike = [node for node in found if parameters(node) == fn.__code__.co_varnames[: len(parameters(node))]]
    return alike or found


@functools.lru_cache(maxsize=512)
def _functions(tree: ast.Module) -> dict[tuple[str, int], list[ast.AST]]:
    """{(name, first line as code objects have it: a decorator's): nodes}"""
    found: dict[tuple[str, int], list[ast.AST]] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found.setdefault((node.name, first), []).append(node)
        elif isinstance(node, ast.Lambda):
            found.setdefault(("<lambda>", node.lineno), []).append(node)
    return found


def parameters(node: ast.AST) -> tuple[str, ...]:
    """Names of a function's parameters, in the order of its code object."""
    if not isinstance(node, FUNCTIONS):
        return ()
    arguments = node.args
    plain = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    starred = [item for item in (arguments.vararg, arguments.kwarg) if item is not None]
    return tuple(item.arg for item in [*plain, *starred])


def own_names(scope: ast.AST) -> frozenset[str]:
    """Names that are a scope's own: its parameters and what it assigns, unless declared global or nonlocal."""
    found = set(parameters(scope))
    outside: set[str] = set()
    for node in _within(scope):
        match node:
            case ast.Name(id=name) if not isinstance(node.ctx, ast.Load):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name):
                found.add(name)
            case ast.MatchStar(name=str() as name) | ast.MatchMapping(rest=str() as name):
                found.add(name)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                outside.update(names)
            case ast.Import() | ast.ImportFrom():
                found.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    return frozenset(found - outside)


def _within(scope: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a scope without those of scopes inside; a walrus in a comprehension is the outer scope's."""
    todo = list(ast.iter_child_nodes(scope))
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, COMPREHENSIONS) and not isinstance(scope, COMPREHENSIONS):
            walrus = (item.target for item in ast.walk(node) if isinstance(item, ast.NamedExpr))
            todo.extend(walrus)
        elif not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            todo.extend(ast.iter_child_nodes(node))


@dataclass(frozen=True, slots=True)
class Unloaded:
    """Something in a module that a function imports when it runs, and that is not loaded yet: `duckdb.connect`."""

    name: str


def local_imports(scope: ast.AST, *, package: str | None) -> dict[str, Any]:
    """{name: value} of what a function imports; `Unloaded` where that would have to be imported."""
    found: dict[str, Any] = {}
    for node in _within(scope):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    name = alias.name if alias.asname else alias.name.partition(".")[0]
                    found[alias.asname or name] = sys.modules.get(name) or Unloaded(name)
            case ast.ImportFrom(module=name, names=names, level=level):
                try:
                    full = importlib.util.resolve_name("." * level + (name or ""), package) if level else name or ""
                except (ImportError, ValueError):
                    continue
                for alias in names:
                    values: Mapping[str, Any] = vars(sys.modules[full]) if full in sys.modules else {}
                    inner = f"{full}.{alias.name}"
                    found[alias.asname or alias.name] = values.get(alias.name, sys.modules.get(inner, Unloaded(inner)))
    return found


def normalised(node: ast.AST) -> str:
    """Code without comments, layout, docstring and decorators."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        body = node.body[1:] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body
        return ast.dump(node.args) + "".join(ast.dump(part) for part in body)
    return ast.dump(node)
