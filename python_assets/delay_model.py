"""How late will a flight leave? A small additive model, fitted to January–September and judged on October–December.

Each feature (carrier, airport, hour, weekday, weather) shifts the expected delay by some minutes against the average
flight. The shifts are fitted together by ridge regression, which draws levels with few flights towards zero. Only what
is known before departure is used, and no month: the months it is judged on are never seen in training. Single delays
are mostly chance, so expect a small but real gain over always saying "the average"; the error is recorded each run.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator import Context, asset, check, metadata
from orchestrator.dbt import models as dbt
from python_assets.resources import warehouse

COLUMNS = (
    "flight_id",
    "flight_date",
    "carrier",
    "origin",
    "scheduled_hour",
    "weather_condition",
    "departure_delay",
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FIRST_TEST_MONTH = 10
RIDGE_FLIGHTS = 50.0
"""The pull towards zero, as strong as this many flights of exactly average delay."""


@asset(warehouse.table("ml.delay_model"), owner="science@example.com", group="science", tags=("model",), timeout_s=300)
def delay_model(context: Context) -> pa.Table:
    """What shifts the expected departure delay, in minutes against the average flight; one row a feature and level."""
    training, test = split(dbt.int_flights_with_weather.read(context, columns=COLUMNS))
    model = fit(training)
    errors = measure(test["departure_delay"].to_numpy(), predicted=predict(model, frame=test), baseline=average(model))
    context.metadata.update(errors)
    context.metadata["training_flights"] = training.num_rows
    context.metadata["test_flights"] = test.num_rows
    context.metadata["strongest_effects"] = metadata.table(strongest(model))
    context.log.info("error on the test months: %(rmse)s minutes, the average alone has %(rmse_baseline)s", errors)
    return model


@asset(
    warehouse.table("ml.delay_predictions"),
    owner="science@example.com",
    group="science",
    tags=("model",),
    timeout_s=300,
)
def delay_predictions(context: Context) -> pa.Table:
    """What the model would have said about each flight of October–December that took off."""
    _, test = split(dbt.int_flights_with_weather.read(context, columns=COLUMNS))
    model = delay_model.read(context)
    predicted = predict(model, frame=test)
    context.metadata["mean_predicted_delay"] = round(float(predicted.mean()), 2)
    return pa.table(
        {
            "flight_id": test["flight_id"],
            "predicted_delay": np.round(predicted, 2),
            "baseline_delay": np.full(test.num_rows, average(model)),
        }
    )


@check(delay_model)
def effects_are_finite(frame: pa.Table) -> int:
    """Every effect is a number: the equations had a solution."""
    return int(np.count_nonzero(~np.isfinite(frame["minutes"].to_numpy())))


@check(dbt.forecast_quality, severity="warn")
def better_than_the_average(frame: pa.Table) -> tuple[bool, str]:
    """In most months and airports the model errs less than always saying the average delay."""
    better = pc.less(frame["root_mean_squared_error"], frame["baseline_root_mean_squared_error"])
    count = pc.sum(better).as_py() or 0
    return 2 * count > frame.num_rows, f"better in {count} of {frame.num_rows} months and airports"


def split(frame: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The flights that took off: those to learn from, and those to be judged on."""
    flown = frame.filter(pc.is_valid(frame["departure_delay"])).combine_chunks()
    is_test = pc.greater_equal(pc.month(flown["flight_date"]), FIRST_TEST_MONTH)
    return flown.filter(pc.invert(is_test)), flown.filter(is_test)


def features(frame: pa.Table) -> dict[str, pa.ChunkedArray]:
    """{feature: its level for each flight, as text}."""
    return {
        "carrier": frame["carrier"],
        "origin": frame["origin"],
        "hour": frame["scheduled_hour"].cast(pa.string()),
        "weekday": pc.take(pa.array(WEEKDAYS), pc.day_of_week(frame["flight_date"])),
        "weather": frame["weather_condition"],
    }


def fit(frame: pa.Table, *, ridge: float = RIDGE_FLIGHTS) -> pa.Table:
    """The model: `feature, level, flights, minutes`, the average delay in the row `intercept`.

    All features are categories, so the normal equations are counts of flights that share two levels: no matrix with a
    row a flight is ever built.
    """
    delay = frame["departure_delay"].to_numpy().astype(float)
    names: list[tuple[str, str]] = []
    columns: list[np.ndarray] = []
    for feature, values in features(frame).items():
        encoded = pc.dictionary_encode(values).combine_chunks()
        columns.append(encoded.indices.to_numpy() + len(names))
        names.extend((feature, level) for level in encoded.dictionary.to_pylist())
    size, mean = len(names), float(delay.mean())
    together = sum(np.bincount(a * size + b, minlength=size * size) for a in columns for b in columns)
    gram = np.asarray(together, dtype=float).reshape(size, size)
    target = np.sum([np.bincount(column, weights=delay - mean, minlength=size) for column in columns], axis=0)
    flights = gram.diagonal().astype(int)
    minutes = centred(np.linalg.solve(gram + ridge * np.eye(size), target), names=names, flights=flights)
    return pa.table(
        {
            "feature": ["intercept", *(feature for feature, _ in names)],
            "level": ["all flights", *(level for _, level in names)],
            "flights": [frame.num_rows, *flights.tolist()],
            "minutes": np.round([mean, *minutes], 4),
        }
    )


def centred(minutes: np.ndarray, *, names: list[tuple[str, str]], flights: np.ndarray) -> np.ndarray:
    """The effects shifted so that over all flights each feature's effects cancel out."""
    owner = np.array([feature for feature, _ in names])
    shifted = minutes.copy()
    for feature in dict.fromkeys(owner.tolist()):
        mine = owner == feature
        shifted[mine] -= np.average(minutes[mine], weights=flights[mine])
    return shifted


def predict(model: pa.Table, *, frame: pa.Table) -> np.ndarray:
    """The expected delay of each flight, minutes; a level that the model has never seen shifts nothing."""
    total = np.full(frame.num_rows, average(model))
    for feature, values in features(frame).items():
        rows = model.filter(pc.equal(model["feature"], feature))
        place = pc.fill_null(pc.index_in(values, value_set=rows["level"].combine_chunks()), rows.num_rows)
        total += np.append(rows["minutes"].to_numpy(), 0.0)[place.to_numpy()]
    return total


def average(model: pa.Table) -> float:
    """The average delay of the training flights: the prediction of somebody who knows nothing else."""
    return float(model.filter(pc.equal(model["feature"], "intercept"))["minutes"][0].as_py())


def measure(actual: np.ndarray, *, predicted: np.ndarray, baseline: float) -> dict[str, float]:
    """Mean absolute and root mean squared error, minutes, of the model and of the average alone."""
    off, off_baseline = actual - predicted, actual - baseline
    return {
        "mae": round(float(np.abs(off).mean()), 2),
        "mae_baseline": round(float(np.abs(off_baseline).mean()), 2),
        "rmse": round(float(np.sqrt((off**2).mean())), 2),
        "rmse_baseline": round(float(np.sqrt((off_baseline**2).mean())), 2),
    }


def strongest(model: pa.Table, *, count: int = 10) -> list[dict[str, object]]:
    """The largest effects either way, as rows to look at."""
    effects = [row for row in model.to_pylist() if row["feature"] != "intercept"]
    return sorted(effects, key=lambda row: -abs(row["minutes"]))[:count]
