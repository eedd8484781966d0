"""Frames of every kind become Arrow, and what is none is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from orchestrator.errors import ExecutionError
from orchestrator.resources.frames import as_arrow, batches


def polars_like(frame: Any) -> Any:
    class Frame:
        def to_arrow(self) -> Any:
            return frame

    return Frame()


@pytest.mark.parametrize(
    "make",
    [
        lambda pa, pd: pa.table({"id": [1]}),
        lambda pa, pd: pa.table({"id": [1]}).to_batches()[0],
        lambda pa, pd: pd.DataFrame({"id": [1]}, index=[9]),
        lambda pa, pd: duckdb.sql("select 1::bigint as id"),
        lambda pa, pd: polars_like(pa.table({"id": [1]})),
        lambda pa, pd: [{"id": 1}],
    ],
    ids=["arrow", "batch", "pandas", "duckdb", "polars", "dicts"],
)
def test_frames_of_all_kinds_are_taken(make: Callable[[Any, Any], Any]) -> None:
    import pandas as pd
    import pyarrow as pa

    assert as_arrow(make(pa, pd)).to_pylist() == [{"id": 1}]


@pytest.mark.parametrize(("value", "shown"), [(None, "nothing"), (7, "a int"), ({"id": 1}, "a dict")])
def test_what_is_no_frame_is_refused(value: Any, shown: str) -> None:
    with pytest.raises(ExecutionError) as raised:
        as_arrow(value)
    assert str(raised.value) == (
        f"ExecutionError: the function returned {shown}, not a frame\n"
        "  fix: return a pyarrow.Table, a pandas or polars DataFrame, a DuckDB relation, a list of dicts, or a "
        "generator of these"
    )


def test_batches_come_one_after_the_other() -> None:
    import pyarrow as pa

    asked: list[int] = []

    def numbers() -> Any:
        for number in (1, 2):
            asked.append(number)
            yield [{"id": number}]

    taken = batches(numbers())
    assert (next(taken).to_pylist(), asked) == ([{"id": 1}], [1])
    assert (next(taken).to_pylist(), asked) == ([{"id": 2}], [1, 2])
    reader = pa.table({"id": [1, 2]}).to_reader(max_chunksize=1)
    assert [batch.to_pylist() for batch in batches(reader)] == [[], [{"id": 1}], [{"id": 2}]]


def test_a_batch_that_is_no_frame_is_named() -> None:
    taken = batches(iter([[{"id": 1}], 7]))
    next(taken)
    with pytest.raises(ExecutionError) as raised:
        next(taken)
    assert raised.value.what == "batch 2 of the function's generator is a int, not a frame"
