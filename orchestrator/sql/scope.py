"""Which column a name means, inside one SELECT."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from orchestrator.sql.relations import Field, Origin, Relation, Rest, Sources, add, merged, placed
from orchestrator.sql.walk import Environment, Walk

NAMES_SHOWN = 60
_ALWAYS_THERE = frozenset(
    (
        *("rowid", "rownum", "rownumber", "ctid", "oid", "xmin", "xmax", "cmin", "cmax", "tableoid", "level"),
        *("sysdate", "systimestamp", "user", "current_user", "session_user", "current_date", "current_timestamp"),
        *("current_time", "localtime", "localtimestamp", "nextval", "currval", "connect_by_root"),
        *("connect_by_isleaf", "connect_by_iscycle", "filename", "file_row_number", "file_index", "excluded"),
        *("metadata$filename", "metadata$file_row_number", "metadata$action", "metadata$isupdate", "metadata$row_id"),
        *("metadata$file_content_key", "metadata$start_scan_time", "metadata$file_last_modified", "$action"),
        *("_partitiontime", "_partitiondate", "_table_suffix", "_file_name", "_metadata", "_part", "_part_index"),
        *("_partition_id", "_version", "_path", "_file", "_size", "_time"),
    )
)
"""Columns that no schema lists: of rows, files, partitions, and functions that are called without parentheses."""
_HEXADECIMAL = re.compile("0x[0-9a-f]*", re.IGNORECASE)
"""A number or bytes, which a grammar that has no such literal takes for a name."""


@dataclass(slots=True)
class Bound:
    """A relation in FROM under the name by which columns call it."""

    path: tuple[str, ...]
    """The alias; for a table without one its name, (schema, table) and so on. Empty for a nameless subquery."""
    relation: Relation
    table: tuple[str, ...] = ()
    """The table's own name, should `path` be an alias of it."""
    starred: bool = True
    """False for the right side of a semi join: no column of it comes out."""
    hidden: frozenset[str] = frozenset()
    """Columns that `*` does not repeat, since USING has merged them."""
    element: bool = False
    """True for BigQuery's `unnest(…) as x`: x is each element, and goes before a column x of another table."""

    def is_called(self, path: tuple[str, ...]) -> bool:
        """True if `path` names it."""
        return bool(self.path) and self.path[-len(path) :] == path

    @property
    def label(self) -> str:
        """Its name, for people."""
        return ".".join(self.path) or "a subquery"


