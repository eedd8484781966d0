"""The units of one run and what each waits for, made from a plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from orchestrator.definitions.assets import Retry
from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.partitions import UNPARTITIONED, PartitionSet
from orchestrator.execution.windows import Window, units
from orchestrator.graph.model import Asset, AssetGraph, Check, Writer
from orchestrator.plan.run_plan import RunPlan

OpKind = Literal["asset", "action", "check"]


@dataclass(frozen=True, slots=True)
class Op:
    """A writer (or some partitions of it), an action or a check that this run executes."""

    id: str
    """Writer or check id; with the partitions where the writer has some."""
    kind: OpKind
    engine: Literal["dbt", "python"]
    key: AssetKey
    needs: frozenset[str]
    """Ops that must have ended well before this one starts. For dbt ops: only those that dbt itself does not order."""
    check: Check | None = None
    retry: Retry = field(default_factory=Retry)
    of_writer: str | None = None
    """The writer, where the id is not its own."""
    partitions: PartitionSet | None = None
    after: frozenset[str] = frozenset()
    """Ops that must have ended, one of them well: a check looks at what partitions there are."""
    window: Window | None = None
    """What dbt must be told to write these partitions, and no others."""

    @property
    def writer(self) -> str:
        """The writer's id; of a check its own."""
        return self.of_writer or self.id

    @property
    def partition_keys(self) -> tuple[str | None, ...]:
        """The partitions that it writes, each with outcomes of its own; None stands for a whole asset."""
        return (None,) if self.partitions is None else tuple(self.partitions)

    @property
    def title(self) -> str:
        """What people call it."""
        return self.title_of(self.partitions)

    def title_of(self, partitions: PartitionSet | None) -> str:
        """What people call it, or some of its partitions."""
        return f"{self.key}{f' [{partitions.text(at_most=2)}]' if partitions is not None else ''}"


Native = Callable[[str], frozenset[str]]
"""unique_id of a dbt node → the nodes that dbt itself orders before it, in one invocation."""
Together = Mapping[str, Collection[str]]
"""{dbt op: the ops of its invocation}"""


def build_ops(graph: AssetGraph, plan: RunPlan, *, native: Native, together: Together | None = None) -> dict[str, Op]:
    """All ops of the plan by id. Without `together` all dbt ops are taken to be in one invocation."""
    wanted = set(plan.checks)
    checks = [check for check in graph.checks if check.id in wanted]
    builder = _Builder(graph, native, together, plan.full_refresh)
    builder.place(plan)
    ops = {op.id: builder.with_needs(op) for op in builder.placed.values()}
    ops.update({check.id: builder.check(check) for check in checks})
    return builder.guarded(ops, checks)


def ordered_by_dbt(ops: Mapping[str, Op], native: Native) -> Callable[[str], frozenset[str]]:
    """id of a dbt op → the ops that dbt itself orders before it, were they in one invocation."""
    of_writer: dict[str, list[str]] = {}
    for op in ops.values():
        of_writer.setdefault(op.writer, []).append(op.id)
    return lambda id_: frozenset(name for node in native(ops[id_].writer) for name in of_writer.get(node, ()))


