"""Prefect's side of the worker: a `BaseWorker` of our own work-pool type. Opening this module imports prefect.

Prefect's own workers start a Python process for every run, and each of them imports Prefect and dbt again: five
seconds of CPU before any work. Here a flow run is a thread of the worker's process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc
import anyio.to_thread
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled, Crashed
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from orchestrator.service.prefect_api import WORK_POOL, WORKER_TYPE

if TYPE_CHECKING:
    from orchestrator.service.worker import Ready, Runs
    from orchestrator.service.worker_spec import WorkerSpec

LOOK_FOR_CANCEL_S = 1.0
STOP_WITHIN_S = 7.0


class WarmWorker(BaseWorker[BaseJobConfiguration, BaseVariables, BaseWorkerResult]):
    """Runs flow runs of `materialize` in a thread of this process, one at a time."""

    type = WORKER_TYPE
    _description = "Carries out the runs that Orchestrator's app asks for, in one process that stays warm."

    def __init__(self, runs: Runs, **more: Any) -> None:
        super().__init__(work_pool_name=WORK_POOL, limit=1, **more)
        self._runs = runs

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> BaseWorkerResult:
        """Carry out one flow run. Prefect calls this."""
        if task_status is not None:
            task_status.started(os.getpid())
        async with anyio.create_task_group() as group:
            group.start_soon(self._look_for_cancel, flow_run)
            await anyio.to_thread.run_sync(self._runs.carry_out, flow_run)
            group.cancel_scope.cancel()
        await self._close(flow_run)
        return BaseWorkerResult(identifier=str(os.getpid()), status_code=0)

    async def _look_for_cancel(self, flow_run: FlowRun) -> None:
        while True:
            await anyio.sleep(LOOK_FOR_CANCEL_S)
            with contextlib.suppress(Exception):  # a server that is gone cancels nothing
                state = (await self.client.read_flow_run(flow_run.id)).state
                if state is not None and (state.is_cancelling() or state.is_cancelled()):
                    self._runs.cancel()

    async def _close(self, flow_run: FlowRun) -> None:
        """Whatever happened, the flow run has ended."""
        with contextlib.suppress(Exception):
            state = (await self.client.read_flow_run(flow_run.id)).state
            if state is None or not state.is_final():
                cancelled = state is not None and state.is_cancelling()
                ended: State[Any] = Cancelled() if cancelled else Crashed(message="it ended without a word")
                await self.client.set_flow_run_state(flow_run.id, ended, force=True)


async def work(spec: WorkerSpec, runs: Runs, *, ready: Ready) -> int:
    """Work until SIGTERM, then cancel the run that is under way and give it time to write that down."""
    worker = WarmWorker(runs, name=f"{socket.gethostname()}-{os.getpid()}")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await anyio.to_thread.run_sync(runs.warm_up)
    serving = asyncio.create_task(worker.start(printer=lambda *_: ready()))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        return 1
    runs.cancel()
    with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
        await asyncio.wait_for(_idle(runs), STOP_WITHIN_S)
    os._exit(0)  # Prefect's own way out waits for its threads, and the server may be gone already


async def _idle(runs: Runs) -> None:
    while runs.busy:
        await asyncio.sleep(0.05)


__all__ = ["WarmWorker", "work"]
