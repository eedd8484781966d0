"""Which partitions of a writer are in which state: sets, so that a table of states stays small."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.definitions.partitions import PartitionSet

State = Literal["fresh", "stale", "missing", "failed", "unknown", "running", "adopted", "external"]
WORST: tuple[State, ...] = ("unknown", "failed", "missing", "running", "stale", "adopted", "fresh", "external")
"""Worst first: an asset with several writers or partitions shows its worst one."""
NEVER_BUILT, UP_TO_DATE, NONE_DUE = "never built", "up to date", "no partition is due yet"


@dataclass(frozen=True, slots=True)
class PartitionStates:
    """The state of each partition that is there by now (windows that have ended)."""

    all: PartitionSet
    by_state: Mapping[State, PartitionSet]
    """Worst first; states that no partition is in are left out."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """{partition: why}, where it is not what the state says by itself."""

    @classmethod
    def of(cls, there: PartitionSet, found: Iterable[tuple[str, State, str]]) -> PartitionStates:
        """From the partitions that something is recorded of: (key, state, reason). The others are missing."""
        by_state: dict[State, list[str]] = {}
        reasons: dict[str, str] = {}
        for key, state, reason in found:
            by_state.setdefault(state, []).append(key)
            if state != "fresh":
                reasons[key] = reason
        sets = {state: there.of.of_keys(keys) & there for state, keys in by_state.items()}
        missing = there
        for state, known in sets.items():
            if state != "missing":
                missing = missing - known
        return cls(there, _worst_first({**sets, "missing": missing}), reasons)

    @classmethod
    def worst(cls, several: Iterable[PartitionStates]) -> PartitionStates:
        """Of an asset's writers: each partition in its worst state."""
        first, *others = several
        if not others:
            return first
        taken, found = first.all.of.nothing(), {}
        for state in WORST:
            here = first.all.of.nothing()
            for one in (first, *others):
                here = here | (one.by_state.get(state, taken.of.nothing()))
            found[state], taken = here - taken, taken | here
        return cls(
            first.all, _worst_first(found), {key: why for one in (*others, first) for key, why in one.reasons.items()}
        )

    @property
    def done(self) -> PartitionSet:
        """What needs no work: fresh and adopted ones."""
        nothing = self.all.of.nothing()
        return self.by_state.get("fresh", nothing) | self.by_state.get("adopted", nothing)

    @property
    def exists(self) -> bool:
        """Whether there are rows of any partition, as far as we know."""
        return any(state not in ("missing", "unknown") for state in self.by_state)

    def reason(self, key: str) -> str:
        """Why a partition is in its state."""
        if key in self.reasons:
            return self.reasons[key]
        return NEVER_BUILT if key in self.by_state.get("missing", ()) else UP_TO_DATE

    @property
    def state(self) -> State:
        """The worst one; fresh where no partition is there yet."""
        return next(iter(self.by_state), "fresh")

    @property
    def summary(self) -> str:
        """One clause: `3 of 12 partitions missing (2013-10..2013-12)`."""
        total = len(self.all)
        if not total:
            return NONE_DUE
        bad = [(state, found) for state, found in self.by_state.items() if state not in ("fresh", "adopted")]
        if not bad:
            return UP_TO_DATE
        return "; ".join(
            f"{len(found)} of {total} partitions {state} ({found.text(at_most=2)})" for state, found in bad
        )


def _worst_first(found: Mapping[State, PartitionSet]) -> dict[State, PartitionSet]:
    return {state: found[state] for state in WORST if found.get(state)}
