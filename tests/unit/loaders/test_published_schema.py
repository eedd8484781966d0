"""docs/reference/graph.schema.json says what a published graph is."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import jsonschema
import msgspec
import pytest

from orchestrator.loaders.published_graph import (
    ColumnPlace,
    PublishedAsset,
    PublishedColumn,
    PublishedEdge,
    PublishedGraph,
    PublishedRelation,
    decode_graph,
    encode_graph,
)

SCHEMA = Path(__file__).resolve().parents[3] / "docs/reference/graph.schema.json"
GRAPH = PublishedGraph(
    schema_version=1,
    project="shop",
    environment="prod",
    at=datetime(2026, 11, 25, tzinfo=timezone.utc),
    assets=(
        PublishedAsset(
            key="raw.flights",
            relation=PublishedRelation("flights", "raw", "dev"),
            columns=(PublishedColumn("origin", "VARCHAR"),),
            access="public",
        ),
    ),
    column_lineage=(PublishedEdge(ColumnPlace("raw.flights", "origin"), ColumnPlace("marts.daily", "*"), "indirect"),),
)


def test_the_schema_is_that_of_the_code() -> None:
    """Written anew by: python -m tests.unit.loaders.test_published_schema."""
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json.loads(json.dumps(schema()))


def test_a_document_is_what_the_schema_says_and_comes_back_as_it_was() -> None:
    content = encode_graph(GRAPH)
    jsonschema.validate(json.loads(content), schema())
    assert decode_graph(content, url="here") == GRAPH
    assert json.loads(content)["column_lineage"][0]["from"] == {"asset": "raw.flights", "column": "origin"}


@pytest.mark.parametrize("broken", [{"schema_version": "one"}, {"assets": [{"key": 3}]}, {"at": None}])
def test_the_schema_refuses_what_the_reader_refuses(broken: dict[str, object]) -> None:
    document = {**json.loads(encode_graph(GRAPH)), **broken}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema())


def schema() -> dict[str, object]:
    found = msgspec.json.schema(PublishedGraph)
    title = "What `orchestrator publish` writes"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **found}


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(schema(), indent=2) + "\n", encoding="utf-8")
