"""What a step did against what its code showed: resources, tables in statements, databases opened directly."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from orchestrator.definitions.keys import AssetKey, Location, Relation
from orchestrator.definitions.resources import Resource, is_same_resource
from orchestrator.errors import OrchestratorError, UndeclaredResourceError
from orchestrator.graph.model import AssetGraph
from orchestrator.resources.database import Database
from orchestrator.resources.observer import Observer, Seen
from orchestrator.resources.warehouse import Warehouse

_CATALOGUES = frozenset(("information_schema", "pg_catalog", "system", "temp"))
_TEMPORARY = re.compile(r"\bcreate\s+(?:or\s+replace\s+)?(?:global\s+|local\s+)?temp(?:orary)?\b", re.IGNORECASE)
_DEFAULT_SCHEMAS = {"duckdb": "main", "postgres": "public"}


@dataclass(frozen=True, slots=True)
class Declared:
    """What the loader has seen of a step."""

    key: AssetKey
    location: Location
    reads: frozenset[AssetKey]
    writes: frozenset[AssetKey]
    resources: tuple[Resource, ...]
    name: str = ""
    """Of a check; an asset or action is named by its key."""

    def __str__(self) -> str:
        return f"check {self.name} on {self.key}" if self.name else str(self.key)


@dataclass
class StepUses:
    """Watches one attempt. In strict mode what was not declared fails it; else it is a line of warning in the log."""

    declared: Declared
    graph: AssetGraph
    database: Database | None
    default_database: str
    strict: bool
    root: Path
    observer: Observer = field(init=False)
    raised: set[str] = field(default_factory=set)
    """What has failed the step, and so is told already."""
    _judged: set[int] = field(default_factory=set)
    _temporary: set[str] = field(default_factory=set)
    _found: dict[str, UndeclaredResourceError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.observer = Observer(self.root, refuse=self._refuse)

    def require_declared(self) -> None:
        """Asked before each commit. In strict mode raises UndeclaredResourceError for what was found so far."""
        if self.strict and (found := self.findings()):
            self.raised.update(error.what for error in found)
            raise _as_one(found)

    def findings(self) -> list[UndeclaredResourceError]:
        """Everything found so far; statements are parsed here, each once."""
        for seen in [*self.observer.resources, *self.observer.directly]:
            if (error := self._judge_opening(seen)) is not None:
                self._found.setdefault(error.what, error)
        for seen in list(self.observer.statements.values()):
            if id(seen) not in self._judged:
                self._judged.add(id(seen))
                for error in self._judge_statement(seen):
                    self._found.setdefault(error.what, error)
        return list(self._found.values())

    # -- openings

    def _refuse(self, seen: Seen) -> None:
        if self.strict and (error := self._judge_opening(seen)) is not None:
            self.raised.add(error.what)
            raise error

    def _judge_opening(self, seen: Seen) -> UndeclaredResourceError | None:
        at = seen.place or str(self.declared.location)
        if seen.kind == "direct":
            return UndeclaredResourceError(
                f"{self.declared} opens a database past every resource: {seen.what}",
                at=at,
                fix="make it a module-level resource (Warehouse, DuckDB, Postgres, or your own) and use that",
            )
        used = seen.resource
        if used is None or any(is_same_resource(used, known) for known in self.declared.resources):
            return None
        return UndeclaredResourceError(
            f"{self.declared} uses {seen.what}, which its code did not show when it was loaded",
            at=at,
            fix="make it a variable of a module, and refer to that by name in the function",
        )

    # -- statements

    def _judge_statement(self, seen: Seen) -> Iterator[UndeclaredResourceError]:
        from orchestrator.sql import analyze

        if self.database is None or not isinstance(seen.resource, Warehouse):
            return  # tables of other databases are no assets here
        adapter = self.database.capabilities.adapter
        schema = _DEFAULT_SCHEMAS.get(adapter)
        found = analyze(seen.what, dialect=adapter, default_db=self.default_database or None, default_schema=schema)
        if _TEMPORARY.search(seen.what):
            self._temporary.update(found.writes)
        for table in sorted(set(found.writes) - self._temporary):
            key = self._keys.get(table.lower())
            if key not in self.declared.writes and self._relation(table) is not None:
                yield self._undeclared(table, key, seen, "writes")
        for table in found.reads:
            key = self._keys.get(table.lower())
            if key not in self.declared.reads and table not in found.writes and (key or self._is_there(table)):
                yield self._undeclared(table, key, seen, "reads")

    def _relation(self, name: str) -> Relation | None:
        """The relation of a name in SQL; None for a file, and for what the database says about itself."""
        parts = name.split(".")
        expected = 3 if self.default_database else 2
        if len(parts) != expected or "/" in name or _CATALOGUES.intersection(part.lower() for part in parts[:-1]):
            return None
        return Relation(*parts) if expected == 3 else Relation("", *parts)

    @cached_property
    def _keys(self) -> Mapping[str, AssetKey]:
        """{relation: asset}"""
        return {str(asset.relation).lower(): key for key, asset in self.graph.assets.items() if asset.relation}

    def _undeclared(self, table: str, key: AssetKey | None, seen: Seen, verb: str) -> UndeclaredResourceError:
        what = f"{self.declared} {verb} {key or table} in SQL, "
        if key is None:
            what += "which is no asset of this workspace"
        elif verb == "reads":
            what += "which its code did not show when it was loaded"
        else:
            what += "which it is no writer of"
        return UndeclaredResourceError(what, at=seen.place or str(self.declared.location), fix=_fix(verb, key))

    def _is_there(self, table: str) -> bool:
        """True for a table of the database; a frame in a variable, a temporary table and a file are none."""
        relation = self._relation(table)
        if self.database is None or relation is None:
            return False
        try:
            return self.database.look(relation, rows=False) is not None
        except OrchestratorError:
            return False


def _fix(verb: str, key: AssetKey | None) -> str:
    if verb == "writes":
        return "let an asset of its own write it (@asset, @writes), or return the rows"
    if key is None:
        return 'name it in the function, warehouse.table("schema.name"), or as a dbt source'
    return "refer to it by name in the function, or add it to after=[…], so that it is built first"


def _as_one(found: Sequence[UndeclaredResourceError]) -> UndeclaredResourceError:
    first, *more = found
    if not more:
        return first
    rest = "".join(f"\n{error.what} ({error.at})" for error in more)
    return UndeclaredResourceError(f"{first.what}{rest}", at=first.at, fix=first.fix)


__all__ = ["Declared", "StepUses"]
