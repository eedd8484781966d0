"""Many tables at once: columns passed on, answers kept in a file, and only what changed analysed again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from orchestrator.sql import project
from orchestrator.sql.project import TableColumns, TableSql, analyze_tables

CHAIN = (
    TableSql("raw.a", known=(("id", "BIGINT"), ("amount", "DOUBLE"))),
    TableSql("staging.b", "select id, amount * 2 as twice from raw.a"),
    TableSql("marts.c", "select * from staging.b"),
    TableSql("marts.d", "select id, twice + 1 as more from marts.c"),
)


def edited(name: str, sql: str) -> tuple[TableSql, ...]:
    return tuple(TableSql(name, sql) if table.name == name else table for table in CHAIN)


def analysed(tables: Sequence[TableSql], cache: Path | None = None) -> dict[str, TableColumns]:
    return dict(analyze_tables(tables, dialect="duckdb", cache=cache))


def names(found: TableColumns) -> list[str]:
    return [name for name, _ in found.columns]


def in_fresh_process(cache: Path, *, edit: tuple[str, str] | None = None) -> tuple[bool, list[str]]:
    """(whether sqlglot was imported, tables that were analysed) when the chain is asked for with this cache."""
    code = """
import sys
from pathlib import Path
from tests.unit.sql.test_project import CHAIN, edited
from orchestrator.sql.project import _Work, analyze_tables
assert "sqlglot" not in sys.modules
done, original = [], _Work.analysed
def noted(self, table):
    done.append(table.name)
    return original(self, table)
_Work.analysed = noted
tables = edited(*sys.argv[2:]) if len(sys.argv) > 2 else CHAIN
analyze_tables(tables, dialect="duckdb", cache=Path(sys.argv[1]))
print("sqlglot" in sys.modules, *done)
"""
    root = Path(__file__).parents[3]
    arguments = [sys.executable, "-c", code, str(cache), *(edit or ())]
    done = subprocess.run(arguments, cwd=root, capture_output=True, text=True, timeout=120, check=True)
    imported, *tables = done.stdout.split()
    return imported == "True", tables


def test_columns_pass_from_table_to_table() -> None:
    found = analysed(CHAIN)
    assert [names(found[table.name]) for table in CHAIN] == [
        ["id", "amount"],
        ["id", "twice"],
        ["id", "twice"],
        ["id", "more"],
    ]
    assert found["marts.c"].sources == {
        "id": (("staging.b", "id", "copy"),),
        "twice": (("staging.b", "twice", "copy"),),
    }
    assert found["marts.d"].sources["more"] == (("marts.c", "twice", "expression"),)
    assert [found[table.name].closed for table in CHAIN] == [True] * 4
    assert found["raw.a"].columns == (("id", "BIGINT"), ("amount", "DOUBLE"))


def test_a_kept_answer_is_the_same_answer_without_sqlglot(tmp_path: Path) -> None:
    cache = tmp_path / "columns"
    fresh = analysed(CHAIN, cache)
    assert analysed(CHAIN, cache) == fresh
    assert in_fresh_process(cache) == (False, [])


def test_an_edit_that_keeps_the_columns_analyses_one_table(tmp_path: Path) -> None:
    cache = tmp_path / "columns"
    analysed(CHAIN, cache)
    edit = ("staging.b", "select id, amount * 3 as twice from raw.a where id > 0")
    assert in_fresh_process(cache, edit=edit) == (True, ["staging.b"])
    assert in_fresh_process(cache, edit=edit) == (False, [])


def test_an_edit_that_adds_a_column_goes_as_far_as_somebody_sees_it(tmp_path: Path) -> None:
    """marts.c has a star and so another column, which marts.d is asked about; it is analysed, and nothing after it."""
    cache = tmp_path / "columns"
    analysed(CHAIN, cache)
    edit = ("staging.b", "select id, amount * 2 as twice, amount from raw.a")
    assert in_fresh_process(cache, edit=edit) == (True, ["staging.b", "marts.c", "marts.d"])
    assert names(analysed(edited(*edit), cache)["marts.c"]) == ["id", "twice", "amount"]


def test_a_partial_answer_from_the_file_is_what_a_full_one_would_be(tmp_path: Path) -> None:
    cache = tmp_path / "columns"
    analysed(CHAIN, cache)
    for edit in (
        ("marts.c", "select id, twice from staging.b"),
        ("staging.b", "select id, id as twice from raw.a"),
        ("marts.d", "select 1 as one"),
        ("staging.b", "select nothing_like_it from raw.a"),
    ):
        assert analysed(edited(*edit), cache) == analysed(edited(*edit))


def test_another_column_of_a_source_reaches_stars(tmp_path: Path) -> None:
    cache = tmp_path / "columns"
    star = (CHAIN[0], TableSql("staging.b", "select * from raw.a"))
    assert names(analysed(star, cache)["staging.b"]) == ["id", "amount"]
    more = (TableSql("raw.a", known=(("id", None), ("amount", None), ("paid", None))), star[1])
    assert names(analysed(more, cache)["staging.b"]) == ["id", "amount", "paid"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"\x00" + content,
        lambda content: b"{}",
        lambda content: msgspec.msgpack.encode(["0 1.0 duckdb None None", "", {}]),
        lambda content: content.replace(b"staging.b", b"staging.\xff"),
    ],
    ids=["empty", "cut off", "shifted", "another format", "an older version", "no UTF-8"],
)
def test_a_damaged_or_old_file_is_written_anew(tmp_path: Path, damage: object) -> None:
    cache = tmp_path / "columns"
    fresh = analysed(CHAIN, cache)
    whole = cache.read_bytes()
    cache.write_bytes(damage(whole))  # type: ignore[operator]
    assert analysed(CHAIN, cache) == fresh
    assert cache.read_bytes() == whole


def test_another_dialect_or_analyser_does_not_use_the_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "columns"
    analysed(CHAIN, cache)
    folded = analyze_tables([TableSql("T", "select 1 as a")], dialect="snowflake", cache=cache)
    assert names(folded["T"]) == ["A"]
    analysed(CHAIN, cache)
    before = cache.read_bytes()
    monkeypatch.setattr(project, "ANALYZER_VERSION", 0)
    analysed(CHAIN, cache)
    assert cache.read_bytes() != before


def test_a_place_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("here is no folder")
    assert analysed(CHAIN, blocked / "columns") == analysed(CHAIN)


def test_progress_counts_tables(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    for _ in range(2):
        analyze_tables(
            CHAIN,
            dialect="duckdb",
            cache=tmp_path / "columns",
            progress=lambda done, total: heard.append((done, total)),
        )
    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)], "the second time there is nothing to do"


def test_a_table_that_nobody_knows() -> None:
    found = analysed([TableSql("b", "select *, x + 1 as y from a")])["b"]
    assert (found.closed, found.reads) == (False, ("a",))
    assert found.sources == {"*": (("a", "*", "copy"),), "y": (("a", "x", "expression"),)}
    assert found.reasons == ("the columns of a are not known",)


def test_a_parent_that_comes_too_late_is_unknown_where_it_is_read() -> None:
    """The order is the caller's; in a cycle one table has to come first."""
    cycle = [TableSql("a", "select x from b"), TableSql("b", "select x from a"), TableSql("c", "select * from c")]
    found = analysed(cycle)
    assert found["a"].sources == {"x": (("b", "x", "copy"),)}
    assert found["b"].sources == {"x": (("a", "x", "copy"),)}
    assert names(found["b"]) == ["x"]
    assert (found["c"].closed, found["c"].reads) == (False, ())


