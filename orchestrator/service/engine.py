"""Which engine carries a run out, and carrying it out by it. prefect is imported only once it has been chosen."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from orchestrator.errors import ServiceError
from orchestrator.execution.results import Listener, RunOptions, RunResult, StepWrapper
from orchestrator.plan.run_plan import RunPlan
from orchestrator.service.connection import Connection, import_quietly
from orchestrator.service.server import (
    WITHOUT_PREFECT,
    OnWait,
    PrefectServer,
    api_answers,
    running_server,
)
from orchestrator.workspace import Workspace

EngineName = Literal["auto", "prefect", "local"]


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What carries the run out. `prefect` without an `api_url` starts a server for this one run."""

    name: Literal["prefect", "local"]
    why: str
    """For the header of a run: `local`, `Prefect of the running orchestrator dev` …"""
    api_url: str | None = None
    auth: str | None = None
    own_profile: bool = True
    """The user's own Prefect profile, with its credentials, is in force: true for an API that they configured."""


def choose_engine(name: EngineName, *, state_dir: Path, configured_api_url: str | None = None) -> EngineChoice:
    """`local`, or Prefect: a running `orchestrator dev`, else the configured API, else (unless `auto`) our own.

    An inherited PREFECT_API_URL moves no run. Raises ServiceError when `prefect` is asked for and the configured API
    does not answer; `auto` then runs locally, and says so.
    """
    if name == "local":
        return EngineChoice("local", "local, as asked for")
    if (dev := running_server(state_dir)) is not None:
        why = "Prefect of the running orchestrator dev"
        return EngineChoice("prefect", why, api_url=dev.api_url, auth=dev.auth, own_profile=False)
    if configured_api_url and api_answers(configured_api_url):
        return EngineChoice("prefect", f"Prefect at {configured_api_url}", api_url=configured_api_url)
    if name == "auto":
        return EngineChoice("local", f"local: {configured_api_url} does not answer" if configured_api_url else "local")
    if configured_api_url:
        raise ServiceError(
            f"no Prefect API answers at {configured_api_url}",
            at="prefect.api_url in [tool.orchestrator]",
            fix=f"start it, correct the address, or {WITHOUT_PREFECT}",
        )
    return EngineChoice("prefect", "Prefect, with a server for this run", own_profile=False)


def run_with_engine(
    choice: EngineChoice,
    workspace: Workspace,
    plan: RunPlan,
    *,
    options: RunOptions | None = None,
    listeners: Sequence[Listener] = (),
    on_wait: OnWait | None = None,
) -> RunResult:
    """Execute `plan` by the chosen engine. `on_wait` is called while a Prefect server starts.

    Raises what `run_plan` raises, and ServiceError when Prefect cannot be used, before anything has started.
    """
    from orchestrator.execution.executor import run_plan

    options = replace(options or RunOptions(), engine=choice.name)
    if choice.name == "local":
        return run_plan(workspace, plan, options=options, listeners=listeners)

    def run(heard: Sequence[Listener], wrap: StepWrapper) -> RunResult:
        return run_plan(workspace, plan, options=options, listeners=heard, wrap=wrap)

    with ExitStack() as stack:
        connection = _connection(choice, workspace.state_dir, stack, on_wait=on_wait)
        from orchestrator.service.flows import run_in_prefect

        return run_in_prefect(
            run,
            connection=connection,
            environment=plan.environment,
            selection=plan.selection,
            command=options.command or "orchestrator run",
            listeners=listeners,
        )


def _connection(choice: EngineChoice, state_dir: Path, stack: ExitStack, *, on_wait: OnWait | None) -> Connection:
    log_file = state_dir / "logs" / "prefect-client.log"
    home = None if choice.own_profile else state_dir / "prefect"
    if choice.api_url is not None:
        connection = Connection(choice.api_url, auth=choice.auth, home=home, log_file=log_file)
        import_quietly(connection)
        return connection
    server = PrefectServer(state_dir, on_wait=on_wait, auth=f"run:{secrets.token_urlsafe(24)}", for_one_run=True)
    stack.callback(server.stop)
    server.launch()
    if on_wait is not None:
        on_wait(0.0)
    # Importing prefect takes seconds, as the server does: both at once.
    import_quietly(Connection(server.api_url, home=server.home))
    server.wait()
    return Connection(server.api_url, auth=server.auth, home=server.home, log_file=log_file)
