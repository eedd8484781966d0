"""`@asset`, `@writes`, `@check`, `@action`: they return definitions and register nothing."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, Protocol, TypeVar

from orchestrator.definitions.assets import (
    DbtReference,
    GraphReference,
    PythonAction,
    PythonAsset,
    PythonCheck,
    Readable,
    Retry,
    Table,
)
from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.mappings import PartitionMapping
from orchestrator.definitions.partitions import Partitions, TimePartitions
from orchestrator.definitions.slots import Mode, Slot
from orchestrator.errors import DefinitionError

P = ParamSpec("P")
R = TypeVar("R")
ACTION_LAYER = "action"


class Answer(Protocol):
    """What bool, int and numpy's bool have in common, and text and None have not."""

    def __bool__(self) -> bool: ...
    def __and__(self, other: Any, /) -> Any: ...


A = TypeVar("A", bound=Answer | tuple[Answer, str] | Awaitable[Answer | tuple[Answer, str]])
"""What a check returns."""


def asset(
    table: Table,
    *,
    key: str | None = None,
    owner: str | Sequence[str] = (),
    group: str | None = None,
    tags: Sequence[str] = (),
    kinds: Sequence[str] = (),
    description: str | None = None,
    after: Sequence[Readable] = (),
    partitions: Partitions | None = None,
    mappings: Mapping[Any, PartitionMapping] | None = None,
    retries: int = 0,
    retry_delay_s: float = 10.0,
    timeout_s: float | None = None,
) -> Callable[[Callable[P, R]], PythonAsset[P, R]]:
    """A function that writes `table`: the frame it returns replaces the table's rows, atomically.

    `key` defaults to the table's name. Assets and dbt models that the function refers to are its upstream; `after`
    adds what the code does not show. With `partitions` the function runs once a partition and replaces its rows, and
    `mappings` ({upstream: rule}) says which upstream partitions it reads where that is not inferred. A failing
    function is tried `retries` more times, `retry_delay_s` seconds apart; one that runs longer than `timeout_s`
    seconds is stopped and fails.
    """
    if not isinstance(table, Table):
        raise DefinitionError(
            f"@asset needs a table to write, not {table!r}", fix='write @asset(warehouse.table("schema.name"))'
        )
    divided = _divided(table.name, partitions, mappings)
    common = _Common(
        key, owner, group, tags, kinds, description, after, Retry(retries, retry_delay_s), timeout_s, *divided
    )
    return lambda fn: common.of(fn, table=table, slot=None, mode="insert")


def writes(
    table: Table | DbtReference,
    *,
    slot: str | None = None,
    where: Mapping[str, Any] | None = None,
    mode: Mode = "insert",
    key: str | None = None,
    owner: str | Sequence[str] = (),
    group: str | None = None,
    tags: Sequence[str] = (),
    kinds: Sequence[str] = (),
    description: str | None = None,
    after: Sequence[Readable] = (),
    partitions: Partitions | None = None,
    mappings: Mapping[Any, PartitionMapping] | None = None,
    retries: int = 0,
    retry_delay_s: float = 10.0,
    timeout_s: float | None = None,
) -> Callable[[Callable[P, R]], PythonAsset[P, R]]:
    """A function that is one of several writers of `table`, with status, retries and history of its own.

    With `slot` and `where` ({column: the value, or values, of its rows}) the frame it returns replaces these rows and
    no others. With `mode="update"` it changes rows by statements, after all inserting writers, and returns nothing.
    The other parameters are those of `asset`. `table` may be a dbt model: one that inserts has a slot of its own then,
    `meta.orchestrator.slot`.
    """
    if not isinstance(table, (Table, DbtReference)):
        raise DefinitionError(
            f"@writes needs a table to write, not {table!r}", fix='write @writes(warehouse.table("schema.name"), …)'
        )
    name = table.name
    if mode not in ("insert", "update"):
        raise DefinitionError(f"@writes({name!r}) has the mode {mode!r}", fix='the modes are "insert" and "update"')
    if mode == "update" and (slot is not None or where is not None):
        raise DefinitionError(
            f"@writes({name!r}, mode='update') has a slot", fix="leave out slot= and where=: it may change all rows"
        )
    if mode == "insert" and (not slot or not where):
        raise DefinitionError(
            f"@writes({name!r}) does not say which rows are its own",
            fix='give the slot a name and its rows: @writes(table, slot="emea", where={"region": "EMEA"})',
        )
    own = Slot.of(slot, where) if slot and where else None
    divided = _divided(table.name, partitions, mappings)
    common = _Common(
        key, owner, group, tags, kinds, description, after, Retry(retries, retry_delay_s), timeout_s, *divided
    )
    return lambda fn: common.of(fn, table=table, slot=own, mode=mode)


