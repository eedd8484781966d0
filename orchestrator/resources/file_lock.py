"""One writer process for a DuckDB file: a lock beside the file, and a note of who holds it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.errors import ResourceLockedError

POLL_S = 0.2
SAY_AFTER_S = 0.5


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the file."""

    run_id: str
    command: str
    pid: int

    def __str__(self) -> str:
        return f"run {self.run_id} (`{self.command}`, PID {self.pid})"


@contextmanager
def writer_lock(
    path: Path, *, run_id: str, timeout_s: float, on_wait: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """Hold the only right to write the database file at `path`.

    Waits up to `timeout_s` seconds, telling `on_wait` once who holds it, then raises ResourceLockedError.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock, note = FileLock(f"{path}.lock"), Path(f"{path}.holder")
    started, said = time.monotonic(), False
    while True:
        try:
            lock.acquire(timeout=POLL_S, poll_interval=0.05)
            break
        except Timeout:
            waited = time.monotonic() - started
            holder = read_holder(path)
            if waited >= timeout_s:
                raise _locked(path, holder, waited) from None
            if not said and waited >= SAY_AFTER_S:
                on_wait(f"waiting for {path.name}: held by {holder or 'another process'} (up to {timeout_s:g} s)")
                said = True
    try:
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
        note.write_text(json.dumps(asdict(Holder(run_id, command, os.getpid()))), encoding="utf-8")
        yield
    finally:
        # Nothing stays beside the user's file. A waiter that has opened this lock file sees that it is gone and opens
        # the next one; DuckDB's own lock stands behind all this.
        with contextlib.suppress(OSError):
            note.unlink(missing_ok=True)
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def read_holder(path: Path) -> Holder | None:
    """Who wrote that it holds the file at `path`; None if nobody did."""
    try:
        return Holder(**json.loads(Path(f"{path}.holder").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _locked(path: Path, holder: Holder | None, waited: float) -> ResourceLockedError:
    return ResourceLockedError(
        f"{path.name} is held by {holder or 'another process'}; waited {waited:.0f} s",
        at=str(path),
        fix="wait for that run, or stop it; ORCHESTRATOR_LOCK_TIMEOUT_S sets how long to wait",
    )
