"""What commands print, at the width of a terminal."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from orchestrator.cli.describe import description
from orchestrator.cli.impact import impact_report
from orchestrator.cli.lineage import lineage_trees
from orchestrator.cli.ls import asset_list
from orchestrator.cli.partitions import page, partitions_json
from orchestrator.cli.plan import plan_table
from orchestrator.cli.runs import run_list, run_report
from orchestrator.definitions.events import Failure
from orchestrator.definitions.facts import Facts
from orchestrator.graph.impact import impact
from orchestrator.plan.run_plan import build_run_plan
from orchestrator.plan.states import build_states
from orchestrator.records.views import CheckRecord, RunDetail, StepRecord
from tests.scenarios import key, mixed_grains
from tests.unit.cli.stories import GRAPH, START, attempt, facts, printed
from tests.unit.plan.told import built, but, without

STATES = build_states(GRAPH, facts())


def test_ls_groups_by_layer_and_lines_up() -> None:
    page = asset_list(GRAPH, GRAPH.assets.values(), states=STATES, facts=facts(), now=START, width=80)
    assert (
        printed(page)
        == """\
raw
  ◇ external  airports  source                     ops@example.com
  ✓ fresh     flights   python  336,776  just now  ops@example.com

staging
  ✓ fresh     flights   table   336,776  just now

ml
  ✗ failed    delays    python  336,776  just now  ml@example.com

marts
  ○ missing   report    table                      Data Team

ops
  ○ missing   vacuum    action

6 assets: 2 fresh, 2 missing, 1 failed, 1 external"""
    )


def test_ls_of_nothing_says_so() -> None:
    assert (
        printed(asset_list(GRAPH, [], states={}, facts=Facts("dev"), now=START, width=80)) == "no assets are selected"
    )


def test_describe_answers_when_by_whom_with_what_and_how_numbers_moved() -> None:
    history = [
        attempt(0),
        attempt(1, status="failed", version=None, rows=None, reason="ValueError: no data\nmore"),
        attempt(2),
    ]
    asset = GRAPH[key("staging.flights")]
    page = description(GRAPH, asset, states=STATES, facts=facts(), history=history, now=START + timedelta(hours=3))
    text = printed(page)
    assert text.startswith("staging.flights  ✓ fresh, up to date\n")
    for line in (
        "(3 h ago) in 12.0 s",
        "  by           ann@laptop, run r0",
        "  rows         1,000",
        "  read         raw.flights (a-raw.flight)",
        "  written in   dbt_project/models/staging/flights.sql:1",
        "  rows        1,000  +20 (+2.0 %)  ▁█",
        "  mean_delay    6.5     unchanged  ▄▄",
        "  ✗ failed     27 h ago              12.0 s  ValueError: no data\n",
        "  ✓ succeeded  unique_flight",
    ):
        assert line in text


def test_lineage_is_a_tree_up_and_a_tree_down() -> None:
    assert (
        printed(lineage_trees(GRAPH, key("staging.flights"), states=STATES))
        == """\
staging.flights is made from
├── ◇ raw.airports  source
└── ✓ raw.flights  python

staging.flights feeds
├── ○ marts.report  table
│   ├── ○ ops.vacuum  action
│   └── → board  exposure, boss@example.com
└── ✗ ml.delays  python
    └── ○ marts.report  table (see above)"""
    )


def test_impact_counts_what_breaks_and_names_whom_to_ask() -> None:
    assert (
        printed(impact_report(GRAPH, impact(GRAPH, key("ml.delays"))))
        == """\
4 things break if ml.delays is deleted
1 asset, 1 action, 1 consumer, 1 check

Assets
  reads it  marts.report  table   Data Team
   2 steps  ops.vacuum    action

Who looks at it
  board  exposure  boss@example.com

Ask
  Data Team         loses marts.report
  boss@example.com  loses board"""
    )


def test_impact_of_the_last_asset() -> None:
    assert printed(impact_report(GRAPH, impact(GRAPH, key("ops.vacuum")))) == (
        "Nothing here needs ops.vacuum: nothing breaks if it is deleted."
    )


def test_plan_says_why_for_what_runs_and_for_what_does_not() -> None:
    plan = build_run_plan(GRAPH, GRAPH.assets, states=STATES, environment="dev", stale=True)
    assert (
        printed(plan_table(GRAPH, plan))
        == """\
Would run
  ● ml.delays     python  boom
  ● marts.report  table   never built
  ● ops.vacuum    action  never built

Would not run
  = raw.flights      python  up to date
  = staging.flights  table   up to date

