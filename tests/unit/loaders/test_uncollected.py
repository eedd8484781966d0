"""What looks like a definition and was not collected is said, with its place and the reason."""

from __future__ import annotations

import sys
import textwrap
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.loaders.python_modules import load_python_project

HEAD = "import orchestrator as orc\nfrom orchestrator import Job, Warehouse, asset, tag\nw = Warehouse.from_dbt()\n"


@pytest.fixture
def warnings(tmp_path: Path) -> Callable[..., list[str]]:
    package = f"scene_{uuid.uuid4().hex[:8]}"

    def load(code: str, **files: str) -> list[str]:
        for name, text in {"__init__": code, **files}.items():
            file = tmp_path / package / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(HEAD + textwrap.dedent(text), encoding="utf-8")
        project = load_python_project([package], root=tmp_path, project="scene", relate=lambda table: None)
        for name in [name for name in sys.modules if name.startswith(package)]:
            del sys.modules[name]
        assert project.fragment.errors == ()
        return [line.replace(package, "assets") for line in project.fragment.warnings]

    return load


def test_nothing_is_said_of_definitions_that_were_collected(warnings: Callable[..., list[str]]) -> None:
    code = """
    @asset(w.table("raw.a"))
    def a(): ...

    @orc.check(a)
    def fine(): ...
    """
    assert warnings(code) == []


def test_a_definition_that_another_hides_is_said(warnings: Callable[..., list[str]]) -> None:
    code = """
    @asset(w.table("raw.a"))
    def load(): ...

    @asset(w.table("raw.b"))
    def load(): ...
    """
    assert warnings(code) == [
        "assets/__init__.py:6: 'load' looks like a definition but is none: line 9 uses its name again; give one of "
        "them another name"
    ]


def test_definitions_inside_of_functions_classes_and_branches_are_said(warnings: Callable[..., list[str]]) -> None:
    code = """
    def make():
        @asset(w.table("raw.a"))
        def inner(): ...
        return inner

    class Loads:
        @orc.asset(w.table("raw.b"))
        def method(): ...

    if False:
        @asset(w.table("raw.c"))
        def conditional(): ...

    @asset(w.table("raw.d"))
    def deleted(): ...
    del deleted
    """
    none = "looks like a definition but is none"
    assert sorted(warnings(code)) == [
        f"assets/__init__.py:12: 'method' {none}: it is inside of the class 'Loads'; move it to the module",
        f"assets/__init__.py:16: 'conditional' {none}: it stands in a branch that did not run; take it out of the "
        "branch",
        f"assets/__init__.py:19: 'deleted' {none}: something has replaced it or taken it out of the module; keep it at "
        "module level under its own name",
        f"assets/__init__.py:7: 'inner' {none}: it is inside of the function 'make'; move it to the module",
    ]


def test_a_folder_that_is_no_package_is_said(warnings: Callable[..., list[str]]) -> None:
    assert warnings("", **{"lost/orders": "", "kept/__init__": "", "kept/more": ""}) == [
        "assets/lost: its Python files are not looked at, since it has no __init__.py; add an empty one"
    ]
