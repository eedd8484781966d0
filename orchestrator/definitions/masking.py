"""Secrets that were resolved in this process are kept out of what it says: texts, records, log lines.

The one piece of state of a whole process: what is secret is known where it is resolved and must be hidden wherever
text goes out, in whichever thread. Until a secret is resolved nothing is touched and nothing costs anything.
"""

from __future__ import annotations

import json
import logging
import threading
import traceback
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

T = TypeVar("T")
MASKED = "***"
SHORTEST = 4
"""Shorter values are not masked: they would be found in every other word."""
LONG_LINE = 12


class SecretMask:
    """The values to hide. Threads share it."""

    def __init__(self) -> None:
        self._spellings: tuple[str, ...] = ()
        self._guard = threading.Lock()

    def add(self, value: str) -> None:
        """Hide this value from now on, also as it looks in a URL, in JSON, in a repr, and line by line."""
        if len(value) < SHORTEST:
            return
        with self._guard:
            known = set(self._spellings)
            if value in known:
                return
            spellings = known | {text for text in _spellings(value) if len(text) >= SHORTEST}
            # The longest first: one secret may begin with another.
            self._spellings = tuple(sorted(spellings, key=lambda text: (-len(text), text)))
            if not known:
                _hide_in_log_records(self)

    def text(self, text: str) -> str:
        """`text` with every secret replaced by ***."""
        for spelling in self._spellings:
            if spelling in text:
                text = text.replace(spelling, MASKED)
        return text

    def value(self, value: T) -> T:
        """The same for all texts inside of dicts, lists, tuples and dataclasses; the object itself if it has none."""
        return self._walk(value) if self._spellings else value

    def _walk(self, value: Any) -> Any:
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self._walk(key): self._walk(item) for key, item in value.items()}
            case list():
                return [self._walk(item) for item in value]
            case tuple() if type(value) is tuple:
                return tuple(self._walk(item) for item in value)
            case _ if is_dataclass(value) and not isinstance(value, type):
                before = {item.name: getattr(value, item.name) for item in fields(value) if item.init}
                after = {name: self._walk(item) for name, item in before.items()}
                changed = {name: item for name, item in after.items() if item != before[name]}
                return replace(value, **changed) if changed else value
        return value


def _spellings(value: str) -> set[str]:
    lines = [line.strip() for line in value.splitlines()]
    return {
        value,
        quote(value, safe=""),
        quote(value),
        quote_plus(value),
        repr(value)[1:-1],
        json.dumps(value)[1:-1],
        *(line for line in lines if len(line) >= LONG_LINE),
    }


def _hide_in_log_records(mask: SecretMask) -> None:
    # Where records are made, not a filter on a logger: those do not see what loggers below them hand up.
    make = logging.getLogRecordFactory()

    def masked(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        _mask_record(record, mask)
        return record

    logging.setLogRecordFactory(masked)


def _mask_record(record: logging.LogRecord, mask: SecretMask) -> None:
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001  logging says so itself, when a handler formats it
        message = str(record.msg)
    if (hidden := mask.text(message)) != message:
        record.msg, record.args = hidden, None
    if record.exc_info and record.exc_info[0] is not None:
        text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        if (hidden := mask.text(text)) != text:
            record.exc_text, record.exc_info = hidden, None


MASK = SecretMask()
"""This process's."""


def masked(value: T, *, keep: Mapping[str, Any] | frozenset[str] = frozenset()) -> T:
    """A dataclass without the secrets in its texts; fields named in `keep` are identifiers and stay as they are."""
    if not MASK._spellings or not is_dataclass(value) or isinstance(value, type):
        return value
    before = {item.name: getattr(value, item.name) for item in fields(value) if item.name not in keep}
    changed = {name: hidden for name, item in before.items() if (hidden := MASK.value(item)) != item}
    return replace(value, **changed) if changed else value
