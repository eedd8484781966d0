"""Modules of two repositories that are called the same."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.loaders.private_modules import PrivateModules

FLIGHTS = """
import json
from dataclasses import dataclass

from assets import places
from assets.helpers import where
from . import places as again

@dataclass
class Row:
    origin: str

def late():
    import assets.helpers
    from assets.helpers import where as found
    return assets.helpers.WHERE, found(), again is places, json.dumps(1)
"""


def write_repository(directory: Path) -> Path:
    files = {
        "assets/__init__.py": "",
        "assets/flights.py": FLIGHTS,
        "assets/places.py": f"HERE = {directory.name!r}\n",
        "assets/helpers.py": f"WHERE = {directory.name!r}\ndef where():\n    return WHERE\n",
        "loose/thing.py": "from loose import other\n",
        "loose/other.py": "",
    }
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, encoding="utf-8")
    return directory


def load(project: str, root: Path, module: str = "assets.flights") -> Any:
    PrivateModules(project, root, ["assets"]).install()
    return importlib.import_module(f"{project}:{module}")


@pytest.fixture(autouse=True)
def _clean() -> Any:
    finders = list(sys.meta_path)
    yield
    sys.meta_path[:] = finders
    for name in [name for name in sys.modules if ":" in name]:
        del sys.modules[name]


def test_each_repository_sees_its_own_modules_also_late(tmp_path: Path) -> None:
    one = load("one", write_repository(tmp_path / "first"))
    other = load("other", write_repository(tmp_path / "second"))
    assert one.late() == ("first", "first", True, "1")
    assert other.late() == ("second", "second", True, "1")
    assert one.where.__module__ == "one:assets.helpers"
    assert "assets" not in sys.modules
    assert one.Row("JFK") == one.Row("JFK")


def test_a_directory_without_init_is_a_package_where_nothing_installed_is_called_so(tmp_path: Path) -> None:
    write_repository(tmp_path / "first")
    (tmp_path / "first/json").mkdir()
    (tmp_path / "first/json/x.py").write_text("", encoding="utf-8")
    assert load("one", tmp_path / "first", "loose.thing").other.__name__ == "one:loose.other"
    assert load("one", tmp_path / "first").late()[3] == "1"


def test_a_project_that_has_moved_is_read_from_its_new_place(tmp_path: Path) -> None:
    assert load("one", write_repository(tmp_path / "first")).places.HERE == "first"
    assert load("one", write_repository(tmp_path / "second")).places.HERE == "second"
