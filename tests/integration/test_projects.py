"""Several projects in one workspace, with dbt: published graphs, segments, environments, broken ones."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import DefinitionErrors
from orchestrator.execution.executor import run_plan
from orchestrator.execution.publishing import publish
from orchestrator.graph.columns import ColumnKey
from orchestrator.validation.findings import Settings
from orchestrator.validation.validate import validate
from orchestrator.workspace import Workspace, load_workspace
from tests.integration.dbt_projects import write_project
from tests.integration.workspaces import Scene, scene

pytestmark = pytest.mark.slow

INGEST = {
    "models/flights.sql": "{{ config(materialized='table', schema='raw') }} select 'JFK' as origin, 7 as delay",
    "models/secret.sql": "{{ config(materialized='table', schema='raw') }} select 1 as id",
    "models/models.yml": """
        models:
          - name: flights
            description: One row a flight.
            config: {access: public, meta: {owner: ops@example.com}}
            columns: [{name: origin, description: Where from., data_tests: [not_null]}]
          - {name: secret, access: protected}
    """,
}
READER_SOURCES = """
    sources:
      - name: upstream
        schema: dev_raw
        tables: [{name: flights}, {name: secret}]
"""


def key(text: str) -> AssetKey:
    return AssetKey.parse(text)


def ingest(directory: Path, **more: str) -> Scene:
    return scene(directory / "ingest", {**INGEST, **more})


def reader(directory: Path, model: str, *, projects: str = '[projects.ingest]\ngraph = "../graph.json"\n') -> Scene:
    """A workspace whose warehouse is the other one's, as a reader of a shared warehouse has it."""
    found = scene(directory / "reader", {})
    (found.root / "dbt").rename(found.root / "unused")
    profile = f"""
        web:
          target: dev
          outputs:
            dev: {{type: duckdb, path: '{directory}/ingest/dbt/warehouse.duckdb', schema: web}}
    """
    files = {
        "dbt_project.yml": "name: web\nversion: '1.0'\nprofile: web\n",
        "profiles.yml": profile,
        "models/sources.yml": READER_SOURCES,
        "models/busy.sql": model,
    }
    write_project(found.root / "dbt", files)
    settings = (found.root / "orchestrator.toml").read_text(encoding="utf-8")
    (found.root / "orchestrator.toml").write_text(settings + textwrap.dedent(projects), encoding="utf-8")
    return found


def findings(workspace: Workspace) -> list[str]:
    report = validate(workspace, frozenset(workspace.graph.assets), settings=Settings(), exact=False)
    return [
        f"{item.file}:{item.line} {item.rule}: {item.message} ({item.fix})"
        for item in report.findings
        if item.severity == "error"
    ]


def test_a_published_graph_is_the_upstream_of_another_repository(tmp_path: Path) -> None:
    there = ingest(tmp_path)
    assert there.run().status == "succeeded"
    published = publish(there.load(), to=str(tmp_path / "graph.json"))
    document = json.loads((tmp_path / "graph.json").read_text(encoding="utf-8"))
    flights = next(item for item in document["assets"] if item["key"] == "raw.flights")
    assert (flights["relation"], flights["access"], flights["owners"], flights["columns_complete"]) == (
        {"identifier": "flights", "schema": "dev_raw", "database": "warehouse"}, "public", ["ops@example.com"], True,
    )  # fmt: skip
    assert [(item["name"], item["type"], item["description"]) for item in flights["columns"]] == [
        ("origin", "VARCHAR", "Where from."),
        ("delay", "INTEGER", ""),
    ]
    assert [(item["rows"], item["version"]) for item in flights["materializations"]] == [(1, flights["version"])]
    assert [(item["name"], item["status"]) for item in flights["checks"]] == [("not_null_flights_origin", "succeeded")]
    assert published.to == str(tmp_path / "graph.json")

    here = reader(tmp_path, "select origin, delay from {{ source('upstream', 'flights') }}")
    workspace = here.load()
    assert workspace.graph.upstream[key("web.busy")] == {key("raw.flights")}
    assert workspace.graph[key("raw.flights")].home == "ingest"
    assert "upstream.flights" in workspace.graph[key("raw.flights")].aliases
    assert findings(workspace) == []
    assert here.run("web.busy").status == "succeeded"
    assert here.states() == {"web.busy": "fresh"}

    there.run("raw.flights")  # a new materialization there …
    assert here.states() == {"web.busy": "fresh"}
    publish(there.load(), to=str(tmp_path / "graph.json"))
    assert here.states() == {"web.busy": "stale"}  # … is stale here once it is known
    assert here.reason("web.busy") == "raw.flights has newer data"
    assert [step.key for step in here.load().plan(stale=True).to_build] == ["web.busy"]


