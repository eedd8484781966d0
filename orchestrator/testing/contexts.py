"""A context to call an asset's function with."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timezone
from pathlib import Path
from typing import Any

from orchestrator.definitions.assets import PythonAsset, Table
from orchestrator.definitions.context import Context, Previous
from orchestrator.definitions.events import Materialization
from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.partitions import Partition
from orchestrator.definitions.partitions.grains import read_period
from orchestrator.errors import ResourceError

KEY = AssetKey("test", "asset")


def build_context(
    *,
    partition: str | Partition | None = None,
    tables: Mapping[Any, Any] | None = None,
    previous: Previous | None = None,
    environment: str = "test",
) -> Context:
    """What a function gets in a run, with `tables` to read: {asset, table or dbt model: its rows as a frame}.

    Statements (`warehouse.execute(context, …)`) go to a DuckDB database in memory that holds the same tables. A
    `partition` of the calendar, such as "2013-02", begins and ends by UTC.
    """
    return Context(
        run_id="test",
        environment=environment,
        key=KEY,
        session=_TestSession(dict(tables or {})),
        partition=_partition(partition) if isinstance(partition, str) else partition,
        previous=previous,
    )


def _partition(key: str) -> Partition:
    period = read_period(key)
    if period is None:
        return Partition(key)
    return Partition(key, period.start.replace(tzinfo=timezone.utc), period.end.replace(tzinfo=timezone.utc))


@dataclass(slots=True)
class _TestSession:
    """The tables of a test, and a database in memory once somebody asks for one."""

    tables: dict[Any, Any]
    _opened: Any = field(default=None)

    def read(self, reference: Any, *, columns: Sequence[str] | None) -> Any:
        from orchestrator.resources.frames import as_arrow

        if reference not in self.tables:
            raise ResourceError(
                f"the test gave no rows for '{table_name(reference)}'",
                fix="build_context(tables={…: rows}), with the object that the code reads as key",
            )
        frame = as_arrow(self.tables[reference])
        return frame.select(list(columns)) if columns else frame

    def execute(self, resource: Any, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        result = self.connection(resource).execute(sql, list(parameters))
        return list(result.fetchall()) if result.description else []

    def run_elsewhere(self, work: Any, context: Context, **how: Any) -> Materialization:
        """It is run, from the current directory; what it reports is in the result and in `context.metadata`."""
        from orchestrator.execution.elsewhere import Host, run_elsewhere

        def log(lines: Sequence[tuple[str, str]]) -> None:
            for level, text in lines:
                context.log.log(logging.getLevelName(level.upper()), "%s", text)

        return run_elsewhere(
            work, context, Host(root=Path.cwd(), attempt_id=f"test-{uuid.uuid4().hex}", log=log), **how
        )

    def connection(self, resource: Any) -> Any:
        import duckdb

        from orchestrator.resources.database import quote
        from orchestrator.resources.frames import as_arrow

        if self._opened is None:
            self._opened = duckdb.connect(":memory:")
            for reference, frame in self.tables.items():
                names = table_name(reference).split(".")[-2:]
                self._opened.register("_rows", as_arrow(frame))
                if len(names) == 2:
                    self._opened.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(names[0])}")
                self._opened.execute(f"CREATE TABLE {'.'.join(map(quote, names))} AS SELECT * FROM _rows")
                self._opened.unregister("_rows")
        return self._opened.cursor()


def table_name(reference: Any) -> str:
    """`schema.table` of an asset or table, the name of a dbt model."""
    if isinstance(reference, PythonAsset):
        reference = reference.table
    return reference.name if isinstance(reference, Table) else str(getattr(reference, "name", reference))
