"""Hourly weather at the three airports."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator import Context, asset, check
from python_assets.nycflights import UTC_SECOND, read_published, with_date, with_load_time, with_naive_utc
from python_assets.resources import warehouse

FASTEST_PLAUSIBLE_WIND = 150.0
"""Miles an hour; the strongest hurricane winds measured at New York stay well below."""


def read_weather() -> pa.Table:
    """All observations of 2013. `observed_date` and `hour` are local, `time_hour` is the same hour in UTC."""
    frame = read_published("weather", types={"time_hour": UTC_SECOND, "wind_dir": pa.int64()})
    return with_naive_utc(with_date(frame, name="observed_date"), column="time_hour")


@asset(
    warehouse.table("raw.weather"),
    owner="ingestion@example.com",
    group="ingestion",
    tags=("daily",),
    retries=2,
    retry_delay_s=5,
    timeout_s=120,
)
def weather(context: Context) -> pa.Table:
    """Weather at Newark, Kennedy and LaGuardia in 2013, one row an airport and hour; some hours are missing."""
    frame = read_weather()
    context.metadata["missing_hours"] = 3 * 365 * 24 - frame.num_rows
    context.metadata["wettest_hour_inches"] = pc.max(frame["precip"]).as_py()
    return with_load_time(frame)


@check(weather, severity="warn")
def plausible_wind(frame: pa.Table) -> int:
    """Wind above 150 mph is a broken sensor: Newark reports 1,048 mph on 12 February. Staging drops such values."""
    return int(pc.sum(pc.greater(frame["wind_speed"], FASTEST_PLAUSIBLE_WIND)).as_py() or 0)
