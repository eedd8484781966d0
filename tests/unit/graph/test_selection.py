import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.selection import Asset as AssetReference
from orchestrator.definitions.selection import Expression, Selectable, tag
from orchestrator.definitions.selection import key as key_is
from orchestrator.errors import SelectionError
from orchestrator.graph.build import build_graph
from orchestrator.graph.model import AssetGraph
from orchestrator.graph.selection import find_asset, parse, select
from tests.scenarios import asset, chain, diamond, graph, key, keys, sandwich, with_ephemeral

EVERYTHING = ["marts.report", "ml.delays", "ops.vacuum", "raw.flights", "staging.flights"]


def chosen(where: AssetGraph, *selection: str, **more: object) -> list[str]:
    return sorted(map(str, select(where, list(selection), **more)))  # type: ignore[arg-type]


def refusal(where: AssetGraph, *selection: str, **more: object) -> str:
    with pytest.raises(SelectionError) as caught:
        chosen(where, *selection, **more)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("nothing", [None, "", " ", [], [""]])
def test_without_a_selection_all_that_has_a_writer_is_chosen(nothing: object) -> None:
    assert sorted(map(str, select(sandwich(), nothing))) == EVERYTHING  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", EVERYTHING),
        ("raw.flights", ["raw.flights"]),
        ("RAW.Flights", ["raw.flights"]),
        ("raw.airports", ["raw.airports"]),
        ("stg_flights", ["staging.flights"]),
        ("delays", ["ml.delays"]),
        ("model.shop.report", ["marts.report"]),
        ("shop.report", ["marts.report"]),
        ("*.flights", ["raw.flights", "staging.flights"]),
        ("raw.*", ["raw.airports", "raw.flights"]),
        ("repor?", ["marts.report"]),
        ("+staging.flights", ["raw.airports", "raw.flights", "staging.flights"]),
        ("1+marts.report", ["marts.report", "ml.delays", "staging.flights"]),
        ("ml.delays+", ["marts.report", "ml.delays", "ops.vacuum"]),
        ("ml.delays+1", ["marts.report", "ml.delays"]),
        ("tag:daily", ["raw.flights", "staging.flights"]),
        ("tag:da*", ["raw.flights", "staging.flights"]),
        ("tag:DAILY,group:core", ["staging.flights"]),
        ("tag:daily group:finance", ["marts.report", "raw.flights", "staging.flights"]),
        ("not tag:daily", ["marts.report", "ml.delays", "ops.vacuum"]),
        ("raw.*,not tag:daily", ["raw.airports"]),
        ("kind:action", ["ops.vacuum"]),
        ("kind:external", ["raw.airports"]),
        ("kind:python,not kind:action", ["ml.delays", "raw.flights"]),
        ("owner:'Data Team'", ["marts.report"]),
        ("owner:*@example.com", ["ml.delays", "raw.airports", "raw.flights"]),
        ("resource:warehouse", ["raw.flights"]),
        ("project:shop,key:m*", ["marts.report", "ml.delays"]),
        ("source:raw", ["raw.airports"]),
        ("source:raw.airports+1", ["raw.airports", "staging.flights"]),
        ("source:shop.raw.airports", ["raw.airports"]),
        ("check:unique_flight", ["staging.flights"]),
        ("exposure:board", ["marts.report"]),
        ("resource_type:model,tag:daily", ["staging.flights"]),
        ("access:protected,group:core", ["staging.flights"]),
        ("path:models/marts", ["marts.report"]),
        ("path:dbt_project/models/marts/report.sql", ["marts.report"]),
        ("dbt_project/models/", ["marts.report", "raw.airports", "staging.flights"]),
        ("./python_assets", ["ml.delays", "ops.vacuum", "raw.flights"]),
        ("path:models/*/report.sql", ["marts.report"]),
        ("path:**/flights.sql", ["staging.flights"]),
        ("report.sql", ["marts.report"]),
        ("marts", ["marts.report"]),
        ("fqn:shop.marts.report", ["marts.report"]),
    ],
)
def test_selections_of_the_sandwich(text: str, expected: list[str]) -> None:
    assert chosen(sandwich(), text) == expected


def test_words_of_several_arguments_are_read_as_if_typed_one_after_the_other() -> None:
    assert chosen(sandwich(), "raw.flights", "not", "(tag:daily", "kind:python)") == ["marts.report", "raw.flights"]


def test_excluded_assets_are_taken_away_at_the_end() -> None:
    assert chosen(chain(), "raw.a+", exclude="marts.c+") == ["raw.a", "staging.b"]
    assert chosen(chain(), exclude=["raw.*", "marts.c"]) == ["marts.d", "staging.b"]
    assert chosen(chain(), exclude="") == ["marts.c", "marts.d", "raw.a", "staging.b"]
    assert chosen(chain(), exclude="*") == []


