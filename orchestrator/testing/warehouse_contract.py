"""What a warehouse must do to hold Python assets, as tests that you can run with your own credentials:

    cd my_dbt_project
    DBT_TARGET=prod pytest -q --pyargs orchestrator.testing.warehouse_contract

They write to a schema of their own, `orchestrator_contract_…`, which is dropped afterwards. What the adapter says it
cannot do is skipped, with that reason. In a test module of your own, import everything from here and define the
fixture `contract_database`.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchestrator.definitions.keys import Relation
from orchestrator.errors import ClaimLostError, ExecutionError, ResourceUnavailableError
from orchestrator.resources.database import Capabilities, Database, Scope

EMEA, APAC = Scope((("region", "EMEA"),)), Scope((("region", "APAC"),))
FEBRUARY = Scope(window=("day", date(2013, 2, 1), date(2013, 3, 1)))
CANCEL_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def contract_database() -> Iterator[Database]:
    """The database of the workspace around the current directory."""
    from orchestrator.workspace import load_workspace

    database = load_workspace().database
    if database is None:
        pytest.skip("this target's warehouse cannot be opened from Python")
    yield database
    database.close()


@pytest.fixture(scope="module")
def contract_schema(contract_database: Database) -> Iterator[str]:
    """A schema for these tests alone."""
    name = f"orchestrator_contract_{uuid.uuid4().hex[:8]}"
    yield name
    connection = contract_database.connect(label="contract")
    contract_database.execute(connection, f"DROP SCHEMA IF EXISTS {name} CASCADE")
    connection.close()


class Table:
    """A table that is not there yet, and the usual things to do with it."""

    def __init__(self, database: Database, relation: Relation) -> None:
        self.database, self.relation = database, relation

    def write(self, frame: Any, scope: Scope | None = None) -> int:
        return self.database.replace(self.relation, frame, scope=scope, before_commit=lambda: None)

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        found = self.database.read(self.relation, columns=columns or None)
        return sorted((tuple(row.values()) for row in found.to_pylist()), key=str)

    def require(self, capability: str) -> None:
        """Skip the test where the adapter says that it cannot do that."""
        offered: Capabilities = self.database.capabilities
        if not getattr(offered, capability):
            pytest.skip(f"{offered.adapter}: no {capability}")


@pytest.fixture
def table(contract_database: Database, contract_schema: str) -> Table:
    """A table with a new name."""
    return Table(contract_database, Relation("", contract_schema, f"sales_{uuid.uuid4().hex[:8]}"))


def test_rows_come_back_as_they_were_written(table: Table) -> None:
    row = {
        "yes": True,
        "whole": 2**53 + 1,
        "broken": 0.1,
        "exact": Decimal("12.50"),
        "words": 'a "quoted", text\nin two lines; é 漢',
        "empty": "",
        "day": date(2013, 2, 3),
        "at": datetime(2013, 2, 3, 4, 5, 6, 789),
    }
    assert table.write([row, dict.fromkeys(row)]) == 2
    assert table.database.read(table.relation).to_pylist() == [row, dict.fromkeys(row)]
    assert table.rows("whole", "empty") == [(2**53 + 1, ""), (None, None)]


def test_rows_and_columns_are_replaced(table: Table) -> None:
    table.write([{"id": 1}, {"id": 2}])
    table.write([{"id": 3}])
    assert table.rows() == [(3,)]
    table.write([{"id": 4, "origin": "JFK"}])
    assert table.rows() == [(4, "JFK")]
    table.write([{"origin": 7}])
    assert table.rows() == [(7,)]


def test_others_see_the_old_rows_until_the_new_ones_are_all_there(table: Table) -> None:
    table.require("atomic_replace")
    table.write([{"id": 1}])
    seen: list[Any] = []
    table.database.replace(table.relation, [{"id": 2}], before_commit=lambda: seen.append(table.rows()))
    assert len(seen) >= 2
    assert seen == [[(1,)]] * len(seen)
    assert table.rows() == [(2,)]


@pytest.mark.parametrize("scope", [None, Scope((("id", 1),))], ids=["table", "scope"])
def test_a_refused_write_leaves_the_old_rows(table: Table, scope: Scope | None) -> None:
    table.require("atomic_replace")
    table.write([{"id": 1}])
    for refused_at in (1, 2):
        asked: list[int] = []

        def refuse(asked: list[int] = asked, at: int = refused_at) -> None:
            asked.append(1)
            if len(asked) == at:
                raise ClaimLostError("another run has it")

        with pytest.raises(ClaimLostError):
            table.database.replace(table.relation, [{"id": 1}] * 2, scope=scope, before_commit=refuse)
        assert table.rows() == [(1,)]


def test_batches_are_written_as_one(table: Table) -> None:
    table.write([{"id": 0}])

    def numbers() -> Iterator[Any]:
        for number in (1, 2, 3):
            if table.database.capabilities.atomic_replace:
                assert table.rows() == [(0,)]
            yield [{"id": number}]

    assert table.write(numbers()) == 3
    assert table.rows() == [(1,), (2,), (3,)]


@pytest.mark.parametrize("scope", [None, EMEA], ids=["table", "scope"])
def test_a_failure_in_the_middle_loses_nothing(table: Table, scope: Scope | None) -> None:
    table.require("atomic_replace")
    table.write([{"region": "EMEA", "n": 1}], scope)

    def breaks() -> Iterator[Any]:
        yield [{"region": "EMEA", "n": 2}]
        raise RuntimeError("no route")

    with pytest.raises(RuntimeError, match="no route"):
        table.write(breaks(), scope)
    with pytest.raises(ExecutionError) as raised:
        table.write(iter([[{"region": "EMEA", "n": 2}], [{"region": "EMEA", "vat": 3}]]), scope)
    assert str(raised.value) == (
        f"ExecutionError: a batch for {table.relation} has the column 'vat', which the table has not\n"
        "  fix: yield batches with the same columns"
    )
    assert table.rows() == [("EMEA", 1)]


def test_only_the_rows_of_the_scope_are_replaced(table: Table) -> None:
    assert table.write([{"region": "EMEA", "n": 1}, {"region": "EMEA", "n": 2}], EMEA) == 2
    assert table.write([{"region": "APAC", "n": 3}], APAC) == 1
    assert table.write([{"n": 4, "region": "EMEA"}], EMEA) == 1  # by name, not by place
    assert table.rows("region", "n") == [("APAC", 3), ("EMEA", 4)]
    assert (table.database.count(table.relation, scope=EMEA), table.database.count(table.relation)) == (1, 2)


def test_no_rows_empty_the_scope(table: Table) -> None:
    with pytest.raises(ExecutionError) as raised:
        table.write([], EMEA)
    assert str(raised.value) == (
        f"ExecutionError: no rows came for {table.relation}, and so no columns of which the table could be made\n"
        "  fix: return an empty frame that has columns, such as an empty pyarrow.Table with a schema"
    )
    table.write([{"region": "EMEA", "n": 1}], EMEA)
    table.write([{"region": "APAC", "n": 3}], APAC)
    assert table.write([], EMEA) == 0
    assert table.rows() == [("APAC", 3)]


def test_a_window_is_half_open(table: Table) -> None:
    january = Scope(window=("day", date(2013, 1, 1), date(2013, 2, 1)))
    march = Scope(window=("day", date(2013, 3, 1), date(2013, 4, 1)))
    for scope, day in ((january, date(2013, 1, 31)), (FEBRUARY, date(2013, 2, 1)), (march, date(2013, 3, 1))):
        table.write([{"day": day}], scope)
    table.write([{"day": date(2013, 2, 28)}], FEBRUARY)
    assert table.rows() == [(date(2013, 1, 31),), (date(2013, 2, 28),), (date(2013, 3, 1),)]
    with pytest.raises(ExecutionError):
        table.write([{"day": date(2013, 3, 1)}], FEBRUARY)


def test_both_parts_of_a_scope_hold_at_once(table: Table) -> None:
    both = Scope(EMEA.equal, FEBRUARY.window)
    table.write([{"region": "APAC", "day": date(2013, 2, 3)}], APAC)
    table.write([{"region": "EMEA", "day": date(2013, 2, 3)}], both)
    table.write([{"region": "EMEA", "day": date(2013, 2, 5)}], both)
    assert table.rows() == [("APAC", date(2013, 2, 3)), ("EMEA", date(2013, 2, 5))]


def test_a_null_is_a_value_of_its_own(table: Table) -> None:
    table.write([{"region": "EMEA", "n": 1}], EMEA)
    nobody = Scope((("region", None),))
    table.write([{"region": None, "n": 2}], nobody)
    table.write([{"region": None, "n": 3}], nobody)
    assert table.rows() == [("EMEA", 1), (None, 3)]


def test_rows_of_other_slots_are_neither_written_nor_deleted(table: Table) -> None:
    """Slots by different columns: a row may fit both, and then it is the other's."""
    emea = Scope(among=(("region", ("EMEA", "UK")),))
    web = Scope(among=(("channel", ("web",)),), apart_from=(emea,))
    table.write([{"region": "UK", "channel": "web"}], emea)
    table.write([{"region": None, "channel": "web"}], web)
    with pytest.raises(ExecutionError) as raised:
        table.write([{"region": "UK", "channel": "web"}], web)
    assert raised.value.what == (
        f"1 of 1 rows for {table.relation} are outside of what is being written (channel in ('web') and not (region in "
        "('EMEA', 'UK'))); nothing was written"
    )
    table.write([{"region": "US", "channel": "web"}], web)
    assert table.rows("region") == [("UK",), ("US",)]


