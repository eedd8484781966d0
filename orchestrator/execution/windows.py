"""What one invocation of dbt can do of a model's partitions: it has one event-time window, and one set of vars."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from orchestrator.definitions.partitions import PartitionSet, TimePartitions, TimeSet
from orchestrator.graph.model import Writer


@dataclass(frozen=True, slots=True)
class Window:
    """What one invocation of dbt is told about partitions. `start` and `end` are aware, half-open; None: not time.

    Windows of one time are equal, whatever grains the partitions in them have.
    """

    label: str = field(compare=False)
    """A key, or a range of them, for people."""
    start: datetime | None = None
    end: datetime | None = None
    key: str | None = None
    """Where start and end do not say it all."""
    zone: str = "UTC"
    """The one whose wall clock models are told."""

    def variables(self) -> dict[str, Any]:
        """What models find in `var()`: wall-clock times of the partitioning's zone, as text."""
        bounds = {"partition_start": self.start, "partition_end": self.end}
        found = {name: bound.replace(tzinfo=None).isoformat(sep=" ") for name, bound in bounds.items() if bound}
        return {**found, "partition_key": self.key} if self.key is not None else dict(found)

    def event_times(self) -> tuple[datetime, datetime] | None:
        """dbt's `--event-time-start` and `-end`: UTC, without saying so."""
        if self.start is None or self.end is None:
            return None
        start, end = (bound.astimezone(timezone.utc).replace(tzinfo=None) for bound in (self.start, self.end))
        return start, end


def units(writer: Writer, todo: PartitionSet, *, full_refresh: bool = False) -> list[tuple[PartitionSet, Window]]:
    """What dbt can do of a writer's partitions in one invocation each.

    A full refresh makes the table anew with each invocation: it must be one.
    """
    of = todo.of
    if isinstance(of, TimePartitions) and isinstance(todo, TimeSet) and (writer.run == "range" or full_refresh):
        return [_range(of, of.of_ranges(pair)) for pair in todo.ranges]
    partitions = ((key, of.partition(key)) for key in todo)
    exact = not isinstance(of, TimePartitions)
    zone = next((part.tz for part in of.dimensions if isinstance(part, TimePartitions)), "UTC")
    return [(of.only(key), Window(key, one.start, one.end, key if exact else None, zone)) for key, one in partitions]


def _range(of: TimePartitions, found: TimeSet) -> tuple[PartitionSet, Window]:
    ((low, high),) = found.ranges
    start, end = of.window(of.key(low))[0], of.window(of.key(high))[1]
    return found, Window(found.text(), start, end, zone=of.tz)