def test_states_and_results_are_those_of_the_records() -> None:
    states = {key("raw.flights"): "stale", key("ml.delays"): "failed", key("gone.asset"): "failed"}
    assert chosen(sandwich(), "state:failed", states=states) == ["ml.delays"]
    assert chosen(sandwich(), "state:stale,failed", states=states) == ["ml.delays", "raw.flights"]
    assert chosen(sandwich(), "state:stale,tag:daily", states=states) == ["raw.flights"]
    assert chosen(sandwich(), "state:missing", states=states) == []
    assert chosen(sandwich(), "result:error+1", results=states) == ["marts.report", "ml.delays"]


class TestPythonObjects:
    """What the text says can be said with objects."""

    class Reference(Selectable):
        def __init__(self, id_: str) -> None:
            self.id = id_

        def __selection__(self) -> Expression:
            return AssetReference(self)

    def test_operators(self) -> None:
        flights = self.Reference("python:assets.flights")
        assert select(sandwich(), flights) == keys("raw.flights")
        assert select(sandwich(), flights.downstream(1) & tag("daily")) == keys("raw.flights", "staging.flights")
        assert select(sandwich(), tag("daily") - flights) == keys("staging.flights")
        assert select(sandwich(), key_is("ml.*") | flights) == keys("raw.flights", "ml.delays")
        assert select(sandwich(), ~(flights | tag("daily"))) == keys("marts.report", "ml.delays", "ops.vacuum")
        assert select(sandwich(), [flights, "ml.delays"]) == keys("raw.flights", "ml.delays")

    def test_references_to_dbt_models_and_sources(self) -> None:
        assert select(sandwich(), self.Reference("dbt:model:report").upstream(1)) == keys(
            "marts.report", "ml.delays", "staging.flights"
        )
        assert select(sandwich(), self.Reference("dbt:source:raw.airports")) == keys("raw.airports")

    def test_a_key_is_a_selection(self) -> None:
        assert select(chain(), AssetKey("raw", "a")) == keys("raw.a")

    def test_the_text_of_an_expression_means_the_same(self) -> None:
        expression = (tag("daily") | key_is("ml.*")).upstream() - tag("slow")
        assert str(expression) == "+(tag:daily key:ml.*),not tag:slow"
        assert select(sandwich(), str(expression)) == select(sandwich(), expression)

    def test_strings_are_no_operands(self) -> None:
        with pytest.raises(TypeError):
            tag("daily") & "raw.flights"  # type: ignore[operator]


class TestEphemeralModels:
    """They have no table, but lineage goes through them."""

    def test_what_is_made_from_one(self) -> None:
        assert chosen(with_ephemeral(), "eph_one+") == ["marts.d"]
        assert chosen(with_ephemeral(), "eph_two+1") == ["marts.d"]
        assert chosen(with_ephemeral(), "+eph_one") == ["raw.a"]
        assert chosen(with_ephemeral(), "@eph_one") == ["marts.d", "raw.a"]
        assert chosen(with_ephemeral(), "path:models/eph+") == ["marts.d"]

    def test_beside_others_it_adds_nothing(self) -> None:
        assert chosen(with_ephemeral(), "staging.b eph_one") == ["staging.b"]
        assert chosen(with_ephemeral(), "raw.a", exclude="eph_one") == ["raw.a"]

    def test_alone_it_is_refused(self) -> None:
        assert refusal(with_ephemeral(), "eph_one") == (
            "SelectionError: 'eph_one' is an ephemeral model: it has no table of its own\n"
            "  fix: select what is made from it: 'eph_one+'"
        )
        assert refusal(with_ephemeral(), "models/eph") == (
            "SelectionError: 'eph_one', 'eph_two' are ephemeral models: they have no table of their own\n"
            "  fix: select what is made from it: 'eph_one+'"
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("raw.airport", "no asset is called 'raw.airport'\n  fix: did you mean 'raw.airports'?"),
        ("dela", "no asset is called 'dela'\n  fix: did you mean 'delays'?"),
        ("zzz", "no asset is called 'zzz'\n  fix: `orchestrator ls` lists all assets"),
        ("ops", "no asset is called 'ops'\n  fix: 'ops.*' selects all assets of this layer"),
        ("raw.flights or dela", "no asset is called 'or'\n  fix: a space means or, a comma means and"),
        (
            "flights",
            "'flights' may mean 'raw.flights' or 'staging.flights'\n  fix: write the whole key",
        ),
        ("nothing.*", "no asset matches 'nothing.*'\n  fix: `orchestrator ls` lists all assets"),
        ("tag:dayly", "no asset has the tag 'dayly'\n  fix: did you mean 'daily'? there are daily, slow"),
        ("group:x", "no asset has the group 'x'\n  fix: there are core, finance"),
        ("metric:x", "no metric is called 'x', or it reads no asset\n  fix: nothing here has a metric"),
        ("key:raw.f", "no asset has the key 'raw.f'\n  fix: did you mean 'raw.flights'? "
         "there are marts.report, ml.delays, ops.vacuum, raw.airports, raw.flights, staging.flights"),
        ("check:uniqe_flight", "no check is called 'uniqe_flight'\n  fix: did you mean 'unique_flight'? "
         "there are delays_known, unique_flight"),
        ("path:models/nope", "no asset is defined in 'models/nope'\n  fix: "
         "`orchestrator ls` shows where assets are defined"),
        ("state:stail", "'stail' is no state\n  fix: did you mean 'stale'?"),
        (
            "state:stale",
            "'state:stale' needs recorded states, and there are none here\n  fix: leave 'state:' out, "
            "or use it in a command that reads the records, such as run, plan or ls",
        ),
    ],
)  # fmt: skip
def test_what_names_nothing_is_an_error(text: str, expected: str) -> None:
    assert refusal(sandwich(), text) == f"SelectionError: {expected}"
    assert refusal(sandwich(), "raw.flights", exclude=text) == f"SelectionError: {expected}"


