"""The client for code elsewhere: what it reads, what it sends, and that it needs nothing but Python."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from orchestrator import external

CONTEXT = {
    "orchestrator": 1,
    "run_id": "1125-1",
    "environment": "prod",
    "key": "raw.flights",
    "attempt": 2,
    "partition": {"key": "2013-02", "start": "2013-02-01T00:00:00+00:00", "end": "2013-03-01T00:00:00+00:00"},
    "resources": {"warehouse": {"schema": "raw"}},
    "parameters": {"station": "EWR"},
    "previous": {"version": "a1", "at": "2013-02-01T06:00:00Z", "rows": 3, "metadata": {"mean": 1.5}},
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "context.json").write_text(json.dumps(CONTEXT), encoding="utf-8")
    return tmp_path


def sent(place: Path) -> list[dict[str, Any]]:
    """The messages in a place, without what differs each time."""
    files = [place / "messages.jsonl", *sorted((place / "messages").glob("*.jsonl"))]
    lines = [line for file in files if file.exists() for line in file.read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in json.loads(line).items() if name not in VARYING} for line in lines]


VARYING = ("orchestrator", "sender", "seq", "at", "host", "pid", "python")


def use(context: external.Context) -> None:
    with context:
        context.rows(3)
        context.metadata["mean"] = 1.5
        context.check("positive", False, severity="warn", failures=2, message="2 are not")


USED = [
    {"type": "opened"},
    {"type": "rows", "rows": 3},
    {"type": "metadata", "name": "mean", "value": 1.5},
    {
        "type": "check",
        "name": "positive",
        "passed": False,
        "severity": "warn",
        "blocking": True,
        "failures": 2,
        "message": "2 are not",
    },
    {"type": "closed", "ok": True},
]


def test_the_context_says_what_is_asked_for(place: Path) -> None:
    context = external.open_context(str(place))
    assert (context.run_id, context.environment, context.key, context.attempt) == ("1125-1", "prod", "raw.flights", 2)
    assert context.partition is not None
    assert (context.partition.key, context.partition.start, context.partition.end) == (
        "2013-02",
        datetime(2013, 2, 1, tzinfo=timezone.utc),
        datetime(2013, 3, 1, tzinfo=timezone.utc),
    )
    assert context.resources["warehouse"]["schema"] == "raw"
    assert context.parameters == {"station": "EWR"}
    assert context.previous is not None
    assert (context.previous.rows, context.previous.metadata["mean"]) == (3, 1.5)
    assert context.previous.at == datetime(2013, 2, 1, 6, tzinfo=timezone.utc)


def test_messages_go_into_a_file(place: Path) -> None:
    use(external.open_context(f"lines={place}"))
    assert sent(place) == USED


def test_messages_go_through_a_pipe(place: Path) -> None:
    reading, writing = os.pipe()
    use(external.open_context(f"pipe={writing},{place}"))
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        assert [json.loads(line)["type"] for line in pipe] == [message["type"] for message in USED]


@pytest.mark.parametrize("prefix", ["store=", "store=file://", "file://", ""])
def test_messages_go_into_a_store_as_numbered_objects(place: Path, prefix: str) -> None:
    use(external.open_context(f"{prefix}{place}"))
    assert sent(place) == USED
    names = [path.name for path in sorted((place / "messages").iterdir())]
    assert [name[:11] for name in names] == ["0000000001-", "0000000002-"]  # the first word at once, the rest together


def test_messages_go_through_a_function_of_the_user(place: Path) -> None:
    def write(name: str, data: bytes) -> None:
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(data)

    use(external.open_context("s3://bucket/x", read=lambda name: (place / name).read_bytes(), write=write))
    assert sent(place) == USED


def test_messages_go_through_fsspec(place: Path) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe_file("/bucket/a1/context.json", json.dumps(CONTEXT).encode())
    use(external.open_context("memory://bucket/a1"))
    lines = b"".join(store.cat_file(path) for path in sorted(store.ls("/bucket/a1/messages", detail=False)))
    assert [json.loads(line)["type"] for line in lines.splitlines()] == [message["type"] for message in USED]


def test_a_store_that_fails_now_and_then_is_tried_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "WRITE_AGAIN_S", (0.0, 0.0))
    calls: list[str] = []

    def write(name: str, data: bytes) -> None:
        calls.append(name)
        if len(calls) % 3:
            raise TimeoutError("slow down")
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(data)

    use(external.open_context(read=lambda name: (place / name).read_bytes(), write=write))
    assert sent(place) == USED


def test_a_store_that_takes_nothing_is_an_error_of_the_job(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "WRITE_AGAIN_S", ())

    def write(name: str, data: bytes) -> None:
        raise PermissionError("denied")

    with pytest.raises(external.ExternalError) as raised:
        use(external.open_context(read=lambda name: (place / name).read_bytes(), write=write))
    assert str(raised.value).partition("/")[0] == "cannot deliver messages"
    assert str(raised.value).endswith(
        ".jsonl: PermissionError: denied\n  fix: check that this process may write to the store"
    )


def test_a_block_that_raises_says_so_and_still_raises(place: Path) -> None:
    with pytest.raises(ValueError, match="no rows"), external.open_context(f"lines={place}"):
        raise ValueError("no rows")
    closed = sent(place)[-1]
    assert (closed["ok"], closed["message"]) == (False, "ValueError: no rows")
    assert closed["traceback"].endswith('    raise ValueError("no rows")\nValueError: no rows')


@pytest.mark.parametrize(("code", "ok"), [(None, True), (0, True), (3, False), ("why", False)])
def test_leaving_by_exit_is_what_its_code_says(place: Path, code: Any, ok: bool) -> None:
    with pytest.raises(SystemExit), external.open_context(f"lines={place}"):
        sys.exit(code)
    assert sent(place)[-1]["ok"] is ok


def test_metadata_is_sent_as_what_it_is(place: Path) -> None:
    import numpy as np

    with external.open_context(f"lines={place}") as context:
        context.metadata.update(
            count=np.int64(3), when=datetime(2013, 2, 1, tzinfo=timezone.utc), nested={"a": (1, {2})}
        )
        context.metadata["said"] = external.markdown("**so**")
        context.metadata["rows"] = external.table([{"day": 1, "late": np.float64(0.5)}])
        context.metadata["picture"] = b"\x89PNG..."
    found = {message["name"]: message for message in sent(place) if message["type"] == "metadata"}
    assert found["count"]["value"] == 3
    assert found["when"]["value"] == "2013-02-01T00:00:00+00:00"
    assert found["nested"]["value"] == {"a": [1, [2]]}
    assert (found["said"]["kind"], found["said"]["value"]) == ("markdown", "**so**")
    assert found["rows"]["value"] == {"columns": ["day", "late"], "rows": [[1, 0.5]]}
    assert found["picture"]["kind"] == "image"


def test_a_check_takes_true_or_false_and_no_number(place: Path) -> None:
    with external.open_context(f"lines={place}") as context, pytest.raises(TypeError) as raised:
        context.check("positive", 3)  # type: ignore[arg-type]
    assert str(raised.value) == "passed is True or False, not 3; give a number of rows as failures="


def test_log_lines_have_levels_and_tracebacks(place: Path) -> None:
    with external.open_context(f"lines={place}") as context:
        context.log.debug("read %d files", 3)
        try:
            raise KeyError("origin")
        except KeyError:
            context.log.exception("skipped")
    lines = [message for message in sent(place) if message["type"] == "log"]
    assert (lines[0]["level"], lines[0]["message"]) == ("debug", "read 3 files")
    assert lines[1]["level"] == "error"
    assert lines[1]["message"].startswith("skipped\nTraceback")


def test_progress_is_sent_now_and_then_and_at_the_end(place: Path) -> None:
    with external.open_context(f"lines={place}") as context:
        for done in range(1, 10_001):
            context.progress(done, 10_000)
    steps = [message["done"] for message in sent(place) if message["type"] == "progress"]
    assert (steps[0], steps[-1]) == (1, 10_000)
    assert len(steps) < 100


def test_forked_children_and_threads_count_for_themselves(place: Path) -> None:
    """Long lines of many processes at once: none is torn, none is lost."""
    script = """
