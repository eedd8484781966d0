"""`Shell` and `ExternalPython`, with real commands."""

from __future__ import annotations

import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest

from orchestrator import Env, ExternalPython, Resource, Secret, Shell
from orchestrator.definitions.context import Context, Previous
from orchestrator.definitions.masking import MASK
from orchestrator.definitions.metadata import MetadataValue
from orchestrator.errors import DefinitionError, ExternalWorkError
from orchestrator.execution.messages import ReportedCheck
from orchestrator.testing import build_context
from tests.unit.execution.elsewhere import Attempted

REPORT = """
    from orchestrator_external import open_context, table
    with open_context() as context:
        print("station", context.parameters["station"], flush=True)
        context.log.warning("two readings are missing")
        context.metadata["mean"] = 1.5
        context.metadata["rows"] = table([{"a": 1}])
        context.check("positive", True)
        context.check("complete", False, severity="warn", failures=2)
        context.progress(1, 1)
        context.rows(24)
"""


@pytest.fixture
def attempted(tmp_path: Path) -> Attempted:
    return Attempted(tmp_path)


def script(attempted: Attempted, text: str, **more: Any) -> ExternalPython:
    """`text` as a script that this very Python runs."""
    (attempted.root / "job.py").write_text(textwrap.dedent(text), encoding="utf-8")
    return ExternalPython(sys.executable, script="job.py", **more)


def failure(work: Shell | ExternalPython, attempted: Attempted, context: Context | None = None) -> ExternalWorkError:
    with pytest.raises(ExternalWorkError) as raised:
        work.run(context or attempted.context())
    return raised.value


@pytest.mark.parametrize("messages", ["file", "pipe"])
def test_a_script_reports_back(attempted: Attempted, messages: Literal["file", "pipe"]) -> None:
    context = attempted.context()
    work = script(attempted, REPORT, parameters={"station": "EWR", "hours": 24}, messages=messages)
    made = work.run(context, parameters={"station": "LGA"})
    assert made.rows == 24
    assert made.metadata == context.metadata
    assert context.metadata["mean"] == MetadataValue("number", 1.5)
    assert attempted.checks == [
        ReportedCheck("positive", True),
        ReportedCheck("complete", False, severity="warn", failures=2),
    ]
    assert sorted(attempted.lines) == [("info", "station LGA"), ("warning", "two readings are missing")]
    assert attempted.steps == [(1.0, 1.0)]


def test_a_script_is_told_what_the_context_says(attempted: Attempted) -> None:
    code = """
        from orchestrator_external import open_context
        with open_context() as c:
            print(c.run_id, c.environment, c.key, c.attempt, c.partition.key, c.resources, c.previous.rows)
    """
    previous = Previous("v1", None, 3, {"mean": 1.5})
    script(attempted, code).run(attempted.context(partition="2013-02", attempt=2, previous=previous))
    assert attempted.texts == [
        "1125-100000-ab12 dev ml.scores 2 2013-02 {'warehouse': {'adapter': 'duckdb'}} 3",
    ]


def test_a_module_of_a_package_is_run_from_its_directory(attempted: Attempted) -> None:
    package = attempted.root / "src" / "jobs"
    package.mkdir(parents=True)
    (package / "fit.py").write_text("import sys; print(__name__, sys.argv[1:])", encoding="utf-8")
    ExternalPython(sys.executable, module="jobs.fit", cwd="src", args=["--fast", 3]).run(attempted.context())  # type: ignore[list-item]
    assert attempted.texts == ["__main__ ['--fast', '3']"]


def test_a_script_that_does_not_report_is_judged_by_its_exit_code(attempted: Attempted) -> None:
    assert script(attempted, "print('done')").run(attempted.context()).rows is None
    assert failure(script(attempted, "raise SystemExit(4)"), attempted).what == "job.py ended with exit code 4"


def test_a_script_that_raises(attempted: Attempted) -> None:
    code = """
        from orchestrator_external import open_context
        with open_context() as context:
            context.metadata["read"] = 3
            raise ValueError("no rows")
    """
    context = attempted.context()
    found = failure(script(attempted, code), attempted, context)
    assert found.what == "job.py failed: ValueError: no rows"
    assert found.traceback is not None
    assert found.traceback.splitlines()[-1] == "ValueError: no rows"
    assert context.metadata["read"].value == 3, "what was reported before is kept"


