"""What can go wrong with a store, in the user's words."""

from __future__ import annotations

from orchestrator.errors import ExecutionError, RecordsError


class ClaimedElsewhereError(ExecutionError):
    """A live run is writing this already."""

    def __init__(self, what: str, *, run_id: str, pid: int, host: str) -> None:
        super().__init__(
            f"{what} is being written by run {run_id} (pid {pid} on {host})",
            fix="wait until that run ends, or stop it; the claim is free as soon as its process is gone",
        )
        self.run_id = run_id
        self.pid = pid
        self.host = host


def newer(place: str, *, found: str, known: str) -> RecordsError:
    return RecordsError(
        f"the records were written by a newer version of Orchestrator (schema {found}, this one knows up to {known})",
        at=place,
        fix="upgrade with 'pip install --upgrade dbt-orchestrator', or use another records database",
    )


def damaged(place: str, *, detail: str) -> RecordsError:
    return RecordsError(
        f"the records cannot be read: {detail}",
        at=place,
        fix="restore the file from a backup, or move it away: the next run starts new records",
    )


def not_writable(place: str, *, detail: str) -> RecordsError:
    return RecordsError(
        f"the records cannot be written: {detail}",
        at=place,
        fix="give this user write access to the file and its directory, or choose another place for the records",
    )


def busy(place: str) -> RecordsError:
    return RecordsError(
        "the records are locked: another process has been writing for more than 30 seconds",
        at=place,
        fix="find the process that holds the file and end it; then try again",
    )


def unreachable(place: str, *, detail: str) -> RecordsError:
    return RecordsError(
        f"the records database does not answer: {detail}",
        at=place,
        fix="check that the server runs and that host, port, user, password and database in the URL are right",
    )


def bad_url(place: str, *, detail: str) -> RecordsError:
    return RecordsError(
        f"this is not a URL of a records database: {detail}",
        at=place,
        fix="write 'sqlite:///path/to/records.sqlite' or 'postgresql://user:password@host:5432/database'",
    )


def no_driver(place: str) -> RecordsError:
    return RecordsError(
        "records on PostgreSQL need the package psycopg2, which is not installed",
        at=place,
        fix="pip install 'dbt-orchestrator[postgres]'",
    )


def nothing_there(place: str) -> RecordsError:
    return RecordsError(
        "the records were opened for reading only, and there are none yet",
        at=place,
        fix="open them with create=True to write",
    )
