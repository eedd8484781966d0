"""Jobs: selections that have a name, for people and schedules. Nothing else belongs to a job."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.definitions.selection import Expression, Method, Selectable
from orchestrator.errors import DefinitionError


@dataclass(frozen=True)
class Job(Selectable):
    """A named selection of assets: `orchestrator run job:morning`.

        morning = Job("morning", select=daily_delays.downstream() | tag("hourly"))

    Make it at module level; the loader finds it, and a selection that names nothing is an error when the workspace is
    loaded. It may hold assets of any partitioning, and other jobs.
    """

    name: str
    select: Selectable = field(kw_only=True)
    description: str = field(default="", kw_only=True)
    owner: str | tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        if not self.name or any(character in self.name for character in " ,()+@:'\""):
            raise DefinitionError(f"{self.name!r} is not a job's name", fix='use letters, digits and "_", "-", "."')
        if not isinstance(self.select, Selectable):
            raise DefinitionError(
                f"job {self.name!r} selects {self.select!r}, which is no selection",
                fix='select by objects: flights.downstream(), dbt.daily_delays, tag("hourly"), also joined by | & -',
            )

    def __selection__(self) -> Expression:
        return Method("job", self.name)


@dataclass(frozen=True, slots=True)
class PlacedJob:
    """A job as the loader found it."""

    job: Job
    location: str
    """`file:line`"""
