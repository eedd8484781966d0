"""Partitions of dbt models: from microbatch config, and from `meta.orchestrator.partitions` and `.mappings`.

meta:
  orchestrator:
    partitions:
      monthly: {first: 2013-01, last: 2013-12, column: flight_date}
      run: range
    mappings: {raw.flights: {trailing: 3}}

Other kinds: `static: [EWR, JFK]` or `static: {keys: [EWR, JFK], column: origin}`, `dynamic: {label: customers, column:
customer_id}`, `multi: [{static: …}, {monthly: …}]`. `run` says whether neighbouring partitions may be written by one
run of the model (`range`), or each has its own (`each`, the default).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from orchestrator.definitions.mappings import All, KeyMap, Offset, Overlap, PartitionMapping, Same, Trailing
from orchestrator.definitions.partitions import (
    Daily,
    Dynamic,
    Hourly,
    Monthly,
    Multi,
    Partitions,
    Quarterly,
    Static,
    TimePartitions,
    Weekly,
    Yearly,
)
from orchestrator.errors import DefinitionError, did_you_mean

RunMode = Literal["each", "range"]
TIME: Mapping[str, type[TimePartitions]] = {
    "hourly": Hourly,
    "daily": Daily,
    "weekly": Weekly,
    "monthly": Monthly,
    "quarterly": Quarterly,
    "yearly": Yearly,
}
KINDS = (*TIME, "static", "dynamic", "multi")
EXAMPLE = "write partitions: {monthly: {first: 2013-01, column: flight_date}}"
_BATCHES = {"hour": Hourly, "day": Daily, "month": Monthly, "year": Yearly}
_PLAIN_MAPPINGS: Mapping[str, PartitionMapping] = {"overlap": Overlap(), "same": Same(), "all": All()}


@dataclass(frozen=True, slots=True)
class DbtPartitions:
    """How a model is divided, and how its partitions are run."""

    partitions: Partitions
    run: RunMode = "each"


def model_partitions(settings: Mapping[str, Any], declared: Any, *, materialized: str) -> DbtPartitions | None:
    """The partitions of a model with this config and this `meta.orchestrator.partitions`; None if it has none.

    Raises DefinitionError, without place.
    """
    batches = _microbatch(settings) if materialized == "incremental" else None
    if declared is None:
        return batches
    if materialized != "incremental":
        raise DefinitionError(
            f"partitions and the materialization '{materialized}', which writes all rows at once",
            fix="make the model incremental, or leave partitions out",
        )
    event_time = settings.get("event_time")
    found = read_partitions(declared, column=event_time if isinstance(event_time, str) else None)
    if batches is not None:
        _fit_microbatch(found.partitions, batches.partitions)
    without = [part for part in found.partitions.dimensions if part.column is None]
    if without:
        raise DefinitionError(f"partitions without a column: {without[0].about()}", fix=EXAMPLE)
    return found


def _microbatch(settings: Mapping[str, Any]) -> DbtPartitions | None:
    """dbt's own batches. What dbt needs and is not there, dbt itself refuses; then there are none here."""
    size, begin, column = (settings.get(name) for name in ("batch_size", "begin", "event_time"))
    if settings.get("incremental_strategy") != "microbatch" or str(size).lower() not in _BATCHES or not begin:
        return None
    first = _moment(str(begin))
    column = column if isinstance(column, str) else None
    return DbtPartitions(_BATCHES[str(size).lower()](first, column=column), "range")  # dbt goes batch by batch itself


def _moment(text: str) -> date:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise DefinitionError(f"begin {text!r}, which is no date", fix="write begin='2013-01-01'") from None


def _fit_microbatch(declared: Partitions, batches: Partitions) -> None:
    if not isinstance(declared, TimePartitions) or declared.grain is not batches.grain:  # type: ignore[attr-defined]
        raise DefinitionError(
            f"partitions ({declared.about()}) that are not dbt's batches ({batches.about()})",
            fix="leave partitions out, or make batch_size and partitions the same",
        )
    if declared.tz != "UTC" or declared.offset:
        where = declared.tz if declared.tz != "UTC" else f"offset by {declared.offset}"
        raise DefinitionError(
            f"partitions in {where}, and dbt's microbatch batches begin by UTC",
            fix="leave tz and offset out, or take another strategy, with the window from vars and `run: range`",
        )


