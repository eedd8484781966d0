"""Definitions are found in modules, nothing is listed; one broken module does not hide the others."""

from __future__ import annotations

import textwrap
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from orchestrator.definitions.assets import Table
from orchestrator.definitions.keys import AssetKey, Relation
from orchestrator.loaders.fragments import DraftAsset, DraftCheck
from orchestrator.loaders.python_modules import PythonProject, load_python_project

HEAD = """\
from orchestrator import Context, Warehouse, action, asset, check
from orchestrator.dbt import models as dbt, sources
warehouse = Warehouse.from_dbt()
"""
FLIGHTS = """
@asset(warehouse.table("raw.flights"), owner="ops@example.com", group="core", tags=["daily"], kinds=["api"])
def flights(context: Context):
    '''Departures, one row a flight.'''
    return []
"""
Load = Callable[..., PythonProject]


def relate(table: Table) -> Relation:
    schema, _, name = table.name.rpartition(".")
    return Relation.normalised("dev", schema, name)


@pytest.fixture
def package() -> str:
    """A name of its own: imported modules stay in the process."""
    return f"assets_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def load(tmp_path: Path, package: str) -> Load:
    """Loads a package of the modules that are given."""

    def loaded(modules: Mapping[str, str] | None = None, **more: str) -> PythonProject:
        directory = tmp_path / package
        directory.mkdir()
        (directory / "__init__.py").write_text("")
        for name, text in {**(modules or {}), **more}.items():
            file = directory / f"{name}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(HEAD + textwrap.dedent(text))
        return load_python_project([package], root=tmp_path, project="scene", relate=relate, kinds=["duckdb"])

    return loaded


def drafts(project: PythonProject) -> dict[str, DraftAsset]:
    """{key: draft}; where a table is only named as well, the draft of its writer."""
    return {str(draft.asset.key): draft for draft in reversed(project.fragment.assets)}


def errors(project: PythonProject) -> list[str]:
    return [str(error) for error in project.fragment.errors]


def test_an_asset_comes_with_all_that_is_known_before_it_runs(load: Load, package: str) -> None:
    project = load(flights=FLIGHTS)
    draft = drafts(project)["raw.flights"]
    asset = draft.asset
    assert (asset.key, asset.name, asset.kind) == (AssetKey("raw", "flights"), "flights", "asset")
    assert asset.kinds == ("python", "duckdb", "api")
    assert (asset.owners, asset.group, asset.tags) == (("ops@example.com",), "core", ("daily",))
    assert asset.description == "Departures, one row a flight."
    assert asset.relation == Relation("dev", "raw", "flights")
    assert str(asset.location) == f"{package}/flights.py:5"
    (writer,) = asset.writers
    assert (writer.id, writer.engine) == (f"python:{package}.flights.flights", "python")
    assert writer.code_version is not None
    assert writer.raw_code is not None
    assert "Departures" in writer.raw_code
    assert project.definitions.keys() == {writer.id}


def test_modules_below_are_found_and_what_they_import_is_no_second_definition(load: Load, package: str) -> None:
    again = f"from {package}.flights import flights\nother_name = flights\n"
    project = load(
        {"deep/__init__": "", "deep/planes": FLIGHTS.replace("flights", "planes")}, flights=FLIGHTS, again=again
    )
    assert set(drafts(project)) == {"raw.flights", "raw.planes"}
    assert errors(project) == []


def test_using_is_declaring(load: Load, package: str) -> None:
    text = f"""
        from {package}.flights import flights

        @asset(warehouse.table("ml.delays"), after=[dbt.calendar])
        def delays(context: Context):
            old = warehouse.table("ml.delays").read(context)
            return flights.read(context), dbt.daily.read(context), warehouse.table("raw.other").read(context), old

        @action(after=[delays])
        def tidy():
            warehouse.execute
    """
    found = drafts(load(flights=FLIGHTS, delays=text))
    assert found["ml.delays"].reads == {
        f"python:{package}.flights.flights",
        "dbt:model:daily",
        "dbt:model:calendar",
        "table:dev.raw.other",
    }
    assert found["action.tidy"].reads == {f"python:{package}.delays.delays"}
    assert found["action.tidy"].asset.kind == "action"
    assert found["raw.other"].asset.external, "a table that code names is there, whoever writes it"
    (warehouse,) = found["ml.delays"].asset.resources
    assert (warehouse.name, warehouse.type, warehouse.kinds) == (
        f"{package}.delays.warehouse",
        "Warehouse",
        ("duckdb",),
    )
    assert str(warehouse.location) == f"{package}/delays.py:3"
    assert [str(place) for place in warehouse.used_at] == [f"{package}/delays.py:{line}" for line in (7, 9, 10)]


