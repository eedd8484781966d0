"""What a Python asset's function returned, stored: a frame, batches of frames, or word that it was stored already."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.definitions.events import Materialization
from orchestrator.definitions.keys import AssetKey, Relation
from orchestrator.definitions.metadata import to_metadata
from orchestrator.errors import ExecutionError
from orchestrator.resources.database import Database, Scope
from orchestrator.resources.frames import TAKEN

_END = object()


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an attempt's rows go."""

    database: Database
    relation: Relation
    before_commit: Callable[[], None]
    """May raise to refuse the write."""
    connect: Callable[[], Any]
    """A connection that is interrupted when the attempt is stopped."""
    scope: Scope | None = None
    """The rows that are replaced; None for the whole table."""


def store(returned: Any, destination: Destination) -> Materialization:
    """Write what the function returned; rows, columns and the first rows of the table as it is then.

    Generators run while they are written, in one transaction. Raises ExecutionError for what cannot be stored.
    """
    if isinstance(returned, Materialization):
        return _stored_by_itself(returned, destination)
    if returned is None:
        raise ExecutionError(
            f"the function returned nothing, so {destination.relation} was not written",
            fix=f"return {TAKEN}; or Materialization(rows=…) where the function has stored the rows itself",
        )
    with _iterated(returned) as frame:
        rows = destination.database.replace(
            destination.relation,
            frame,
            scope=destination.scope,
            before_commit=destination.before_commit,
            connection=destination.connect(),
        )
    look = destination.database.look(destination.relation)
    return Materialization(rows=rows, columns=look.columns if look else (), sample=look.sample if look else None)


def word_of_update(returned: Any, key: AssetKey) -> Materialization:
    """What a function that updates rows says: a Materialization, or nothing. Raises ExecutionError for a frame."""
    if isinstance(returned, Materialization):
        return returned
    if returned is None:
        return Materialization()
    raise ExecutionError(
        f"the function updates {key}, but it returned a {type(returned).__name__}",
        fix="change rows by statements (warehouse.execute) and return nothing",
    )


def refuse_unrun(returned: Any) -> None:
    """Raise ExecutionError for what an action or check must not return: a generator, of which nothing has run."""
    if isinstance(returned, (Iterator, AsyncIterator)):
        raise ExecutionError(
            "the function is a generator, of which nothing has run", fix="use `return` instead of `yield`"
        )


def typed_metadata(values: dict[str, Any]) -> dict[str, Any]:
    """{name: {"kind": …, "value": …}} of the values that a user gave."""
    typed = {str(name): to_metadata(value) for name, value in values.items()}
    return {name: {"kind": value.kind, "value": value.value} for name, value in typed.items()}


def _stored_by_itself(said: Materialization, destination: Destination) -> Materialization:
    """What the function said, completed by what is there; nothing there is an error."""
    destination.before_commit()
    look = destination.database.look(destination.relation)
    if look is None:
        raise ExecutionError(
            f"the function returned a Materialization, but there is no table {destination.relation}",
            fix="write that table before returning, or return the rows",
        )
    return replace(
        said,
        rows=look.rows if said.rows is None else said.rows,
        columns=look.columns,
        sample=look.sample,
        metadata=typed_metadata(said.metadata),
        compiled_code=None,
    )


@contextmanager
def _iterated(returned: Any) -> Iterator[Any]:
    """The same, an async generator as an iterator; a generator is closed in any case, so that its `finally` runs."""
    frame = _awaited(returned) if isinstance(returned, AsyncIterator) else returned
    try:
        yield frame
    finally:
        if inspect.isgenerator(frame):
            frame.close()


def _awaited(returned: AsyncIterator[Any]) -> Iterator[Any]:
    """The items of an async generator, one event loop for all of them."""
    loop = asyncio.new_event_loop()

    async def following() -> Any:
        try:
            return await returned.__anext__()
        except StopAsyncIteration:
            return _END

    try:
        while True:
            item = loop.run_until_complete(following())
            if item is _END:
                return
            yield item
    finally:
        if (aclose := getattr(returned, "aclose", None)) is not None:
            loop.run_until_complete(aclose())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
