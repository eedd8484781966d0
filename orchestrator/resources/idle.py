"""Connections that nobody uses at the moment, kept for whoever asks next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """What can be closed."""

    def close(self) -> object: ...


C = TypeVar("C", bound=Closable)


@dataclass(slots=True)
class IdleConnections(Generic[C]):
    """Safe to be used by several threads. One that met an error is closed, not kept."""

    _kept: list[C] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def lend(self, given: C | None, *, opened: Callable[[], C]) -> Iterator[C]:
        """The connection given, else one that nobody uses, else one newly `opened`."""
        if given is not None:
            yield given
            return
        with self._guard:
            kept = self._kept.pop() if self._kept else None
        lent = kept if kept is not None else opened()
        try:
            yield lent
        except BaseException:
            lent.close()
            raise
        with self._guard:
            self._kept.append(lent)

    def close(self) -> None:
        """Close what is not in anybody's hands."""
        with self._guard:
            kept, self._kept = self._kept, []
        for connection in kept:
            connection.close()
