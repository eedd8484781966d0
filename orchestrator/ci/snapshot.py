"""The base, loaded in a process of its own: two versions of one Python package do not fit into one process."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import ConfigError, OrchestratorError
from orchestrator.graph.model import AssetGraph

if TYPE_CHECKING:
    from orchestrator.workspace import Workspace

SNAPSHOT_FILE = "snapshot.pickle"
_ENTRY = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; from orchestrator.ci.snapshot import take_and_store as take"
    "; take(sys.argv[1])"
)


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """Which workspace to load, and how: the head's own choices."""

    start: Path
    store: Path
    """The directory where the snapshot and dbt's manifest.json are left."""
    profiles_dir: Path
    profile: str | None
    target: str
    vars: Mapping[str, Any] = field(default_factory=dict)
    moved: tuple[Path, Path] | None = None
    """(checkout that is read, checkout whose data it stands for): a commit has no warehouse of its own."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The base as it was found. Plain data, so that it can be kept."""

    root: Path
    environment: str
    graph: AssetGraph
    errors: tuple[str, ...] = ()
    database: str = ""
    """The target's database, as relations name it."""
    duckdb_path: Path | None = None
    records_url: str = ""
    has_manifest: bool = False
    env_vars: Mapping[str, str] = field(default_factory=dict)
    """{environment variable that parsing read: digest of its value}"""


def take_snapshot(request: SnapshotRequest) -> Snapshot:
    """Load the base in a child process. Raises ConfigError when there is nothing to load."""
    request.store.mkdir(parents=True, exist_ok=True)
    todo = request.store / "request.pickle"
    todo.write_bytes(pickle.dumps(request))
    here = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", _ENTRY, str(todo)],
        env={**os.environ, "PYTHONPATH": path},
        cwd=request.store,
        capture_output=True,
        text=True,
        check=False,
    )
    todo.unlink(missing_ok=True)
    found = read_snapshot(request.store)
    if done.returncode != 0 or found is None:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise ConfigError(
            f"the base cannot be loaded: {said[-1].strip() if said else 'the process ended without a word'}",
            at=str(request.start),
            fix="check it out and run `orchestrator ls` there",
        )
    return found


def read_snapshot(store: Path) -> Snapshot | None:
    """A stored snapshot; None if there is none that this version can read, or what it read has changed."""
    try:
        found = pickle.loads((store / SNAPSHOT_FILE).read_bytes())
    except Exception:  # noqa: BLE001  absent, damaged, or of another version: taken anew
        return None
    if not isinstance(found, Snapshot) or found.env_vars != _digests(found.env_vars):
        return None
    return found


def take_and_store(request_file: str) -> None:
    """The child process."""
    request: SnapshotRequest = pickle.loads(Path(request_file).read_bytes())
    from orchestrator.config import DbtFlags
    from orchestrator.workspace import load_workspace

    os.chdir(request.start)
    flags = DbtFlags(
        profiles_dir=request.profiles_dir, profile=request.profile, target=request.target, vars=request.vars
    )
    try:
        workspace = load_workspace(request.start, flags=flags)
    except OrchestratorError as exc:
        sys.stderr.write(f"{exc.what}\n")
        sys.exit(2)
    snapshot = _snapshot(workspace, request)
    draft = request.store / f"{SNAPSHOT_FILE}.{os.getpid()}"
    draft.write_bytes(pickle.dumps(snapshot))
    draft.replace(request.store / SNAPSHOT_FILE)
    sys.stdout.flush()
    os._exit(0)  # nothing is open; leaving the usual way costs a second after dbt


def _snapshot(workspace: Workspace, request: SnapshotRequest) -> Snapshot:
    from orchestrator.loaders.parse_cache import read_state

    project, env_vars = workspace.project, {}
    has_manifest = project is not None and project.manifest_path is not None
    if project is not None and project.manifest_path is not None:
        shutil.copyfile(project.manifest_path, request.store / "manifest.json")
        state = read_state(project.manifest_path.parent)
        env_vars = _digests(dict.fromkeys(state.env_vars if state else (), ""))
    profile = project.profile if project is not None else None
    return Snapshot(
        root=workspace.root,
        environment=workspace.environment,
        graph=workspace.graph,
        errors=tuple(str(error) for error in workspace.errors),
        database=profile.database if profile is not None else "",
        duckdb_path=_moved(profile.duckdb_path, request) if profile is not None else None,
        records_url=workspace.config.records_url,
        has_manifest=has_manifest,
        env_vars=env_vars,
    )


def _moved(path: Path | None, request: SnapshotRequest) -> Path | None:
    if path is None or request.moved is None or not path.is_relative_to(request.moved[0]):
        return path
    return request.moved[1] / path.relative_to(request.moved[0])


def _digests(names: Mapping[str, str]) -> dict[str, str]:
    return {name: hashlib.sha256(os.environ.get(name, "").encode()).hexdigest() for name in names}