def test_rows_outside_the_scope_are_counted_and_nothing_is_written(table: Table) -> None:
    table.write([{"region": "EMEA", "n": 1}], EMEA)
    with pytest.raises(ExecutionError) as raised:
        table.write([{"region": "EMEA", "n": 2}, {"region": "APAC", "n": 3}, {"region": None, "n": 4}], EMEA)
    assert str(raised.value) == (
        f"ExecutionError: 2 of 3 rows for {table.relation} are outside of what is being written (region = 'EMEA'); "
        "nothing was written\n"
        "  fix: return only rows that belong there"
    )
    assert table.rows() == [("EMEA", 1)]


def test_a_new_column_is_refused_by_name_and_a_missing_one_is_null(table: Table) -> None:
    table.write([{"region": "EMEA", "n": 1}], EMEA)
    with pytest.raises(ExecutionError) as raised:
        table.write([{"region": "APAC", "n": 1, "price": 2.5, "vat": 1}], APAC)
    assert str(raised.value) == (
        f"ExecutionError: {table.relation} has no column 'price', 'vat', but the frame has\n"
        "  fix: leave it out of the frame, or add it to the table (ALTER TABLE … ADD COLUMN …)"
    )
    table.write([{"REGION": "APAC"}], APAC)
    assert table.rows() == [("APAC", None), ("EMEA", 1)]


