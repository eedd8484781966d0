"""dbt's compiler with its eyes shut: it compiles nodes one by one, asks the warehouse nothing and writes nothing.

Importing this imports dbt; `compile.py` does, late.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import dbt.compilation
import dbt.task.compile
from dbt.clients.jinja import GENERIC_TEST_KWARGS_NAME, add_rendered_test_kwargs
from dbt.compilation import Compiler, inject_ctes_into_sql
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import GenericTestNode

from orchestrator.dbt_engine.compile import Compilation, CompiledNode, CompileInputs
from orchestrator.dbt_engine.messages import one_line
from orchestrator.dbt_engine.offline_context import BRANCH, NodeContext, Notes, WarehouseAskedError, Watched

IS_INCREMENTAL = "macro.dbt.is_incremental"
_TOLD = f"{{% macro is_incremental() %}}{{{{ return({BRANCH}(should_full_refresh)) }}}}{{% endmacro %}}"

_KINDS = ("model", "snapshot", "test", "analysis", "function")
_RANDOM = re.compile(r"\|\s*random\b|\blipsum\s*\(")
_BEFORE = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
_LEADING_WITH = re.compile(r"with(?:\s+recursive(?=\s))?\s+(?=\S)", re.IGNORECASE)
_ANY_WITH = re.compile(r"\bwith\b", re.IGNORECASE)
_EPHEMERAL = "the ephemeral model"


class _Compiler(Compiler):  # type: ignore[misc]
    """dbt's compiler, with our contexts, writing nothing."""

    def __init__(self, config: Any, manifest: Any) -> None:
        super().__init__(config)
        self.notes = Notes()
        self.incremental = False
        self._manifest, self._graph = manifest, None

    def graph(self) -> Any:
        """`graph`, copied when first read: Jinja can change it."""
        if self._graph is None:
            self._graph = copy.deepcopy(self._manifest.flat_graph)
        return self._graph

    def _create_node_context(self, node: Any, manifest: Any, extra_context: Mapping[str, Any]) -> Any:
        context = NodeContext(node, self.config, manifest, self).to_dict()
        context.update(extra_context)
        if isinstance(node, GenericTestNode):
            self._add_arguments(context, node)
        return context

    def _add_arguments(self, context: Watched, node: Any) -> None:
        # dbt's native environment copies the context name by name: a copy is read, so that nothing is noted.
        plain = dict(dict.items(context))
        add_rendered_test_kwargs(plain, node)
        context[GENERIC_TEST_KWARGS_NAME] = plain[GENERIC_TEST_KWARGS_NAME]
        for name in ("invocation_id", "run_started_at"):
            if name in str(node.test_metadata.kwargs):
                self.notes.note_volatile(name)

    def _write_node(self, node: Any, split_suffix: str | None = None) -> Any:
        return node


@dataclass(slots=True)
class _Attempt:
    """One compilation of one branch."""

    text: str | None
    reason: str | None
    notes: Notes


class _Task:
    """Compiles the wanted nodes, one after the other, ephemeral parents first."""

    def __init__(self, config: Any, manifest: Any, wanted: Collection[str]) -> None:
        self._config, self._manifest, self._wanted = config, manifest, wanted
        self._compiler = _Compiler(config, manifest)
        self._pristine = {**manifest.nodes, **getattr(manifest, "functions", {})}
        self._ephemeral: dict[str, _Attempt] = {}

    def run(self) -> dict[str, Compilation]:
        with _no_connections(self._config, self._compiler):
            nodes = [self._pristine[unique_id] for unique_id in self._wanted if unique_id in self._pristine]
            return {node.unique_id: self._compile(node) for node in nodes if node.resource_type in _KINDS}

    def _compile(self, node: Any) -> Compilation:
        if getattr(node, "is_ephemeral_model", False):
            full = self._ephemeral_model(node.unique_id)
        else:
            full = self._attempt(node, incremental=False)
        notes, incremental = full.notes, None
        if notes.branches and node.config.get("materialized") == "incremental":
            incremental = self._attempt(node, incremental=True)
            notes.include(incremental.notes)
        differs = incremental is not None and incremental.text != full.text
        return Compilation(
            CompiledNode(
                full=full.text,
                incremental=incremental.text if incremental is not None and differs else None,
                reason=full.reason,
                incremental_reason=incremental.reason if incremental is not None else None,
                volatile=tuple(notes.volatile),
                language=str(getattr(node, "language", "sql")),
            ),
            _inputs(notes, everything=_is_broken(full) or (incremental is not None and _is_broken(incremental))),
        )

    def _attempt(self, node: Any, *, incremental: bool) -> _Attempt:
        parents = {parent: self._ephemeral_model(parent) for parent in self._ephemeral_parents(node)}
        notes = self._compiler.notes = Notes()
        self._compiler.incremental = incremental
        own = copy.deepcopy(node)
        section = self._manifest.nodes if node.unique_id in self._manifest.nodes else self._manifest.functions
        section[node.unique_id] = own
        text, reason = None, None
        try:
            text = self._compiler.compile_node(own, self._manifest, {}, write=False).compiled_code
        except WarehouseAskedError:
            pass
        except Exception as exc:  # noqa: BLE001  user code and adapters raise anything; one node must not stop the others
            reason = _said(exc, node, self._manifest.macros.get(notes.failed_in))
        if notes.asked is not None:
            text, reason = None, notes.asked
        if text is None:
            # Left half-compiled, an ephemeral model would count as done for the next that reads it.
            section[node.unique_id] = copy.deepcopy(node)
        for unique_id, parent in parents.items():
            notes.include(parent.notes)
            if text is None and parent.reason is not None:
                reason = self._inherited(unique_id, parent.reason)
        self._note_random(node, notes)
        return _Attempt(text, reason, notes)

    def _ephemeral_model(self, unique_id: str) -> _Attempt:
        if unique_id not in self._ephemeral:
            self._ephemeral[unique_id] = self._attempt(self._pristine[unique_id], incremental=False)
        return self._ephemeral[unique_id]

    def _inherited(self, parent: str, reason: str) -> str:
        known = reason.startswith(_EPHEMERAL)
        return reason if known else f"{_EPHEMERAL} '{self._pristine[parent].name}' cannot be compiled: {reason}"

    def _ephemeral_parents(self, node: Any) -> Iterator[str]:
        for parent in node.depends_on_nodes:
            if getattr(self._pristine.get(parent), "is_ephemeral_model", False):
                yield parent

    def _note_random(self, node: Any, notes: Notes) -> None:
        texts = [node.raw_code or ""]
        for macro in notes.macros:
            texts += [found.macro_sql for found in self._manifest.get_macros_by_name().get(macro, ())]
        if any(_RANDOM.search(text) for text in texts if "random" in text or "lipsum" in text):
            notes.note_volatile("random")