def test_columns_that_the_published_graph_has_not_are_found_before_anything_runs(tmp_path: Path) -> None:
    publish(ingest(tmp_path).load(), to=str(tmp_path / "graph.json"))
    here = reader(tmp_path, "select origin, dealy from {{ source('upstream', 'flights') }}")
    assert findings(here.load()) == [
        "dbt/models/busy.sql:1 unknown-column: dev_raw.flights has no column dealy (did you mean 'delay'?)"
    ]


def test_a_protected_model_is_not_read_from_another_repository(tmp_path: Path) -> None:
    publish(ingest(tmp_path).load(), to=str(tmp_path / "graph.json"))
    here = reader(tmp_path, "select id from {{ source('upstream', 'secret') }}")
    with pytest.raises(AssertionError) as caught:
        here.load()
    assert str(caught.value).startswith(
        "AccessError: 'web.busy' of project 'scene' reads 'raw.secret', which is protected in project 'ingest'\n"
        "  at:  dbt/models/busy.sql:1 and ingest:dbt/models/secret.sql:1\n"
        "  fix: read a public asset of 'ingest', or ask its owner to write `access: public` there"
    )


def test_column_lineage_goes_into_the_published_graph(tmp_path: Path) -> None:
    publish(ingest(tmp_path).load(), to=str(tmp_path / "graph.json"))
    here = reader(tmp_path, "select delay as late from {{ source('upstream', 'flights') }}")
    (edge,) = here.load().columns.sources(ColumnKey(key("web.busy"), "late"))
    assert str(edge.source) == "raw.flights.delay"


def test_after_a_production_run_the_graph_is_published(tmp_path: Path) -> None:
    there = ingest(tmp_path)
    settings = (there.root / "orchestrator.toml").read_text(encoding="utf-8")
    place = tmp_path / "out/graph.json"
    published = f'[publish]\nto = "{place}"\nafter = "production"\n'
    (there.root / "orchestrator.toml").write_text(settings + published, encoding="utf-8")
    assert there.run().status == "succeeded"
    assert not place.exists()  # dev is no production
    there.environment = "prod"
    assert there.run().status == "succeeded"
    document = json.loads(place.read_text(encoding="utf-8"))
    assert (document["environment"], {item["state"] for item in document["assets"]}) == ("prod", {"fresh"})
    place.unlink()
    place.parent.rmdir()
    place.parent.write_text("in the way", encoding="utf-8")
    ran = there.run()
    assert (ran.status, ran.result.reason) == ("succeeded", "")
    said = f"the graph was not published after the run: the graph at {place} cannot be written: File exists"
    assert f"warning: {said}" in there.said
    run = there.load().history.run(ran.result.run_id, logs=True)
    assert run is not None
    assert [(line.level, line.message) for line in run.log if "published" in line.message] == [("warning", said)]


# Two dbt projects in one workspace


OTHER_PROFILE = """
    other:
      target: dev
      outputs:
        dev: {type: duckdb, path: '%s', schema: other}
        prod: {type: duckdb, path: other_prod.duckdb, schema: other}
"""


def pair(
    directory: Path, mine: dict[str, str], theirs: dict[str, str], *, python: str = "", file: str | None = None
) -> Scene:
    """A workspace with a dbt project `shop` and another one, `other`, in a checkout beside it."""
    found = scene(directory / "here", mine, python)
    place = file or f"{found.root}/dbt/warehouse.duckdb"
    files = {"dbt_project.yml": "name: other\nversion: '1.0'\nprofile: other\n", "profiles.yml": OTHER_PROFILE % place}
    write_project(directory / "there", {**files, **theirs})
    settings = (found.root / "orchestrator.toml").read_text(encoding="utf-8")
    (found.root / "orchestrator.toml").write_text(f'{settings}[projects.other]\npath = "../there"\n', encoding="utf-8")
    return found


