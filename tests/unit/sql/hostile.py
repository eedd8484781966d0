"""SQL that nobody should have written: mutations, deep and long texts; and what must hold of any answer."""

from __future__ import annotations

import random
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from sqlglot.dialects import DIALECTS as MODULES

from orchestrator.sql import Change, Fingerprint, SqlLineage, analyze, classify, fingerprint
from orchestrator.sql.walk import NOT_FOLLOWED
from tests.unit.sql.fixtures import Case, load

CASES = load()
_KNOWN = {name.lower() for name in MODULES if name != "Dialect"}
DIALECTS = sorted(_KNOWN | {"", "sqlserver", "glue", "no such dialect"})
TABLES = {"t": ["a", "b"]}
LONGEST_S = 120
"""A guard against hanging; not a measure of anything."""
_PIECE = re.compile(r"\w+|\s+|[^\w\s]")
_WORDS = [word for case in CASES for word in _PIECE.findall(case.sql) if not word.isspace()]


@contextmanager
def no_hanging() -> Iterator[None]:
    """Raises where the body does not end."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"no answer after {LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def examine(
    sql: str, *, dialect: str, schema: Mapping[str, Sequence[str]] = TABLES, before: str = "select a from t"
) -> SqlLineage:
    """Ask everything about some SQL; what must hold of any answer does."""
    found = analyze(sql, dialect=dialect, schema=schema)
    assert found.exact == (not found.reasons)
    assert all(0 < len(reason) < 600 for reason in found.reasons), "a reason is a sentence, not the script"
    assert all(item.line >= 1 and item.column >= 1 for item in found.diagnostics)
    for part in (found, *found.statements):
        assert {name: set(refs) for name, refs in part.columns.items()} == {
            name: set(kinds) for name, kinds in part.kinds.items()
        }
        assert {item.name for item in part.output} <= set(part.columns)
        assert all(kind != "indirect" for kinds in part.kinds.values() for kind in kinds.values())
    if any(item.kind == "parse_error" for item in found.diagnostics):
        assert not found.exact
    taken = fingerprint(sql, dialect=dialect, schema=schema)
    if taken.rows is None:
        assert taken.reasons
        assert not taken.columns
    _examine_change(before, sql, taken, dialect=dialect, schema=schema)
    return found


def _examine_change(
    before: str, sql: str, taken: Fingerprint, *, dialect: str, schema: Mapping[str, Sequence[str]]
) -> Change:
    change = classify(before, sql, dialect=dialect, schema=schema)
    assert change.reasons
    if not taken.whole and change.kind != "unchanged":
        assert change.breaking, "what cannot be parsed is called breaking"
    assert classify(taken, taken).kind == "unchanged"
    return change


# Mutations


def mutated(rng: random.Random, sql: str) -> str:
    """A statement with some words gone, twice, swapped, moved, or from another statement."""
    pieces = _PIECE.findall(sql)
    for _ in range(rng.randint(1, 6)):
        if not pieces:
            break
        at, other = rng.randrange(len(pieces)), rng.randrange(len(pieces))
        match rng.randrange(7):
            case 0:
                del pieces[at]
            case 1:
                pieces.insert(other, pieces[at])
            case 2:
                pieces[at], pieces[other] = pieces[other], pieces[at]
            case 3:
                pieces[at] = rng.choice(_WORDS)
            case 4:
                pieces[at:at] = pieces[min(at, other) : max(at, other)][:12]
            case 5:
                del pieces[min(at, other) : min(at, other) + rng.randint(1, 6)]
            case 6:
                del pieces[at:]  # as someone has typed so far
    return "".join(pieces)


def mutants(seed: int, amount: int) -> Iterator[tuple[Case, str, str]]:
    """(case, SQL, dialect): most in their own dialect."""
    rng = random.Random(seed)
    for _ in range(amount):
        case = rng.choice(CASES)
        dialect = rng.choice(DIALECTS) if rng.random() < 0.3 else case.given["dialect"]
        yield case, mutated(rng, case.sql), dialect


def examine_mutants(seed: int, amount: int) -> Counter[str]:
    """How many are exact, how many not, and how many only the last net has caught."""
    tally: Counter[str] = Counter()
    for case, sql, dialect in mutants(seed, amount):
        try:
            found = examine(sql, dialect=dialect, schema=case.schema, before=case.sql)
        except Exception as exc:
            raise AssertionError(f"{dialect}: {sql}") from exc
        tally["exact" if found.exact else "not exact"] += 1
        tally["not understood"] += NOT_FOLLOWED in found.reasons
    return tally


# Deep and long

Shape = Callable[[int], str]
NESTED: dict[str, Shape] = {
    "parentheses": lambda n: f"select {'(' * n}a{')' * n} from t",
    "parentheses that stay open": lambda n: "select " + "(" * n,
    "subqueries in FROM": lambda n: f"select a from {'(select a from ' * n}t{') s' * n}",
    "subqueries as values": lambda n: f"select {'(select ' * n}a{' from t)' * n}",
    "subqueries in IN": lambda n: f"select a from t where {'a in (select a from t where ' * n}true{')' * n}",
    "subqueries in EXISTS": lambda n: f"select a from t where {'exists (select 1 from t where ' * n}true{')' * n}",
    "WITH in WITH": lambda n: (
        f"with {'x as (with ' * n}y as (select a from t) select * from y{') select * from x' * n}"
    ),
    "WITH that stays open": lambda n: "with a as (" * n,
    "CASE": lambda n: f"select {'case when a then ' * n}1{' end' * n} from t",
    "CASE in ELSE": lambda n: f"select {'case when a then 1 else ' * n}1{' end' * n} from t",
    "functions": lambda n: f"select {'coalesce(a, ' * n}1{')' * n} from t",
    "lambdas": lambda n: f"select {'list_transform(a, x -> ' * n}x{')' * n} from t",
    "window functions": lambda n: f"select {'sum(' * n}a{') over (order by b)' * n} from t",
    "unions to the left": lambda n: f"{'(' * n}select a from t{' union all select a from t)' * n}",
    "unions to the right": lambda n: f"{'select a from t union all (' * n}select a from t{')' * n}",
    "lists": lambda n: f"select {'[' * n}1{']' * n}",
    "structs": lambda n: "select " + "{'a': " * n + "1" + "}" * n,
    "types": lambda n: f"select cast(a as {'array<' * n}int{'>' * n}) from t",
    "casts": lambda n: f"select a{'::int' * n} from t",
    "indexes": lambda n: f"select a{'[1]' * n} from t",
    "minuses": lambda n: f"select {'- ' * n}a from t",
    "negations": lambda n: f"select a from t where {'not ' * n}a",
    "FROM FROM": lambda n: f"{'from ' * n}t",
    "templates": lambda n: "{{" * n + "}}" * n,
}
"""Each deeper inside than anything may be, for a thousand levels."""
LONG: dict[str, Shape] = {
    "ANDs": lambda n: f"select a from t where {' and '.join(['a = 1'] * n)}",
    "ORs of ANDs": lambda n: f"select a from t where {' or '.join(['a = 1 and b = 2'] * n)}",
    "sums": lambda n: f"select {' + '.join('a' * n)} as a from t",
    "texts": lambda n: f"select {' || '.join('a' * n)} as a from t",
    "UNION ALLs": lambda n: " union all ".join(["select a from t"] * n),
    "UNIONs": lambda n: " union ".join(["select a from t"] * n),
    "EXCEPTs": lambda n: " except ".join(["select a from t"] * n),
    "CTEs in a row": lambda n: (
        f"with c0 as (select a from t){_row(n, 'select a + 1 as a from c{0}')} select a from c{n}"
    ),
    "CTEs read twice": lambda n: (
        f"with c0 as (select a from t){_row(n, 'select x.a + y.a as a from c{0} x, c{0} y')} select a from c{n}"
    ),
    "tables one from another": lambda n: (
        "create table t0 as select a from t;"
        + "".join(f"create table t{i + 1} as select x.a + y.a as a from t{i} x join t{i} y on true;" for i in range(n))
    ),
    "a list in IN": lambda n: f"select a from t where a in ({','.join(map(str, range(n)))})",
    "rows": lambda n: f"insert into s values {', '.join(['(1, 2)'] * n)}",
    "statements": lambda n: ";".join(["select a from t"] * n),
    "JSON paths": lambda n: f"select a{''.join(['->0'] * n)} as a from t",
}
"""Long, but no deeper than a parser with a loop goes: all of it is followed."""
REFUSED: dict[str, Shape] = {
    "words": lambda n: "select " * n,
    "closing parentheses": lambda n: "select " + ")" * n,
    "quotes": lambda n: "select '" + "''" * n,
    "comments that stay open": lambda n: "select a from t /*" * n,
    "nothing printable": lambda n: "\0" * n,
    "pictures": lambda n: "😀 " * n,
    "WITH beside WITH": lambda n: "with recursive r as (select a from t union all select a + 1 from r) " * n,
    "SELECT beside SELECT": lambda n: "select a from t where select b from u having " * n,
    "one word": lambda n: "x" * n,
}
"""No SQL at all."""


def _row(amount: int, body: str) -> str:
    return "".join(f", c{at + 1} as ({body.format(at)})" for at in range(amount))


__all__ = [
    "CASES",
    "DIALECTS",
    "LONG",
    "NESTED",
    "REFUSED",
    "TABLES",
    "examine",
    "examine_mutants",
    "mutants",
    "no_hanging",
]