def test_a_frame_without_the_deciding_column_is_refused(table: Table) -> None:
    with pytest.raises(ExecutionError) as raised:
        table.write([{"n": 1}], EMEA)
    assert str(raised.value) == (
        "ExecutionError: the frame has no column 'region', by which the rows to replace are found (region = 'EMEA')\n"
        "  fix: return a frame with it"
    )
    assert table.database.look(table.relation) is None


def test_slots_are_written_at_the_same_time(table: Table) -> None:
    """Also the first of them, which makes the table."""
    table.require("atomic_replace")
    failed: list[BaseException] = []

    def one(number: int) -> None:
        try:
            for round_ in range(3):
                table.write([{"slot": number, "round": round_}] * 10, Scope((("slot", number),)))
        except BaseException as exc:  # noqa: BLE001  shown below
            failed.append(exc)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert table.rows() == [(number, 2) for number in range(6) for _ in range(10)]


def test_bounds_with_a_time_zone_meet_a_local_column_by_their_wall_time(table: Table) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    scope = Scope(window=("at", datetime(2013, 2, 3, tzinfo=berlin), datetime(2013, 2, 4, tzinfo=berlin)))
    table.write([{"at": datetime(2013, 2, 3)}, {"at": datetime(2013, 2, 3, 23, 59)}], scope)
    with pytest.raises(ExecutionError):
        table.write([{"at": datetime(2013, 2, 2, 23, 30)}], scope)
    table.write([], scope)
    assert table.rows() == []