@dataclass(frozen=True, slots=True)
class _Common:
    """What `@asset` and `@writes` say alike."""

    key: str | None
    owner: str | Sequence[str]
    group: str | None
    tags: Sequence[str]
    kinds: Sequence[str]
    description: str | None
    after: Sequence[Readable]
    retry: Retry
    timeout_s: float | None
    partitions: Partitions | None
    mappings: tuple[tuple[Any, PartitionMapping], ...]

    def of(
        self, fn: Callable[P, R], *, table: Table | DbtReference, slot: Slot | None, mode: Mode
    ) -> PythonAsset[P, R]:
        where = _origin(fn)
        key = self.key or (table.name if isinstance(table, Table) else None)
        return PythonAsset(
            **where,
            description=self.description or inspect.getdoc(fn) or "",
            table=table,
            key=AssetKey.parse(key, at=f"{where['file']}:{where['line']}") if key else None,
            owners=_strings(self.owner),
            group=self.group,
            tags=_strings(self.tags),
            kinds=_strings(self.kinds),
            after=tuple(self.after),
            retry=self.retry,
            timeout_s=self.timeout_s,
            slot=slot,
            mode=mode,
            partitions=self.partitions,
            mappings=self.mappings,
        )


def _divided(
    name: str, partitions: Partitions | None, mappings: Mapping[Any, PartitionMapping] | None
) -> tuple[Partitions | None, tuple[tuple[Any, PartitionMapping], ...]]:
    """The two as they are kept. Raises DefinitionError for what is neither, and where rows cannot be told apart."""
    example = 'partitions=Monthly("2013-01", column="flight_date")'
    if partitions is not None and not isinstance(partitions, Partitions):
        raise DefinitionError(f"{name!r} has the partitions {partitions!r}", fix=f"write {example}")
    for part in partitions.dimensions if partitions is not None else ():
        if part.column is None:
            raise DefinitionError(
                f"{name!r} has partitions without a column: {part.about()}",
                fix=f"say which rows are a partition's, as in {example}",
            )
    windows = [part for part in partitions.dimensions if isinstance(part, TimePartitions)] if partitions else []
    if len(windows) > 1:
        raise DefinitionError(
            f"{name!r} is divided by time twice: {' and '.join(part.about() for part in windows)}",
            fix="divide it by one of them",
        )
    for rule in (mappings or {}).values():
        if not isinstance(rule, PartitionMapping):
            raise DefinitionError(
                f"{name!r} has the mapping {rule!r}", fix="write mappings={flights: mappings.Trailing(3)}"
            )
    return partitions, tuple((mappings or {}).items())


def check(
    asset: Readable,
    *,
    severity: Literal["error", "warn"] = "error",
    blocking: bool = True,
    description: str | None = None,
    timeout_s: float | None = None,
) -> Callable[[Callable[P, A]], PythonCheck[P, A]]:
    """An assertion on the rows of `asset`, run after each write.

    The function takes the rows (annotated `pyarrow.Table`, `pandas.DataFrame` or `polars.DataFrame`; pyarrow when not
    annotated) and returns True or False, the number of failing rows, or (passed, message). A failing check with
    severity "error" fails the run, and blocks what descends from the asset if it is `blocking`.
    """
    if not isinstance(asset, (PythonAsset, Table, DbtReference, GraphReference)):
        raise DefinitionError(f"@check needs an asset, not {asset!r}", fix="pass the object, as in @check(flights)")
    if severity not in ("error", "warn"):
        raise DefinitionError(f"a check's severity is 'error' or 'warn', not {severity!r}", fix='severity="warn"')

    def decorate(fn: Callable[P, A]) -> PythonCheck[P, A]:
        return PythonCheck(
            **_origin(fn),
            description=description or inspect.getdoc(fn) or "",
            asset=asset,
            severity=severity,
            blocking=blocking and severity == "error",
            timeout_s=timeout_s,
        )

    return decorate


def action(
    *,
    after: Sequence[Readable] = (),
    key: str | None = None,
    owner: str | Sequence[str] = (),
    group: str | None = None,
    tags: Sequence[str] = (),
    description: str | None = None,
    retries: int = 0,
    retry_delay_s: float = 10.0,
    timeout_s: float | None = None,
) -> Callable[[Callable[P, R]], PythonAction[P, R]]:
    """Recorded work that writes no asset, such as a vacuum; it runs after the assets in `after`.

    Its key is `action.<function name>` unless `key` is given.
    """

    def decorate(fn: Callable[P, R]) -> PythonAction[P, R]:
        where = _origin(fn)
        default = f"{ACTION_LAYER}.{where['name']}"
        return PythonAction(
            **where,
            description=description or inspect.getdoc(fn) or "",
            key=AssetKey.parse(key or default, at=f"{where['file']}:{where['line']}"),
            owners=_strings(owner),
            group=group,
            tags=_strings(tags),
            after=tuple(after),
            retry=Retry(retries, retry_delay_s),
            timeout_s=timeout_s,
        )

    return decorate


def _origin(fn: Callable[..., Any]) -> dict[str, Any]:
    code = inspect.unwrap(fn).__code__
    return {
        "fn": fn,
        "name": fn.__name__,
        "module": fn.__module__,
        "file": code.co_filename,
        "line": code.co_firstlineno,
    }


def _strings(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
