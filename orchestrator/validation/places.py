"""From a rule's own terms to `file:line:col` in the user's files. Reads the files in which something was found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.dbt_engine.compile import CompiledNode
from orchestrator.loaders.manifest import Manifest, Node, Source
from orchestrator.loaders.source_map import SourceMap, injected_place, lines_before
from orchestrator.validation.findings import Draft, Finding, InCode, InFile, InSql, InYaml, Place, Settings
from orchestrator.validation.yaml_places import YamlFile

_COMMENTS = re.compile(r"\{#.*?#\}|--[^\n]*|/\*.*?\*/", re.DOTALL)
_SECTIONS = {"model": "models", "seed": "seeds", "snapshot": "snapshots", "source": "sources", "function": "functions"}

Spot = tuple[str, int, int, bool]
"""(file, line, column, whether it is that very place)"""


class Locator:
    """Finds places; each file and model is looked at once."""

    def __init__(
        self,
        manifest: Manifest,
        *,
        root: Path,
        file_of: Callable[[str, str], str],
        compiled: Callable[[], Mapping[str, CompiledNode]],
    ) -> None:
        """`root` is what paths are relative to, `file_of(package, path)` is the path of a resource's file."""
        self._nodes: Mapping[str, Node] = {**manifest.all_of("nodes"), **manifest.all_of("functions")}
        self._sources: Mapping[str, Source] = manifest.all_of("sources")
        self._root, self._file_of, self._compiled = root, file_of, compiled
        self._texts: dict[str, str] = {}
        self._yaml: dict[str, YamlFile] = {}
        self._maps: dict[tuple[str, bool], SourceMap | None] = {}
        self._injected: dict[tuple[str, str], SourceMap] = {}
        self._ephemeral = {
            name: node.unique_id
            for node in self._nodes.values()
            if node.materialized == "ephemeral"
            for name in (node.name, node.alias or node.name)
        }

    def finding(self, draft: Draft, *, settings: Settings) -> Finding:
        """The draft with its place."""
        file, line, column, exact = self.spot(draft.place)
        return Finding(
            file=file,
            line=line,
            column=column,
            rule=draft.rule,
            severity=settings.severity(draft),
            message=draft.message,
            key=str(draft.key) if draft.key is not None else None,
            fix=draft.fix,
            exact=exact,
        )

    def spot(self, place: Place) -> Spot:
        """Where a place is."""
        match place:
            case InFile(file, line, column):
                return file, line, column, True
            case InYaml(unique_id, column_name):
                return self._in_yaml(unique_id, column_name)
            case InCode(unique_id, patterns):
                return self._in_code(unique_id, patterns)
            case InSql(unique_id, line, column, incremental):
                return self._in_sql(unique_id, line, column, incremental)

    def text(self, file: str) -> str:
        """A file's text; empty if it cannot be read."""
        if file not in self._texts:
            try:
                self._texts[file] = (self._root / file).read_text(encoding="utf-8", errors="replace")
            except OSError:
                self._texts[file] = ""
        return self._texts[file]

    def code_file(self, unique_id: str) -> str:
        """The file of a node's code."""
        node = self._nodes[unique_id]
        return self._file_of(node.package_name, node.original_file_path)

    def yaml_file(self, unique_id: str) -> str | None:
        """The YAML file that describes a node or source; None if none does."""
        if (source := self._sources.get(unique_id)) is not None:
            return self._file_of(source.package_name, source.original_file_path)
        patch = self._nodes[unique_id].patch_path or ""
        package, _, path = patch.partition("://")
        return self._file_of(package, path) if path else None

    def _in_yaml(self, unique_id: str, column: str | None) -> Spot:
        file = self.yaml_file(unique_id)
        if file is None:
            return self._in_code(unique_id, ())
        yaml = self._yaml.get(file)
        if yaml is None:
            yaml = self._yaml[file] = YamlFile(self.text(file))
        source, node = self._sources.get(unique_id), self._nodes.get(unique_id)
        names = (source.source_name, source.name) if source is not None else (node.name if node is not None else "",)
        kind = "source" if source is not None else node.resource_type if node is not None else ""
        found = yaml.find(_SECTIONS.get(kind, "models"), *names, column=column)
        return (file, *found, True) if found is not None else (file, 1, 1, False)

    def _in_code(self, unique_id: str, patterns: tuple[str, ...]) -> Spot:
        node, file = self._nodes[unique_id], self.code_file(unique_id)
        offset = lines_before(self.text(file), node.code)
        code = _COMMENTS.sub(_blank, node.code)
        for pattern in patterns:
            if found := re.search(pattern, code, re.IGNORECASE):
                line, column = _line_and_column(code, _start(found))
                return file, line + offset, column, True
        compiled = self._sql(unique_id, incremental=False)
        for pattern in patterns if compiled else ():
            if found := re.search(pattern, _COMMENTS.sub(_blank, compiled), re.IGNORECASE):
                return self._in_sql(unique_id, *_line_and_column(compiled, _start(found)), incremental=False)
        return file, 1 + offset, 1, not patterns

    def _in_sql(self, unique_id: str, line: int, column: int, incremental: bool) -> Spot:
        compiled = self._sql(unique_id, incremental=incremental)
        inside = injected_place(compiled, line, column)
        ephemeral = self._ephemeral.get(inside.model) if inside is not None else None
        if inside is not None and ephemeral is not None:
            code = self._nodes[ephemeral].code
            known = self._injected.get((ephemeral, inside.code))
            if known is None:
                known = self._injected[ephemeral, inside.code] = SourceMap(code, inside.code)
            return self._mapped(ephemeral, known, inside.line, inside.column)
        return self._mapped(unique_id, self._map(unique_id, incremental), line, column)

    def _mapped(self, unique_id: str, source: SourceMap | None, line: int, column: int) -> Spot:
        file = self.code_file(unique_id)
        offset = lines_before(self.text(file), self._nodes[unique_id].code)
        if source is None:
            return file, 1 + offset, 1, False
        place = source.place(line, column)
        return file, place.line + offset, place.column, place.exact

    def _map(self, unique_id: str, incremental: bool) -> SourceMap | None:
        known = (unique_id, incremental)
        if known not in self._maps:
            compiled = self._sql(unique_id, incremental=incremental)
            self._maps[known] = SourceMap(self._nodes[unique_id].code, compiled) if compiled else None
        return self._maps[known]

    def _sql(self, unique_id: str, *, incremental: bool) -> str:
        node = self._compiled().get(unique_id)
        if node is None:
            return ""
        return (node.incremental if incremental else None) or node.full or ""


def _start(found: re.Match[str]) -> int:
    """Where the pattern's group begins, or what it matched if it has none."""
    return found.start(1 if found.re.groups else 0)


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found.group())


def _line_and_column(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


__all__ = ["Locator"]
