"""Kinds that a function's own code shows: file formats that it names, the frame library that it returns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

_FORMATS = {"feather": "arrow", "jsonl": "json", "ndjson": "json", "xls": "excel", "xlsx": "excel", "yml": "yaml"}
_FILE = re.compile(
    r"(?:^|[\w*}\])/-])\.(arrow|avro|csv|feather|json|jsonl|ndjson|orc|parquet|tsv|xls|xlsx|xml|yaml|yml)"
    r"(?:\.(?:bz2|gz|xz|zip|zst))?$"
)
_LONGEST_NAME = 200
_FRAMES = ("pandas", "polars")


def file_formats(texts: Iterable[str]) -> tuple[str, ...]:
    """What kinds of files the texts name.

    >>> file_formats(["s3://lake/day=*/part.parquet", ".csv.zip", "a report", "rows.xlsx", "two words.csv is read"])
    ('csv', 'excel', 'parquet')
    """
    found = (_FILE.search(text) for text in texts if len(text) <= _LONGEST_NAME and "\n" not in text)
    return tuple(sorted({_FORMATS.get(match[1], match[1]) for match in found if match}))


def frame_kinds(fn: Callable[..., Any]) -> tuple[str, ...]:
    """`polars` or `pandas`, where the function says that it returns one of their frames."""
    returned = getattr(fn, "__annotations__", {}).get("return")
    if isinstance(returned, str):  # not evaluated: `pl.DataFrame` is looked up by its first name
        module = getattr(fn, "__globals__", {}).get(returned.partition(".")[0])
        name = getattr(module, "__module__", None) or getattr(module, "__name__", "")
    else:
        name = getattr(returned, "__module__", "")
    top = str(name).partition(".")[0]
    return (top,) if top in _FRAMES else ()


__all__ = ["file_formats", "frame_kinds"]
