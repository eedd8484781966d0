"""For code that runs elsewhere: another virtual environment, a container, a Spark driver, a pod.

    from orchestrator.external import open_context

    with open_context() as context:
        load(context.partition.start, context.resources["warehouse"]["schema"])
        context.metadata["mean_delay"] = 12.5
        context.check("no_negative_delay", worst >= 0)
        context.rows(1200)

One file, standard library only, Python 3.8 or newer, nothing else of orchestrator: where orchestrator is not installed,
copy it beside your code as `orchestrator_external.py` and import it by that name. Leaving the block says how it ended.
Run by hand, without an orchestrator around, the same code works and prints to stderr what it would have reported.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import socket
import sys
import threading
import time
import traceback
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # annotations only: Python 3.8 could not evaluate them
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Write = Callable[[str, bytes], Any]
    Read = Callable[[str], bytes]
    Values = dict[str, Any]
else:
    Values = dict

VERSION = 1
"""Of the context and the messages. A newer orchestrator reads older messages."""
PLACE_VARIABLE = "ORCHESTRATOR_EXTERNAL"
"""The environment variable that says where the context is and where messages go."""
CONTEXT_FILE = "context.json"
MESSAGES_FILE = "messages.jsonl"
MESSAGES_FOLDER = "messages"
FLUSH_S = 1.0
PROGRESS_S = 0.5
WRITE_AGAIN_S = (0.5, 2.0, 5.0)


class ExternalError(RuntimeError):
    """The context cannot be read, or a message cannot be delivered."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what + "\n  fix: " + fix)


class Partition:
    """The partition to write: its `key`, and where it has a time `start` (included) and `end` (excluded)."""

    def __init__(self, key: str, start: str | None = None, end: str | None = None, **more: Any) -> None:
        self.key = key
        self.start = _time(start)
        self.end = _time(end)

    def __repr__(self) -> str:
        return f"Partition({self.key!r})"


class Previous:
    """The last successful materialization: `version`, `at` (a datetime), `rows`, `metadata` (its values)."""

    def __init__(self, version: str, at: str | None, rows: int | None, metadata: Values) -> None:
        self.version = version
        self.at = _time(at)
        self.rows = rows
        self.metadata = metadata


class Context:
    """What is asked for, and the way back. Open it with `open_context`, use it in a `with` block."""

    def __init__(self, data: Mapping[str, Any], channel: _Channel) -> None:
        self.run_id = str(data.get("run_id", ""))
        self.environment = str(data.get("environment", ""))
        self.key = str(data.get("key", ""))
        """The key of the asset (or action) that is being written."""
        self.attempt = int(data.get("attempt", 1))
        self.partition = Partition(**data["partition"]) if data.get("partition") else None
        self.resources: Values = dict(data.get("resources") or {})
        """{name: its description}: where things are and which variables hold their secrets, never the secrets."""
        self.parameters: Values = dict(data.get("parameters") or {})
        previous = data.get("previous")
        self.previous = Previous(**previous) if previous else None
        self.metadata: Values = _Metadata(self._send)
        """`context.metadata["mean_delay"] = 12.5`: numbers, text, lists, dicts, PNG bytes, `table(…)` and the like."""
        self.log = logging.Logger("orchestrator.external", level=logging.DEBUG)
        self.log.addHandler(_LogHandler(self._send))
        self._channel = channel
        self._progress_at = 0.0

    def __enter__(self) -> Context:
        python = ".".join(map(str, sys.version_info[:3]))
        self._send("opened", python=python, host=socket.gethostname(), pid=os.getpid())
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            self._send("closed", ok=True)
        else:
            text = "".join(traceback.format_exception(kind, error, trace)).rstrip()
            self._send("closed", ok=False, message=_message(error), traceback=text)
        self._channel.close()

    def rows(self, count: int) -> None:
        """How many rows the asset (partition) has now. The last word counts."""
        self._send("rows", rows=int(count))

    def check(
        self,
        name: str,
        passed: bool,
        *,
        severity: str = "error",
        blocking: bool = True,
        failures: int | None = None,
        message: str = "",
    ) -> None:
        """The result of an assertion on the asset. One that fails, is `blocking` and no mere "warn" fails the step."""
        if type(passed).__name__ not in ("bool", "bool_"):  # numpy's own too
            raise TypeError(f"passed is True or False, not {passed!r}; give a number of rows as failures=")
        if severity not in ("error", "warn"):
            raise ValueError(f"a check's severity is 'error' or 'warn', not {severity!r}")
        found = {"failures": None if failures is None else int(failures), "message": str(message)}
        self._send("check", name=str(name), passed=bool(passed), severity=severity, blocking=bool(blocking), **found)

    def progress(self, done: float, total: float | None = None) -> None:
        """How far it is; shown while it runs. At most twice a second are sent, and the last one."""
        now = time.monotonic()
        if now - self._progress_at >= PROGRESS_S or done == total:
            self._progress_at = now
            self._send("progress", done=_plain(done), total=_plain(total))

    def _send(self, type: str, **values: Any) -> None:  # noqa: A002  as the message has it
        self._channel.send({"type": type, **values})


