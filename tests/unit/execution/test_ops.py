"""What waits for what. dbt orders its own nodes; here is only what dbt cannot know."""

from __future__ import annotations

from orchestrator.definitions.facts import Facts
from orchestrator.execution.ops import Native, Op, build_ops
from orchestrator.graph.model import AssetGraph
from orchestrator.plan.run_plan import build_run_plan
from orchestrator.plan.states import build_states
from tests.scenarios import asset, chain, check, graph, keys, sandwich
from tests.unit.plan.told import built

PYTHON, MODEL, TEST = "python:assets.", "model.shop.", "test.shop."


def ops(graph_: AssetGraph, *selected: str, native: Native | None = None) -> dict[str, Op]:
    facts = built(graph_) if selected else Facts("dev")
    chosen = keys(*selected) if selected else graph_.assets
    made = build_run_plan(graph_, chosen, states=build_states(graph_, facts), environment="dev")
    return build_ops(graph_, made, native=native or as_dbt(graph_))


def as_dbt(graph_: AssetGraph) -> Native:
    """What dbt orders by itself: its nodes after the dbt nodes that they read."""
    reads = {writer.id: writer.reads for item in graph_.assets.values() for writer in item.writers}
    reads |= {item.id: item.reads for item in graph_.checks}
    written = {
        item.key: {writer.id for writer in item.writers if writer.engine == "dbt"} for item in graph_.assets.values()
    }
    return lambda name: frozenset(parent for read in reads[name] for parent in written[read])


def needs(graph_: AssetGraph, *selected: str, native: Native | None = None) -> dict[str, set[str]]:
    return {name: set(op.needs) for name, op in ops(graph_, *selected, native=native).items()}


def test_dbt_nodes_wait_for_python_and_python_for_both() -> None:
    assert needs(sandwich()) == {
        PYTHON + "flights": set(),
        MODEL + "flights": {PYTHON + "flights"},
        PYTHON + "delays": {MODEL + "flights", TEST + "unique_flight"},
        MODEL + "report": {PYTHON + "delays", TEST + "delays_known"},
        PYTHON + "vacuum": {MODEL + "report"},
        TEST + "unique_flight": set(),
        TEST + "delays_known": {PYTHON + "delays"},
    }


def test_dbt_alone_needs_no_gate() -> None:
    assert needs(chain(), "staging.b", "marts.c", "marts.d") == {
        MODEL + "b": set(),
        MODEL + "c": set(),
        MODEL + "d": set(),
    }


def test_dbt_nodes_wait_for_dbt_nodes_that_dbt_does_not_know_they_read() -> None:
    """A seed that a model reads through source()."""
    blind = needs(chain(), "staging.b", "marts.c", native=lambda _: frozenset())
    assert blind[MODEL + "c"] == {MODEL + "b"}


def test_what_is_not_in_the_plan_is_not_waited_for() -> None:
    assert needs(sandwich(), "ml.delays")[PYTHON + "delays"] == set()


def test_order_holds_through_what_is_not_in_the_plan() -> None:
    """It may be a view, which passes the new data on."""
    through = graph(
        asset("raw.a", engine="python"),
        asset("staging.view", ["raw.a"]),
        asset("ml.c", ["staging.view"], engine="python"),
    )
    assert needs(through, "raw.a", "ml.c")[PYTHON + "c"] == {PYTHON + "a"}


def test_a_blocking_check_guards_only_what_descends_from_all_that_it_reads() -> None:
    two = graph(
        asset("raw.a", engine="python"),
        asset("raw.b", engine="python"),
        asset("ml.only_a", ["raw.a"], engine="python"),
        asset("ml.both", ["raw.a", "raw.b"], engine="python"),
        asset("ml.after_both", ["ml.both"], engine="python"),
        asset("marts.both", ["raw.a", "raw.b"]),
        checks=[check("same_ids", "raw.a", "raw.b")],
    )
    guarded = {name for name, wanted in needs(two).items() if TEST + "same_ids" in wanted}
    assert guarded == {PYTHON + "both", MODEL + "both"}  # the rest follows


def test_a_python_check_guards_dbt_models_too() -> None:
    one = graph(
        asset("raw.a"),
        asset("marts.b", ["raw.a"]),
        asset("marts.c", ["marts.b"]),
        checks=[check("fine", "raw.a", kind="python")],
    )
    assert needs(one)[MODEL + "b"] == {TEST + "fine"}
    assert needs(one)[MODEL + "c"] == set()


def test_a_check_that_only_warns_guards_nothing() -> None:
    one = graph(
        asset("raw.a", engine="python"),
        asset("ml.b", ["raw.a"], engine="python"),
        checks=[check("fine", "raw.a", severity="warn", blocking=False)],
    )
    assert needs(one)[PYTHON + "b"] == {PYTHON + "a"}


def test_a_unit_test_waits_for_what_its_model_waits_for() -> None:
    one = graph(
        asset("raw.a", engine="python"),
        asset("marts.b", ["raw.a"]),
        checks=[check("adds", "marts.b", kind="unit_test")],
    )
    assert needs(one)[TEST + "adds"] == {PYTHON + "a"}


def test_a_check_that_blocks_only_descendants_never_makes_a_cycle() -> None:
    for name, wanted in needs(sandwich()).items():
        assert name not in wanted
