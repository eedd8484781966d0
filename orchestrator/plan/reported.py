"""Checks that no definition knows: a writer's own code, running elsewhere, reported their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.definitions.facts import CheckFact, Facts
from orchestrator.graph.model import Asset, Check

Reported = Mapping[str, Sequence[CheckFact]]
"""{asset key: results}"""


def reported_results(facts: Facts) -> Reported:
    """All results that were reported, of whatever run. One pass over the checks."""
    found: dict[str, list[CheckFact]] = {}
    for result in facts.checks.values():
        # Its id is the writer's, a colon, and the name that was reported.
        if result.check.startswith("python:") and result.check.endswith(f":{result.name}"):
            found.setdefault(result.key, []).append(result)
    return found


def reported_checks(asset: Asset, facts: Facts, reported: Reported | None = None) -> tuple[Check, ...]:
    """The checks that the newest attempts of the asset's writers reported, by name.

    `reported` is what `reported_results` gives, where many assets are asked for.
    """
    results = (reported_results(facts) if reported is None else reported).get(str(asset.key), ())
    if not results:
        return ()
    writers = {writer.id: writer for writer in asset.writers}
    newest = {(fact.writer, fact.run_id) for fact in facts.writers.values() if fact.key == str(asset.key)}
    found = []
    for result in sorted(results, key=lambda result: result.name):
        writer = writers.get(result.check.removesuffix(f":{result.name}"))
        if writer is not None and (writer.id, result.run_id) in newest:
            check = Check(
                id=result.check,
                name=result.name,
                kind="reported",
                key=asset.key,
                reads=frozenset({asset.key}),
                severity=result.severity,
                blocking=False,
                location=writer.location,
            )
            found.append(check)
    return tuple(found)
