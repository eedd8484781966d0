"""A file with settings, `[tool.orchestrator]` in pyproject.toml or `orchestrator.toml`, and where in it they stand."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The settings of one directory, as they were read."""

    path: Path
    values: Mapping[str, Any]
    text: str = ""

    @property
    def root(self) -> Path:
        """The directory that relative paths in it start from."""
        return self.path.parent

    def title(self, *names: str) -> str:
        """A table as people write it: `[tool.orchestrator.projects.other]`."""
        prefix = ("tool", "orchestrator") if self.path.name == "pyproject.toml" else ()
        return f"[{'.'.join((*prefix, *names))}]"

    def at(self, *names: str) -> str:
        """`file:line` of a table or of a setting in one; the file alone where it cannot be found."""
        lines = self.text.splitlines()
        table = self._line_of_table(lines, names)
        if table is None and len(names) > 1 and (outer := self._line_of_table(lines, names[:-1])) is not None:
            table = next((n for n in _body(lines, outer) if _sets(lines[n - 1], names[-1])), outer)
        return f"{self.path}:{table}" if table is not None else str(self.path)

    def _line_of_table(self, lines: Sequence[str], names: Sequence[str]) -> int | None:
        wanted = self.title(*names)
        return next((n for n, line in enumerate(lines, start=1) if _header(line) == wanted), None)


def _header(line: str) -> str | None:
    found = re.match(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$", line)
    return "[" + ".".join(part.strip().strip("\"'") for part in found[1].split(".")) + "]" if found else None


def _body(lines: Sequence[str], header: int) -> Sequence[int]:
    """The line numbers of a table's own settings."""
    end = next((n for n in range(header + 1, len(lines) + 1) if _header(lines[n - 1])), len(lines) + 1)
    return range(header + 1, end)


def _sets(line: str, name: str) -> bool:
    return re.match(rf"\s*[\"']?{re.escape(name)}[\"']?\s*[=.]", line) is not None


def read_settings(directory: Path) -> SettingsFile | None:
    """The settings that `directory` holds; None if it holds none. Raises ConfigError."""
    file = directory / "orchestrator.toml"
    if file.is_file():
        text = _text(file)
        return SettingsFile(file, _toml(file, text), text)
    file = directory / "pyproject.toml"
    if file.is_file():
        text = _text(file)
        settings = _toml(file, text).get("tool", {}).get("orchestrator")
        if settings is not None:
            return SettingsFile(file, settings, text)
    return None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{file.name} is not valid TOML: {exc}", at=str(file), fix="correct the file") from exc


def _toml(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{file.name} is not valid TOML: {exc}", at=str(file), fix="correct the file") from exc


def strings(value: Any, setting: str, *, at: str) -> tuple[str, ...]:
    """One string or a list of them. Raises ConfigError for anything else."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ConfigError(
        f"'{setting}' must be a string or a list of strings, not {value!r}",
        at=at,
        fix=f'write {setting} = "name" or {setting} = ["one", "two"]',
    )


__all__ = ["SettingsFile", "read_settings", "strings"]
