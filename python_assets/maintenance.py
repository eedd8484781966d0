"""Upkeep of the warehouse: work that is recorded, but writes no table."""

from __future__ import annotations

from orchestrator import Context, action
from orchestrator.dbt import models as dbt
from python_assets.resources import warehouse


@action(
    after=[
        dbt.aircraft_age_delays,
        dbt.carrier_performance,
        dbt.daily_delays,
        dbt.delay_drivers,
        dbt.departure_hours,
        dbt.forecast_quality,
        dbt.knock_on_delays,
        dbt.route_performance,
        dbt.weather_impact,
    ],
    owner="platform@example.com",
    group="platform",
    tags=("maintenance",),
    retries=5,  # DuckDB refuses while another step reads
    retry_delay_s=1,
)
def checkpoint(context: Context) -> None:
    """Writes the log of the day's changes into the database file once the marts are done, so that it stays small."""
    warehouse.execute(context, "checkpoint")
