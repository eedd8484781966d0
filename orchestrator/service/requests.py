"""A run as it is asked for: small, plain values that travel through Prefect, and what they mean in a workspace.

The one who asks chooses the run's id. It is the idempotency key too: asking twice with one request runs once.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from orchestrator.execution.executor import new_run_id
from orchestrator.plan.run_plan import RunPlan
from orchestrator.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What shall run. Words mean what they mean on the command line; no `select` is everything."""

    environment: str
    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    stale: bool = False
    full_refresh: bool = False
    partitions: str | None = None
    """Words as of `--partitions`."""
    run_id: str = field(default_factory=new_run_id)

    @property
    def command(self) -> str:
        """What a person would type for the same.

        >>> RunRequest(environment="dev", select=("raw.flights+",), stale=True).command
        'orchestrator run raw.flights+ --stale --env dev'
        """
        words = ["orchestrator", "run", *self.select]
        words += [word for one in self.exclude for word in ("--exclude", one)]
        words += [name for name, given in (("--stale", self.stale), ("--full-refresh", self.full_refresh)) if given]
        words += ["--partitions", self.partitions] if self.partitions else []
        return shlex.join([*words, "--env", self.environment])

    @property
    def selection(self) -> str:
        """The selection as the records show it."""
        return " ".join(self.select) + (f" --exclude {' '.join(self.exclude)}" if self.exclude else "")

    def as_parameters(self) -> dict[str, Any]:
        """As a flow run's parameters."""
        return {**asdict(self), "select": list(self.select), "exclude": list(self.exclude), "command": self.command}

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> RunRequest:
        """The request behind a flow run's parameters.

        >>> asked = RunRequest(environment="dev", select=("tag:daily",), partitions="2013-02")
        >>> RunRequest.from_parameters(asked.as_parameters()) == asked
        True
        """
        known = {item.name: parameters[item.name] for item in fields(cls) if item.name in parameters}
        for name in ("select", "exclude"):
            known[name] = tuple(known.get(name) or ())
        return cls(**known)


def plan_request(workspace: Workspace, request: RunRequest) -> RunPlan:
    """What the request would do in the workspace as it is now. Raises DefinitionErrors, SelectionError."""
    return workspace.plan(
        request.select,
        exclude=request.exclude,
        stale=request.stale,
        full_refresh=request.full_refresh,
        partitions=request.partitions,
    )
