"""Modules of another project under names of their own: two repositories may both have an `assets/flights.py`.

A module `assets.flights` of the project `other` is imported as `other:assets.flights`, a name that no import statement
can spell, and its own import statements find its project's modules first, late ones inside functions included.
"""

from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any


class PrivateModules:
    """A finder for `sys.meta_path` of one project. `root` is what its packages are imported from."""

    def __init__(self, project: str, root: Path, packages: Sequence[str]) -> None:
        self.prefix = f"{project}:"
        self.root = root
        self._tops = {name.partition(".")[0] for name in packages}
        self._known: dict[str, bool] = {}

    def install(self) -> None:
        """Take the place of an earlier one of the same project; what was imported from another place is forgotten."""
        for finder in [item for item in sys.meta_path if getattr(item, "prefix", None) == self.prefix]:
            sys.meta_path.remove(finder)
            if getattr(finder, "root", None) != self.root:
                for name in [name for name in sys.modules if name.startswith(self.prefix)]:
                    del sys.modules[name]
        sys.meta_path.insert(0, self)

    def has(self, top: str) -> bool:
        """True for a module or package that lies in the project."""
        if top not in self._known:
            self._known[top] = self._looks_own(top)
        return self._known[top]

    def _looks_own(self, top: str) -> bool:
        directory = self.root / top
        if (self.root / f"{top}.py").is_file() or (directory / "__init__.py").is_file():
            return True
        if not directory.is_dir():
            return False
        # Without __init__.py any directory would do: as in Python, an installed package comes before it.
        return top in self._tops or (next(directory.glob("*.py"), None) is not None and _is_unknown(top))

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """Python's own answer for the file, under the private name."""
        if not name.startswith(self.prefix):
            return None
        found = PathFinder.find_spec(name.removeprefix(self.prefix), [str(self.root)] if path is None else path)
        if found is None:
            return None
        if found.origin is None or not isinstance(found.loader, SourceFileLoader):
            spec = ModuleSpec(name, found.loader if found.origin else None, origin=found.origin)
            if found.submodule_search_locations is not None:
                spec.submodule_search_locations = list(found.submodule_search_locations)
            return spec
        return importlib.util.spec_from_file_location(
            name,
            found.origin,
            loader=_Loader(name, found.origin, self),
            submodule_search_locations=found.submodule_search_locations,
        )

    def import_(
        self,
        name: str,
        globals: Any = None,  # noqa: A002  the names that `__import__` has
        locals: Any = None,  # noqa: A002
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> Any:
        """What `import` does in the project's modules."""
        if level == 0 and self.has(name.partition(".")[0]):
            name = f"{self.prefix}{name}"
        return builtins.__import__(name, globals, locals, fromlist, level)


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, modules: PrivateModules) -> None:
        super().__init__(name, path)
        self._modules = modules

    def exec_module(self, module: ModuleType) -> None:
        # Python takes `__import__` from the builtins of the module that the statement stands in.
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": self._modules.import_}
        super().exec_module(module)


def _is_unknown(top: str) -> bool:
    try:
        return importlib.util.find_spec(top) is None
    except (ImportError, ValueError):
        return True


__all__ = ["PrivateModules"]
