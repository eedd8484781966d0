"""The only writers of the app: asking for a run, cancelling it. Everything else reads.

A run is asked for by a request to the Prefect server of `orchestrator dev`; nothing is run in this process. Its id is
made once, when somebody presses Run, and kept in the session: Streamlit may run a dialog's body twice, and Prefect
makes one run of two requests with one id.
"""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from orchestrator.service.prefect_api import FlowRunView, PrefectApi
from orchestrator.service.requests import RunRequest
from orchestrator.service.server import read_server

from .reads import Reads

_ASKED = "run_asked"
_LAUNCHED = "runs_launched"
NEEDS_DEV = "Runs are started through `orchestrator dev`, which starts what that needs. It is not running."
NEEDS_SOUND = "Nothing can run before the definition errors are corrected."


def why_not(reads: Reads) -> str | None:
    """Why nothing can be run from here, as Markdown; None when it can."""
    if reads.errors:
        return NEEDS_SOUND
    return None if _api(reads) is not None else NEEDS_DEV


def ask(request: RunRequest) -> None:
    """Show the dialog for a request; nothing runs before it is confirmed."""
    st.session_state[_ASKED] = request


def asked() -> RunRequest | None:
    """The request whose dialog is open."""
    found: RunRequest | None = st.session_state.get(_ASKED)
    return found


def amend(*, full_refresh: bool) -> RunRequest | None:
    """The same request with another choice."""
    if (request := asked()) is not None:
        ask(replace(request, full_refresh=full_refresh))
    return asked()


def forget_asked() -> None:
    """Close the dialog."""
    st.session_state.pop(_ASKED, None)


def launch(reads: Reads, request: RunRequest) -> None:
    """Ask Prefect for the run, and remember it for this visitor. Raises ServiceError."""
    if (api := _api(reads)) is not None:
        api.launch(request)
        st.session_state[_LAUNCHED] = {**launched(), request.run_id: request}


def launched() -> dict[str, RunRequest]:
    """{run id: request} of what this visitor has started and not put away, oldest first."""
    found: dict[str, RunRequest] = st.session_state.get(_LAUNCHED, {})
    return found


def put_away(run_id: str) -> None:
    """Show this run no longer above the page."""
    st.session_state[_LAUNCHED] = {name: request for name, request in launched().items() if name != run_id}


def look(reads: Reads, run_ids: list[str]) -> dict[str, FlowRunView]:
    """{run id: what Prefect knows of it}. Raises ServiceError; nothing is known without `orchestrator dev`."""
    api = _api(reads)
    return api.look(run_ids) if api is not None else {}


def cancel(reads: Reads, run_id: str) -> None:
    """Ask for the end of a run. Raises ServiceError."""
    if (api := _api(reads)) is not None:
        api.cancel(run_id)


def _api(reads: Reads) -> PrefectApi | None:
    server = read_server(reads.workspace.state_dir)
    return PrefectApi(server.api_url, auth=server.auth) if server is not None else None


__all__ = ["amend", "ask", "asked", "cancel", "forget_asked", "launch", "launched", "look", "put_away", "why_not"]
