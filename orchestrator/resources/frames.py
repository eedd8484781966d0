"""Frames of every kind, as Arrow: what users' functions return, one batch after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.errors import ExecutionError

TAKEN = "a pyarrow.Table, a pandas or polars DataFrame, a DuckDB relation, a list of dicts, or a generator of these"


def batches(frame: Any) -> Iterator[Any]:
    """The rows of `frame` as pyarrow.Tables, each at most as large as what was handed over at once.

    Taken: what `as_arrow` takes, pyarrow.RecordBatchReader, and iterators of frames. Raises ExecutionError.
    """
    import pyarrow as pa

    if isinstance(frame, pa.RecordBatchReader):
        yield frame.schema.empty_table()  # the columns of a reader without rows are known all the same
        for batch in frame:
            yield pa.Table.from_batches([batch])
    elif isinstance(frame, Iterator):
        for number, item in enumerate(frame, start=1):
            yield as_arrow(item, what=f"batch {number} of the function's generator is")
    else:
        yield as_arrow(frame)


def as_arrow(frame: Any, *, what: str = "the function returned") -> Any:
    """A pyarrow.Table of a frame. Raises ExecutionError for anything that is none.

    Taken: pyarrow.Table and RecordBatch, pandas and polars frames, DuckDB relations, lists of dicts.
    """
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    kind = f"{type(frame).__module__}.{type(frame).__name__}"
    if kind.startswith("pandas.") and kind.endswith(".DataFrame"):
        return pa.Table.from_pandas(frame, preserve_index=False)
    for method in ("to_arrow_table", "to_arrow", "arrow"):  # DuckDB relations, polars
        if callable(convert := getattr(frame, method, None)):
            table = convert()
            return table if isinstance(table, pa.Table) else table.read_all()
    if isinstance(frame, list) and all(isinstance(row, dict) for row in frame):
        return pa.Table.from_pylist(frame)
    raise ExecutionError(
        f"{what} {'nothing' if frame is None else 'a ' + type(frame).__name__}, not a frame",
        fix=f"return {TAKEN}",
    )
