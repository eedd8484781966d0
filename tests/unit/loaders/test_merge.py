"""Fragments in, one graph out: definitions of one table become one asset."""

from dataclasses import replace

from orchestrator.definitions.keys import AssetKey, Location, Relation
from orchestrator.graph.model import Column, Consumer
from orchestrator.loaders.fragments import DraftAsset, DraftConsumer, Fragment
from orchestrator.loaders.merge import MergeResult, merge
from tests.scenarios import (
    asset,
    check,
    draft,
    draft_check,
    draft_ephemeral,
    key,
    keys,
    seed_read_as_source,
    source,
    two_writers,
)

FLIGHTS = draft(asset("raw.flights", engine="python"))
STAGING = draft(asset("staging.flights"), "source.shop.raw.flights")


def edges(result: MergeResult) -> dict[str, list[str]]:
    return {str(own): sorted(map(str, parents)) for own, parents in result.graph.upstream.items()}


def errors(result: MergeResult) -> list[str]:
    return [str(error) for error in result.errors]


def test_a_source_and_the_function_that_writes_it_are_one_asset() -> None:
    result = merge([Fragment(assets=(source("raw.flights"), STAGING)), Fragment(assets=(FLIGHTS,))])
    assert edges(result) == {"raw.flights": [], "staging.flights": ["raw.flights"]}
    assert result.graph[key("raw.flights")].writers[0].id == "python:assets.flights"
    assert result.graph[key("raw.flights")].dbt_ids == ("source.shop.raw.flights",)
    assert result.ids["source.shop.raw.flights"] == result.ids["python:assets.flights"] == key("raw.flights")
    assert errors(result) == []


def test_a_seed_that_is_read_as_a_source_is_upstream_of_its_reader() -> None:
    result = merge([seed_read_as_source()])
    assert edges(result) == {"jaffle.raw_customers": [], "staging.customers": ["jaffle.raw_customers"]}
    seed = result.graph[key("jaffle.raw_customers")]
    assert seed.aliases == ("ecom.customers", "customers")
    assert seed.dbt_ids == ("seed.shop.raw_customers", "source.shop.ecom.customers")


def test_the_writers_words_come_first_and_the_others_fill_in() -> None:
    written = draft(
        asset(
            "raw.flights",
            engine="python",
            owners=("ops",),
            tags=("a",),
            kinds=("python",),
            columns=(Column("Origin", "varchar"), Column("delay")),
            meta={"x": 1},
        )
    )
    declared = source(
        "nyc.flight_list",
        relation=Relation("dev", "raw", "flights"),
        owners=("team", "ops"),
        tags=("b",),
        kinds=("source",),
        group="core",
        description="from the airports",
        columns=(Column("origin", "text", "where from"), Column("DELAY", "int"), Column("dest")),
        meta={"x": 2, "y": 3},
    )
    merged = merge([Fragment(assets=(declared, written))]).graph[key("raw.flights")]
    assert merged.aliases == ("nyc.flight_list", "flight_list")
    assert (merged.owners, merged.tags, merged.kinds) == (("ops", "team"), ("a", "b"), ("python",))
    assert (merged.group, merged.description) == ("core", "from the airports")
    assert merged.columns == (Column("Origin", "varchar", "where from"), Column("delay", "int"), Column("dest"))
    assert merged.meta == {"x": 1, "y": 3}
    assert str(merged.location) == "python_assets/raw.py:3"


def test_what_dbt_declares_comes_before_a_mere_mention() -> None:
    mention = draft(asset("ext.rates", engine=None, location=Location("python_assets/a.py", 9), project="python"))
    result = merge([Fragment(assets=(mention,)), Fragment(assets=(source("ext.rates", description="rates"),))])
    assert result.graph[key("ext.rates")].project == "shop"
    assert result.ids == {"table:dev.ext.rates": key("ext.rates"), "source.shop.ext.rates": key("ext.rates")}


class TestRelationsWithoutDatabase:
    def test_match_the_only_table_of_that_name(self) -> None:
        result = merge([Fragment(assets=(source("raw.flights", database=""), STAGING, FLIGHTS))])
        assert edges(result) == {"raw.flights": [], "staging.flights": ["raw.flights"]}
        assert result.graph[key("raw.flights")].relation == Relation("dev", "raw", "flights")

    def test_stay_alone_where_two_tables_could_be_meant(self) -> None:
        one = draft(asset("one.t", relation=Relation("one", "s", "t")))
        two = draft(asset("two.t", relation=Relation("two", "s", "t"), dbt_ids=()), id_="model.shop.t2")
        unknown = source("any.t", relation=Relation("", "s", "t"))
        assert list(map(str, merge([Fragment(assets=(one, two, unknown))]).graph.assets)) == ["any.t", "one.t", "two.t"]


