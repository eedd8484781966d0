"""Cuts a run into segments, one dbt invocation each: dbt works on one project at a time. Pure.

Inside a segment the gate keeps the order; between segments it is the order of the invocations. As few segments as
possible: a project is taken up with all that can be done in it, and again when others have built what it waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from orchestrator.execution.ops import Op


@dataclass(frozen=True, slots=True)
class Segment:
    """One invocation of dbt: some ops of one project."""

    project: str
    ops: tuple[str, ...]


ProjectOf = Callable[[str], str]
"""id of a dbt op → the project that has it."""
Native = Callable[[str], frozenset[str]]
"""id of a dbt op → the nodes that dbt itself orders before it."""


def cut_segments(ops: Mapping[str, Op], *, project_of: ProjectOf, native: Native) -> tuple[Segment, ...]:
    """The segments in the order in which they are invoked; one where there is one project, none without dbt ops."""
    projects = {op.id: project_of(op.id) for op in ops.values() if op.engine == "dbt"}
    names = tuple(dict.fromkeys(projects.values()))
    if len(names) < 2:
        return (Segment(names[0], tuple(projects)),) if names else ()
    parents = _parents(ops, native)
    done: set[str] = set()
    segments: list[Segment] = []
    while len(left := [id_ for id_ in projects if id_ not in done]):
        reached = {name: _reach(ops, parents, projects, name, done) for name in names}
        able = {name: [id_ for id_ in left if id_ in found] for name, found in reached.items()}
        whole = [name for name in names if able[name] and len(able[name]) == sum(projects[id_] == name for id_ in left)]
        chosen = max(whole or names, key=lambda name: len(able[name]))
        if not able[chosen]:  # ops that wait for each other cannot come from a graph; leave them to the gate
            segments += [Segment(name, tuple(id_ for id_ in left if projects[id_] == name)) for name in names]
            return tuple(segment for segment in segments if segment.ops)
        segments.append(Segment(chosen, tuple(able[chosen])))
        done |= reached[chosen]
    return tuple(segments)


def within_segments(ops: Mapping[str, Op], segments: Collection[Segment]) -> dict[str, Op]:
    """The ops without needs that a later segment would meet: a check of another project may only come then."""
    place = {id_: number for number, segment in enumerate(segments) for id_ in segment.ops}

    def is_met(op: Op, need: str) -> bool:
        later = place.get(need, 0) > place.get(op.id, len(place))
        return not (later and ops[need].kind == "check")

    return {id_: replace(op, needs=frozenset(n for n in op.needs if is_met(op, n))) for id_, op in ops.items()}


def _parents(ops: Mapping[str, Op], native: Native) -> dict[str, frozenset[str]]:
    """{op: all that must be done before it}, also what dbt orders itself."""

    built = {op.key: op for op in ops.values() if op.kind == "asset"}

    def of(op: Op) -> frozenset[str]:
        if op.engine != "dbt":
            return op.needs
        tested = built.get(op.key)
        if op.check is not None and op.check.kind == "unit_test":
            # It runs before its model, once what the model reads is there.
            return (of(tested) | op.needs) - {op.id} if tested is not None else op.needs
        return (op.needs | native(op.id)) & ops.keys() - {op.id}

    return {id_: of(op) & ops.keys() for id_, op in ops.items()}


def _reach(
    ops: Mapping[str, Op],
    parents: Mapping[str, frozenset[str]],
    projects: Mapping[str, str],
    project: str,
    done: Collection[str],
) -> set[str]:
    """What is done once `project` has been worked on, with the Python in between."""
    reached = set(done)
    waiting = [id_ for id_ in ops if id_ not in reached and projects.get(id_, project) == project]
    while able := [id_ for id_ in waiting if parents[id_] <= reached]:
        reached.update(able)
        waiting = [id_ for id_ in waiting if id_ not in reached]
    return reached


__all__ = ["Segment", "cut_segments", "within_segments"]
