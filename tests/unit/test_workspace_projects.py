"""Several projects of one workspace, Python only: what they are to each other, and what a broken one leaves alone."""

from __future__ import annotations

import json
import sys
import textwrap
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from app.picture import asset_card
from orchestrator.cli.lineage import asset_line
from orchestrator.definitions.facts import WriterFact
from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import DefinitionErrors
from orchestrator.workspace import Workspace, load_workspace

HEAD = """
from orchestrator import Context, Warehouse, action, asset, check
from orchestrator.graphs import other

warehouse = Warehouse.from_dbt()
"""
READER = """
@asset(warehouse.table("ml.model"))
def model(context: Context):
    return other.raw.flights.read(context)

@asset(warehouse.table("ml.alone"))
def alone(context: Context):
    return []
"""
GRAPH: dict[str, Any] = {
    "schema_version": 1,
    "project": "ingest",
    "environment": "prod",
    "at": "2026-11-25T06:00:00Z",
    "assets": [
        {
            "key": "raw.flights",
            "relation": {"schema": "raw", "identifier": "flights"},
            "location": "assets/flights.py:12",
            "owners": ["ops@example.com"],
            "version": "run-1",
            "columns": [{"name": "origin"}],
            "columns_complete": True,
        },
        {"key": "raw.planes", "relation": {"schema": "raw", "identifier": "planes"}},
    ],
}


