"""Python code of a project that has a virtual environment of its own: read there, and called there.

A child process of that Python imports the modules and writes down what it found (`orchestrator.loaders.describe`). Each
step or check is another one (`orchestrator.execution.child`): it gets the context as JSON, and frames go either way as
Arrow files. The child opens no warehouse; what it reads comes from the run.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.definitions.assets import (
    DbtReference,
    GraphReference,
    PythonAction,
    PythonAsset,
    PythonCheck,
    Retry,
    Table,
)
from orchestrator.definitions.context import Context
from orchestrator.definitions.keys import AssetKey, Location, Relation
from orchestrator.definitions.resources import Resource
from orchestrator.definitions.slots import Slot
from orchestrator.errors import DefinitionError, ExternalWorkError, OrchestratorError, PythonModuleError
from orchestrator.graph.model import Asset, Check, Writer
from orchestrator.loaders.fragments import DraftAsset, DraftCheck, Fragment
from orchestrator.loaders.python_modules import PythonProject

PROTOCOL = 1
DESCRIBE_TIMEOUT_S = 120
STDERR_SHOWN = 2_000
Place = tuple[str, int]


class Described(msgspec.Struct, kw_only=True):
    """One definition, as the child found it. Standard JSON values only."""

    id: str
    kind: str
    """asset, action, check, or `table` for one that is only read."""
    name: str
    module: str = ""
    file: str = ""
    location: Place = ("", 1)
    description: str = ""
    key: str = ""
    aliases: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    group: str | None = None
    owners: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    relation: tuple[str, str, str] | None = None
    table: str = ""
    reads: tuple[str, ...] = ()
    places: dict[str, Place] = {}
    code_version: str | None = None
    raw_code: str | None = None
    retry: tuple[int, float] = (0, 10.0)
    timeout_s: float | None = None
    mode: str = "insert"
    slot: tuple[str, tuple[tuple[str, tuple[Any, ...]], ...]] | None = None
    same_as: str | None = None
    takes_rows: bool = False
    severity: str = "error"
    blocking: bool = True
    target: str = ""


class Wrong(msgspec.Struct):
    kind: str
    what: str
    at: str | None = None
    fix: str | None = None


class Description(msgspec.Struct, kw_only=True):
    """All that the child found."""

    protocol: int
    definitions: tuple[Described, ...] = ()
    errors: tuple[Wrong, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OtherPython:
    """The interpreter of a project, and what it needs to know to find the code."""

    interpreter: Path
    root: Path
    project: str
    packages: tuple[str, ...]
    shown_from: Path
    private: bool

    def request(self, **more: Any) -> dict[str, Any]:
        """What the child is told first."""
        return {
            "root": str(self.root),
            "project": self.project,
            "packages": list(self.packages),
            "shown_from": str(self.shown_from),
            "private": self.private,
            **more,
        }


def load_other_python(python: OtherPython, *, database: str, kinds: Sequence[str], at: str | None) -> PythonProject:
    """What `load_python_project` gives, found by another interpreter. Errors are in the fragment, none is raised."""
    if not python.packages:
        return PythonProject(Fragment(), {})
    request = python.request(database=database, kinds=list(kinds))
    done: subprocess.CompletedProcess[str] | None = None
    try:
        done = subprocess.run(
            [str(python.interpreter), "-m", "orchestrator.loaders.describe"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=DESCRIBE_TIMEOUT_S,
            cwd=python.root,
            check=False,
        )
        found = msgspec.json.decode(done.stdout.rpartition("\x1e")[2], type=Description)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return _unusable(python, str(exc), at)
    except msgspec.DecodeError:
        said = _last_words(done.stderr) or f"it ended with {done.returncode}" if done is not None else ""
        return _unusable(python, said, at)
    if found.protocol != PROTOCOL:
        return _unusable(python, "its dbt-orchestrator is of another version than this one", at)
    return _project(python, found)


def _unusable(python: OtherPython, said: str, at: str | None) -> PythonProject:
    missing = "No module named 'orchestrator" in said or "No module named orchestrator" in said
    what = (
        f"the Python of project '{python.project}' has no dbt-orchestrator"
        if missing
        else (f"the Python of project '{python.project}' cannot read its definitions: {said}")
    )
    error = PythonModuleError(
        what, at=at, fix=f"{python.interpreter} -m pip install dbt-orchestrator, in the version that is installed here"
    )
    return PythonProject(Fragment(errors=(error,)), {})


def _last_words(stderr: str) -> str:
    lines = [line for line in stderr.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


# From the description to drafts and definitions


def _project(python: OtherPython, found: Description) -> PythonProject:
    definitions: dict[str, Any] = {}
    assets: list[DraftAsset] = []
    checks: list[DraftCheck] = []
    for item in found.definitions:
        if item.kind == "check":
            checks.append(_check(item))
        else:
            assets.append(_asset(python, item))
        if item.kind != "table":
            definitions[item.id] = _definition(python, item)
    fragment = Fragment(
        assets=tuple(assets),
        checks=tuple(checks),
        errors=tuple(_error(wrong) for wrong in found.errors),
        warnings=found.warnings,
    )
    return PythonProject(fragment, definitions)


def _error(wrong: Wrong) -> OrchestratorError:
    kind = PythonModuleError if wrong.kind == "PythonModuleError" else DefinitionError
    return kind(wrong.what, at=wrong.at, fix=wrong.fix)


def _asset(python: OtherPython, item: Described) -> DraftAsset:
    key, place = AssetKey.parse(item.key), Location(*item.location)
    writer = Writer(
        id=item.id,
        engine="python",
        name=item.name,
        strategy="python" if item.kind == "asset" else "action",
        location=place,
        code_version=item.code_version,
        raw_code=item.raw_code,
        retry=Retry(*item.retry),
        slot=_slot(item),
        mode="update" if item.mode == "update" else "insert",
    )
    asset = Asset(
        key=key,
        name=key.name,
        project=python.project,
        location=place,
        kind="action" if item.kind == "action" else "asset",
        aliases=item.aliases,
        kinds=item.kinds,
        group=item.group,
        owners=item.owners,
        tags=item.tags,
        description=item.description,
        relation=Relation(*item.relation) if item.relation is not None else None,
        writers=(writer,) if item.kind != "table" else (),
    )
    return DraftAsset(
        item.id,
        asset,
        frozenset(item.reads),
        explicit_key=key if item.kind != "table" and item.same_as is None else None,
        same_as=item.same_as,
        places={id_: Location(*where) for id_, where in item.places.items()},
    )


def _slot(item: Described) -> Slot | None:
    return Slot(item.slot[0], item.slot[1]) if item.slot is not None else None


def _check(item: Described) -> DraftCheck:
    check = Check(
        id=item.id,
        name=item.name,
        kind="python",
        key=AssetKey("", ""),
        reads=frozenset(),
        severity="warn" if item.severity == "warn" else "error",
        blocking=item.blocking,
        location=Location(*item.location),
        description=item.description,
        code_version=item.code_version,
    )
    return DraftCheck(check, item.target, frozenset((*item.reads, item.target)))


def _definition(python: OtherPython, item: Described) -> PythonAsset[..., Any] | PythonAction[..., Any] | Any:
    common: dict[str, Any] = {
        "name": item.name,
        "description": item.description,
        "module": item.module,
        "file": item.file,
        "line": item.location[1],
        "timeout_s": item.timeout_s,
    }
    call = _Call(python, item.id)
    if item.kind == "check":
        # What it is on is known to the graph; the child reads the rows by its own object.
        return PythonCheck(fn=call.check, asset=Table(Resource(), item.target), **common)
    more: dict[str, Any] = {"retry": Retry(*item.retry), "owners": item.owners, "tags": item.tags}
    key = AssetKey.parse(item.key)
    if item.kind == "action":
        return PythonAction(fn=call, key=key, **more, **common)
    more["mode"] = "update" if item.mode == "update" else "insert"
    return PythonAsset(fn=call, key=key, table=Table(Resource(), item.table), slot=_slot(item), **more, **common)


# One call


@dataclass(frozen=True, slots=True)
class _Call:
    """A function of the other project, called in a process of its own."""

    python: OtherPython
    id: str

    def __call__(self, context: Context) -> Any:
        """The frame that it returned; metadata and log lines go to the context. Raises ExternalWorkError."""
        return self.run(context)

    def check(self, context: Context) -> Any:
        """(passed, message), or the number of failing rows."""
        passed, failures, message = self.run(context)
        return failures if failures is not None else (passed, message)

    def run(self, context: Context) -> Any:
        with tempfile.TemporaryDirectory(prefix="orchestrator-") as directory:
            process = subprocess.Popen(
                [str(self.python.interpreter), "-m", "orchestrator.execution.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=(stderr := (Path(directory) / "stderr").open("wb")),
                text=True,
                cwd=self.python.root,
            )
            with stderr, process:
                on_stop: Callable[[Callable[[], None]], None] | None = getattr(context.session, "on_stop", None)
                if on_stop is not None:
                    on_stop(process.kill)
                try:
                    return self._talk(process, context, Path(directory))
                finally:
                    process.kill()

    def _talk(self, process: subprocess.Popen[str], context: Context, directory: Path) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        previous = context.previous
        request = self.python.request(
            protocol=PROTOCOL,
            id=self.id,
            directory=str(directory),
            context={
                "run_id": context.run_id,
                "environment": context.environment,
                "key": str(context.key),
                "partition": context.partition,
                "attempt": context.attempt,
                "previous": None
                if previous is None
                else {"version": previous.version, "at": str(previous.at), "rows": previous.rows},
            },
        )
        _send(process, request)
        for line in process.stdout:
            said = json.loads(line)
            match said.get("say"):
                case "read":
                    _send(process, self._read(context, said, directory))
                case "log":
                    context.log.log(said["level"], said["message"])
                case "done":
                    context.metadata.update(said["metadata"])
                    return _returned(said)
                case "failed":
                    raise ExternalWorkError(said["what"], fix=said.get("fix"), traceback=said.get("traceback"))
        process.wait()
        tail = (directory / "stderr").read_text(encoding="utf-8", errors="replace")[-STDERR_SHOWN:].strip()
        raise ExternalWorkError(
            f"the Python of project '{self.python.project}' ended with {process.returncode} and no result",
            traceback=tail or None,
        )

    def _read(self, context: Context, said: Mapping[str, Any], directory: Path) -> dict[str, Any]:
        """Rows for the child, as an Arrow file."""
        import pyarrow as pa

        try:
            table = context.read(reference_of(said["reference"]), columns=said["columns"])
            file = directory / f"read-{said['number']}.arrow"
            with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
        except OrchestratorError as exc:
            return {"error": {"what": exc.what, "at": exc.at, "fix": exc.fix}}
        return {"rows": str(file)}


def _send(process: subprocess.Popen[str], message: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended; what it said last tells why
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()


def _returned(said: Mapping[str, Any]) -> Any:
    if said.get("verdict") is not None:
        return tuple(said["verdict"])
    if said.get("stored") is not None:
        from orchestrator.definitions.events import Materialization

        return Materialization(rows=said["stored"].get("rows"))
    if said.get("rows") is None:
        return None
    import pyarrow as pa

    with pa.OSFile(said["rows"], "rb") as source:
        return pa.ipc.open_file(source).read_all()


def reference_of(named: Sequence[str]) -> Any:
    """The object that a child's word for it means here."""
    match named:
        case ["dbt", ("model" | "source") as kind, name]:
            return DbtReference(kind, name)
        case ["graph", project, name]:
            return GraphReference(project, name)
        case [_, name]:
            return Table(Resource(), name)
    raise ExternalWorkError(f"{named!r} names nothing")


__all__ = ["PROTOCOL", "Described", "Description", "OtherPython", "Wrong", "load_other_python", "reference_of"]
