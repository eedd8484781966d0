"""SQL models of a wanted number, each the size of a large real one: 137 lines, 8 CTEs, 50 columns, joins, stars.

Layers of a hundred: the first reads sources, each following one the layer before. No randomness: the same number is the
same SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.projects import WAREHOUSE

SOURCES = 20
WIDTH = 100
"""Models of a layer; the deepest of 1,000 has ten layers above it."""
AMOUNTS = tuple(f"amount_{i:02}" for i in range(30))
LABELS = tuple(f"label_{i:02}" for i in range(16))
NAMES = ("id", "parent_id", "day", "kind", *AMOUNTS, *LABELS)
"""The 50 columns of each source and each model."""
TYPES = ("bigint", "bigint", "date", "varchar", *("double",) * 30, *("varchar",) * 16)
PROJECT = """
name: wide
version: "1.0"
profile: wide
models: {wide: {+materialized: view}}
"""
PROFILES = f"""
wide:
  target: dev
  outputs:
    dev: {{type: duckdb, path: {WAREHOUSE}, schema: dev, threads: 4}}
"""


@dataclass(frozen=True, slots=True)
class WideModel:
    """One generated model and what it reads."""

    number: int
    reads: tuple[str, ...]
    """Names of three models or, in the first layer, of sources."""
    from_sources: bool

    @property
    def name(self) -> str:
        return f"wide_{self.number:04}"

    def sql(self, relation: Callable[[str], str], *, edited: bool = False) -> str:
        """The query; `relation` says how a table is called. The edited one has another expression in one column."""
        first, second, third = (relation(name) for name in self.reads)
        return "\n".join((*self._ctes(first, second, third), *self._end(edited))) + "\n"

    def _ctes(self, first: str, second: str, third: str) -> Iterator[str]:
        yield from ("with base as (", f"    select * from {first}", "),")
        yield from ("parents as (", "    select", "        id,", "        parent_id,", "        kind,")
        yield from (*(f"        {name} as parent_{name}," for name in LABELS[:6]), "        amount_00 as parent_amount")
        yield from (f"    from {second}", "    where kind is not null", "),")
        yield from ("totals as (", "    select", "        parent_id,", "        day,")
        yield from (f"        sum({name}) as {name}," for name in AMOUNTS[:12])
        yield from ("        count(*) as rows_read", f"    from {third}", "    group by parent_id, day", "),")
        yield from (
            "ranked as (",
            "    select",
            "        b.*,",
            "        row_number() over (partition by b.parent_id order by b.day desc) as place",
            "    from base as b",
            "),",
        )
        yield from ("latest as (", "    select * exclude (place)", "    from ranked", "    where place = 1", "),")
        yield from ("joined as (", "    select", "        l.id,", "        l.parent_id,", "        l.day,")
        yield "        coalesce(l.kind, p.kind) as kind,"
        yield from (f"        l.{name} + coalesce(t.{name}, 0) as {name}," for name in AMOUNTS[:12])
        yield from (f"        l.{name}," for name in AMOUNTS[12:20])
        yield from (f"        coalesce(p.parent_{name}, l.{name}) as {name}," for name in LABELS[:6])
        yield "        t.rows_read"
        yield from ("    from latest as l", "    left join parents as p on p.id = l.parent_id")
        yield from ("    left join totals as t on t.parent_id = l.parent_id and t.day = l.day", "),")
        yield from ("classified as (", "    select", "        id,")
        yield from (f"        case when {name} > 0 then 'plus' when {name} < 0 then 'minus' end as sign_{name},"
                    for name in AMOUNTS[:3])  # fmt: skip
        yield from ("        upper(kind) as kind_name", "    from joined", "),")
        yield from ("chosen as (", "    select j.*, c.kind_name, c.sign_amount_00", "    from joined as j")
        yield from ("    inner join classified as c using (id)", ")")

    def _end(self, edited: bool) -> Iterator[str]:
        yield from ("select", "    c.id,", "    c.parent_id,", "    c.day,", "    c.kind_name as kind,")
        yield f"    c.amount_00 * {2 if edited else 1} as amount_00,"
        yield from (f"    c.{name}," for name in AMOUNTS[1:12])
        names = iter(AMOUNTS[12:])
        for left, right in zip(names, names, strict=True):
            yield f"    b.{left}, b.{right},"
        yield from (f"    trim(c.{name}) as {name}," for name in LABELS[:4])
        yield from ("    c.label_04, c.label_05,", "    b.label_06, b.label_07, b.label_08,")
        yield from ("    b.label_09, b.label_10, b.label_11,", "    b.label_12, b.label_13, b.label_14, b.label_15")
        yield from ("from chosen as c", "inner join base as b on b.id = c.id", "where c.rows_read is not null")


def build_wide_models(wanted: int) -> list[WideModel]:
    """The models, upstream first."""
    return [_model(number) for number in range(wanted)]


def _model(number: int) -> WideModel:
    layer, at = divmod(number, WIDTH)
    if layer == 0:
        return WideModel(number, tuple(f"events_{(at + step) % SOURCES:02}" for step in (0, 1, 7)), True)
    above = (layer - 1) * WIDTH
    return WideModel(number, tuple(f"wide_{above + (at + step) % WIDTH:04}" for step in (0, 1, 7)), False)


def write_wide_project(directory: Path, *, models: int) -> Path:
    """A dbt project of these models, with sources whose columns the warehouse file knows."""
    import duckdb

    tables = "".join(f"      - {{name: events_{i:02}}}\n" for i in range(SOURCES))
    files = {
        "dbt_project.yml": PROJECT,
        "profiles.yml": PROFILES,
        "models/sources.yml": f"sources:\n  - name: raw\n    schema: raw\n    tables:\n{tables}",
    }
    files |= {f"models/{model.name}.sql": dbt_code(model) for model in build_wide_models(models)}
    for name, text in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(NAMES, TYPES, strict=True))
    with duckdb.connect(str(directory / WAREHOUSE)) as connection:
        connection.execute("create schema raw")
        for i in range(SOURCES):
            connection.execute(f"create table raw.events_{i:02} ({columns})")
    return directory


def dbt_code(model: WideModel, *, edited: bool = False) -> str:
    """The model as a file of a dbt project."""
    call = "{{{{ source('raw', '{0}') }}}}" if model.from_sources else "{{{{ ref('{0}') }}}}"
    return model.sql(call.format, edited=edited)
