"""CPU seconds and peak memory of a command with everything it starts, as the operating system counted them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sample:
    """One execution."""

    cpu_s: float
    """User and system time of the process and all of its descendants that were waited for."""
    peak_mb: float
    """Resident memory of the largest process."""


class CommandFailedError(Exception):
    """A measured command did not end with 0: the figures would mean nothing."""


def measure(command: Sequence[str], *, cwd: Path, environment: Mapping[str, str]) -> Sample:
    """Run the command once. Raises CommandFailedError with its last words."""
    log = cwd / "bench-output.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # Popen must not wait for it once more
    if process.returncode != 0:
        words = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise CommandFailedError(f"{' '.join(command)} ended with {process.returncode}:\n{words}")
    # Linux counts kilobytes, macOS bytes.
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return Sample(cpu_s=usage.ru_utime + usage.ru_stime, peak_mb=usage.ru_maxrss / unit)


def clean_environment(**more: str) -> dict[str, str]:
    """What both sides run in: bytecode is cached as on any laptop, dbt sends no statistics, no Prefect is inherited."""
    dropped = ("PYTHONDONTWRITEBYTECODE", "FORCE_COLOR")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in dropped and not name.startswith(("PREFECT_", "DBT_", "ORCHESTRATOR_"))
    }
    return {**kept, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "COLUMNS": "80", **more}


def median(values: Sequence[float]) -> float:
    """The middle value; noise of a busy machine falls to the sides."""
    return float(statistics.median(values))