def _is_broken(attempt: _Attempt) -> bool:
    return attempt.text is None and attempt.notes.asked is None


def _inputs(notes: Notes, *, everything: bool) -> CompileInputs:
    return CompileInputs(
        env_vars=frozenset(notes.env_vars),
        variables=frozenset(notes.variables),
        macros=frozenset(notes.macros),
        everything=everything or notes.graph,
    )


def _said(exc: Exception, node: Any, macro: Any) -> str:
    """The message with the node's file, and the macro's where it comes from one."""
    message = one_line(str(getattr(exc, "msg", None) or exc))
    where = f" (in the macro {macro.name}, {macro.original_file_path})" if macro is not None else ""
    return f"{node.original_file_path}: {message}{where}"


def inject_ctes(sql: str, ctes: Sequence[Any]) -> Any:
    """`sql` with the CTEs of its ephemeral parents, as dbt's `inject_ctes_into_sql` writes it.

    dbt groups the whole statement with sqlparse to find where (30 ms for 145 lines); for nearly all SQL that is
    plain to see. All else is left to dbt.
    """
    simple = bool(ctes) and ";" not in sql and "\r" not in sql
    begin = found.end() if (found := _BEFORE.match(sql)) else 0
    injected = ", ".join(cte.sql for cte in ctes)
    if simple and (leading := _LEADING_WITH.match(sql, begin)):
        return f"{sql[: leading.end()]}{injected}, {sql[leading.end() :]}"
    if simple and begin < len(sql) and not _ANY_WITH.search(sql):
        at = len(sql) - len(sql.lstrip())
        return f"{sql[:at]}with{injected} {sql[at:]}"
    return inject_ctes_into_sql(sql, ctes)


@contextmanager
def _no_connections(config: Any, compiler: _Compiler) -> Iterator[None]:
    """Below all adapters: whoever wants a connection gets none. The adapter is thrown away after the invocation."""
    from dbt.adapters.factory import get_adapter

    def refuse(*_: Any, **__: Any) -> NoReturn:
        compiler.notes.refuse(compiler.notes.calling or "it opens a connection")

    connections = get_adapter(config).connections
    for name in ("get_thread_connection", "set_connection_name", "open"):
        setattr(connections, name, refuse)
    yield


@contextmanager
def instead_of_compiling(nodes: Collection[str]) -> Iterator[dict[str, Compilation]]:
    """While this is open, `dbt compile` compiles `nodes` into the mapping that is given, and nothing else.

    dbt sets up flags, profile, project and adapter for the task; should a version look for its task elsewhere, the
    worst is a `dbt compile` that may not ask the warehouse.
    """
    compiled: dict[str, Compilation] = {}

    class Task:
        def __init__(self, flags: Any, config: Any, manifest: Any) -> None:
            self._task = _Task(config, manifest, nodes)

        def run(self) -> None:
            compiled.update(self._task.run())

        def interpret_results(self, results: Any) -> bool:
            return True

    real = dbt.task.compile.CompileTask
    dbt.task.compile.CompileTask, dbt.compilation.inject_ctes_into_sql = Task, inject_ctes
    try:
        yield compiled
    finally:
        dbt.task.compile.CompileTask, dbt.compilation.inject_ctes_into_sql = real, inject_ctes_into_sql


def shallow_copy(manifest: Any) -> Any:
    """A Manifest to compile with: nodes are copied when their turn comes, the rest is shared and never written.

    A deep copy costs 0.6 CPU-s at 1,000 models, more than compiling a few of them.
    """
    own = Manifest.__new__(Manifest)
    vars(own).update(vars(manifest))
    own.nodes = dict(manifest.nodes)
    own.functions = dict(getattr(manifest, "functions", {}))
    own.macros = dict(manifest.macros)
    if IS_INCREMENTAL in own.macros:
        own.macros[IS_INCREMENTAL] = replace(own.macros[IS_INCREMENTAL], macro_sql=_TOLD)
    own.files, own.env_vars = {}, {}  # dbt notes there which variables were read, for its next parse
    own._macros_by_name = own._macros_by_package = None
    for name in vars(own):
        if name.endswith("_lookup"):
            setattr(own, name, None)
    return own


__all__ = ["inject_ctes", "instead_of_compiling", "shallow_copy"]
