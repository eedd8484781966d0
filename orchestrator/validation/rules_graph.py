"""Rules about how things hang together: what is read whole, what is read by nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.loaders.manifest import Node, Source
from orchestrator.validation.findings import Draft, InCode, InYaml
from orchestrator.validation.subject import Model, Subject

_CONSUMERS = ("exposures", "metrics", "semantic_models", "saved_queries")


def microbatch_parents(subject: Subject) -> Iterator[Draft]:
    """Parents of microbatch models that dbt cannot cut to the batch: it scans them whole, once for each batch.

    dbt filters what has an `event_time`, and nothing that is read through `.render()`:
    https://docs.getdbt.com/docs/build/incremental-microbatch
    """
    for model in subject.models:
        if model.settings.get("incremental_strategy") != "microbatch" or model.node.materialized != "incremental":
            continue
        for unique_id in model.node.parents:
            parent = subject.nodes.get(unique_id) or subject.sources.get(unique_id)
            if parent is not None and not _is_cut(parent) and not _is_rendered(model, parent):
                yield _scanned(model, parent)


def _is_cut(parent: Node | Source) -> bool:
    ephemeral = isinstance(parent, Node) and parent.materialized == "ephemeral"
    return bool(parent.settings.get("event_time")) and not ephemeral


def _is_rendered(model: Model, parent: Node | Source) -> bool:
    return bool(re.search(_call(parent) + r"[^)]*\)\s*\.render\(", model.node.code))


def _scanned(model: Model, parent: Node | Source) -> Draft:
    name = parent.name if isinstance(parent, Node) else f"{parent.source_name}.{parent.name}"
    if isinstance(parent, Node) and parent.materialized == "ephemeral":
        message = f"{name} is ephemeral: dbt reads all of what it reads for each batch of {model.key}"
        fix = "make it a view with an event_time"
    else:
        message = f"{name} has no event_time: dbt scans it whole for each batch of {model.key}"
        call = f"ref('{name}')" if isinstance(parent, Node) else f"source('{parent.source_name}', '{parent.name}')"
        fix = f"set its event_time; if it is meant to be read whole, write {{{{ {call}.render() }}}}"
    seed = isinstance(parent, Node) and parent.resource_type == "seed"
    return Draft(
        "microbatch-parent",
        message,
        InCode(model.unique_id, (_call(parent),)),
        key=model.key,
        fix=fix,
        severity="info" if seed else None,  # a seed is small
    )


def _call(parent: Node | Source) -> str:
    name = re.escape(parent.name)
    if isinstance(parent, Node):
        return rf"\bref\s*\((?:\s*['\"][\w.]+['\"]\s*,)?\s*['\"]{name}['\"]"
    return rf"\bsource\s*\(\s*['\"]{re.escape(parent.source_name)}['\"]\s*,\s*['\"]{name}['\"]"


def unused_sources(subject: Subject) -> Iterator[Draft]:
    """Sources that no model, consumer or function reads. Tests do not count."""
    items = [node for node in subject.nodes.values() if node.resource_type not in ("test", "unit_test")]
    items += [item for section in _CONSUMERS for item in subject.manifest.all_of(section).values()]
    read = {parent for item in items for parent in item.parents}
    for key, item in subject.described():
        if isinstance(item, Source) and item.unique_id not in read and not _is_read_otherwise(subject, item):
            message = f"nothing reads the source {item.source_name}.{item.name}"
            yield Draft("unused-source", message, InYaml(item.unique_id), key=key)


def _is_read_otherwise(subject: Subject, source: Source) -> bool:
    """By Python, or by SQL that names the relation without source(): that is a finding of its own."""
    key = subject.asset_of[source.unique_id]
    writers = [writer for reader in subject.graph.downstream[key] for writer in subject.graph[reader].writers]
    hard_coded = key in subject.read and not any(writer.engine == "dbt" for writer in writers)
    return hard_coded or any(writer.engine == "python" for writer in writers)


def unread_models(subject: Subject) -> Iterator[Draft]:
    """Models that no asset and no consumer reads. Checks do not count, nor actions, which only come after."""
    consumed = {key for consumer in subject.graph.consumers for key in consumer.reads}
    for model in subject.models:
        readers = [key for key in subject.graph.downstream[model.key] if subject.graph[key].kind == "asset"]
        if model.node.resource_type == "model" and not readers and model.key not in consumed | subject.read:
            yield Draft(
                "unread-model", f"nothing reads {model.key}, no exposure either", InCode(model.unique_id), key=model.key
            )
    if subject.selected >= frozenset(subject.graph.assets):
        for item in subject.graph.ephemerals:
            node = subject.nodes.get(item.unique_id)
            if node is not None and subject.is_own(node) and not item.read_by:
                yield Draft("unread-model", f"nothing reads {item.name}", InCode(item.unique_id))


__all__ = ["microbatch_parents", "unread_models", "unused_sources"]
