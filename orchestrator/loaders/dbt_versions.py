"""The code version of a dbt node: a fingerprint that changes when what it builds may change.

It covers the code as written, every macro it calls (with the macros those call), the configuration that matters, the
values of the variables it names, and the ephemeral models that dbt compiles into it. It is equal on every target:
configuration that depends on the target counts as it is written, and names of databases and schemas do not count.

Not covered: dbt's own macros (their dbt version, to the minor, stands for them), and macros and environment variables
that are only found at run time through a computed name.

It is written `how-what`: `how` covers what the compiled SQL does not show. Two versions with the same `how` and SQL
that does the same (`sql.classify`) are the same code, differently written.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.loaders.manifest import Macro, Manifest, Node

DOES_NOT_MATTER = frozenset(
    (
        "access",
        "alias",
        "database",
        "description",
        "docs",
        "enabled",
        "freshness",
        "full_refresh",
        "grants",
        "group",
        "meta",
        "persist_docs",
        "quoting",
        "schema",
        "static_analysis",
        "tags",
        "target_database",
        "target_schema",
    )
)
SHIPPED_MACROS = frozenset(
    f"dbt{adapter}"
    for adapter in ("", "_duckdb", "_postgres", "_redshift", "_snowflake", "_bigquery", "_spark", "_databricks")
)
"""Packages of macros that come with dbt and its adapters: their versions stand for them."""
SEPARATOR = "-"
_SHOWN_BY_SQL = frozenset(("table", "view", "materialized_view", "ephemeral"))
"""Strategies whose result is what their compiled SQL says, and nothing else."""
_ENV_VAR = re.compile(r"\benv_var\(\s*['\"](\w+)['\"]")
_CANONICAL = json.JSONEncoder(sort_keys=True, default=str)
"""One encoder for all nodes: `json.dumps` with options makes a new one each time."""
_PLAIN = json.JSONEncoder(default=str)
_VAR = re.compile(r"\bvar\(\s*['\"](\w+)['\"]")
_SETTING = re.compile(r"(\w+)\s*=(?!=)")
_CONFIG_BLOCK = re.compile(r"\{\{-?\s*config\((?P<inside>.*?)\)\s*-?\}\}", re.DOTALL)
_DEPENDS_ON_TARGET = re.compile(r"\btarget\b|\benv_var\s*\(")


def how_part(version: str) -> str | None:
    """What must be equal besides the SQL for two versions to do the same; None for a version that does not say."""
    how, separator, _ = version.partition(SEPARATOR)
    return how if separator else None


def depends_on_target(text: Any) -> bool:
    """True for Jinja that may say something else on another target."""
    return isinstance(text, str) and bool(_DEPENDS_ON_TARGET.search(text))


def inline_config(code: str) -> str:
    """What stands between the parentheses of `{{ config(…) }}`; empty if there is none."""
    found = _CONFIG_BLOCK.search(code)
    return found["inside"] if found else ""


class CodeVersions:
    """Code versions of one manifest's nodes. `variables` are the project's vars with those of the command line."""

    def __init__(self, manifest: Manifest, *, package_dir: Mapping[str, Path], variables: Mapping[str, Any]) -> None:
        self._nodes: Mapping[str, Node] = {**manifest.all_of("nodes"), **manifest.all_of("functions")}
        self._macros: Mapping[str, Macro] = manifest.all_of("macros")
        self._by_name = _project_macros(self._macros.values())
        self._package_dir = package_dir
        self._variables = variables
        version = (manifest.metadata.dbt_version if manifest.metadata else None) or ""
        self._dbt = ".".join(version.split(".")[:2])
        self._known: dict[str, str | None] = {}

    def of(self, node: Node) -> str | None:
        """The node's code version; None when it cannot be known."""
        if node.unique_id not in self._known:
            self._known[node.unique_id] = None  # guards against a cycle of ephemeral models
            self._known[node.unique_id] = self._seed(node) if node.resource_type == "seed" else self._model(node)
        return self._known[node.unique_id]

    def _seed(self, node: Node) -> str | None:
        content = self._seed_checksum(node)
        return _digest({"content": content, "config": _config(node)}) if content else None

    def _seed_checksum(self, node: Node) -> str | None:
        if node.checksum and node.checksum.checksum and node.checksum.name not in (None, "none", "path"):
            return node.checksum.checksum
        # dbt does not read seeds over 1 MB: their "checksum" is the path.
        file = self._package_dir.get(node.package_name, Path()) / node.original_file_path
        try:
            with file.open("rb") as content:
                return _hash_file(content)
        except OSError:
            return None

    def _model(self, node: Node) -> str:
        macros = self._macros_of(node)
        config = _config(node)
        texts = [node.code, *macros.values(), _PLAIN.encode(config)]
        content = {
            "code": node.code,
            "macros": {name: _digest(text) for name, text in macros.items()},
            "config": config,
            "vars": {name: self._variable(name, node.package_name) for name in sorted(_named_vars(texts))},
            "env": {name: os.environ.get(name) for name in sorted(_named_env_vars(node, macros.values()))},
            "ephemerals": sorted(self.of(parent) or "" for parent in self._ephemeral_parents(node)),
            "contract": _contract_columns(node),
            "signature": [node.arguments, node.returns],
            "dbt": self._dbt,
        }
        what = _digest(content)
        return f"{self._how(node, config, what)}{SEPARATOR}{what}"

    def _how(self, node: Node, config: Mapping[str, Any], what: str) -> str:
        """What a build depends on and compiled SQL does not show.

        Where the compiled SQL of one build cannot show all (both branches of an incremental model, a hook that calls
        macros, code that is no SQL), all of it counts here.
        """
        hooks = _PLAIN.encode([config.get("pre-hook"), config.get("post-hook")])
        if node.materialized not in _SHOWN_BY_SQL or "{{" in hooks or "{%" in hooks or node.language == "python":
            return what[:8]
        called = {name: self._macros[name].macro_sql for name in self._found_by_name(node)}
        return _digest([config, _contract_columns(node), called])[:8]

    def _ephemeral_parents(self, node: Node) -> list[Node]:
        parents = (self._nodes.get(parent) for parent in node.parents)
        return [parent for parent in parents if parent is not None and parent.materialized == "ephemeral"]

    def _macros_of(self, node: Node) -> dict[str, str]:
        """{macro: its code} of all macros outside dbt that are called, directly or not."""
        found: dict[str, str] = {}
        waiting = [*node.macros, *self._found_by_name(node)]
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            macro = self._macros.get(name)
            if name in seen or macro is None:
                continue
            seen.add(name)
            if macro.package_name not in SHIPPED_MACROS:
                found[name] = macro.macro_sql or ""
                waiting += macro.macros
        return dict(sorted(found.items()))

    def _found_by_name(self, node: Node) -> list[str]:
        """Own materializations and incremental strategies, which dbt finds by name only."""
        strategy = node.settings.get("incremental_strategy")
        names = [name for name in self._by_name if name.startswith(f"materialization_{node.materialized}_")]
        names += [f"get_incremental_{strategy}_sql"] if strategy else []
        return [unique_id for name in names for unique_id in self._by_name.get(name, ())]

    def _variable(self, name: str, package: str) -> Any:
        scoped = self._variables.get(package)
        if isinstance(scoped, Mapping) and name in scoped:
            return scoped[name]
        return self._variables.get(name)


