"""Signs of kinds."""

from __future__ import annotations

from app.kinds import shown_kinds, sign_of
from app.views.panel import facts_of
from tests.scenarios import key, sandwich


def test_every_kind_has_a_sign_ones_own_too() -> None:
    assert sign_of("postgres") == "🐘"
    assert sign_of("house-rules") == "🏷️"
    assert shown_kinds(["python", "mine", "python"]) == "🐍 python&ensp;🏷️ mine"


def test_the_panel_tells_what_an_asset_uses_and_where() -> None:
    text = facts_of(sandwich()[key("raw.flights")])
    assert ":gray[Uses]&ensp;`python_assets.resources.warehouse` at `python_assets/flights.py:12`" in text
