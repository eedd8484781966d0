"""Column lineage as a graph: up, down, kinds of edges, depth, and what decides about rows."""

from __future__ import annotations

import pytest

from orchestrator.graph.columns import AssetColumns, ColumnEdge, ColumnGraph, ColumnStep
from tests.scenarios import key
from tests.unit.graph.column_scenes import COLUMNS, A, B, C, E, column


def told(steps: list[ColumnStep]) -> list[tuple[str, int, list[str]]]:
    """(column, distance, kinds of the edges to it), the start left out"""
    return [(str(step.column), step.distance, [edge.kind for edge in step.edges]) for step in steps[1:]]


def trace(start: str, direction: str, **more: object) -> list[tuple[str, int, list[str]]]:
    return told(COLUMNS.trace(column(start), direction=direction, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("staging.b.id", [("raw.a.id", 1, ["copy"])]),
        ("staging.b.cents", [("raw.a.amount", 1, ["expression"])]),
        ("marts.c.date", [("staging.b.day", 1, ["rename"]), ("raw.a.day", 2, ["copy"])]),
        ("marts.c.total", [("staging.b.cents", 1, ["aggregate"]), ("raw.a.amount", 2, ["expression"])]),
        (
            "marts.c.running",
            [
                ("staging.b.cents", 1, ["window"]),
                ("staging.b.day", 1, ["window"]),
                ("raw.a.amount", 2, ["expression"]),
                ("raw.a.day", 2, ["copy"]),
            ],
        ),
        ("marts.c.one", []),
        ("raw.a.id", []),
    ],
)
def test_up(start: str, expected: list[tuple[str, int, list[str]]]) -> None:
    assert trace(start, "up") == expected


def test_a_column_made_from_any_goes_up_by_all_columns_of_what_it_reads() -> None:
    assert [(name, far) for name, far, _ in trace("ml.d.score", "up")] == [
        ("marts.c.*", 1),
        ("staging.b.day", 2),
        ("staging.b.cents", 2),
        ("raw.a.day", 3),
        ("raw.a.amount", 3),
    ]


def test_down() -> None:
    assert trace("raw.a.amount", "down") == [
        ("staging.b.cents", 1, ["expression"]),
        ("marts.c.total", 2, ["aggregate"]),
        ("marts.c.running", 2, ["window"]),
        ("ml.d.score", 3, ["expression"]),
    ]


def test_values_do_not_flow_through_a_filter_unless_it_is_asked_for() -> None:
    assert trace("raw.a.id", "down") == [("staging.b.id", 1, ["copy"])]
    assert trace("raw.a.id", "down", filters=True) == [
        ("staging.b.id", 1, ["copy"]),
        ("marts.c.*", 2, ["indirect"]),
        ("ml.d.score", 3, ["expression"]),
    ]
    assert trace("marts.c.one", "up", filters=True) == [("staging.b.id", 1, ["indirect"]), ("raw.a.id", 2, ["copy"])]


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (0, []),
        (1, ["staging.b.cents"]),
        (2, ["staging.b.cents", "marts.c.total", "marts.c.running"]),
        (9, ["staging.b.cents", "marts.c.total", "marts.c.running", "ml.d.score"]),
    ],
)
def test_depth(depth: int, expected: list[str]) -> None:
    assert [name for name, _, _ in trace("raw.a.amount", "down", depth=depth)] == expected


def test_the_start_is_first_and_has_no_edges() -> None:
    assert COLUMNS.trace(column("raw.a.day"), direction="down")[0] == ColumnStep(column("raw.a.day"), 0, ())


def test_a_star_on_either_side_matches_any_column() -> None:
    assert {str(edge.target) for edge in COLUMNS.readers(column("staging.b.*"))} == {
        "marts.c.date",
        "marts.c.total",
        "marts.c.running",
        "marts.c.*",
    }
    assert [str(edge.target) for edge in COLUMNS.readers(column("marts.c.one"))] == ["ml.d.score"]
    assert {str(edge.source) for edge in COLUMNS.sources(column("marts.c.*"))} == {"staging.b.day", "staging.b.cents"}


def test_a_column_that_is_not_named_comes_from_where_the_rest_comes_from() -> None:
    graph = ColumnGraph({B: AssetColumns(B, ("x",), {}, {"x": (), "*": ((A, "*", "copy"),)}, reasons=("no schema",))})
    assert graph.sources(column("staging.b.hidden")) == (
        ColumnEdge(column("raw.a.*"), column("staging.b.hidden"), "copy"),
    )


def test_case_of_a_column_does_not_count_on_the_way_down() -> None:
    assert [str(edge.target) for edge in COLUMNS.readers(column("raw.a.AMOUNT"))] == ["staging.b.cents"]
    assert COLUMNS[A].find("AMOUNT") == "amount"
    assert COLUMNS[A].find("amounts") is None


def test_a_column_that_is_made_from_itself_ends() -> None:
    """An incremental model reads its own table."""
    own = ColumnGraph(
        {B: AssetColumns(B, ("n",), {}, {"n": ((B, "n", "expression"), (A, "id", "copy"))}, complete=True)}
    )
    assert told(own.trace(column("staging.b.n"), direction="up")) == [("raw.a.id", 1, ["copy"])]
    assert told(own.trace(column("staging.b.n"), direction="down")) == []
    assert told(own.trace(column("raw.a.id"), direction="down")) == [("staging.b.n", 1, ["copy", "expression"])]


def test_what_filters_an_asset() -> None:
    assert COLUMNS.filters(C) == (ColumnEdge(column("staging.b.id"), column("marts.c.*"), "indirect"),)
    assert COLUMNS.filters(A) == ()


def test_an_asset_without_entry_says_so() -> None:
    assert COLUMNS[key("raw.nobody")].reasons == ("nothing is known about its columns",)
    assert (COLUMNS[E].exact, COLUMNS[A].exact) == (False, True)
