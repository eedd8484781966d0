"""What the graph page shows: cards, lines, and what it leaves out."""

from __future__ import annotations

from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.model import AssetGraph
from orchestrator.plan.states import AssetState, State
from orchestrator_app.components.lineage import lineage_data
from orchestrator_app.picture import Picture, draw_picture
from tests.scenarios import asset, chain, graph, key, keys, sandwich


def states_of(graph: AssetGraph, **changed: State) -> dict[AssetKey, AssetState]:
    return {one: AssetState(changed.get(one.name, "fresh"), "") for one in graph.assets}


def draw(graph: AssetGraph, **more: object) -> Picture:
    return draw_picture(graph, states_of(graph), **more)  # type: ignore[arg-type]


def test_a_card_says_what_an_asset_is_and_how_it_is() -> None:
    card = next(card for card in draw(chain()).cards if card.id == "raw.a")
    assert (card.title, card.subtitle, card.icon) == ("a", "raw · python", "python")
    assert (card.word, card.tone, card.glyph) == ("fresh", "green", "check")


def test_an_external_asset_an_action_and_an_exposure_have_cards_of_their_own() -> None:
    cards = {card.id: card for card in draw(sandwich()).cards}
    assert (cards["raw.airports"].icon, cards["raw.airports"].outside) == ("source", True)
    assert cards["ops.vacuum"].icon == "action"
    assert (cards["consumer:exposure.shop.board"].title, cards["consumer:exposure.shop.board"].subtitle) == (
        "board",
        "exposure",
    )


def test_a_reason_is_told_on_the_card() -> None:
    small = chain()
    states = states_of(small) | {key("marts.c"): AssetState("stale", "staging.b has newer data")}
    card = next(card for card in draw_picture(small, states).cards if card.id == "marts.c")
    assert card.hint == "marts.c: stale, staging.b has newer data"


def test_a_selection_keeps_the_lines_between_what_is_selected() -> None:
    picture = draw(chain(), selected=keys("raw.a", "staging.b", "marts.d"))
    assert picture.edges == (("raw.a", "staging.b"),)
    assert picture.note == "3 of 4 assets"


def test_around_an_asset_only_its_neighbours_are_shown() -> None:
    picture = draw(chain(), focus=key("staging.b"), hops=1)
    assert [card.id for card in picture.cards] == ["raw.a", "staging.b", "marts.c"]
    assert [card.focus for card in picture.cards] == [False, True, False]


def test_many_assets_become_one_card_a_layer() -> None:
    """A flat graph of more than 150 boxes cannot be read."""
    raw = [asset(f"raw.t{number}") for number in range(120)]
    staging = [asset(f"staging.t{number}", [f"raw.t{number}"]) for number in range(60)]
    large = graph(*raw, *staging)
    picture = draw_picture(large, states_of(large, t7="failed"))
    assert [(card.id, card.subtitle, card.word) for card in picture.cards] == [
        ("layer:raw", "120 assets", "1 failed"),
        ("layer:staging", "60 assets", "1 failed"),
    ]
    assert picture.edges == (("layer:raw", "layer:staging"),)
    assert picture.note == "180 assets in 2 layers: click one to open it"


def test_layers_that_read_each_other_are_drawn() -> None:
    """Once collapsed they form a cycle."""
    first = [asset(f"a.t{number}") for number in range(100)]
    second = [asset(f"b.t{number}", [f"a.t{number}"]) for number in range(100)]
    large = graph(*first, *second, asset("a.last", ["b.t0"]))
    picture = draw(large)
    assert picture.edges == (("layer:a", "layer:b"), ("layer:b", "layer:a"))
    assert len(lineage_data(picture.cards, picture.edges)["nodes"]) == 2


def test_a_change_of_state_keeps_the_shape() -> None:
    """The browser keeps pan and zoom as long as the shape is the same."""
    small = chain()
    before, after = (
        lineage_data(picture.cards, picture.edges)
        for picture in (draw_picture(small, states_of(small)), draw_picture(small, states_of(small, c="stale")))
    )
    assert before["shape"] == after["shape"]
    assert before["id"] != after["id"]
