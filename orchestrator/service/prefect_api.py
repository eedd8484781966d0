"""Prefect over plain REST: the deployment `materialize`, asking for runs, looking at them, cancelling them.

Imports no prefect: its import takes seconds, and the app and `orchestrator dev` need only these few calls.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.errors import ServiceError
from orchestrator.service.requests import RunRequest
from orchestrator.service.server import is_local

if TYPE_CHECKING:
    import httpx

FLOW = "materialize"
DEPLOYMENT = "materialize"
WORK_POOL = "orchestrator"
WORKER_TYPE = "orchestrator"
TIMEOUT_S = 15.0
BUSY = 503
"""What Prefect answers while its SQLite is locked."""
BUSY_DELAYS_S = (0.3, 1.0, 2.0, 4.0)
_UNFINISHED = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING")


@dataclass(frozen=True, slots=True)
class FlowRunView:
    """What Prefect knows of a run that was asked for."""

    id: str
    run_id: str
    state: str
    """Prefect's type of state: SCHEDULED, PENDING, RUNNING, CANCELLING, CANCELLED, COMPLETED, FAILED, CRASHED."""
    message: str = ""

    @property
    def is_over(self) -> bool:
        """True when nothing more will happen."""
        return self.state not in _UNFINISHED


@dataclass(frozen=True, slots=True)
class PrefectApi:
    """One API. Every method raises ServiceError when it does not answer, or does not do what it is asked for."""

    url: str
    auth: str | None = field(default=None, repr=False)

    def register(self) -> None:
        """Make the work pool and the deployment, or leave them as they are. What an earlier session left is closed."""
        with self._client() as client:
            flow = _json(_post(client, "/flows/", {"name": FLOW}))
            # 409: it is there already. Its template is filled in by the worker.
            _json(_post(client, "/work_pools/", {"name": WORK_POOL, "type": WORKER_TYPE}), allowed=(409,))
            deployment = {
                "name": DEPLOYMENT,
                "flow_id": flow["id"],
                "work_pool_name": WORK_POOL,
                "enforce_parameter_schema": False,
                "description": "Runs that the app asks for. Kept by orchestrator dev.",
            }
            _json(_post(client, "/deployments/", deployment))
        self.close(_UNFINISHED, why="orchestrator dev was stopped before it had ended")

    def close(self, states: Sequence[str], *, why: str) -> None:
        """End the runs in these states that no worker will end."""
        with self._client() as client:
            for run in _runs(client, {"state": _states(states)}, deployments={"name": {"any_": [DEPLOYMENT]}}):
                _set_state(client, run.id, "CRASHED", why)

    def launch(self, request: RunRequest) -> FlowRunView:
        """Ask for a run; the same request asked for again is the same run."""
        with self._client() as client:
            answer = client.get(f"/deployments/name/{FLOW}/{DEPLOYMENT}")
            if answer.status_code == 404:
                raise ServiceError("this Prefect server takes no runs yet", fix="start orchestrator dev again")
            body = {
                "name": request.command,
                "parameters": request.as_parameters(),
                "idempotency_key": request.run_id,
                "state": {"type": "SCHEDULED", "name": "Scheduled", "message": "asked for in the app"},
            }
            return _view(_json(_post(client, f"/deployments/{_json(answer)['id']}/create_flow_run", body)))

    def look(self, run_ids: Sequence[str]) -> dict[str, FlowRunView]:
        """{run id: what Prefect knows}, for those that were asked for here."""
        if not run_ids:
            return {}
        with self._client() as client:
            found = _runs(client, {"idempotency_key": {"any_": list(run_ids)}})
            return {run.run_id: run for run in found}

    def cancel(self, run_id: str) -> None:
        """Ask for the end of a run. The worker interrupts what it is doing; one that waits never starts."""
        with self._client() as client:
            for run in _runs(client, {"idempotency_key": {"any_": [run_id]}, "state": _states(_UNFINISHED)}):
                waits = run.state == "SCHEDULED"
                _set_state(client, run.id, "CANCELLED" if waits else "CANCELLING", "cancelled in the app")

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        import httpx

        headers = {}
        if self.auth:
            headers["Authorization"] = "Basic " + base64.b64encode(self.auth.encode()).decode()
        try:
            # A proxy for the outside world must not be asked for an address on this machine.
            with httpx.Client(
                base_url=self.url, headers=headers, timeout=TIMEOUT_S, trust_env=not is_local(self.url)
            ) as client:
                yield client
        except httpx.HTTPStatusError as error:
            said = error.response.text[:300]
            raise ServiceError(f"Prefect refused: {error.response.status_code} {said}", at=self.url) from error
        except httpx.HTTPError as error:
            what = f"Prefect does not answer: {error}"
            raise ServiceError(what, at=self.url, fix="start orchestrator dev") from error


def _json(response: httpx.Response, *, allowed: Sequence[int] = ()) -> Any:
    if response.status_code not in allowed:
        response.raise_for_status()
    return response.json()


def _post(client: httpx.Client, path: str, body: Mapping[str, Any]) -> httpx.Response:
    """Post, and post again while the server says that it is too busy. Nothing here does more when it is done twice."""
    for delay in BUSY_DELAYS_S:
        response = client.post(path, json=body)
        if response.status_code != BUSY:
            return response
        time.sleep(delay)
    return client.post(path, json=body)


def _runs(client: httpx.Client, flow_runs: Mapping[str, Any], **more: Any) -> list[FlowRunView]:
    return [_view(run) for run in _json(_post(client, "/flow_runs/filter", {"flow_runs": flow_runs, **more}))]


def _states(types: Sequence[str]) -> dict[str, Any]:
    return {"type": {"any_": list(types)}}


def _set_state(client: httpx.Client, flow_run_id: str, state: str, message: str) -> None:
    body = {"state": {"type": state, "name": state.capitalize(), "message": message}, "force": state == "CRASHED"}
    _json(_post(client, f"/flow_runs/{flow_run_id}/set_state", body))


def _view(run: Mapping[str, Any]) -> FlowRunView:
    state = run.get("state") or {}
    return FlowRunView(
        id=run["id"],
        run_id=run.get("idempotency_key") or "",
        state=str(run.get("state_type") or state.get("type") or "SCHEDULED"),
        message=str(state.get("message") or ""),
    )


__all__ = ["FlowRunView", "PrefectApi"]