def test_bounds_with_a_time_zone_meet_a_column_with_one_by_the_instant(table: Table) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    scope = Scope(window=("at", datetime(2013, 2, 3, tzinfo=berlin), datetime(2013, 2, 4, tzinfo=berlin)))
    table.write([{"at": datetime(2013, 2, 2, 23, tzinfo=timezone.utc)}], scope)
    assert table.database.count(table.relation, scope=scope) == 1
    naive = Scope(window=("at", datetime(2013, 2, 3), datetime(2013, 2, 4)))
    assert table.database.count(table.relation, scope=naive) == 0


def test_the_frame_is_compared_as_the_table_will_hold_it(table: Table) -> None:
    table.write([{"day": date(2013, 2, 3)}], FEBRUARY)
    table.write([{"day": "2013-02-04"}], FEBRUARY)
    assert table.rows() == [(date(2013, 2, 4),)]


def test_a_look_counts_and_names_the_columns(table: Table) -> None:
    assert table.database.look(table.relation) is None
    assert table.database.count(table.relation) is None
    with pytest.raises(ResourceUnavailableError) as raised:
        table.database.peek(table.relation, limit=1)
    assert str(raised.value) == (
        f"ResourceUnavailableError: {table.relation} is not built yet\n  fix: `orchestrator run` builds it"
    )
    table.write([{"id": 1, "origin": "JFK"}, {"id": 2, "origin": None}])
    look = table.database.look(table.relation)
    assert look is not None
    assert (look.rows, [column.name for column in look.columns]) == (2, ["id", "origin"])
    assert all(column.type for column in look.columns)
    of_a_view = table.database.look(table.relation, rows=False)
    assert of_a_view is not None
    assert (of_a_view.rows, of_a_view.columns) == (None, look.columns)


def test_odd_names_are_quoted(table: Table, contract_schema: str) -> None:
    odd = Table(table.database, Relation("", contract_schema, f"select {table.relation.identifier}"))
    assert odd.write([{"from": 1, "100 %": 2}], Scope((("100 %", 2),))) == 1
    assert odd.write([{"from": 3, "100 %": 2}], Scope((("100 %", 2),))) == 1
    assert odd.rows("from", "100 %") == [(3, 2)]


def test_a_running_statement_can_be_stopped(table: Table) -> None:
    table.require("cancel")
    table.write([{"n": number} for number in range(1000)])
    name = f"{table.relation.schema}.{table.relation.identifier}"
    endless = f"SELECT sum(a.n * b.n - c.n * d.n + e.n) FROM {name} a, {name} b, {name} c, {name} d, {name} e"
    connection = table.database.connect(label="contract")
    ended: list[BaseException | str] = []

    def run() -> None:
        try:
            table.database.execute(connection, endless)
            ended.append("ended by itself")
        except Exception as exc:  # noqa: BLE001  each driver has its own
            ended.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    for _ in range(int(CANCEL_WITHIN_S / 0.05)):  # again and again: it may not have begun yet
        table.database.interrupt(connection)
        thread.join(0.05)
        if not thread.is_alive():
            break
    assert isinstance(ended[0], Exception), ended
    assert len(table.rows()) == 1000  # and the table is none the worse
