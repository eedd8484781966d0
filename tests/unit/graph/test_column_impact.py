"""What a change of a column reaches: columns, rows, checks, consumers, owners, and why that may not be all."""

from __future__ import annotations

from orchestrator.graph.column_impact import ColumnImpact, column_impact
from tests.unit.graph.column_scenes import ASSETS, COLUMNS, PYTHON, C, D, E, F, column

MODEL = "Python models are not followed"


def reached(name: str, depth: int | None = None) -> ColumnImpact:
    return column_impact(ASSETS, COLUMNS, column(name), depth=depth)


def columns(found: ColumnImpact) -> list[str]:
    return [str(step.column) for step in found.columns]


def test_a_value_is_followed_to_its_end() -> None:
    found = reached("staging.b.cents")
    assert columns(found) == ["marts.c.total", "marts.c.running", "ml.d.score"]
    assert (set(found.filtered), set(found.assets)) == ({F}, {C, D, F})
    assert [item.name for item in found.checks] == ["cents_positive", "total_known", "c_agrees_with_a"]
    assert [item.name for item in found.consumers] == ["board"]
    assert found.owners == {
        "ann@example.com": ("marts.c",),
        "boss@example.com": ("board",),
        "ml@example.com": ("ml.d",),
    }
    assert found.reasons == {"ml.d": PYTHON, "marts.f": MODEL}
    assert found.total == 8


def test_a_filter_changes_the_rows_of_an_asset_and_so_all_that_reads_it() -> None:
    found = reached("staging.b.id")
    assert columns(found) == ["ml.d.score"]
    assert (set(found.filtered), set(found.assets)) == ({C, F}, {C, D, F})
    assert [item.name for item in found.checks] == ["unique_id", "total_known", "c_agrees_with_a"]
    assert [item.name for item in found.consumers] == ["board"]


def test_what_cannot_be_looked_into_counts_as_reached() -> None:
    """marts.e reads raw.a, and marts.f what is made from it; nobody knows what they take."""
    found = reached("raw.a.amount")
    assert columns(found) == ["staging.b.cents", "marts.c.total", "marts.c.running", "ml.d.score"]
    assert set(found.filtered) == {E, F}
    assert found.reasons == {"ml.d": PYTHON, "marts.e": "it was not compiled", "marts.f": MODEL}
    assert "e_has_rows" in [item.name for item in found.checks]
    assert [item.name for item in found.consumers] == ["board", "letter"]
    assert set(found.owners["ann@example.com"]) == {"marts.c", "marts.e"}


def test_depth_is_counted_in_steps() -> None:
    found = reached("raw.a.amount", depth=1)
    assert (columns(found), found.filtered) == (["staging.b.cents"], (E,))
    assert set(reached("raw.a.amount", depth=2).filtered) == {E}
    assert set(reached("raw.a.amount", depth=3).filtered) == {E, F}
    assert [item.name for item in found.checks] == ["cents_positive", "c_agrees_with_a", "e_has_rows"]


def test_a_column_at_the_end_reaches_nothing() -> None:
    found = reached("ml.d.score")
    assert (found.total, found.assets, found.owners, found.reasons) == (0, (), {}, {})


def test_checks_of_other_columns_are_left_out() -> None:
    assert [item.name for item in reached("staging.b.day").checks] == ["c_agrees_with_a"]
