"""Databases that code opens past every resource, noticed while steps run.

Wrappers stand in front of the functions that open databases from the first step that begins to the last that ends.
They note what a step does, in the threads that it starts, too, and hand everything on; for all other threads, and for
what this program, dbt or Prefect open themselves, they do nothing else.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from orchestrator.definitions.resources import current_watcher, watched_by

_FUNCTIONS = ("duckdb.connect", "psycopg.connect", "psycopg2.connect", "sqlite3.connect")
_ENGINE = "sqlalchemy.engine.base"
_PASS = frozenset(("concurrent", "contextlib", "functools", "sqlalchemy", "threading"))
"""Packages between a call and who meant it."""
_KNOWN = frozenset(("dbt", "dbt_common", "orchestrator", "prefect"))
"""Packages whose connections are known."""
_MOST_FRAMES = 40


@dataclass(slots=True)
class _Wrappers:
    count: int = 0
    placed: list[tuple[Any, str, Any, Any]] = field(default_factory=list)
    """(owner, name, original, wrapper)"""
    guard: threading.Lock = field(default_factory=threading.Lock)


_WRAPPERS = _Wrappers()


def install() -> None:
    """Put the wrappers in place, if they are not yet; each call needs one of `uninstall`."""
    with _WRAPPERS.guard:
        _WRAPPERS.count += 1
        if _WRAPPERS.count == 1:
            for owner, name, wrap in _targets():
                original = getattr(owner, name)
                wrapper = wrap(original)
                _WRAPPERS.placed.append((owner, name, original, wrapper))
                setattr(owner, name, wrapper)


def uninstall() -> None:
    """Take the wrappers away with the last of the calls."""
    with _WRAPPERS.guard:
        _WRAPPERS.count -= 1
        if _WRAPPERS.count == 0:
            for owner, name, original, wrapper in reversed(_WRAPPERS.placed):
                if getattr(owner, name, None) is wrapper:  # else somebody stands in front of ours: it does nothing now
                    setattr(owner, name, original)
            _WRAPPERS.placed.clear()


def _targets() -> Iterator[tuple[Any, str, Callable[[Any], Any]]]:
    """What is there to be wrapped: modules that are loaded. One that a step loads itself is left to `validate`."""
    for function in _FUNCTIONS:
        module, _, name = function.partition(".")
        if hasattr(sys.modules.get(module), name):
            yield sys.modules[module], name, functools.partial(_opening, function)
    engine = getattr(sys.modules.get(_ENGINE), "Engine", None)
    if engine is not None:
        yield engine, "raw_connection", _connecting
    yield threading.Thread, "start", _starting
    yield ThreadPoolExecutor, "submit", _submitting


def _opening(function: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        target = args[0] if args else kwargs.get("database", kwargs.get("dbname", ""))
        if not _is_in_memory(function, target):
            _note(function, str(target) if "psycopg" not in function else "…")
        return original(*args, **kwargs)

    return wrapper


def _connecting(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def raw_connection(engine: Any, *args: Any, **kwargs: Any) -> Any:
        if not (engine.dialect.name == "sqlite" and not engine.url.database):
            _note("sqlalchemy.Engine.connect", engine.url.render_as_string(hide_password=True))
        return original(engine, *args, **kwargs)

    return raw_connection


def _starting(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def start(thread: Any) -> Any:
        if (watcher := current_watcher()) is not None:
            run = thread.run

            def watched() -> None:
                with watched_by(watcher):
                    run()

            thread.run = watched
        return original(thread)

    return start


def _submitting(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def submit(pool: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        watcher = current_watcher()

        def watched(*given: Any, **named: Any) -> Any:
            with watched_by(watcher):
                return fn(*given, **named)

        return original(pool, watched, *args, **kwargs)

    return submit


def _is_in_memory(function: str, target: Any) -> bool:
    return function in ("duckdb.connect", "sqlite3.connect") and str(target or ":memory:").startswith(":memory:")


def _note(function: str, target: str) -> None:
    from orchestrator.resources.observer import current_observer

    observer = current_observer()
    if observer is not None and not _is_known():
        observer.opened_directly(function, target)


def _is_known() -> bool:
    """True when it is not the step's own code that opens the database."""
    frame = sys._getframe(3)
    for _ in range(_MOST_FRAMES):
        module = str(frame.f_globals.get("__name__", ""))
        package = module.partition(".")[0]
        if package not in _PASS and module != __name__:
            return package in _KNOWN
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return False