import multiprocessing, sys, threading
sys.path.insert(0, sys.argv[1])
from external import open_context
def work(number):
    for _ in range(50):
        context.log.info("x" * 9000)
with open_context(sys.argv[2]) as context:
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=work, args=(n,)) for n in range(3)]
    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    [each.start() for each in children + threads]
    [each.join() for each in children + threads]
"""
    folder = str(Path(external.__file__).parent)
    subprocess.run([sys.executable, "-I", "-S", "-c", script, folder, f"lines={place}"], check=True)
    messages = [json.loads(line) for line in (place / "messages.jsonl").read_text(encoding="utf-8").splitlines()]
    by_sender: dict[str, list[int]] = {}
    for message in messages:
        by_sender.setdefault(message["sender"], []).append(message["seq"])
    assert sorted(len(numbers) for numbers in by_sender.values()) == [50, 50, 50, 152]
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_sender.values())


def test_by_hand_it_prints_what_it_would_report(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORCHESTRATOR_EXTERNAL", raising=False)
    with external.open_context() as context:
        context.rows(3)
        context.log.warning("slow")
    assert (context.run_id, context.partition, context.resources) == ("", None, {})
    assert capsys.readouterr().err == "rows: rows=3\nwarning: slow\n"


def make_unreadable(place: Path) -> None:
    (place / "context.json").unlink()


def make_newer(place: Path) -> None:
    (place / "context.json").write_text(json.dumps({**CONTEXT, "orchestrator": 2}), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (
            make_unreadable,
            "cannot read the context: FileNotFoundError: [Errno 2] No such file or directory: '{place}/context.json'\n"
            "  fix: hand on ORCHESTRATOR_EXTERNAL as the orchestrator gave it, and let this process read there",
        ),
        (
            make_newer,
            "the context is of version 2, and this client reads version 1\n"
            "  fix: copy external.py of the orchestrator that started this job beside it",
        ),
    ],
)
def test_a_context_that_cannot_be_used(place: Path, spoil: Callable[[Path], None], text: str) -> None:
    spoil(place)
    with pytest.raises(external.ExternalError) as raised:
        external.open_context(str(place))
    assert str(raised.value) == text.replace("{place}", str(place))


def test_a_store_that_needs_fsspec_says_so_where_there_is_none() -> None:
    code = "import external; external.open_context('s3://bucket/a1')"
    folder = Path(external.__file__).parent
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-2:] == [
        "external.ExternalError: s3://bucket/a1 is no directory, and fsspec is not installed here",
        "  fix: install fsspec and its package for this store, or pass read= and write= to open_context()",
    ]


def test_it_works_with_the_package_and_nothing_else_installed(tmp_path: Path) -> None:
    (tmp_path / "orchestrator").symlink_to(Path(external.__file__).parent)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import orchestrator.external as e; print(e.VERSION)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_the_file_is_python_3_8_and_imports_the_standard_library_only() -> None:
    tree = ast.parse(Path(external.__file__).read_text(encoding="utf-8"), feature_version=(3, 8))
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name) or "."
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    outside = {name for name in imported if name.split(".")[0] not in sys.stdlib_module_names}
    assert outside == {"fsspec"}  # inside a try, where a store needs it
