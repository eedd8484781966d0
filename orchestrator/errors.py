"""The error tree. Every error says what is wrong, where, and how to fix it.

The parts stay on the object, so that the command line and the app render the same error, and several definition
errors found at once travel together in `DefinitionErrors`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

SHOWN_AT_ONCE = 20


class OrchestratorError(Exception):
    """Base of everything raised on purpose.

    `what` is one sentence in the user's words, `at` is `file:line` where known, `fix` is what to do next.
    """

    exit_code = 1

    def __init__(self, what: str, *, at: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.at = at
        self.fix = fix
        self.homes: frozenset[str] | None = None
        """The projects of the workspace that it is about (empty name: its own); None: all that there is."""

    @property
    def kind(self) -> str:
        """The class name, as it is shown to people."""
        return type(self).__name__

    def __str__(self) -> str:
        lines = [f"{self.kind}: {self.what}"]
        if self.at:
            lines.append(f"  at:  {self.at}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


class ConfigError(OrchestratorError):
    """The configuration (pyproject.toml, orchestrator.toml, dbt profile) cannot be used."""

    exit_code = 2


class DefinitionError(OrchestratorError):
    """A definition (dbt model, Python asset, check, resource) is wrong. Found at load time."""

    exit_code = 2


class DbtProjectError(DefinitionError):
    """The dbt project is missing, or dbt cannot parse it."""


class PythonModuleError(DefinitionError):
    """A Python module with definitions does not import."""


class UnknownAssetError(DefinitionError):
    """A reference names no asset."""


class DependencyCycleError(DefinitionError):
    """Assets need each other."""


class KeyClashError(DefinitionError):
    """Two different tables ask for one key."""


class ConflictingWritersError(DefinitionError):
    """Two writers replace one table."""


class AccessError(DefinitionError):
    """A project reads what another one keeps for itself."""


class PublishedGraphError(DefinitionError):
    """The graph that another repository publishes cannot be read, or this one's cannot be written."""


class UndeclaredResourceError(DefinitionError):
    """A resource is used that the loader could not see."""


class DefinitionErrors(OrchestratorError):
    """All definition errors of a load, at once."""

    exit_code = 2

    def __init__(self, errors: Sequence[OrchestratorError]) -> None:
        self.errors = tuple(errors)
        super().__init__(f"{len(self.errors)} definition error{'s' if len(self.errors) != 1 else ''}")

    def __str__(self) -> str:
        shown = [str(error) for error in self.errors[:SHOWN_AT_ONCE]]
        rest = len(self.errors) - len(shown)
        if rest > 0:
            shown.append(f"… and {rest} more")
        return "\n\n".join(shown)


class SelectionError(OrchestratorError):
    """A selection cannot be understood, or names nothing."""

    exit_code = 2


class PlanError(OrchestratorError):
    """The plan asked for makes no sense."""

    exit_code = 2


class UnknownPartitionError(PlanError):
    """A partition key or a range of them names nothing."""


class UnmappedPartitionError(PlanError):
    """Nothing says which partitions of one asset another one reads."""


class ResourceError(OrchestratorError):
    """Something outside (a database, a file) cannot be used."""


class ResourceUnavailableError(ResourceError):
    """The thing a resource points to is not there or cannot be opened."""


class ResourceLockedError(ResourceError):
    """Somebody else holds the thing a resource points to."""


class ExecutionError(OrchestratorError):
    """A run could not be carried out."""


class HalfWrittenError(ExecutionError):
    """A write failed where the warehouse cannot undo it: what the table holds is unknown."""


class StepTimeoutError(ExecutionError):
    """A step ran longer than its time limit."""


class ClaimLostError(ExecutionError):
    """Another run has taken over what this attempt was writing; its result is refused."""


class ExternalWorkError(ExecutionError):
    """Code that runs elsewhere failed, or did not say how it ended. `traceback` is its own."""

    def __init__(
        self, what: str, *, at: str | None = None, fix: str | None = None, traceback: str | None = None
    ) -> None:
        super().__init__(what, at=at, fix=fix)
        self.traceback = traceback


class ServiceError(ExecutionError):
    """Prefect, the worker or the app could not be started or reached."""


class RecordsError(OrchestratorError):
    """The records database cannot be read or written."""


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A suggestion for a misspelt name, or None when nothing is near.

    >>> did_you_mean("raw.flight", ["raw.flights", "raw.planes"])
    "did you mean 'raw.flights'?"
    """
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    if not close:
        return None
    quoted = [f"'{candidate}'" for candidate in close]
    return f"did you mean {' or '.join([', '.join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)}?"
