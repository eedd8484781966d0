"""What a type checker says to those who use the library: nothing to right uses, something to each wrong one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from mypy import api

import orchestrator
import orchestrator.testing
from tests.documents import ROOT

pytestmark = pytest.mark.slow  # a type checker reads the whole library

FIXTURES = ROOT / "tests/fixtures/typing"
SAID = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+): error: .*\[(?P<code>[\w-]+)\]$")
EXPECTED = re.compile(r"# wrong: ([\w, -]+)$")


def errors(path: Path) -> list[tuple[int, str]]:
    """(line, code) of all that `mypy --strict` says about a file."""
    out, problems, _ = api.run(["--strict", "--hide-error-context", "--no-pretty", str(path)])
    assert not problems, problems
    found = [SAID.match(line) for line in out.splitlines() if ": error:" in line]
    assert all(found), out
    return sorted({(int(one["line"]), one["code"]) for one in found if one})


def test_right_uses_are_right() -> None:
    assert errors(FIXTURES / "right.py") == []


def test_right_uses_hold_everything_that_is_exported() -> None:
    names = {node.id for node in ast.walk(ast.parse((FIXTURES / "right.py").read_text())) if isinstance(node, ast.Name)}
    assert {*orchestrator.__all__, *orchestrator.testing.__all__} <= names


def test_each_wrong_use_is_flagged() -> None:
    lines = (FIXTURES / "wrong.py").read_text(encoding="utf-8").splitlines()
    expected = [
        (number, code)
        for number, line in enumerate(lines, 1)
        if (found := EXPECTED.search(line))
        for code in found[1].split(", ")
    ]
    assert len(expected) > 30
    assert errors(FIXTURES / "wrong.py") == expected
