"""The example's Python side by itself: the published rows, and the model of delays against answers known beforehand."""

from __future__ import annotations

import io
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from orchestrator import AssetKey
from python_assets import delay_model, flights, maintenance, reference, weather
from python_assets.nycflights import with_date


@pytest.fixture(scope="module")
def departures() -> pa.Table:
    return flights.read_flights()


@pytest.fixture(scope="module")
def observations() -> pa.Table:
    return weather.read_weather()


def test_every_published_flight_is_read(departures: pa.Table) -> None:
    assert departures.num_rows == 336_776
    assert departures["dep_time"].null_count == 8_255  # cancelled flights; 'NA' is read as null


def test_the_other_tables_have_their_published_rows(observations: pa.Table) -> None:
    assert observations.num_rows == 26_115
    assert reference.read_airports().num_rows == 1_458
    assert reference.read_airlines().num_rows == 16
    assert reference.read_planes().num_rows == 3_322


def test_flights_are_dated_locally_and_their_hour_is_utc(departures: pa.Table) -> None:
    assert pc.min_max(departures["flight_date"]).as_py() == {"min": date(2013, 1, 1), "max": date(2013, 12, 31)}
    assert departures.schema.field("time_hour").type == pa.timestamp("us")
    other_month = pc.not_equal(pc.month(departures["flight_date"]), pc.month(departures["time_hour"]))
    assert pc.sum(other_month).as_py() == 1_218  # evenings at the end of a month


def test_flights_pass_their_own_checks(departures: pa.Table) -> None:
    assert flights.three_airports(departures) == (True, "departures from EWR, JFK, LGA")
    assert flights.every_day_flown(departures) == (True, "flights on 365 of 365 days")


def test_a_missing_airport_is_noticed(departures: pa.Table) -> None:
    without_kennedy = departures.filter(pc.not_equal(departures["origin"], "JFK"))
    assert flights.three_airports(without_kennedy) == (False, "departures from EWR, LGA")


def test_the_broken_wind_sensor_is_noticed(observations: pa.Table) -> None:
    assert weather.plausible_wind(observations) == 1


def test_year_month_and_day_become_one_date() -> None:
    frame = pa.table({"year": [2013, 2013], "month": [2, 12], "day": [3, 31], "value": [1, 2]})
    expected = pa.table({"on": [date(2013, 2, 3), date(2013, 12, 31)], "value": [1, 2]})
    assert with_date(frame, name="on") == expected


def test_the_histogram_is_a_picture() -> None:
    buffer = io.BytesIO()
    flights.draw_delays(pa.chunked_array([[-5, 0, 3, 20, 170, 400]])).savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")


def test_assets_are_named_after_their_tables() -> None:
    assert flights.flights.key == AssetKey("raw", "flights")
    assert delay_model.delay_model.key == AssetKey("ml", "delay_model")
    assert maintenance.checkpoint.key == AssetKey("action", "checkpoint")
    assert flights.flights.description.startswith("Departures from the three New York airports")


def history(*, count: int = 20_000, seed: int = 7) -> pa.Table:
    """Flights with a delay known exactly: 10 minutes, 4 more or less by carrier, 6 more or less by weather."""
    chance = np.random.default_rng(seed)
    carrier = chance.choice(["AA", "UA"], count)
    condition = chance.choice(["fair", "rain"], count)
    delay = 10 + np.where(carrier == "UA", 4, -4) + np.where(condition == "rain", 6, -6)
    days = np.datetime64("2013-01-01") + chance.integers(0, 365, count)
    return pa.table(
        {
            "flight_id": [str(number) for number in range(count)],
            "flight_date": pa.array(days).cast(pa.date32()),
            "carrier": carrier.tolist(),
            "origin": chance.choice(["EWR", "JFK", "LGA"], count).tolist(),
            "scheduled_hour": chance.integers(6, 22, count),
            "weather_condition": condition.tolist(),
            "departure_delay": delay,
        }
    )


def test_the_model_finds_effects_that_are_really_there() -> None:
    training, _ = delay_model.split(history())
    effects = {(row["feature"], row["level"]): row["minutes"] for row in delay_model.fit(training).to_pylist()}
    assert effects["intercept", "all flights"] == pytest.approx(10, abs=0.2)
    assert effects["carrier", "UA"] - effects["carrier", "AA"] == pytest.approx(8, abs=0.1)
    assert effects["weather", "rain"] - effects["weather", "fair"] == pytest.approx(12, abs=0.1)
    assert abs(effects["origin", "JFK"]) < 0.1  # the airport makes no difference here


def test_predictions_average_to_the_average_delay() -> None:
    training, _ = delay_model.split(history())
    model = delay_model.fit(training)
    predicted = delay_model.predict(model, frame=training)
    assert predicted.mean() == pytest.approx(delay_model.average(model), abs=1e-3)


def test_a_carrier_never_seen_before_shifts_nothing() -> None:
    training, test = delay_model.split(history())
    model = delay_model.fit(training)
    only_carrier = model.filter(pc.is_in(model["feature"], pa.array(["carrier", "intercept"])))
    newcomer = test.set_column(test.schema.get_field_index("carrier"), "carrier", pa.array(["ZZ"] * test.num_rows))
    assert set(delay_model.predict(only_carrier, frame=newcomer).tolist()) == {delay_model.average(model)}


def test_the_model_is_judged_on_months_it_has_not_seen() -> None:
    training, test = delay_model.split(history())
    assert pc.max(training["flight_date"]).as_py() == date(2013, 9, 30)
    assert pc.min(test["flight_date"]).as_py() == date(2013, 10, 1)
