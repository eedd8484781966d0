"""The attempt of a run as the `Host` of work that it hands on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.definitions.assets import PythonAction, PythonAsset, Table
from orchestrator.definitions.events import CheckStatus
from orchestrator.definitions.keys import Relation
from orchestrator.definitions.resources import Resource
from orchestrator.execution.elsewhere import Host
from orchestrator.execution.journal import Intent, Journal
from orchestrator.execution.messages import ReportedCheck
from orchestrator.execution.session import AttemptSession
from orchestrator.resources.dbt_profile import Profile
from orchestrator.resources.described import describe_warehouse
from orchestrator.resources.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Hosts:
    """Makes the hosts of one run."""

    journal: Journal
    root: Path
    profile: Profile | None = None

    def host(
        self, intent: Intent, definition: PythonAsset[..., Any] | PythonAction[..., Any], session: AttemptSession
    ) -> Host:
        """What is reported goes into the run's journal, a stop of the attempt to the work."""
        journal, key = self.journal, intent.op.key
        relation = session.asset.relation
        own = _resource_of(definition)

        def check(result: ReportedCheck) -> None:
            status: CheckStatus = "succeeded" if result.passed else "warned" if result.severity == "warn" else "failed"
            more = {"severity": result.severity, "failures": result.failures, "reason": result.message}
            journal.report_check(intent, result.name, status, **more)

        return Host(
            root=self.root,
            attempt_id=intent.attempt_id,
            log=lambda lines: journal.log_lines(lines, key=key),
            resources={} if own is None else {type(own).__name__.lower(): self.describe(own, relation=relation)},
            describe=self.describe,
            progress=lambda done, total: journal.progress(intent, done, total),
            check=check,
            submitted=lambda job, handle, place: journal.submitted(intent, job=job, handle=handle, place=place),
            on_stop=session.on_stop,
        )

    def describe(self, resource: Resource, *, relation: Relation | None = None) -> dict[str, Any]:
        """A resource for work elsewhere; the warehouse as this environment has it."""
        if isinstance(resource, Warehouse) and self.profile is not None:
            return describe_warehouse(self.profile, relation)
        return resource.describe()


def _resource_of(definition: PythonAsset[..., Any] | PythonAction[..., Any]) -> Resource | None:
    """What the asset is in; dbt's models and sources are in the warehouse."""
    match definition:
        case PythonAsset(table=Table(resource=resource)):
            return resource
        case PythonAsset():
            return Warehouse()
    return None
