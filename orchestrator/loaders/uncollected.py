"""What looks like a definition and is none: shadowed by another, nested in a function, in a branch that did not run.

Definitions are collected, never listed; so one that was not collected must be said, or nobody would miss it.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from types import ModuleType

from orchestrator.definitions.keys import Location
from orchestrator.loaders.python_source import FUNCTIONS, read_tree

DECORATORS = ("asset", "writes", "check", "action", "sensor")


def find_uncollected(
    modules: Iterable[ModuleType], *, collected: Collection[tuple[str, int]], root: Path
) -> Iterator[str]:
    """One line for each decorated function of `modules` that is no definition; `collected` is {(file, line)}."""
    for module in modules:
        tree = read_tree(module.__file__) if module.__file__ else None
        if tree is None:
            continue
        file = str(module.__file__)
        for node, why in _decorated(tree):
            if not any((file, line) in collected for line in (node.lineno, *(d.lineno for d in node.decorator_list))):
                place = Location(_relative(file, root), node.lineno)
                yield f"{place}: '{node.name}' looks like a definition but is none: {_reason(node, tree, why)}"


def find_unimported(package: ModuleType, *, root: Path) -> Iterator[str]:
    """One line for each folder of Python files below a package that is never imported: it has no `__init__.py`."""
    for start in getattr(package, "__path__", ()):
        for folder in sorted(path for path in Path(start).rglob("*") if path.is_dir() and path.name != "__pycache__"):
            if any(folder.glob("*.py")) and not (folder / "__init__.py").exists():
                yield (
                    f"{_relative(str(folder), root)}: its Python files are not looked at, since it has no __init__.py; "
                    "add an empty one"
                )


def _decorated(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    """Functions with one of our decorators, and what they stand in."""
    names = _our_names(tree)
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, inside = waiting.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and any(
                _name_of(decorator) in names for decorator in child.decorator_list
            ):
                yield child, inside
            waiting.append((child, _inside(child) or inside))


def _our_names(tree: ast.Module) -> frozenset[str]:
    """What the module calls our decorators: `asset`, an alias, `orchestrator.asset`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "orchestrator":
            found.update(alias.asname or alias.name for alias in node.names if alias.name in DECORATORS)
        elif isinstance(node, ast.Import):
            modules = [alias.asname or alias.name for alias in node.names if alias.name == "orchestrator"]
            found.update(f"{module}.{name}" for module in modules for name in DECORATORS)
    return frozenset(found)


def _name_of(decorator: ast.expr) -> str:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(target) if isinstance(target, (ast.Name, ast.Attribute)) else ""


def _inside(node: ast.AST) -> str:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return f"it is inside of the function '{name}'; move it to the module"
        case ast.ClassDef(name=name):
            return f"it is inside of the class '{name}'; move it to the module"
        case ast.If() | ast.Try():
            return "it stands in a branch that did not run; take it out of the branch"
    return ""


def _reason(node: ast.FunctionDef | ast.AsyncFunctionDef, tree: ast.Module, inside: str) -> str:
    if inside:
        return inside
    for other in tree.body:
        later = getattr(other, "lineno", 0) > node.lineno
        if later and isinstance(other, (*FUNCTIONS, ast.ClassDef)) and getattr(other, "name", None) == node.name:
            return f"line {other.lineno} uses its name again; give one of them another name"
        if later and isinstance(other, ast.Assign) and node.name in {ast.unparse(target) for target in other.targets}:
            return f"line {other.lineno} uses its name again; give one of them another name"
    return "something has replaced it or taken it out of the module; keep it at module level under its own name"


def _relative(file: str, root: Path) -> str:
    path = Path(file)
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
