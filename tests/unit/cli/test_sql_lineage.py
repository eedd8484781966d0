"""`orchestrator lineage --file`: SQL of no project, for people and for programs; and what is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from orchestrator.cli import main

SQL = """\
insert into marts.totals (id, total)
select o.id, sum(o.amount) as total
from shop.orders o
join shop.people p on p.id = o.person
where o.paid
group by o.id
"""
SCHEMA = {"shop.orders": {"id": "int", "amount": "int", "person": "int", "paid": "bool"}, "shop.people": ["id"]}


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with some SQL and no project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    (tmp_path / "totals.sql").write_text(SQL)
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    return tmp_path


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lineage", "--file", "totals.sql", "--dialect", "duckdb", "--schema", "schema.json"]) == 0
    assert lines(capsys.readouterr().out) == [
        "Reads   shop.orders, shop.people",
        "Writes  marts.totals",
        "",
        "Columns",
        "  id     shop.orders.id (copy)",
        "  total  shop.orders.amount (aggregate)",
        "",
        "Which rows there are is decided by",
        "  shop.orders.id, shop.orders.paid, shop.orders.person, shop.people.id",
    ]


def test_in_a_narrow_window_what_is_wrapped_stays_indented(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["lineage", "--file", "totals.sql", "--dialect", "duckdb", "--schema", "schema.json"]) == 0
    shown = lines(capsys.readouterr().out)
    assert max(map(len, shown)) <= 40
    assert shown[-2:] == ["  shop.orders.id, shop.orders.paid,", "  shop.orders.person, shop.people.id"]


def test_for_programs_from_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(SQL))
    assert main(["lineage", "--file", "-", "--dialect", "duckdb", "--schema", "schema.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema_version": 1,
        "reads": ["shop.orders", "shop.people"],
        "writes": ["marts.totals"],
        "columns": {"id": [["shop.orders", "id"]], "total": [["shop.orders", "amount"]]},
        "kinds": {"id": [["shop.orders", "id", "copy"]], "total": [["shop.orders", "amount", "aggregate"]]},
        "indirect": [
            ["shop.orders", "id"],
            ["shop.orders", "paid"],
            ["shop.orders", "person"],
            ["shop.people", "id"],
        ],
        "diagnostics": [],
        "exact": True,
        "reasons": [],
    }


def test_what_is_not_known_is_said(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (nowhere / "q.sql").write_text("select *, 1 as one from t")
    assert main(["lineage", "--file", "q.sql", "--dialect", "duckdb"]) == 0
    assert lines(capsys.readouterr().out) == [
        "Reads   t",
        "",
        "Columns",
        "  *    t.* (copy)",
        "  one  nothing that is read",
        "",
        "Not exact",
        "  the columns of t are not known",
    ]


def test_a_wrong_column_is_shown_with_its_place(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (nowhere / "q.sql").write_text("select id,\n  amout\nfrom shop.orders")
    assert main(["lineage", "--file", "q.sql", "--dialect", "duckdb", "--schema", "schema.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["diagnostics"] == [
        {"kind": "unknown_column", "message": "shop.orders has no column amout", "line": 2, "column": 3}
    ]


def test_what_cannot_be_parsed_ends_with_1(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (nowhere / "q.sql").write_text("select a\nfrom where")
    assert main(["lineage", "--file", "q.sql", "--dialect", "duckdb"]) == 1
    shown = capsys.readouterr()
    assert shown.err == ""
    assert lines(shown.out)[1].startswith("2:6  it cannot be parsed: ")


def test_nothing_to_tell(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (nowhere / "q.sql").write_text("vacuum")
    assert main(["lineage", "--file", "q.sql", "--dialect", "duckdb"]) == 0
    assert capsys.readouterr().out == "It reads and writes nothing.\n"


def test_an_unknown_dialect_is_read_as_standard_sql(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lineage", "--file", "totals.sql", "--dialect", "duckbd", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["exact"], found["reasons"]) == (False, ["the dialect 'duckbd' is not known"])
    assert found["reads"] == ["shop.orders", "shop.people"]


FILE = ["--file", "totals.sql", "--dialect", "duckdb"]
SHAPE = '  fix: write it as {"schema.table": {"column": "type"}}\n'


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            ["--file", "gone.sql", "--dialect", "duckdb"],
            "ConfigError: cannot read gone.sql: No such file or directory\n"
            "  fix: name a file with SQL, or - for standard input\n",
        ),
        (
            ["--file", ".", "--dialect", "duckdb"],
            "ConfigError: cannot read .: Is a directory\n  fix: name a file with SQL, or - for standard input\n",
        ),
        (
            ["--file", "latin.sql", "--dialect", "duckdb"],
            "ConfigError: cannot read latin.sql: it is not UTF-8\n"
            "  fix: name a file with SQL, or - for standard input\n",
        ),
        (
            ["--file", "totals.sql"],
            "ConfigError: the SQL's dialect is not known\n  fix: name it, for example --dialect duckdb\n",
        ),
        (
            [*FILE, "--schema", "gone.json"],
            f"ConfigError: cannot read gone.json: No such file or directory\n{SHAPE}",
        ),
        (
            [*FILE, "--schema", "broken.json"],
            "ConfigError: broken.json is not valid JSON: Expecting value: line 1 column 7 (char 6)\n"
            f"  at:  broken.json\n{SHAPE}",
        ),
        (
            [*FILE, "--schema", "list.json"],
            f"ConfigError: list.json holds no JSON object\n  at:  list.json\n{SHAPE}",
        ),
        (
            ["marts.totals", *FILE],
            "ConfigError: KEY and --file were both given\n  fix: give one of them\n",
        ),
        (
            [],
            "ConfigError: no asset was named\n  fix: `orchestrator lineage KEY`, or --file for SQL that is no asset\n",
        ),
        *(
            (
                [*FILE, *option],
                f"ConfigError: {option[0]} was given with --file\n  fix: leave it out: it is about assets\n",
            )
            for option in (["--columns"], ["--up"], ["--down"], ["--depth", "1"])
        ),
        *(
            (
                ["marts.totals", *option],
                f"ConfigError: {option[0]} was given without --file\n  fix: leave it out: it is about SQL in a file\n",
            )
            for option in (["--dialect", "duckdb"], ["--schema", "schema.json"])
        ),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_what_is_refused(typed: list[str], said: str, nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (nowhere / "latin.sql").write_bytes("select 'é'".encode("latin-1"))
    (nowhere / "broken.json").write_text('{"t": }')
    (nowhere / "list.json").write_text("[1]")
    assert main(["lineage", *typed]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", said)


def test_refusals_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lineage", "--file", "gone.sql", "--dialect", "duckdb", "--json"]) == 2
    error = {
        "kind": "ConfigError",
        "what": "cannot read gone.sql: No such file or directory",
        "at": None,
        "fix": "name a file with SQL, or - for standard input",
    }
    assert json.loads(capsys.readouterr().out) == {"schema_version": 1, "error": error, "errors": [error]}
