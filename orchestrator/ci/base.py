"""The base of a comparison: another checkout's directory, or a commit, checked out while it is read."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from orchestrator import __version__
from orchestrator.ci.git import commit_of, commits_behind, lend_packages, repository, worktree
from orchestrator.ci.snapshot import Snapshot, SnapshotRequest, read_snapshot, take_snapshot
from orchestrator.errors import ConfigError
from orchestrator.loaders.dbt_project import DbtProject
from orchestrator.resources.dbt_profile import PROFILES_FILE, Profile
from orchestrator.workspace import Workspace

KEPT = 5
"""Snapshots of commits that are kept."""
_MARKS = ("orchestrator.toml", "pyproject.toml", "dbt_project.yml")


@dataclass(frozen=True, slots=True)
class Base:
    """What the head is compared with."""

    name: str
    """For people: `main (1a2b3c4d5)`, or the directory."""
    snapshot: Snapshot
    manifest_dir: Path | None
    """Where dbt's manifest.json is; None when dbt could not parse the base."""
    warnings: tuple[str, ...] = ()


def load_base(head: Workspace, base: str, *, say: Callable[[str], None] = lambda _: None) -> Base:
    """The base that `base` names, a git ref or a directory. Raises ConfigError. Slow, unless its commit is known."""
    top = repository(head.root)
    sha = commit_of(base, cwd=top) if top is not None and not base.startswith((".", "/", "~")) else None
    if top is not None and sha is not None:
        return _from_commit(head, base, top=top, sha=sha, say=say)
    directory = Path(base).expanduser()
    if directory.is_dir():
        return _from_directory(head, directory.resolve(), top=top, say=say)
    fetch = f"fetch it first (`git fetch origin {base.removeprefix('origin/')}`), or name a directory"
    raise ConfigError(
        f"--base '{base}' is neither a commit of this repository nor a directory",
        at=str(top or head.root),
        fix=fetch if top is not None else "name a directory: this workspace is not in a git repository",
    )


def dbt_of(workspace: Workspace) -> tuple[DbtProject, Profile]:
    """The workspace's dbt project and its target. Raises ConfigError without one."""
    project = workspace.project
    if project is None or project.profile is None:
        raise ConfigError("this workspace has no dbt project", fix="add 'dbt' to [tool.orchestrator]")
    return project, project.profile


def _from_commit(head: Workspace, ref: str, *, top: Path, sha: str, say: Callable[[str], None]) -> Base:
    name = ref if sha.startswith(ref) else f"{ref} ({sha[:9]})"
    store = head.state_dir.resolve() / "ci" / "base" / f"{sha[:12]}-{_choices(head)}"
    snapshot = read_snapshot(store)
    if snapshot is None:
        say(f"reading {name}")
        with ExitStack() as stack:
            tree = stack.enter_context(worktree(top, sha))
            snapshot = take_snapshot(_request_for_tree(head, tree, top=top, store=store, base=name))
        _forget_old(store)
    behind = commits_behind(sha, cwd=top)
    warnings = (
        (f"{ref} has {behind} commit{'s' if behind != 1 else ''} that this checkout has not: they show as reverted",)
        if behind
        else ()
    )
    return _base(name, snapshot, store=store, warnings=warnings)


def _request_for_tree(head: Workspace, tree: Path, *, top: Path, store: Path, base: str) -> SnapshotRequest:
    project, profile = dbt_of(head)
    start = tree / head.root.resolve().relative_to(top)
    if not start.is_dir():
        raise ConfigError(f"{base} has no {head.root.resolve().relative_to(top)}", fix="name another --base")
    if project.choices.project_dir.is_relative_to(top):
        lend_packages(project.choices.project_dir, tree / project.choices.project_dir.relative_to(top))
    profiles_dir = _same_place(profile.path, old=top, new=tree)
    return _request(head, start, store=store, profiles_dir=profiles_dir, moved=(tree, top))


def _from_directory(head: Workspace, directory: Path, *, top: Path | None, say: Callable[[str], None]) -> Base:
    inside = directory / head.root.resolve().relative_to(top) if top is not None else directory
    start = inside if any((inside / mark).is_file() for mark in _MARKS) else directory
    _, profile = dbt_of(head)
    digest = hashlib.sha256(str(start).encode()).hexdigest()[:8]
    store = head.state_dir.resolve() / "ci" / "base" / f"{directory.name}-{digest}"
    say(f"reading {directory}")
    profiles_dir = _same_place(profile.path, old=head.root.resolve(), new=start)
    snapshot = take_snapshot(_request(head, start, store=store, profiles_dir=profiles_dir))
    return _base(str(directory), snapshot, store=store)


def _request(
    head: Workspace, start: Path, *, store: Path, profiles_dir: Path, moved: tuple[Path, Path] | None = None
) -> SnapshotRequest:
    project, profile = dbt_of(head)
    return SnapshotRequest(
        start=start,
        store=store,
        profiles_dir=profiles_dir,
        profile=project.choices.profile,
        target=profile.target,
        vars=dict(project.choices.vars),
        moved=moved,
    )


def _same_place(file: Path, *, old: Path, new: Path) -> Path:
    """The directory of profiles.yml in the base's tree; else the head's own (git often ignores it)."""
    file = file.resolve()
    if file.is_relative_to(old) and (new / file.parent.relative_to(old) / PROFILES_FILE).is_file():
        return new / file.parent.relative_to(old)
    return file.parent


def _base(name: str, snapshot: Snapshot, *, store: Path, warnings: tuple[str, ...] = ()) -> Base:
    if snapshot.errors:
        count = len(snapshot.errors)
        warnings += (
            f"{name} has {count} definition error{'s' if count != 1 else ''}: what does not load there counts as new",
        )
    return Base(name, snapshot, store if snapshot.has_manifest else None, warnings)


def _choices(head: Workspace) -> str:
    """A digest of all that decides how a commit is read, besides its files."""
    project, profile = dbt_of(head)
    versions = [__version__, *(metadata.version(name) for name in ("dbt-core", "dbt-adapters"))]
    chosen = [versions, profile.name, profile.target, profile.output, dict(project.choices.vars), str(head.root)]
    return hashlib.sha256(json.dumps(chosen, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _forget_old(store: Path) -> None:
    kept = sorted(store.parent.iterdir(), key=lambda item: item.stat().st_mtime, reverse=True)
    for old in kept[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
