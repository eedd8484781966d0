"""`orchestrator cancel RUN`: stop a run that another process carries out."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import WorkspaceOptions, workspace_command
from orchestrator.cli.output import make_console, print_json, utc_now
from orchestrator.cli.runs import find_run
from orchestrator.errors import ExecutionError

if TYPE_CHECKING:
    from orchestrator.records import Records, RunDetail

PATIENCE_S = 30.0
POLL_S = 0.2


@workspace_command
def command(
    options: WorkspaceOptions,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or its beginning; `last`.")] = "last",
) -> int:
    """Stop a running run: what it is doing is interrupted, the rest does not start, locks are released."""
    workspace = options.load()
    records = workspace.records
    records.reap(workspace.environment, as_of=utc_now())
    detail = find_run(records, run, environment=workspace.environment)
    if detail.status not in ("running", "queued"):
        raise ExecutionError(f"run {detail.run_id} is not running: it is {detail.status}")
    status = stop_run(records, detail)
    if options.json:
        print_json({"schema_version": 1, "run_id": detail.run_id, "status": status})
    else:
        make_console().print(f"run {detail.run_id} is {status}")
    return 0


def stop_run(records: Records, run: RunDetail) -> str:
    """Interrupt the run's process and wait until it has written down how it ended; its status."""
    host = run.by.rpartition("@")[2]
    if host != socket.gethostname():
        raise ExecutionError(
            f"run {run.run_id} runs on {host}, this is {socket.gethostname()}", fix=f"cancel it on {host}"
        )
    os.kill(run.pid, signal.SIGINT)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        now = records.run(run.run_id)
        if now is not None and now.status not in ("running", "queued"):
            return now.status
        time.sleep(POLL_S)
    raise ExecutionError(
        f"run {run.run_id} has not stopped within {PATIENCE_S:g} s",
        fix=f"if it hangs, stop its process {run.pid}; the next command then records it as lost",
    )
