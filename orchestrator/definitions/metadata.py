"""Typed values that a run may record beside an asset: numbers, text, tables, pictures."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.errors import ExecutionError

MetadataKind = Literal["number", "text", "markdown", "json", "table", "url", "image"]
MAX_IMAGE_BYTES = 2_000_000
MAX_TABLE_ROWS = 200


@dataclass(frozen=True, slots=True)
class MetadataValue:
    """One recorded value.

    `value` is JSON-ready. By kind: number → int or float; text, markdown, url → str; json → any JSON value;
    table → {"columns": [str], "rows": [[cell]]}; image → {"mime": str, "base64": str}.
    """

    kind: MetadataKind
    value: Any


def markdown(text: str) -> MetadataValue:
    """Markdown, rendered in the app."""
    return MetadataValue("markdown", text)


def url(address: str) -> MetadataValue:
    """A link."""
    return MetadataValue("url", address)


def table(rows: Sequence[Mapping[str, Any]]) -> MetadataValue:
    """A small table from a list of dicts; the first row names the columns. At most 200 rows are kept."""
    columns = list(rows[0]) if rows else []
    cells = [[_plain(row.get(column)) for column in columns] for row in rows[:MAX_TABLE_ROWS]]
    return MetadataValue("table", {"columns": columns, "rows": cells})


def image(data: bytes, *, mime: str = "image/png") -> MetadataValue:
    """A picture, at most 2 MB. Raises ExecutionError when it is larger."""
    if len(data) > MAX_IMAGE_BYTES:
        raise ExecutionError(
            f"the picture has {len(data):,} bytes, more than the {MAX_IMAGE_BYTES:,} that are recorded",
            fix="lower its resolution, or store it in a file and record a url()",
        )
    return MetadataValue("image", {"mime": mime, "base64": base64.b64encode(data).decode("ascii")})


def to_metadata(value: Any) -> MetadataValue:
    """The typed form of what a user put into `context.metadata`.

    bool and None become json, numbers number, str text, bytes that start like a PNG image, list and dict json;
    objects with `savefig` (a matplotlib figure) an image. Anything else: its `repr` as text, shortened.
    """
    match value:
        case MetadataValue():
            return value
        case bool() | None:
            return MetadataValue("json", value)
        case int() | float():
            return MetadataValue("number", value)
        case str():
            return MetadataValue("url" if value.startswith(("https://", "http://")) else "text", value)
        case bytes() if value.startswith(b"\x89PNG"):
            return image(value)
        case Mapping() | list() | tuple():
            return MetadataValue("json", _plain(value))
    if hasattr(value, "savefig"):
        return _figure(value)
    if hasattr(value, "item"):  # a numpy scalar
        return to_metadata(value.item())
    return MetadataValue("text", repr(value)[:1000])


def _figure(figure: Any) -> MetadataValue:
    import io

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return image(buffer.getvalue())


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=_cell))


def _cell(value: Any) -> Any:
    item = getattr(value, "item", None)
    return item() if callable(item) else str(value)
