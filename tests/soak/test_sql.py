"""The laws of tests/unit/sql over thousands of inputs: mutations, random queries on data, random edits on data.

`make soak`; `SOAK_SQL` is how many of each (default 6,000), `SOAK_SEED` where they begin.
"""

from __future__ import annotations

import os

import pytest

from tests.unit.sql.hostile import LONG, NESTED, REFUSED, examine, examine_mutants, no_hanging
from tests.unit.sql.test_classify_soundness import run
from tests.unit.sql.test_oracle import expect_sound, tallied

pytestmark = pytest.mark.soak

AMOUNT = int(os.environ.get("SOAK_SQL", "6000"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
BATCH = 500
BATCHES = range(max(1, AMOUNT // BATCH))


@pytest.mark.parametrize("batch", BATCHES)
def test_mutations_raise_nothing(batch: int) -> None:
    with no_hanging():
        tally = examine_mutants(SEED * 1_000 + batch, BATCH)
    print(f"\n{dict(tally)}")
    assert tally["not understood"] <= BATCH // 100


@pytest.mark.parametrize("batch", BATCHES)
def test_what_changes_is_in_the_lineage_of_random_queries(batch: int) -> None:
    """A warehouse of its own for each batch."""
    expect_sound(tallied(SEED * 1_000 + batch, BATCH))


@pytest.mark.parametrize("batch", BATCHES)
def test_what_is_called_untouched_is_the_same_after_random_edits(batch: int) -> None:
    first = (SEED * 1_000 + batch) * BATCH
    print(f"\n{run(range(first, first + BATCH))}")


@pytest.mark.parametrize("name", [*NESTED, *LONG, *REFUSED])
@pytest.mark.parametrize("dialect", ["duckdb", "snowflake", "bigquery", "tsql"])
def test_deep_and_long_texts(name: str, dialect: str) -> None:
    shape = {**NESTED, **LONG, **REFUSED}[name]
    for size in (3, 30, 150, 3_000):
        with no_hanging():
            examine(shape(size), dialect=dialect)