def test_a_script_that_ends_without_leaving_its_context(attempted: Attempted) -> None:
    code = """
        import os
        from orchestrator_external import open_context
        with open_context() as context:
            os._exit(0)
    """
    assert str(failure(script(attempted, code), attempted)) == (
        "ExternalWorkError: job.py opened its context and ended without leaving it\n"
        "  fix: let it leave the `with open_context()` block: os._exit() and kill do not"
    )


def test_a_failed_check_fails_the_work_and_is_recorded(attempted: Attempted) -> None:
    code = """
        from orchestrator_external import open_context
        with open_context() as context:
            context.check("positive", False, failures=2, message="EWR and LGA")
    """
    assert failure(script(attempted, code), attempted).what == (
        "job.py reported the failed check 'positive': EWR and LGA"
    )
    assert attempted.checks == [ReportedCheck("positive", False, failures=2, message="EWR and LGA")]


def test_garbage_among_the_messages_is_said_and_does_no_harm(attempted: Attempted) -> None:
    code = """
        import os
        from orchestrator_external import open_context
        with open_context() as context:
            folder = os.environ["ORCHESTRATOR_EXTERNAL"].partition("=")[2]
            with open(folder + "/messages.jsonl", "a") as file:
                file.write("hello?\\n")
            context.rows(3)
    """
    assert script(attempted, code).run(attempted.context()).rows == 3
    assert attempted.lines == [("warning", "1 lines among the messages are none, the first is: hello?")]


def test_an_asset_with_work_elsewhere_is_tested_as_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    context = build_context(partition="2013-02")
    work = script(Attempted(tmp_path), REPORT, parameters={"station": "EWR"})
    assert work.run(context).rows == 24
    assert context.metadata["mean"] == MetadataValue("number", 1.5)


def test_shell_text_and_lists(attempted: Attempted) -> None:
    Shell("echo one | tr o 0; pwd").run(attempted.context())
    Shell(["echo", "$HOME", "two words"]).run(attempted.context())
    assert attempted.texts == ["0ne", str(attempted.root), "$HOME two words"]


def test_a_command_that_fails_shows_its_last_words(attempted: Attempted) -> None:
    assert failure(Shell("echo so >&2; echo it goes >&2; exit 3"), attempted).what == (
        "echo so >&2; echo it goes >&2; exit 3 ended with exit code 3:\n  so\n  it goes"
    )
    killed = failure(Shell("kill -9 $$"), attempted)
    assert (killed.what, killed.fix) == ("kill -9 $$ was ended by SIGKILL", "it may have run out of memory")


@pytest.mark.parametrize(
    ("work", "text"),
    [
        (
            Shell(["no-such-program"]),
            "no-such-program could not be run: no-such-program: No such file or directory\n"
            "  fix: check that it is there and may be executed",
        ),
        (
            Shell("true", cwd="nowhere"),
            "true is to run in {root}/nowhere, which is no directory\n  fix: correct cwd=",
        ),
        (
            ExternalPython("python3", script="nowhere.py"),
            "there is no script {root}/nowhere.py\n  fix: correct script=; it starts at the project's root",
        ),
        (
            ExternalPython("venv/bin/python", module="job"),
            "job could not be run: {root}/venv/bin/python: No such file or directory\n"
            "  fix: check that it is there and may be executed",
        ),
        (
            Shell("true", env={"TOKEN": Secret.env("NO_SUCH_TOKEN")}),
            "TOKEN for true: the environment variable NO_SUCH_TOKEN, which holds a secret, is not set\n"
            "  fix: set NO_SUCH_TOKEN",
        ),
    ],
)
def test_what_cannot_be_started_says_why(attempted: Attempted, work: Shell | ExternalPython, text: str) -> None:
    assert str(failure(work, attempted)) == f"ExternalWorkError: {text}".replace("{root}", str(attempted.root))


