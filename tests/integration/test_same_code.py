"""What is only written in another way is not stale; what does something else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.workspaces import Scene, scene

pytestmark = pytest.mark.slow

MODELS = {
    "seeds/orders.csv": "id,customer,amount\n1,ann,5\n2,bob,7\n3,ann,1\n",
    "macros/cents.sql": "{% macro cents(column) %}{{ column }} * 100{% endmacro %}",
    "macros/note.sql": "{% macro note() %}select 1{% endmacro %}",
    "models/paid.sql": "select id, customer, {{ cents('amount') }} as cents from {{ ref('orders') }} where amount > 0",
    "models/by_customer.sql": (
        "{{ config(materialized='table') }}\nwith paid as (select * from {{ ref('paid') }})\n"
        "select customer, sum(cents) as cents from paid group by customer"
    ),
    "models/hooked.sql": "{{ config(post_hook='{{ note() }}') }} select * from {{ ref('paid') }}",
    "models/grown.sql": "{{ config(materialized='incremental') }} select * from {{ ref('paid') }}",
    "models/limited.sql": "select * from {{ ref('paid') }} where id < {{ env_var('SCENE_LIMIT', '9') }}",
}


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.delenv("SCENE_LIMIT", raising=False)
    made = scene(tmp_path, MODELS)
    assert made.run().status == "succeeded"
    return made


def stale(made: Scene) -> set[str]:
    return {key.removeprefix("shop.") for key, state in made.states().items() if state != "fresh"}


def edit(made: Scene, file: str, old: str, new: str) -> None:
    path = made.root / "dbt" / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("models/by_customer.sql", "with paid", "-- the customers\nwith paid"),
        ("models/by_customer.sql", "with paid as (select * from {{ ref('paid') }})\n", ""),
        ("models/by_customer.sql", "sum(cents) as cents", "SUM( cents )  AS cents"),
        ("macros/cents.sql", "{{ column }} * 100", "({{ column }} * 100)"),
    ],
    ids=["comment", "without the CTE", "layout", "macro"],
)
def test_code_that_does_the_same_leaves_the_table_fresh(built: Scene, file: str, old: str, new: str) -> None:
    if "with paid as" in old:
        edit(built, file, "from paid group", "from {{ ref('paid') }} group")
    edit(built, file, old, new)
    expected = {"grown", "hooked"} if file.startswith("macros") else set()
    assert stale(built) & {"paid", "by_customer", "limited"} == set()
    assert stale(built) <= expected


@pytest.mark.parametrize(
    ("file", "old", "new", "which"),
    [
        ("models/by_customer.sql", "sum(cents)", "max(cents)", {"by_customer"}),
        ("models/by_customer.sql", "materialized='table'", "materialized='view'", {"by_customer"}),
        ("macros/cents.sql", "* 100", "* 1000", {"paid"}),
        ("macros/note.sql", "select 1", "select 2", {"hooked"}),
        ("models/grown.sql", "select *", "/* why */ select *", {"grown"}),
    ],
    ids=["expression", "configuration", "macro", "hook", "incremental, which one build's SQL does not show"],
)
def test_code_that_may_do_something_else_makes_it_stale(
    built: Scene, file: str, old: str, new: str, which: set[str]
) -> None:
    edit(built, file, old, new)
    assert stale(built) == which


def test_an_environment_variable_in_the_code_counts(built: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCENE_LIMIT", "2")
    assert stale(built) == {"limited"}


def test_verdicts_are_kept_and_dbt_and_sqlglot_are_left_alone_the_next_time(built: Scene) -> None:
    edit(built, "models/by_customer.sql", "with paid", "-- the customers\nwith paid")
    assert stale(built) == set()
    workspace = built.load()
    assert workspace.project is not None
    assert not workspace.project.parsed
    assert workspace.project.invocation is not None
    verdicts = workspace.project.invocation.target_path / "same_code.json"
    written = verdicts.stat().st_mtime_ns
    workspace.states()
    assert verdicts.stat().st_mtime_ns == written
    assert "columns" not in workspace.__dict__  # nothing was analysed for it
