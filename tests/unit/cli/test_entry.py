"""From what was typed to an exit code, without a workspace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator import __version__
from orchestrator.cli import main
from orchestrator.cli.catalogue import COMMANDS
from orchestrator.cli.errors import error_json, error_text, print_error
from orchestrator.cli.options import WorkspaceOptions, parse_vars
from orchestrator.errors import ConfigError, DefinitionErrors, OrchestratorError, UnknownAssetError

UNKNOWN = UnknownAssetError("no asset has the key 'raw.flight'", at="a.py:12", fix="did you mean 'raw.flights'?")


def test_the_front_page_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    page = capsys.readouterr().out
    assert all(f"  {entry.name:<10} {entry.summary}" in page for entry in COMMANDS)
    assert max(map(len, page.splitlines())) <= 90
    assert "\x1b" not in page


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"orchestrator {__version__}\n"


@pytest.mark.parametrize(
    "name", [entry.name for entry in COMMANDS if entry.name not in ("init", "new")]
)  # they load no workspace
def test_every_command_takes_the_workspace_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    page = capsys.readouterr().out
    for option in ("--target", "--profile", "--profiles-dir", "--project-dir", "--vars", "--env", "--json"):
        assert option in page


def test_a_misspelt_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lineag"]) == 2
    assert capsys.readouterr().err == "error: there is no command 'lineag'\n  fix: did you mean 'lineage'?\n"


def test_options_before_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", "prod", "ls"]) == 2
    assert capsys.readouterr().err == (
        "error: '--target' is no command\n  fix: options come after the command: `orchestrator COMMAND OPTIONS`\n"
    )


@pytest.mark.parametrize("typed", [["ls", "--colour"], ["describe"], ["run", "--engine", "airflow"]])
def test_wrong_usage_ends_with_2(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(typed) == 2
    assert "Error: " in capsys.readouterr().err


def test_a_directory_without_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["ls", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["kind"], error["what"]) == (
        "ConfigError",
        f"neither a dbt project nor an Orchestrator configuration in {tmp_path} or above",
    )


def test_an_interrupt_that_dbt_wrapped_is_an_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(self: WorkspaceOptions) -> None:
        raise OrchestratorError("dbt failed") from KeyboardInterrupt()

    monkeypatch.setattr(WorkspaceOptions, "load", load)
    assert main(["ls"]) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


def test_an_error_reads_the_same_with_colours() -> None:
    assert error_text(UNKNOWN).plain == str(UNKNOWN)


def test_all_definition_errors_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    both = DefinitionErrors([UNKNOWN, OrchestratorError("another")])
    print_error(both, as_json=False)
    assert capsys.readouterr().err == f"{UNKNOWN}\n\nOrchestratorError: another\n"
    assert [part["what"] for part in error_json(both)["errors"]] == [UNKNOWN.what, "another"]
    assert error_json(both)["error"]["what"] == "2 definition errors"


def test_options_as_they_would_be_typed_again() -> None:
    options = WorkspaceOptions(target="prod", project_dir=Path("/my flights"), vars="{a: 1}", json=True)
    assert options.as_typed() == " --target prod --project-dir '/my flights' --vars '{a: 1}'"


def test_vars_that_are_no_mapping() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_vars("[1, 2]")
    assert str(caught.value) == (
        "ConfigError: --vars must be a mapping of names to values, not [1, 2]\n"
        "  fix: write it as dbt takes it, for example --vars '{\"days\": 3}'"
    )
