"""One attempt of a Python step: in a thread of its own, with a time limit that holds.

A function that runs too long, or whose run is cancelled, is interrupted: its statements through the database, its
Python code by an exception raised in its thread. Code that is stuck outside Python (a C call, a socket without
time-out) cannot be stopped from within a process; its thread is left behind, and the write it might still try is
refused, since every commit asks first.
"""

from __future__ import annotations

import contextvars
import ctypes
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from orchestrator.errors import ClaimLostError, StepTimeoutError

T = TypeVar("T")
GRACE_S = 2.0
POLL_S = 0.2


class StepStoppedError(BaseException):
    """Raised inside a user's function to stop it. A BaseException, so that `except Exception` does not swallow it."""


class StepCancelledError(Exception):
    """The attempt was stopped since the run was cancelled."""


@dataclass(slots=True)
class Attempt(Generic[T]):
    """A call that can be stopped from outside."""

    call: Callable[[], T]
    interrupt: Callable[[], None]
    """Stops what the call does outside Python, for example a database statement."""
    timeout_s: float | None = None
    stopped: threading.Event = field(default_factory=threading.Event)
    _result: list[T] = field(default_factory=list)
    _error: list[BaseException] = field(default_factory=list)

    def run(self, *, cancelled: threading.Event) -> T:
        """The call's value. Raises what it raised, StepTimeoutError, or StepCancelledError."""
        # A copy of the context: what a test has overridden holds in the step, too.
        within = contextvars.copy_context()
        thread = threading.Thread(target=within.run, args=(self._body,), name="orchestrator-step", daemon=True)
        started = time.monotonic()
        thread.start()
        while thread.is_alive():
            thread.join(POLL_S)
            if not thread.is_alive():
                break
            if cancelled.is_set():
                self._stop(thread)
                raise StepCancelledError
            if self.timeout_s is not None and time.monotonic() - started > self.timeout_s:
                self._stop(thread)
                raise StepTimeoutError(
                    f"it ran longer than its time limit of {self.timeout_s:g} s and was stopped",
                    fix="raise timeout_s=, or make the step do less",
                )
        if self._error:
            raise self._error[0]
        return self._result[0]

    def refuse_if_stopped(self) -> None:
        """Asked before each commit. Raises ClaimLostError when this attempt must not write any more."""
        if self.stopped.is_set():
            raise ClaimLostError("this attempt was stopped; its result is refused")

    def _body(self) -> None:
        with suppress(StepStoppedError):  # it may come a moment late, when the call has just ended
            try:
                self._result.append(self.call())
            except BaseException as exc:  # noqa: BLE001  the user's code: handed to the thread that waits
                self._error.append(exc)

    def _stop(self, thread: threading.Thread) -> None:
        self.stopped.set()
        self.interrupt()
        thread.join(POLL_S / 2)  # an interrupted statement ends the call by itself
        if thread.ident is not None and thread.is_alive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(StepStoppedError))
        thread.join(GRACE_S)
