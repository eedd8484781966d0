"""dbt's flags, environment variables and project flags on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.dbt_projects import PROFILES, write_project
from tests.integration.test_cli import answer, orchestrator
from tests.integration.workspaces import Scene

pytestmark = pytest.mark.slow

FILES = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\nflags: {indirect_selection: cautious}\n",
    "profiles.yml": PROFILES,
    "models/a.sql": "{{ config(materialized='incremental') }} select 1 as id",
    "models/b.sql": "select id from {{ ref('a') }}",
    "models/all.yml": """
        models:
          - name: a
            columns: [{name: id, data_tests: [not_null]}]
          - name: b
            columns: [{name: id, data_tests: [{relationships: {to: "ref('a')", field: id}}]}]
    """,
    "tests/bad.sql": "{{ config(severity='warn') }} select * from {{ ref('b') }}",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("flags"), FILES)


def test_flags_are_passed_on(project: Path) -> None:
    run = ("run", "--engine", "local")
    assert orchestrator(*run, project=project).returncode == 0
    done = orchestrator(*run, "--store-failures", "--log-level-file", "debug", "--log-path", "logs", project=project)
    assert done.returncode == 0, done.stderr
    shop = Scene(project.parent)
    sql = "select count(*) from duckdb_tables() where schema_name = 'dev_dbt_test__audit'"
    assert shop.query(sql, file=f"../{project.name}/warehouse.duckdb") == [(3,)]
    assert "Running with dbt" in (project / "logs" / "dbt.log").read_text()


def test_a_warning_is_an_error_where_that_is_asked_for(project: Path) -> None:
    # The project parses with a deprecation warning, which a cached parse has long said.
    assert orchestrator("ls", project=project).returncode == 0
    done = orchestrator("plan", "--warn-error", project=project)
    assert (done.returncode, "relationships" in done.stderr) == (2, True)
    assert orchestrator("ls", project=project).returncode == 0


def test_flags_of_the_project_count(project: Path) -> None:
    assert [check.split(".")[2] for check in answer("plan", "a", project=project)["checks"]] == ["not_null_a_id"]
    taken = answer("plan", "b", "--indirect-selection", "eager", project=project)["checks"]
    assert len(taken) == 2
    assert answer("plan", "b", "--indirect-selection", "empty", project=project)["checks"] == []


def test_what_cannot_be_honoured_is_refused(project: Path) -> None:
    done = orchestrator("run", "--sample", "3 days", project=project)
    assert (done.returncode, done.stderr) == (
        2,
        "ConfigError: --sample cannot be used: it builds a part of a table, which would be recorded as the whole one\n"
        "  fix: do that with dbt itself, in a target that is not used here\n",
    )
