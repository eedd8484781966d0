"""What a compiled text depends on, as a key: equal keys, equal text.

The compiler tells what it read (`CompileInputs`), so a key is exact where the code version is broad: it covers the
node with all its configuration, the relations it names, the ephemeral models inside it, the macros that were really
called (and others of their names, which might be called instead), the values of the variables and environment
variables that were really read, the target's profile and the versions of dbt and its adapter.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.dbt_engine.compile import CompileInputs
from orchestrator.loaders.dbt_versions import SHIPPED_MACROS
from orchestrator.loaders.manifest import Macro, Manifest, Node
from orchestrator.loaders.parse_cache import installed_version
from orchestrator.resources.dbt_profile import Profile

FORMAT = 1
"""Raised when the compiler here changes what it returns."""
_BUILT_IN = frozenset(
    (
        "adapter",
        "api",
        "builtins",
        "config",
        "context",
        "dbt_version",
        "env_var",
        "execute",
        "flags",
        "function",
        "graph",
        "is_incremental",
        "log",
        "metric",
        "model",
        "modules",
        "ref",
        "return",
        "should_full_refresh",
        "source",
        "target",
        "this",
        "var",
    )
)
"""A macro with one of these names takes the place of dbt's own in every node."""


@dataclass(frozen=True)
class CompileKeys:
    """Keys of one manifest's nodes."""

    manifest: Manifest
    profile: Profile
    project: str
    """The state of the whole project, for nodes that depend on all of it."""
    variables: Mapping[str, Any]
    """The project's, with those of the command line."""
    packages_dir: Path
    _parts: dict[str, bytes] = field(default_factory=dict, init=False, repr=False)

    def of(self, unique_id: str, inputs: CompileInputs) -> str:
        """The key of a node that read this."""
        node = self._nodes[unique_id]
        digest = hashlib.blake2b(self._common, digest_size=16)
        digest.update(self._part(unique_id))
        read = {
            "env": {name: os.environ.get(name) for name in inputs.env_vars},
            "vars": self._values(node, inputs.variables),
            "macros": sorted(self._macros_named(inputs.macros)),
            "project": self.project if inputs.everything else None,
        }
        digest.update(_json(read))
        return digest.hexdigest()

    def _part(self, unique_id: str) -> bytes:
        """The node as parsed, and how what it reads is called; the whole parent where that is ephemeral."""
        if unique_id not in self._parts:
            node = self._nodes[unique_id]
            self._parts[unique_id] = b""  # guards against a cycle of ephemeral models
            digest = hashlib.blake2b(msgspec.json.encode(node), digest_size=16)
            for parent in node.parents:
                digest.update(self._named(parent))
            self._parts[unique_id] = digest.digest()
        return self._parts[unique_id]

    def _named(self, parent: str) -> bytes:
        node = self._nodes.get(parent)
        if node is None:  # a source: what it is called may be computed from anything in it (`external_location`)
            return msgspec.json.encode(self._sources.get(parent))
        if node.materialized == "ephemeral":
            return self._part(parent)
        return f"\0{parent}\0{node.relation_name}".encode()

    @cached_property
    def _nodes(self) -> Mapping[str, Node]:
        return {**self.manifest.all_of("nodes"), **self.manifest.all_of("functions")}

    @cached_property
    def _sources(self) -> Mapping[str, Any]:
        return self.manifest.all_of("sources")

    @cached_property
    def _common(self) -> bytes:
        adapter = self.profile.adapter
        versions = [installed_version(name) for name in ("dbt-core", "dbt-adapters", f"dbt-{adapter}", "Jinja2")]
        target = [self.profile.name, self.profile.target, self.profile.output]
        replaced = [macro for macro in self._own_macros if macro.name in _BUILT_IN]
        return hashlib.blake2b(_json([FORMAT, versions, target, _texts(replaced)])).digest()

    @cached_property
    def _own_macros(self) -> list[Macro]:
        macros: Iterable[Macro] = self.manifest.all_of("macros").values()
        return [macro for macro in macros if macro.package_name not in SHIPPED_MACROS]

    @cached_property
    def _by_base(self) -> Mapping[str, list[tuple[str, str]]]:
        found: dict[str, list[tuple[str, str]]] = {}
        for macro in self._own_macros:
            found.setdefault(_base(macro.name), []).extend(_texts([macro]))
        return found

    def _macros_named(self, names: Iterable[str]) -> Iterable[tuple[str, str]]:
        for base in {_base(name) for name in names}:
            yield from self._by_base.get(base, ())

    def _values(self, node: Node, names: Iterable[str]) -> Any:
        if not names:
            return None
        scoped = self.variables.get(node.package_name)
        own = scoped if isinstance(scoped, Mapping) else {}
        values = {name: [name in own, own.get(name), self.variables.get(name)] for name in names}
        return [values, self._package_file(node.package_name)]

    def _package_file(self, package: str) -> str | None:
        """A package has variables of its own."""
        try:
            content = (self.packages_dir / package / "dbt_project.yml").read_bytes()
        except OSError:
            return None
        return hashlib.blake2b(content, digest_size=16).hexdigest()


def _base(name: str) -> str:
    """The name that `adapter.dispatch` is given.

    >>> _base("duckdb__date_trunc"), _base("cents")
    ('date_trunc', 'cents')
    """
    return name.partition("__")[2] or name


def _texts(macros: Iterable[Macro]) -> list[tuple[str, str]]:
    return [(macro.unique_id, hashlib.blake2b((macro.macro_sql or "").encode()).hexdigest()) for macro in macros]


def _json(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, default=str).encode()


__all__ = ["CompileKeys"]
