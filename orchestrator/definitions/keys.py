"""Logical keys of assets and physical names of tables."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.errors import DefinitionError

_UNFIT = re.compile(r"[\s*+@,:()]")
_PLAIN = re.compile(r"[^\s.*+@,:()]+(\.[^\s.*+@,:()]+)+")


@dataclass(frozen=True, slots=True, order=True)
class AssetKey:
    """The logical name of an asset, `layer.name`, equal in every environment.

    >>> AssetKey.parse("raw.flights")
    AssetKey(layer='raw', name='flights')
    >>> str(AssetKey("raw", "flights"))
    'raw.flights'
    """

    layer: str
    name: str

    @classmethod
    def parse(cls, text: str, *, at: str | None = None) -> AssetKey:
        """The key written as `layer.name`. Raises DefinitionError for anything else."""
        if not _PLAIN.fullmatch(text):
            raise DefinitionError(
                f"'{text}' is not an asset key", at=at, fix="write it as 'layer.name', for example 'raw.flights'"
            )
        layer, name = text.split(".", 1)
        return cls(layer, name)

    @classmethod
    def of_names(cls, layer: str, name: str) -> AssetKey:
        """A key of names that somebody else chose: what a key cannot hold becomes `_`.

        >>> str(AssetKey.of_names("Raw Data", "Order Details"))
        'Raw_Data.Order_Details'
        """
        parts = _UNFIT.sub("_", name).split(".")
        return cls(_UNFIT.sub("_", layer).replace(".", "_") or "_", ".".join(part or "_" for part in parts))

    def __str__(self) -> str:
        return f"{self.layer}.{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Relation:
    """Where a table lives in one environment. Compare the normalised parts, never strings.

    `database` may be empty when the adapter has none or it is not known.
    """

    database: str
    schema: str
    identifier: str

    @classmethod
    def normalised(cls, database: str | None, schema: str | None, identifier: str) -> Relation:
        """The relation with its names folded, as DuckDB and PostgreSQL (unquoted) compare them."""
        return cls((database or "").lower(), (schema or "").lower(), identifier.lower())

    def __str__(self) -> str:
        return ".".join(part for part in (self.database, self.schema, self.identifier) if part)


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in the user's code: a path relative to the workspace where possible, and a 1-based line."""

    file: str
    line: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"
