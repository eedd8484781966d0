"""Cuts a run into segments, one dbt invocation each: of one project, with one window of partitions. Pure.

Inside a segment the gate keeps the order; between segments it is the order of the invocations. As few segments as
possible: a project is taken up with all that can be done in it, and again when others have built what it waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from orchestrator.execution.ops import Op
from orchestrator.execution.windows import Window


@dataclass(frozen=True, slots=True)
class Segment:
    """One invocation of dbt: some ops of one project."""

    project: str
    ops: tuple[str, ...]
    window: Window | None = None
    """What its partitioned models write; None where there are none."""


ProjectOf = Callable[[str], str]
"""unique_id of a dbt node → the project that has it."""
Native = Callable[[str], frozenset[str]]
"""id of a dbt op → the ops that dbt itself orders before it, were they in one invocation."""
_Lane = tuple[str, Window | None]
"""What one invocation can do: nodes of a project that have this window, or none."""


def cut_segments(ops: Mapping[str, Op], *, project_of: ProjectOf, native: Native) -> tuple[Segment, ...]:
    """The segments in the order in which they are invoked; none without dbt ops."""
    lanes = {op.id: (project_of(op.writer), op.window) for op in ops.values() if op.engine == "dbt"}
    # What has no window of its own comes along with any.
    windowed = {project for project, window in lanes.values() if window is not None}
    choices = tuple(dict.fromkeys(lane for lane in lanes.values() if lane[1] is not None or lane[0] not in windowed))
    if len(choices) < 2:
        return (Segment(choices[0][0], tuple(lanes), choices[0][1]),) if choices else ()
    parents = _parents(ops, native)
    done: set[str] = set()
    segments: list[Segment] = []
    while len(left := [id_ for id_ in lanes if id_ not in done]):
        reached = {lane: _reach(ops, parents, lanes, lane, done) for lane in choices}
        able = {lane: [id_ for id_ in left if id_ in found] for lane, found in reached.items()}
        fitting = {lane: sum(_fits(lanes[id_], lane) for id_ in left) for lane in choices}
        whole = [lane for lane in choices if able[lane] and len(able[lane]) == fitting[lane]]
        chosen = max(whole or choices, key=lambda lane: len(able[lane]))
        if not able[chosen]:  # ops that wait for each other cannot come from a graph; leave them to the gate
            rest = [(lane, tuple(id_ for id_ in left if lanes[id_] == lane)) for lane in dict.fromkeys(lanes.values())]
            return (*segments, *(Segment(lane[0], found, lane[1]) for lane, found in rest if found))
        segments.append(Segment(chosen[0], tuple(able[chosen]), chosen[1]))
        done |= reached[chosen]
    return tuple(segments)


def within_segments(ops: Mapping[str, Op], segments: Collection[Segment]) -> dict[str, Op]:
    """The ops without needs that a later segment would meet: a check of another project may only come then."""
    place = {id_: number for number, segment in enumerate(segments) for id_ in segment.ops}

    def is_met(op: Op, need: str) -> bool:
        later = place.get(need, 0) > place.get(op.id, len(place))
        return not (later and ops[need].kind == "check")

    return {id_: replace(op, needs=frozenset(n for n in op.needs if is_met(op, n))) for id_, op in ops.items()}


def _fits(own: _Lane, lane: _Lane) -> bool:
    return own[0] == lane[0] and own[1] in (None, lane[1])


def _parents(ops: Mapping[str, Op], native: Native) -> dict[str, frozenset[str]]:
    """{op: all that must be done before it}, also what dbt orders itself."""

    built = {op.key: op for op in ops.values() if op.kind == "asset"}

    def of(op: Op) -> frozenset[str]:
        if op.engine != "dbt":
            return op.needs | op.after
        tested = built.get(op.key)
        if op.check is not None and op.check.kind == "unit_test":
            # It runs before its model, once what the model reads is there.
            return (of(tested) | op.needs) - {op.id} if tested is not None else op.needs
        return (op.needs | op.after | native(op.id)) & ops.keys() - {op.id}

    return {id_: of(op) & ops.keys() for id_, op in ops.items()}


def _reach(
    ops: Mapping[str, Op],
    parents: Mapping[str, frozenset[str]],
    lanes: Mapping[str, _Lane],
    lane: _Lane,
    done: Collection[str],
) -> set[str]:
    """What is done once a lane has been worked on, with the Python in between."""
    reached = set(done)
    waiting = [id_ for id_ in ops if id_ not in reached and _fits(lanes.get(id_, lane), lane)]
    while able := [id_ for id_ in waiting if parents[id_] <= reached]:
        reached.update(able)
        waiting = [id_ for id_ in waiting if id_ not in reached]
    return reached


__all__ = ["Segment", "cut_segments", "within_segments"]
