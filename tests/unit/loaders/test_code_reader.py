"""What a function refers to, and when its code counts as changed."""

from __future__ import annotations

import importlib.util
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from orchestrator import Resource, Warehouse
from orchestrator.definitions.assets import DbtReference, Definition, Table
from orchestrator.loaders.code_reader import CodeReading, read_code

HEAD = """
from orchestrator import Context, Warehouse, action, asset, check
from orchestrator.dbt import models as dbt, sources
import functools

warehouse = Warehouse.from_dbt()
TABLE = warehouse.table("raw.planes")

@asset(warehouse.table("raw.flights"))
def flights():
    return []

def build(make=None):
    return make
"""
Read = Callable[..., CodeReading]


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., ModuleType]:
    """Imports a module with `text` in it, under a name of its own."""

    def imported(text: str, *, name: str = "story", head: str = HEAD) -> ModuleType:
        file = tmp_path / f"{name}.py"
        file.write_text(head + textwrap.dedent(text), encoding="utf-8")
        spec = importlib.util.spec_from_file_location(f"{name}", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    return imported


@pytest.fixture
def read(load: Callable[..., ModuleType], tmp_path: Path) -> Read:
    """Reads the function `it` of a module."""

    def reading(text: str, **more: Any) -> CodeReading:
        function = load(text, **more).it
        function = function.fn if isinstance(function, Definition) else function
        return read_code(function, is_project_file=lambda file: Path(file).is_relative_to(tmp_path))

    return reading


def names(reading: CodeReading) -> list[str]:
    """What was found, in the words of the test; the warehouse itself left out."""
    found = []
    for use in reading.uses:
        match use.target:
            case DbtReference():
                found.append(use.target.id)
            case Table():
                found.append(f"table:{use.target.name}")
            case Definition():
                found.append(use.target.name)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def it(context): return flights.read(context)", ["flights"]),
        ("def it(context): return dbt.daily_delays.read(context)", ["dbt:model:daily_delays"]),
        ("def it(context): return dbt['shop.daily'].read(context)", ["dbt:model:shop.daily"]),
        ("def it(context): return sources.raw.flights.read(context)", ["dbt:source:raw.flights"]),
        ("def it(context): return sources['raw']['flights'].read(context)", ["dbt:source:raw.flights"]),
        ("def it(context): return TABLE.read(context)", ["table:raw.planes"]),
        ("def it(context): return warehouse.table('raw.x').read(context)", ["table:raw.x"]),
        ("def it(context): return context.read(flights)", ["flights"]),
        ("def it(context): return [context.read(each) for each in (flights, TABLE)]", ["flights", "table:raw.planes"]),
        ("async def it(context): return flights.read(context)", ["flights"]),
        ("it = lambda context: flights.read(context)", ["flights"]),
        ("it = build(make=lambda: flights)", ["flights"]),
    ],
    ids=lambda value: value.partition(": ")[2] or value if isinstance(value, str) else "",
)
def test_a_name_in_the_code_is_a_reference(read: Read, text: str, expected: list[str]) -> None:
    assert names(read(text)) == expected


RESOURCES = """
from dataclasses import dataclass
from orchestrator import Resource, Warehouse, asset
from orchestrator.dbt import models as dbt
import contextlib
import functools
import operator

@dataclass(frozen=True)
class Api(Resource):
    url: str = ""

    def rows(self, context):
        return [warehouse, self.url]

    @property
    def name(self):
        return self.url

warehouse = Warehouse.from_dbt()
api, spare = Api("https://example.com"), Api("https://spare.example.com")
TABLE = warehouse.table("raw.planes")
APIS = {"main": api, "spare": spare}
SEVERAL = [api, [TABLE]]

@asset(warehouse.table("raw.flights"))
def flights():
    return []

def twice(fn):
    @functools.wraps(fn)
    def wrapped(*args):
        api.rows(None)
        return fn(*args)
    return wrapped

class Reader:
    fallback = TABLE
    __slots__ = ("source",)

    def __init__(self, source):
        self.source = source

    def rows(self, context):
        return self._ask(context)

    def _ask(self, context):
        return self.source.url

    def planes(self):
        return self.fallback

    @property
    def first(self):
        return self.source

    @classmethod
    def of_class(cls):
        return cls.fallback

    @staticmethod
    def of_nothing():
        return flights

class Deeper(Reader):
    def rows(self, context):
        return super().rows(context)

reader = Reader(spare)
deeper = Deeper(api)
method = reader.rows
bound = functools.partial(lambda source, context: context, api)
by_name = operator.attrgetter("rows")
"""