def test_a_check_needs_its_asset_and_what_else_it_reads(load: Load, package: str) -> None:
    text = """
        @check(flights)
        def no_gaps(frame):
            '''Every day is there.'''
            return dbt.calendar is not None

        @check(dbt.daily, severity="warn")
        def plausible(frame):
            return True
    """
    checks: tuple[DraftCheck, ...] = load(flights=FLIGHTS + textwrap.dedent(text)).fragment.checks
    found = {draft.check.name: draft for draft in checks}
    flights = f"python:{package}.flights.flights"
    gaps = found["no_gaps"]
    assert (gaps.asset_id, gaps.reads) == (flights, {flights, "dbt:model:calendar"})
    assert (gaps.check.severity, gaps.check.blocking) == ("error", True)
    assert gaps.check.description == "Every day is there."
    assert (found["plausible"].check.severity, found["plausible"].check.blocking) == ("warn", False)


def test_a_module_that_does_not_import_is_named_with_its_line_and_the_rest_loads(load: Load, package: str) -> None:
    project = load(
        flights=FLIGHTS,
        broken="def later():\n    return 1 / 0\n\nlater()\n",
        exits="import sys\nsys.exit(3)\n",
        misspelt="import nothing_of_that_name\n",
        syntax="def f(:\n    pass\n",
        wrong_table='@asset(warehouse.table("flights"))\ndef f(): ...\n',
        wrong_check='@check("raw.flights")\ndef f(frame): ...\n',
    )
    assert set(drafts(project)) == {"raw.flights"}
    fix = "correct the module; everything else is still listed, but nothing runs until it imports"
    assert errors(project) == [
        f"PythonModuleError: module '{package}.broken' does not import: ZeroDivisionError: division by zero\n"
        f"  at:  {package}/broken.py:5\n"
        f"  fix: {fix}",
        f"PythonModuleError: module '{package}.exits' does not import: SystemExit: 3\n"
        f"  at:  {package}/exits.py:5\n"
        f"  fix: {fix}",
        f"PythonModuleError: module '{package}.misspelt' does not import: "
        "ModuleNotFoundError: No module named 'nothing_of_that_name'\n"
        f"  at:  {package}/misspelt.py:4\n"
        "  fix: install the package that has 'nothing_of_that_name', or correct the import",
        f"PythonModuleError: module '{package}.syntax' does not import: "
        "SyntaxError: invalid syntax (syntax.py, line 4)\n"
        f"  at:  {package}/syntax.py:4\n"
        f"  fix: {fix}",
        "DefinitionError: @check needs an asset, not 'raw.flights'\n"
        f"  at:  {package}/wrong_check.py:4\n"
        "  fix: pass the object, as in @check(flights)",
        "DefinitionError: 'flights' does not name a table\n"
        f"  at:  {package}/wrong_table.py:4\n"
        "  fix: write 'schema.table', for example 'raw.flights'",
    ]


def test_a_module_that_was_broken_loads_once_it_is_corrected(load: Load, tmp_path: Path, package: str) -> None:
    assert len(load(flights="1 / 0").fragment.errors) == 1
    (tmp_path / package / "flights.py").write_text(HEAD + FLIGHTS)
    project = load_python_project([package], root=tmp_path, project="scene", relate=relate)
    assert set(drafts(project)) == {"raw.flights"}


def test_a_package_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    project = load_python_project(["no_such_package"], root=tmp_path, project="scene", relate=relate)
    assert errors(project) == [
        f"PythonModuleError: there is no Python package 'no_such_package' in {tmp_path}\n"
        "  fix: correct 'python' in [tool.orchestrator], or create the package"
    ]


def test_the_code_version_is_the_codes(load: Load, tmp_path: Path) -> None:
    text = FLIGHTS + FLIGHTS.replace("flights", "planes").replace("return []", "return [1]")
    found = drafts(load(flights=text))
    versions = {name: draft.asset.writers[0].code_version for name, draft in found.items()}
    assert versions["raw.flights"] != versions["raw.planes"]
