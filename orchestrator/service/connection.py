"""Talking to a Prefect API from this process: quietly, to the API that was chosen, and to no other.

This module is opened before prefect is, to keep prefect's notice, log handlers and profile out of the user's terminal;
what it needs of prefect it therefore imports inside its functions.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.service.server import is_local

DRAIN_S = 10.0
_LOGGERS_OF_PREFECT = ("", "prefect", "prefect.extra", "prefect._internal", "uvicorn", "fastapi")


@dataclass(frozen=True, slots=True)
class Connection:
    """An API and how to use it."""

    api_url: str
    auth: str | None = None
    home: Path | None = None
    """PREFECT_HOME for a server of ours; None leaves the user's own profile, with its credentials, in force."""
    log_file: Path | None = None
    """Where prefect's own warnings go instead of the terminal."""


def import_quietly(connection: Connection) -> None:
    """Import prefect without its notice to new users and without its handler on the root logger."""
    if "prefect.main" in sys.modules:
        return
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with _environment({"DO_NOT_TRACK": "1"} | ({"PREFECT_HOME": str(connection.home)} if connection.home else {})):
        import prefect.main  # noqa: F401
    root.handlers[:] = handlers
    root.setLevel(level)


@contextlib.contextmanager
def connected(connection: Connection) -> Iterator[None]:
    """Inside, prefect speaks to this API whatever the environment says. On the way out all that is pending is sent."""
    from prefect.settings import temporary_settings

    import_quietly(connection)
    _silence(connection.log_file)
    local = is_local(connection.api_url)
    with (
        _environment({"DO_NOT_TRACK": "1"} | (_no_proxy() if local else {})),
        temporary_settings(_settings(connection)),
        _events_client(connection.api_url if local else None),
        _no_log_errors(),
    ):
        try:
            yield
        finally:
            drain()


def drain() -> None:
    """Send what is still queued, for at most a few seconds: a server about to stop would never see it."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (EventsWorker, APILogWorker):
        worker.drain_all(timeout=DRAIN_S)


def abandon() -> None:
    """Drop what is still queued. For a server that is gone: prefect would try for minutes, also while Python exits."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    with contextlib.suppress(AttributeError):  # private; without it we are only slow
        instances: list[Any] = [*_instances(EventsWorker), *_instances(APILogWorker)]
        for instance in instances:
            with instance._queue.mutex:
                instance._queue.queue.clear()


def _instances(worker: Any) -> list[Any]:
    return list(worker._instances.values())


def _settings(connection: Connection) -> dict[Any, Any]:
    from prefect import settings

    updates: dict[Any, Any] = {
        settings.PREFECT_API_URL: connection.api_url,
        settings.PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False,
        # A server that is gone must not hold up a run for the minute that five retries take.
        settings.PREFECT_CLIENT_MAX_RETRIES: 1,
        settings.PREFECT_RESULTS_PERSIST_BY_DEFAULT: False,
        settings.PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore",
    }
    if connection.home is not None:
        updates |= {
            settings.PREFECT_HOME: connection.home,
            settings.PREFECT_API_KEY: None,
            settings.PREFECT_API_AUTH_STRING: connection.auth,
            settings.PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False,
            settings.PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False,
        }
    return updates


@contextlib.contextmanager
def _events_client(api_url: str | None) -> Iterator[None]:
    """Events go to this API, and are given up at once when it is gone (prefect: ten tries, eight seconds, each)."""
    if api_url is None:
        yield
        return
    from prefect.events.clients import PrefectEventsClient
    from prefect.events.worker import EventsWorker

    EventsWorker.set_client_override(PrefectEventsClient, api_url=api_url, reconnection_attempts=2)
    try:
        yield
    finally:
        EventsWorker.set_client_override(None)


@contextlib.contextmanager
def _no_log_errors() -> Iterator[None]:
    """Prefect's log sender writes to stderr when the API is gone, unless logging is told not to report its errors."""
    before, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        yield
    finally:
        logging.raiseExceptions = before


def _silence(log_file: Path | None) -> None:
    """Take prefect's handlers off the terminal; warnings go to `log_file`."""
    from prefect.logging import handlers

    terminal = (handlers.PrefectConsoleHandler, handlers._SafeStreamHandler)
    for logger in map(logging.getLogger, _LOGGERS_OF_PREFECT):
        logger.handlers[:] = [handler for handler in logger.handlers if not isinstance(handler, terminal)]
    for name in ("prefect.flow_runs", "prefect.task_runs"):  # the run's own lines, which Prefect gets
        logging.getLogger(name).propagate = False
    for name in ("prefect", "prefect._internal", "EventsWorker", "APILogWorker"):
        logger = logging.getLogger(name)
        logger.propagate = False
        if log_file is not None:
            logger.handlers[:] = [item for item in logger.handlers if not isinstance(item, logging.FileHandler)]
        if not logger.handlers:
            logger.addHandler(_to_file(log_file))


def _to_file(log_file: Path | None) -> logging.Handler:
    if log_file is None:
        return logging.NullHandler()
    log_file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log_file, mode="w", encoding="utf-8", delay=True)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler


def _no_proxy() -> dict[str, str]:
    """A proxy for the outside world must not be asked for an address on this machine."""
    hosts = ("127.0.0.1", "localhost")
    found = {name: os.environ.get(name, "") for name in ("NO_PROXY", "no_proxy")}
    return {name: ",".join([*filter(None, [value]), *hosts]) for name, value in found.items()}


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
