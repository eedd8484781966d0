"""One `dbt build` in process, of exactly the nodes that were asked for."""

from __future__ import annotations

import copy
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from orchestrator.dbt_engine.gate import Gate, NodeListener, NodeOutcome
from orchestrator.dbt_engine.invocation import DBT_LOCK, DbtInvocation
from orchestrator.dbt_engine.messages import shortened
from orchestrator.dbt_engine.parse import release_warehouse

SELECTED_TAG = "orchestrator:selected"


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What dbt says of the whole invocation; the gate has told of the nodes."""

    success: bool
    outcomes: Mapping[str, NodeOutcome] = field(default_factory=dict)
    """{unique_id: outcome}, hooks included, from dbt's own result."""
    error: str | None = None
    """Why dbt itself failed, if it did."""


def build_nodes(
    invocation: DbtInvocation,
    manifest: Any,
    *,
    nodes: Collection[str],
    listener: NodeListener,
    slots: threading.Semaphore,
    threads: int,
    full_refresh: bool = False,
    fail_fast: bool = False,
    event_times: tuple[datetime, datetime] | None = None,
) -> BuildResult:
    """Run `dbt build` for `nodes` (unique_ids of models, seeds, snapshots, tests). Blocks until dbt is done.

    `threads` must leave room for nodes that wait at the gate; `slots` bounds how many work at once. The selection is
    a tag set in this invocation's own copy of the manifest: exact, whatever the project's names, default selectors
    and number of nodes. Models and hooks can read tags, so it is taken away again once dbt has selected.
    `event_times` (start and end, UTC without saying so, half-open) are what microbatch models write.
    """
    from dbt.cli.main import dbtRunner

    with DBT_LOCK:
        own = own_copy(manifest)
        _tag(own, nodes)
        gate = Gate(
            listener,
            slots,
            frozenset(nodes),
            microbatch=_microbatch(own, nodes),
            on_selected=lambda: _untag(own),
        )
        arguments = ["build", *invocation.global_args(), *invocation.build_flags, "--threads", str(threads)]
        try:
            with _exits_are_errors():
                runner = dbtRunner(manifest=own, callbacks=[gate])
                result = runner.invoke(arguments, **_ours(full_refresh, fail_fast, event_times))
        finally:
            release_warehouse()
    return BuildResult(
        success=bool(result.success),
        outcomes={outcome.unique_id: outcome for outcome in map(_outcome, _results(result.result))},
        error=shortened(str(result.exception)) if result.exception is not None else None,
    )


def _ours(full_refresh: bool, fail_fast: bool, event_times: tuple[datetime, datetime] | None) -> dict[str, Any]:
    """What the plan has decided, as parameters: they win over dbt's environment variables and project flags."""
    return {
        "select": (f"tag:{SELECTED_TAG}",),
        "exclude": (),
        "selector": None,
        "resource_types": (),
        "exclude_resource_types": (),
        "indirect_selection": "empty",
        "full_refresh": full_refresh,
        "fail_fast": fail_fast,
        "empty": False,
        "sample": None,
        "event_time_start": event_times[0] if event_times else None,
        "event_time_end": event_times[1] if event_times else None,
        "export_saved_queries": False,
        "single_threaded": False,
        "write_json": False,
        "cache_selected_only": True,
    }


