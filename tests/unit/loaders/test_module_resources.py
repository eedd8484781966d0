"""Resources of modules: named after their variable, with the line, checked settings, and who uses them."""

from __future__ import annotations

import textwrap
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.definitions.keys import Relation
from orchestrator.graph.model import Asset
from orchestrator.loaders.python_modules import PythonProject, load_python_project

API = """\
from dataclasses import dataclass
from orchestrator import Env, Resource, Secret, Warehouse

@dataclass(frozen=True)
class Api(Resource):
    url: str
    token: str = ""
    pages: int = 1

    @property
    def kinds(self):
        return ("http",)

    def rows(self):
        return self.resolved.url
"""
Load = Callable[..., PythonProject]


@pytest.fixture
def package() -> str:
    return f"assets_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def load(tmp_path: Path, package: str) -> Load:
    def loaded(**modules: str) -> PythonProject:
        directory = tmp_path / package
        directory.mkdir()
        for name, text in {"__init__": "", "a_user": "", "api": API, **modules}.items():
            (directory / f"{name}.py").write_text(textwrap.dedent(text).replace("PACKAGE", package))
        relate = lambda table: Relation.normalised("dev", *table.name.split("."))  # noqa: E731
        return load_python_project([package], root=tmp_path, project="scene", relate=relate, kinds=["duckdb"])

    return loaded


def listed(project: PythonProject, package: str) -> list[tuple[str, str]]:
    """(name, file:line), both without the package."""
    return [
        (item.name.removeprefix(f"{package}."), str(item.location).removeprefix(f"{package}/"))
        for item in project.resources
    ]


def test_each_has_the_name_of_its_variable_and_the_line_where_it_is_made(load: Load, package: str) -> None:
    text = """
        from PACKAGE.api import Api, Env
        one, two = Api("1"), Api(
            "2",
        )
        three: Api = Api("3")
        by_name = {"x": Api("x"),
                   "y": one}
        several = [
            Api("s"),
            by_name["x"],
        ]
        class Sources:
            main = Api("main")
            same = one
        class Reader:
            def __init__(self, source):
                self.source = source
        reader = Reader(source=Api("inner"))
        if True:
            late = Api("late")
        other_name = three
    """
    project = load(made=text, a_user="from PACKAGE.made import one as first\nalias = first\n")
    assert listed(project, package) == [
        ("made.Sources.main", "made.py:14"),
        ("made.by_name['x']", "made.py:7"),
        ("made.late", "made.py:21"),
        ("made.one", "made.py:3"),
        ("made.reader.source", "made.py:19"),
        ("made.several[0]", "made.py:10"),
        ("made.three", "made.py:6"),
        ("made.two", "made.py:3"),
    ]


def test_what_is_imported_from_elsewhere_is_known_but_not_ours_to_check(
    load: Load, package: str, tmp_path: Path
) -> None:
    (tmp_path / f"lib_{package}.py").write_text(API + "shared = Api(Env('STORY_NOWHERE'))\n")
    project = load(made="from lib_PACKAGE import shared\n")
    assert listed(project, package) == [("made.shared", "made.py:1")]
    assert project.fragment.errors == ()


def test_everything_that_is_wrong_with_settings_is_listed_at_once(load: Load, package: str, tmp_path: Path) -> None:
    text = f"""
        from PACKAGE.api import Api, Env, Secret
        first = Api(
            Env("STORY_NOWHERE"),
            token=Secret.file("{tmp_path}/nothing"),
        )
        second = Api(3, pages=Env("STORY_PAGES", default="many"))
    """
    assert [str(error) for error in load(made=text).fragment.errors] == [
        f"DefinitionError: url of {package}.made.first: the environment variable STORY_NOWHERE is not set\n"
        f"  at:  {package}/made.py:3\n"
        '  fix: set STORY_NOWHERE, or write Env("STORY_NOWHERE", default=…)',
        f"DefinitionError: token of {package}.made.first: there is no secret file {tmp_path}/nothing\n"
        f"  at:  {package}/made.py:3\n"
        "  fix: mount the secret there, or correct the path",
        f"DefinitionError: url of {package}.made.second: 3 is no str\n"
        f"  at:  {package}/made.py:7\n"
        "  fix: give it a value of type str",
        f"DefinitionError: pages of {package}.made.second: str is no int\n"
        f"  at:  {package}/made.py:7\n"
        "  fix: give it a value of type int",
    ]


USERS = """
    from orchestrator import action, asset, check
    from PACKAGE.api import Api, Warehouse
    import pandas as pd

    warehouse = Warehouse.from_dbt()
    api = Api("https://example.com")

    def helper():
        return api.rows()

    @asset(warehouse.table("raw.flights"), kinds=["mine"])
    def flights() -> "list[str]":
        return [helper(), "s3://lake/flights.parquet"]

    @check(flights)
    def known(frame):
        return api.rows()

    @action(after=[flights])
    def tidy(context):
        warehouse.execute(context, "checkpoint")

    @asset(Warehouse.from_dbt().table("raw.frames"))
    def frames() -> pd.DataFrame:
        return pd.DataFrame()
"""


def assets_of(project: PythonProject) -> dict[str, Asset]:
    return {draft.asset.key.name: draft.asset for draft in project.fragment.assets}


def test_who_uses_it_is_known_with_each_place(load: Load, package: str) -> None:
    project = load(made=USERS)
    found = assets_of(project)
    used = {
        name: {
            item.name.removeprefix(f"{package}."): [place.line for place in item.used_at] for item in asset.resources
        }
        for name, asset in found.items()
    }
    assert used == {
        "flights": {"made.warehouse": [12], "made.api": [10]},
        "tidy": {"made.warehouse": [22]},
        "frames": {f"Warehouse in {package}.made": [24]},
    }
    (known,) = project.fragment.checks
    assert [(item.type, str(item.location)) for item in known.check.resources] == [("Api", f"{package}/made.py:7")]


def test_nobody_needs_to_write_kinds(load: Load) -> None:
    found = assets_of(load(made=USERS))
    assert found["flights"].kinds == ("python", "duckdb", "http", "mine", "parquet")
    assert found["frames"].kinds == ("python", "duckdb", "pandas")
    assert found["tidy"].kinds == ("python", "action", "duckdb")