def test_an_explicit_key_is_the_key_and_the_usual_one_an_alias() -> None:
    moved = replace(draft(asset("staging.flights")), explicit_key=key("core.flights"))
    merged = merge([Fragment(assets=(moved,))]).graph[key("core.flights")]
    assert merged.key == key("core.flights")
    assert merged.aliases == ("staging.flights",)


def test_actions_never_merge() -> None:
    actions = [
        draft(asset(f"ops.{name}", engine="python", kind="action", relation=None), "model.shop.flights")
        for name in "ab"
    ]
    result = merge([Fragment(assets=(*actions, draft(asset("marts.flights"))))])
    assert edges(result) == {"marts.flights": [], "ops.a": ["marts.flights"], "ops.b": ["marts.flights"]}


def test_reading_oneself_is_no_edge() -> None:
    own = draft(asset("marts.days"), "model.shop.days", "source.shop.old.days")
    result = merge([Fragment(assets=(own, source("old.days", relation=Relation("dev", "marts", "days"))))])
    assert edges(result) == {"marts.days": []}
    assert result.graph[key("marts.days")].writers[0].reads == frozenset()


def test_edges_checks_and_consumers_pass_through_ephemeral_models() -> None:
    board = Consumer("exposure.shop.board", "board", "exposure", frozenset())
    metric = Consumer("metric.shop.delay", "delay", "metric", frozenset())
    result = merge(
        [
            Fragment(
                assets=(source("raw.flights"), draft(asset("marts.d"), "model.shop.two"), FLIGHTS),
                ephemerals=(
                    draft_ephemeral("two", "model.shop.one"),
                    draft_ephemeral("one", "source.shop.raw.flights"),
                ),
                checks=(draft_check(check("on_two", "x.y"), "model.shop.two"),),
                consumers=(
                    DraftConsumer(board, frozenset({"metric.shop.delay"})),
                    DraftConsumer(metric, frozenset({"model.shop.one"})),
                ),
            )
        ]
    )
    assert errors(result) == []
    assert edges(result) == {"raw.flights": [], "marts.d": ["raw.flights"]}
    assert [(item.name, item.reads, item.read_by) for item in result.graph.ephemerals] == [
        ("two", keys("raw.flights"), keys("marts.d")),
        ("one", keys("raw.flights"), keys("marts.d")),
    ]
    (on_two,) = result.graph.checks
    assert (on_two.key, on_two.reads) == (key("raw.flights"), keys("raw.flights"))
    assert [consumer.reads for consumer in result.graph.consumers] == [keys("raw.flights")] * 2


def test_a_check_is_placed_on_its_asset_and_reads_the_others() -> None:
    related = draft_check(check("related", "x.y"), "model.shop.flights", "python:assets.flights")
    result = merge([Fragment(assets=(STAGING, source("raw.flights"), FLIGHTS), checks=(related,))])
    (found,) = result.graph.checks
    assert (found.key, found.reads) == (key("staging.flights"), keys("staging.flights", "raw.flights"))


def test_a_check_of_an_ephemeral_model_is_shown_on_the_last_asset_that_it_reads() -> None:
    later = draft(asset("aa.later"), "python:assets.flights")
    through = draft_ephemeral("eph", "python:assets.flights", "model.shop.later")
    checks = (draft_check(check("c", "x.y"), "model.shop.eph"),)
    (found,) = merge([Fragment(assets=(FLIGHTS, later), ephemerals=(through,), checks=checks)]).graph.checks
    assert found.key == key("aa.later")


def test_a_check_that_reads_nothing_is_there_all_the_same() -> None:
    of_macro = replace(draft_check(check("slug", "x.y"), ""), reads=frozenset())
    of_ephemeral = draft_check(check("unique_id", "x.y"), "model.shop.made_up")
    made_up = draft_ephemeral("made_up")
    graph = merge([Fragment(ephemerals=(made_up,), checks=(of_macro, of_ephemeral))]).graph
    assert [(str(item.key), item.reads) for item in graph.checks] == [
        ("shop.slug", frozenset()),
        ("shop.made_up", frozenset()),
    ]


