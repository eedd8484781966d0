"""Where things stand in dbt's YAML files: by the parsed document where it can be parsed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

YamlPlace = tuple[int, int]
"""(line, column), 1-based"""


class YamlFile:
    """One YAML file; parsed when it is first asked."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._root: Any = None
        self._parsed = False

    def find(self, section: str, *names: str, column: str | None = None) -> YamlPlace | None:
        """The name of a model, seed or snapshot (`models`, name), or of a table (`sources`, source, table), or of one
        of its columns. The nearest thing around that is there; None if the file cannot be parsed or has none of it.

        >>> text = "models:\\n  - name: a\\n    columns:\\n      - {name: b, description: x}\\n"
        >>> YamlFile(text).find("models", "a", column="b"), YamlFile(text).find("models", "a", column="c")
        ((4, 16), (2, 11))
        """
        found: Any = None
        level = _get(self._document(), section)
        item: Any = None
        for name in names:
            item = next((entry for entry in _items(level) if _text(_get(entry, "name")) == name), None)
            if item is None:
                return _place(found)
            found = _get(item, "name")
            level = _get(item, "tables")
        return _place(_column(item, column) if column is not None else None) or _place(found)

    def _document(self) -> Any:
        if not self._parsed:
            self._parsed = True
            import yaml

            try:
                self._root = yaml.compose(self._text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            except yaml.YAMLError:
                self._root = None
        return self._root


def _column(item: Any, column: str) -> Any:
    lowered = column.lower()
    for owner in (item, *_items(_get(item, "versions"))):
        for entry in _items(_get(owner, "columns")):
            name = _get(entry, "name")
            if _text(name).strip('"`').lower() == lowered:
                return name
    return None


def _get(node: Any, key: str) -> Any:
    """The value of a key of a mapping; of several equal keys the last, as dbt takes it."""
    pairs = node.value if node is not None and node.id == "mapping" else []
    return next((value for name, value in reversed(pairs) if _text(name) == key), None)


def _items(node: Any) -> Iterator[Any]:
    yield from node.value if node is not None and node.id == "sequence" else []


def _text(node: Any) -> str:
    return str(node.value) if node is not None and node.id == "scalar" else ""


def _place(node: Any) -> YamlPlace | None:
    return None if node is None else (node.start_mark.line + 1, node.start_mark.column + 1)


__all__ = ["YamlFile"]
