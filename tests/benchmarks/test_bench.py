"""`make bench`: all measurements, the table printed as they end."""

from __future__ import annotations

import pytest

from tests.benchmarks.__main__ import main


@pytest.mark.bench
def test_every_target_is_met(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print()
        assert main() == 0, "a target is missed: see the table"
