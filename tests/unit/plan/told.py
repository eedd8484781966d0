"""Tells what the records know: every asset built once, in the order of the graph, and then what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from orchestrator.definitions.facts import CheckFact, Facts, WriterFact
from orchestrator.graph.model import AssetGraph
from orchestrator.plan.versions import Versions
from tests.scenarios import key

NOON = datetime(2013, 6, 1, 12, tzinfo=timezone.utc)


def built(graph: AssetGraph, *, run: str = "run-1", at: datetime = NOON) -> Facts:
    """Every asset was built by one green run; `v.<key>` is its version. Every check passed a minute later."""
    of_writer = {(name, one.id): f"v.{name}" for name, asset in graph.assets.items() for one in asset.writers}
    versions = Versions(graph, of_writer)
    writers = {
        (str(name), writer.id, None): WriterFact(
            key=str(name),
            writer=writer.id,
            partition=None,
            status="succeeded",
            attempt_id=f"v.{name}",
            run_id=run,
            at=at,
            version=f"v.{name}",
            version_at=at,
            version_run_id=run,
            code_version=writer.code_version,
            inputs=versions.inputs(asset, writer),
        )
        for name, asset in graph.assets.items()
        for writer in asset.writers
    }
    checks = {
        check.id: CheckFact(
            check.id, check.name, str(check.key), "succeeded", check.severity, at + timedelta(minutes=1), run
        )
        for check in graph.checks
    }
    return Facts("dev", writers=writers, checks=checks)


def but(facts: Facts, name: str, **changed: Any) -> Facts:
    """The same, with another fact about one asset."""
    writers = {
        slot: replace(fact, **changed) if slot[0] == str(key(name)) else fact for slot, fact in facts.writers.items()
    }
    return replace(facts, writers=writers)


def without(facts: Facts, *names: str) -> Facts:
    """The same, as if these had never been built."""
    kept: Mapping[Any, WriterFact] = {slot: fact for slot, fact in facts.writers.items() if slot[0] not in names}
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
