"""What a step does while it runs: the resources it uses, the statements it sends, the databases it opens past them.

An observer only notes; what it means is decided after the step (`execution.uses`). Outside of steps nothing is noted.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from orchestrator.definitions.masking import MASK
from orchestrator.definitions.resources import Resource, current_watcher, watched_by
from orchestrator.resources import direct

MOST_STATEMENTS = 200
"""Different statements of one step that are kept; further ones are counted."""
LONGEST_STATEMENT = 50_000
MOST_TOUCHED = 100
MOST_FRAMES = 100
_OURSELVES = str(Path(__file__).resolve().parents[1])
_LIBRARIES = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", ".venv"))
_CALL = compile("__orchestrator_call__()", "<observed>", "eval")


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that a step did, and the user's line that did it."""

    kind: Literal["resource", "statement", "direct"]
    what: str
    """The resource, the SQL, or the function that opened a database and what it opened."""
    place: str | None
    resource: Resource | None = None


@dataclass(slots=True)
class Observer:
    """Notes what one attempt of a step does, in all its threads."""

    root: Path
    """Where the user's code is."""
    refuse: Callable[[Seen], None] = lambda seen: None
    """Called once for each resource, and for each database opened directly; may raise."""
    resources: list[Seen] = field(default_factory=list)
    statements: dict[tuple[int, str], Seen] = field(default_factory=dict)
    directly: list[Seen] = field(default_factory=list)
    touched: dict[str, int] = field(default_factory=dict)
    """{a request, a path …: how often}"""
    left_out: int = 0
    """Statements that were too many, or too long."""
    closed: bool = False
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def used(self, resource: Resource) -> None:
        """A resource is used. Raises what `refuse` does."""
        if self.closed or any(seen.resource is resource for seen in list(self.resources)):
            return
        seen = Seen("resource", repr(resource), self._place(), resource)
        with self._guard:
            self.resources.append(seen)
        self.refuse(seen)

    def sent(self, resource: Resource, sql: str) -> None:
        """A statement goes to a resource."""
        if self.closed or (id(resource), sql) in self.statements:
            return
        with self._guard:
            if len(self.statements) >= MOST_STATEMENTS or len(sql) > LONGEST_STATEMENT:
                self.left_out += 1
                return
            self.statements[id(resource), sql] = Seen("statement", sql, self._place(), resource)

    def opened_directly(self, function: str, target: str) -> None:
        """A database is opened past every resource. Raises what `refuse` does."""
        if self.closed:
            return
        seen = Seen("direct", f"{function}({MASK.text(target)})", self._place())
        with self._guard:
            self.directly.append(seen)
        self.refuse(seen)

    def touch(self, what: str) -> None:
        """A request or a path, for the log."""
        with self._guard:
            if what in self.touched or len(self.touched) < MOST_TOUCHED:
                self.touched[what] = self.touched.get(what, 0) + 1

    def _place(self) -> str | None:
        """The user's innermost line."""
        frame = sys._getframe(1)
        root = f"{self.root}{os.sep}"
        for _ in range(MOST_FRAMES):
            file = frame.f_code.co_filename
            if file.startswith(root) and not file.startswith(_OURSELVES) and not any(x in file for x in _LIBRARIES):
                return f"{Path(file).relative_to(self.root)}:{frame.f_lineno}"
            if frame.f_back is None:
                return None
            frame = frame.f_back
        return None


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Inside, what this thread and those it starts do is noted."""
    direct.install()
    try:
        with watched_by(observer):
            yield
    finally:
        observer.closed = True
        direct.uninstall()


def current_observer() -> Observer | None:
    """The observer of the step that runs here; None outside of steps."""
    watcher = current_watcher()
    return watcher if isinstance(watcher, Observer) else None


def sent(resource: Resource, sql: str) -> None:
    """Tell the observer, if there is one, that a statement goes to `resource`. Called by resources with connections."""
    if (observer := current_observer()) is not None:
        observer.sent(resource, sql)


def touched(what: str) -> None:
    """Tell the observer, if there is one, of a request or a path. Called by resources without statements."""
    if (observer := current_observer()) is not None:
        observer.touch(what)


def _call_from(frame: FrameType, call: Callable[[], Any]) -> Any:
    """The call with the names of another frame in sight: DuckDB's SQL may name a frame in the caller's variables."""
    return eval(_CALL, frame.f_globals, {**frame.f_locals, "__orchestrator_call__": call})


class ObservedConnection:
    """A driver's connection or cursor whose statements are noted; in everything else it is the driver's own.

    Where something insists on the driver's object, that is `connection.__wrapped__`.
    """

    _TAKE_SQL = frozenset(("execute", "executemany", "sql", "query", "from_query", "execute_async", "copy_expert"))
    _TAKE_TABLE = frozenset(("table", "view"))
    _GIVE_CURSOR = frozenset(("cursor", "duplicate"))

    def __init__(self, wrapped: Any, resource: Resource) -> None:
        self.__wrapped__ = wrapped
        self._resource = resource

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.__wrapped__, name)
        if name in self._TAKE_SQL | self._TAKE_TABLE:
            return lambda *args, **kwargs: self._call(name, member, args, kwargs)
        if name in self._GIVE_CURSOR:
            return lambda *args, **kwargs: ObservedConnection(member(*args, **kwargs), self._resource)
        return member

    def _call(self, name: str, member: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = args[0] if args else next(iter(kwargs.values()), None)
        text = given.decode(errors="replace") if isinstance(given, bytes) else str(given)
        sent(self._resource, f"select * from {text}" if name in self._TAKE_TABLE else text)
        if type(self.__wrapped__).__module__.partition(".")[0].strip("_") == "duckdb":
            result = _call_from(sys._getframe(2), functools.partial(member, *args, **kwargs))
        else:
            result = member(*args, **kwargs)
        return self if result is self.__wrapped__ else result

    def __enter__(self) -> ObservedConnection:
        entered = self.__wrapped__.__enter__()
        return self if entered is self.__wrapped__ else ObservedConnection(entered, self._resource)

    def __exit__(self, *exc: object) -> Any:
        return self.__wrapped__.__exit__(*exc)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__wrapped__)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("__wrapped__", "_resource"):
            object.__setattr__(self, name, value)
        else:
            setattr(self.__wrapped__, name, value)
