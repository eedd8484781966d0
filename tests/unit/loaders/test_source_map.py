"""From compiled SQL back to the model's own lines."""

from __future__ import annotations

import textwrap
import time

import pytest

from orchestrator.loaders.source_map import SourceMap, SourcePlace, lines_before, source_line


def text(block: str) -> str:
    return textwrap.dedent(block).strip("\n")


def lines(raw: str, compiled: str) -> list[tuple[int, bool]]:
    """Where each compiled line comes from."""
    return [source_line(text(raw), text(compiled), line) for line in range(1, text(compiled).count("\n") + 2)]


def test_a_config_block_a_comment_and_references() -> None:
    raw = """
        {{
          config(materialized='table')
        }}
        {# What this is for #}
        with orders as (
            select * from {{ ref('orders') }} o
        )
        -- one row an order
        select id, nonsense
        from orders join {{ source('raw', 'x') }} using (id)
    """
    compiled = "\n\nwith orders as (\n" + text("""
            select * from "w"."dev"."orders" o
        )
        -- one row an order
        select id, nonsense
        from orders join "w"."raw"."x" using (id)
    """)
    found = [source_line(text(raw), compiled, line) for line in range(3, 9)]
    assert found == [(5, True), (6, True), (7, True), (8, True), (9, True), (10, True)]


def test_a_loop_is_shown_at_its_start() -> None:
    raw = """
        select
            id,
            {% for kind in ['a', 'b'] %}
            sum(case when kind = '{{ kind }}' then amount end) as {{ kind }}_amount,
            {% endfor %}
            count(*) as n
        from {{ ref('orders') }}
        group by 1
    """
    compiled = """
        select
            id,

            sum(case when kind = 'a' then amount end) as a_amount,

            sum(case when kind = 'b' then amount end) as b_amount,

            count(*) as n
        from dev.orders
        group by 1
    """
    found = lines(raw, compiled)
    assert found[:2] == [(1, True), (2, True)]
    assert found[3] == found[5] == (3, False)
    assert found[7:] == [(6, True), (7, True), (8, True)]


def test_what_a_macro_has_written_is_shown_where_it_is_called() -> None:
    raw = """
        select
            id,
            {{ all_amounts(
                'a', 'b') }},
            label
        from {{ ref('orders') }}
    """
    compiled = """
        select
            id,
            sum(a)
              as a,
            sum(b) as b,
            label
        from dev.orders
    """
    assert lines(raw, compiled) == [
        *[(1, True), (2, True)],
        *[(3, False), (3, False), (3, False)],
        *[(5, True), (6, True)],
    ]


def test_a_branch_keeps_its_lines() -> None:
    raw = """
        select id from {{ ref('orders') }}
        {% if is_incremental() %}
        where id > (select max(id) from {{ this }})
          and nonsense
        {% else %}
        where true
        {% endif %}
        limit 1
    """
    compiled = """
        select id from dev.orders

        where id > (select max(id) from dev.it)
          and nonsense

        limit 1
    """
    found = lines(raw, compiled)
    assert [found[n] for n in (0, 2, 3, 5)] == [(1, True), (3, True), (4, True), (8, True)]


def test_injected_ctes_are_shown_where_the_ephemeral_model_is_read() -> None:
    raw = """
        -- Light ones only
        select *
        from {{ ref('light') }}
        where id > 1
    """
    compiled = """
        with __dbt__cte__lighter as (
        select ')' as id
        where id > 1
        ), __dbt__cte__light as (
        select *
        from __dbt__cte__lighter
        ) -- Light ones only
        select *
        from __dbt__cte__light
        where id > 1
    """
    assert lines(raw, compiled) == [*[(3, False)] * 6, *[(1, True), (2, True), (3, True), (4, True)]]


def test_injected_ctes_before_the_models_own() -> None:
    raw = """
        with a as (
            select * from {{ ref('light') }}
        )
        select * from a
    """
    compiled = """
        with  __dbt__cte__light as (
        select 1 as id
        ), a as (
            select * from __dbt__cte__light
        )
        select * from a
    """
    assert lines(raw, compiled) == [(2, False), (2, False), (1, True), (2, True), (3, True), (4, True)]


def test_the_column_is_kept_where_the_text_beside_it_is_the_same() -> None:
    raw = "select nonsense, {{ cents('amount') }} as cents, more\nfrom {{ ref('a') }} join b on b.it = 1"
    found = SourceMap(raw, 'select nonsense, (amount / 100) as cents, more\nfrom "w"."dev"."a" join b on b.it = 1')

    assert found.place(1, 8) == SourcePlace(1, 8, exact=True)
    assert found.place(1, 43) == SourcePlace(1, raw.index("more") + 1, exact=True)
    assert found.place(1, 19) == SourcePlace(1, 1, exact=True)  # inside what the macro wrote
    assert found.place(2, 34) == SourcePlace(2, 35, exact=True)
    assert found.place(99, 99).line == 2
    assert found.place(0, 0) == SourcePlace(1, 1, exact=True)


@pytest.mark.parametrize(
    "raw", ["", "{{ all() }}", "{% if x %}", "select 1", "{{ a }}, {{ b }}", "{% raw %}{{{% endraw %}"]
)
@pytest.mark.parametrize("compiled", ["", "\n\n", "select 1", "select 1,\n2\n\nfrom x"])
def test_every_line_comes_from_somewhere(raw: str, compiled: str) -> None:
    for line in range(-1, 6):
        assert source_line(raw, compiled, line)[0] == 1


def test_a_model_without_jinja_is_itself() -> None:
    model = "\n".join(f"select {n} as a{n}" for n in range(50))
    assert [source_line(model, model, line) for line in (1, 25, 50)] == [(1, True), (25, True), (50, True)]


def test_lines_that_a_file_has_before_the_code() -> None:
    snapshot = "\n{% snapshot s %}\nselect 1\n{% endsnapshot %}\n"
    assert lines_before(snapshot, "\nselect 1\n") == 1
    assert lines_before("select 1", "select 1") == 0
    assert lines_before("something else", "select 1") == 0


def test_two_hundred_lines_take_less_than_5_ms() -> None:
    """The best of five: the machine may be busy."""
    body = [
        f"    coalesce({{{{ column({n}) }}}}, {n}) as c{n}," if n % 3 == 0 else f"    c{n} + 1," for n in range(197)
    ]
    raw = "\n".join(["{{ config(tags='x') }}", "select", *body, "from {{ ref('a') }}"])
    compiled = raw.replace("{{ config(tags='x') }}", "").replace("{{ ref('a') }}", "dev.a")
    for n in range(197):
        compiled = compiled.replace(f"{{{{ column({n}) }}}}", f"column_{n}")
    times = []
    for _ in range(5):
        started = time.process_time()
        found = SourceMap(raw, compiled)
        times.append(time.process_time() - started)

    assert all(found.place(line) == SourcePlace(line, 1, exact=True) for line in range(2, 201))
    assert min(times) < 0.005
    slow = ", ".join("{{ a }}" for _ in range(40)) + " as b"
    assert source_line(slow, ", ".join("x" for _ in range(400)), 1) == (1, False)  # no backtracking
