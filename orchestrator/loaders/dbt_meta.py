"""`meta.orchestrator` of a dbt node: what dbt has no word for. `docs/reference/meta.schema.json` says the same.

meta:
  orchestrator:
    key: marts.sales
    retries: 2
    retry_delay_s: 10
    slot: {name: erp, where: {source: erp}}
    partitions, mappings: see dbt_partitions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.definitions.assets import Retry
from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.mappings import PartitionMapping
from orchestrator.definitions.slots import Slot
from orchestrator.errors import DefinitionError, did_you_mean
from orchestrator.loaders.dbt_partitions import DbtPartitions, model_partitions, read_mappings

SETTINGS = ("key", "mappings", "partitions", "retries", "retry_delay_s", "slot")
_PLAIN = (str, int, float, bool)


@dataclass(frozen=True, slots=True)
class DbtMeta:
    """The settings of one node, and what is wrong with them; a wrong one is as if it were not there."""

    key: AssetKey | None = None
    retry: Retry = Retry()
    slot: Slot | None = None
    partitions: DbtPartitions | None = None
    mappings: Mapping[str, PartitionMapping] = field(default_factory=dict)
    """{upstream asset as it is written: the rule}"""
    errors: tuple[DefinitionError, ...] = ()


def read_meta(
    meta: Mapping[str, Any],
    *,
    name: str,
    at: str,
    materialized: str = "",
    settings: Mapping[str, Any] | None = None,
) -> DbtMeta:
    """The settings in a node's `meta`; `name` is what the node is called, `at` where it stands.

    `materialized` and `settings` (its config) say how it is partitioned where `meta` does not.
    """
    ours = meta.get("orchestrator")
    if ours is None:
        ours = {}
    if not isinstance(ours, Mapping):
        error = DefinitionError(
            f"{name} has meta.orchestrator {ours!r}, which is no mapping", at=at, fix="write meta: {orchestrator: {…}}"
        )
        return DbtMeta(errors=(error,))
    reader = _Reader(ours, name, at, [])
    reader.refuse_unknown()
    return DbtMeta(
        key=reader.key(),
        retry=reader.retry(),
        slot=reader.slot(),
        partitions=reader.partitions(settings or {}, materialized),
        mappings=reader.mappings(),
        errors=tuple(reader.errors),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    ours: Mapping[str, Any]
    name: str
    at: str
    errors: list[DefinitionError]

    def wrong(self, what: str, fix: str) -> None:
        self.errors.append(DefinitionError(f"{self.name} has {what}", at=self.at, fix=fix))

    def refuse_unknown(self) -> None:
        for setting in self.ours:
            if setting not in SETTINGS:
                fix = did_you_mean(str(setting), SETTINGS) or f"known settings: {', '.join(SETTINGS)}"
                self.wrong(f"the unknown setting meta.orchestrator.{setting}", fix)

    def key(self) -> AssetKey | None:
        if (key := self.ours.get("key")) is None:
            return None
        try:
            return AssetKey.parse(str(key), at=self.at)
        except DefinitionError as exc:
            self.errors.append(exc)
            return None

    def retry(self) -> Retry:
        default = Retry()
        times, delay = self.ours.get("retries", default.times), self.ours.get("retry_delay_s", default.delay_s)
        if isinstance(times, int) and times >= 0 and isinstance(delay, (int, float)) and delay >= 0:
            return Retry(times, float(delay))
        self.wrong(
            f"retries {times!r} with a delay of {delay!r}",
            "write meta: {orchestrator: {retries: 2, retry_delay_s: 10}}",
        )
        return default

    def slot(self) -> Slot | None:
        slot = self.ours.get("slot")
        if slot is None:
            return None
        name, where = (slot.get("name"), slot.get("where")) if isinstance(slot, Mapping) else (None, None)
        if isinstance(name, str) and isinstance(where, Mapping) and where and all(map(_plain, where.values())):
            return Slot.of(name, where)
        self.wrong(f"the slot {slot!r}", "write slot: {name: erp, where: {source: erp}}")
        return None

    def partitions(self, settings: Mapping[str, Any], materialized: str) -> DbtPartitions | None:
        try:
            return model_partitions(settings, self.ours.get("partitions"), materialized=materialized)
        except DefinitionError as exc:
            self.wrong(exc.what, exc.fix or "")
            return None

    def mappings(self) -> dict[str, PartitionMapping]:
        if (declared := self.ours.get("mappings")) is None:
            return {}
        try:
            return read_mappings(declared)
        except DefinitionError as exc:
            self.wrong(exc.what, exc.fix or "")
            return {}


def _plain(value: Any) -> bool:
    return all(isinstance(item, _PLAIN) for item in value) if isinstance(value, list) else isinstance(value, _PLAIN)