class TestReferencesByName:
    """`orchestrator.dbt.models.NAME` knows neither the project nor whether NAME is a model, a seed or a snapshot."""

    def test_find_models_seeds_sources_and_versions(self) -> None:
        reader = draft(
            asset("ml.delays", engine="python"),
            "dbt:model:flights",
            "dbt:model:shop.planes",
            "dbt:source:faa.airports",
            "dbt:model:carriers",
            "dbt:model:eph",
        )
        result = merge(
            [
                Fragment(assets=(reader, FLIGHTS)),
                Fragment(
                    assets=(
                        draft(asset("staging.flights")),
                        draft(asset("seeds.planes", dbt_ids=("seed.shop.planes",)), id_="seed.shop.planes"),
                        source("faa.airports"),
                        draft(asset("marts.carriers_v2", dbt_ids=()), id_="model.shop.carriers.v2"),
                    ),
                    ephemerals=(draft_ephemeral("eph", "python:assets.flights"),),
                ),
            ]
        )
        assert errors(result) == []
        assert edges(result)["ml.delays"] == [
            "faa.airports",
            "marts.carriers_v2",
            "raw.flights",
            "seeds.planes",
            "staging.flights",
        ]

    def test_a_missing_name_is_an_error_where_it_is_used(self) -> None:
        reader = draft(asset("ml.delays", engine="python"), "dbt:model:flighs", "dbt:source:raw.flight", "model.shop.x")
        result = merge([Fragment(assets=(STAGING, source("raw.flights"), reader))])
        assert errors(result) == [
            "UnknownAssetError: no dbt model is called 'flighs', which 'ml.delays' reads\n"
            "  at:  python_assets/ml.py:3\n"
            "  fix: did you mean 'flights'?",
            "UnknownAssetError: no dbt source is called 'raw.flight', which 'ml.delays' reads\n"
            "  at:  python_assets/ml.py:3\n"
            "  fix: did you mean 'raw.flights'?",
            "UnknownAssetError: no asset is called 'model.shop.x', which 'ml.delays' reads\n"
            "  at:  python_assets/ml.py:3\n"
            "  fix: did you mean 'model.shop.flights'?",
        ]
        assert edges(result)["ml.delays"] == []

    def test_a_name_in_two_projects_is_ambiguous(self) -> None:
        there = draft(asset("other.flights", dbt_ids=("model.other.flights",)), id_="model.other.flights")
        reader = draft(asset("ml.delays", engine="python"), "dbt:model:flights")
        result = merge([Fragment(assets=(draft(asset("staging.flights")), there, reader))])
        assert errors(result) == [
            "UnknownAssetError: 'ml.delays' reads the dbt model 'flights', "
            "which may mean model.shop.flights or model.other.flights\n"
            "  at:  python_assets/ml.py:3\n"
            "  fix: write its project before the name: 'project.name'"
        ]


def test_two_writers_of_one_table_are_refused_and_the_rest_stays() -> None:
    result = merge([two_writers()])
    assert errors(result) == [
        "ConflictingWritersError: two writers replace one table, 'dev.raw.flights': "
        "python:assets.flights and model.shop.flights\n"
        "  at:  python_assets/raw.py:3 and dbt_project/models/marts/flights.sql:1\n"
        "  fix: keep one of them, or make each the writer of a slot: "
        "`meta.orchestrator.slot: {name: …, where: {column: value}}`"
    ]
    assert edges(result) == {"raw.flights": [], "staging.flights_clean": ["raw.flights"]}


def test_two_tables_with_one_key_are_refused_and_the_rest_stays() -> None:
    other = source("raw.flights", database="elsewhere")
    reader = draft(asset("staging.other"), "source.shop.raw.flights")
    result = merge([Fragment(assets=(FLIGHTS, other, reader))])
    assert errors(result) == [
        "KeyClashError: two assets have the key 'raw.flights': dev.raw.flights and elsewhere.raw.flights\n"
        "  at:  python_assets/raw.py:3 and dbt_project/models/raw/sources.yml:1\n"
        "  fix: give one of them another key: `meta.orchestrator.key` in dbt, `key=` in Python"
    ]
    assert edges(result) == {"raw.flights": [], "staging.other": []}
    assert "source.shop.raw.flights" not in result.ids