def open_context(place: str | None = None, *, read: Read | None = None, write: Write | None = None) -> Context:
    """The context of the step that started this process.

    `place` is what the orchestrator handed over: by default the environment variable ORCHESTRATOR_EXTERNAL; pass it
    where variables cannot be set, for example from a job's parameters. A store is reached as a directory, or through
    fsspec where that is installed, or through `read(name) -> bytes` and `write(name, data)`, which get names relative
    to it. Raises ExternalError.
    """
    place = place or os.environ.get(PLACE_VARIABLE) or ""
    if not place and read is None:
        return Context({}, _Channel(_print_out))
    kind, _, rest = place.partition("=")
    if kind == "pipe":
        number, _, folder = rest.partition(",")
        return Context(_context(_directory_reader(folder)), _Channel(_appender(int(number), Path(folder))))
    if kind == "lines":
        folder_path = Path(rest)
        descriptor = os.open(str(folder_path / MESSAGES_FILE), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return Context(_context(_directory_reader(rest)), _Channel(_appender(descriptor, folder_path)))
    url = rest if kind == "store" else place
    if read is None or write is None:
        found_read, found_write = _store(url)
        read, write = read or found_read, write or found_write
    return Context(_context(read), _Batches(write))


def markdown(text: str) -> Values:
    """Markdown as a metadata value."""
    return {"kind": "markdown", "value": str(text)}


def table(rows: Sequence[Mapping[str, Any]]) -> Values:
    """A small table as a metadata value, from a list of dicts; at most 200 rows are kept."""
    columns = list(rows[0]) if rows else []
    cells = [[_plain(row.get(column)) for column in columns] for row in rows[:200]]
    return {"kind": "table", "value": {"columns": columns, "rows": cells}}


def image(data: bytes, mime: str = "image/png") -> Values:
    """A picture as a metadata value, at most 2 MB."""
    return {"kind": "image", "value": {"mime": mime, "base64": base64.b64encode(data).decode("ascii")}}


class _Metadata(Values):
    """A dict that reports what is put into it."""

    def __init__(self, send: Callable[..., None]) -> None:
        super().__init__()
        self._report = send

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self._report("metadata", name=str(name), **_typed(value))

    def update(self, *args: Any, **values: Any) -> None:
        for name, value in dict(*args, **values).items():
            self[name] = value

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]


class _LogHandler(logging.Handler):
    def __init__(self, send: Callable[..., None]) -> None:
        super().__init__()
        self._report = send

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else record.levelname.lower()
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        self._report("log", level=level, message=text)


class _Channel:
    """Numbers the messages of one process and hands their lines on. Threads and forked children may share it."""

    def __init__(self, deliver: Callable[[bytes], None]) -> None:
        self._deliver = deliver
        self._forked = False
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._guard = threading.RLock()
        self._sender = uuid.uuid4().hex[:12]
        self._count = 0

    def send(self, message: Values) -> None:
        """Deliver one message."""
        if os.getpid() != self._process:  # a forked child counts for itself
            self._begin()
            self._forked = True
        with self._guard:
            self._count += 1
            at = datetime.now(timezone.utc).isoformat()
            head = {"orchestrator": VERSION, "sender": self._sender, "seq": self._count, "at": at}
            self._deliver(json.dumps({**head, **message}, default=_plain).encode("ascii") + b"\n")

    def close(self) -> None:
        """Deliver what is still kept."""


