"""A gate on dbt's public event callbacks, so that steps which are not dbt's can run between its nodes.

dbt calls back synchronously in the thread that runs the node (tried on 1.10 and 1.11):

- `NodeStart` comes before a connection is used: here the node waits, then takes a slot. Never raise from it: the
  thread pool would hang.
- `NodeCompiling` comes only for nodes that will run (not for those dbt skips): raising here fails the node cleanly
  and skips its children.
- `NodeFinished` ends it; never raise from it. `GenericExceptionOnRun` ends a node that has no result.

Microbatch models nest: the model's own start and finish enclose those of its batches, all with one unique_id, the
batches on other threads. Batches take slots, the model around them none.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from orchestrator.dbt_engine.messages import shortened
from orchestrator.errors import ExecutionError

_HEADING = re.compile(r"\w+ Error in [\w ]+ \(.*\)|.* failed, error:")
"""dbt's first line, which says where but not what."""
_UNHANDLED = "Exception on worker thread. "


class GateRefusedError(ExecutionError):
    """The node must not run; raised inside dbt, never seen outside."""


@dataclass(frozen=True, slots=True)
class NodeOutcome:
    """How a dbt node ended, in dbt's words.

    `status`: success, error, skipped, pass, fail, warn, `partial success`, `no-op` …
    """

    unique_id: str
    status: str
    message: str = ""
    failures: int | None = None
    duration_s: float | None = None
    rows_affected: int | None = None
    done_batches: tuple[tuple[datetime, datetime], ...] | None = None
    """(start, end), UTC, of a microbatch model's batches that succeeded; None where dbt has not said it (yet)."""

    @property
    def cause(self) -> str:
        """What went wrong, in one line.

        >>> NodeOutcome("model.shop.a", "error", "Runtime Error in model a (a.sql)\\n  Binder Error: no b").cause
        'Binder Error: no b'
        """
        lines = [line.strip() for line in shortened(self.message).splitlines()]
        said = [line for line in lines if line and not _HEADING.fullmatch(line)]
        return next(iter([*said, *lines]), f"dbt says: {self.status}")


class NodeListener(Protocol):
    """Who decides about and hears of dbt nodes. Called in dbt's worker threads."""

    def wait(self, unique_id: str) -> None:
        """Return when the node may go on, or when it is known that it must not."""

    def start(self, unique_id: str) -> None:
        """The node is about to run. Raise to refuse it."""

    def finish(self, outcome: NodeOutcome) -> None:
        """The node has ended."""


@dataclass(slots=True)
class Gate:
    """The callback to give to dbtRunner."""

    listener: NodeListener
    slots: threading.Semaphore
    nodes: Collection[str]
    """unique_ids that were asked for; ephemeral models and hooks pass without slot or word."""
    microbatch: Collection[str] = ()
    on_selected: Callable[[], None] = lambda: None
    """Called once dbt knows what it will run, before the first hook."""
    _open: Counter[str] = field(default_factory=Counter, init=False)
    _started: set[str] = field(default_factory=set, init=False)
    _failed_batch: dict[str, NodeOutcome] = field(default_factory=dict, init=False)
    """{microbatch model: its first failed batch}"""
    _broken_batches: set[tuple[str, int]] = field(default_factory=set, init=False)
    """(microbatch model, thread) of batches that have ended by an exception."""
    _guard: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __call__(self, event: Any) -> None:
        match event.info.name:
            case "ConcurrencyLine":
                self.on_selected()
            case "NodeStart":
                self._on_start(event.data.node_info.unique_id)
            case "NodeCompiling":
                self._on_compiling(event.data.node_info.unique_id)
            case "NodeFinished":
                self._on_finished(event.data.node_info.unique_id, event.data.run_result)
            case "GenericExceptionOnRun":
                self._on_exception(event.data.unique_id, event.data.exc)

    def _on_start(self, unique_id: str) -> None:
        if unique_id not in self.nodes:
            return
        with self._guard:
            outermost = self._open[unique_id] == 0
            self._open[unique_id] += 1
            self._broken_batches.discard((unique_id, threading.get_ident()))
        if outermost:
            self.listener.wait(unique_id)
        if self._takes_slot(unique_id, outermost):
            self.slots.acquire()

    def _takes_slot(self, unique_id: str, outermost: bool) -> bool:
        return unique_id not in self.microbatch or not outermost

    def _on_compiling(self, unique_id: str) -> None:
        if unique_id not in self.nodes:
            return
        with self._guard:
            first = unique_id not in self._started
            self._started.add(unique_id)
        if first:
            self.listener.start(unique_id)

    def _on_finished(self, unique_id: str, result: Any) -> None:
        if (here := (unique_id, threading.get_ident())) in self._broken_batches:
            self._broken_batches.discard(here)  # its exception has told of it
        elif self._leave(unique_id):
            batch = self._failed_batch.get(unique_id)
            self.listener.finish(
                NodeOutcome(
                    unique_id=unique_id,
                    status=result.status,
                    message=f"{result.message}: {batch.cause}\n{batch.message}" if batch else result.message,
                    failures=result.num_failures or None,
                    duration_s=result.execution_time,
                    rows_affected=_rows(result),
                )
            )

    def _on_exception(self, unique_id: str, message: str) -> None:
        # Fired also before a NodeFinished that reports the same error; only a node without result is ended by it.
        if unique_id not in self.nodes or not message.startswith(_UNHANDLED):
            return
        outcome = NodeOutcome(unique_id, "error", message.removeprefix(_UNHANDLED))
        if self._leave(unique_id):
            self.listener.finish(outcome)
        elif unique_id in self.microbatch:
            # A batch, whose NodeFinished still comes. All that dbt says of the model itself is how many batches failed.
            self._failed_batch.setdefault(unique_id, outcome)
            self._broken_batches.add((unique_id, threading.get_ident()))

    def _leave(self, unique_id: str) -> bool:
        """Give back what was taken; True when the node itself (not one of its batches) has ended."""
        with self._guard:
            if unique_id not in self.nodes or self._open[unique_id] == 0:
                return False
            self._open[unique_id] -= 1
            outermost = self._open[unique_id] == 0
        if self._takes_slot(unique_id, outermost):
            self.slots.release()
        return outermost


def _rows(result: Any) -> int | None:
    """What the adapter says it has written; DuckDB's says nothing."""
    fields = result.adapter_response.fields
    return int(fields["rows_affected"].number_value) if "rows_affected" in fields else None