3 steps and 1 check would run in dev, 2 left out"""
    )


def failed_run() -> RunDetail:
    def step(asset: str, status: str, **more: object) -> StepRecord:
        values = {"writer": "w", "partition": None, "kind": "asset", "action": "build", "plan_reason": "never built"}
        return StepRecord(key=asset, status=status, attempt=1, **{**values, **more})  # type: ignore[arg-type]

    return RunDetail(
        run_id="1122-110000-ab12", environment="dev", status="failed", command="orchestrator run", selection="+report",
        engine="local", by="ann@laptop", pid=1, started_at=START, duration_s=75.0, reason="1 step failed",
        counts={"succeeded": 1, "failed": 1}, failed=("ml.delays",),
        steps=(
            step("raw.flights", "succeeded", rows=336776, duration_s=1.2),
            step("ml.delays", "failed", reason="ValueError: no rows", failure=Failure("ValueError: no rows", "Trace")),
        ),
        checks=(
            CheckRecord(check="x", name="unique_flight", key="raw.flights", status="warned", severity="warn", at=START,
                        run_id="r", failures=3),
        ),
    )  # fmt: skip


def test_runs_in_a_line_each() -> None:
    assert (
        printed(run_list([failed_run()], environment="dev", now=START))
        == """\
status    run                started        took  result
✗ failed  1122-110000-ab12  just now  1 min 15 s  ml.delays failed; 1 succeeded…"""
    )
    assert printed(run_list([], environment="dev", now=START)) == "nothing was run in dev yet"
    assert printed(run_list([], environment=None, now=START)) == "nothing was run in any environment yet"
    first, second = printed(run_list([failed_run()], environment=None, now=START)).splitlines()
    assert first.split()[:4] == ["status", "run", "environment", "started"]
    assert second.split()[:4] == ["✗", "failed", "1122-110000-ab12", "dev"]


def test_a_run_shows_its_failures_first() -> None:
    text = printed(run_report(failed_run(), now=START))
    assert text.startswith("Run 1122-110000-ab12 ✗ failed, 1 step failed\n")
    assert text.index("✗ ml.delays\n    ValueError: no rows\n    Trace") < text.index("Steps")
    assert text.endswith("""\
Steps
  ✗ failed     ml.delays                    ValueError: no rows
  ✓ succeeded  raw.flights  336,776  1.2 s  never built

Checks
  ! warned  unique_flight on raw.flights  3 rows""")


@pytest.mark.parametrize("width", [80, 160])
def test_no_page_is_wider_than_its_terminal(width: int) -> None:
    asset = GRAPH[key("staging.flights")]
    plan = build_run_plan(GRAPH, GRAPH.assets, states=STATES, environment="dev")
    text = printed(
        asset_list(GRAPH, GRAPH.assets.values(), states=STATES, facts=facts(), now=START, width=width),
        description(GRAPH, asset, states=STATES, facts=facts(), history=[attempt(0), attempt(1)], now=START),
        plan_table(GRAPH, plan),
        run_list([failed_run()] * 2, environment="dev", now=START),
        run_report(failed_run(), now=START),
        width=width,
    )
    assert max(map(len, text.splitlines())) <= width


def test_partitions_are_shown_by_state_and_one_by_one() -> None:
    graph = mixed_grains()
    at = datetime(2013, 4, 1, 12, tzinfo=timezone.utc)
    told = but(built(graph, at=at), "raw.flights", partition="2013-02", status="failed", reason="no such file")
    asset = graph[key("raw.flights")]
    state = build_states(graph, told, as_of=at)[asset.key]
    assert asset.partitions is not None
    shown = asset.partitions.parse("2013-01..2013-02")
    assert (
        printed(page(graph, asset, state, told, shown, now=at + timedelta(hours=3)))
        == """\
raw.flights  monthly, 2013-01..2013-12, column flight_date
  ✗ failed  1  2013-02           no such file
  ✓ fresh   2  2013-01, 2013-03

  2013-01  ✓ fresh     3 h ago  up to date
  2013-02  ✗ failed    3 h ago  no such file"""
    )
    daily = graph[key("marts.delays")]
    text = printed(page(graph, daily, build_states(graph, told, as_of=at)[daily.key], told, None, now=at))
    assert "  reads raw.flights  overlap (monthly, 2013-01..2013-12, column flight_date)" in text
    found = partitions_json(graph, asset, state, told, None)
    assert found["states"]["failed"] == {"count": 1, "partitions": ["2013-02"]}
    assert [cell["state"] for cell in found["cells"]] == ["fresh", "failed", "fresh"]


def test_a_plan_shows_partitions_with_one_reason_in_one_line() -> None:
    graph = mixed_grains()
    at = datetime(2013, 4, 1, 12, tzinfo=timezone.utc)
    told = without(built(graph, at=at), "raw.weather", partitions=["2013-01-05", "2013-01-06", "2013-02-01"])
    states = build_states(graph, told, as_of=at)
    plan = build_run_plan(graph, [key("raw.weather")], states=states, environment="dev", stale=True)
    assert (
        printed(plan_table(graph, plan))
        == """\
Would run
  ● raw.weather [2013-01-05..2013-01-06, 2013-02-01]  python  never built

Would not run
  = raw.weather  python  87 of 90 partitions: up to date

3 steps and 0 checks would run in dev, 1 left out"""
    )