def source(name: str, schema: str, *tables: str) -> str:
    listed = ", ".join(f"{{name: {table}}}" for table in tables)
    return f"sources:\n  - name: {name}\n    schema: {schema}\n    tables: [{listed}]\n"


BACK_AND_FORTH = {
    "mine": {
        "models/first.sql": "{{ config(materialized='table') }} select 1 as id",
        "models/third.sql": "{{ config(materialized='table') }} select id + 1 as id from {{ source('o', 'second') }} "
        "join (select count(*) as n from {{ ref('first') }}) on true",
        "models/sources.yml": source("o", "other", "second"),
    },
    "theirs": {
        "models/second.sql": "{{ config(materialized='table') }} select id + 1 as id from {{ source('s', 'first') }}",
        "models/fourth.sql": "select id + 1 as id from {{ source('s', 'third') }}",
        "models/sources.yml": source("s", "dev", "first", "third"),
    },
}


def test_two_dbt_projects_that_feed_each_other_write_one_duckdb_file_in_turns(tmp_path: Path) -> None:
    python = """
    @asset(warehouse.table("raw.late"))
    def late(context: Context):
        from orchestrator.graphs import other
        return dbt.third.read(context)
    """
    found = pair(tmp_path, BACK_AND_FORTH["mine"], BACK_AND_FORTH["theirs"], python=python)
    ran = found.run()
    assert (ran.status, ran.result.reason) == ("succeeded", "")
    order = ["shop.first", "other.second", "shop.third", "other.fourth"]
    assert ran.steps == dict.fromkeys([*order, "raw.late"], "succeeded")
    assert all(ran.before(order[n], order[n + 1]) for n in range(3))
    assert found.query("select id from other.fourth") == [(4,)]
    assert found.query("select id from raw.late") == [(3,)]
    assert set(found.states().values()) == {"fresh"}
    workspace = found.load()
    assert {str(key): workspace.graph[key].home for key in workspace.graph.assets} == {
        "shop.first": "", "other.second": "other", "shop.third": "", "other.fourth": "other", "raw.late": "",
    }  # fmt: skip
    assert str(workspace.graph[key("other.second")].location) == "../there/models/second.sql:1"


def test_validate_looks_at_the_models_of_every_project(tmp_path: Path) -> None:
    theirs = {
        "models/second.sql": "select idd from {{ source('s', 'first') }}",
        "models/sources.yml": source("s", "dev", "first"),
    }
    workspace = pair(tmp_path, {"models/first.sql": "select 1 as id"}, theirs).load()
    assert findings(workspace) == [
        "../there/models/second.sql:1 unknown-column: dev.first has no column idd (did you mean 'id'?)"
    ]


def test_a_failure_in_one_project_blocks_what_descends_from_it_in_the_other(tmp_path: Path) -> None:
    broken = BACK_AND_FORTH["theirs"] | {"models/second.sql": "select no_such_column from {{ source('s', 'first') }}"}
    more = BACK_AND_FORTH["mine"] | {"models/apart.sql": "select 1 as id"}
    ran = pair(tmp_path, more, broken).run()
    assert ran.status == "failed"
    assert ran.steps == {
        "shop.first": "succeeded", "shop.apart": "succeeded", "other.second": "failed", "shop.third": "blocked",
        "other.fourth": "blocked",
    }  # fmt: skip
    assert ran.reasons["shop.third"] == "other.second failed"


def test_a_failing_check_holds_back_the_rest_of_its_project_in_a_later_segment(tmp_path: Path) -> None:
    mine = BACK_AND_FORTH["mine"] | {
        "models/checks.yml": """
            models:
              - name: first
                columns: [{name: id, data_tests: [{accepted_values: {arguments: {values: [7]}}}]}]
        """
    }
    ran = pair(tmp_path, mine, BACK_AND_FORTH["theirs"]).run()
    assert ran.checks == {"accepted_values_first_id__7": "failed"}
    assert ran.steps == {
        "shop.first": "succeeded", "other.second": "blocked", "shop.third": "blocked", "other.fourth": "blocked",
    }  # fmt: skip


