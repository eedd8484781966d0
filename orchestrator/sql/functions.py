"""What functions do to rows and whether they give the same twice, as fingerprints need to know it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import exp

_VOLATILE = frozenset(
    (
        *("Rand", "Randn", "Randstr", "Uniform", "Normal", "Zipf", "Uuid", "NextValueFor", "Version", "Generator"),
        *("Seq1", "Seq2", "Seq4", "Seq8", "Localtime", "Localtimestamp", "Systimestamp", "SessionUser"),
        *("UtcDate", "UtcTime", "UtcTimestamp", "SessionParameter", "Parameter", "Placeholder"),
    )
)
"""Classes; those called Current… are as well."""
_VOLATILE_NAMES = frozenset(
    (
        *("now", "now64", "today", "yesterday", "getdate", "getutcdate", "sysdate", "sysdatetime", "systimestamp"),
        *("sysdatetimeoffset", "sysutcdatetime", "clock_timestamp", "statement_timestamp", "transaction_timestamp"),
        *("get_current_timestamp", "current_localtime", "current_localtimestamp", "ago", "timeofday", "localtime"),
        *("localtimestamp", "unix_timestamp", "utc_date", "utc_time", "utc_timestamp", "curdate", "curtime"),
        *("random", "rand", "randn", "randcanonical", "setseed", "random_bytes", "shuffle", "array_shuffle"),
        *("uuid", "gen_random_uuid", "generate_uuid", "generateuuidv4", "uuid_string", "uuidv4", "uuidv7", "newid"),
        *("newsequentialid", "nextval", "currval", "lastval", "setval", "txid_current", "session_user", "user"),
        *("current_setting", "current_query", "current_query_id", "current_connection_id", "current_transaction_id"),
        *("current_date", "current_timestamp", "current_time", "getvariable", "getenv", "pg_backend_pid", "version"),
        *("inet_client_addr", "pg_postmaster_start_time", "monotonically_increasing_id", "spark_partition_id"),
        *("input_file_name", "rownumberinallblocks", "rownumberinblock", "hostname", "connection_id"),
        *("arbitrary", "reservoir_quantile", "write_log", "read_text", "read_blob"),
    )
)
_VOLATILE_ROWS = frozenset(("arbitrary", "reservoir_quantile", "read_text", "read_blob"))
"""Those of them that take many rows, or give many."""
_SPECIAL_TIMES = frozenset(("now", "today", "tomorrow", "yesterday"))
_BY_ORDER = frozenset(
    (
        *("First", "Last", "FirstValue", "LastValue", "NthValue", "AnyValue", "ArrayAgg", "ArrayConcatAgg"),
        *("GroupConcat", "JSONArrayAgg", "JSONObjectAgg", "JSONBObjectAgg", "ObjectAgg"),
    )
)
"""Aggregates that come out by the order of rows."""
_WINDOWS_BY_ORDER = _BY_ORDER | {"RowNumber", "Lag", "Lead", "Ntile"}

_SCALAR = re.compile(
    r"""(
    (?!\w*agg(_|$)) (list|array|map|struct|regexp|path|parse|url|uuid_extract|union|variant)_
        (?!\w*(elements|each|to_table|matches)) \w+
    | to_(?!table)\w+ | from_\w+ | make_\w+ | date_?\w* | time_?(bucket|zone|stamp)\w* | try_\w+ | safe_\w+ | is_?\w+
    | json_(array_length|contains|exists|merge_patch|pretty|quote|structure|transform|valid|value|type|keys)
    | jsonb?_(array_length|typeof|extract_path|extract_path_text|build_object|build_array|pretty|strip_nulls)
    | hash | farmhash\w* | xxhash\w* | murmur\w* | md5\w* | sha\w* | strip_accents | nfc_normalize | unaccent | printf
    | format\w* | strlen | octet_length | bit_count | ord | bin | unbin | bar | even | gcd | lcm | l?gamma | signbit
    | jaccard | jaro_\w+ | damerau_levenshtein | hamming | mismatches | prefix | suffix | round_?even | element_at
    | century | decade | era | millennium | millisecond | microsecond | nanosecond | isoyear | yearweek | weekday
    | julian | epoch_\w+ | row | cardinality | num(nulls|nonnulls) | quote_\w+ | overlay | div | cbrt | width_bucket
    | btrim | starts_with | pg_typeof | similarity | word_similarity | st_(?!dump)\w+ | geo\w*distance | haversine
    | greatest_common_divisor | least_common_multiple | days_in_month | fdiv | fmod | error | enum_\w+ | collate_\w+
    )""",
    re.VERBOSE,
)
"""Functions that sqlglot has no class for, and that give one value for one row."""


def function_name(node: exp.Expr) -> str:
    """The name of a function, in lower case; empty where it is none."""
    if isinstance(node, exp.Anonymous):
        return str(node.name.lower())
    return str(type(node).key) if isinstance(node, exp.Func) else ""


def is_volatile(node: exp.Expr) -> bool:
    """True for what depends on the time, on chance, on who asks, or on the order in which rows come."""
    name = type(node).__name__
    if name in _VOLATILE or name.startswith("Current") or function_name(node) in _VOLATILE_NAMES:
        return True
    if isinstance(node, exp.Anonymous) and node.name.lower() == "age":
        return len(node.expressions) < 2  # the other end is today
    if isinstance(node, (exp.Cast, exp.TryCast)):
        return isinstance(node.this, exp.Literal) and node.this.name.strip().lower() in _SPECIAL_TIMES
    return name in _BY_ORDER and not _in_order(node)


def _in_order(node: exp.Expr) -> bool:
    """True if an aggregate says in which order it takes rows; of a window that is asked for the window itself."""
    if node.find(exp.Order) is not None or node.args.get("order") is not None:
        return True
    around = node.parent
    while isinstance(around, (exp.Filter, exp.IgnoreNulls, exp.RespectNulls)):
        around = around.parent
    return isinstance(around, (exp.Window, exp.WithinGroup))


def needs_order(function: exp.Expr) -> bool:
    """True for a window function that means nothing without ORDER BY."""
    while isinstance(function, (exp.Filter, exp.IgnoreNulls, exp.RespectNulls)):
        function = function.this
    return type(function).__name__ in _WINDOWS_BY_ORDER and function.find(exp.Order) is None


def multiplies(node: exp.Expr) -> bool:
    """True if a value of a SELECT list may be none or many, or may make one row of all: functions not known may."""
    for found in _own(node):
        if isinstance(found, (exp.UDTF, exp.ExplodingGenerateSeries, exp.GenerateSeries)):
            return True
        unknown = isinstance(found, (exp.Anonymous, exp.AnonymousAggFunc, exp.CombinedAggFunc))
        if unknown and not _is_scalar(found.name.lower()):
            return True
    return False


def _is_scalar(name: str) -> bool:
    return bool(_SCALAR.fullmatch(name)) or (name in _VOLATILE_NAMES and name not in _VOLATILE_ROWS)


def is_table_function(node: exp.Expr) -> bool:
    """True for a call that gives several rows for one."""
    return isinstance(node, (exp.UDTF, exp.ExplodingGenerateSeries)) and not isinstance(node, exp.Values)


def aggregates(node: exp.Expr) -> bool:
    """True if a value aggregates over the rows of its SELECT: not over a window, nor inside a subquery."""
    return any(isinstance(found, exp.AggFunc) for found in _own(node, windows=False))


def windows(node: exp.Expr) -> bool:
    """True if a value looks at other rows through a window."""
    return any(isinstance(found, exp.Window) for found in _own(node))


def _own(node: exp.Expr, *, windows: bool = True) -> Iterator[exp.Expr]:
    """What belongs to an expression itself, and to no subquery in it."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if isinstance(found, exp.Query) or (isinstance(found, exp.Window) and not windows):
            continue
        yield found
        waiting += found.iter_expressions()


__all__ = ["aggregates", "function_name", "is_table_function", "is_volatile", "multiplies", "needs_order", "windows"]
