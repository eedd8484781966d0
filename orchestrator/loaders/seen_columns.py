"""Columns and SQL that were seen rather than worked out: in the warehouse, and in the records of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import ResourceError
from orchestrator.graph.model import Asset
from orchestrator.kept_files import keep
from orchestrator.resources.database import Database
from orchestrator.sql.schema import Columns

SEEN_FILE = "seen_columns.json"


class _Seen(msgspec.Struct):
    stamp: tuple[int, int]
    columns: dict[str, tuple[tuple[str, str], ...]]


def seen_in_warehouse(assets: Sequence[Asset], database: Database | None, *, cache: Path) -> dict[AssetKey, Columns]:
    """The columns of those assets that are in the database. It is opened only when its stamp is another one.

    While somebody else writes a file, and without a database, what was seen last is used.
    """
    stamp = database.stamp() if database is not None else None
    seen = _read(cache / SEEN_FILE)
    if database is not None and stamp is not None and (seen is None or seen.stamp != stamp):
        try:
            found = database.all_columns()
        except ResourceError:
            found = None
            if not database.capabilities.local_file:  # to wait for a server is dear: not with every command
                keep(cache / SEEN_FILE, msgspec.json.encode(_Seen(stamp, seen.columns if seen is not None else {})))
        if found is not None:
            seen = _Seen(stamp, {str(relation): columns for relation, columns in found.items()})
            keep(cache / SEEN_FILE, msgspec.json.encode(seen))
    listed = seen.columns if seen is not None else {}
    return {asset.key: listed[str(asset.relation)] for asset in assets if str(asset.relation) in listed}


def _read(file: Path) -> _Seen | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Seen)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        return None


class RecordedSql(Mapping[str, str]):
    """{dbt unique_id: SQL that a run was seen to build with}; the records are asked for one when it is wanted."""

    def __init__(self, keys: Mapping[str, str], read: Callable[[str], str | None]) -> None:
        self._keys, self._read = keys, read

    def __getitem__(self, unique_id: str) -> str:
        text = self._read(self._keys[unique_id])
        if text is None:
            raise KeyError(unique_id)
        return text

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


__all__ = ["RecordedSql", "seen_in_warehouse"]
