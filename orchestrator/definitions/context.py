"""What a Python asset, check or action is given when it runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator.definitions.events import Materialization
from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.partitions import Partition


class Session(Protocol):
    """Open access to the resources of a run; the executor provides it, tests may."""

    def read(self, reference: Any, *, columns: Sequence[str] | None) -> Any:
        """The rows of an asset, a table or a dbt model as a pyarrow.Table."""

    def connection(self, resource: Any) -> Any:
        """The run's connection to a resource, safe to use in this thread."""

    def execute(self, resource: Any, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run one statement through a resource; its rows, or an empty list."""

    def run_elsewhere(self, work: Any, context: Context, **how: Any) -> Materialization:
        """Run an ExternalPython, a Shell or a RemoteJob to its end; what it reported, as a Materialization."""


@dataclass(frozen=True, slots=True)
class Previous:
    """The last successful materialization of the asset: its version, when, how many rows, its numbers."""

    version: str
    at: Any
    rows: int | None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One attempt of one step.

    `metadata` is recorded when the step succeeds: numbers, text, lists and dicts, PNG bytes, matplotlib figures, or
    values made by `orchestrator.metadata`. `log` is a standard logger whose lines are kept with the run.
    """

    run_id: str
    environment: str
    key: AssetKey
    session: Session
    partition: Partition | None = None
    """`key`, `start`, `end` of what is to be written (see `Partition`); None where the asset is not partitioned."""
    attempt: int = 1
    previous: Previous | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("orchestrator.step"))

    def read(self, reference: Any, *, columns: Sequence[str] | None = None) -> Any:
        """The rows of an asset, a table or a dbt model as a pyarrow.Table."""
        return self.session.read(reference, columns=columns)

    def connection(self, resource: Any) -> Any:
        """The run's own connection to `resource`, for statements that no frame can express."""
        return self.session.connection(resource)
