"""Follows the definitions of a workspace in a process that lives on: notices changed files, and reads them again."""

from __future__ import annotations

import importlib
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import OrchestratorError
from orchestrator.loaders.parse_cache import scan_files
from orchestrator.workspace import Workspace

LOOK_EVERY_S = 1.5
SETTLE_S = 0.4
_OURS = ("orchestrator", "orchestrator_app")
_INSTALLED = ("site-packages", "dist-packages", ".venv", "venv")
Files = frozenset[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """One load of the definitions that can be worked with, and what is wrong with the newest one."""

    id: str
    workspace: Workspace
    errors: tuple[OrchestratorError, ...]
    """Of the newest load; `workspace` is an older one while a broken edit is on the disk."""

    @property
    def is_last_good(self) -> bool:
        """True when the graph is not what is on the disk, because that is broken."""
        return bool(self.errors) and not self.workspace.errors


class LiveWorkspace:
    """A workspace that follows its files. `current` is at hand at once; `look` and `refresh` keep it up to date.

    `load` is what reads the definitions. The first load happens here and raises what it raises.
    """

    def __init__(self, load: Callable[[], Workspace]) -> None:
        self._load = load
        self._guard = threading.Lock()
        self._reading: threading.Thread | None = None
        self._looked = time.monotonic()
        workspace = load()
        self.current = Loaded(uuid.uuid4().hex, workspace, workspace.errors)
        self._files = definition_files(workspace)

    def look(self) -> bool:
        """Begin to read the definitions in the background if a file has changed; True while that goes on. Cheap."""
        with self._guard:
            if self._reading is not None and self._reading.is_alive():
                return True
            if time.monotonic() - self._looked < LOOK_EVERY_S:
                return False
            self._looked = time.monotonic()
            if definition_files(self.current.workspace) == self._files:
                return False
            self._reading = threading.Thread(target=self._read_settled, name="orchestrator-reload", daemon=True)
            self._reading.start()
            return True

    def refresh(self) -> Loaded:
        """The definitions as they are on the disk now. Reads them only if a file has changed."""
        with self._guard:
            files = definition_files(self.current.workspace)
            if files != self._files or self.current.errors:
                self._read(files)
        return self.current

    def _read_settled(self) -> None:
        """Wait until nobody writes any more: a checkout changes many files."""
        files = definition_files(self.current.workspace)
        while True:
            time.sleep(SETTLE_S)
            now = definition_files(self.current.workspace)
            if now == files:
                break
            files = now
        self._read(files)

    def _read(self, files: Files) -> None:
        """Replace `current`. A broken edit leaves the last good graph in place."""
        before = self.current.workspace
        for project_root in _roots(before):
            forget_modules(project_root)
        try:
            workspace: Workspace | None = self._load()
            errors = workspace.errors if workspace is not None else ()
        except OrchestratorError as error:
            workspace, errors = None, (error,)
        # A load imports modules that were not looked at before; what has changed meanwhile is read again.
        after = definition_files(before if workspace is None else workspace)
        self._files = after if files <= after else files
        if workspace is None or (errors and not before.errors):
            workspace = before
        self.current = Loaded(uuid.uuid4().hex, workspace, errors)


def definition_files(workspace: Workspace) -> Files:
    """(path, mtime_ns, size) of all files that the definitions are read from."""
    root = workspace.root
    found = set(scan_files(root, folders=False))
    others: list[Path] = []
    for project in workspace.projects:
        settings = project.settings
        if settings.root != root:
            found.update(scan_files(settings.root, folders=False))
        if settings.dbt_dir is not None:
            found.update(scan_files(settings.dbt_dir, skipped={"target", "logs"}))
        for package in settings.python_packages:
            directory = settings.root / package.replace(".", "/")
            found.update(one for one in scan_files(directory) if one[0].endswith(".py"))
        if settings.graph is not None and "://" not in settings.graph:
            others.append(Path(settings.graph))
        if project.profile is not None:
            others.append(project.profile.path)
    for path in (*others, *_module_files(_roots(workspace))):
        try:
            stat = path.stat()
        except OSError:
            continue
        found.add((str(path), stat.st_mtime_ns, stat.st_size))
    return frozenset(found)


def forget_modules(root: Path) -> None:
    """Let the project's own modules be imported again; what was imported stays as it is for who holds it."""
    for name, _ in list(_own_modules(root)):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def _roots(workspace: Workspace) -> tuple[Path, ...]:
    """The directories that projects' modules are imported from; installed packages do not change."""
    projects = (project.settings for project in workspace.projects)
    return tuple(dict.fromkeys((workspace.root, *(item.root for item in projects if item.package is None))))


def _module_files(roots: Iterable[Path]) -> Iterator[Path]:
    """Files of imported project code, also of modules outside the packages with definitions."""
    for root in roots:
        for _, file in _own_modules(root):
            yield file


def _own_modules(root: Path) -> Iterator[tuple[str, Path]]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or name == "__main__" or name.partition(".")[0] in _OURS:
            continue
        path = Path(file)
        if path.is_relative_to(root) and not any(part in _INSTALLED for part in path.relative_to(root).parts):
            yield name, path


__all__ = ["LiveWorkspace", "Loaded", "definition_files", "forget_modules"]
