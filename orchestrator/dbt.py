"""dbt models and sources as importable names, resolved when the workspace is loaded.

    from orchestrator.dbt import models as dbt, sources

    dbt.daily_delays.read(context)          # a model, seed or snapshot
    dbt["my_package.daily_delays"]          # of one package, or a name that is no identifier
    sources.raw.flights.read(context)       # a source

Nothing of dbt is imported here. A name that does not exist is an error where it is used, when the workspace is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.definitions.assets import DbtReference


@dataclass(frozen=True, slots=True)
class Models:
    """The namespace of models, seeds and snapshots."""

    def __getattr__(self, name: str) -> DbtReference:
        if name.startswith("__"):
            raise AttributeError(name)
        return DbtReference("model", name)

    def __getitem__(self, name: str) -> DbtReference:
        return DbtReference("model", name)


@dataclass(frozen=True, slots=True)
class SourceTables:
    """The tables of one dbt source."""

    source: str

    def __getattr__(self, name: str) -> DbtReference:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> DbtReference:
        return DbtReference("source", f"{self.source}.{name}")


@dataclass(frozen=True, slots=True)
class Sources:
    """The namespace of sources."""

    def __getattr__(self, name: str) -> SourceTables:
        if name.startswith("__"):
            raise AttributeError(name)
        return SourceTables(name)

    def __getitem__(self, name: str) -> SourceTables:
        return SourceTables(name)


models = Models()
sources = Sources()
