"""dbt projects of a wanted size: layers of small DuckDB tables and views, with sources, seeds and tests.

The shape is that of a usual project: a fifth of the models are staging views over sources and seeds, the others
tables (every fourth a view) that read two or three models of the layer before. Every model is described, every
fourth has two tests. No randomness: the same size is the same project.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SOURCES = 4
SEEDS = 3
LAYERS = ("intermediate", "core", "marts")
NAME = "bench"
WAREHOUSE = "warehouse.duckdb"
ASSETS_IN_A_MODULE = 10

PROJECT = f"""
name: {NAME}
version: "1.0"
profile: {NAME}
models:
  {NAME}:
    staging: {{+materialized: view, +schema: staging}}
    intermediate: {{+materialized: table, +schema: intermediate}}
    core: {{+materialized: table, +schema: core, +tags: [nightly]}}
    marts: {{+materialized: table, +schema: marts}}
seeds:
  {NAME}: {{+schema: seeds}}
"""
PROFILES = f"""
{NAME}:
  target: dev
  outputs:
    dev: {{type: duckdb, path: {WAREHOUSE}, schema: dev, threads: 4}}
"""


@dataclass(frozen=True, slots=True)
class Model:
    """One generated model."""

    name: str
    layer: str
    reads: tuple[str, ...]
    """Jinja references."""
    tested: bool = False
    view: bool = False

    @property
    def sql(self) -> str:
        config = "{{ config(materialized='view') }}\n" if self.view else ""
        others = "\n".join(
            f"left join {reference} as t{i} using (id)" for i, reference in enumerate(self.reads[1:], start=1)
        )
        amount = " + ".join(f"coalesce(t{i}.amount, 0)" for i in range(len(self.reads)))
        return (
            f"{config}with base as (\n    select * from {self.reads[0]}\n)\n"
            f"select\n    id,\n    t0.day,\n    {amount} as amount,\n    upper(t0.label) as label\n"
            f"from base as t0\n{others}\n"
        )

    @property
    def yaml(self) -> str:
        tests = " data_tests: [not_null, unique]," if self.tested else ""
        return (
            f"  - name: {self.name}\n    description: Model {self.name} of layer {self.layer}.\n"
            f"    columns:\n      - {{name: id,{tests} description: The key.}}\n"
            f"      - {{name: amount, description: A sum of amounts.}}\n"
        )


def write_project(directory: Path, *, models: int) -> Path:
    """A project with this many models, its profile and its warehouse with the sources' tables."""
    files = {"dbt_project.yml": PROJECT, "profiles.yml": PROFILES, "models/staging/sources.yml": _sources()}
    for i in range(SEEDS):
        files[f"seeds/seed_{i}.csv"] = "id,day,amount,label\n" + "".join(
            f"{row},2024-01-{row:02},{row * 10},seed {row}\n" for row in range(1, 21)
        )
    made = build_models(models)
    for model in made:
        files[f"models/{model.layer}/{model.name}.sql"] = model.sql
    for layer in dict.fromkeys(model.layer for model in made):
        members = [model.yaml for model in made if model.layer == layer]
        files[f"models/{layer}/_{layer}.yml"] = "models:\n" + "".join(members)
    for name, text in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    _write_warehouse(directory / WAREHOUSE)
    return directory


def build_models(wanted: int) -> list[Model]:
    """The models, in layers: each reads two or three of the layer before."""
    staging = max(2, wanted // 5)
    made = [Model(f"stg_{i:03}", "staging", (_root(i),), tested=i % 4 == 0, view=True) for i in range(staging)]
    before = [model.name for model in made]
    rest = wanted - staging
    for depth, layer in enumerate(LAYERS):
        members = rest // len(LAYERS) + (1 if depth < rest % len(LAYERS) else 0)
        current = [
            Model(f"{layer}_{i:03}", layer, _parents(before, i), tested=i % 4 == 0, view=i % 4 == 3)
            for i in range(members)
        ]
        made += current
        before = [model.name for model in current]
    return made


def _root(i: int) -> str:
    pick = i % (SOURCES + SEEDS)
    return f"{{{{ source('raw', 'events_{pick}') }}}}" if pick < SOURCES else f"{{{{ ref('seed_{pick - SOURCES}') }}}}"


def _parents(before: list[str], i: int) -> tuple[str, ...]:
    names = dict.fromkeys(before[(i * step + step) % len(before)] for step in ((1, 7, 13) if i % 3 == 0 else (1, 7)))
    return tuple(f"{{{{ ref('{name}') }}}}" for name in names)


def _sources() -> str:
    tables = "".join(f"      - {{name: events_{i}, description: Events {i}.}}\n" for i in range(SOURCES))
    return f"sources:\n  - name: raw\n    schema: raw\n    tables:\n{tables}"


def _write_warehouse(file: Path) -> None:
    import duckdb

    with duckdb.connect(str(file)) as connection:
        connection.execute("create schema raw")
        for i in range(SOURCES):
            connection.execute(
                f"create table raw.events_{i} as select id::integer as id, date '2024-01-01' + id::integer as day, "
                "id * 10 as amount, 'event ' || id as label from range(1, 101) as numbers(id)"
            )


def write_python_assets(directory: Path, number: int) -> None:
    """A configuration beside the dbt project, and Python assets in modules of ten, each reading the one before."""
    (directory / "orchestrator.toml").write_text('name = "bench"\ndbt = "."\npython = "assets"\n', encoding="utf-8")
    package = directory / "assets"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from orchestrator import Warehouse\n\nwarehouse = Warehouse.from_dbt()\n", encoding="utf-8"
    )
    for start in range(0, number, ASSETS_IN_A_MODULE):
        parts = ["from orchestrator import Context, asset, check\nfrom assets import warehouse\n"]
        for i in range(start, min(start + ASSETS_IN_A_MODULE, number)):
            read = f"asset_{i - 1:03}.read(context)" if i > start else "[{'id': 1}]"
            parts.append(
                f'@asset(warehouse.table("py.asset_{i:03}"), owner="team@example.com")\n'
                f"def asset_{i:03}(context: Context):\n"
                f'    """Rows, the {i}th time."""\n'
                f"    rows = {read}\n"
                f'    context.metadata["n"] = len(rows)\n'
                f"    return rows\n"
            )
        file = package / f"module_{start // ASSETS_IN_A_MODULE:02}.py"
        file.write_text("\n\n".join(parts), encoding="utf-8")