class _Batches(_Channel):
    """Messages of about a second together become one object of the store: `messages/0000000001-<sender>.jsonl`."""

    def __init__(self, write: Write) -> None:
        self._write = write
        super().__init__(self._keep)

    def _begin(self) -> None:
        super()._begin()
        self._kept: list[bytes] = []
        self._objects = 0
        self._failure: Exception | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def _keep(self, line: bytes) -> None:
        if self._failure is not None:
            raise self._failure
        self._kept.append(line)
        if self._forked:  # it may end without a word: nothing is kept back
            self._flush()
        elif self._objects == 0:  # the first word goes out at once: somebody waits for a sign of life
            self._flush()
            self._thread = threading.Thread(target=self._flush_now_and_then, name="orchestrator-external", daemon=True)
            self._thread.start()

    def _flush_now_and_then(self) -> None:
        while not self._closing.wait(FLUSH_S):
            try:
                self._flush()
            except Exception as exc:  # noqa: BLE001  raised where the next message is sent
                self._failure = exc
                return

    def _flush(self) -> None:
        with self._guard:
            if not self._kept:
                return
            self._objects += 1
            name = f"{MESSAGES_FOLDER}/{self._objects:010d}-{self._sender}.jsonl"
            _persistently(self._write, name, b"".join(self._kept))
            self._kept.clear()

    def close(self) -> None:
        self._closing.set()
        if self._failure is not None:
            raise self._failure
        self._flush()


def _persistently(write: Write, name: str, data: bytes) -> None:
    """Write an object; a store that fails is tried again some times."""
    for delay in (*WRITE_AGAIN_S, None):
        try:
            write(name, data)
            return
        except Exception as exc:
            if delay is None:
                raise ExternalError(
                    f"cannot deliver {name}: {_message(exc)}",
                    "check that this process may write to the store",
                ) from exc
            time.sleep(delay)


def _appender(descriptor: int, folder: Path) -> Callable[[bytes], None]:
    """Lines on a file or pipe that several processes may write to; never torn, also where they are long."""

    def deliver(line: bytes) -> None:
        with _locked(folder / CONTEXT_FILE):
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(descriptor, rest) :]

    return deliver


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl

    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _print_out(line: bytes) -> None:
    message = json.loads(line)
    for name in ("orchestrator", "sender", "seq", "at"):
        message.pop(name)
    kind = message.pop("type")
    if kind == "log":
        sys.stderr.write(f"{message['level']}: {message['message']}\n")
    elif kind not in ("opened", "closed"):
        sys.stderr.write(f"{kind}: {', '.join(f'{name}={value!r}' for name, value in message.items())}\n")


def _context(read: Read) -> Mapping[str, Any]:
    try:
        data = json.loads(read(CONTEXT_FILE))
        version = data["orchestrator"]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ExternalError(
            f"cannot read the context: {_message(exc)}",
            f"hand on {PLACE_VARIABLE} as the orchestrator gave it, and let this process read there",
        ) from exc
    if version != VERSION:
        raise ExternalError(
            f"the context is of version {version}, and this client reads version {VERSION}",
            "copy external.py of the orchestrator that started this job beside it",
        )
    found: Mapping[str, Any] = data
    return found


def _directory_reader(folder: str) -> Read:
    return lambda name: (Path(folder) / name).read_bytes()


def _store(url: str) -> tuple[Read, Write]:
    """How to read from and write to a directory, or anything that fsspec knows."""
    if "://" not in url or url.startswith("file://"):
        folder = Path(url[len("file://") :] if url.startswith("file://") else url)
        return _directory_reader(str(folder)), lambda name, data: _write_file(folder / name, data)
    try:
        import fsspec
    except ImportError:
        raise ExternalError(
            f"{url} is no directory, and fsspec is not installed here",
            "install fsspec and its package for this store, or pass read= and write= to open_context()",
        ) from None
    system, root = fsspec.core.url_to_fs(url)
    return (
        lambda name: bytes(system.cat_file(root + "/" + name)),
        lambda name, data: system.pipe_file(root + "/" + name, data),
    )


def _write_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")  # a reader must not see half of it
    unfinished.write_bytes(data)
    unfinished.replace(path)


def _typed(value: Any) -> Values:
    if isinstance(value, dict) and set(value) == {"kind", "value"}:
        return value
    if isinstance(value, bytes):
        return image(value) if value.startswith(b"\x89PNG") else {"value": repr(value)[:1000]}
    return {"value": _plain(value)}


def _plain(value: Any) -> Any:
    """The JSON value for anything: numpy scalars as numbers, what json does not know as text."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "size", 1) == 1:
        return item()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))


def _message(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
