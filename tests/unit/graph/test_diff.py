from __future__ import annotations

from dataclasses import replace

from orchestrator.definitions.keys import Relation
from orchestrator.graph.diff import Change, GraphDiff, diff_graphs
from orchestrator.graph.model import Asset, Column
from tests.scenarios import asset, chain, check, diamond, graph, key, sandwich


def with_code(item: Asset, version: str | None, *, raw: str | None = None) -> Asset:
    return replace(item, writers=tuple(replace(w, code_version=version, raw_code=raw) for w in item.writers))


def changes(base: Asset, head: Asset) -> tuple[Change, ...]:
    diff = diff_graphs(graph(base), graph(head))
    return diff.changed.get(head.key, ())


def test_a_graph_does_not_differ_from_itself() -> None:
    assert diff_graphs(sandwich(), sandwich()) == GraphDiff()
    assert diff_graphs(sandwich(), sandwich()).is_empty


def test_what_descends_from_a_change_is_affected_in_order_and_says_why() -> None:
    base = diamond()
    head = replace(base, assets={**base.assets, key("staging.left"): with_code(base[key("staging.left")], "2")})
    diff = diff_graphs(base, head)
    assert diff.affected == (key("staging.left"), key("marts.join"))
    assert [diff.reason(item, head) for item in diff.affected] == ["code changed", "upstream staging.left differs"]


def test_added_and_removed() -> None:
    base = graph(asset("raw.a"), asset("marts.old", ["raw.a"]))
    head = graph(asset("raw.a"), asset("marts.new", ["raw.a"]), asset("marts.last", ["marts.new"]))
    diff = diff_graphs(base, head)
    assert (diff.added, diff.removed, dict(diff.changed)) == (
        (key("marts.new"), key("marts.last")),
        (key("marts.old"),),
        {},
    )
    assert set(diff.affected) == {key("marts.new"), key("marts.last")}
    assert diff.reason(key("marts.new"), head) == "new"


def test_a_removed_parent_shows_on_its_children() -> None:
    head = graph(asset("raw.a", engine="python"), asset("staging.b", ["raw.a"]), asset("marts.d"))
    assert diff_graphs(chain(), head).changed == {key("marts.d"): (Change("upstream", "no longer reads marts.c"),)}


def test_code_configuration_and_strategy_are_told_apart() -> None:
    old = with_code(asset("a.b"), "1", raw="select 1")
    table = replace(old, writers=(replace(old.writers[0], strategy="incremental", code_version="2"),))
    assert changes(old, with_code(old, "2", raw="select 2")) == (Change("code", "code changed"),)
    assert changes(old, with_code(old, "2", raw="select 1")) == (
        Change("config", "configuration, variables, or code that it calls changed"),
    )
    assert changes(old, table) == (Change("config", "table → incremental"),)


def test_code_that_is_not_known_counts_as_changed() -> None:
    unknown = with_code(asset("a.b"), None)
    assert changes(unknown, unknown) == (Change("code", "its code cannot be compared"),)


def test_another_place_another_writer_and_none() -> None:
    old = asset("a.b")
    moved = replace(old, relation=Relation("dev", "c", "b"))
    assert changes(old, moved) == (Change("relation", "moved from dev.a.b to dev.c.b"),)
    assert changes(old, asset("a.b", engine="python", relation=old.relation)) == (Change("writer", "written by b now"),)
    assert changes(old, asset("a.b", engine=None)) == (Change("writer", "no longer written here"),)
    assert changes(asset("a.b", engine=None), old) == (Change("writer", "now written here"),)


def test_what_is_only_written_about_an_asset_is_said_and_nothing_is_rebuilt() -> None:
    columns = (Column("id", "int"), Column("name"))
    base = graph(asset("a.b", columns=columns), asset("a.c", ["a.b"]))
    documented = asset("a.b", columns=(Column("ID", "bigint"), Column("day")), owners=("ada@example.com",))
    diff = diff_graphs(base, graph(documented, asset("a.c", ["a.b"])))
    assert diff.changed == {
        key("a.b"): (
            Change("columns", "declared columns: +day, -name, id int → bigint"),
            Change("metadata", "owners changed"),
        )
    }
    assert diff.affected == ()
    assert not diff.is_empty


def test_checks_are_compared_by_id_and_by_what_they_do() -> None:
    same, edited = check("same", "a.b"), check("edited", "a.b")
    base = graph(asset("a.b"), checks=(same, edited, check("gone", "a.b")))
    now = replace(edited, code_version="2")
    head = graph(asset("a.b"), checks=(same, now, check("new", "a.b")))
    diff = diff_graphs(base, head)
    assert ([c.name for c in diff.checks_added], [c.name for c in diff.checks_removed]) == (["new"], ["gone"])
    assert diff.checks_changed == (now,)
    assert (diff.checks_differ, diff.is_empty, diff.affected) == (True, False, ())
