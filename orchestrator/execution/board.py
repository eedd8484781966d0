"""Who has ended and how: the one place where the threads of a run meet."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

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
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def end(self, op_id: str, end: End) -> bool:
        """Write how an op ended; False if that is already known (the first word counts)."""
        with self._changed:
            if op_id in self.ends:
                return False
            self.ends[op_id] = end
            self._changed.notify_all()
            return True

    def cancel(self, why: str) -> None:
        """Let nothing more start; the first reason stays."""
        with self._changed:
            self.stopping = self.stopping or why
            self.cancelled.set()
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
        # Of several needs that ended badly, the most telling is shown: a failure rather than what it blocked.
        bad = [need for need in sorted(self.ops[op_id].needs) if need in self.ends and self.ends[need].ending != "ok"]
        if bad:
            worst = min(bad, key=lambda need: ("failed", "cancelled", "blocked", "ok").index(self.ends[need].ending))
            return self._follow(worst)
        open_needs = [need for need in self.ops[op_id].needs if need not in self.ends]
        return "wait" if open_needs else "go"

    def _follow(self, need: str) -> End:
        end = self.ends[need]
        if end.ending == "failed":
            return End("blocked", f"{self.describe(need)} failed")
        return End(end.ending, end.reason)

    def describe(self, op_id: str) -> str:
        """An op as people call it: the asset's key, or the check and its asset."""
        op = self.ops[op_id]
        return f"check {op.check.name} on {op.key}" if op.check is not None else str(op.key)

    def ready(self, engine: str) -> list[tuple[Op, End | None]]:
        """Ops of one engine that can be started or ended now, each handed out once."""
        with self._changed:
            found: list[tuple[Op, End | None]] = []
            for op in self.ops.values():
                if op.engine != engine or op.id in self.started or op.id in self.ends:
                    continue
                verdict = self._verdict(op.id)
                if verdict != "wait":
                    self.started.add(op.id)
                    found.append((op, verdict if isinstance(verdict, End) else None))
            return found

    def all_ended(self, engine: str | None = None) -> bool:
        """True when every op (of one engine) has ended."""
        with self._changed:
            return all(op.id in self.ends for op in self.ops.values() if engine in (None, op.engine))

    def wait_change(self) -> None:
        """Sleep until something ends, at most half a second."""
        with self._changed:
            self._changed.wait(POLL_S)
