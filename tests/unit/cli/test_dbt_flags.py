"""dbt's flags: each is passed on, refused with a reason, or an option of ours; none is swallowed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import typer

from orchestrator.cli.dbt_flags import PASSED, flag_parameters, passed_flags, refuse_environment
from orchestrator.cli.options import WorkspaceOptions
from orchestrator.cli.run import command as run
from orchestrator.config import PassedFlags
from orchestrator.errors import ConfigError


def test_flags_reach_what_they_are_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    given = {
        "dbt_warn_error": True,
        "dbt_partial_parse": False,
        "dbt_log_path": "logs",
        "dbt_store_failures": True,
        "dbt_defer": False,
        "dbt_state": None,
    }
    assert passed_flags(given) == PassedFlags(
        parse=("--warn-error",),
        call=("--no-partial-parse", "--log-path", str(tmp_path / "logs")),
        build=("--no-defer", "--store-failures"),
    )


def test_flags_are_repeated_in_commands_to_paste() -> None:
    passed = PassedFlags(parse=("--warn-error-options", '{"error": "all"}'), build=("--store-failures",))
    options = WorkspaceOptions(target="prod", passed=passed)
    assert options.as_typed() == ' --target prod --warn-error-options \'{"error": "all"}\' --store-failures'


def test_a_flag_that_cannot_be_honoured_says_why_and_what_to_do() -> None:
    with pytest.raises(ConfigError) as caught:
        passed_flags({"dbt_empty": True})
    assert str(caught.value) == (
        "ConfigError: --empty cannot be used: it builds tables without rows, which would be recorded as whole ones\n"
        "  fix: do that with dbt itself, in a target that is not used here"
    )


def test_its_environment_variable_is_refused_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_ENGINE_EMPTY", "False")
    refuse_environment()
    monkeypatch.setenv("DBT_EMPTY", "1")
    with pytest.raises(ConfigError) as caught:
        refuse_environment()
    assert caught.value.what == "DBT_EMPTY is set: it builds tables without rows, which would be recorded as whole ones"


def test_flags_for_building_are_taken_only_where_something_is_built() -> None:
    looks, builds = ({parameter.name for parameter in flag_parameters(builds=builds)} for builds in (False, True))
    assert builds - looks == {f"dbt_{flag.name.replace('-', '_')}" for flag in PASSED if flag.scope == "build"}


@pytest.mark.slow
def test_every_flag_of_dbt_build_is_accounted_for() -> None:
    """dbt itself lists them: a flag that a new dbt brings is a decision to make here."""
    from dbt.cli.main import cli

    app = typer.Typer()
    app.command()(run)

    def spellings(parameters: Iterable[Any]) -> set[str]:
        return {name for parameter in parameters for name in parameter.opts if name.startswith("--")}

    theirs = {name for name in spellings(cli.commands["build"].params) if not name.startswith("--deprecated-")}
    ours = spellings(typer.main.get_command(app).params)
    assert theirs - ours == {"--version", "--model", "--sqlparse"}