def test_two_projects_with_files_of_their_own(tmp_path: Path) -> None:
    theirs = {"models/second.sql": "{{ config(materialized='table') }} select 2 as id"}
    found = pair(tmp_path, {"models/first.sql": "select 1 as id"}, theirs, file="second.duckdb")
    assert found.run().steps == {"shop.first": "succeeded", "other.second": "succeeded"}
    assert found.query("select id from other.second", file="../../there/second.duckdb") == [(2,)]
    assert not (found.root / "dbt/second.duckdb").exists()


def test_a_broken_project_leaves_the_others_runnable(tmp_path: Path) -> None:
    theirs = {"models/second.sql": "select {{ nothing( }}"}
    found = pair(tmp_path, {"models/first.sql": "select 1 as id"}, theirs)
    with pytest.raises(AssertionError):
        found.load()
    scene_of = load_workspace(found.root)
    assert [error.kind for error in scene_of.errors] == ["DbtProjectError"]
    assert str(scene_of.errors[0].at).startswith("../there/models/second.sql")
    assert {str(key) for key in scene_of.graph.assets} == {"shop.first"}
    with pytest.raises(DefinitionErrors):
        scene_of.plan()
    assert run_plan(scene_of, scene_of.plan(["shop.first"])).status == "succeeded"


def test_two_dbt_projects_of_one_name_and_environments_that_one_has_not(tmp_path: Path) -> None:
    theirs = {"dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: other\n", "models/x.sql": "select 1 as id"}
    found = pair(tmp_path, {"models/first.sql": "select 1 as id"}, theirs)
    (error,) = load_workspace(found.root).errors
    assert str(error).replace(str(tmp_path), "TMP") == (
        "DbtProjectError: two dbt projects of this workspace are called 'shop': those of 'scene' and 'other'\n"
        "  at:  TMP/here/dbt/dbt_project.yml, TMP/there/dbt_project.yml\n"
        "  fix: rename one of them; dbt knows its nodes by the project's name"
    )
    write_project(tmp_path / "there", {"dbt_project.yml": "name: other\nversion: '1.0'\nprofile: other\n"})
    (tmp_path / "there/profiles.yml").write_text(
        "other: {target: live, outputs: {live: {type: duckdb, path: live.duckdb, schema: other}}}\n", encoding="utf-8"
    )
    (error,) = load_workspace(found.root).errors
    assert error.what == "profile 'other' has no target 'dev'"
    settings = found.root / "orchestrator.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + 'targets = {dev = "live"}\n', encoding="utf-8")
    workspace = found.load()
    relation = workspace.graph[key("other.x")].relation
    assert (workspace.environment, str(relation)) == ("dev", "live.other.x")


def test_names_of_dbt_nodes_mean_those_of_the_codes_own_project(tmp_path: Path) -> None:
    theirs = {"models/first.sql": "{{ config(materialized='table') }} select 20 as id"}
    found = pair(tmp_path, {"models/first.sql": "{{ config(materialized='table') }} select 10 as id"}, theirs)
    package = found.module.stem
    write_project(
        tmp_path / "there",
        {
            "dbt_project.yml": "name: other\nversion: '1.0'\nprofile: other\n",
            "profiles.yml": OTHER_PROFILE % f"{found.root}/dbt/warehouse.duckdb",
            "orchestrator.toml": f'dbt = "."\npython = "{package}"\n',
            f"{package}.py": """
                from orchestrator import Warehouse, asset
                from orchestrator.dbt import models as dbt
                warehouse = Warehouse.from_dbt()

                @asset(warehouse.table("copies.theirs"))
                def copy(context):
                    return dbt.first.read(context)
            """,
        },
    )
    found.module.write_text(
        found.module.read_text(encoding="utf-8")
        + '\n@asset(warehouse.table("copies.mine"))\ndef copy(context: Context):\n    return dbt.first.read(context)\n',
        encoding="utf-8",
    )
    ran = found.run()
    assert (ran.status, ran.result.reason) == ("succeeded", "")
    assert found.query("select m.id, t.id from copies.mine m, copies.theirs t") == [(10, 20)]