def test_the_environment_is_what_was_asked_for(attempted: Attempted, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRET_OF_OURS", "AWS_REGION", "AWS_PROFILE", "STATION", "PGPASSWORD"):
        monkeypatch.setenv(name, f"value of {name}")
    Shell("env", env={"STATION": Env("STATION"), "HOURS": 24}, inherit=["AWS_*"]).run(attempted.context())
    found = dict(line.split("=", 1) for line in attempted.texts)
    assert found["STATION"] == "value of STATION"
    assert (found["HOURS"], found["AWS_REGION"], found["AWS_PROFILE"]) == (
        "24",
        "value of AWS_REGION",
        "value of AWS_PROFILE",
    )
    assert "PATH" in found
    assert not {"SECRET_OF_OURS", "PGPASSWORD", "PYTHONPATH", "VIRTUAL_ENV"} & set(found)


def test_a_secret_reaches_the_command_by_its_environment_only(
    attempted: Attempted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPLOAD_TOKEN", "s3cr3t-of-upload")
    code = """
        import os, sys
        from orchestrator_external import open_context
        with open_context() as context:
            context.rows(len(os.environ["TOKEN"]))
            folder = os.environ["ORCHESTRATOR_EXTERNAL"].partition("=")[2]
            written = open(folder + "/context.json").read() + str(sys.argv)
            context.check("unseen", os.environ["TOKEN"] not in written)
            context.log.info(os.environ["TOKEN"])
    """
    work = script(attempted, code, env={"TOKEN": Secret.env("UPLOAD_TOKEN")})
    assert work.run(attempted.context()).rows == len("s3cr3t-of-upload")
    # The run's journal masks all that it writes; here nothing stands between.
    assert [MASK.text(text) for text in attempted.texts] == ["***"]


def test_secrets_are_refused_where_they_could_be_read(attempted: Attempted) -> None:
    with pytest.raises(DefinitionError) as raised:
        Shell(["upload", Secret.env("UPLOAD_TOKEN")])
    assert str(raised.value) == (
        "DefinitionError: Shell has a secret on its command line, which everybody on that machine can read\n"
        '  fix: hand it over as a variable: env={"TOKEN": Secret.env("TOKEN")}'
    )
    with pytest.raises(DefinitionError) as raised:
        Shell("true", parameters={"token": [Secret.env("UPLOAD_TOKEN")]}).run(attempted.context())
    assert str(raised.value) == (
        "DefinitionError: the parameter 'token' is a secret, and parameters are written down for the work to read\n"
        '  fix: hand it over as a variable: env={"TOKEN": Secret.env("TOKEN")}'
    )


def test_external_python_needs_a_script_or_a_module() -> None:
    for more in ({}, {"script": "a.py", "module": "a"}):
        with pytest.raises(DefinitionError) as raised:
            ExternalPython("python3", **more)  # type: ignore[arg-type]
        assert str(raised.value) == (
            "DefinitionError: ExternalPython needs a script or a module, one of them\n"
            '  fix: add script="job.py" or module="package.job"'
        )


class Bucket(Resource):
    def describe(self) -> dict[str, Any]:
        return {"type": "bucket", "url": "s3://lake"}


def test_resources_come_by_reference(attempted: Attempted) -> None:
    code = """
        from orchestrator_external import open_context
        with open_context() as context:
            print(context.resources["lake"]["url"], sorted(context.resources))
    """
    script(attempted, code, resources={"lake": Bucket()}).run(attempted.context())
    assert attempted.texts == ["s3://lake ['lake', 'warehouse']"]


def test_a_stop_reaches_the_command_and_nothing_is_left(attempted: Attempted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(attempted.root))
    work = Shell("trap 'echo bye; exit 7' TERM; sleep 1000 & echo ready; wait")
    attempted.stop_when(lambda: "ready" in attempted.texts)
    assert failure(work, attempted).what.endswith("wait ended with exit code 7:\n  ready\n  bye")
    assert attempted.texts == ["ready", "bye"]
    assert not [p for p in psutil.Process().children(recursive=True) if "sleep" in p.name() or p.status() == "zombie"]
    assert list(attempted.root.iterdir()) == [], "the private directory is gone"
