"""The columns of tables as the caller knows them. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.sql.dialects import Dialect
from orchestrator.sql.relations import BASE, COPY, Field, Origin, Relation, Rest

Columns = tuple[tuple[str, str | None], ...]
"""((column, type), …) in order, normalised."""


class Schema:
    """Tables by their normalised names; one may be named with fewer or more parts than it is asked for."""

    def __init__(self, tables: Mapping[tuple[str, ...], Columns]) -> None:
        self._tables = dict(tables)
        self._open: set[tuple[str, ...]] = set()
        self._by_name: dict[str, list[tuple[str, ...]]] = {}
        self._relations: dict[str, dict[tuple[str, ...], Relation]] = {}
        """{last part: {name as asked for: its columns}}"""
        for known in self._tables:
            self._by_name.setdefault(known[-1].lower(), []).append(known)

    def add(self, parts: tuple[str, ...], columns: Columns, *, closed: bool) -> None:
        """Add a table; one that is not closed may have more columns than these."""
        if parts not in self._tables:
            self._by_name.setdefault(parts[-1].lower(), []).append(parts)
        self._tables[parts] = columns
        self._relations.pop(parts[-1].lower(), None)
        (self._open.discard if closed else self._open.add)(parts)

    def find(self, parts: tuple[str, ...]) -> tuple[str, ...] | None:
        """The table that a name means: that very one, or the only one with the same end, in any case."""
        if parts in self._tables:
            return parts
        same_name = self._by_name.get(parts[-1].lower(), ())
        similar = [known for known in same_name if same_end(known, parts)]
        if not similar:
            lowered = tuple(part.lower() for part in parts)
            similar = [known for known in same_name if same_end(tuple(part.lower() for part in known), lowered)]
        return similar[0] if len(similar) == 1 else None

    def relation(self, parts: tuple[str, ...]) -> Relation:
        """The table as something to read from; with columns that are not known where nobody knows them."""
        named = self._relations.setdefault(parts[-1].lower(), {})
        found = named.get(parts)
        if found is None:
            name, known = ".".join(parts), self.find(parts)
            items: list[Field | Rest] = []
            if known is not None:
                items += [Field(column, {(name, column): COPY}, kind, BASE) for column, kind in self._tables[known]]
            if known is None or known in self._open:
                items.append(Rest((name,)))
            found = named[parts] = Relation(items, origin=Origin("table", (name,)))
        return found

    def columns(self, parts: tuple[str, ...]) -> Columns | None:
        """All columns of a table; None if they are not known."""
        known = self.find(parts)
        return None if known is None or known in self._open else self._tables[known]


def same_end(left: Sequence[str], right: Sequence[str]) -> bool:
    """True if the shorter name is the end of the longer one."""
    shared = min(len(left), len(right))
    return left[-shared:] == right[-shared:]


def build_schema(tables: Mapping[str, Any] | None, *, dialect: Dialect) -> Schema:
    """From `{"schema.table": columns}` or nested `{"schema": {"table": columns}}`, to any depth.

    Columns are `{name: type}` or a list of names.
    """
    found: dict[tuple[str, ...], Columns] = {}
    _collect((), tables or {}, dialect, found)
    return Schema(found)


def _collect(
    prefix: tuple[str, ...], level: Mapping[str, Any], dialect: Dialect, found: dict[tuple[str, ...], Columns]
) -> None:
    for name, content in level.items():
        parts = (*prefix, *(dialect.table(part) for part in split_name(name)))
        if isinstance(content, Mapping) and any(isinstance(value, (Mapping, list)) for value in content.values()):
            _collect(parts, content, dialect, found)
        elif isinstance(content, Mapping):
            found[parts] = tuple((dialect.column(key), _type(value)) for key, value in content.items())
        elif isinstance(content, Sequence) and not isinstance(content, str):
            found[parts] = tuple((dialect.column(str(item)), None) for item in content)


def _type(value: Any) -> str | None:
    return str(value) if value else None


def split_name(name: str) -> tuple[str, ...]:
    """A dotted name in its parts; a path to a file stays whole.

    >>> split_name("raw.flights"), split_name("data/flights.csv")
    (('raw', 'flights'), ('data/flights.csv',))
    """
    return (name,) if "/" in name else tuple(name.split("."))
