"""Every case of tests/fixtures/sql: reads, writes, columns, what decides about rows, reasons."""

from __future__ import annotations

import pytest

from tests.unit.sql.fixtures import Case, load, written

CASES = load()


@pytest.mark.parametrize("case", CASES, ids=[f"{case.file}: {case.name}" for case in CASES])
def test_fixture(case: Case) -> None:
    assert written(case.analyzed()) == case.expected


def test_names_of_cases_are_unique() -> None:
    assert len({(case.file, case.name) for case in CASES}) == len(CASES)
