"""Who has ended and how: the one place where the threads of a run meet."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.definitions.partitions import PartitionSet
from orchestrator.execution.ops import Op

Ending = Literal["ok", "failed", "blocked", "cancelled"]
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class End:
    """How an op ended, and in one clause why, where it is not well."""

    ending: Ending
    reason: str = ""


@dataclass(slots=True)
class Board:
    """The endings of all ops of a run. Thread-safe."""

    ops: Mapping[str, Op]
    ends: dict[str, End] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set by whoever wants the run to stop."""
    stopping: str = ""
    """Why it stops, once that is decided."""
    failed_parts: dict[str, PartitionSet] = field(default_factory=dict)
    """{op of several partitions: those that failed, where not all did}"""
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _followers: dict[str, list[str]] = field(default_factory=dict)
    """{op: ops that wait for it}"""
    _looked_at: dict[str, None] = field(default_factory=dict)
    """Ops about which something may have changed since `ready` looked last, in their order. A backfill has thousands
    of ops: looking at each of them whenever one ends would cost more than the work."""

    def __post_init__(self) -> None:
        self._looked_at = dict.fromkeys(self.ops)
        for op in self.ops.values():
            for need in op.needs | op.after:
                self._followers.setdefault(need, []).append(op.id)

    def end(self, op_id: str, end: End) -> bool:
        """Write how an op ended; False if that is already known (the first word counts)."""
        with self._changed:
            if op_id in self.ends:
                return False
            self.ends[op_id] = end
            self._looked_at.update(dict.fromkeys(self._followers.get(op_id, ())))
            self._changed.notify_all()
            return True

    def cancel(self, why: str) -> None:
        """Let nothing more start; the first reason stays."""
        with self._changed:
            self.stopping = self.stopping or why
            self.cancelled.set()
            self._looked_at.update(dict.fromkeys(self.ops))
            self._changed.notify_all()

    @property
    def cancelled_end(self) -> End:
        """How what has not started ends when the run is stopped."""
        return End("cancelled", self.stopping or "the run was cancelled")

    def wait_for(self, op_id: str) -> End | None:
        """Block until the op may start (None) or is known not to (how it ends)."""
        with self._changed:
            while (verdict := self._verdict(op_id)) == "wait":
                self._changed.wait(POLL_S)
        return verdict if isinstance(verdict, End) else None

    def _verdict(self, op_id: str) -> End | Literal["wait", "go"]:
        if self.cancelled.is_set():
            return self.cancelled_end
        op = self.ops[op_id]
        # Of several needs that ended badly, the most telling is shown: a failure rather than what it blocked.
        bad = [need for need in sorted(op.needs) if need in self.ends and self.ends[need].ending != "ok"]
        if bad:
            return self._follow(self._worst(bad))
        if any(need not in self.ends for need in op.needs | op.after):
            return "wait"
        if op.after and all(self.ends[name].ending != "ok" for name in op.after):
            return self._follow(self._worst(sorted(op.after)))
        return "go"

    def _worst(self, ended: Iterable[str]) -> str:
        return min(ended, key=lambda need: ("failed", "cancelled", "blocked", "ok").index(self.ends[need].ending))

    def _follow(self, need: str) -> End:
        end = self.ends[need]
        if end.ending == "failed":
            return End("blocked", f"{self.describe(need)} failed")
        return End(end.ending, end.reason)

    def describe(self, op_id: str) -> str:
        """An op as people call it: the asset's key, or the check and its asset."""
        op = self.ops[op_id]
        if op.check is not None:
            return f"check {op.check.name} on {op.key}"
        return op.title_of(self.failed_parts.get(op_id, op.partitions))

    def ready(self, engine: str) -> list[tuple[Op, End | None]]:
        """Ops of one engine that can be started or ended now, each handed out once."""
        with self._changed:
            found: list[tuple[Op, End | None]] = []
            if self.cancelled.is_set() and not self.stopping:  # set by whoever wants to stop, without `cancel`
                self._looked_at.update(dict.fromkeys(self.ops))
            for op in [self.ops[name] for name in self._looked_at if self.ops[name].engine == engine]:
                del self._looked_at[op.id]
                if op.id in self.started or op.id in self.ends:
                    continue
                verdict = self._verdict(op.id)
                if verdict != "wait":
                    self.started.add(op.id)
                    found.append((op, verdict if isinstance(verdict, End) else None))
            return found

    def all_ended(self, engine: str | None = None) -> bool:
        """True when every op (of one engine) has ended."""
        with self._changed:
            if engine is None:
                return len(self.ends) >= len(self.ops)
            return all(op.id in self.ends for op in self.ops.values() if op.engine == engine)

    def wait_change(self) -> None:
        """Sleep until something ends, at most half a second."""
        with self._changed:
            self._changed.wait(POLL_S)