def test_a_key_comes_before_other_meanings_of_a_name() -> None:
    where = graph(asset("a.b"), asset("c.d", aliases=("a.b",)))
    assert chosen(where, "a.b") == ["a.b"]


def test_many_known_values_are_not_all_listed() -> None:
    where = graph(asset("a.b", tags=tuple(f"x{number:02}" for number in range(25))))
    listed = ", ".join(f"x{number:02}" for number in range(20))
    assert refusal(where, "tag:yyy") == (
        f"SelectionError: no asset has the tag 'yyy'\n  fix: there are {listed} … and 5 more"
    )


def test_one_asset_is_found_by_any_of_its_names() -> None:
    assert find_asset(sandwich(), "stg_flights") == key("staging.flights")
    with pytest.raises(SelectionError, match=r"did you mean 'ml\.delays'"):
        find_asset(sandwich(), "ml.delay")
    with pytest.raises(SelectionError, match="has no table of its own"):
        find_asset(with_ephemeral(), "eph_one")


class TestLaws:
    """Against brute force, on many small graphs."""

    NAMES = tuple(f"x.n{number}" for number in range(7))

    @staticmethod
    def build(edges: set[tuple[int, int]]) -> AssetGraph:
        names = TestLaws.NAMES
        return build_graph(
            asset(name, [names[a] for a, b in edges if b == index], tags=("even" if index % 2 == 0 else "odd",))
            for index, name in enumerate(names)
        )

    edge_sets = st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda pair: pair[0] < pair[1]))
    texts = st.lists(
        st.builds(
            "{}{}{}".format,
            st.sampled_from(["", "", "+", "1+"]),
            st.sampled_from([*NAMES, "tag:odd", "tag:even", "(x.n1 x.n2)", "x.n?,tag:odd"]),
            st.sampled_from(["", "+", "+2"]),
        ),
        min_size=1,
        max_size=3,
    ).map(" ".join)

    @given(edge_sets, texts, texts)
    @settings(max_examples=100, deadline=None)
    def test_or_is_the_union_and_comma_the_intersection(self, edges: set, left: str, right: str) -> None:
        where = self.build(edges)
        a, b = select(where, left), select(where, right)
        assert select(where, f"{left} {right}") == a | b == select(where, parse(left) | parse(right))
        assert select(where, f"({left}),({right})") == a & b == select(where, parse(left) & parse(right))
        assert select(where, f"({left}),not ({right})") == a - b == select(where, left, exclude=right)
        assert select(where, f"not ({left})") == frozenset(where.assets) - a

    @given(edge_sets, st.sampled_from(NAMES), st.integers(0, 4))
    @settings(max_examples=100, deadline=None)
    def test_reach_is_what_walking_the_edges_finds(self, edges: set, start: str, depth: int) -> None:
        where = self.build(edges)

        def walk(begin: set[AssetKey], steps: int, up: bool) -> set[AssetKey]:
            for _ in range(steps):
                near = where.upstream if up else where.downstream
                begin = begin | {following for own in begin for following in near[own]}
            return begin

        begin = {key(start)}
        assert select(where, f"+{start}") == walk(begin, 9, True)
        assert select(where, f"{start}+{depth}") == walk(begin, depth, False)
        assert select(where, f"{depth}+{start}") == walk(begin, depth, True)
        assert select(where, f"@{start}") == walk(walk(begin, 9, False), 9, True)


def test_the_diamond_is_closed_by_at() -> None:
    assert chosen(diamond(), "@staging.left") == ["marts.join", "raw.a", "staging.left", "staging.right"]
