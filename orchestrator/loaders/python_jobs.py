"""Jobs at module level, and the lines where they stand."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType

from orchestrator.definitions.jobs import Job, PlacedJob
from orchestrator.loaders.python_source import read_tree


def find_jobs(modules: Iterable[ModuleType], *, relative: Callable[[str], str]) -> Iterator[PlacedJob]:
    """Every job once, where it is made: a module that imports another's job does not define it again."""
    seen: dict[int, PlacedJob] = {}
    for module in modules:
        lines = _assigned_lines(module)
        for name, value in vars(module).items():
            if isinstance(value, Job) and (name in lines or id(value) not in seen):
                seen[id(value)] = PlacedJob(value, f"{relative(module.__file__ or '')}:{lines.get(name, 1)}")
    yield from seen.values()


def _assigned_lines(module: ModuleType) -> dict[str, int]:
    """{name: line} of what the module's own statements assign, not what it imports."""
    tree = read_tree(module.__file__) if module.__file__ else None
    return {
        node.id: node.lineno
        for statement in (tree.body if tree is not None else ())
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
