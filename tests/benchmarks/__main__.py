"""`python -m tests.benchmarks`: measure, print a table, write bench-results.json.

    BENCH_SIZES=10,100   models of the generated projects; default 10,100,500
    BENCH_REPEATS=5      how often each is measured; default 3
    BENCH_PREFECT=0      leave Prefect's surcharge out
    BENCH_SQL=0          leave the analysis of SQL out; `only` leaves everything else out

Ends with 1 when a target is missed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from tests.benchmarks.report import build_document, build_table, write_document
from tests.benchmarks.sql_suite import SqlRows
from tests.benchmarks.suite import Row, Suite

RESULTS = Path("bench-results.json")


def main() -> int:
    """The exit code."""
    sizes = [int(size) for size in os.environ.get("BENCH_SIZES", "10,100,500").replace(" ", ",").split(",") if size]
    repeats = int(os.environ.get("BENCH_REPEATS", "3"))
    with tempfile.TemporaryDirectory(prefix="orchestrator-bench-") as place:
        suite = Suite(place=Path(place), repeats=repeats, progress=_say)
        rows = list(_measure_all(suite, sizes))
    write_document(RESULTS, build_document(rows, repeats=repeats, as_of=datetime.now(timezone.utc)))
    sys.stdout.write(f"{build_table(rows)}\n\nwritten to {RESULTS}; CPU seconds of whole process trees, medians\n")
    return 0 if all(row.met for row in rows) else 1


def _measure_all(suite: Suite, sizes: list[int]) -> Iterator[Row]:
    sql = os.environ.get("BENCH_SQL", "1")
    if sql != "only":
        yield from suite.startup()
        for size in sizes:
            yield from suite.project(size)
        if sizes and os.environ.get("BENCH_PREFECT", "1") != "0":
            yield from suite.prefect(min(sizes))
    if sql != "0":
        yield from SqlRows(suite).all()


def _say(line: str) -> None:
    print(f"… {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
