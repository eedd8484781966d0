"""Several projects in one workspace, with dbt: published graphs, segments, environments, broken ones."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from orchestrator.definitions.keys import AssetKey
from orchestrator.execution.publishing import publish
from orchestrator.graph.columns import ColumnKey
from orchestrator.validation.findings import Settings
from orchestrator.validation.validate import validate
from orchestrator.workspace import Workspace
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
