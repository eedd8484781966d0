"""Failing dbt models are tried again, what waits for them waits, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.definitions.events import Event, StepFinished
from tests.integration.dbt_projects import PROFILES, PROJECT
from tests.integration.workspaces import Scene, write_workspace

pytestmark = pytest.mark.slow

RETRIED = "{{ config(meta={'orchestrator': {'retries': 1, 'retry_delay_s': 0.1}}) }}"
PYTHON = """
    @asset(warehouse.table("ml.score"))
    def score(context: Context):
        return dbt.late.read(context)
"""


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    models = {
        "dbt_project.yml": PROJECT,
        "profiles.yml": PROFILES,
        "models/late.sql": f"{RETRIED} select * from read_csv('{tmp_path}/late.csv')",
        "models/schema.yml": "models: [{name: late, columns: [{name: n, data_tests: [not_null]}]}]",
        "models/child.sql": "select * from {{ ref('late') }}",
        "models/broken.sql": "select no_such_column",
        "models/both.sql": "select a.* from {{ ref('child') }} a, {{ ref('broken') }} b",
        "models/aside.sql": "select 1 as n",
    }
    return Scene(write_workspace(tmp_path, models, PYTHON))


def arrives(file: Path) -> Callable[[Event], None]:
    """A listener that writes `file` as soon as a step is going to be tried again."""

    def listen(event: Event) -> None:
        if isinstance(event, StepFinished) and event.will_retry:
            file.write_text("n\n1\n", encoding="utf-8")

    return listen


def test_a_model_that_succeeds_when_tried_again_is_green_and_so_is_what_waited(scene: Scene) -> None:
    ran = scene.run("late+", "aside", listeners=[arrives(scene.root / "late.csv")])
    assert ran.steps == {
        "shop.late": "succeeded",
        "shop.aside": "succeeded",
        "shop.child": "succeeded",
        "ml.score": "succeeded",
        "shop.both": "failed",  # it reads broken, which was not selected and is not there
    }
    assert ran.checks == {"not_null_late_n": "succeeded"}
    attempts = [event.attempt for event in ran.events if event.event == "step_started" and event.key == "shop.late"]
    assert attempts == [1, 2]


def test_another_failure_still_blocks_what_is_tried_again(scene: Scene) -> None:
    ran = scene.run(listeners=[arrives(scene.root / "late.csv")])
    assert ran.status == "failed"
    assert {key: status for key, status in ran.steps.items() if status != "succeeded"} == {
        "shop.broken": "failed",
        "shop.both": "blocked",
    }
    assert ran.reasons["shop.both"] == "shop.broken failed"


def test_a_model_that_fails_every_time_ends_as_failed_and_blocks(scene: Scene) -> None:
    ran = scene.run("late+", "aside", "ml.score")
    assert ran.steps == {
        "shop.late": "failed",
        "shop.aside": "succeeded",
        "shop.child": "blocked",
        "shop.both": "blocked",
        "ml.score": "blocked",
    }
    assert ran.reasons["ml.score"] == "shop.late failed"
