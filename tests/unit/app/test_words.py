"""How states, times and numbers are said."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import get_args

import pytest

from orchestrator.definitions.events import CheckStatus, RunStatus, StepStatus
from orchestrator.plan.states import State
from orchestrator_app.words import STATES, ago, look_of

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "word", {*get_args(State), *get_args(StepStatus), *get_args(RunStatus), *get_args(CheckStatus)}
)
def test_every_state_and_status_has_a_look_of_its_own(word: str) -> None:
    look = look_of(word)
    assert look.word == word.replace("_", " ")
    assert (look.glyph == "ring") == (word == "missing")  # the look of a word that nobody knows, too
    assert look.badge == f":{look.tone}-badge[:material/{look.icon}: {look.word}]"


def test_no_state_of_an_asset_is_forgotten_in_the_legend() -> None:
    assert set(STATES) == set(get_args(State))


def test_a_word_that_nobody_knows_is_shown_as_it_is() -> None:
    assert look_of("half_done").word == "half done"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "just now"),
        (3, "just now"),
        (45, "45 seconds ago"),
        (60, "1 minute ago"),
        (7200, "2 hours ago"),
        (86400 * 3, "3 days ago"),
        (86400 * 50, "on 10 January 2026"),
    ],
)
def test_moments_are_said_as_people_do(seconds: int, said: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), now=NOW) == said
