"""The worker of `orchestrator dev`: `python -m orchestrator.service.worker SPEC`, a process that stays warm.

It carries out the flow runs of the deployment `materialize`, one at a time, in a thread: dbt, the manifest and the
user's modules stay loaded between runs, and are read again when a file has changed. SIGINT (what `orchestrator cancel`
sends) cancels the run, SIGTERM cancels it and ends the worker.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

from orchestrator.errors import DefinitionErrors, OrchestratorError
from orchestrator.execution.executor import run_plan
from orchestrator.execution.results import Listener, RunOptions, RunResult, StepWrapper
from orchestrator.service.reload import LiveWorkspace
from orchestrator.service.requests import RunRequest, plan_request
from orchestrator.service.worker_spec import WorkerSpec
from orchestrator.workspace import Workspace

Ready = Callable[[], None]
"""Called once the worker takes runs."""


class Runs:
    """Carries out requests, one at a time, and knows how to cancel the one that is under way."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._live: dict[str | None, LiveWorkspace] = {}
        self._cancel: threading.Event | None = None

    @property
    def busy(self) -> bool:
        """True while a run is under way."""
        return self._cancel is not None

    def cancel(self) -> None:
        """Stop the run that is under way, if there is one."""
        if self._cancel is not None:
            self._cancel.set()

    def warm_up(self) -> None:
        """Load the definitions and dbt before anybody waits for them, and close the runs of a worker that died."""
        try:
            workspace = self._workspace(self._spec.environment)
            workspace.records.reap(workspace.environment, as_of=datetime.now(timezone.utc))
            for project in workspace.dbt_projects if not workspace.errors else ():
                project.dbt_manifest()
        except OrchestratorError:
            return  # the run that needs it will say so

    def carry_out(self, flow_run: Any) -> None:
        """Do what a flow run asks for, inside it. Every error becomes the flow run's, none is raised."""
        from orchestrator.service.flows import run_in_prefect

        request = RunRequest.from_parameters(flow_run.parameters)
        cancel = self._cancel = threading.Event()

        def run(heard: Sequence[Listener], wrap: StepWrapper) -> RunResult:
            return self._run(request, heard, wrap, cancel)

        try:
            run_in_prefect(
                run,
                connection=self._spec.connection,
                environment=request.environment,
                selection=request.selection,
                command=request.command,
                listeners=(),
                flow_run=flow_run,
            )
        except BaseException as error:  # noqa: BLE001  the worker outlives every run
            _say(f"{request.command}: {type(error).__name__}: {error}")
        finally:
            self._cancel = None

    def _run(
        self, request: RunRequest, heard: Sequence[Listener], wrap: StepWrapper, cancel: threading.Event
    ) -> RunResult:
        workspace = self._workspace(request.environment)
        plan = plan_request(workspace, request)
        options = RunOptions(command=request.command, engine="prefect", run_id=request.run_id)
        return run_plan(workspace, plan, options=options, listeners=heard, wrap=wrap, cancel=cancel)

    def _workspace(self, environment: str | None) -> Workspace:
        """The definitions as they are on the disk now. Raises when they are broken: nothing old is run."""
        if environment not in self._live:
            self._live[environment] = LiveWorkspace(lambda: self._spec.load(environment))
            loaded = self._live[environment].current
        else:
            loaded = self._live[environment].refresh()
        if loaded.is_last_good:
            raise DefinitionErrors(loaded.errors)
        loaded.workspace.say = _say
        return loaded.workspace


def main(argument: str) -> int:
    """Work until SIGTERM."""
    import asyncio

    spec = WorkerSpec(**json.loads(argument), auth=os.environ.get("PREFECT_API_AUTH_STRING"))
    runs = Runs(spec)
    signal.signal(signal.SIGINT, lambda *_: runs.cancel())
    from orchestrator.service.connection import import_quietly

    import_quietly(spec.connection)
    from orchestrator.service.warm_worker import work

    return asyncio.run(work(spec, runs, ready=lambda: _say("ready")))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
