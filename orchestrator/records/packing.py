"""Events as they are stored: a small JSON payload, and blobs for what is large.

A blob is addressed by the digest of its content: the same code, columns or sample, run after run, is kept once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from orchestrator.definitions.events import IDENTIFIERS, ColumnInfo, Event, Failure, Materialization
from orchestrator.definitions.masking import masked

INLINE_BYTES = 1024
"""Metadata values up to this size stay in the event."""
_COMMON = frozenset(("at", "run_id", "environment"))


@dataclass(frozen=True, slots=True)
class Packed:
    """An event ready to be stored. `payload` is what reading the stored text gives, so that recording an event
    and replaying it do the same."""

    kind: str
    environment: str
    run_id: str
    at: datetime
    text: str
    payload: dict[str, Any]
    blobs: Mapping[str, bytes]


def pack(event: Event) -> Packed:
    """The stored form of an event, without the secrets that this process has resolved."""
    event = masked(event, keep=IDENTIFIERS)
    blobs: dict[str, bytes] = {}
    values = {item.name: getattr(event, item.name) for item in fields(event) if item.name not in _COMMON}
    if values.get("materialization") is not None:
        values["materialization"] = _pack_materialization(values["materialization"], blobs)
    text = _dumps(values)
    return Packed(event.event, event.environment, event.run_id, event.at, text, json.loads(text), blobs)


def _pack_materialization(materialization: Materialization, blobs: dict[str, bytes]) -> dict[str, Any]:
    def keep(data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return digest

    def keep_metadata(value: Mapping[str, Any]) -> Mapping[str, Any]:
        data = _dumps(value["value"]).encode()
        if len(data) <= INLINE_BYTES:
            return value
        return {"kind": value["kind"], "blob": keep(data), "bytes": len(data)}

    code, columns, sample = materialization.compiled_code, materialization.columns, materialization.sample
    return {
        "rows": materialization.rows,
        "metadata": {name: keep_metadata(value) for name, value in materialization.metadata.items()},
        "columns": keep(_dumps([[column.name, column.type] for column in columns]).encode()) if columns else None,
        "sample": keep(_dumps(sample).encode()) if sample is not None else None,
        "code": keep(_dumps(code).encode()) if code is not None else None,
    }


def unpack_blob(data: bytes) -> Any:
    """The JSON value in a blob."""
    return json.loads(data)


def unpack_columns(data: bytes) -> tuple[ColumnInfo, ...]:
    return tuple(ColumnInfo(name, type_) for name, type_ in json.loads(data))


def unpack_failure(value: Mapping[str, Any] | None) -> Failure | None:
    return None if value is None else Failure(**value)


def _dumps(value: Any) -> str:
    # ASCII, so that lone surrogates survive as escapes; str() for a stray value, since an outcome must get recorded.
    return json.dumps(value, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "__dataclass_fields__"):
        return {item.name: getattr(value, item.name) for item in fields(value)}
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