class Repositories:
    """A workspace `shop` and what lies beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.package = f"pkg_{uuid.uuid4().hex[:8]}"

    def write(self, file: str, text: str, *, head: str = HEAD) -> None:
        path = self.root / file.replace("PKG", self.package)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((head if path.suffix == ".py" else "") + textwrap.dedent(text), encoding="utf-8")

    def graph(self, graph: object = GRAPH) -> None:
        self.write("other.json", json.dumps(graph))

    def configure(self, projects: str) -> None:
        self.write("shop/orchestrator.toml", f'name = "shop"\npython = "{self.package}"\n{textwrap.dedent(projects)}')

    def load(self) -> Workspace:
        for name in [name for name in sys.modules if name.partition(".")[0] in (self.package,) or ":" in name]:
            del sys.modules[name]
        workspace = load_workspace(self.root / "shop")
        self.said: list[str] = []
        workspace.say = self.said.append
        return workspace

    def errors(self) -> list[str]:
        return [str(error).replace(self.package, "PKG") for error in self.load().errors]


@pytest.fixture
def repos(tmp_path: Path) -> Iterator[Repositories]:
    finders, paths = list(sys.meta_path), list(sys.path)
    found = Repositories(tmp_path)
    found.configure('[projects.other]\ngraph = "../other.json"\n')
    found.graph()
    found.write("shop/PKG/__init__.py", "", head="")
    found.write("shop/PKG/models.py", READER)
    yield found
    sys.meta_path[:], sys.path[:] = finders, paths
    for name in [name for name in sys.modules if ":" in name or name.startswith(("pkg_", "shared_"))]:
        del sys.modules[name]


def key(text: str) -> AssetKey:
    return AssetKey.parse(text)


def test_assets_of_a_published_graph_are_read_by_their_names(repos: Repositories) -> None:
    workspace = repos.load()
    assert workspace.errors == ()
    graph = workspace.graph
    assert graph.upstream[key("ml.model")] == {key("raw.flights")}
    flights = graph[key("raw.flights")]
    assert (flights.external, flights.home, flights.owners) == (True, "other", ("ops@example.com",))
    state = workspace.states()[key("raw.flights")]
    assert (state.state, state.reason) == ("external", "written in project 'other'")
    assert workspace.columns[key("raw.flights")].complete


def test_a_table_that_is_named_here_is_the_asset_of_its_relation_there(repos: Repositories) -> None:
    repos.write("shop/PKG/models.py", READER.replace("other.raw.flights", 'warehouse.table("raw.flights")'))
    workspace = repos.load()
    assert workspace.errors == ()
    assert workspace.graph.upstream[key("ml.model")] == {key("raw.flights")}
    assert workspace.graph[key("raw.flights")].home == "other"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (
            "other.raw.flihgts",
            "UnknownAssetError: project 'other' has no asset 'raw.flihgts', which 'ml.model' reads\n"
            "  at:  PKG/models.py:9\n"
            "  fix: did you mean 'raw.flights'?",
        ),
        (
            'other["no.such_thing"]',
            "UnknownAssetError: project 'other' has no asset 'no.such_thing', which 'ml.model' reads\n"
            "  at:  PKG/models.py:9\n"
            "  fix: correct the name; `orchestrator ls project:other` lists its assets",
        ),
        (
            "othr.raw.flights",
            "UnknownAssetError: 'ml.model' reads 'raw.flights' of 'othr', which is no project of this workspace\n"
            "  at:  PKG/models.py:10\n"
            "  fix: did you mean 'other'?",
        ),
    ],
)
def test_a_reference_that_leads_nowhere_is_an_error_where_it_is_used(
    repos: Repositories, code: str, error: str
) -> None:
    importing = "from orchestrator.graphs import othr\n" if code.startswith("othr") else ""
    repos.write("shop/PKG/models.py", importing + READER.replace("other.raw.flights", code))
    assert repos.errors() == [error]


def test_a_new_materialization_there_makes_the_asset_here_stale(repos: Repositories) -> None:
    workspace = repos.load()
    facts = workspace.facts()
    writer = workspace.graph[key("ml.model")].writers[0]
    built = WriterFact(
        key="ml.model",
        writer=writer.id,
        partition=None,
        status="succeeded",
        attempt_id="a1",
        run_id="r1",
        at=datetime(2026, 11, 25, tzinfo=timezone.utc),
        version="a1",
        code_version=writer.code_version,
        inputs={"raw.flights": "run-1"},
    )
    seen = {("ml.model", writer.id, None): built}
    assert workspace.states_of(replace(facts, writers={**facts.writers, **seen}))[key("ml.model")].state == "fresh"
    repos.graph({**GRAPH, "assets": [{**GRAPH["assets"][0], "version": "run-2"}]})
    workspace = repos.load()
    state = workspace.states_of(replace(facts, writers={**workspace.facts().writers, **seen}))[key("ml.model")]
    assert (state.state, state.reason) == ("stale", "raw.flights has newer data")


def test_lineage_names_the_project_of_what_is_not_ours(repos: Repositories) -> None:
    workspace = repos.load()
    states = workspace.states()
    line = asset_line(workspace.graph, key("raw.flights"), states)
    assert line.plain == "◇ raw.flights  published in other"
    assert asset_line(workspace.graph, key("ml.model"), states).plain == "○ ml.model  python"
    card = asset_card(workspace.graph[key("raw.flights")], states[key("raw.flights")])
    assert (card.subtitle, card.outside) == ("raw in other · source", True)


@pytest.mark.parametrize("access", ["private", "protected"])
def test_what_another_project_keeps_for_itself_is_not_read(repos: Repositories, access: str) -> None:
    repos.graph({**GRAPH, "assets": [{**GRAPH["assets"][0], "access": access}]})
    assert repos.errors() == [
        f"AccessError: 'ml.model' of project 'shop' reads 'raw.flights', which is {access} in project 'other'\n"
        "  at:  PKG/models.py:7 and other:assets/flights.py:12\n"
        "  fix: read a public asset of 'other', or ask ops@example.com to write `access: public` there"
    ]


def test_a_table_has_one_owner_among_all_projects(repos: Repositories) -> None:
    repos.write(
        "shop/PKG/models.py",
        """
        @asset(warehouse.table("raw.flights"))
        def flights():
            return []
        """,
    )
    assert repos.errors() == [
        "ConflictingWritersError: two projects write one table, 'raw.flights': 'shop' (python:PKG.models.flights) and "
        "'other' (raw.flights)\n"
        "  at:  PKG/models.py:7 and other:assets/flights.py:12\n"
        "  fix: let one of them write it and the other read it, or declare a further writer: "
        '@writes(table, slot="name", where={"column": "value"})'
    ]


def test_an_asset_of_the_same_name_elsewhere_gives_way(repos: Repositories) -> None:
    repos.write(
        "shop/PKG/models.py",
        """
        @asset(warehouse.table("live.flights"), key="raw.flights")
        def flights(context):
            return other.raw.flights.read(context)
        """,
    )
    workspace = repos.load()
    assert workspace.errors == ()
    assert workspace.graph.upstream[key("raw.flights")] == {key("other.raw.flights")}


# Local projects


def add_checkout(repos: Repositories, name: str, code: str) -> None:
    repos.write(f"{name}/PKG/__init__.py", "", head="")
    repos.write(f"{name}/PKG/models.py", code)
    repos.write(f"{name}/orchestrator.toml", f'python = "{repos.package}"\n')


INGEST = """
from PKG.settings import SCHEMA

@asset(warehouse.table(f"{SCHEMA}.flights"), description="the other one")
def model():
    return []
