"""The document that `orchestrator publish` writes and other repositories read.

Its JSON schema is docs/reference/graph.schema.json.

Fields are added, never renamed: a reader passes over what it does not know. What an old reader would misunderstand
counts `SCHEMA_VERSION` up.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from orchestrator.errors import PublishedGraphError

SCHEMA_VERSION = 1
Access = Literal["public", "protected", "private"]


class PublishedRelation(msgspec.Struct, frozen=True):
    """Where the table lives in the environment that was published."""

    identifier: str
    schema: str = ""
    database: str = ""


class PublishedColumn(msgspec.Struct, frozen=True):
    name: str
    type: str | None = None
    description: str = ""


class PublishedCheck(msgspec.Struct, frozen=True):
    """A check, and its newest result if it has one."""

    name: str
    kind: str
    severity: Literal["error", "warn"] = "error"
    column: str | None = None
    description: str = ""
    status: str | None = None
    at: datetime | None = None
    failures: int | None = None


class PublishedMaterialization(msgspec.Struct, frozen=True):
    """The newest success of one writer (and partition)."""

    writer: str
    version: str
    at: datetime
    partition: str | None = None
    rows: int | None = None


class PublishedAsset(msgspec.Struct, frozen=True):
    """One asset. `external` ones are only read in the publishing project."""

    key: str
    aliases: tuple[str, ...] = ()
    relation: PublishedRelation | None = None
    external: bool = False
    kinds: tuple[str, ...] = ()
    description: str = ""
    group: str | None = None
    owners: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    access: Access | None = None
    """None where nothing is written about it: then everybody may read it."""
    location: str = ""
    """`file:line` in the publishing repository."""
    columns: tuple[PublishedColumn, ...] = ()
    columns_complete: bool = False
    """True when `columns` is every column."""
    upstream: tuple[str, ...] = ()
    """Keys of the assets that it is made from."""
    checks: tuple[PublishedCheck, ...] = ()
    freshness: dict[str, Any] | None = None
    """dbt's rule for a source: warn_after, error_after."""
    state: str = ""
    version: str | None = None
    """Changes with each write; None while nothing is recorded."""
    materializations: tuple[PublishedMaterialization, ...] = ()


class ColumnPlace(msgspec.Struct, frozen=True):
    """A column, or `*` for the asset as a whole."""

    asset: str
    column: str


class PublishedEdge(msgspec.Struct, frozen=True, rename={"source": "from", "target": "to"}):
    """`target` comes from `source`."""

    source: ColumnPlace
    target: ColumnPlace
    kind: str


class PublishedGraph(msgspec.Struct, frozen=True, kw_only=True):
    """All that one project tells about itself."""

    schema_version: int
    project: str
    environment: str
    at: datetime
    adapter: str = ""
    assets: tuple[PublishedAsset, ...] = ()
    column_lineage: tuple[PublishedEdge, ...] = ()


class _Head(msgspec.Struct):
    schema_version: int


def encode_graph(graph: PublishedGraph) -> bytes:
    """The document, indented, in UTF-8."""
    return msgspec.json.format(msgspec.json.encode(graph), indent=2) + b"\n"


def decode_graph(content: bytes, *, url: str) -> PublishedGraph:
    """The document at `url`. Raises PublishedGraphError."""
    try:
        found = msgspec.json.decode(content, type=_Head).schema_version
        if found > SCHEMA_VERSION:
            raise PublishedGraphError(
                f"the graph at {url} has schema_version {found}, this Orchestrator reads up to {SCHEMA_VERSION}",
                fix="upgrade dbt-orchestrator here",
            )
        return msgspec.json.decode(content, type=PublishedGraph)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise PublishedGraphError(
            f"what is at {url} is no published graph: {exc}",
            fix="correct 'graph'; `orchestrator publish --to …` in the other repository writes one",
        ) from exc


__all__ = [
    "SCHEMA_VERSION",
    "ColumnPlace",
    "PublishedAsset",
    "PublishedCheck",
    "PublishedColumn",
    "PublishedEdge",
    "PublishedGraph",
    "PublishedMaterialization",
    "PublishedRelation",
    "decode_graph",
    "encode_graph",
]
