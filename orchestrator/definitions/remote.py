"""Work that runs elsewhere: a command, a script in another virtual environment, a job that is submitted and polled.

Each is an object whose `run(context)` blocks until the work is over, and gives what it reported as a Materialization.
Code that uses `orchestrator.external` there reads the context and reports rows, metadata, checks and log lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.definitions.resources import Resource
from orchestrator.definitions.settings import Secret
from orchestrator.errors import DefinitionError

if TYPE_CHECKING:
    from orchestrator.definitions.context import Context
    from orchestrator.definitions.events import Materialization


@dataclass(frozen=True, eq=False)
class Shell:
    """A command: a text for `/bin/sh`, or a list of a program and its arguments, which no shell looks at.

        @action(after=[flights])
        def publish(context):
            upload.run(context)         # upload = Shell(["bin/upload", "out"], env={"TOKEN": Secret.env("TOKEN")})

    Its output goes to the run's log, line by line; an exit code other than 0 fails the step. What it leaves running
    when it ends is ended, too. Relative paths start at the project's root.

    The command sees PATH, HOME, USER, LOGNAME, SHELL, LANG, LC_*, TZ, TMPDIR, the variables named in `inherit`, and
    `env`; nothing else. A `Secret` in `env` gets to the command that way only: it is never on a command line, and where
    the command prints it, the records show ***.
    """

    command: str | Sequence[str]
    _: KW_ONLY
    env: Mapping[str, Any] = field(default_factory=dict)
    """{variable: text, number, path, Env(…) or Secret}"""
    inherit: Sequence[str] = ()
    """Variables that are handed on as they are here; `AWS_*` names all that begin like this."""
    cwd: str | Path | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """JSON values, `context.parameters` for `orchestrator.external`."""
    resources: Mapping[str, Resource] = field(default_factory=dict)
    """Resources by the names under which the code elsewhere gets their descriptions; the asset's own is among them."""
    messages: Literal["file", "pipe"] = "file"
    """How messages of `orchestrator.external` come back: a file that is followed, or an inherited file descriptor."""

    def __post_init__(self) -> None:
        words = [self.command] if isinstance(self.command, str) else list(self.command)
        _require_plain(words, of="Shell")
        if not words or not words[0]:
            raise DefinitionError("Shell has no command", fix='write Shell("make report") or Shell(["make", "report"])')

    @property
    def argv(self) -> list[str]:
        """The command as a list."""
        return ["/bin/sh", "-c", self.command] if isinstance(self.command, str) else list(map(str, self.command))

    @property
    def label(self) -> str:
        """What people call it: the program or the first line of the command."""
        words = self.command.strip().splitlines()[0] if isinstance(self.command, str) else str(self.command[0])
        return words if len(words) <= 60 else words[:59] + "…"

    def run(self, context: Context, *, parameters: Mapping[str, Any] | None = None) -> Materialization:
        """Run it and wait. `parameters` add to the ones it has. Raises ExternalWorkError when it fails."""
        return context.session.run_elsewhere(self, context, parameters=parameters)


@dataclass(frozen=True, eq=False)
class ExternalPython:
    """A script or module that another Python runs: one of another virtual environment, or of another version.

        fit = ExternalPython(python=".venv-ml/bin/python", script="jobs/fit.py")

        @asset(warehouse.table("ml.scores"))
        def scores(context):
            fit.run(context, parameters={"out": str(OUT)})
            return pq.read_table(OUT)

    Nothing needs to be installed there: `import orchestrator_external` works in the script, it is the one file of
    `orchestrator.external`. For the rest see `Shell`.
    """

    python: str | Path
    _: KW_ONLY
    script: str | Path | None = None
    module: str | None = None
    """Run as `python -m`; it must be importable from `cwd`."""
    args: Sequence[str] = ()
    env: Mapping[str, Any] = field(default_factory=dict)
    inherit: Sequence[str] = ()
    cwd: str | Path | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Resource] = field(default_factory=dict)
    messages: Literal["file", "pipe"] = "file"

    def __post_init__(self) -> None:
        if (self.script is None) == (self.module is None):
            raise DefinitionError(
                "ExternalPython needs a script or a module, one of them",
                fix='add script="job.py" or module="package.job"',
            )
        _require_plain(self.args, of="ExternalPython")

    @property
    def label(self) -> str:
        """What people call it: the script or module."""
        return str(self.script if self.script is not None else self.module)

    def run(self, context: Context, *, parameters: Mapping[str, Any] | None = None) -> Materialization:
        """Run it and wait. `parameters` add to the ones it has. Raises ExternalWorkError when it fails."""
        return context.session.run_elsewhere(self, context, parameters=parameters)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a job is submitted with."""

    name: str
    """Unique, and fit for a pod or a job: lower case letters, digits and dashes, at most 63."""
    place: str
    """Where the context is and messages go: for `open_context(place)`, where environment variables cannot be set."""
    env: Mapping[str, str]
    """Variables to set for the job: the place, under the name that `open_context()` looks for."""
    run_id: str
    environment: str
    key: str
    attempt: int


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How a submitted job is: `message` is shown when it failed."""

    state: Literal["running", "succeeded", "failed"]
    message: str = ""


class RemoteJob:
    """A job that runs elsewhere: subclass it with three methods.

        class Pod(RemoteJob):
            def submit(self, request: JobRequest) -> str: ...      # start it, give back what it is found by
            def poll(self, handle: str) -> JobStatus: ...          # how is it?
            def cancel(self, handle: str) -> None: ...             # stop it; of no harm when it is over

        score = Pod()

        @asset(warehouse.table("ml.scores"))
        def scores(context):
            return score.run(context, store="s3://bucket/orchestrator")

    The job and we share nothing but the store. The handle is JSON; it is recorded with the attempt.
    """

    poll_s: float = 5.0
    """Seconds between two polls, and between two looks into the store."""
    patience_s: float = 600.0
    """How long polling may fail before the job is given up: cancelled, and the step failed."""
    settle_s: float = 30.0
    """How long the last messages may take after the job has ended, in a store that shows objects late."""

    def submit(self, request: JobRequest) -> Any:
        """Start the job; what it is found by, as a JSON value."""
        raise NotImplementedError

    def poll(self, handle: Any) -> JobStatus:
        """How the job is. An exception counts as not knowing, and is tried again."""
        raise NotImplementedError

    def cancel(self, handle: Any) -> None:
        """Stop the job. Also called for jobs that are over."""
        raise NotImplementedError

    def run(
        self,
        context: Context,
        *,
        store: Any,
        parameters: Mapping[str, Any] | None = None,
        resources: Mapping[str, Resource] | None = None,
    ) -> Materialization:
        """Submit it, follow what it reports, wait. A cancel or time limit of the step cancels the job.

        `store` is a directory or an fsspec URL that the job can write to. Raises ExternalWorkError when it fails.
        """
        return context.session.run_elsewhere(self, context, store=store, parameters=parameters, resources=resources)


def _require_plain(words: Sequence[Any], *, of: str) -> None:
    if any(isinstance(word, Secret) for word in words):
        raise DefinitionError(
            f"{of} has a secret on its command line, which everybody on that machine can read",
            fix='hand it over as a variable: env={"TOKEN": Secret.env("TOKEN")}',
        )
