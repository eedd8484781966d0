import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import DependencyCycleError, UnknownAssetError
from orchestrator.graph.build import build_graph, find_cycle
from tests.scenarios import asset, chain, diamond, key, sandwich


@st.composite
def edge_sets(draw: st.DrawFn, *, cycles: bool = False) -> dict:
    names = [f"x.n{index}" for index in range(draw(st.integers(1, 9)))]
    pairs = [(a, b) for i, a in enumerate(names) for j, b in enumerate(names) if i != j and (cycles or i < j)]
    chosen = draw(st.sets(st.sampled_from(pairs), max_size=20)) if pairs else set()
    return {name: {a for a, b in chosen if b == name} for name in names}


@given(edge_sets(), st.randoms())
@settings(max_examples=60, deadline=None)
def test_order_respects_every_edge_whatever_the_order_of_the_definitions(edges: dict, rng: random.Random) -> None:
    assets = [asset(name, reads) for name, reads in edges.items()]
    first = build_graph(assets)
    rng.shuffle(assets)
    order = list(build_graph(assets).assets)
    assert order == list(first.assets)
    assert all(order.index(parent) < order.index(own) for own in order for parent in first.upstream[own])


def test_ties_are_broken_by_key() -> None:
    assert [str(own) for own in diamond().assets] == ["raw.a", "staging.left", "staging.right", "marts.join"]
    assert [str(own) for own in build_graph([asset("b.x"), asset("a.x")]).assets] == ["a.x", "b.x"]


@given(edge_sets(cycles=True))
@settings(max_examples=100, deadline=None)
def test_a_cycle_is_found_exactly_where_there_is_one(edges: dict) -> None:
    reads = {key(name): frozenset(map(key, parents)) for name, parents in edges.items()}
    cycle = find_cycle(reads)
    reachable = {own: set(parents) for own, parents in reads.items()}
    for middle in reachable:
        for own in reachable:
            if middle in reachable[own]:
                reachable[own] |= reachable[middle]
    assert (cycle is None) == (not any(own in found for own, found in reachable.items()))
    if cycle is not None:
        assert all(before in reads[after] for before, after in zip(cycle, (*cycle[1:], cycle[0]), strict=True))
        assert cycle[0] == min(cycle)


def test_a_cycle_is_refused_with_its_path_and_places() -> None:
    with pytest.raises(DependencyCycleError) as caught:
        build_graph(
            [asset("x.a", ["x.c"], engine="python"), asset("x.b", ["x.a"]), asset("x.c", ["x.b"]), asset("x.d")]
        )
    assert str(caught.value) == (
        "DependencyCycleError: these assets need each other: x.a → x.b → x.c → x.a\n"
        "  at:  python_assets/x.py:3, dbt_project/models/x/b.sql:1, dbt_project/models/x/c.sql:1\n"
        "  fix: remove one of these reads; an asset may read itself, but not what is made from it"
    )


def test_an_asset_may_read_itself() -> None:
    assert build_graph([asset("x.a", ["x.a"])]).upstream == {key("x.a"): frozenset()}


def test_an_edge_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(UnknownAssetError) as caught:
        build_graph([asset("x.a", ["x.b"])])
    assert str(caught.value) == (
        "UnknownAssetError: 'x.a' reads 'x.b', which is not in the graph\n  at:  dbt_project/models/x/a.sql:1"
    )


def test_the_named_graphs_are_what_they_say() -> None:
    assert [str(own) for own in chain().assets] == ["raw.a", "staging.b", "marts.c", "marts.d"]
    assert len(sandwich().checks) == 2