def told(reading: CodeReading) -> list[str]:
    """Each use as `target:line`, lines counted from the end of RESOURCES."""
    words = []
    for use in reading.uses:
        match use.target:
            case Warehouse():
                word = "warehouse"
            case Resource():
                word = "spare" if "spare" in repr(use.target) else "api"
            case DbtReference():
                word = use.target.name
            case _:
                word = use.target.name
        line = use.line - RESOURCES.count("\n")
        words.append(f"{word}:{line}" if line > 0 else word)
    return words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def it():\n    return api.url", ["api:2"]),
        ("def it():\n    return api.rows(None)", ["api:2", "warehouse"]),
        ("def it():\n    return api.unheard_of", ["api:2", "warehouse"]),
        ("def it():\n    return [each.url for each in [api]]", ["api:2", "warehouse"]),
        ("def it():\n    return {n: api.url for n in 'ab'}", ["api:2"]),
        ("def it():\n    return (lambda x: api.url)(1)", ["api:2"]),
        ("def it():\n    def inner():\n        return api.url\n    return inner", ["api:3"]),
        ("def it(source=api):\n    return source", ["api:1", "warehouse"]),
        ("def it(*, source=TABLE):\n    return source", ["raw.planes:1"]),
        ("def it():\n    return bound(None)", ["api:2", "warehouse"]),
        ("it = functools.partial(lambda source: source, TABLE)", ["raw.planes:1"]),
        ("@twice\ndef it():\n    return TABLE", ["api", "warehouse", "raw.planes:3"]),
        ("@contextlib.contextmanager\ndef helper():\n    yield api.url\ndef it():\n    with helper(): pass", ["api:3"]),
        ("@functools.lru_cache\ndef helper():\n    return api.url\ndef it():\n    return helper()", ["api:3"]),
        ("def it():\n    return APIS['spare'].url", ["spare:2"]),
        ("def it():\n    return SEVERAL[0].url", ["api:2"]),
        ("def it():\n    return list(APIS)", ["api:2", "warehouse", "spare:2", "warehouse"]),
        ("def it():\n    for each in SEVERAL: print(each)", ["api:2", "warehouse", "raw.planes:2"]),
        ("def it():\n    return reader.rows(None)", ["spare"]),
        ("def it():\n    return method(None)", ["spare"]),
        ("def it():\n    return deeper.rows(None)", ["api"]),
        ("def it():\n    return reader.planes()", ["raw.planes"]),
        ("def it():\n    return reader.first", ["spare", "warehouse"]),
        ("def it():\n    return reader.source.url", ["spare:2"]),
        ("def it():\n    return Reader.fallback", ["raw.planes:2"]),
        ("def it():\n    return Reader.of_class()", ["raw.planes"]),
        ("def it():\n    return Reader.of_nothing()", ["flights"]),
        (
            "def it(context):\n    return Reader(api).planes()",
            ["raw.planes", "raw.planes", "flights", "api:2", "warehouse"],
        ),
        ("def it():\n    return getattr(api, 'url')", ["api:2"]),
        ("def it():\n    from story import api as source\n    return source.url", ["api:3"]),
        ("def it():\n    import story\n    return story.api.url", ["api:3"]),
        ("def it():\n    return warehouse.table('raw.' + name)", ["warehouse:2"]),
        ("def it():\n    return [flights for flights in 'ab'], (lambda api: api)(1)", []),
        ("def it():\n    twin = lambda flights: flights\n    return twin(flights)", ["flights:3"]),
        ("async def it():\n    async with api.rows(None): pass", ["api:2", "warehouse"]),
    ],
    ids=lambda value: value.replace("\n", " ") if isinstance(value, str) else "",
)
def test_every_way_to_name_a_resource_is_seen(read: Read, text: str, expected: list[str]) -> None:
    assert told(read(text, head=RESOURCES)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "def it(name):\n    return globals()[name]",
        "def it(name):\n    import story\n    return getattr(story, name)",
        "def it():\n    return eval('api')",
        "def it():\n    import importlib\n    return importlib.import_module('story').api",
        "def it(source):\n    return source.rows(None)",
    ],
)
def test_what_cannot_be_seen_is_not_guessed(read: Read, text: str) -> None:
    """The list in docs/how-to/resources.md; a run finds these."""
    assert told(read(text, head=RESOURCES)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import sqlite3\ndef it(): return sqlite3.connect('a.db')", ["sqlite3.connect:2"]),
        ("from sqlite3 import connect as open_it\ndef it(): return open_it('a.db')", ["sqlite3.connect:2"]),
        ("def it():\n    import duckdb\n    return duckdb.connect('a.db')", ["duckdb.connect:3"]),
        (
            "def it():\n    from sqlalchemy import create_engine\n    return create_engine(URL)",
            ["sqlalchemy.create_engine:3"],
        ),
        (
            "def helper():\n    import psycopg\n    return psycopg.connect()\ndef it(): return helper()",
            ["psycopg.connect:3"],
        ),
        ("import sqlite3\ndef it(): return sqlite3.connect(':memory:')", []),
        ("def it():\n    import duckdb\n    return duckdb.connect()", []),
        ("def it():\n    import duckdb\n    return duckdb.sql('select 1')", []),
    ],
)
def test_databases_that_are_opened_directly_are_seen(read: Read, text: str, expected: list[str]) -> None:
    found = read(text, head="").direct
    assert [f"{use.target}:{use.line}" for use in found] == expected


