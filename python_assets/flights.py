"""Departures: the table that everything else is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator import Context, asset, check
from python_assets.nycflights import UTC_SECOND, read_published, with_date, with_load_time, with_naive_utc
from python_assets.resources import warehouse

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AIRPORTS = frozenset({"EWR", "JFK", "LGA"})
LATE_MINUTES = 15


def read_flights() -> pa.Table:
    """All departures of 2013. `flight_date` is the local date, `time_hour` the scheduled hour in UTC."""
    frame = read_published("flights", types={"time_hour": UTC_SECOND, "tailnum": pa.string()})
    return with_naive_utc(with_date(frame, name="flight_date"), column="time_hour")


@asset(
    warehouse.table("raw.flights"),
    owner="ingestion@example.com",
    group="ingestion",
    tags=("monthly",),
    retries=2,
    retry_delay_s=5,
    timeout_s=300,
)
def flights(context: Context) -> pa.Table:
    """Departures from the three New York airports in 2013, one row a flight, cancelled ones included."""
    frame = read_flights()
    delays = frame["dep_delay"].drop_null()
    cancelled = frame["dep_time"].null_count
    context.metadata["cancelled"] = cancelled
    context.metadata["mean_delay_minutes"] = round(pc.mean(delays).as_py(), 2)
    context.metadata["late_share"] = round(pc.mean(pc.greater_equal(delays, LATE_MINUTES)).as_py(), 4)
    context.metadata["delays"] = draw_delays(delays)
    context.log.info(
        "read %s flights, %s of them cancelled", f"{frame.num_rows:,}", f"{frame['dep_time'].null_count:,}"
    )
    return with_load_time(frame)


def draw_delays(delays: pa.ChunkedArray) -> Figure:
    """A histogram of departure delays in bins of five minutes; the few beyond three hours are left out."""
    from matplotlib.figure import Figure  # late: only a run draws, and no display is needed

    figure = Figure(figsize=(6.4, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.hist(delays.to_numpy(), bins=range(-30, 181, 5), color="#4c78a8")
    axes.axvline(LATE_MINUTES, color="#9a6700", linewidth=1.2)
    axes.annotate("late", (LATE_MINUTES + 3, 0.92), xycoords=("data", "axes fraction"), color="#9a6700")
    axes.set(xlabel="departure delay, minutes", ylabel="flights", xlim=(-30, 180))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


@check(flights)
def three_airports(frame: pa.Table) -> tuple[bool, str]:
    """Departures come from Newark, Kennedy and LaGuardia, from all of them and from nowhere else."""
    found = set(pc.unique(frame["origin"]).to_pylist())
    return found == AIRPORTS, f"departures from {', '.join(sorted(found))}"


@check(flights)
def every_day_flown(frame: pa.Table) -> tuple[bool, str]:
    """Not one day of the year is without flights."""
    days = pc.count_distinct(frame["flight_date"]).as_py()
    return days == 365, f"flights on {days} of 365 days"
