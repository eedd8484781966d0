"""Removes what CI runs of one name have made: files of DuckDB, claimed schemas of a server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.ci.base import dbt_of
from orchestrator.ci.ownership import Dropped, drop_claimed
from orchestrator.ci.place import Place, place_called, write_profile
from orchestrator.ci.prepare import load_place
from orchestrator.loaders.manifest import load_manifest
from orchestrator.resources.file_lock import writer_lock
from orchestrator.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was removed."""

    place: Place
    schemas: tuple[Dropped, ...] = ()
    files: tuple[str, ...] = ()


def clean_up(head: Workspace, *, name: str | None, say: Callable[[str], None]) -> Cleaned:
    """Remove what `orchestrator ci` has made under `name` (default: the branch), and nothing else.

    Raises ConfigError, DefinitionErrors, DbtProjectError, ResourceLockedError while such a run is at work.
    """
    _, profile = dbt_of(head)
    place = place_called(name, profile, state_dir=head.state_dir, root=head.root)
    if profile.adapter == "duckdb":
        return Cleaned(place, files=_remove_files(place, head, say))
    head.require_sound()
    write_profile(place)
    workspace = load_place(head, place)
    project = workspace.project
    assert project is not None
    assert project.manifest_path is not None
    dropped = drop_claimed(workspace, place.name, schema=place.schema, manifest=load_manifest(project.manifest_path))
    shutil.rmtree(place.directory, ignore_errors=True)
    return Cleaned(place, schemas=tuple(dropped))


def _remove_files(place: Place, head: Workspace, say: Callable[[str], None]) -> tuple[str, ...]:
    file = place.database_path
    there = [found for found in (file, file.with_name(file.name + ".wal")) if found.exists()]
    if there:
        with writer_lock(file, run_id=place.environment, timeout_s=head.config.lock_timeout_s, on_wait=say):
            for found in there:
                found.unlink()
    shutil.rmtree(place.directory, ignore_errors=True)
    return tuple(found.name for found in there)
