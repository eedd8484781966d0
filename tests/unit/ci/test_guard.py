from __future__ import annotations

import pytest

from orchestrator.ci.guard import Written, dbt_writes, refuse_shared
from orchestrator.definitions.keys import Relation
from orchestrator.errors import PlanError
from orchestrator.loaders.manifest import Manifest, Node

BASE = Relation("db", "live", "orders")


def refused(*targets: Relation | str, schema: str | None = "ci_7") -> bool:
    try:
        refuse_shared(
            [Written("model.shop.x", item) for item in targets], [BASE, "x.parquet"], base="dev", schema=schema
        )
    except PlanError:
        return True
    return False


def test_another_place_is_fine() -> None:
    assert not refused(Relation("db", "ci_7", "orders"), Relation("ci", "live", "orders"), "y.parquet")


def test_the_bases_relations_and_files_are_refused() -> None:
    assert refused(BASE)
    assert refused("x.parquet")


def test_a_relation_without_a_database_may_be_in_any() -> None:
    assert refused(Relation("", "live", "orders"))
    with pytest.raises(PlanError):
        refuse_shared([Written("x", BASE)], [Relation("", "live", "orders")], base="dev", schema=None)


def test_everything_is_named_with_the_way_out() -> None:
    targets = [Written(f"model.shop.m{n}", Relation("db", "live", f"m{n}"), f"models/m{n}.sql") for n in range(12)]
    with pytest.raises(PlanError) as caught:
        refuse_shared(targets, [item.target for item in targets], base="prod", schema="ci_7")
    listed = ", ".join(f"db.live.m{n} (model.shop.m{n})" for n in range(10))
    assert str(caught.value) == (
        "PlanError: nothing was built: 12 of the relations to write belong to the environment 'prod': "
        f"{listed} and 2 more\n"
        f"  at:  {', '.join(f'models/m{n}.sql' for n in range(10))}\n"
        "  fix: let generate_schema_name begin with target.schema (here 'ci_7'), and no config fix a schema, so that "
        "each environment has schemas of its own"
    )


def node(unique_id: str, **config: object) -> Node:
    kind, _, name = unique_id.split(".")
    return Node(
        unique_id=unique_id, name=name, resource_type=kind, database="DB", schema_="live", config=config,
        original_file_path=f"{name}.sql",
    )  # fmt: skip


def test_what_dbt_writes_are_tables_stored_failures_and_files() -> None:
    nodes = [
        node("model.shop.orders", materialized="table"),
        node("model.shop.hidden", materialized="ephemeral"),
        node("model.shop.file", materialized="external", location="x.parquet"),
        node("test.shop.quiet"),
        node("test.shop.kept", store_failures=True),
        node("operation.shop.hook"),
    ]
    manifest = Manifest(nodes={item.unique_id: item for item in nodes})
    assert [(item.by, str(item.target)) for item in dbt_writes(manifest)] == [
        ("model.shop.orders", "db.live.orders"),
        ("model.shop.file", "db.live.file"),
        ("model.shop.file", "x.parquet"),
        ("test.shop.kept", "db.live.kept"),
    ]
    assert [item.by for item in dbt_writes(manifest, ["model.shop.orders", "test.shop.quiet"])] == ["model.shop.orders"]
