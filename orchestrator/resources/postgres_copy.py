"""Arrow to PostgreSQL and back, as the CSV of its COPY: compiled code at both ends, and text that types agree on."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv

from orchestrator.resources.database import quote

CHUNK_ROWS = 65_536
MAX_DIGITS = 38
"""Decimals of Arrow hold as many."""
_PLAIN = {
    pa.bool_(): "boolean",
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.uint8(): "smallint",
    pa.uint16(): "integer",
    pa.uint32(): "bigint",
    pa.uint64(): "numeric(20,0)",
    pa.float16(): "real",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.date32(): "date",
    pa.date64(): "date",
}
_OF_OID = {
    16: pa.bool_(),
    17: pa.binary(),
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    26: pa.int64(),
    700: pa.float32(),
    701: pa.float64(),
    1082: pa.date32(),
    1083: pa.time64("us"),
    1114: pa.timestamp("us"),
    1184: pa.timestamp("us", tz="UTC"),
}
_NUMERIC = 1700


def sql_type(kind: Any) -> str | None:
    """PostgreSQL's type for an Arrow type, as `format_type` writes it; None for a column of nulls only."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if pa.types.is_null(kind):
        return None
    if pa.types.is_dictionary(kind):
        return sql_type(kind.value_type)
    if pa.types.is_timestamp(kind):
        return f"timestamp {'with' if kind.tz else 'without'} time zone"
    if pa.types.is_time(kind):
        return "time without time zone"
    if pa.types.is_duration(kind):
        return "interval"
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    if _is_binary(kind):
        return "bytea"
    return "jsonb" if pa.types.is_nested(kind) else "text"


def copy_in(cursor: Any, target: str, columns: Sequence[str], table: Any) -> None:
    """Append a pyarrow.Table's rows to `target`; `columns` are the names there, in the table's order."""
    statement = f"COPY {target} ({', '.join(quote(name) for name in columns)}) FROM STDIN (FORMAT csv)"
    options = csv.WriteOptions(include_header=False)
    for start in range(0, table.num_rows, CHUNK_ROWS):
        chunk = table.slice(start, CHUNK_ROWS)
        plain = pa.table([_writable(column) for column in chunk.columns], names=[str(n) for n in range(len(columns))])
        with io.BytesIO() as buffer:
            csv.write_csv(plain, buffer, options)
            buffer.seek(0)
            cursor.copy_expert(statement, buffer)


def copy_out(cursor: Any, query: str) -> Any:
    """The rows of a query as a pyarrow.Table; to be called inside a transaction, whose time zone becomes UTC."""
    cursor.execute("SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'")
    cursor.execute(f"SELECT * FROM ({query}) _orchestrator_query LIMIT 0")
    described = list(cursor.description)
    names = [column.name for column in described]
    schema = pa.schema([(column.name, _arrow_type(column)) for column in described])
    with io.BytesIO() as buffer:
        cursor.copy_expert(f"COPY ({query}) TO STDOUT (FORMAT csv)", buffer)
        if not buffer.tell():
            return schema.empty_table()
        buffer.seek(0)
        places = [str(place) for place in range(len(names))]  # names may repeat
        kinds = {
            place: pa.string() if _is_binary(item.type) else item.type
            for place, item in zip(places, schema, strict=True)
        }
        read = csv.read_csv(
            buffer,
            read_options=csv.ReadOptions(column_names=places),
            parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types=kinds,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                true_values=["t"],
                false_values=["f"],
            ),
        )
    columns = [
        _from_hex(column) if _is_binary(item.type) else column
        for column, item in zip(read.columns, schema, strict=True)
    ]
    return pa.table(columns, schema=schema)


def _arrow_type(column: Any) -> Any:
    if column.type_code == _NUMERIC:
        exact = column.precision not in (None, 65535) and 0 < column.precision <= MAX_DIGITS
        return pa.decimal128(column.precision, column.scale) if exact else pa.float64()
    return _OF_OID.get(column.type_code, pa.string())


def _writable(column: Any) -> Any:
    """The column as CSV can have it."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _writable(column.cast(kind.value_type))
    if _is_binary(kind):
        return _as_text(column, lambda value: f"\\x{value.hex()}")
    if pa.types.is_nested(kind):
        return _as_text(column, lambda value: json.dumps(value, default=str, ensure_ascii=False))
    if pa.types.is_duration(kind):
        return _as_text(column.cast(pa.duration("us")).cast(pa.int64()), lambda value: f"{value} microseconds")
    if sql_type(kind) == "text" and kind != pa.string():
        return column.cast(pa.string())
    return column


def _as_text(column: Any, write: Any) -> Any:
    return pa.array([None if value is None else write(value) for value in column.to_pylist()], pa.string())


def _from_hex(column: Any) -> Any:
    return pa.array([None if v is None else bytes.fromhex(v[2:]) for v in column.to_pylist()], pa.binary())


def _is_binary(kind: Any) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or str(kind) == "binary_view"
    )