@dataclass
class Scope:
    """The sources of one SELECT, the names it gives, and the scope around it."""

    walk: Walk
    env: Environment
    bounds: list[Bound] = field(default_factory=list)
    merged: dict[str, Field] = field(default_factory=dict)
    """{column of USING: the one column that is left of the two}"""
    aliases: dict[str, Field] = field(default_factory=dict)
    outputs: dict[str, Field] = field(default_factory=dict)
    """{name of what SELECT produces: what it is}, for columns without an alias too."""
    pending: dict[str, exp.Expr] = field(default_factory=dict)
    """{alias that is given later: its expression}, in dialects that allow that"""
    aliases_seen: bool = False
    """True where the clause at hand may use the names that SELECT gives."""
    outputs_seen: bool = False
    """True where a name that several tables have means what SELECT produces under that name."""
    projected: list[exp.Expr] = field(default_factory=list)
    """The projection behind each output column."""
    windows: dict[str, exp.Expr] = field(default_factory=dict)
    indirect: Sources = field(default_factory=dict)
    select: exp.Select | None = None
    items: Sequence[Field | Rest] = ()
    """What the SELECT produces, once that is known."""

    @property
    def parent(self) -> Scope | None:
        """The scope around, which correlated subqueries see."""
        return self.env.parent

    def bind(self, bound: Bound) -> None:
        """Add a relation to those in FROM."""
        if self.walk.places:
            bound.relation = placed(bound.relation, self, len(self.bounds))
        self.bounds.append(bound)

    def column(self, node: exp.Column) -> Field:
        """What a column name means. What cannot be told is noted in the walk."""
        name = node.this
        if not isinstance(name, exp.Identifier):
            return Field("", {})
        before = [part for part in (node.args.get("catalog"), node.args.get("db"), node.args.get("table")) if part]
        folded = self.walk.dialect.column(name.this, quoted=bool(name.args.get("quoted")))
        self.walk.spend(1)
        if not before:
            return self._plain(folded, name)
        return self._qualified([*before, name], folded)

    # Without a qualifier

    def _plain(self, name: str, node: exp.Identifier) -> Field:
        found = self._search(name, node)
        if found is not None:
            return found
        if (row := self._row(name)) is not None:
            return row
        if name.lower() in _ALWAYS_THERE or name.lower() in self.walk.variables or self.walk.procedural:
            return Field(name, {})
        if _HEXADECIMAL.fullmatch(name) and _is_bare(node):
            return Field(name, {})
        self._unknown(name, node)
        starred = [bound for bound in self.bounds if bound.starred]
        return Field(name, _missing(starred[0], name) if len(starred) == 1 else {})

    def _search(self, name: str, node: exp.Identifier) -> Field | None:
        scope: Scope | None = self
        while scope is not None:
            found = scope._own(name, node)
            if found is not None:
                return found
            scope = scope.parent
        return None

    def _own(self, name: str, node: exp.Identifier) -> Field | None:
        """The column as this scope alone knows it."""
        if name in self.merged:
            return self.merged[name]
        self.walk.spend(len(self.bounds) // 8)
        known = [(bound, item) for bound in self.bounds if bound.starred and (item := bound.relation.find(name))]
        if len(known) == 1:
            return known[0][1]
        if known:
            return self._ambiguous(name, node, known)
        guessed = self._rests(name)
        alias = self._alias(name)
        if alias is not None and not (guessed and not self.walk.dialect.name):
            if guessed and not any(rest.field(name).sources == alias.sources for _, rest in guessed):
                self.walk.unsure(f"{name} may be a column or the alias of the same name")
            return alias
        if len(guessed) == 1:
            return guessed[0][1].field(name)
        if guessed:
            labels = _listed([bound.label for bound, _ in guessed])
            self.walk.unsure(f"cannot tell which of {labels} has the column {name}")
            return Field(name, merged(rest.field(name).sources for _, rest in guessed))
        return None

    def _rests(self, name: str) -> list[tuple[Bound, Rest]]:
        found = [(b, rest) for b in self.bounds if b.starred for rest in b.relation.candidates(name)]
        if greedy := [(bound, rest) for bound, rest in found if rest.greedy]:
            return greedy
        return found

    def _alias(self, name: str) -> Field | None:
        if not self.aliases_seen:
            return None
        if name in self.aliases:
            return self.aliases[name]
        if name in self.pending:
            from orchestrator.sql.expressions import evaluate

            self.aliases[name] = Field(name, evaluate(self, self.pending.pop(name)))
            return self.aliases[name]
        return None

    def _ambiguous(self, name: str, node: exp.Identifier, known: list[tuple[Bound, Field]]) -> Field:
        elements = [item for bound, item in known if bound.element]
        if len(elements) == 1:
            return elements[0]
        if self.outputs_seen and name in self.outputs:
            return self.outputs[name]
        labels = _listed([bound.label for bound, _ in known])
        self.walk.complain("ambiguous_column", f"{name} is a column of {labels}", node, name=name)
        self.walk.unsure(f"{name} is ambiguous: {labels} have it")
        return Field(name, merged(item.sources for _, item in known))

    def _row(self, name: str) -> Field | None:
        """A whole row, called by its table's name."""
        scope: Scope | None = self
        while scope is not None:
            for bound in scope.bounds:
                if bound.path and bound.path[-1].lower() == name.lower():
                    origin = Origin("row", (scope, bound.relation.items))
                    return Field(name, bound.relation.everything(), origin=origin)
            scope = scope.parent
        return None

    def _unknown(self, name: str, node: exp.Expr, *, of: Bound | None = None) -> None:
        bounds = [of] if of is not None else [bound for bound in self.bounds if bound.starred]
        if not bounds and of is None:
            where = "nothing is read here" if self.parent is None else "no table around has it"
            self.walk.complain("unknown_column", f"there is no column {name}: {where}", node, name=name)
            self.walk.unsure(f"there is no column {name}")
            return
        labels = _listed([bound.label for bound in bounds])
        known = [item.name for bound in bounds for item in bound.relation.fields]
        self.walk.complain(
            "unknown_column", f"{labels} has no column {name}", node, name=name, known=known[:NAMES_SHOWN]
        )
        self.walk.unsure(f"{labels} has no column {name}")

    # With one

    def _qualified(self, parts: list[exp.Identifier], name: str) -> Field:
        dialect = self.walk.dialect
        tables = tuple(dialect.table(part.name, quoted=bool(part.args.get("quoted"))) for part in parts)
        # The longest qualifier wins: a.b.c is column c of table a.b before it is field c of column b of table a.
        for size in range(len(parts) - 1, 0, -1):
            bound = self.find(tables[:size])
            if bound is None:
                continue
            own = parts[size]
            column = dialect.column(own.name, quoted=bool(own.args.get("quoted")))
            found = self._nested(bound, parts[size:]) or bound.relation.find(column) or self._hidden(bound, column)
            if found is None and (candidates := bound.relation.candidates(column)):
                found = candidates[0].field(column)
                if len(candidates) > 1:
                    self.walk.unsure(f"cannot tell where {bound.label}.{column} comes from")
                    found = Field(column, merged(rest.field(column).sources for rest in candidates))
            if found is not None:
                return found if size == len(parts) - 1 else _part(found, name, parts[size + 1 :])
            if column.lower() not in _ALWAYS_THERE:
                self._unknown(column, own, of=bound)
            return Field(name, _missing(bound, column))
        first = dialect.column(parts[0].name, quoted=bool(parts[0].args.get("quoted")))
        for bound in self.bounds:
            if (nested := self._nested(bound, parts)) is not None:
                return nested.renamed(name)
        struct = self._search(first, parts[0])
        if struct is not None:
            return _part(struct, name, parts[1:])
        qualifier = ".".join(part.name for part in parts[:-1])
        if qualifier.lower() not in _ALWAYS_THERE:
            scope: Scope | None = self
            known: list[str] = []
            while scope is not None:
                known += [bound.path[-1] for bound in scope.bounds if bound.path]
                scope = scope.parent
            self.walk.complain(
                "unknown_table", f"nothing in FROM is called {qualifier}", parts[0], name=qualifier, known=known
            )
            self.walk.unsure(f"nothing in FROM is called {qualifier}")
        return Field(name, {})

    def _nested(self, bound: Bound, parts: list[exp.Identifier]) -> Field | None:
        """A field of a struct that the schema lists as a column of its own, `address.city`."""
        if len(parts) == 1:
            return None
        return bound.relation.find(".".join(self.walk.dialect.column(part.name) for part in parts))

    def _hidden(self, bound: Bound, column: str) -> Field | None:
        return None if column not in bound.hidden else self.merged.get(column)

    def find(self, path: tuple[str, ...]) -> Bound | None:
        """What is called so here or around; case is ignored where nothing is called exactly so."""
        scope: Scope | None = self
        while scope is not None:
            self.walk.spend(len(scope.bounds) // 8)
            for bound in scope.bounds:
                if bound.is_called(path):
                    return bound
            scope = scope.parent
        lowered = tuple(part.lower() for part in path)
        scope = self
        while scope is not None:
            for bound in scope.bounds:
                if bound.path and tuple(part.lower() for part in bound.path[-len(path) :]) == lowered:
                    return bound
            scope = scope.parent
        return self._behind(path)

    def _behind(self, path: tuple[str, ...]) -> Bound | None:
        """The table of that name whose alias should have been used. Databases differ in whether they mind."""
        found = [bound for bound in self.bounds if bound.table and bound.table[-len(path) :] == path]
        return found[0] if len(found) == 1 else None

    # All of them

    def star(self) -> list[Field | Rest]:
        """What `*` means: all columns in order, those of USING once."""
        items: list[Field | Rest] = []
        first = self.walk.dialect.name not in ("duckdb", "sqlite", "clickhouse")
        if first:
            items += self.merged.values()
        seen = set(self.merged) if first else set()
        for bound in self.bounds:
            if bound.starred:
                items += self.star_of(bound, seen=seen)
        self.walk.spend(len(items))
        return items

    def star_of(self, bound: Bound, *, seen: set[str] | None = None) -> list[Field | Rest]:
        """What `t.*` means; as part of `*`, without columns that are there already."""
        if seen is None:
            return list(bound.relation.items)
        items: list[Field | Rest] = []
        for item in bound.relation.items:
            if isinstance(item, Rest):
                items.append(item.less(bound.hidden))
            elif item.name in bound.hidden:
                if item.name not in seen:
                    seen.add(item.name)
                    items.append(self.merged[item.name])
            else:
                items.append(item)
        return items

    def depend(self, sources: Sources) -> None:
        """Note what decides about rows."""
        add(self.indirect, sources)


def _is_bare(node: exp.Identifier) -> bool:
    """True where a name stands without quotes. That it is quoted is said of a lone `0x` as well; its length tells."""
    start, end = node.meta.get("start"), node.meta.get("end")
    return not node.args.get("quoted") or (start is not None and end is not None and end - start < len(node.name))


def _missing(bound: Bound, column: str) -> Sources:
    """A column that a table should have but has not: the SQL means it all the same."""
    table = ".".join(bound.table)
    plain = bool(table) and all({ref[0] for ref in item.sources} == {table} for item in bound.relation.fields)
    return {(table, column): 0} if plain else {}


def _part(struct: Field, name: str, path: list[exp.Identifier]) -> Field:
    """A field of a struct: it comes from the whole."""
    return Field(name, struct.sources, origin=Origin("part", (struct, tuple(part.name.lower() for part in path))))


def _listed(labels: list[str]) -> str:
    shown = list(dict.fromkeys(labels))
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]
