"""What a node's Jinja sees while it is compiled offline: dbt's own context, watched.

Importing this imports dbt. Three things are replaced (dbt 1.10, 1.11: `dbt/context/providers.py`), everything else is
dbt's:

- what would reach the warehouse raises, at `adapter.…` where the question can be named; `offline.py` bars the
  connections below;
- `is_incremental()` answers what it is told, by a macro put in its place;
- what differs from run to run or comes from the environment is noted when it is read, at any depth of macros. Jinja
  looks up all names of a template before it renders: one that is merely mentioned counts as read.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from dbt.clients.jinja import MacroStack, get_rendered
from dbt.context.base import contextmember, contextproperty
from dbt.context.providers import ModelContext, RuntimeDatabaseWrapper, RuntimeProvider, RuntimeVar
from dbt.materializations.incremental.microbatch import MicrobatchBuilder

from orchestrator.dbt_engine.messages import one_line

BRANCH = "orchestrator_is_incremental"
_VOLATILE: Mapping[str, str] = {
    "dbt_metadata_envs": "dbt_metadata_envs",
    "invocation_id": "invocation_id",
    "run_started_at": "run_started_at",
    "selected_resources": "selected_resources",
    "set": "set()",  # strings in it are in another order in each process
    "set_strict": "set_strict()",
    "thread_id": "thread_id",
}
"""{name in a context: how it is called where it is reported}"""
_VOLATILE_FLAGS = frozenset(
    (
        "DEFER",
        "EMPTY",
        "EVENT_TIME_END",
        "EVENT_TIME_START",
        "EXCLUDE",
        "FAIL_FAST",
        "FAVOR_STATE",
        "FULL_REFRESH",
        "INVOCATION_COMMAND",
        "SAMPLE",
        "SELECT",
        "STATE",
        "THREADS",
    )
)
_BUILDS_FLAGS: Mapping[str, Any] = {"WHICH": "build", "INTROSPECT": True, "POPULATE_CACHE": True}
"""Flags that a build has otherwise than `dbt compile`; those that only it has are false or none."""
_ANSWERS_OFFLINE = frozenset(("get_incremental_strategy_macro", "get_hard_deletes_behavior"))
"""Replaced while parsing, and yet no question to the warehouse."""
_EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)


class WarehouseAskedError(BaseException):
    """The node asked the warehouse. No Exception: neither Jinja nor an adapter may swallow it."""


@dataclass(slots=True)
class Notes:
    """What one node's Jinja did."""

    stack: list[str] = field(default_factory=list)
    """unique_ids of the macros that are running, the outermost first."""
    calling: str | None = None
    """The method of `adapter` that is running."""
    asked: str | None = None
    failed_in: str | None = None
    """unique_id of the innermost macro that an error came out of."""
    branches: bool = False
    """It called `is_incremental()`."""
    graph: bool = False
    volatile: dict[str, None] = field(default_factory=dict)
    env_vars: set[str] = field(default_factory=set)
    variables: set[str] = field(default_factory=set)
    macros: set[str] = field(default_factory=set)
    paused: bool = False

    def note_volatile(self, name: str) -> None:
        if not self.paused:
            self.volatile[name] = None

    def refuse(self, question: str) -> NoReturn:
        """Note the first question, with the macro that the user's code called, and stop the node."""
        if self.asked is None:
            _, _, outermost = self.stack[0].partition(".") if self.stack else ("", "", "")
            own = f"it asks the warehouse with {outermost.removeprefix('dbt.')}"
            asker = own if outermost.startswith("dbt.") else f"the macro {outermost} asks the warehouse"
            self.asked = f"{asker if outermost else 'it asks the warehouse'}: {question}"
        raise WarehouseAskedError(self.asked)

    def include(self, other: Notes) -> None:
        """Add what an ephemeral parent, compiled for its own sake, has read."""
        self.volatile |= other.volatile
        self.graph |= other.graph
        self.env_vars |= other.env_vars
        self.variables |= other.variables
        self.macros |= other.macros


