"""What a run will do, and why not the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from orchestrator.definitions.facts import Facts
from orchestrator.definitions.slots import Slot
from orchestrator.graph.model import AssetGraph
from orchestrator.plan.retry import build_retry_plan
from orchestrator.plan.run_plan import RunPlan, SkippedCheck, build_run_plan
from orchestrator.plan.states import build_states
from tests.scenarios import asset, chain, check, check_without_asset, diamond, graph, key, keys, sandwich
from tests.unit.plan.told import built, but, but_check, without, without_check


def plan(graph_: AssetGraph, facts: Facts, *selected: str, **more: Any) -> RunPlan:
    chosen = keys(*selected) if selected else graph_.assets
    return build_run_plan(graph_, chosen, states=build_states(graph_, facts), environment="dev", **more)


def lines(made: RunPlan) -> list[tuple[str, str, str]]:
    return [(step.key, step.action, step.reason) for step in made.steps]


def test_a_run_builds_everything_selected_in_order() -> None:
    assert lines(plan(chain(), Facts("dev"))) == [
        ("raw.a", "build", "never built"),
        ("staging.b", "build", "never built"),
        ("marts.c", "build", "never built"),
        ("marts.d", "build", "never built"),
    ]
    assert lines(plan(chain(), built(chain()), "marts.c", "raw.a")) == [
        ("raw.a", "build", "selected"),
        ("marts.c", "build", "selected"),
    ]


def test_stale_after_a_green_run_is_nothing() -> None:
    made = plan(sandwich(), built(sandwich()), stale=True)
    assert made.is_empty
    assert {step.action for step in made.steps} == {"skip"}
    assert lines(made)[0] == ("raw.flights", "skip", "up to date")


def test_stale_follows_what_it_rebuilds() -> None:
    facts = but(built(diamond()), "staging.left", status="failed", reason="no such column")
    assert lines(plan(diamond(), facts, stale=True)) == [
        ("raw.a", "skip", "up to date"),
        ("staging.left", "build", "no such column"),
        ("staging.right", "skip", "up to date"),
        ("marts.join", "build", "staging.left will be rebuilt first"),
    ]


def test_stale_names_one_of_several_reasons() -> None:
    made = plan(diamond(), without(built(diamond()), "raw.a"), stale=True)
    assert lines(made)[-1] == ("marts.join", "build", "staging.left and 1 more will be rebuilt first")


def test_stale_stays_in_the_selection() -> None:
    facts = without(built(diamond()), "raw.a")
    assert lines(plan(diamond(), facts, "marts.join", stale=True)) == [("marts.join", "skip", "up to date")]


def test_what_nothing_here_writes_is_no_step() -> None:
    assert "raw.airports" not in {step.key for step in plan(sandwich(), Facts("dev")).steps}


def test_an_action_is_a_step_of_its_kind() -> None:
    assert [step.kind for step in plan(sandwich(), Facts("dev")).steps if step.key == "ops.vacuum"] == ["action"]


def test_a_check_comes_along_with_any_asset_it_reads() -> None:
    made = plan(sandwich(), built(sandwich()), "ml.delays")
    assert made.checks == ("test.shop.delays_known",)
    both = plan(sandwich(), built(sandwich()), "staging.flights")
    assert both.checks == ("test.shop.unique_flight", "test.shop.delays_known")


def test_a_check_waits_until_all_it_reads_is_there() -> None:
    made = plan(sandwich(), Facts("dev"), "staging.flights")
    assert made.checks == ("test.shop.unique_flight",)
    assert made.skipped_checks == (SkippedCheck("test.shop.delays_known", "ml.delays is not built and not selected"),)


def test_a_check_on_sources_only_runs_when_its_source_is_selected() -> None:
    checked = graph(asset("raw.a", engine=None), asset("staging.b", ["raw.a"]), checks=[check("fresh", "raw.a")])
    assert plan(checked, Facts("dev"), "raw.a").checks == ("test.shop.fresh",)
    assert plan(checked, Facts("dev"), "staging.b").checks == ()
    assert plan(checked, Facts("dev"), "raw.a", stale=True).checks == ()


def test_a_run_of_everything_takes_checks_along_that_follow_no_step() -> None:
    checked = graph(
        asset("raw.a", engine=None),
        asset("staging.b", ["raw.a"]),
        checks=[check("fresh", "raw.a"), check_without_asset("slug")],
    )
    assert plan(checked, Facts("dev"), "staging.b", everything=True).checks == ("test.shop.fresh", "test.shop.slug")
    assert plan(checked, Facts("dev"), "staging.b").checks == ()
    assert plan(checked, built(checked), "staging.b", everything=True, stale=True).is_empty


def test_which_checks_come_along_is_chosen_as_in_dbt() -> None:
    checked = graph(
        asset("raw.a"),
        asset("staging.b", ["raw.a"]),
        asset("marts.c"),
        checks=[check("own", "staging.b"), check("up", "staging.b", "raw.a"), check("aside", "staging.b", "marts.c")],
    )
    chosen = {
        mode: plan(checked, built(checked), "staging.b", indirect=mode).checks
        for mode in ("eager", "buildable", "cautious", "empty")
    }
    assert chosen == {
        "eager": ("test.shop.own", "test.shop.up", "test.shop.aside"),
        "buildable": ("test.shop.own", "test.shop.up"),
        "cautious": ("test.shop.own",),
        "empty": (),
    }


def test_checks_that_a_selector_names_run_by_themselves() -> None:
    checked = graph(asset("raw.a"), asset("staging.b"), checks=[check("of_a", "raw.a"), check("of_b", "staging.b")])
    made = plan(checked, Facts("dev"), "staging.b", only_checks=frozenset({"test.shop.of_a"}))
    assert (made.checks, made.skipped_checks) == (("test.shop.of_a",), ())
    fresh = plan(checked, built(checked), "staging.b", only_checks=frozenset({"test.shop.of_a"}), stale=True)
    assert fresh.is_empty


def test_stale_redoes_an_asset_whose_check_failed_and_checks_it_again() -> None:
    made = plan(sandwich(), but_check(built(sandwich()), "unique_flight", status="failed"), stale=True)
    assert lines(made)[1] == ("staging.flights", "build", "check unique_flight failed")
    assert made.checks == ("test.shop.unique_flight", "test.shop.delays_known")


def test_stale_runs_a_check_that_its_run_did_not_come_to() -> None:
    made = plan(sandwich(), without_check(built(sandwich()), "unique_flight"), stale=True)
    assert made.to_build == ()
    assert made.checks == ("test.shop.unique_flight",)
    assert not made.is_empty


def test_a_full_refresh_is_passed_on() -> None:
    assert plan(chain(), Facts("dev"), full_refresh=True).full_refresh


def test_a_retry_takes_checks_along_that_its_run_did_not_come_to() -> None:
    facts = without_check(but(built(sandwich()), "ml.delays", status="unknown"), "unique_flight")
    made = build_retry_plan(
        sandwich(),
        run_id="run-1",
        steps={("model.shop.flights", None): "succeeded", ("python:assets.delays", None): "unknown"},
        checks={},
        states=build_states(sandwich(), facts),
        environment="dev",
    )
    assert [step.key for step in made.to_build] == ["ml.delays"]
    assert made.checks == ("test.shop.unique_flight", "test.shop.delays_known")


def test_the_plan_knows_its_environment_and_selection() -> None:
    made = plan(chain(), Facts("dev"), "raw.a", selection="raw.a")
    assert (made.environment, made.selection) == ("dev", "raw.a")
    assert key("raw.a") in chain()


def sales() -> AssetGraph:
    """raw.sales with two slots and an update on top, and marts.report below."""
    one = asset("raw.sales", engine="python")
    base = one.writers[0]
    slots = [
        replace(base, id=f"python:sales.{name}", slot=Slot.of(name, {"region": name})) for name in ("emea", "apac")
    ]
    update = replace(base, id="python:sales.erase", mode="update")
    return graph(replace(one, writers=(update, *slots)), asset("marts.report", ["raw.sales"]))


def writer_lines(made: RunPlan) -> list[tuple[str, str, str]]:
    return [(step.writer, step.action, step.reason) for step in made.steps]


def test_of_several_writers_only_the_stale_one_runs_and_updates_after_it() -> None:
    facts = built(sales())
    assert plan(sales(), facts, stale=True).to_build == ()
    apac = ("raw.sales", "python:sales.apac", None)
    failed = replace(facts.writers[apac], status="failed", reason="no network")
    facts = replace(facts, writers={**facts.writers, apac: failed})
    assert writer_lines(plan(sales(), facts, stale=True)) == [
        ("python:sales.emea", "skip", "up to date"),
        ("python:sales.apac", "build", "no network"),
        ("python:sales.erase", "build", "its table is written again first"),
        ("model.shop.report", "build", "raw.sales will be rebuilt first"),
    ]
