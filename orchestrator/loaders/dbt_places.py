"""Where a dbt resource stands in the user's files: path and line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from orchestrator.definitions.keys import Location
from orchestrator.loaders.shown_paths import shown_path


class Places:
    """Locations of one project's resources. Files are read once, and only when a line in YAML is asked for."""

    def __init__(self, *, package_dir: Mapping[str, Path], project_dir: Path, workspace_root: Path) -> None:
        # Strings, not Paths: with 1,000 tests in YAML, pathlib took half the time of building the fragment.
        self._package_dir = {package: str(directory) for package, directory in package_dir.items()}
        self._project_dir = str(project_dir)
        self._root = str(workspace_root)
        self._files: dict[tuple[str, str], str] = {}
        self._lines: dict[str, dict[str, list[int]]] = {}

    def file(self, package: str, path: str, *names: str) -> Location:
        """The file; in YAML the line of `name: …`, of one name after the other. 1 where it cannot be found."""
        full = self._files.get((package, path))
        if full is None:
            full = os.path.normpath(f"{self._package_dir.get(package, self._project_dir)}{os.sep}{path}")
            self._files[package, path] = full
        line = self._line(full, names) if names and full.endswith((".yml", ".yaml")) else 1
        return Location(shown_path(full, self._root), line)

    def _line(self, file: str, names: tuple[str, ...]) -> int:
        named = self._names_in(file)
        line = 0
        for name in names:
            following = [number for number in named.get(name, ()) if number > line]
            if not following:
                break
            line = following[0]
        return line or 1

    def _names_in(self, file: str) -> dict[str, list[int]]:
        if file not in self._lines:
            self._lines[file] = _read_names(Path(file))
        return self._lines[file]


_NAME = re.compile(r"""^[\s\-{]*name\s*:\s*["']?(?P<name>[^"'#,}]+?)["']?\s*(?:[#,}].*)?$""")


def _read_names(file: Path) -> dict[str, list[int]]:
    """{name: lines of `name: …`}; empty when the file cannot be read."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    found: dict[str, list[int]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _NAME.match(line):
            found.setdefault(match["name"], []).append(number)
    return found
