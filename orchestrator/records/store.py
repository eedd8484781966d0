"""The records of a workspace: one object to write events to and to ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select

from orchestrator.definitions.events import ColumnInfo, Event, RunFinished, RunStarted, StepFinished, StepStarted
from orchestrator.definitions.facts import Facts
from orchestrator.records import claims, liveness, readers
from orchestrator.records.database import Database
from orchestrator.records.packing import pack, unpack_blob
from orchestrator.records.projections import Stored, project
from orchestrator.records.schema import READ_MODELS, blobs, events
from orchestrator.records.views import CheckRecord, LogRecord, MaterializationRecord, RunDetail, RunSummary

_REPLAYED_AT_ONCE = 1000


class Records:
    """An opened store; use `open_records`. Threads may share it; a forked child must open its own."""

    def __init__(self, url: str, *, create: bool = True) -> None:
        self._database = Database(url, create=create)

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Using the records again opens new ones."""
        self._database.close()

    @property
    def place(self) -> str:
        """Where the records are: a path, or a URL without its password."""
        return self._database.place

    # -- writing

    def record(self, *events: Event) -> None:
        """Append events and bring the read models up to date: all of it or, on an error, nothing."""
        if not events:
            return
        with self._database.writing() as connection:
            self._append(connection, events)

    def begin(self, event: StepStarted) -> int:
        """Claim what the step writes and record that it starts, in one transaction; the claim's fencing token.

        Raises ClaimedElsewhereError while another live run holds the claim; then nothing is recorded.
        """
        (token,) = self.begin_all([event])
        return token

    def begin_all(self, events: Sequence[StepStarted]) -> list[int]:
        """The same for several steps that start at once, such as the partitions of a range: all of them or none."""
        with self._database.writing() as connection:
            self._database.lock(connection)
            as_of = _now()
            tokens = [claims.claim(connection, _slot(event), run_id=event.run_id, as_of=as_of) for event in events]
            self._append(connection, events)
            return tokens

    def end(self, event: StepFinished, *, token: int) -> None:
        """Record how a step ended and give its claim back, in one transaction."""
        self.end_all([(event, token)])

    def end_all(self, ended: Sequence[tuple[StepFinished, int]]) -> None:
        """The same for several steps with their tokens."""
        with self._database.writing() as connection:
            self._append(connection, [event for event, _ in ended])
            for event, token in ended:
                claims.release(connection, _slot(event), token=token)

    def rebuild(self) -> None:
        """Compute the read models again from the events. Expensive: reads everything that ever happened."""
        with self._database.writing() as connection:
            self._database.bump(connection)
            for table in READ_MODELS:
                connection.execute(delete(table))
            for event in _replay(connection):
                project(connection, event)

    def _append(self, connection: Connection, added: Iterable[Event]) -> None:
        self._database.bump(connection)
        for event in added:
            packed = pack(event)
            if packed.blobs:
                _keep(connection, packed.blobs)
            about: dict[str, Any] = {
                "environment": packed.environment,
                "run_id": packed.run_id,
                "at": packed.at,
                "kind": packed.kind,
            }
            result = connection.execute(_APPEND, {**about, "payload": packed.text})
            (seq,) = result.inserted_primary_key or (0,)
            project(connection, Stored(seq=seq, payload=packed.payload, **about))
            match event:
                case RunStarted():
                    liveness.announce(connection, event.run_id, at=_now(), pid=event.pid)
                case RunFinished():
                    claims.release_run(connection, event.run_id)

    # -- claims and liveness

    def claim(
        self,
        environment: str,
        key: str,
        writer: str,
        partition: str | None,
        *,
        run_id: str,
        as_of: datetime | None = None,
    ) -> int:
        """Claim an asset's writer (and partition) for a run of this process; the fencing token, larger each time.

        Raises ClaimedElsewhereError while another live run holds it. A dead or finished run's claim is taken over.
        """
        slot = claims.build_slot(environment, key, writer, partition)
        with self._database.writing() as connection:
            self._database.lock(connection)
            return claims.claim(connection, slot, run_id=run_id, as_of=as_of or _now())

    def holds(self, environment: str, key: str, writer: str, partition: str | None, *, token: int) -> bool:
        """True while the claim with this token has been neither released nor taken over. Ask before committing."""
        with self._database.reading() as connection:
            return claims.holds(connection, claims.build_slot(environment, key, writer, partition), token=token)

    def release(self, environment: str, key: str, writer: str, partition: str | None, *, token: int) -> None:
        """Give a claim back; a token that holds nothing any more is ignored."""
        with self._database.writing() as connection:
            claims.release(connection, claims.build_slot(environment, key, writer, partition), token=token)

    def release_run(self, run_id: str) -> None:
        """Give back all claims of a run. Recording RunFinished does it, too."""
        with self._database.writing() as connection:
            claims.release_run(connection, run_id)

    def heartbeat(self, run_id: str, *, as_of: datetime | None = None) -> None:
        """Say that a run is alive, for observers on other hosts. At least every 20 seconds."""
        with self._database.writing() as connection:
            liveness.beat(connection, run_id, at=as_of or _now())

    def reap(self, environment: str | None = None, *, as_of: datetime | None = None) -> list[str]:
        """End the runs whose process is dead: status lost, their running attempts unknown, their claims free.

        The ids of the runs that were ended. Cheap when nothing runs.
        """
        as_of = as_of or _now()
        with self._database.reading() as connection:
            unfinished = liveness.read_unfinished(connection, environment)
        dead = [(run_id, process) for run_id, process in unfinished if not process.is_alive(as_of=as_of)]
        return [run_id for run_id, process in dead if self._bury(run_id, process=process, as_of=as_of)]

    def _bury(self, run_id: str, *, process: liveness.Process, as_of: datetime) -> bool:
        with self._database.writing() as connection:
            self._database.lock(connection)
            if liveness.is_over(connection, run_id):  # somebody else found it first
                return False
            self._append(connection, liveness.build_last_words(connection, run_id, process=process, as_of=as_of))
            return True

    # -- reading

    def version(self) -> int:
        """A counter that grows with every recorded change: the same number, the same answers."""
        return self._database.version()

    def facts(self, environment: str) -> Facts:
        """What plans and states of one environment are computed from."""
        with self._database.reading() as connection:
            return readers.read_facts(connection, environment)

    def runs(self, environment: str | None = None, *, limit: int = 20) -> tuple[RunSummary, ...]:
        """The newest runs, newest first."""
        with self._database.reading() as connection:
            return readers.read_runs(connection, environment=environment, limit=limit)

    def run(self, run_id: str, *, logs: bool = False) -> RunDetail | None:
        """A run by its id or the first characters of it; None if there is none.

        Raises RecordsError when several runs begin like this.
        """
        with self._database.reading() as connection:
            return readers.read_run(connection, run_id, logs=logs)

    def latest(self, environment: str, key: str, *, partition: str | None = None) -> MaterializationRecord | None:
        """The newest success of any writer, and of any partition unless one is named, with all its metadata.

        None if there never was one.
        """
        with self._database.reading() as connection:
            return readers.read_latest(connection, environment, key, partition=partition)

    def history(
        self, environment: str, key: str, *, limit: int = 50, succeeded_only: bool = False
    ) -> tuple[MaterializationRecord, ...]:
        """Attempts on an asset, newest first, failed and running ones too unless `succeeded_only`.

        Large metadata values are given as {"kind", "blob", "bytes"}: see `blob`.
        """
        with self._database.reading() as connection:
            return readers.read_history(connection, environment, key, limit=limit, succeeded_only=succeeded_only)

    def blob(self, digest: str) -> Any:
        """A large metadata value by the digest that stands in its place; None if there is none."""
        with self._database.reading() as connection:
            return readers.read_blob(connection, digest)

    def metadata_series(self, environment: str, key: str, name: str) -> tuple[tuple[datetime, float], ...]:
        """A number of an asset over time, oldest first: `rows`, `duration_s`, or a metadata number."""
        with self._database.reading() as connection:
            return readers.read_series(connection, environment, key, name)

    def series_names(self, environment: str, key: str) -> tuple[str, ...]:
        """The names that `metadata_series` knows for an asset, sorted."""
        with self._database.reading() as connection:
            return readers.read_series_names(connection, environment, key)

    def sample(self, environment: str, key: str) -> dict[str, Any] | None:
        """The first rows as they were kept last: {"columns": [name], "rows": [[cell]]}; None if they never were."""
        with self._database.reading() as connection:
            found: dict[str, Any] | None = readers.read_newest_value(connection, environment, key, "sample_blob")
            return found

    def compiled_code(self, environment: str, key: str) -> str | None:
        """The code of the newest success that kept it."""
        with self._database.reading() as connection:
            found: str | None = readers.read_newest_value(connection, environment, key, "code_blob")
            return found

    def columns(self, environment: str, key: str) -> tuple[ColumnInfo, ...]:
        """The columns as they were seen after the newest success that looked."""
        with self._database.reading() as connection:
            return readers.read_columns(connection, environment, key)

    def all_columns(self, environment: str) -> dict[str, tuple[tuple[str, str], ...]]:
        """{asset key: ((column, type), …)}, as they were seen after each asset's newest success that looked."""
        with self._database.reading() as connection:
            return readers.read_all_columns(connection, environment)

    def check_history(self, environment: str, check_id: str, *, limit: int = 50) -> tuple[CheckRecord, ...]:
        """The results of a check, newest first."""
        with self._database.reading() as connection:
            return readers.read_checks(connection, environment, check_id, limit=limit)

    def log_lines(self, run_id: str, *, key: str | None = None) -> tuple[LogRecord, ...]:
        """The log of a run (its whole id), oldest first; only of one asset's steps if `key` is given."""
        with self._database.reading() as connection:
            return readers.read_log(connection, run_id, key=key)

    def durations(self, environment: str) -> Mapping[tuple[str, str], float]:
        """{(key, writer): median seconds of its last seven successes}"""
        with self._database.reading() as connection:
            return readers.read_durations(connection, environment)


def _slot(event: StepStarted | StepFinished) -> claims.Slot:
    return claims.build_slot(event.environment, event.key, event.writer, event.partition)


_APPEND = insert(events)
_KNOWN_BLOBS = select(blobs.c.digest).where(blobs.c.digest.in_(bindparam("digests", expanding=True)))


def _keep(connection: Connection, contents: Mapping[str, bytes]) -> None:
    known = set(connection.execute(_KNOWN_BLOBS, {"digests": list(contents)}).scalars())
    rows = [{"digest": digest, "data": data} for digest, data in contents.items() if digest not in known]
    if rows:
        connection.execute(insert(blobs), rows)


def _replay(connection: Connection) -> Iterable[Stored]:
    """All events, oldest first, a thousand at a time."""
    after = 0
    while True:
        query = select(events).where(events.c.seq > after).order_by(events.c.seq).limit(_REPLAYED_AT_ONCE)
        rows = connection.execute(query).all()
        for row in rows:
            payload = unpack_blob(row.payload)
            yield Stored(row.seq, row.kind, row.environment, row.run_id, row.at, payload)
        if len(rows) < _REPLAYED_AT_ONCE:
            return
        after = rows[-1].seq


def _now() -> datetime:
    return datetime.now(timezone.utc)