"""


def test_modules_of_one_name_in_two_repositories(repos: Repositories) -> None:
    repos.configure('[projects.other]\npath = "../ingest"\n')
    add_checkout(repos, "ingest", INGEST.replace("PKG", repos.package))
    repos.write("ingest/PKG/settings.py", 'SCHEMA = "raw"\n', head="")
    repos.write("shop/PKG/settings.py", 'SCHEMA = "wrong"\n', head="")
    workspace = repos.load()
    assert workspace.errors == ()
    ids = {str(asset.key): asset.writers[0].id for asset in workspace.graph.assets.values()}
    assert {name: id_.replace(repos.package, "PKG") for name, id_ in ids.items()} == {
        "raw.flights": "python:other:PKG.models.model",
        "ml.model": "python:PKG.models.model",
        "ml.alone": "python:PKG.models.alone",
    }
    assert workspace.graph.upstream[key("ml.model")] == {key("raw.flights")}
    assert (
        str(workspace.graph[key("raw.flights")].location).replace(repos.package, "PKG") == "../ingest/PKG/models.py:9"
    )
    assert workspace.graph[key("raw.flights")].home == "other"


def test_two_checkouts_that_write_one_table(repos: Repositories) -> None:
    repos.configure('[projects.other]\npath = "../ingest"\n')
    add_checkout(repos, "ingest", '@asset(warehouse.table("ml.alone"))\ndef mine():\n    return []\n')
    repos.write("shop/PKG/models.py", READER.replace("other.raw.flights", "warehouse"))
    assert repos.errors() == [
        "ConflictingWritersError: two projects write one table, 'ml.alone': 'shop' (python:PKG.models.alone) and "
        "'other' (python:other:PKG.models.mine)\n"
        "  at:  PKG/models.py:11 and ../ingest/PKG/models.py:6\n"
        "  fix: let one of them write it and the other read it, or declare a further writer: "
        '@writes(table, slot="name", where={"column": "value"})'
    ]


def test_a_broken_project_leaves_the_others_as_they_are(repos: Repositories) -> None:
    repos.configure('[projects.other]\npath = "../ingest"\n[projects.third]\npath = "../third"\n')
    add_checkout(repos, "ingest", "import no_such_module\n")
    add_checkout(repos, "third", '@asset(warehouse.table("third.one"))\ndef one():\n    return []\n')
    workspace = repos.load()
    assert [str(error).replace(repos.package, "PKG") for error in workspace.errors] == [
        "PythonModuleError: module 'other:PKG.models' does not import: ModuleNotFoundError: No module named "
        "'no_such_module'\n"
        "  at:  ../ingest/PKG/models.py:6\n"
        "  fix: install the package that has 'no_such_module', or correct the import",
    ]
    assert {str(key) for key in workspace.graph.assets} == {"ml.model", "ml.alone", "third.one"}
    assert [step.key for step in workspace.plan(["ml.alone", "third.one"]).steps] == ["ml.alone", "third.one"]
    with pytest.raises(DefinitionErrors) as caught:
        workspace.plan()
    assert caught.value.errors == workspace.errors
    with pytest.raises(DefinitionErrors):
        workspace.plan(["ml.model"])  # it reads something of the broken one
    with pytest.raises(DefinitionErrors):
        workspace.plan(["raw.flights"])  # what is not found may be there once the project loads


def test_a_graph_that_cannot_be_read_is_an_error_of_its_own_project(repos: Repositories) -> None:
    repos.configure('[projects.other]\ngraph = "../nothing.json"\n')
    workspace = repos.load()
    assert [str(error).replace(f"{repos.root}/", "") for error in workspace.errors] == [
        "PublishedGraphError: the graph at nothing.json cannot be read: No such file or directory\n"
        "  at:  orchestrator.toml:3\n"
        "  fix: correct 'graph', or publish it there"
    ]
    assert [step.key for step in workspace.plan(["ml.alone"]).steps] == ["ml.alone"]
    with pytest.raises(DefinitionErrors):
        workspace.plan(["ml.model"])


def test_what_is_wrong_with_the_settings_of_a_project_is_its_own_error(repos: Repositories) -> None:
    repos.configure('[projects.other]\npath = "../nowhere"\n')
    workspace = repos.load()
    assert [error.at for error in workspace.errors] == ["orchestrator.toml:4"]
    assert [step.key for step in workspace.plan(["ml.alone"]).steps] == ["ml.alone"]


def test_an_installed_package_is_imported_by_its_own_name(repos: Repositories, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = f"shared_{uuid.uuid4().hex[:8]}"
    monkeypatch.syspath_prepend(str(repos.root / "lib/site-packages"))
    repos.write(f"lib/site-packages/{shared}/__init__.py", "", head="")
    repos.write(
        f"lib/site-packages/{shared}/tables.py",
        '@asset(warehouse.table("shared.days"))\ndef days():\n    return helper()\ndef helper():\n    return []\n',
    )
    repos.configure(f'[projects.other]\npackage = "{shared}"\n[projects.third]\npackage = "not_{shared}"\n')
    repos.write(
        "shop/PKG/models.py",
        f"from {shared}.tables import days\n" + READER.replace("other.raw.flights", "days"),
    )
    workspace = repos.load()
    assert [str(error).replace(shared, "shared") for error in workspace.errors] == [
        "ConfigError: project 'third': there is no installed package 'not_shared'\n"
        "  at:  orchestrator.toml:5\n"
        "  fix: pip install not_shared, or correct 'package'"
    ]
    assert workspace.graph.upstream[key("ml.model")] == {key("shared.days")}
    assert workspace.graph[key("shared.days")].home == "other"
