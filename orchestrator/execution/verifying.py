"""The ledger beside the warehouse: what is not there any more as it was recorded.

Rows are counted, not compared: somebody who changes values in place and neither rows nor columns is not found out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from orchestrator.definitions.events import Failure, RunFinished
from orchestrator.definitions.facts import Facts, WriterFact
from orchestrator.definitions.keys import AssetKey, Relation
from orchestrator.definitions.partitions import Partitions, TimePartitions
from orchestrator.errors import ExecutionError
from orchestrator.execution.adoption import VIEWS, begin_recording
from orchestrator.execution.journal import now
from orchestrator.execution.ops import Op
from orchestrator.execution.python_steps import scope_of
from orchestrator.graph.model import Asset, Writer
from orchestrator.resources.database import Database, Scope
from orchestrator.resources.tally import Counts, Tally, Values, Windows
from orchestrator.workspace import Workspace

DONE = ("succeeded", "warned", "adopted")
GROWING = ("incremental", "snapshot")
"""dbt's strategies that keep what is there: running them again brings no lost row back."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What one writer (of one partition) left, and what is there instead."""

    key: AssetKey
    writer: str
    partition: str | None
    what: Literal["rows", "table", "columns"]
    recorded: int | None
    """Rows."""
    there: int | None
    """Rows; None where there is no table, or its columns differ."""
    detail: str
    """One clause: `12 rows recorded, 10 there`."""
    run_id: str
    """The run that recorded it."""
    mends: bool = True
    """Whether doing it again makes it whole."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was compared, and what differs."""

    differences: tuple[Difference, ...]
    compared: int
    """Cells of the ledger: writers, each partition apart."""
    assets: int
    left_out: Mapping[AssetKey, str]
    """{asset: why it cannot be compared, or not wholly}"""
    run_id: str | None = None
    """The run that marked what differs."""
    marked: int = 0


@dataclass(slots=True)
class _Subject:
    """An asset to compare, with what is recorded of its writers."""

    asset: Asset
    database: Database
    relation: Relation
    facts: list[tuple[Writer, WriterFact]]
    differences: list[Difference] = field(default_factory=list)


def verify(
    workspace: Workspace, selected: Iterable[AssetKey], *, repair: bool = False, command: str = ""
) -> Verification:
    """Compare rows, tables and columns of the selected assets with what their last successes recorded.

    With `repair` what differs is recorded as failed, with the reason, so that the next `run --stale` does it again.
    Nothing in the warehouse is changed. Raises DefinitionErrors, ResourceLockedError while somebody writes.
    """
    workspace.require_sound()
    wanted, facts = set(selected), workspace.facts()
    left_out: dict[AssetKey, str] = {}
    try:
        subjects = list(_subjects(workspace, wanted, facts, left_out))
        recorded = workspace.history.all_columns(workspace.environment) if subjects else {}
        for database in {id(item.database): item.database for item in subjects}.values():
            here = [item for item in subjects if item.database is database]
            there = database.all_columns()
            for subject in here:
                _compare_shape(subject, recorded.get(str(subject.asset.key)), there.get(subject.relation))
            _compare_rows([item for item in here if not item.differences], left_out)
    finally:
        for opened in workspace.databases:
            opened.close()
    differences = tuple(item for subject in subjects for item in subject.differences)
    compared = sum(len(subject.facts) for subject in subjects)
    found = Verification(differences, compared, len(subjects), left_out)
    mendable = [item for item in differences if item.mends]
    if not repair or not mendable:
        return found
    return replace(found, run_id=_mark(workspace, mendable, facts, command), marked=len(mendable))