def test_a_cycle_settles_in_the_file(tmp_path: Path) -> None:
    cache = tmp_path / "columns"
    cycle = [TableSql("a", "select * from b"), TableSql("b", "select * from a")]
    assert analysed(cycle, cache) == analysed(cycle, cache)


def test_columns_on_top_of_those_of_the_query() -> None:
    """As a snapshot has them: its dates come from the columns that it compares."""
    added = (("dbt_valid_from", "TIMESTAMP", ("twice",)), ("dbt_scd_id", None, ()))
    found = analysed([CHAIN[0], TableSql("snap", "select id, amount as twice from raw.a", added=added)])["snap"]
    assert found.columns == (
        ("id", "BIGINT"),
        ("twice", "DOUBLE"),
        ("dbt_valid_from", "TIMESTAMP"),
        ("dbt_scd_id", None),
    )
    assert found.sources["dbt_valid_from"] == (("raw.a", "amount", "expression"),)
    assert found.sources["dbt_scd_id"] == ()


def test_a_table_without_sql_says_why() -> None:
    found = analysed([TableSql("py", known=(("a", None),), closed=False, reason="its SQL is Python"), TableSql("no")])
    assert found["py"] == TableColumns(columns=(("a", None),), closed=False, reasons=("its SQL is Python",))
    assert found["no"] == TableColumns()


def test_what_the_warehouse_knows_completes_what_the_sql_does_not_tell() -> None:
    """As of its last build, so more may have come: it does not count as all."""
    known = (("y", "INTEGER"), ("z", "TEXT"))
    found = analysed([TableSql("b", "select *, x + 1 as y from a", known=known)])["b"]
    assert (found.columns, found.closed) == ((("y", "INTEGER"), ("z", "TEXT")), False)
