"""Compiled SQL of a dbt project, from a cache beside its manifest: dbt is asked for what is missing only.

A project in which nothing has changed since (the parse cache's own key says so) is read without looking at a single
node, and dbt is not imported. After a change each node's own key decides.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.dbt_engine.compile import Compilation, CompiledNode, compile_nodes
from orchestrator.dbt_engine.invocation import DbtInvocation
from orchestrator.errors import OrchestratorError
from orchestrator.loaders.compiled_file import CompiledFile, read_compiled_file
from orchestrator.loaders.compiled_keys import CompileKeys
from orchestrator.loaders.dbt_assets import PACKAGES_DIR
from orchestrator.loaders.manifest import Manifest, Node
from orchestrator.loaders.parse_cache import build_key, read_state
from orchestrator.resources.dbt_profile import Profile, read_project_file

if TYPE_CHECKING:
    from orchestrator.loaders.dbt_project import DbtProject

COMPILED_FILE = "compiled.bin"
LOCK_TIMEOUT_S = 600
_KINDS = frozenset(("model", "snapshot", "test", "analysis", "function"))


class CompiledNodes(Mapping[str, CompiledNode]):
    """{unique_id: compiled node}; a node's texts are decoded when it is asked for."""

    def __init__(
        self,
        stored: CompiledFile,
        *,
        ids: Iterable[str],
        unstored: Mapping[str, CompiledNode] | None = None,
        known: Mapping[str, str] | None = None,
    ) -> None:
        self._stored, self._unstored, self._known = stored, unstored or {}, known or {}
        self._ids = dict.fromkeys(ids)

    def __getitem__(self, unique_id: str) -> CompiledNode:
        if unique_id not in self._ids:
            raise KeyError(unique_id)
        node = self._unstored.get(unique_id) or self._stored.node(unique_id)
        if node.full is None and unique_id in self._known:
            return replace(node, full=self._known[unique_id], recorded=True)
        return node

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


def load_compiled(
    project: DbtProject,
    manifest: Manifest,
    *,
    wanted: Iterable[str] | None = None,
    known: Mapping[str, str] | None = None,
) -> CompiledNodes:
    """What dbt makes of `wanted` (default: models, snapshots and singular tests) on the project's target.

    `manifest` is the project's own. `known` is SQL that is known from elsewhere ({unique_id: text}, for example
    recorded by a run): it stands in where nothing can be compiled offline, marked as `recorded`. Ids of what has no
    code (seeds, sources) are left out. Raises nothing: what cannot be compiled says why. The first call after a
    change imports dbt, unless the project was parsed in this process, and costs 2-3 ms CPU a changed node.
    """
    ids = _compilable(manifest, wanted)
    if project.invocation is None or project.profile is None:
        reason = CompiledNode(reason="the dbt project cannot be loaded")
        return CompiledNodes(CompiledFile(), ids=ids, unstored=dict.fromkeys(ids, reason), known=known)
    cache = _Cache(project, project.invocation, project.profile, manifest)
    stored, missing = cache.read(ids)
    unstored: Mapping[str, CompiledNode] = {}
    if missing or not cache.holds(stored):
        with cache.lock():
            stored, missing = cache.read(ids)  # another process may have compiled while this one waited
            stored, unstored = cache.update(stored, missing)
    return CompiledNodes(stored, ids=ids, unstored=unstored, known=known)


def _compilable(manifest: Manifest, wanted: Iterable[str] | None) -> list[str]:
    nodes: Mapping[str, Node] = {**manifest.all_of("nodes"), **manifest.all_of("functions")}
    if wanted is None:
        return [unique_id for unique_id, node in nodes.items() if _by_default(node)]
    return [unique_id for unique_id in wanted if unique_id in nodes and nodes[unique_id].resource_type in _KINDS]


def _by_default(node: Node) -> bool:
    singular = node.resource_type == "test" and node.original_file_path.endswith(".sql")
    return singular or node.resource_type in ("model", "snapshot")


