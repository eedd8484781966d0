"""`python -m orchestrator.execution.child`: calls one function of a project for a process of another Python.

The first line on stdin says which, and with what context. The answers go to stdout, a line of JSON each; what the
function prints goes to stderr. The warehouse stays where the run is: rows are asked for, and come as Arrow files.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from orchestrator.definitions.assets import DbtReference, GraphReference, PythonAction, PythonAsset, PythonCheck, Table
from orchestrator.definitions.context import Context, Previous
from orchestrator.definitions.events import Materialization
from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import ExecutionError, OrchestratorError, ResourceError
from orchestrator.execution.python_steps import call_with_context, verdict_of
from orchestrator.loaders.describe import read_project


class _Parent(logging.Handler):
    """The process that called: also where log lines go."""

    def __init__(self, out: TextIO, directory: Path, project: str) -> None:
        super().__init__()
        self.out, self.directory, self.project = out, directory, project
        self.asked = 0

    def say(self, word: str, **more: Any) -> None:
        self.out.write(json.dumps({"say": word, **more}) + "\n")
        self.out.flush()

    def emit(self, record: logging.LogRecord) -> None:
        self.say("log", level=record.levelno, message=record.getMessage())

    # The `Session` of the context

    def read(self, reference: Any, *, columns: Sequence[str] | None) -> Any:
        """Rows that the run reads for us."""
        import pyarrow as pa

        self.asked += 1
        self.say(
            "read", reference=self._named(reference), columns=list(columns) if columns else None, number=self.asked
        )
        answer = json.loads(sys.stdin.readline())
        if (error := answer.get("error")) is not None:
            raise ResourceError(error["what"], at=error["at"], fix=error["fix"])
        with pa.OSFile(answer["rows"], "rb") as source:
            return pa.ipc.open_file(source).read_all()

    def _named(self, reference: Any) -> list[str]:
        match reference:
            case DbtReference():
                return ["dbt", reference.kind, reference.name]
            case GraphReference():
                return ["graph", reference.project, reference.name]
            case PythonAsset():
                return ["graph", self.project, str(reference.key)]
            case Table():
                return ["table", reference.name]
        raise ResourceError(f"{reference!r} is no asset")

    def connection(self, resource: Any) -> Any:
        """Not from here."""
        raise ResourceError(
            "the warehouse is open in another process: this project has a virtual environment of its own",
            fix="read with asset.read(context), and return a frame",
        )

    def execute(self, resource: Any, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Not from here."""
        return list(self.connection(resource))

    def run_elsewhere(self, work: Any, context: Context, **how: Any) -> Materialization:
        """Not from here."""
        raise ExecutionError("work cannot be handed on from a project with a virtual environment of its own")


def main(out: TextIO) -> int:
    """One call."""
    request = json.loads(sys.stdin.readline())
    parent = _Parent(out, Path(request["directory"]), request["project"])
    try:
        definition = read_project(request).definitions.get(request["id"])
        if definition is None:
            raise ExecutionError(f"'{request['id']}' is not there any more", fix="run again")
        context = _context(request["context"], parent)
        if isinstance(definition, PythonCheck):
            parent.say("done", metadata={}, verdict=list(verdict_of(definition, context)))
            return 0
        returned = call_with_context(definition, context)
        _hand_over(parent, definition, returned, context)
    except BaseException as exc:  # noqa: BLE001  the user's code: told to the process that called
        what = exc.what if isinstance(exc, OrchestratorError) else f"{type(exc).__name__}: {exc}"
        fix = exc.fix if isinstance(exc, OrchestratorError) else None
        frames = [item for item in traceback.extract_tb(exc.__traceback__) if item.filename.startswith(request["root"])]
        parent.say("failed", what=what, fix=fix, traceback="".join(traceback.format_list(frames)).rstrip() or None)
        return 1
    return 0


def _context(said: dict[str, Any], parent: _Parent) -> Context:
    log = logging.Logger("orchestrator.step", level=logging.DEBUG)
    log.addHandler(parent)
    previous = said["previous"]
    return Context(
        run_id=said["run_id"],
        environment=said["environment"],
        key=AssetKey.parse(said["key"]),
        session=parent,
        partition=said["partition"],
        attempt=said["attempt"],
        previous=Previous(**previous) if previous is not None else None,
        log=log,
    )


def _hand_over(parent: _Parent, definition: Any, returned: Any, context: Context) -> None:
    import pyarrow as pa

    from orchestrator.resources.frames import as_arrow

    metadata = {str(name): value for name, value in context.metadata.items()}
    json.dumps(metadata)  # what is no JSON fails here, with the name of its type
    if isinstance(definition, PythonAction) or returned is None:
        parent.say("done", metadata=metadata, rows=None)
        return
    if isinstance(returned, Materialization):
        parent.say("done", metadata=metadata, stored={"rows": returned.rows})
        return
    table, file = as_arrow(returned), parent.directory / "result.arrow"
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    parent.say("done", metadata=metadata, rows=str(file))


if __name__ == "__main__":
    # stdout is the way back; what the user's code prints must not get into it.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.exit(main(answers))