class TestTablesOfOneNameInDbt:
    """dbt tells tables apart by relation: what it can build must not be refused for its name."""

    def keys_of(self, *drafts: DraftAsset) -> dict[str, str]:
        result = merge([Fragment(assets=drafts)])
        assert errors(result) == []
        return {id_: str(own) for id_, own in result.ids.items()}

    def test_what_is_written_keeps_its_key_before_what_is_only_read(self) -> None:
        model = draft(asset("crm.people", relation=Relation("dev", "dev_crm", "people")), "source.shop.crm.people")
        found = self.keys_of(model, source_beside("crm.people"))
        assert found == {"model.shop.people": "crm.people", "source.shop.crm.people": "source.crm.people"}

    def test_models_with_one_alias_are_told_apart_by_their_names(self) -> None:
        found = self.keys_of(*(model_called(name, alias="orders") for name in ("eu_orders", "us_orders")))
        assert found == {"model.shop.eu_orders": "shop.eu_orders", "model.shop.us_orders": "shop.us_orders"}

    def test_sources_of_two_packages_are_told_apart_by_those(self) -> None:
        one, two = source_beside("crm.people"), source_beside("crm.people", project="pkg", database="other")
        assert self.keys_of(one, two) == {
            "source.shop.crm.people": "source.shop.crm.people",
            "source.pkg.crm.people": "source.pkg.crm.people",
        }

    def test_a_key_that_was_written_down_stays(self) -> None:
        fixed = draft(asset("shop.orders", relation=Relation("dev", "x", "y")), id_="model.shop.y", explicit=True)
        found = self.keys_of(fixed, model_called("eu_orders", alias="orders"))
        assert found == {"model.shop.y": "shop.orders", "model.shop.eu_orders": "shop.eu_orders"}

    def test_two_keys_that_were_written_down_clash(self) -> None:
        fixed = [
            draft(asset("shop.orders", relation=Relation("dev", "x", name)), id_=f"model.shop.{name}", explicit=True)
            for name in ("a", "b")
        ]
        assert [type(error).__name__ for error in merge([Fragment(assets=tuple(fixed))]).errors] == ["KeyClashError"]


def model_called(name: str, *, alias: str) -> DraftAsset:
    own = asset(f"shop.{alias}", dbt_ids=(f"model.shop.{name}",), relation=Relation("dev", name, alias))
    return replace(draft(own, id_=f"model.shop.{name}"), other_keys=keys_in_order(f"shop.{name}"))


def source_beside(name: str, *, project: str = "shop", database: str = "raw") -> DraftAsset:
    own = source(name, database=database)
    ids = f"source.{project}.{name}"
    others = keys_in_order(f"source.{name}", ids)
    return replace(own, id=ids, asset=replace(own.asset, dbt_ids=(ids,)), other_keys=others)


def keys_in_order(*names: str) -> tuple[AssetKey, ...]:
    return tuple(AssetKey.parse(name) for name in names)


def test_cycles_are_refused_with_their_paths_and_cut_out() -> None:
    result = merge(
        [
            Fragment(
                assets=(
                    draft(asset("x.a", engine="python"), "model.shop.c"),
                    draft(asset("x.b"), "python:assets.a"),
                    draft(asset("x.c"), "model.shop.b", "model.shop.e"),
                    draft(asset("x.d"), "model.shop.e"),
                    draft(asset("x.e"), "model.shop.d"),
                )
            )
        ]
    )
    fix = "remove one of these reads; an asset may read itself, but not what is made from it"
    assert errors(result) == [
        "DependencyCycleError: these assets need each other: x.a → x.b → x.c → x.a\n"
        "  at:  python_assets/x.py:3, dbt_project/models/x/b.sql:1, dbt_project/models/x/c.sql:1\n"
        f"  fix: {fix}",
        "DependencyCycleError: these assets need each other: x.d → x.e → x.d\n"
        "  at:  dbt_project/models/x/d.sql:1, dbt_project/models/x/e.sql:1\n"
        f"  fix: {fix}",
    ]
    assert edges(result) == {"x.a": [], "x.b": [], "x.c": ["x.e"], "x.d": [], "x.e": []}


def test_all_errors_are_listed_at_once_and_a_broken_check_does_not_hide_the_others() -> None:
    good, bad = check("good", "x.y"), check("bad", "x.y")
    result = merge(
        [
            two_writers(),
            Fragment(
                assets=(draft(asset("ml.x", engine="python"), "dbt:model:nope"),),
                checks=(draft_check(good, "python:assets.flights"), draft_check(bad, "model.shop.gone")),
            ),
        ]
    )
    assert [type(error).__name__ for error in result.errors] == [
        "ConflictingWritersError",
        "UnknownAssetError",
        "UnknownAssetError",
    ]
    assert str(result.errors[2].at) == "dbt_project/models/schema.yml:7"
    assert [item.name for item in result.graph.checks] == ["good"]


def test_the_order_of_fragments_does_not_change_the_edges() -> None:
    parts = [
        Fragment(assets=(source("raw.flights"), STAGING)),
        Fragment(assets=(FLIGHTS,)),
        Fragment(assets=(draft(asset("ml.m", engine="python"), "dbt:model:flights"),)),
    ]
    assert edges(merge(parts)) == edges(merge(parts[::-1]))


def test_nothing_makes_an_empty_graph() -> None:
    assert merge([]) == MergeResult(merge([]).graph)
    assert len(merge([]).graph) == 0