def _project_macros(macros: Iterable[Macro]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for macro in macros:
        if macro.package_name not in SHIPPED_MACROS:
            found.setdefault(macro.name, []).append(macro.unique_id)
    return found


def _config(node: Node) -> dict[str, Any]:
    """The settings that matter, as written where that differs by target; unset ones are left out."""
    inside = inline_config(node.code)
    skipped = set(_SETTING.findall(inside)) if depends_on_target(inside) else set()
    kept = {}
    for name, value in node.settings.items():
        if name in DOES_NOT_MATTER or name in skipped or value in (None, [], {}, ""):
            continue
        written = node.as_written.get(name)
        kept[name] = written if isinstance(written, str) and "{" in written else value
    return kept


def _contract_columns(node: Node) -> list[tuple[str | None, str | None]]:
    contract = node.settings.get("contract")
    if not (isinstance(contract, Mapping) and contract.get("enforced")):
        return []
    return [(column.name, column.data_type) for column in (node.columns or {}).values()]


def _named_vars(texts: Iterable[str]) -> set[str]:
    return {name for text in texts if "var" in text for name in _VAR.findall(text.replace('\\"', '"'))}


def _named_env_vars(node: Node, macros: Iterable[str]) -> set[str]:
    """Environment variables that the code reads; those of its configuration say where it is built, not what."""
    code = node.code.replace(inline_config(node.code), "")
    return {name for text in (code, *macros) if "env_var" in text for name in _ENV_VAR.findall(text)}


def _digest(content: Any) -> str:
    text = content if isinstance(content, str) else _CANONICAL.encode(content)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _hash_file(content: Any) -> str:
    digest = hashlib.sha256()
    while block := content.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


__all__ = ["SHIPPED_MACROS", "CodeVersions", "depends_on_target", "inline_config"]
