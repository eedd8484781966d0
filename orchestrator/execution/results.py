"""What a run comes to: options in, a result out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from orchestrator.definitions.events import CheckFinished, Event, RunStatus, StepFinished

T = TypeVar("T")
Listener = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a plan is executed."""

    threads: int | None = None
    """How many steps work at once; None: the dbt profile's `threads`, or 4."""
    fail_fast: bool | None = None
    """Stop at the first failure; None: what the dbt project's flags say."""
    command: str = ""
    """The command a person would type, for the records."""
    engine: Literal["local", "prefect"] = "local"
    run_id: str | None = None
    """Given by whoever asked for the run: the records take an id once, so that a request cannot run twice."""


class StepWrapper(Protocol):
    """Runs steps inside something else, for example a Prefect task. Exceptions pass through unchanged."""

    def python_step(self, name: str, run: Callable[[], T]) -> T:
        """Called in the thread that executes a Python step."""

    def dbt_invocation(self, name: str, run: Callable[[], T]) -> T:
        """Called in the thread that executes a dbt invocation."""


class Unwrapped:
    """Steps run as they are."""

    def python_step(self, name: str, run: Callable[[], T]) -> T:
        """Just run it."""
        return run()

    def dbt_invocation(self, name: str, run: Callable[[], T]) -> T:
        """Just run it."""
        return run()


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. `steps` in the plan's order, one a writer or action; `checks` in the order they ended."""

    run_id: str
    environment: str
    status: RunStatus
    engine: str
    steps: tuple[StepFinished, ...]
    checks: tuple[CheckFinished, ...]
    duration_s: float
    reason: str = ""
    """Why the run as a whole failed, where no step or check says it (a failing hook, a lost connection)."""

    @property
    def exit_code(self) -> int:
        """0 all well, 1 failed, 130 cancelled."""
        return {"succeeded": 0, "cancelled": 130}.get(self.status, 1)