def test_an_attribute_that_a_method_reads_is_part_of_the_code_version(read: Read) -> None:
    text = "class A:\n    def __init__(self): self.limit = 1\n    def f(self): return self.limit\na = A()\n"
    text += "def it(): return a.f()"
    assert digest(read, text) != digest(read, text.replace("limit = 1", "limit = 2"))


def test_it_is_found_in_a_closure(read: Read) -> None:
    text = """
        def make(upstream):
            def it(context):
                return upstream.read(context)
            return it

        it = make(flights)
    """
    assert names(read(text)) == ["flights"]


def test_it_is_found_in_the_helpers_that_are_called(read: Read) -> None:
    text = """
        class Reader:
            def rows(self, context):
                return inner(context)

        def inner(context):
            return dbt.daily.read(context)

        def it(context):
            return Reader().rows(context)
    """
    assert names(read(text)) == ["dbt:model:daily"]


def test_it_is_found_through_partial_and_decorators(read: Read) -> None:
    text = """
        def twice(fn):
            @functools.wraps(fn)
            def wrapped(*args):
                return fn(*args), fn(*args)
            return wrapped

        @twice
        def helper(context):
            return flights.read(context)

        bound = functools.partial(helper, None)

        def it(context):
            return bound()
    """
    assert names(read(text)) == ["flights"]


def test_it_is_found_through_another_module(read: Read, load: Callable[..., ModuleType]) -> None:
    load("", name="reference_data")
    assert names(read("import reference_data\ndef it(context): return reference_data.flights.read(context)")) == [
        "flights"
    ]


def test_each_place_has_its_file_and_line(read: Read, tmp_path: Path) -> None:
    reading = read("def it(context):\n    rows = 1\n    return flights.read(context)")
    line = HEAD.count("\n") + 3
    assert [(use.file, use.line) for use in reading.uses] == [(str(tmp_path / "story.py"), line)]


def test_a_parameter_or_a_local_of_the_same_name_is_another_thing(read: Read) -> None:
    assert names(read("def it(flights): return flights")) == []
    assert names(read("def it():\n    flights = 1\n    return flights")) == []


def test_a_function_that_refers_to_itself_ends(read: Read) -> None:
    assert names(read("def it(n): return it(n - 1) if n else flights")) == ["flights"]


def test_library_code_is_not_entered(read: Read) -> None:
    assert set(read("import json\ndef it(): return json.dumps(1)").parts) == {"story.it"}


def digest(read: Read, text: str) -> str:
    return read(text).digest


METHOD = "class A:\n    def f(self): return 1\ndef it(): return A()"
SAME = "def helper(): return 1\ndef it():\n    return helper()"


def test_layout_comments_and_docstrings_do_not_change_the_code_version(read: Read) -> None:
    other = 'def helper():\n    # one\n    return 1\n\n\ndef it():\n    """Docs."""\n    return (helper())'
    assert digest(read, SAME) == digest(read, other)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (SAME, SAME.replace("1", "2")),
        (SAME, SAME.replace("helper()\n", "helper(x=0)\n").replace("helper():", "helper(x=0):")),
        ("LIMIT = 1\ndef it(): return LIMIT", "LIMIT = 2\ndef it(): return LIMIT"),
        ("NAMES = {'a': [1]}\ndef it(): return NAMES", "NAMES = {'a': [2]}\ndef it(): return NAMES"),
        (
            "class A:\n    def f(self): return 1\ndef it(): return A()",
            "class A:\n    def f(self): return 2\ndef it(): return A()",
        ),
        ("it = lambda: 1", "it = lambda: 2"),
    ],
    ids=["helper", "default", "constant", "container", "method", "lambda"],
)
def test_what_it_does_changes_the_code_version(read: Read, before: str, after: str) -> None:
    assert digest(read, before) != digest(read, after)


def test_code_that_it_does_not_call_does_not_change_its_version(read: Read) -> None:
    assert digest(read, SAME) == digest(read, SAME + "\ndef other(): return 3")


def test_work_that_runs_elsewhere_is_part_of_the_code(read: Read) -> None:
    text = """
        from orchestrator import ExternalPython, Shell
        fit = ExternalPython("python3", script="fit.py", args=["{0}"], resources={{"warehouse": warehouse}})
        def it(context):
            return fit.run(context)
    """
    before, after = read(text.format("a"), name="first"), read(text.format("b"), name="first")
    assert [work.label for work in before.works] == ["fit.py"]
    assert before.digest != after.digest
    assert [use.target for use in before.uses] == [Warehouse()]
    assert not before.starts


def test_work_that_a_function_makes_itself_names_its_files_there(read: Read) -> None:
    reading = read("from orchestrator import Shell\ndef it(context):\n    return Shell('bin/upload').run(context)\n")
    assert reading.starts
    assert "bin/upload" in reading.texts