class _Stack(MacroStack):  # type: ignore[misc]
    """dbt's stack of running macros, heard by the notes."""

    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self.notes = notes
        self.call_stack = notes.stack

    def push(self, name: str) -> None:
        super().push(name)
        self.notes.macros.add(name.rpartition(".")[2])

    def pop(self, name: str) -> None:
        super().pop(name)
        if self.notes.failed_in is None and sys.exc_info()[0] is not None:
            self.notes.failed_in = name


class Watched(dict):  # type: ignore[type-arg]
    """A mapping whose reader is noted where the value differs from run to run."""

    def __init__(self, values: Mapping[str, Any], notes: Notes, graph: Callable[[], Any], prefix: str = "") -> None:
        super().__init__(values)
        self.notes, self.graph, self.prefix = notes, graph, prefix

    def __getitem__(self, name: str) -> Any:
        if name in _VOLATILE and not self.prefix:
            self.notes.note_volatile(_VOLATILE[name])
        elif name == "batch" and self.prefix:
            self.notes.note_volatile("model.batch")
        elif name == "graph" and not self.prefix:
            self.notes.graph = True
            return self.graph()
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        # dict.get would pass __getitem__ by.
        return self[name] if name in self else default  # noqa: SIM401


class _Flags:
    """The flags of a build."""

    def __init__(self, flags: Any, notes: Notes) -> None:
        self._flags, self._notes = flags, notes

    def __getattr__(self, name: str) -> Any:
        if name.upper() in _VOLATILE_FLAGS:
            self._notes.note_volatile(f"flags.{name}")
        if name.upper() in _BUILDS_FLAGS:
            return _BUILDS_FLAGS[name.upper()]
        return getattr(self._flags, name)


class _Var(RuntimeVar):  # type: ignore[misc]
    def __call__(self, var_name: str, *args: Any, **kwargs: Any) -> Any:
        self._context.notes.variables.add(var_name)
        return super().__call__(var_name, *args, **kwargs)

    def has_var(self, var_name: str) -> bool:
        self._context.notes.variables.add(var_name)
        return bool(super().has_var(var_name))

    def get_rendered_var(self, var_name: str) -> Any:
        raw = self._merged[var_name]
        return get_rendered(raw, self._context) if isinstance(raw, str) else raw


