"""Families of column types: what different databases call the same thing."""

from __future__ import annotations

import re

_FAMILIES = {
    "integer": "int integer bigint smallint tinyint mediumint hugeint uhugeint utinyint usmallint uinteger ubigint "
    "int1 int2 int4 int8 int16 int32 int64 int128 int256 uint8 uint16 uint32 uint64 uint128 uint256 byteint "
    "long short byte serial bigserial smallserial signed unsigned varint bignum",
    "decimal": "decimal numeric number dec bignumeric bigdecimal decimal32 decimal64 decimal128 decimal256 money "
    "smallmoney",
    "float": "float real double float4 float8 float16 float32 float64 binary_double binary_float",
    "text": "text varchar string char character nvarchar nchar bpchar varchar2 nvarchar2 clob longtext mediumtext "
    "tinytext ntext citext name fixedstring enum uuid uniqueidentifier",
    "boolean": "bool boolean logical bit",
    "date": "date date32",
    "time": "time timetz",
    "timestamp": "timestamp datetime datetime2 smalldatetime timestamp_ntz timestampntz timestamp_s timestamp_ms "
    "timestamp_ns timestamp_us datetime64 timestamptz timestamp_tz timestamp_ltz timestampltz datetimeoffset",
    "interval": "interval",
    "json": "json jsonb variant super object",
    "binary": "blob bytea bytes binary varbinary raw image longblob mediumblob tinyblob",
    "list": "list array",
    "struct": "struct row record tuple",
    "map": "map",
    "geometry": "geometry geography",
}
_FAMILY_OF = {name: family for family, names in _FAMILIES.items() for name in names.split()}
_NAME = re.compile(r"[a-z_]\w*")
_NUMBER = re.compile(r"number\b", re.IGNORECASE)
_LOOSE = frozenset(("text", "struct", "map", "list"))
"""What a column called JSON, VARIANT or OBJECT may be in the warehouse."""


def type_family(name: str | None) -> str | None:
    """The family of a type, however it is spelt; None for types that we do not know.

    >>> type_family("BIGINT"), type_family("number(38,0)"), type_family("character varying(10)")
    ('integer', 'decimal', 'text')
    >>> type_family("TIMESTAMP WITH TIME ZONE"), type_family("INTEGER[]"), type_family("array<string>")
    ('timestamp', 'list', 'list')
    """
    text = " ".join((name or "").lower().split()).strip('"`')
    if text.endswith("]"):
        return "list"
    if text.startswith(("nullable(", "lowcardinality(")):
        return type_family(text.partition("(")[2].removesuffix(")"))
    found = _NAME.match(text)
    return _FAMILY_OF.get(found.group()) if found else None


def differ(left: str | None, right: str | None) -> bool:
    """True when two types are certainly not of one family.

    >>> differ("int", "HUGEINT"), differ("date", "VARCHAR"), differ("my_enum", "VARCHAR")
    (False, True, False)
    """
    families = {type_family(left), type_family(right)}
    if None in families or len(families) == 1:
        return False
    if families == {"integer", "decimal"}:
        return not any(_NUMBER.match(name or "") for name in (left, right))  # Snowflake's integers are NUMBER(38, 0)
    return not ("json" in families and families & _LOOSE)


__all__ = ["differ", "type_family"]