@dataclass(frozen=True)
class _Cache:
    project: DbtProject
    invocation: DbtInvocation
    profile: Profile
    manifest: Manifest

    @property
    def file(self) -> Path:
        return self.invocation.target_path / COMPILED_FILE

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """One process compiles at a time. Where there can be no lock, nothing is written and nothing lost."""
        from filelock import FileLock, Timeout

        held = None
        try:
            self.invocation.target_path.mkdir(parents=True, exist_ok=True)
            held = FileLock(self.file.with_suffix(".lock"), timeout=LOCK_TIMEOUT_S)
            held.acquire()
        except (OSError, Timeout):
            held = None
        try:
            yield
        finally:
            if held is not None:
                held.release()

    def read(self, ids: Collection[str]) -> tuple[CompiledFile, list[str]]:
        """The stored file with the entries that still hold, and which of `ids` are missing in it."""
        stored = read_compiled_file(self.file)
        if not self.holds(stored):
            nodes = {**self.manifest.all_of("nodes"), **self.manifest.all_of("functions")}
            valid = [
                unique_id
                for unique_id, entry in stored.entries.items()
                if unique_id in nodes and self.keys.of(unique_id, entry.inputs) == entry.key
            ]
            stored = stored.changed("", kept=valid, added={})
        return stored, [unique_id for unique_id in ids if unique_id not in stored.entries]

    def holds(self, stored: CompiledFile) -> bool:
        """True when the whole project, and all that its nodes read, is as it was when the file was written."""
        names = {name for entry in stored.entries.values() for name in entry.env_vars}
        return stored.project != "" and stored.project == self.state(names)

    def state(self, env_vars: Iterable[str]) -> str:
        """The state of the whole project; empty while it is not known."""
        if not self._parsed:
            return ""
        values = "\0".join(f"{name}={os.environ.get(name)}" for name in sorted(env_vars))
        return hashlib.blake2b(f"{self._parsed}\0{values}".encode(), digest_size=16).hexdigest()

    def update(self, stored: CompiledFile, missing: Collection[str]) -> tuple[CompiledFile, Mapping[str, CompiledNode]]:
        """The file with `missing` compiled, written; what cannot be stored comes beside it."""
        compiled: Mapping[str, Compilation] = {}
        reason = "dbt does not know it; the project's files are changing"
        if missing:
            try:
                compiled = compile_nodes(self.invocation, self.project.dbt_manifest(), nodes=missing)
            except OrchestratorError as exc:
                reason = f"dbt cannot read the project: {exc.what.splitlines()[0]}"
        added = {unique_id: (self.keys.of(unique_id, found.inputs), found) for unique_id, found in compiled.items()}
        changed = stored.changed("", kept=stored.entries, added=added)
        changed.project = self.state({name for entry in changed.entries.values() for name in entry.env_vars})
        if self._is_unchanged():
            with contextlib.suppress(OSError):
                changed.write(self.file)
        return changed, {unique_id: CompiledNode(reason=reason) for unique_id in missing if unique_id not in compiled}

    def _is_unchanged(self) -> bool:
        """False when files have changed since they were parsed: then text and manifest may not belong together."""
        state = read_state(self.invocation.target_path)
        if state is None or state.key != self._parsed:
            return False
        today = build_key(
            self.profile,
            project_file=self._project_file,
            variables=self.invocation.vars,
            env_vars=state.env_vars,
        )
        return today == state.key

    @cached_property
    def _parsed(self) -> str:
        state = read_state(self.invocation.target_path)
        return state.key if state is not None else ""

    @cached_property
    def _project_file(self) -> Mapping[str, Any]:
        try:
            return read_project_file(self.invocation.project_dir)
        except OrchestratorError:
            return {}

    @cached_property
    def keys(self) -> CompileKeys:
        own = self._project_file.get("vars")
        packages = str(self._project_file.get("packages-install-path") or PACKAGES_DIR)
        return CompileKeys(
            self.manifest,
            self.profile,
            project=self._parsed,
            variables={**(own if isinstance(own, Mapping) else {}), **self.invocation.vars},
            packages_dir=self.invocation.project_dir / packages,
        )


__all__ = ["COMPILED_FILE", "CompiledNodes", "load_compiled"]
