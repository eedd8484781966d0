"""The drawing of a graph: laws that hold for every graph, and a budget of time."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from orchestrator_app.layout import CARD_HEIGHT, CARD_WIDTH, COLUMN_STEP, build_layout


def random_graph(size: int, *, seed: int, per_node: float = 1.6) -> tuple[list[str], list[tuple[str, str]]]:
    """A graph as warehouses are: most edges short, a few from far upstream."""
    chance = random.Random(seed)
    names = [f"n{number:04}" for number in range(size)]
    edges = []
    for number in range(1, size):
        for _ in range(chance.choice([1, 1, 2, 2, 3]) if chance.random() < per_node / 2 else 0):
            near = chance.random() < 0.85
            edges.append((names[chance.randrange(max(0, number - 60) if near else 0, number)], names[number]))
    return names, edges


@pytest.mark.parametrize("seed", range(30))
def test_every_box_is_placed_none_overlap_and_lines_go_right(seed: int) -> None:
    names, edges = random_graph(5 + seed * 7, seed=seed)
    layout = build_layout(names, edges)
    assert list(layout.positions) == names
    for upstream, downstream in edges:
        assert layout.positions[upstream][0] + COLUMN_STEP <= layout.positions[downstream][0]
    assert overlaps(layout.positions) == []


def overlaps(positions: dict[str, tuple[float, float]]) -> list[tuple[str, str]]:
    columns: dict[float, list[tuple[float, str]]] = {}
    for name, (x, y) in positions.items():
        columns.setdefault(x, []).append((y, name))
    found = []
    for column in columns.values():
        column.sort()
        pairs = pairwise(column)
        found += [(a, b) for (upper, a), (lower, b) in pairs if lower - upper < CARD_HEIGHT - 1e-6]
    return found


@pytest.mark.parametrize("seed", range(10))
def test_long_lines_pass_between_boxes_not_through_them(seed: int) -> None:
    names, edges = random_graph(60, seed=seed)
    layout = build_layout(names, edges)
    for path in layout.paths.values():
        for x, y in path:
            inside = [
                name
                for name, (left, top) in layout.positions.items()
                if left <= x <= left + CARD_WIDTH and top < y < top + CARD_HEIGHT
            ]
            assert inside == []


def test_the_same_graph_is_drawn_the_same() -> None:
    names, edges = random_graph(120, seed=3)
    assert build_layout(names, edges) == build_layout(names, reversed(edges))


def test_a_chain_is_a_straight_line() -> None:
    layout = build_layout(["a", "b", "c", "d"], [("a", "b"), ("b", "c"), ("c", "d")])
    assert {y for _, y in layout.positions.values()} == {0.0}


def test_a_diamond_needs_no_crossing_and_its_ends_are_in_the_middle() -> None:
    layout = build_layout(["a", "b", "c", "d"], [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])
    at = layout.positions
    assert at["a"][1] == at["d"][1] == pytest.approx((at["b"][1] + at["c"][1]) / 2)


def test_a_cycle_is_drawn_too() -> None:
    """Groups that read each other, once collapsed, form cycles."""
    layout = build_layout(["a", "b", "c"], [("a", "b"), ("b", "c"), ("c", "a"), ("a", "a")])
    assert [layout.positions[name][0] for name in "abc"] == [0, COLUMN_STEP, 2 * COLUMN_STEP]


def test_a_source_stands_next_to_what_reads_it() -> None:
    layout = build_layout(["a", "b", "c", "late"], [("a", "b"), ("b", "c"), ("late", "c")])
    assert layout.positions["late"][0] == layout.positions["b"][0]


def test_boxes_without_lines_stand_below_in_rows() -> None:
    layout = build_layout(["a", "b", *"uvwxyz"], [("a", "b")])
    assert all(layout.positions[name][1] > layout.positions["a"][1] for name in "uvwxyz")
    assert overlaps(layout.positions) == []


def test_nothing_is_drawn_of_nothing() -> None:
    assert build_layout([], []).positions == {}
