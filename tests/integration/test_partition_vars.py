"""Incremental models that take their window from vars: ranges of another time zone, and two dimensions one by one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.integration.workspaces import Scene, scene

pytestmark = pytest.mark.slow

EVENTS = "ts,origin,n\n2013-01-01 10:00:00,EWR,1\n2013-01-02 10:00:00,JFK,2\n2013-01-03 10:00:00,EWR,3\n"
DBT = {
    "seeds/events.csv": EVENTS,
    "models/local_days.sql": """
        {{ config(materialized='incremental', incremental_strategy='append',
            pre_hook="{% if is_incremental() %} delete from {{ this }} where ts >= '{{ var('partition_start') }}'
                      and ts < '{{ var('partition_end') }}' {% endif %}",
            meta={'orchestrator': {'partitions': {'run': 'range', 'daily': {
                'first': '2013-01-01', 'last': '2013-01-03', 'column': 'ts', 'tz': 'America/New_York'}}}}) }}
        select ts, n, '{{ var('partition_start') }}..{{ var('partition_end') }}' as written from {{ ref('events') }}
        where ts >= '{{ var('partition_start', '1900-01-01') }}' and ts < '{{ var('partition_end', '1900-01-01') }}'
    """,
    "models/by_origin.sql": """
        {{ config(materialized='incremental', incremental_strategy='append',
            meta={'orchestrator': {'partitions': {'multi': [
                {'static': {'keys': ['EWR', 'JFK'], 'column': 'origin'}},
                {'monthly': {'first': '2013-01', 'last': '2013-01', 'column': 'ts'}}]}}}) }}
        select ts, origin, '{{ var('partition_key') }}' as written from {{ ref('events') }}
        where origin = '{{ var('partition_key').split('|')[0] }}' and ts >= '{{ var('partition_start') }}'
    """,
}


@pytest.fixture
def ours(tmp_path: Path) -> Scene:
    return scene(tmp_path, DBT)


def test_a_range_is_one_run_of_the_model_and_two_dimensions_are_one_each(ours: Scene) -> None:
    ran = ours.run()
    assert (ran.status, ran.result.reason) == ("succeeded", "")
    assert Counter(step.key for step in ran.result.steps if step.status == "succeeded") == {
        "shop.events": 1,
        "shop.local_days": 3,
        "shop.by_origin": 2,
    }
    window = "2013-01-01 00:00:00..2013-01-04 00:00:00"
    assert ours.query("select n, written from dev.local_days order by n") == [(1, window), (2, window), (3, window)]
    assert ours.query("select origin, written from dev.by_origin order by ts") == [
        ("EWR", "EWR|2013-01"), ("JFK", "JFK|2013-01"), ("EWR", "EWR|2013-01"),
    ]  # fmt: skip
    facts = ours.load().facts().writers.values()
    assert {fact.partition: fact.rows for fact in facts if fact.key == "shop.local_days"} == {
        "2013-01-01": 1, "2013-01-02": 1, "2013-01-03": 1,
    }  # fmt: skip
    assert ours.run(stale=True).plan.is_empty
