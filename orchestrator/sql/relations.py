"""Tables as the analyser sees them: columns in order, each with the columns that it comes from, and what is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from orchestrator.sql.model import ColumnRef, EdgeKind

Sources = dict[ColumnRef, int]
"""{column of a table: how strongly it was worked on}; the number is an index into KINDS. Never changed once shared."""

KINDS: tuple[EdgeKind, ...] = ("copy", "rename", "expression", "aggregate", "window")
COPY, RENAME, EXPRESSION, AGGREGATE, WINDOW = range(5)
NOTHING: Sources = {}


OriginKind = Literal[
    "at", "base", "expression", "either", "part", "row", "set", "values", "call", "pivot", "select", "table", "limit"
]


@dataclass(frozen=True, slots=True)
class Origin:
    """How a column or relation came about, for fingerprints, which look at it only when asked.

    `what` says how to read `parts`; the one place that does is `fingerprints`.
    """

    what: OriginKind
    parts: tuple[Any, ...] = ()


BASE = Origin("base")


@dataclass(frozen=True, slots=True)
class Field:
    """A known column."""

    name: str
    sources: Sources
    type: str | None = None
    origin: Origin | None = field(default=None, compare=False, repr=False)

    def renamed(self, name: str) -> Field:
        """The same under another name."""
        return self if name == self.name else Field(name, self.sources, self.type, self.origin)


@dataclass(frozen=True, slots=True)
class Rest:
    """Columns that are not known one by one: of `tables`, or all of them from `sources` (a function, a struct)."""

    tables: tuple[str, ...] = ()
    """Several for a set operation: such a column comes from each of them."""
    sources: Sources | None = None
    without: frozenset[str] = frozenset()
    greedy: bool = True
    """True when an unqualified name that nobody knows may well be one of these."""
    place: tuple[Any, int] | None = field(default=None, compare=False, repr=False)
    """(scope, number of the relation in its FROM), where that is asked for."""

    def field(self, name: str) -> Field:
        """The column of that name, should there be one."""
        sources = {**{(table, name): COPY for table in self.tables}, **(self.sources or {})}
        base = len(self.tables) == 1 and not self.sources
        origin = BASE if base else None
        if origin is not None and self.place is not None:
            origin = Origin("at", (*self.place, Field(name, sources, origin=BASE)))
        return Field(name, sources, origin=origin)

    def all(self) -> Sources:
        """Where all of them come from."""
        return {**{(table, "*"): COPY for table in self.tables}, **(self.sources or {})}

    def less(self, names: Iterable[str]) -> Rest:
        """Without some columns."""
        more = self.without.union(names)
        return self if more == self.without else replace(self, without=more)


class Relation:
    """Columns in order, known ones and rests, and the columns that decide which rows there are."""

    __slots__ = ("_folded", "_index", "indirect", "items", "origin", "reads", "rests")

    def __init__(
        self,
        items: Iterable[Field | Rest],
        *,
        indirect: Sources = NOTHING,
        reads: Iterable[str] = (),
        origin: Origin | None = None,
    ) -> None:
        self.items: tuple[Field | Rest, ...] = tuple(items)
        self.rests: tuple[Rest, ...] = tuple(item for item in self.items if isinstance(item, Rest))
        self.indirect = indirect
        self.origin = origin
        self.reads = tuple(reads)
        """Of a common table expression: what is read as soon as somebody uses it."""
        self._index: dict[str, Field] | None = None
        self._folded: dict[str, Field] | None = None

    @property
    def closed(self) -> bool:
        """True when all columns are known."""
        return not self.rests

    @property
    def fields(self) -> list[Field]:
        """The known columns."""
        return [item for item in self.items if isinstance(item, Field)]

    @property
    def index(self) -> Mapping[str, Field]:
        """{name: known column}; of two with one name the first."""
        if self._index is None:
            found: dict[str, Field] = {}
            for item in self.items:
                if isinstance(item, Field):
                    found.setdefault(item.name, item)
            self._index = found
        return self._index

    def find(self, name: str) -> Field | None:
        """The known column of that name; one that differs only in case where none is the same."""
        found = self.index.get(name)
        if found is not None:
            return found
        if self._folded is None:
            self._folded = {known.lower(): item for known, item in reversed(list(self.index.items()))}
        return self._folded.get(name.lower())

    def candidates(self, name: str) -> list[Rest]:
        """The rests that may hold a column that is not among the known ones."""
        return [rest for rest in self.rests if name not in rest.without]

    def lookup(self, name: str) -> Field | None:
        """The known column, or what the only rest would have under that name."""
        found = self.find(name)
        if found is None and len(candidates := self.candidates(name)) == 1:
            return candidates[0].field(name)
        return found

    def everything(self) -> Sources:
        """Where a whole row comes from."""
        return merged(item.sources if isinstance(item, Field) else item.all() for item in self.items)


def placed(relation: Relation, scope: Any, at: int) -> Relation:
    """The relation as the one numbered `at` in the FROM of `scope`: the same table may stand there twice."""
    items = [
        Field(item.name, item.sources, item.type, Origin("at", (scope, at, item)))
        if isinstance(item, Field)
        else replace(item, place=(scope, at))
        for item in relation.items
    ]
    return Relation(items, indirect=relation.indirect, reads=relation.reads, origin=relation.origin)


def merged(parts: Iterable[Sources], *, kind: int = COPY) -> Sources:
    """The union; of two kinds the stronger one, at least `kind`."""
    found: Sources = {}
    for part in parts:
        add(found, part, kind)
    return found


def add(into: Sources, more: Sources, kind: int = COPY) -> None:
    """Add `more`, each at least as strong as `kind`, to a dict that nobody else has yet."""
    for ref, its_kind in more.items():
        strongest = its_kind if its_kind > kind else kind
        if strongest > into.get(ref, -1):
            into[ref] = strongest