def read_partitions(value: Any, *, column: str | None = None) -> DbtPartitions:
    """The YAML form. `column` is taken for time where none is given. Raises DefinitionError, without place."""
    if not isinstance(value, Mapping):
        raise DefinitionError(f"partitions {value!r}", fix=EXAMPLE)
    run = value.get("run", "each")
    if run not in ("each", "range"):
        raise DefinitionError(f"partitions with run {run!r}", fix="run: each, or run: range")
    return DbtPartitions(_one({key: item for key, item in value.items() if key != "run"}, column), run)


def _one(value: Any, column: str | None) -> Partitions:
    if not isinstance(value, Mapping) or len(value) != 1:
        raise DefinitionError(f"partitions {value!r}, which is not one kind", fix=EXAMPLE)
    ((kind, options),) = value.items()
    try:
        if kind in TIME:
            return _time(TIME[kind], options, column)
        if kind == "static" and isinstance(options, list):
            return Static(*map(str, options))
        if kind == "static":
            return Static(*map(str, _taken(options, "keys", "column")["keys"]), column=options.get("column"))
        if kind == "dynamic":
            return Dynamic(str(_taken(options, "label", "column")["label"]), column=options.get("column"))
        if kind == "multi" and isinstance(options, list):
            return Multi(*(_one(item, column) for item in options))
    except (KeyError, TypeError, ValueError) as exc:
        raise DefinitionError(f"{kind} partitions {options!r}: {_said(exc)}", fix=EXAMPLE) from exc
    fix = did_you_mean(str(kind), KINDS) or f"one of {', '.join(KINDS)}"
    raise DefinitionError(f"partitions of the unknown kind {kind!r}", fix=fix)


def _time(kind: type[TimePartitions], options: Any, column: str | None) -> TimePartitions:
    given = _taken(options, "first", "last", "column", "tz", "offset_hours")
    last = given.get("last")
    return kind(
        _key(given["first"]),
        last=None if last is None else _key(last),
        column=given.get("column") or column,
        tz=given.get("tz", "UTC"),
        offset=timedelta(hours=float(given.get("offset_hours", 0))),
    )


def _key(value: Any) -> str | date:
    """YAML makes dates of days and numbers of years; the manifest may hold either as text."""
    return value if isinstance(value, date) else str(value)


def _taken(options: Any, *names: str) -> Mapping[str, Any]:
    if not isinstance(options, Mapping):
        raise TypeError(f"not a mapping of {', '.join(names)}")
    unknown = sorted(str(name) for name in options if name not in names)
    if unknown:
        raise ValueError(f"there is no {unknown[0]}, only {', '.join(names)}")
    return options


def _said(exc: Exception) -> str:
    return f"{exc.args[0]} is missing" if isinstance(exc, KeyError) else str(exc)


def read_mappings(value: Any) -> dict[str, PartitionMapping]:
    """{asset as it is written: the rule}. Raises DefinitionError, without place."""
    if not isinstance(value, Mapping):
        raise DefinitionError(f"mappings {value!r}", fix="write mappings: {raw.flights: {trailing: 3}}")
    return {str(name): _mapping(str(name), rule) for name, rule in value.items()}


def _mapping(name: str, rule: Any) -> PartitionMapping:
    if isinstance(rule, str) and rule in _PLAIN_MAPPINGS:
        return _PLAIN_MAPPINGS[rule]
    match rule:
        case {"offset": int(by), **rest} if not rest:
            return Offset(by)
        case {"trailing": int(count), **rest} if not rest:
            return Trailing(count)
        case {"keys": dict(table), **rest} if not rest:
            return KeyMap({str(key): _words(words) for key, words in table.items()})
    raise DefinitionError(
        f"the mapping {rule!r} for {name}",
        fix="one of overlap, same, all, {offset: -1}, {trailing: 3}, {keys: {east: [EWR, JFK]}}",
    )


def _words(words: Any) -> list[str]:
    return [str(word) for word in words] if isinstance(words, list) else [str(words)]
