"""What an edit is called, and why: each kind with its reasons. Soundness on data is in test_classify_soundness.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.sql import Change, classify, fingerprint

TABLES = {"t": ["a", "b", "c"], "u": ["a", "d"]}
ROWS = "other rows: a filter, join, grouping or the like changed"
LAYOUT = "only comments or blanks changed"
WRITING = "only the way it is written changed"
CHANCE = "which rows there are depends on chance or on the time"
POSITIONS = "columns changed places: whoever reads them by position reads others"


def change(old: str, new: str, *, dialect: str = "duckdb") -> Change:
    return classify(old, new, dialect=dialect, schema=TABLES)


def breaking(reason: str) -> Change:
    return Change("breaking", reasons=(reason,))


# Nothing for the data


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("select a from t", "select a from t", "the text is the same"),
        ("select a from t", "select a -- the id\nfrom t /* all */", LAYOUT),
        ("select a from t where b > 1", "select a\nfrom t\nwhere b   > 1\n", LAYOUT),
        ("select a from t", "SELECT A FROM T", WRITING),
        ("select a from t", "select x.a from t as x", WRITING),
        ("select a from t", "select (a) as a from t", WRITING),
        ("with x as (select a from t) select a from x", "with y as (select a from t) select a from y", WRITING),
        ("with x as (select a from t) select a from x", "select a from t", WRITING),
        ("select a, b, c from t", "select * from t", WRITING),
        ("select a from t group by a", "select a from t group by 1", WRITING),
        ("select a from t join u using (a)", "select a from t inner join u using (a)", WRITING),
        ("select a, random() as r from t", "select a, random() as r -- by chance\nfrom t", LAYOUT),
    ],
)
def test_unchanged(old: str, new: str, reason: str) -> None:
    assert change(old, new) == Change("unchanged", reasons=(reason,))


def test_the_order_of_the_rows_of_a_table_is_no_data() -> None:
    assert change("select a from t order by a", "select a from t order by b") == Change(
        "metadata", reasons=("only the order of the rows changed",)
    )


def test_a_filter_that_only_moves_into_a_cte_is_found_to_be_the_same() -> None:
    assert change("select a from t where b > 1", "with x as (select a from t where b > 1) select a from x") == Change(
        "unchanged", reasons=(WRITING,)
    )


# Another column


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("select a from t", "select a, b from t"),
        ("select a from t union all select a from u", "select a, b from t union all select a, d from u"),
        ("select sum(a) as s from t", "select sum(a) as s, max(b) as b from t"),
        ("select a from t group by a", "select a, max(b) as b from t group by a"),
        ("select a from t", "select a, row_number() over (order by a, c) as b from t"),
        ("select a from t order by 1 limit 5", "select a, b from t order by 1 limit 5"),
        ("select a from t", "select a, lower(b) as b from t"),
    ],
)
def test_a_column_is_added_and_nothing_else(old: str, new: str) -> None:
    assert change(old, new) == Change("additive", added=("b",), reasons=("b: added",))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("select distinct a from t", "select distinct a, b from t", id="distinct"),
        pytest.param("select distinct on (a) a from t", "select distinct on (a, b) a, b from t", id="distinct on"),
        pytest.param(
            "select a from t union select a from u", "select a, b from t union select a, d from u", id="union"
        ),
        pytest.param(
            "select a from t except select a from u", "select a, b from t except select a, d from u", id="except"
        ),
        pytest.param(
            "select a from t intersect select a from u",
            "select a, b from t intersect select a, d from u",
            id="intersect",
        ),
        pytest.param(
            "select a, count(*) as n from t group by all",
            "select a, b, count(*) as n from t group by all",
            id="group by all",
        ),
        pytest.param("select a from t", "select a, count(*) over () as n, max(b) as b from t", id="an aggregate"),
        pytest.param("select 1 as a from t", "select 1 as a, count(*) as n from t", id="the first aggregate"),
        pytest.param("select a from t", "select a, unnest(b) as b from t", id="unnest"),
        pytest.param("select a from t", "select a, generate_series(1, 3) as b from t", id="a series"),
        pytest.param("select a from t", "select a, somebodys_function(b) as b from t", id="a function not known"),
        pytest.param(
            "select x.c from (select a, c from t) as x natural join u",
            "select x.c from (select a, c, b as d from t) as x natural join u",
            id="natural join",
        ),
        pytest.param(
            "select a from t order by 1 limit 5",
            "select b as x, a from t order by 1 limit 5",
            id="a number in ORDER BY",
        ),
        pytest.param("select a from t group by 1, a", "select b, a from t group by 1, a, b", id="a number in GROUP BY"),
        pytest.param(
            "select a, max(b) as m from (select a, b from t) group by all",
            "select a, c, max(b) as m from (select a, b, c from t) group by all",
            id="group by all over a subquery",
        ),
    ],
)
def test_a_column_that_decides_about_rows_is_not_just_added(old: str, new: str) -> None:
    """The shapes in which a tool that only compares SELECT lists calls the edit harmless."""
    assert change(old, new) == breaking(ROWS)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "select x.a from t as x positional join u",
            "select x.a, x.b from t as x positional join u",
            "joins by position and inside parentheses are not told in parts",
        ),
        ("select a, b from t", "select b, a from t", POSITIONS),
        ("select a, b from t", "select b, c, a from t", POSITIONS),
    ],
)
def test_who_reads_by_position_reads_others(old: str, new: str, reason: str) -> None:
    found = change(old, new)
    assert found.breaking
    assert found.reasons[0].endswith(reason)


# Some columns


def test_one_column_is_computed_in_another_way() -> None:
    assert change("select a, b + 1 as n, c from t", "select a, b + 2 as n, c from t") == Change(
        "partial", columns=("n",), reasons=("n: computed in another way",)
    )


def test_a_column_of_a_cte_is_followed_to_those_made_from_it() -> None:
    old = "with x as (select a, b * 1 as y, c from t) select a, y + 1 as y1, c, y from x"
    assert change(old, old.replace("b * 1", "b * 2")) == Change(
        "partial", columns=("y1", "y"), reasons=("y1, y: computed in another way",)
    )


def test_changed_removed_and_added_at_once() -> None:
    assert change("select a, b from t", "select a + 1 as a, c from t") == Change(
        "partial",
        columns=("a", "b"),
        added=("c",),
        removed=("b",),
        reasons=("a: computed in another way", "b: removed", "c: added"),
    )


def test_a_literal_of_another_type_is_another_value() -> None:
    assert change("select 1 as a from t", "select '1' as a from t").columns == ("a",)


# Rows


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("select a from t where b > 1", "select a from t where b > 2"),
        ("select a from t", "select a from t where b > 1"),
        ("select a from t", "select a from u"),
        ("select t.a from t join u on t.a = u.a", "select t.a from t left join u on t.a = u.a"),
        ("select t.a from t join u on t.a = u.a", "select t.a from t join u on t.b = u.a"),
        ("select a from t group by a", "select a from t group by a, b"),
        ("select a from t group by a having count(*) > 1", "select a from t group by a having count(*) > 2"),
        (
            "select a from t qualify row_number() over (order by b) = 1",
            "select a from t qualify row_number() over (order by c) = 1",
        ),
        ("select a from t order by a limit 5", "select a from t order by b limit 5"),
        ("select a from t order by a limit 5", "select a from t order by a limit 6"),
        ("select a from t", "select distinct a from t"),
        ("select a from t union all select a from u", "select a from t union select a from u"),
        ("select a from t where a in (select a from u)", "select a from t where a in (select d from u)"),
        (
            "with x as (select a from t where b = 1) select a from x",
            "with x as (select a from t where b = 2) select a from x",
        ),
        ("from t pivot (sum(b) for c in (1, 2))", "from t pivot (sum(b) for c in (1, 3))"),
    ],
)
def test_other_rows(old: str, new: str) -> None:
    assert change(old, new) == breaking(ROWS)


# Chance and time


@pytest.mark.parametrize("value", ["now()", "random()", "current_timestamp", "uuid()", "current_date", "nextval('s')"])
def test_what_differs_each_time_counts_as_changed_when_it_is_built_again(value: str) -> None:
    found = change(f"select a, {value} as n from t", f"select a, {value} as n, b from t")
    assert found == Change(
        "partial",
        columns=("n",),
        added=("b",),
        reasons=("b: added", "n: not the same twice: it depends on chance or on the time"),
    )


def test_what_differs_each_time_is_not_proved_to_be_the_same_by_another_writing() -> None:
    assert change("select a, now() as n from t", "select x.a, now() as n from t as x") == Change(
        "partial", columns=("n",), reasons=("n: not the same twice: it depends on chance or on the time",)
    )
    assert change("select a from t where b < now()", "select x.a from t as x where b < now()") == breaking(CHANCE)


@pytest.mark.parametrize(
    "rest",
    [
        "where b < now()",
        "where b > random()",
        "using sample 10%",
        "limit 5",
        "qualify row_number() over (partition by b) = 1",
    ],
)
def test_rows_by_chance_or_time_are_never_called_the_same_after_an_edit(rest: str) -> None:
    assert change(f"select a from t {rest}", f"select a, c from t {rest}") == breaking(CHANCE)


# What cannot be told


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "select a from t",
            "select a frm t",
            "it cannot be parsed: Invalid expression / Unexpected token near 't'",
        ),
        ("selec a", "selec b", "'selec' does not begin a statement"),
        ("select a from t; select b from t", "select a from t; select c from t", "it is not one query"),
        ("select * from nobody", "select * from nobody where true", "not all of its columns are known"),
        ("", "select a from t", "it is not one query"),
    ],
)
def test_what_cannot_be_compared_is_breaking(old: str, new: str, reason: str) -> None:
    assert change(old, new) == breaking(f"it cannot be compared in parts: {reason}")


def test_two_columns_of_one_name() -> None:
    assert change("select a as x, b as x from t", "select b as x, a as x from t") == breaking(
        "two columns have the same name"
    )


def test_opaque_queries_that_only_differ_in_writing_are_the_same() -> None:
    assert change("select * from nobody where a > 1", "SELECT * FROM nobody WHERE (a) > 1").breaking
    assert change("select * from nobody where a > 1", "SELECT * FROM NOBODY WHERE A > 1") == Change(
        "unchanged", reasons=(WRITING,)
    )


def test_the_same_text_is_no_longer_the_same_when_a_star_means_more() -> None:
    sql = "select * from t"
    before = fingerprint(sql, dialect="duckdb", schema={"t": ["a"]})
    after = fingerprint(sql, dialect="duckdb", schema={"t": ["a", "b"]})
    assert classify(before, after) == Change("additive", added=("b",), reasons=("b: added",))


def test_fingerprints_of_other_versions_are_not_compared() -> None:
    taken = fingerprint("select a from t", dialect="duckdb", schema=TABLES)
    other = fingerprint("select x.a from t as x", dialect="duckdb", schema=TABLES)
    assert classify(taken, other).kind == "unchanged"
    for older in (replace(other, analyzer=0), replace(other, sqlglot="1.0")):
        assert classify(taken, older) == breaking("the fingerprints were taken by different versions")


def test_two_targets_do_not_differ() -> None:
    prod, dev = (
        fingerprint(
            f"select a from {schema}.t where b > 1",
            dialect="duckdb",
            schema={f"{schema}.t": ["a", "b"]},
            relations={f"{schema}.t": "raw.t"},
        )
        for schema in ("prod", "dev_ann")
    )
    assert (prod.rows, prod.columns) == (dev.rows, dev.columns)
    assert classify(prod, dev) == Change("unchanged", reasons=(WRITING,))
