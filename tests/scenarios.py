"""Named graphs that tests tell their stories with, and the small builders that they are made of.

chain()                raw.a → staging.b → marts.c → marts.d
diamond()              raw.a → staging.left, staging.right → marts.join
sandwich()             Python raw.flights → dbt staging.flights → Python ml.delays → dbt marts.report, with checks,
                       an exposure and an action
with_ephemeral()       raw.a → (ephemeral eph_one → eph_two) → marts.d, and raw.a → staging.b
seed_read_as_source()  fragments: a dbt seed, and a source that is the seed's table
two_writers()          fragments: a dbt model and a Python function that write one table
mixed_grains()         monthly raw.flights, daily raw.weather, raw.airports → daily marts.delays → marts.by_month (by
                       origin), marts.rolling (the last 7 days), marts.summary (not partitioned)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from orchestrator.definitions.keys import AssetKey, Location, Relation
from orchestrator.definitions.mappings import Trailing
from orchestrator.definitions.partitions import Daily, Monthly, Multi, Static
from orchestrator.graph.build import build_graph
from orchestrator.graph.model import Asset, AssetGraph, Check, Consumer, Ephemeral, UsedResource, Writer
from orchestrator.loaders.fragments import DraftAsset, DraftCheck, DraftEphemeral, Fragment

PROJECT = "shop"


def key(text: str) -> AssetKey:
    return AssetKey.parse(text)


def keys(*texts: str) -> frozenset[AssetKey]:
    return frozenset(map(key, texts))


def asset(name: str, reads: Iterable[str] = (), *, engine: str | None = "dbt", **more: Any) -> Asset:
    """An asset with one writer that reads `reads`; `engine=None` makes it external."""
    own = key(name)
    if engine == "python":
        location, id_, strategy = Location(f"python_assets/{own.layer}.py", 3), f"python:assets.{own.name}", "python"
    else:
        folder = f"dbt_project/models/{own.layer}"
        location = Location(f"{folder}/{own.name}.sql" if engine else f"{folder}/sources.yml")
        id_, strategy = f"model.{PROJECT}.{own.name}", "table"
    location = more.pop("location", location)
    writer = Writer(
        id_,
        "python" if engine == "python" else "dbt",
        own.name,
        strategy,
        location,
        keys(*reads),
        code_version="1",
        partitions=more.pop("partitions", None),
        mappings=more.pop("mappings", ()),
    )
    more.setdefault("project", PROJECT)
    more.setdefault("dbt_ids", (id_,) if engine == "dbt" else ())
    more.setdefault("relation", Relation("dev", own.layer, own.name))
    return Asset(key=own, name=own.name, location=location, writers=(writer,) if engine else (), **more)


def check(name: str, *reads: str, severity: str = "error", blocking: bool = True, kind: str = "dbt_test") -> Check:
    """A check on all of `reads`, shown on the first."""
    return Check(
        id=f"test.{PROJECT}.{name}",
        name=name,
        kind=kind,  # type: ignore[arg-type]
        key=key(reads[0]),
        reads=keys(*reads),
        severity=severity,  # type: ignore[arg-type]
        blocking=blocking,
        location=Location("dbt_project/models/schema.yml", 7),
    )


def warehouse() -> UsedResource:
    used = (Location("python_assets/flights.py", 12),)
    place = Location("python_assets/resources.py", 5)
    return UsedResource("python_assets.resources.warehouse", "Warehouse", ("duckdb",), place, used)


def check_without_asset(name: str) -> Check:
    """One that reads nothing, such as a test of a macro."""
    return replace(check(name, f"shop.{name}"), reads=frozenset())


def graph(*assets: Asset, **more: Any) -> AssetGraph:
    return build_graph(assets, **more)


def chain() -> AssetGraph:
    return graph(
        asset("raw.a", engine="python"),
        asset("staging.b", ["raw.a"]),
        asset("marts.c", ["staging.b"]),
        asset("marts.d", ["marts.c"]),
    )


MONTHS = Monthly("2013-01", last="2013-12", column="flight_date")
DAYS = Daily("2013", last="2013", column="flight_date")
ORIGINS = Static("EWR", "JFK", "LGA", column="origin")


def mixed_grains() -> AssetGraph:
    """Every partitioning in one graph, as the example has it."""
    return graph(
        asset("raw.flights", engine="python", partitions=MONTHS),
        asset("raw.weather", engine="python", partitions=DAYS),
        asset("raw.airports", engine="python"),
        asset("marts.delays", ["raw.flights", "raw.weather", "raw.airports"], partitions=DAYS),
        asset("marts.by_month", ["marts.delays"], partitions=Multi(ORIGINS, MONTHS)),
        asset("marts.rolling", ["marts.delays"], partitions=DAYS, mappings=((key("marts.delays"), Trailing(7)),)),
        asset("marts.summary", ["marts.by_month"]),
    )


def diamond() -> AssetGraph:
    return graph(
        asset("raw.a", engine="python"),
        asset("staging.left", ["raw.a"]),
        asset("staging.right", ["raw.a"]),
        asset("marts.join", ["staging.left", "staging.right"]),
    )


def sandwich() -> AssetGraph:
    """Python → dbt → Python → dbt, as real projects have it, with everything that hangs on assets."""
    return graph(
        asset("raw.flights", engine="python", owners=("ops@example.com",), tags=("daily",), resources=(warehouse(),)),
        asset(
            "raw.airports",
            engine=None,
            dbt_ids=("source.shop.raw.airports",),
            owners=("ops@example.com",),
            tags=("slow",),
        ),
        asset(
            "staging.flights", ["raw.flights", "raw.airports"], tags=("daily",), group="core", aliases=("stg_flights",)
        ),
        asset("ml.delays", ["staging.flights"], engine="python", owners=("ml@example.com",), kinds=("python", "model")),
        asset("marts.report", ["ml.delays", "staging.flights"], owners=("Data Team",), group="finance"),
        asset("ops.vacuum", ["marts.report"], engine="python", kind="action", relation=None),
        checks=(
            check("unique_flight", "staging.flights"),
            check("delays_known", "ml.delays", "staging.flights", severity="warn"),
        ),
        consumers=(
            Consumer("exposure.shop.board", "board", "exposure", keys("marts.report"), owners=("boss@example.com",)),
        ),
    )


def with_ephemeral() -> AssetGraph:
    through = keys("marts.d")
    return graph(
        asset("raw.a", engine="python"),
        asset("staging.b", ["raw.a"]),
        asset("marts.d", ["raw.a"]),
        ephemerals=(
            Ephemeral("model.shop.eph_one", "eph_one", "dbt_project/models/eph/eph_one.sql", keys("raw.a"), through),
            Ephemeral("model.shop.eph_two", "eph_two", "dbt_project/models/eph/eph_two.sql", keys("raw.a"), through),
        ),
    )


# Fragments, as loaders make them


def draft(item: Asset, *reads: str, id_: str | None = None, explicit: bool = False) -> DraftAsset:
    """A draft as its loader makes it: edges as ids, `asset.writers` without reads."""
    known = item.writers[0].id if item.writers else (item.dbt_ids or (f"table:{item.relation}",))[0]
    return DraftAsset(id_ or known, item, frozenset(reads), item.key if explicit else None)


def draft_check(item: Check, *reads: str) -> DraftCheck:
    return DraftCheck(item, reads[0], frozenset(reads))


def draft_ephemeral(name: str, *reads: str) -> DraftEphemeral:
    path = f"dbt_project/models/eph/{name}.sql"
    return DraftEphemeral(Ephemeral(f"model.{PROJECT}.{name}", name, path, frozenset(), frozenset()), frozenset(reads))


def source(name: str, *, database: str = "dev", **more: Any) -> DraftAsset:
    """A dbt source, `source.table`."""
    own = key(name)
    relation = more.pop("relation", Relation(database, own.layer, own.name))
    return draft(asset(name, engine=None, dbt_ids=(f"source.{PROJECT}.{name}",), relation=relation, **more))


def seed_read_as_source() -> Fragment:
    """dbt's own jaffle shop: a model reads `source('ecom', 'customers')`, which is the table of a seed."""
    seed = asset(
        "jaffle.raw_customers", dbt_ids=("seed.shop.raw_customers",), relation=Relation("dev", "raw", "customers")
    )
    return Fragment(
        assets=(
            source("ecom.customers", relation=Relation("dev", "raw", "customers")),
            draft(seed, id_="seed.shop.raw_customers"),
            draft(asset("staging.customers"), "source.shop.ecom.customers"),
        )
    )


def two_writers() -> Fragment:
    """A dbt model and a Python function that both write dev.raw.flights."""
    return Fragment(
        assets=(
            draft(asset("raw.flights", engine="python")),
            draft(asset("marts.flights", relation=Relation("dev", "raw", "flights"))),
            draft(asset("staging.flights_clean"), "python:assets.flights"),
        )
    )
