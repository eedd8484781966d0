"""What flights refer to: airports, airlines and aircraft. Small tables that change a few times a year."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator import Context, asset, check, metadata
from python_assets.nycflights import read_published, with_load_time
from python_assets.resources import warehouse


def read_airports() -> pa.Table:
    """Airports of the United States by their FAA code."""
    return read_published("airports", types={"tzone": pa.string()})


def read_airlines() -> pa.Table:
    """Carriers by their two-letter code."""
    return read_published("airlines")


def read_planes() -> pa.Table:
    """Aircraft by tail number, as registered with the FAA."""
    return read_published("planes", types={"year": pa.int64(), "speed": pa.int64()})


@asset(warehouse.table("raw.airports"), owner="ingestion@example.com", group="ingestion", tags=("reference",))
def airports(context: Context) -> pa.Table:
    """Airports with position, altitude and time zone. Puerto Rico and the Virgin Islands are not in it."""
    frame = read_airports()
    context.metadata["without_time_zone"] = frame["tzone"].null_count
    return with_load_time(frame)


@asset(warehouse.table("raw.airlines"), owner="ingestion@example.com", group="ingestion", tags=("reference",))
def airlines(context: Context) -> pa.Table:
    """The carriers that fly from New York, code and name."""
    frame = read_airlines()
    context.metadata["carriers"] = metadata.table(frame.to_pylist())
    return with_load_time(frame)


@asset(warehouse.table("raw.planes"), owner="ingestion@example.com", group="ingestion", tags=("reference",))
def planes(context: Context) -> pa.Table:
    """Aircraft by tail number: type, manufacturer, year, seats. Envoy's and American's fleets are mostly absent."""
    frame = read_planes()
    makers = frame.group_by("manufacturer").aggregate([("tailnum", "count")])
    largest = makers.sort_by([("tailnum_count", "descending"), ("manufacturer", "ascending")]).slice(0, 5)
    context.metadata["largest_manufacturers"] = metadata.table(
        [{"manufacturer": row["manufacturer"], "aircraft": row["tailnum_count"]} for row in largest.to_pylist()]
    )
    context.metadata["without_year"] = frame["year"].null_count
    return with_load_time(frame)


@check(airports)
def positions_on_earth(frame: pa.Table) -> int:
    """Latitude and longitude are degrees."""
    outside = pc.or_(pc.greater(pc.abs(frame["lat"]), 90), pc.greater(pc.abs(frame["lon"]), 180))
    return int(pc.sum(outside).as_py() or 0)
