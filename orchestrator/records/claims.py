"""Claims: who may write an asset (partition) now, with a fencing token.

The token grows with each claim of the same thing and is never given twice: a writer that was thought dead and taken
over holds an old token, and asks `holds` before it commits. A claim counts as long as its run is not over and its
process is alive; nobody needs to clean up after a crash.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from orchestrator.records import liveness
from orchestrator.records.errors import ClaimedElsewhereError
from orchestrator.records.schema import claims

Slot = dict[str, str]


def build_slot(environment: str, key: str, writer: str, partition: str | None) -> Slot:
    """What a claim is on."""
    return {"environment": environment, "key": key, "writer": writer, "partition": partition or ""}


def claim(connection: Connection, slot: Slot, *, run_id: str, as_of: datetime) -> int:
    """Take the claim and return its token. Raises ClaimedElsewhereError while another live run holds it."""
    liveness.announce(connection, run_id, at=as_of)
    # On PostgreSQL the caller holds the row of the version counter, on SQLite the write lock: nobody comes between.
    held = connection.execute(_HELD, _params(slot)).one_or_none()
    if held is None:
        connection.execute(insert(claims), {**slot, "token": 1, "run_id": run_id})
        return 1
    if held.run_id not in (None, run_id):
        _refuse_if_alive(connection, held.run_id, slot=slot, as_of=as_of)
    token = int(held.token) + 1
    connection.execute(_TAKE, {**_params(slot), "token": token, "run_id": run_id})
    return token


def _refuse_if_alive(connection: Connection, holder: str, *, slot: Slot, as_of: datetime) -> None:
    process = liveness.read_process(connection, holder)
    if process is None or liveness.is_over(connection, holder) or not process.is_alive(as_of=as_of):
        return
    what = f"partition {slot['partition']} of {slot['key']}" if slot["partition"] else slot["key"]
    raise ClaimedElsewhereError(what, run_id=holder, pid=process.pid, host=process.host)


def holds(connection: Connection, slot: Slot, *, token: int) -> bool:
    """True while this token's claim has been neither released nor taken over."""
    held = connection.execute(_HELD, _params(slot)).one_or_none()
    return held is not None and held.run_id is not None and held.token == token


def release(connection: Connection, slot: Slot, *, token: int) -> None:
    """Give the claim back; nothing happens if somebody else has it by now."""
    connection.execute(_RELEASE, {**_params(slot), "_token": token, "run_id": None})


def release_run(connection: Connection, run_id: str) -> None:
    """Give back all claims of a run."""
    connection.execute(_RELEASE_RUN, {"_run_id": run_id, "run_id": None})


def _params(slot: Slot) -> dict[str, Any]:
    return {f"_{name}": value for name, value in slot.items()}


_HERE = (
    (claims.c.environment == bindparam("_environment"))
    & (claims.c.key == bindparam("_key"))
    & (claims.c.writer == bindparam("_writer"))
    & (claims.c.partition == bindparam("_partition"))
)
_HELD = select(claims.c.token, claims.c.run_id).where(_HERE)
_TAKE = update(claims).where(_HERE).values(token=bindparam("token"), run_id=bindparam("run_id"))
_RELEASE = update(claims).where(_HERE, claims.c.token == bindparam("_token")).values(run_id=bindparam("run_id"))
_RELEASE_RUN = update(claims).where(claims.c.run_id == bindparam("_run_id")).values(run_id=bindparam("run_id"))
