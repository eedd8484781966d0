"""Runs over several dbt projects, cut into one invocation each."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.definitions.keys import AssetKey
from orchestrator.execution.ops import Op
from orchestrator.execution.segments import Segment, cut_segments, within_segments

Graph = Mapping[str, tuple[str, ...]]
"""{op: what must be done before it}; an op is called `project.name`, Python ones `py.name`."""


def project_of(id_: str) -> str:
    return id_.partition(".")[0]


def make_ops(graph: Graph) -> dict[str, Op]:
    """What dbt orders itself is no need of an op."""
    return {
        id_: Op(
            id_,
            "asset",
            "python" if project_of(id_) == "py" else "dbt",
            AssetKey.parse(id_),
            frozenset(p for p in parents if project_of(p) != project_of(id_) or project_of(id_) == "py"),
        )
        for id_, parents in graph.items()
    }


def cut(graph: Graph) -> list[tuple[str, set[str]]]:
    def native(id_: str) -> frozenset[str]:
        return frozenset(parent for parent in graph[id_] if project_of(parent) == project_of(id_))

    return [
        (item.project, set(item.ops)) for item in cut_segments(make_ops(graph), project_of=project_of, native=native)
    ]


def test_one_project_is_one_segment_whatever_python_does_in_between() -> None:
    assert cut({"a.1": (), "py.x": ("a.1",), "a.2": ("py.x",)}) == [("a", {"a.1", "a.2"})]
    assert cut({"py.x": ()}) == []


def test_a_project_that_feeds_another_comes_first() -> None:
    graph: Graph = {"b.1": ("a.1",), "b.2": (), "a.1": ()}
    assert cut(graph) == [("a", {"a.1"}), ("b", {"b.1", "b.2"})]


def test_projects_that_feed_each_other_take_turns() -> None:
    graph: Graph = {
        "a.1": (),
        "b.1": ("a.1",),
        "a.2": ("b.1", "a.1"),
        "a.3": ("a.2",),
        "b.2": ("py.x",),
        "py.x": ("a.3",),
    }
    assert cut(graph) == [("a", {"a.1"}), ("b", {"b.1"}), ("a", {"a.2", "a.3"}), ("b", {"b.2"})]


def test_projects_that_have_nothing_to_do_with_each_other_are_one_segment_each() -> None:
    assert cut({"a.1": (), "b.1": (), "a.2": ("a.1",)}) == [("a", {"a.1", "a.2"}), ("b", {"b.1"})]


def test_a_need_that_a_later_segment_would_meet_is_kept_only_for_what_is_built() -> None:
    ops = make_ops({"a.1": (), "b.1": ("a.1",)})
    test = Op("b.test", "check", "dbt", AssetKey("a", "1"), frozenset({"a.1"}))
    ops = {**ops, "b.test": test, "a.2": Op("a.2", "asset", "dbt", AssetKey("a", "2"), frozenset({"a.1", "b.test"}))}
    segments = [Segment("a", ("a.1", "a.2")), Segment("b", ("b.1", "b.test"))]
    assert within_segments(ops, segments)["a.2"].needs == {"a.1"}
    assert within_segments(ops, segments)["b.1"].needs == {"a.1"}


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    names = [f"{draw(st.sampled_from(['a', 'b', 'c', 'py']))}.{n}" for n in range(draw(st.integers(1, 14)))]
    return {
        name: tuple(draw(st.sets(st.sampled_from(names[:n]), max_size=3))) if n else () for n, name in enumerate(names)
    }


@given(graphs())
def test_every_op_is_in_one_segment_after_all_that_it_needs(graph: Graph) -> None:
    segments = cut(graph)
    place = {id_: number for number, (_, ids) in enumerate(segments) for id_ in ids}
    assert set(place) == {id_ for id_ in graph if project_of(id_) != "py"}
    assert sum(len(ids) for _, ids in segments) == len(place)
    for id_ in place:
        assert project_of(id_) == segments[place[id_]][0]
        above, waiting = set(), list(graph[id_])
        while waiting:
            parent = waiting.pop()
            if parent not in above:
                above.add(parent)
                waiting += graph[parent]
        for parent in above & set(place):
            same = project_of(parent) == project_of(id_)
            assert place[parent] <= place[id_] if same else place[parent] < place[id_]