def _subjects(
    workspace: Workspace, wanted: set[AssetKey], facts: Facts, left_out: dict[AssetKey, str]
) -> Iterator[_Subject]:
    """Only what counts as done is compared: the rest is written again anyhow."""
    known: dict[tuple[str, str], list[WriterFact]] = {}
    for fact in facts.writers.values():
        if fact.status in DONE:
            known.setdefault((fact.key, fact.writer), []).append(fact)
    for key, asset in workspace.graph.assets.items():
        if key not in wanted or asset.external or asset.kind == "action":
            continue
        done = [
            (writer, fact) for writer in asset.writers for fact in _valid(writer, known.get((str(key), writer.id), ()))
        ]
        if not done:
            left_out[key] = "nothing is recorded of it, or it is not done"
            continue
        database, relation = workspace.place_of(key)
        if database is None or relation is None:
            left_out[key] = "its table cannot be looked for"
            continue
        yield _Subject(asset, database, relation, done)


def _valid(writer: Writer, facts: Iterable[WriterFact]) -> Iterator[WriterFact]:
    """Of partitions that there still are."""
    closed = writer.partitions.closed(as_of=now()) if writer.partitions is not None else (None,)
    return (fact for fact in facts if fact.partition in closed)


Columns = Sequence[tuple[str, str]]


def _compare_shape(subject: _Subject, recorded: Columns | None, there: Columns | None) -> None:
    """A table that is gone is a difference of each of its cells; other columns are one of each of its writers."""
    if there is None:
        for writer, fact in subject.facts:
            subject.differences.append(_difference(subject, writer, fact, "table", None, f"{subject.relation} is gone"))
        return
    if not recorded or not (detail := _changed(recorded, there)):
        return
    for writer in dict.fromkeys(writer for writer, _ in subject.facts):
        newest = max((fact for by, fact in subject.facts if by is writer), key=lambda fact: fact.at)
        mends = writer.partitions is None and writer.strategy not in GROWING and writer.mode == "insert"
        found = _difference(subject, writer, newest, "columns", None, f"columns changed: {detail}")
        subject.differences.append(replace(found, partition=None, recorded=None, mends=mends))


def _changed(recorded: Columns, there: Columns) -> str:
    before = {name.lower(): kind for name, kind in recorded}
    after = {name.lower(): kind for name, kind in there}
    gone = [f"{name} is gone" for name in before if name not in after]
    more = [f"{name} is new" for name in after if name not in before]
    other = [
        f"{name} was {kind}, is {after[name]}"
        for name, kind in before.items()
        if name in after and after[name].lower() != kind.lower()
    ]
    return ", ".join([*gone, *more, *other])


def _compare_rows(subjects: Sequence[_Subject], left_out: dict[AssetKey, str]) -> None:
    """All counts of one database at once, and those that no one query tells one by one."""
    asked: list[tuple[_Subject, Writer, list[WriterFact], Tally | None]] = []
    for subject in subjects:
        if reason := _uncountable(subject):
            left_out[subject.asset.key] = reason
            continue
        for writer in dict.fromkeys(writer for writer, _ in subject.facts):
            facts = [fact for by, fact in subject.facts if by is writer and fact.rows is not None]
            if facts:
                asked.append((subject, writer, facts, _tally(subject, writer, facts)))
    if not asked:
        return
    tallies = [tally for *_, tally in asked if tally is not None]
    counted = iter(asked[0][0].database.tally(tallies))
    for subject, writer, facts, tally in asked:
        counts = next(counted) if tally is not None else None
        try:
            there = _rows_there(subject, writer, facts, tally, counts)
        except ExecutionError as exc:  # nothing says which rows belong to a partition
            left_out[subject.asset.key] = exc.what
            continue
        for fact in facts:
            rows = there[fact.partition]
            if rows != fact.rows:
                detail = f"{fact.rows} rows recorded, {rows} there"
                found = _difference(subject, writer, fact, "rows", rows, detail)
                mends = writer.partitions is not None or writer.strategy not in GROWING
                subject.differences.append(replace(found, mends=mends))


def _uncountable(subject: _Subject) -> str:
    """Why the rows say nothing; empty where they do."""
    asset = subject.asset
    if all(writer.strategy in VIEWS for writer in asset.writers):
        return "it is a view: only its columns were compared"
    if updating := [writer.name for writer in asset.writers if writer.mode == "update"]:
        return f"{updating[0]} changes its rows: only its columns were compared"
    if len(asset.writers) > 1 and not all(writer.slot is not None for writer in asset.writers):
        return "several writers share it without slots: only its columns were compared"
    return ""


