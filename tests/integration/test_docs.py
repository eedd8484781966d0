"""The code in docs/ runs as it stands there."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from orchestrator.definitions.selection import Expression
from orchestrator.execution.executor import run_plan
from orchestrator.graph.selection import parse, select
from orchestrator.plan.run_plan import build_run_plan
from orchestrator.workspace import load_workspace

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)

SHOP = {
    "dbt_project/dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n",
    "dbt_project/profiles.yml": "shop: {target: dev, outputs: {dev: {type: duckdb, path: dev.duckdb}}}\n",
    "dbt_project/models/daily_sales.sql": "select date '2024-01-01' as day, 12.5 as amount, 'tea' as article\n",
    "python_package/__init__.py": "",
}


def blocks(document: str, language: str) -> list[str]:
    """The code blocks of one language in a document."""
    return [code for name, code in BLOCK.findall((DOCS / document).read_text(encoding="utf-8")) if name == language]


@pytest.mark.slow
def test_the_python_assets_and_the_configuration_of_the_how_tos_run(tmp_path: Path) -> None:
    (configuration,) = blocks("how-to/existing-dbt-project.md", "toml")
    (assets,) = blocks("how-to/python-assets.md", "python")
    package = "docs_python_assets"  # a name of its own: Python keeps what it has imported
    files = {name.replace("python_package", package): text for name, text in SHOP.items()}
    files["pyproject.toml"] = configuration.replace('"python_assets"', f'"{package}"')
    files[f"{package}/prices.py"] = assets
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    workspace = load_workspace(tmp_path)
    assert workspace.errors == ()
    assert {str(key) for key in workspace.graph.assets} == {
        "raw.prices", "shop.daily_sales", "ml.forecast", "action.vacuum",
    }  # fmt: skip
    plan = build_run_plan(
        workspace.graph, select(workspace.graph), states=workspace.states(), environment=workspace.environment
    )
    result = run_plan(workspace, plan)
    assert (result.status, result.reason) == ("succeeded", "")
    latest = workspace.records.latest("dev", "raw.prices")
    assert latest is not None
    assert (latest.rows, latest.metadata["mean_price"]) == (2, {"kind": "number", "value": 3.85})


def test_the_selections_of_the_reference_are_understood() -> None:
    (code,) = blocks("reference/selection.md", "python")
    names: dict[str, object] = {}
    exec(code, names)  # our own document
    assert isinstance(names["daily"], Expression)
    table = (DOCS / "reference/selection.md").read_text(encoding="utf-8").split("|---|---|")[1].split("\n\n")[0]
    written = [text for line in table.strip().splitlines() for text in re.findall(r"`([^`]+)`", line.split("|")[1])]
    assert len(written) > 20
    for text in written:
        if text not in {"( … )"}:
            assert parse(text) is not None
