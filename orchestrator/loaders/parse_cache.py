"""Knows whether a project must be parsed again, without importing dbt.

The key covers everything that dbt's parser reads: the project's and its packages' files (path, time, size), the
resolved profile, vars, the environment variables that were read last time, and the versions of dbt and its adapter.
Only a digest is stored. Scanning 1,000 files costs about 10 ms.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from orchestrator.resources.dbt_profile import Profile

CACHE_FILE = "parse_cache.json"
CACHE_VERSION = 1
SUFFIXES = (".sql", ".yml", ".yaml", ".csv", ".py", ".js", ".md", ".toml", ".dbtignore")
_SKIPPED_AT_ROOT = {"target", "logs"}
_SKIPPED = {".git", ".venv", "venv", "node_modules", ".orchestrator", "__pycache__"}
_PATH_SETTINGS = re.compile(r"\w+-paths")
_DBT_VARIABLES = tuple(
    prefix + name for prefix in ("DBT_", "DBT_ENGINE_") for name in ("WARN_ERROR", "WARN_ERROR_OPTIONS")
)
"""dbt's own, which decide whether a project parses."""
_ENV_VAR = re.compile(r"\benv_var\(\s*['\"](\w+)['\"]")


@dataclass(frozen=True, slots=True)
class ParseState:
    """What was parsed, and what is needed to tell whether it still holds."""

    key: str
    manifest: tuple[int, int]
    """Time and size of the manifest.json that belongs to it."""
    env_vars: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def build_key(
    profile: Profile,
    *,
    project_file: Mapping[str, Any],
    variables: Mapping[str, Any],
    env_vars: Iterable[str] = (),
) -> str:
    """A digest of all that parsing depends on."""
    digest = hashlib.blake2b(digest_size=20)
    for path, modified, size in _scan(profile.project_dir, project_file):
        digest.update(f"{path}\0{modified}\0{size}\n".encode())
    rest = {
        "version": CACHE_VERSION,
        "project_dir": str(profile.project_dir),
        "profile": [profile.name, profile.target, str(profile.path), profile.output],
        "vars": dict(variables),
        "env": {name: os.environ.get(name) for name in sorted({*env_vars, *profile.env_vars, *_DBT_VARIABLES})},
        "packages": [
            installed_version("dbt-core"),
            installed_version(f"dbt-{profile.adapter}"),
            installed_version("dbt-adapters"),
        ],
    }
    digest.update(json.dumps(rest, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def read_state(target_path: Path) -> ParseState | None:
    """What was stored beside the manifest; None if nothing was, or it does not belong to the manifest any more."""
    try:
        stored = json.loads((target_path / CACHE_FILE).read_text(encoding="utf-8"))
        state = ParseState(
            key=stored["key"],
            manifest=tuple(stored["manifest"]),
            env_vars=tuple(stored["env_vars"]),
            warnings=tuple(stored["warnings"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return state if state.manifest == manifest_stamp(target_path) else None


def write_state(target_path: Path, state: ParseState) -> None:
    """Store it atomically: a reader sees the old state or the new one."""
    file = target_path / CACHE_FILE
    draft = file.with_suffix(f".{os.getpid()}.tmp")
    stamped = replace(state, manifest=manifest_stamp(target_path))
    draft.write_text(json.dumps(asdict(stamped)), encoding="utf-8")
    draft.replace(file)


def manifest_stamp(target_path: Path) -> tuple[int, int]:
    """Time and size of manifest.json; zeros if there is none."""
    try:
        stat = (target_path / "manifest.json").stat()
    except OSError:
        return (0, 0)
    return (stat.st_mtime_ns, stat.st_size)


def named_env_vars(project_dir: Path) -> set[str]:
    """Names in `env_var('…')` in the project's own settings, which dbt does not record in the manifest."""
    found: set[str] = set()
    for name in ("dbt_project.yml", "packages.yml", "dependencies.yml", "selectors.yml"):
        try:
            found.update(_ENV_VAR.findall((project_dir / name).read_text(encoding="utf-8", errors="replace")))
        except OSError:
            continue
    return found


def scan_files(directory: Path, *, skipped: Iterable[str] = (), folders: bool = True) -> Iterator[tuple[str, int, int]]:
    """(path, mtime_ns, size) of the files in `directory` that definitions may be read from.

    `skipped` are names in the directory itself; without `folders` nothing below it is looked at.
    """
    yield from _walk(str(directory), set(skipped), set(), folders=folders)


def _scan(project_dir: Path, project_file: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    roots = [str(project_dir), *_paths_outside(project_dir, project_file)]
    skipped = _SKIPPED_AT_ROOT | {str(project_file.get(name)) for name in ("target-path", "log-path")}
    seen: set[str] = set()
    return sorted(found for root in roots for found in _walk(root, skipped, seen))


def _paths_outside(project_dir: Path, project_file: Mapping[str, Any]) -> list[str]:
    """Configured resource paths and package directories that the project's tree does not hold."""
    named = [value for name, value in project_file.items() if _PATH_SETTINGS.fullmatch(str(name))]
    paths = [path for value in named for path in (value if isinstance(value, list) else [value])]
    paths.append(project_file.get("packages-install-path"))
    absolute = [os.path.normpath(project_dir / path) for path in paths if isinstance(path, str)]
    return [path for path in absolute if not Path(path).is_relative_to(project_dir)]


def _walk(directory: str, skipped: set[str], seen: set[str], *, folders: bool = True) -> Iterator[tuple[str, int, int]]:
    """(path, mtime_ns, size) of the files below that dbt may read. Follows links (local packages), each place once."""
    real = os.path.realpath(directory)
    if real in seen:
        return
    seen.add(real)
    try:
        entries = list(os.scandir(directory))
    except OSError:
        return
    for entry in entries:
        if entry.name.endswith(SUFFIXES):
            if entry.is_file():
                stat = entry.stat()
                yield entry.path, stat.st_mtime_ns, stat.st_size
        elif folders and entry.name not in _SKIPPED and entry.name not in skipped and entry.is_dir():
            yield from _walk(entry.path, set(), seen)


def installed_version(distribution: str) -> str | None:
    """The version of a distribution; None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


__all__ = [
    "ParseState",
    "build_key",
    "installed_version",
    "manifest_stamp",
    "named_env_vars",
    "read_state",
    "scan_files",
    "write_state",
]