def _tally(subject: _Subject, writer: Writer, facts: Sequence[WriterFact]) -> Tally | None:
    """What one query has to count; None where no one query can."""
    own = scope_of(writer, subject.asset.writers) or Scope()
    if writer.partitions is None:
        return Tally(subject.relation, scope=own)
    by = [_grouping(part, facts, writer.partitions) for part in writer.partitions.dimensions]
    if any(item is None for item in by):
        return None
    return Tally(subject.relation, tuple(item for item in by if item is not None), own)


def _grouping(part: Partitions, facts: Sequence[WriterFact], whole: Partitions) -> Windows | Values | None:
    if part.column is None:
        return None
    if not isinstance(part, TimePartitions):
        return Values(part.column)
    numbers = [part.number(_key_in(whole, part, fact)) for fact in facts]
    low, high = min(numbers), max(numbers)
    windows = [part.window(part.key(number)) for number in range(low, high + 1)]
    return Windows(part.column, tuple(start for start, _ in windows), windows[-1][1])


def _key_in(whole: Partitions, part: Partitions, fact: WriterFact) -> str:
    assert fact.partition is not None
    return fact.partition if whole is part else whole.partition(fact.partition).keys[part.name]


def _rows_there(
    subject: _Subject, writer: Writer, facts: Sequence[WriterFact], tally: Tally | None, counts: Counts | None
) -> dict[str | None, int]:
    """{partition: rows}"""
    if tally is None or counts is None:
        found = {}
        for fact in facts:
            scope = scope_of(writer, subject.asset.writers, partition=fact.partition)
            found[fact.partition] = subject.database.count(subject.relation, scope=scope) or 0
        return found
    if writer.partitions is None:
        return {None: counts.get((), 0)}
    first = {
        part: min(part.number(_key_in(writer.partitions, part, fact)) for fact in facts)
        for part in writer.partitions.dimensions
        if isinstance(part, TimePartitions)
    }

    def place(fact: WriterFact) -> tuple[int | str | None, ...]:
        assert writer.partitions is not None
        keys = [(part, _key_in(writer.partitions, part, fact)) for part in writer.partitions.dimensions]
        return tuple(part.number(key) - first[part] if isinstance(part, TimePartitions) else key for part, key in keys)

    return {fact.partition: counts.get(place(fact), 0) for fact in facts}


def _difference(
    subject: _Subject,
    writer: Writer,
    fact: WriterFact,
    what: Literal["rows", "table", "columns"],
    there: int | None,
    detail: str,
) -> Difference:
    run_id = fact.version_run_id or fact.run_id
    return Difference(subject.asset.key, writer.id, fact.partition, what, fact.rows, there, detail, run_id)


def _mark(workspace: Workspace, differences: Sequence[Difference], facts: Facts, command: str) -> str:
    """A run of its own, in which what differs has failed. History stays as it is: the newest word counts."""
    cells = {
        (item.key, item.writer, item.partition): f"changed outside of any run: {item.detail}" for item in differences
    }
    ops = [(_op(workspace.graph[key], writer, partition), reason) for (key, writer, partition), reason in cells.items()]
    journal = begin_recording(workspace, facts, ops, selection="verify", command=command)
    for op, reason in ops:
        for intent in journal.intend(op):
            journal.fail(intent, Failure(message=reason), reason=reason, duration_s=0.0)
    end = RunFinished(
        at=now(),
        run_id=journal.run_id,
        environment=workspace.environment,
        status="failed",
        reason=f"{len(ops)} changed outside of any run",
        duration_s=0.0,
    )
    journal.emit(end)
    return journal.run_id


def _op(asset: Asset, writer_id: str, partition: str | None) -> Op:
    writer = next(item for item in asset.writers if item.id == writer_id)
    op = Op(writer.id, "asset", writer.engine, asset.key, frozenset())
    if writer.partitions is None or partition is None:
        return op
    return replace(op, of_writer=writer.id, partitions=writer.partitions.only(partition))
