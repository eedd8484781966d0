"""Files of SQL with what it reads, writes and where its columns come from.

    == a name for people
    -- dialect: duckdb
    -- schema: orders(id, amount), raw.people(id, name)
    select id from orders
    -- reads: orders
    -- column id: orders.id

What is left out is expected to be empty. `-- default: db.schema` completes names, `-- inexact:` is a reason (several
lines for several), `-- diagnostic:` is `line:column kind message` with lines counted from the first of the SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.sql import SqlLineage, analyze

PLACE = Path(__file__).parents[2] / "fixtures" / "sql"
_GIVEN = ("dialect", "schema", "default")
_FOUND = ("reads", "writes", "column", "indirect", "inexact", "diagnostic")
_LINE = re.compile(rf"-- (?P<word>{'|'.join((*_GIVEN, *_FOUND))})(?: (?P<of>[^:]*|\"[^\"]*\"))?:(?P<text>.*)")
_TABLE = re.compile(r"([^(),\s][^(),]*)\(([^)]*)\)")


@dataclass
class Case:
    """One piece of SQL and what is expected of it."""

    file: str
    name: str
    given: dict[str, str] = field(default_factory=dict)
    sql: str = ""
    expected: list[str] = field(default_factory=list)

    @property
    def schema(self) -> dict[str, list[str]]:
        """{table: its columns}"""
        tables = _TABLE.findall(self.given.get("schema", ""))
        return {name.strip(): [column.strip() for column in columns.split(",")] for name, columns in tables}

    def analyzed(self) -> SqlLineage:
        """What we say about it."""
        db, _, schema = self.given.get("default", "").rpartition(".")
        return analyze(
            self.sql,
            dialect=self.given["dialect"],
            schema=self.schema,
            default_db=db or None,
            default_schema=schema or None,
        )


def load(place: Path = PLACE) -> list[Case]:
    """All cases, in order."""
    return [case for file in sorted(place.glob("*.sql")) for case in _read(file)]


def _read(file: Path) -> Iterator[Case]:
    for text in file.read_text(encoding="utf-8").split("\n== ")[1:]:
        name, *lines = text.strip().splitlines()
        case = Case(file.stem, name.strip())
        for line in lines:
            matched = _LINE.fullmatch(line)
            if matched is None:
                case.sql += f"{line}\n"
            elif matched["word"] in _GIVEN:
                case.given[matched["word"]] = matched["text"].strip()
            else:
                case.expected.append(line)
        yield case


def written(found: SqlLineage) -> list[str]:
    """An answer as the fixture files have it."""
    lines = [f"-- reads: {', '.join(found.reads)}"] if found.reads else []
    lines += [f"-- writes: {', '.join(found.writes)}"] if found.writes else []
    lines += [f"-- column {name}: {_refs(sources)}".rstrip() for name, sources in found.columns.items()]
    lines += [f"-- indirect: {_refs(found.indirect)}"] if found.indirect else []
    lines += [f"-- inexact: {reason}" for reason in found.reasons]
    lines += [f"-- diagnostic: {item.line}:{item.column} {item.kind} {item.message}" for item in found.diagnostics]
    return lines


def _refs(refs: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{table}.{column}" for table, column in refs)
