"""Tells what the records know: every asset built once, in the order of the graph, and then what changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from orchestrator.definitions.facts import CheckFact, Facts, WriterFact
from orchestrator.graph.model import Asset, AssetGraph
from orchestrator.plan.versions import Versions
from tests.scenarios import key

NOON = datetime(2013, 6, 1, 12, tzinfo=timezone.utc)


def built(graph: AssetGraph, *, run: str = "run-1", at: datetime = NOON) -> Facts:
    """Every asset was built by one green run; `v.<key>` is its version. Every check passed a minute later."""
    versions = Versions(graph)
    slots = [
        (asset, writer, partition)
        for asset in graph.assets.values()
        for writer in asset.writers
        for partition in (writer.partitions.keys(as_of=at) if writer.partitions else [None])
    ]
    for asset, writer, partition in slots:
        versions.add(asset.key, writer.id, partition, _version(asset, partition))
    writers = {
        (str(asset.key), writer.id, partition): WriterFact(
            key=str(asset.key),
            writer=writer.id,
            partition=partition,
            status="succeeded",
            attempt_id=_version(asset, partition),
            run_id=run,
            at=at,
            version=_version(asset, partition),
            version_at=at,
            version_run_id=run,
            code_version=writer.code_version,
            inputs=versions.inputs(asset, writer, partition),
        )
        for asset, writer, partition in slots
    }
    checks = {
        check.id: CheckFact(
            check.id, check.name, str(check.key), "succeeded", check.severity, at + timedelta(minutes=1), run
        )
        for check in graph.checks
    }
    return Facts("dev", writers=writers, checks=checks)


def _version(asset: Asset, partition: str | None) -> str:
    return f"v.{asset.key}" + (f"[{partition}]" if partition else "")


def but(facts: Facts, name: str, *, partition: str | None = None, **changed: Any) -> Facts:
    """The same, with another fact about one asset (or one of its partitions)."""
    writers = {
        slot: replace(fact, **changed) if (slot[0], slot[2]) == (str(key(name)), partition) else fact
        for slot, fact in facts.writers.items()
    }
    return replace(facts, writers=writers)


def without(facts: Facts, *names: str, partitions: Collection[str | None] | None = None) -> Facts:
    """The same, as if these (or these partitions of them) had never been built."""
    kept: Mapping[Any, WriterFact] = {
        slot: fact
        for slot, fact in facts.writers.items()
        if slot[0] not in names or (partitions is not None and slot[2] not in partitions)
    }
    return replace(facts, writers=kept)


def but_check(facts: Facts, name: str, **changed: Any) -> Facts:
    """The same, with another result of one check."""
    checks = {
        check_id: replace(fact, **changed) if fact.name == name else fact for check_id, fact in facts.checks.items()
    }
    return replace(facts, checks=checks)


def without_check(facts: Facts, name: str) -> Facts:
    """The same, as if the check had never run."""
    return replace(facts, checks={check: fact for check, fact in facts.checks.items() if fact.name != name})
