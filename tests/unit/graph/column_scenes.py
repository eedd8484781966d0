"""A small column graph in which every kind of edge occurs, with the asset graph around it.

raw.a (id, amount, day) → staging.b (id, cents, day) → marts.c (day, total, running), filtered by staging.b.id
→ ml.d (score; Python, any column); raw.a → marts.e and marts.c → marts.f are opaque: their SQL is not known
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.graph.columns import AssetColumns, ColumnGraph, ColumnKey
from orchestrator.graph.model import AssetGraph, Consumer
from tests.scenarios import asset, check, graph, key, keys

A, B, C, D, E, F = map(key, ("raw.a", "staging.b", "marts.c", "ml.d", "marts.e", "marts.f"))
PYTHON = "Python is not followed: columns of the same name are taken for the same, others may come from any"

ASSETS: AssetGraph = graph(
    asset("raw.a", engine="python", owners=("ingest@example.com",)),
    asset("staging.b", ["raw.a"]),
    asset("marts.c", ["staging.b"], owners=("ann@example.com",)),
    asset("ml.d", ["marts.c"], engine="python", owners=("ml@example.com",)),
    asset("marts.e", ["raw.a"], owners=("ann@example.com",)),
    asset("marts.f", ["marts.c"]),
    asset("ops.vacuum", ["marts.c"], engine="python", kind="action"),
    checks=[
        replace(check("unique_id", "staging.b"), column="id"),
        replace(check("cents_positive", "staging.b"), column="cents"),
        replace(check("total_known", "marts.c"), column="TOTAL"),
        check("c_agrees_with_a", "marts.c", "raw.a"),
        check("e_has_rows", "marts.e"),
    ],
    consumers=[
        Consumer("exposure.shop.board", "board", "dashboard", keys("marts.c"), owners=("boss@example.com",)),
        Consumer("exposure.shop.letter", "letter", "notebook", keys("raw.a")),
    ],
)
COLUMNS = ColumnGraph(
    {
        A: AssetColumns(A, ("id", "amount", "day"), {"amount": "DOUBLE"}, complete=True),
        B: AssetColumns(
            B,
            ("id", "cents", "day"),
            {"cents": "BIGINT"},
            {"id": ((A, "id", "copy"),), "cents": ((A, "amount", "expression"),), "day": ((A, "day", "copy"),)},
            complete=True,
        ),
        C: AssetColumns(
            C,
            ("date", "total", "running", "one"),
            {},
            {
                "date": ((B, "day", "rename"),),
                "total": ((B, "cents", "aggregate"),),
                "running": ((B, "cents", "window"), (B, "day", "window")),
                "one": (),
            },
            indirect=((B, "id"),),
            complete=True,
        ),
        D: AssetColumns(D, ("score",), {}, {"score": ((C, "*", "expression"),)}, complete=True, reasons=(PYTHON,)),
        E: AssetColumns(E, reasons=("it was not compiled",)),
        F: AssetColumns(F, reasons=("Python models are not followed",)),
    }
)


def column(text: str) -> ColumnKey:
    """`raw.a.id`"""
    asset_, _, name = text.rpartition(".")
    return ColumnKey(key(asset_), name)