class _Adapter(RuntimeDatabaseWrapper):  # type: ignore[misc]
    """`adapter` in Jinja: questions to the warehouse are refused, by name."""

    def __init__(self, adapter: Any, namespace: Any, notes: Notes) -> None:
        super().__init__(adapter, namespace)
        self._notes = notes

    def __getattr__(self, name: str) -> Any:
        if name in self._adapter._parse_replacements_ and name not in _ANSWERS_OFFLINE:
            return lambda *args, **kwargs: self._notes.refuse(_question(name, args, kwargs))
        found = super().__getattr__(name)
        return self._named(name, found) if callable(found) and not isinstance(found, type) else found

    def _named(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._notes.calling = _question(name, args, kwargs)
            result = method(*args, **kwargs)
            self._notes.calling = None
            return result

        return call


def _question(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    said = [*map(str, args), *(f"{key}={value}" for key, value in kwargs.items() if value is not None)]
    if name in ("execute", "add_query", "get_column_schema_from_query") and (args or "sql" in kwargs):
        return one_line(str(args[0] if args else kwargs["sql"]), chars=120)
    return one_line(f"adapter.{name}({', '.join(said)})", chars=160)


class Asking(Protocol):
    """The compiler that makes the context."""

    notes: Notes
    incremental: bool

    def graph(self) -> Any:
        """`graph` in Jinja."""


class NodeContext(ModelContext):  # type: ignore[misc]
    """What a node's Jinja sees."""

    def __init__(self, node: Any, config: Any, manifest: Any, compiler: Asking) -> None:
        self._compiler, self._notes = compiler, compiler.notes
        super().__init__(node, config, manifest, RuntimeProvider(), None)
        self.db_wrapper = _Adapter(self.adapter, self.namespace, self._notes)

    def _build_namespace(self) -> Any:
        # Here, because what is built below keeps hold of both.
        self._ctx = self._watched({})
        self.macro_stack = _Stack(self._notes)
        return super()._build_namespace()

    def _watched(self, values: Mapping[str, Any], prefix: str = "") -> Watched:
        return Watched(values, self._notes, self._compiler.graph, prefix)

    def to_dict(self) -> Any:
        context = super().to_dict()
        context["builtins"] = self._watched(dict.__getitem__(context, "builtins"))
        context[BRANCH] = self._is_incremental
        if _uses_batches(self.model, self.manifest, self.config):
            batch = _stand_in_batch(self.model.config)
            context["model"] = self._watched({**dict.__getitem__(context, "model"), "batch": batch}, "model.")
        return context

    def _is_incremental(self, should_full_refresh: Callable[[], Any]) -> bool:
        self._notes.branches = True
        if self.model.config.get("materialized") != "incremental" or not self._compiler.incremental:
            return False
        self._notes.paused = True  # whoever asks for the incremental branch does not ask for a full refresh
        try:
            return not should_full_refresh()
        finally:
            self._notes.paused = False

    @contextmember()  # type: ignore[untyped-decorator]
    def env_var(self, var: str, default: str | None = None) -> Any:
        self._notes.env_vars.add(var)
        return super().env_var(var, default)

    @contextproperty()  # type: ignore[untyped-decorator]
    def var(self) -> Any:
        return _Var(context=self._ctx, config=self.config, node=self.model)

    @contextproperty()  # type: ignore[untyped-decorator]
    def flags(self) -> Any:
        return _Flags(ModelContext._context_members_["flags"].fget(self), self._notes)

    @contextproperty()  # type: ignore[untyped-decorator]
    def invocation_args_dict(self) -> Any:
        return _Arguments(ModelContext._context_members_["invocation_args_dict"].fget(self), self._notes)

    @contextproperty()  # type: ignore[untyped-decorator]
    def modules(self) -> Any:
        modules = ModelContext._context_members_["modules"].fget(self)
        return {**modules, "datetime": {**modules["datetime"], **_clocks(self._notes)}}


class _Arguments(dict):  # type: ignore[type-arg]
    """The arguments of the invocation: of a build they are others."""

    def __init__(self, arguments: Mapping[str, Any], notes: Notes) -> None:
        super().__init__({**arguments, "which": "build"})
        self._notes = notes

    def __getitem__(self, name: str) -> Any:
        if name != "which":
            self._notes.note_volatile("invocation_args_dict")
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        # dict.get would pass __getitem__ by.
        return self[name] if name in self else default  # noqa: SIM401


def _clocks(notes: Notes) -> dict[str, Any]:
    """`datetime` and `date` whose clock is noted when it is read."""

    def reading(kind: type, name: str) -> Any:
        def read(_: type, *args: Any, **kwargs: Any) -> Any:
            notes.note_volatile(f"modules.datetime.{kind.__name__}.{name}()")
            return getattr(kind, name)(*args, **kwargs)

        return classmethod(read)

    return {
        kind.__name__: type(f"datetime.{kind.__name__}", (kind,), {name: reading(kind, name) for name in names})
        for kind, names in ((datetime.datetime, ("now", "utcnow", "today")), (datetime.date, ("today",)))
    }


def _uses_batches(node: Any, manifest: Any, config: Any) -> bool:
    strategy = getattr(node.config, "incremental_strategy", None)
    return strategy == "microbatch" and bool(manifest.use_microbatch_batches(project_name=config.project_name))


def _stand_in_batch(config: Any) -> dict[str, Any]:
    """`model.batch` of a first batch: which one it is differs from batch to batch, and is noted when it is read."""
    size = config.get("batch_size") or "day"
    begin = config.get("begin")
    start = MicrobatchBuilder.truncate_timestamp(begin if isinstance(begin, datetime.datetime) else _EPOCH, size)
    end = MicrobatchBuilder.offset_timestamp(start, size, 1)
    return {"id": MicrobatchBuilder.batch_id(start, size), "event_time_start": start, "event_time_end": end}


__all__ = ["BRANCH", "NodeContext", "Notes", "WarehouseAskedError", "Watched"]
