"""Partitions as units of a run: each waits for exactly those it reads, and dbt gets one window an invocation."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from orchestrator.definitions.facts import Facts
from orchestrator.definitions.partitions import Monthly
from orchestrator.execution.ops import Op, build_ops, ordered_by_dbt
from orchestrator.execution.segments import Segment, cut_segments, within_segments
from orchestrator.execution.windows import Window
from orchestrator.graph.model import Asset, AssetGraph
from orchestrator.plan.run_plan import build_run_plan
from orchestrator.plan.states import build_states
from tests.scenarios import DAYS, MONTHS, asset, check, graph, key
from tests.unit.execution.test_ops import as_dbt
from tests.unit.plan.told import built, without

FEBRUARY = datetime(2013, 2, 3, tzinfo=timezone.utc)


def ranged(item: Asset) -> Asset:
    """As of microbatch models: dbt does neighbouring partitions in one go."""
    return replace(item, writers=tuple(replace(writer, run="range") for writer in item.writers))


@dataclass
class Made:
    by_id: dict[str, Op]
    segments: tuple[Segment, ...]

    @property
    def windows(self) -> list[Window | None]:
        return [segment.window for segment in self.segments]


def ops(graph_: AssetGraph, facts: Facts | None = None, *, as_of: datetime = FEBRUARY) -> Made:
    """As the executor makes them."""
    states = build_states(graph_, facts or Facts("dev"), as_of=as_of)
    plan = build_run_plan(graph_, graph_.assets, states=states, environment="dev", stale=True)
    native = as_dbt(graph_)
    made = build_ops(graph_, plan, native=native)
    segments = cut_segments(made, project_of=lambda _: "shop", native=ordered_by_dbt(made, native))
    together = {name: frozenset(segment.ops) for segment in segments for name in segment.ops}
    if len(segments) > 1:
        made = within_segments(build_ops(graph_, plan, native=native, together=together), segments)
    return Made(made, segments)


def short(names: Collection[str]) -> set[str]:
    return {name.removeprefix("python:assets.").removeprefix("model.shop.") for name in names}


def test_a_day_waits_for_its_month_and_the_whole_for_everything() -> None:
    found = ops(
        graph(
            asset("raw.flights", engine="python", partitions=MONTHS),
            asset("ml.days", ["raw.flights"], engine="python", partitions=DAYS),
            asset("ml.all", ["ml.days"], engine="python"),
        )
    ).by_id
    assert len(found) == 1 + 33 + 1
    assert short(found["python:assets.days [2013-01-15]"].needs) == {"flights [2013-01]"}
    assert short(found["python:assets.days [2013-02-01]"].needs) == set(), (
        "February has not ended and is not in the run"
    )
    assert len(found["python:assets.all"].needs) == 33


def test_partitions_are_waited_for_through_what_is_not_in_the_plan() -> None:
    between = graph(
        asset("raw.flights", engine="python", partitions=MONTHS),
        asset("staging.flights", ["raw.flights"]),
        asset("ml.days", ["staging.flights"], engine="python", partitions=DAYS),
    )
    states = build_states(between, Facts("dev"), as_of=FEBRUARY)
    plan = build_run_plan(between, [key("raw.flights"), key("ml.days")], states=states, environment="dev")
    found = build_ops(between, plan, native=as_dbt(between))
    assert short(found["python:assets.days [2013-01-15]"].needs) == {"flights [2013-01]"}


def test_models_with_one_window_share_an_invocation() -> None:
    found = ops(
        graph(
            asset("raw.flights", engine="python", partitions=MONTHS),
            ranged(asset("marts.days", ["raw.flights"], partitions=DAYS)),
            ranged(asset("marts.months", ["marts.days"], partitions=MONTHS)),
            asset("marts.report", ["marts.months"]),
        ),
        as_of=datetime(2013, 3, 1, tzinfo=timezone.utc),
    )
    (window,) = found.windows
    assert window is not None
    assert window.variables() == {
        "partition_start": "2013-01-01 00:00:00",
        "partition_end": "2013-03-01 00:00:00",
    }
    assert window.event_times() == (datetime(2013, 1, 1), datetime(2013, 3, 1))
    days = found.by_id["model.shop.days [2013-01-01..2013-02-28]"]
    assert short(days.needs) == {"flights [2013-01]", "flights [2013-02]"}
    assert len(days.partition_keys) == 59


def test_another_window_is_a_later_invocation_and_what_reads_both_waits_for_both() -> None:
    ours = graph(
        ranged(asset("marts.days", partitions=DAYS)),
        ranged(asset("marts.other", partitions=DAYS)),
        asset("marts.report", ["marts.days", "marts.other"]),
    )
    hole = without(built(ours, at=FEBRUARY), "marts.days", partitions=["2013-01-05", "2013-01-20", "2013-01-21"])
    found = ops(ours, hole)
    assert [window.label if window else None for window in found.windows] == ["2013-01-05", "2013-01-20..2013-01-21"]
    report = found.by_id["model.shop.report"]
    assert report.id in found.segments[1].ops
    assert short(report.needs) == {"days [2013-01-05]"}, "dbt itself orders what is in the same invocation"
    assert "model.shop.other" not in " ".join(found.by_id)


def test_models_that_want_each_partition_by_itself_get_an_invocation_each() -> None:
    found = ops(graph(asset("marts.days", partitions=Monthly("2012-12", column="day"))))
    assert [window.label for window in found.windows if window] == ["2012-12", "2013-01"]


def test_a_python_check_looks_once_all_partitions_have_ended() -> None:
    guarded = graph(
        asset("raw.flights", engine="python", partitions=MONTHS),
        asset("ml.days", ["raw.flights"], engine="python", partitions=DAYS),
        checks=[check("three_airports", "raw.flights", kind="python")],
    )
    found = ops(guarded, as_of=datetime(2013, 3, 1, tzinfo=timezone.utc)).by_id
    looked = found["test.shop.three_airports"]
    assert (short(looked.needs), short(looked.after)) == (set(), {"flights [2013-01]", "flights [2013-02]"})
    assert "test.shop.three_airports" in found["python:assets.days [2013-01-15]"].needs
