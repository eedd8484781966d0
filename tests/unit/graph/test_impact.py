import pytest

from orchestrator.errors import UnknownAssetError
from orchestrator.graph.impact import ImpactedAsset, LineageEntry, impact, lineage
from tests.scenarios import chain, diamond, key, sandwich


def test_deleting_a_table_breaks_all_that_is_made_from_it() -> None:
    broken = impact(sandwich(), key("staging.flights"))
    assert broken.assets == (
        ImpactedAsset(key("marts.report"), 1, key("staging.flights")),
        ImpactedAsset(key("ml.delays"), 1, key("staging.flights")),
        ImpactedAsset(key("ops.vacuum"), 2, key("marts.report")),
    )
    assert [check.name for check in broken.checks] == ["unique_flight", "delays_known"]
    assert [consumer.name for consumer in broken.consumers] == ["board"]
    assert broken.owners == {
        "Data Team": ("marts.report",),
        "boss@example.com": ("board",),
        "ml@example.com": ("ml.delays",),
    }
    assert broken.total == 6


def test_nothing_breaks_at_the_end_of_lineage() -> None:
    assert impact(chain(), key("marts.d")).total == 0


def test_impact_can_be_asked_for_the_next_steps_only() -> None:
    assert [str(item.key) for item in impact(chain(), key("raw.a"), depth=1).assets] == ["staging.b"]


def test_lineage_goes_both_ways_upstream_first() -> None:
    assert lineage(diamond(), key("staging.left")) == [
        LineageEntry(key("raw.a"), 1, "up", ()),
        LineageEntry(key("staging.left"), 0, "self", (key("raw.a"),)),
        LineageEntry(key("marts.join"), 1, "down", (key("staging.left"),)),
    ]


@pytest.mark.parametrize(
    ("direction", "depth", "expected"),
    [
        ("up", None, ["raw.a", "staging.b", "marts.c"]),
        ("up", 1, ["staging.b", "marts.c"]),
        ("down", None, ["marts.c", "marts.d"]),
        ("both", 0, ["marts.c"]),
    ],
)
def test_lineage_in_one_direction_and_to_a_depth(direction: str, depth: int | None, expected: list[str]) -> None:
    entries = lineage(chain(), key("marts.c"), direction=direction, depth=depth)
    assert [str(entry.key) for entry in entries] == expected


def test_an_unknown_key_is_said_with_what_was_meant() -> None:
    with pytest.raises(UnknownAssetError) as caught:
        impact(chain(), key("staging.bb"))
    assert str(caught.value) == (
        "UnknownAssetError: no asset has the key 'staging.bb'\n  fix: did you mean 'staging.b'?"
    )
