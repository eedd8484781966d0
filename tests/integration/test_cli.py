"""The command line on a real dbt project: exit codes, the JSON contract, errors in a user's words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.dbt_projects import write_project

pytestmark = pytest.mark.slow

FILES = {
    "seeds/raw_orders.csv": "id,amount\n1,10\n2,20\n",
    "seeds/schema.yml": """
        seeds:
          - name: raw_orders
            config: {schema: raw}
            description: Orders as they come.
            data_tests: [{unique: {column_name: id}}]
    """,
    "models/sources.yml": """
        sources:
          - name: shop
            schema: dev_raw
            tables: [{name: orders, identifier: raw_orders}]
    """,
    "models/orders.sql": "select * from {{ source('shop', 'orders') }}",
    "models/totals.sql": "select sum(amount) as total from {{ ref('orders') }}",
    "models/exposures.yml": """
        exposures:
          - name: board
            type: dashboard
            owner: {name: Ann, email: ann@example.com}
            depends_on: [ref('totals')]
    """,
}
LS = "key aliases name kinds group owners tags upstream downstream writers checks location description relation state"


def orchestrator(*arguments: str, project: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "ORCHESTRATOR_"))}
    return subprocess.run(
        [sys.executable, "-c", "import sys; from orchestrator.cli import main; sys.exit(main())", *arguments],
        cwd=project, env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def answer(*arguments: str, project: Path) -> Any:
    done = orchestrator(*arguments, "--json", project=project)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The project after its first run on an empty warehouse, and what `run --json` said."""
    project = write_project(tmp_path_factory.mktemp("shop"), FILES)
    done = orchestrator("run", "--engine", "local", "--json", project=project)
    assert done.returncode == 0, done.stdout + done.stderr
    return project, [json.loads(line) for line in done.stdout.splitlines()]


def test_run_builds_seeds_that_are_read_as_sources_and_ends_with_a_summary(
    built: tuple[Path, list[dict[str, Any]]],
) -> None:
    _, lines = built
    assert lines[0]["event"] == "run_started"
    summary = lines[-1]
    assert {"event", "schema_version", "run_id", "environment", "status", "engine", "steps", "checks"} <= set(summary)
    assert (summary["event"], summary["status"], summary["engine"]) == ("summary", "succeeded", "local")
    assert [(step["key"].split(".")[-1], step["status"]) for step in summary["steps"]] == [
        ("raw_orders", "succeeded"),
        ("orders", "succeeded"),
        ("totals", "succeeded"),
    ]
    step = {"key", "writer", "partition", "status", "reason", "rows", "duration_s"}
    assert all(step <= set(item) for item in summary["steps"])
    assert [check["status"] for check in summary["checks"]] == ["succeeded"]


def test_ls_and_describe_after_it(built: tuple[Path, list[dict[str, Any]]]) -> None:
    project, lines = built
    assets = answer("ls", project=project)
    assert [asset["name"] for asset in assets] == ["raw_orders", "orders", "totals"]
    assert all(set(LS.split()) <= set(asset) for asset in assets)
    assert {asset["state"] for asset in assets} == {"fresh"}
    described = answer("describe", "raw_orders", project=project)
    assert {"at", "run_id", "by", "rows", "duration_s"} <= set(described["latest"])
    assert (described["latest"]["run_id"], described["latest"]["rows"]) == (lines[-1]["run_id"], 2)
    assert [column["name"] for column in described["columns"]] == ["id", "amount"]


def test_plan_run_stale_lineage_impact_and_runs_agree(built: tuple[Path, list[dict[str, Any]]]) -> None:
    project, lines = built
    plan = answer("plan", "--stale", project=project)
    assert {step["action"] for step in plan["steps"]} == {"skip"}
    assert [item["direction"] for item in answer("lineage", "shop.orders", project=project)] == ["up", "self", "down"]
    broken = answer("impact", "raw_orders", project=project)
    assert [item["type"] for item in broken] == ["asset", "asset", "exposure", "check"]
    assert [run["run_id"] for run in answer("runs", project=project)] == [lines[-1]["run_id"]]
    detail = answer("runs", "last", project=project)
    assert [step["status"] for step in detail["steps"]] == ["succeeded"] * 3


def test_pages_for_people(built: tuple[Path, list[dict[str, Any]]]) -> None:
    project, _ = built
    listed = orchestrator("ls", project=project)
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.endswith("3 assets: 3 fresh\n")
    assert "\x1b" not in listed.stdout
    assert "updated " in orchestrator("describe", "totals", project=project).stdout
    nothing = orchestrator("run", "--stale", project=project)
    assert nothing.returncode == 0, nothing.stderr
    assert nothing.stdout.endswith("Nothing to do in dev: all that is selected is up to date\n")


def test_an_unknown_name_is_refused_with_a_suggestion(built: tuple[Path, list[dict[str, Any]]]) -> None:
    project, _ = built
    done = orchestrator("run", "total", project=project)
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean" in done.stderr
    as_json = orchestrator("plan", "total", "--json", project=project)
    assert as_json.returncode == 2
    assert json.loads(as_json.stdout)["error"]["kind"] == "SelectionError"


def test_a_broken_model_ends_with_1_named_and_with_what_it_blocked(tmp_path: Path) -> None:
    project = write_project(
        tmp_path, {**FILES, "models/orders.sql": "select nothing_like_it from {{ ref('raw_orders') }}"}
    )
    done = orchestrator("run", "--engine", "local", project=project)
    assert done.returncode == 1, done.stderr
    failure = done.stdout[done.stdout.index("\n✗ ") :]
    assert "orders failed  models/orders.sql:1" in failure
    assert "nothing_like_it" in failure
    assert "compiled: " in failure
    assert "totals" in failure[failure.index("blocked: ") :].splitlines()[0]
    assert "Failed in" in failure


def test_definition_errors_come_before_anything_runs(tmp_path: Path) -> None:
    project = write_project(tmp_path, {**FILES, "models/totals.sql": "select * from {{ ref('order') }}"})
    done = orchestrator("run", project=project)
    assert (done.returncode, done.stdout) == (2, "")
    assert "order" in done.stderr
    assert "fix:" in done.stderr
