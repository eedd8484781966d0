"""The stub of `orchestrator.dbt`: what a type checker finds with it, and how it stays up to date."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.graph.model import AssetGraph
from orchestrator.loaders.dbt_stub import FOLDER, build_stub, refresh_stubs, write_stubs
from tests.scenarios import asset, graph, sandwich, source, with_ephemeral

ROOT = Path(__file__).parents[3]
# Silent: what the package imports may have no types where the test runs.
MYPY = ("--strict", "--follow-imports=silent", "--no-error-summary", "--config-file=")
USE = """
from orchestrator import Job, asset
from orchestrator.dbt import models as dbt, sources

fine = (dbt.flights, dbt["shop.report"], sources.raw.airports, sources["raw"]["airports"], dbt.report.downstream())
wrong = dbt.repotr
also_wrong = sources.raw.airport
Job("morning", select="raw.flights")
"""


def with_two_sources() -> AssetGraph:
    return graph(*sandwich().assets.values(), source("ecom.orders", description='The "shop".').asset)


@pytest.mark.slow  # mypy
def test_a_type_checker_finds_misspelt_models(tmp_path: Path) -> None:
    write_stubs(tmp_path, with_two_sources())
    (tmp_path / "use.py").write_text(USE, encoding="utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *MYPY, "use.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": f"typings{os.pathsep}{ROOT}"},  # mypy does not see editable installations
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.stdout.splitlines() == [
        'use.py:6: error: "_Models" has no attribute "repotr"; maybe "report"?  [attr-defined]',
        'use.py:7: error: "_Source_raw" has no attribute "airport"; maybe "airports"?  [attr-defined]',
        'use.py:8: error: Argument "select" to "Job" has incompatible type "str"; expected "Selectable"  [arg-type]',
    ]


@pytest.mark.parametrize("graph", [sandwich(), with_two_sources(), with_ephemeral(), graph(asset("raw.class"))])
def test_the_stub_is_python(graph: AssetGraph) -> None:
    compile(build_stub(graph), "dbt.pyi", "exec")


def test_a_stub_that_is_there_follows_the_graph_and_none_is_made_unasked(tmp_path: Path) -> None:
    refresh_stubs(tmp_path, sandwich())
    assert not (tmp_path / FOLDER).exists()
    file = write_stubs(tmp_path, sandwich())
    assert "orders" not in file.read_text(encoding="utf-8")
    refresh_stubs(tmp_path, with_two_sources())
    assert "orders: DbtReference" in file.read_text(encoding="utf-8")