@dataclass(slots=True)
class _Builder:
    graph: AssetGraph
    native: Native
    together: Together | None
    full_refresh: bool = False
    placed: dict[str, Op] = field(default_factory=dict)
    """Ops of writers, without needs."""
    of_asset: dict[AssetKey, list[str]] = field(default_factory=dict)
    of_writer: dict[str, list[str]] = field(default_factory=dict)
    of_partition: dict[AssetKey, dict[str, list[str]]] = field(default_factory=dict)

    # Which ops there are, and in which dbt invocation

    def place(self, plan: RunPlan) -> None:
        todo: dict[str, list[str | None]] = {}
        for step in plan.to_build:
            todo.setdefault(step.writer, []).append(step.partition)
        for asset in self.graph.assets.values():
            for writer in (*asset.inserting, *(item for item in asset.writers if item.mode == "update")):
                if writer.id in todo:
                    self._place_writer(asset, writer, todo[writer.id])

    def _place_writer(self, asset: Asset, writer: Writer, keys: Sequence[str | None]) -> None:
        for partitions, window in self._units(writer, keys):
            self._add(asset, writer, partitions, window)

    def _units(self, writer: Writer, keys: Sequence[str | None]) -> Iterable[tuple[PartitionSet | None, Window | None]]:
        if writer.partitions is None or None in keys:
            return [(None, None)]
        todo = writer.partitions.of_keys(key for key in keys if key is not None)
        if writer.engine == "dbt":
            return units(writer, todo, full_refresh=self.full_refresh)
        return ((writer.partitions.only(key), None) for key in todo)

    def _add(self, asset: Asset, writer: Writer, partitions: PartitionSet | None, window: Window | None) -> None:
        name = writer.id if partitions is None else f"{writer.id} [{partitions.text()}]"
        self.placed[name] = Op(
            id=name,
            kind="action" if asset.kind == "action" else "asset",
            engine=writer.engine,
            key=asset.key,
            needs=frozenset(),
            retry=writer.retry,
            of_writer=None if partitions is None else writer.id,
            partitions=partitions,
            window=window,
        )
        self.of_asset.setdefault(asset.key, []).append(name)
        self.of_writer.setdefault(writer.id, []).append(name)
        index = self.of_partition.setdefault(asset.key, {})
        for key in partitions or ():
            index.setdefault(key, []).append(name)

    # What each waits for

    def with_needs(self, op: Op) -> Op:
        asset = self.graph[op.key]
        writer = next(writer for writer in asset.writers if writer.id == op.writer)
        found = self._upstream([(key, self._reads(writer, op.partitions, key)) for key in writer.reads])
        found |= self._first(asset, writer, op)
        return replace(op, needs=frozenset(found - {op.id} - self._ordered_by_dbt(op.writer, op)))

    def _reads(self, writer: Writer, partitions: PartitionSet | None, key: AssetKey) -> PartitionSet | None:
        """The partitions of an asset that some of a writer's read; None: all of it, or it has none."""
        if self.graph[key].partitions is None or (writer.partitions is not None and partitions is None):
            return None
        return self.graph.edge(writer.id, key).upstream(partitions if partitions is not None else UNPARTITIONED.every())

    def _upstream(self, wanted: list[tuple[AssetKey, PartitionSet | None]]) -> set[str]:
        """Ops of the nearest planned assets upstream: what is not planned may be a view and passes data on."""
        needs: set[str] = set()
        seen: set[tuple[AssetKey, PartitionSet | None]] = set()
        while wanted:
            key, partitions = wanted.pop()
            if (key, partitions) in seen:
                continue
            seen.add((key, partitions))
            needs.update(self._ops_of(key, partitions))
            if key not in self.of_asset:
                for writer in self.graph[key].writers:
                    wanted.extend((read, self._reads(writer, partitions, read)) for read in writer.reads)
        return needs

    def _ops_of(self, key: AssetKey, partitions: PartitionSet | None) -> Iterable[str]:
        """The planned ops that write an asset's partitions; all of them where that is not said."""
        if partitions is None or self.graph[key].partitions is None:
            return self.of_asset.get(key, ())
        index = self.of_partition.get(key, {})
        if len(partitions) <= len(index):
            return [name for part in partitions for name in index.get(part, ())]
        return [name for part, names in index.items() if part in partitions for name in names]

    def _first(self, asset: Asset, writer: Writer, op: Op) -> set[str]:
        """Writers of the same table that go first: whoever inserts before an update, dbt before the other slots.

        dbt's first build of an incremental model creates the table.
        """
        if writer.mode == "update":
            inserting = {name for other in asset.inserting for name in self.of_writer.get(other.id, ())}
            return inserting & set(self._ops_of(asset.key, op.partitions))
        if writer.engine == "dbt":
            return set()
        before = (other for other in asset.inserting if other.engine == "dbt" and other.id != writer.id)
        return {name for other in before for name in self.of_writer.get(other.id, ())}

    def _ordered_by_dbt(self, node: str, op: Op) -> frozenset[str]:
        """Ops of the same invocation that dbt itself puts before this one."""
        if op.engine != "dbt":
            return frozenset()
        before = (name for parent in self.native(node) for name in self.of_writer.get(parent, ()))
        within = self.together.get(op.id, ()) if self.together is not None else self.placed
        return frozenset(name for name in before if name in within)

    def check(self, check: Check) -> Op:
        dbt = check.kind != "python"
        op = Op(check.id, "check", "dbt" if dbt else "python", check.key, frozenset(), check=check)
        if check.kind == "unit_test":
            # It runs before its model, in the model's thread, and looks at the model's parents.
            models = self.of_asset.get(check.key, ())
            first = next((self.placed[name] for name in models), None)
            return replace(op, window=first.window if first else None, needs=self._needs_of(first))
        found = self._upstream([(key, None) for key in check.reads if key in self.graph])
        found -= self._ordered_by_dbt(check.id, op)
        after = frozenset(name for name in found if self.placed[name].partitions is not None)
        return replace(op, needs=frozenset(found - after), after=after)

    def _needs_of(self, model: Op | None) -> frozenset[str]:
        return self.with_needs(model).needs if model is not None else frozenset()

    def guarded(self, ops: dict[str, Op], checks: Iterable[Check]) -> dict[str, Op]:
        """The ops with the blocking checks that must pass before them.

        A check blocks what descends from *all* that it reads. dbt orders its own tests before its own nodes; left are
        Python ops, and dbt nodes that read what dbt does not know to be written in this run.
        """
        blocking = [check for check in checks if check.blocking and check.kind != "unit_test"]
        planned = frozenset(self.of_asset)
        guards: dict[str, set[str]] = {}
        for check in blocking if self._mixed(ops) else ():
            for key in self._blocked_first(check, planned):
                for name in self.of_asset[key]:
                    if ops[name].engine == "python" or self._is_foreign(check, ops[check.id], ops[name]):
                        guards.setdefault(name, set()).add(check.id)
        return {name: replace(op, needs=op.needs | guards[name]) if name in guards else op for name, op in ops.items()}

    def _mixed(self, ops: Mapping[str, Op]) -> bool:
        return self.together is not None or any(op.engine == "python" or op.needs for op in ops.values())

    def _blocked_first(self, check: Check, planned: frozenset[AssetKey]) -> frozenset[AssetKey]:
        """The nearest planned descendants of all that the check reads; the rest follows from them."""
        below = [self.graph.descendants([key]) for key in check.reads]
        blocked = frozenset.intersection(*below) & planned if below else frozenset()
        return blocked - self.graph.descendants(blocked)

    def _is_foreign(self, check: Check, its_op: Op, op: Op) -> bool:
        if check.kind == "python" or (self.together is not None and its_op.id not in self.together.get(op.id, ())):
            return True
        tested = {name for key in check.reads for name in self.of_asset.get(key, ())}
        return bool(tested & op.needs)
