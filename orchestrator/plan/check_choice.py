"""Which checks come along with what a run builds: dbt's `indirect_selection`, and what is left out and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import SelectionError
from orchestrator.graph.model import AssetGraph, Check
from orchestrator.plan.states import AssetState

IndirectSelection = Literal["eager", "cautious", "buildable", "empty"]
"""dbt's word for how much of what a check reads must be selected: any of it, all of it, all of it or upstream of what
is selected, or that no check comes along."""


def indirect_selection(text: Any) -> IndirectSelection:
    """dbt's word, `eager` for none. Raises SelectionError for any other."""
    match text or "eager":
        case "eager" | "cautious" | "buildable" | "empty" as mode:
            return mode
    raise SelectionError(f"'{text}' is no indirect selection", fix="eager, cautious, buildable or empty")


@dataclass(frozen=True, slots=True)
class SkippedCheck:
    """A check that touches the selection and is left out, and why."""

    check: str
    reason: str


@dataclass(frozen=True, slots=True)
class CheckChoice:
    """What decides about checks."""

    wanted: Collection[AssetKey]
    """The selection."""
    building: Collection[AssetKey]
    """What of it is built."""
    states: Mapping[AssetKey, AssetState]
    stale: bool = False
    everything: bool = False
    """Nothing in particular was selected: all checks are meant, also those without an asset that could be selected."""
    indirect: IndirectSelection = "eager"
    only: frozenset[str] | None = None
    """Ids of the checks that a selector selects by itself; then nothing else decides."""


def choose_checks(graph: AssetGraph, choice: CheckChoice) -> tuple[tuple[str, ...], tuple[SkippedCheck, ...]]:
    """The checks that run, and those that would but for an asset that is not there."""
    taken: list[str] = []
    skipped: list[SkippedCheck] = []
    within = _within(graph, choice)
    for check in graph.checks:
        if not (_touches(graph, check, choice) and _fits(check, choice, within)):
            continue
        absent = sorted(key for key in check.reads if key not in choice.building and _is_absent(key, choice))
        if absent:
            skipped.append(SkippedCheck(check.id, f"{absent[0]} is not built and not selected"))
        else:
            taken.append(check.id)
    return tuple(taken), tuple(skipped)


def _touches(graph: AssetGraph, check: Check, choice: CheckChoice) -> bool:
    if choice.only is not None and check.id not in choice.only:
        return False
    if any(key in choice.building for key in check.reads) or (choice.only is not None and not choice.stale):
        return True
    if choice.stale:
        return check.key in choice.wanted and check.id in choice.states[check.key].due_checks
    # A check on sources only, or on nothing at all, has no step to follow.
    on_sources = all(graph[key].external for key in check.reads)
    return on_sources and (choice.everything or any(key in choice.wanted for key in check.reads))


def _fits(check: Check, choice: CheckChoice, within: Collection[AssetKey]) -> bool:
    if choice.everything or choice.only is not None or choice.indirect == "eager":
        return True
    return choice.indirect != "empty" and all(key in within for key in check.reads)


def _within(graph: AssetGraph, choice: CheckChoice) -> Collection[AssetKey]:
    if choice.indirect != "buildable":
        return choice.wanted
    return frozenset(choice.wanted) | graph.ancestors(choice.wanted)


def _is_absent(key: AssetKey, choice: CheckChoice) -> bool:
    if choice.only is not None:
        return False  # asked for by itself, as dbt does: the table may be there without a record of ours
    state = choice.states[key]
    if state.partitions is not None and state.partitions.exists:
        return False  # some partitions are there, and the check looks at what there is
    return state.state in ("missing", "unknown")