@contextmanager
def _exits_are_errors() -> Iterator[None]:
    """A node that calls `sys.exit` (a Python model, an adapter) fails.

    dbt (1.10, 1.11) lets SystemExit end the worker thread and then waits for the node for ever.
    """
    from dbt.task.base import BaseRunner
    from dbt_common.exceptions import DbtRuntimeError

    real = BaseRunner.compile_and_execute

    def tamed(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return real(self, *args, **kwargs)
        except SystemExit as exc:
            raise DbtRuntimeError(f"SystemExit: {exc}") from exc

    BaseRunner.compile_and_execute = tamed
    try:
        yield
    finally:
        BaseRunner.compile_and_execute = real


def own_copy(manifest: Any) -> Any:
    """A deep copy of a Manifest for one invocation.

    dbt's own copying (`Manifest.__reduce_ex__`, 1.11) passes its fields by position and leaves out `fixtures`, so
    that every lookup table lands in its neighbour's place; they are dropped here and dbt builds them anew.
    """
    own = copy.deepcopy(manifest)
    own.fixtures = copy.deepcopy(manifest.fixtures)
    for name in vars(own):
        if name.endswith("_lookup"):
            setattr(own, name, None)
    return own


def cancel_running() -> None:
    """Interrupt the statements that dbt's connections are running in this process. Never raises."""
    import sys

    factory = sys.modules.get("dbt.adapters.factory")
    if factory is None:
        return
    for adapter in list(factory.FACTORY.adapters.values()):
        for connection in list(adapter.connections.thread_connections.values()):
            try:
                adapter.connections.cancel(connection)
            except Exception:  # noqa: BLE001  a connection that is closing meanwhile needs no cancel
                continue


def native_parents(manifest: Any, unique_id: str) -> frozenset[str]:
    """The nodes that dbt itself orders before `unique_id`, ephemeral models passed through."""
    found: set[str] = set()
    open_ids = [unique_id]
    while open_ids:
        node = _node(manifest, open_ids.pop())
        for parent in getattr(node, "depends_on_nodes", ()):
            if parent in found:
                continue
            found.add(parent)
            upstream = _node(manifest, parent)
            if upstream is not None and getattr(upstream, "is_ephemeral_model", False):
                open_ids.append(parent)
    return frozenset(found)


def _node(manifest: Any, unique_id: str) -> Any:
    return manifest.nodes.get(unique_id) or manifest.unit_tests.get(unique_id)


def _tag(manifest: Any, nodes: Collection[str]) -> None:
    for unique_id in nodes:
        node = manifest.nodes.get(unique_id)
        if node is not None:
            node.tags = [*node.tags, SELECTED_TAG]
        elif (unit_test := manifest.unit_tests.get(unique_id)) is not None:
            unit_test.config.tags = [*unit_test.tags, SELECTED_TAG]
            _tag_ephemeral(manifest, unit_test)
        elif (function := getattr(manifest, "functions", {}).get(unique_id)) is not None:
            function.tags = [*function.tags, SELECTED_TAG]


def _tag_ephemeral(manifest: Any, unit_test: Any) -> None:
    # dbt runs unit tests when their model's turn comes: it must be selected, also where nothing is built.
    for parent in unit_test.depends_on_nodes[:1]:
        node = manifest.nodes.get(parent)
        if node is not None and node.is_ephemeral_model and SELECTED_TAG not in node.tags:
            node.tags = [*node.tags, SELECTED_TAG]


def _untag(manifest: Any) -> None:
    for node in (*manifest.nodes.values(), *getattr(manifest, "functions", {}).values()):
        if SELECTED_TAG in node.tags:
            node.tags = [tag for tag in node.tags if tag != SELECTED_TAG]
    for unit_test in manifest.unit_tests.values():
        if SELECTED_TAG in unit_test.tags:
            unit_test.config.tags = [tag for tag in unit_test.tags if tag != SELECTED_TAG]


def _microbatch(manifest: Any, nodes: Collection[str]) -> frozenset[str]:
    return frozenset(
        unique_id
        for unique_id in nodes
        if (node := manifest.nodes.get(unique_id)) is not None
        and getattr(node.config, "incremental_strategy", None) == "microbatch"
    )


def _results(result: Any) -> list[Any]:
    return list(getattr(result, "results", None) or [])


def _outcome(item: Any) -> NodeOutcome:
    return NodeOutcome(
        unique_id=item.node.unique_id,
        status=str(item.status),
        message=item.message or "",
        failures=item.failures,
        duration_s=item.execution_time,
        done_batches=_done_batches(getattr(item, "batch_results", None)),
    )


def _done_batches(found: Any) -> tuple[tuple[datetime, datetime], ...] | None:
    if found is None:
        return None
    return tuple((_utc(start), _utc(end)) for start, end in found.successful)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
