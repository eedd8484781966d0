"""Which writers may share a table, and what is said of those that may not."""

from dataclasses import replace
from typing import Any

from orchestrator.definitions.keys import Location
from orchestrator.definitions.slots import Slot
from orchestrator.graph.model import Writer
from orchestrator.loaders.fragments import Fragment
from orchestrator.loaders.merge import merge
from orchestrator.loaders.shared_tables import conflicts
from tests.scenarios import asset, draft, key


def writer(name: str, where: dict[str, Any] | None = None, *, strategy: str = "python", mode: str = "insert") -> Writer:
    engine, id_ = ("python", f"python:sales.{name}") if strategy == "python" else ("dbt", f"model.shop.{name}")
    return Writer(
        id_,
        engine,  # type: ignore[arg-type]
        name,
        strategy,
        Location(f"{name}.{'py' if engine == 'python' else 'sql'}", 1),
        slot=Slot.of(name, where) if where else None,
        mode=mode,  # type: ignore[arg-type]
    )


EMEA, APAC = writer("emea", {"region": "EMEA"}), writer("apac", {"region": ["APAC", "JP"]})
WHOLE, ERASE = writer("all_sales"), writer("erase", mode="update")


def said(*writers: Writer) -> list[str]:
    return [str(error) for error in conflicts("raw.sales", writers)]


def test_slots_of_one_column_with_different_values_and_an_update_live_together() -> None:
    assert said(EMEA, APAC, ERASE) == said(WHOLE, ERASE) == said(ERASE) == []


def test_slots_that_only_the_rows_can_tell_apart_live_together() -> None:
    assert said(EMEA, writer("web", {"channel": "web"})) == []


def test_a_dbt_model_needs_a_strategy_that_leaves_others_rows() -> None:
    shop = {"source": "shop"}
    partner = writer("partner", {"source": "partner"})
    assert said(writer("orders", shop, strategy="incremental"), partner) == []
    assert said(writer("orders", shop, strategy="table"), partner) == [
        "ConflictingWritersError: model.shop.orders has a slot of 'raw.sales', but its materialization 'table' "
        "replaces the whole table\n"
        "  at:  orders.sql:1\n"
        "  fix: make the model incremental, with a strategy that leaves the other slots' rows alone"
    ]


def test_a_writer_of_everything_beside_slots_is_told_to_take_a_slot() -> None:
    assert said(EMEA, WHOLE, APAC) == [
        "ConflictingWritersError: python:sales.all_sales replaces the whole table 'raw.sales', also the rows of 'emea' "
        "and 'apac'\n"
        "  at:  all_sales.py:1, emea.py:1 and apac.py:1\n"
        '  fix: make it the writer of a slot too: @writes(table, slot="name", where={"column": "value"})'
    ]


def test_two_writers_of_everything_are_refused() -> None:
    assert said(WHOLE, writer("more")) == [
        "ConflictingWritersError: two writers replace one table, 'raw.sales': python:sales.all_sales and "
        "python:sales.more\n"
        "  at:  all_sales.py:1 and more.py:1\n"
        '  fix: keep one of them, or make each the writer of a slot: @writes(table, slot="name", where={"column": '
        '"value"})'
    ]


def test_slots_that_share_rows_are_refused() -> None:
    assert said(APAC, writer("japan", {"region": "JP", "channel": "web"})) == [
        "ConflictingWritersError: the slots 'apac' (region in ('APAC', 'JP')) and 'japan' (region = 'JP' and channel = "
        "'web') of 'raw.sales' share rows\n"
        "  at:  apac.py:1 and japan.py:1\n"
        "  fix: give them values that differ in one column"
    ]


def test_two_slots_of_one_name_are_refused() -> None:
    other = replace(writer("us", {"region": "US"}), slot=Slot.of("emea", {"region": "US"}))
    assert said(EMEA, other) == [
        "ConflictingWritersError: two writers of 'raw.sales' have the slot 'emea': python:sales.emea and "
        "python:sales.us\n"
        "  at:  emea.py:1 and us.py:1\n"
        "  fix: give one of them another name"
    ]


def test_an_update_of_a_dbt_model_joins_its_asset_and_a_misspelt_one_is_said() -> None:
    model = draft(asset("marts.report"))
    update = replace(draft(asset("dbt.report", engine="python", relation=None)), same_as="dbt:model:report")
    late = replace(update.asset.writers[0], mode="update")
    update = replace(update, asset=replace(update.asset, writers=(late,)))
    merged = merge([Fragment(assets=(model, update))])
    assert [one.id for one in merged.graph[key("marts.report")].writers] == ["model.shop.report", late.id]
    wrong = merge([Fragment(assets=(model, replace(update, same_as="dbt:model:reports")))])
    assert [str(error) for error in wrong.errors] == [
        "UnknownAssetError: 'report' updates 'reports', which no dbt project here has\n"
        "  at:  python_assets/dbt.py:3\n"
        "  fix: did you mean 'report' or 'shop.report'?"
    ]
