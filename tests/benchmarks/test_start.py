"""What it costs to start: CPU seconds of fresh processes, which do not depend on what else the machine does."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

pytestmark = pytest.mark.bench
TRIES = 5


def cpu_seconds(*arguments: str) -> float:
    """The least of a few tries."""
    return min(_once(arguments) for _ in range(TRIES))


def _once(arguments: tuple[str, ...]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


@pytest.mark.parametrize(
    ("what", "code", "budget"),
    [
        ("import orchestrator", "import orchestrator", 0.15),
        ("orchestrator --help", "from orchestrator.cli import main; main(['--help'])", 0.25),
        ("orchestrator --version", "from orchestrator.cli import main; main(['--version'])", 0.25),
    ],
)
def test_start(what: str, code: str, budget: float) -> None:
    took = cpu_seconds("-c", code)
    print(f"\n{what}: {took:.3f} CPU-s (budget {budget})")
    assert took <= budget
