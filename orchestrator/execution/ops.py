"""The units of one run and what each waits for, made from a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from orchestrator.definitions.assets import Retry
from orchestrator.definitions.events import PlannedStep
from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.model import AssetGraph, Check, Writer
from orchestrator.plan.run_plan import RunPlan

OpKind = Literal["asset", "action", "check"]


@dataclass(frozen=True, slots=True)
class Op:
    """A writer, an action or a check that this run executes."""

    id: str
    """Writer or check id."""
    kind: OpKind
    engine: Literal["dbt", "python"]
    key: AssetKey
    needs: frozenset[str]
    """Ops that must have ended well before this one starts. For dbt ops: only those that dbt itself does not order."""
    step: PlannedStep | None = None
    check: Check | None = None
    retry: Retry = field(default_factory=Retry)


Native = Callable[[str], frozenset[str]]
"""unique_id of a dbt node → the nodes that dbt itself orders before it."""


def build_ops(graph: AssetGraph, plan: RunPlan, *, native: Native) -> dict[str, Op]:
    """All ops of the plan by id."""
    wanted = set(plan.checks)
    checks = [check for check in graph.checks if check.id in wanted]
    builder = _Builder(graph, _writers_by_key(plan), native)
    ops = {step.writer: builder.step(step) for step in plan.to_build}
    ops.update({check.id: builder.check(check, ops) for check in checks})
    return builder.guarded(ops, checks)


def _writers_by_key(plan: RunPlan) -> dict[AssetKey, tuple[str, ...]]:
    found: dict[AssetKey, list[str]] = {}
    for step in plan.to_build:
        found.setdefault(AssetKey.parse(step.key), []).append(step.writer)
    return {key: tuple(ids) for key, ids in found.items()}


@dataclass(frozen=True, slots=True)
class _Builder:
    graph: AssetGraph
    writers: Mapping[AssetKey, tuple[str, ...]]
    native: Native

    def step(self, step: PlannedStep) -> Op:
        key = AssetKey.parse(step.key)
        writer = next(writer for writer in self.graph[key].writers if writer.id == step.writer)
        needs = self._needs(writer.id, writer.reads, dbt=writer.engine == "dbt") | self._first(key, writer)
        return Op(
            id=writer.id,
            kind="action" if self.graph[key].kind == "action" else "asset",
            engine=writer.engine,
            key=key,
            needs=needs,
            step=step,
            retry=writer.retry,
        )

    def check(self, check: Check, ops: Mapping[str, Op]) -> Op:
        if check.kind == "unit_test":
            # It runs before its model, in the model's thread, and looks at the model's parents.
            model = next((ops[writer] for writer in self.writers.get(check.key, ())), None)
            return Op(check.id, "check", "dbt", check.key, model.needs if model else frozenset(), check=check)
        dbt = check.kind == "dbt_test"
        needs = self._needs(check.id, check.reads, dbt=dbt)
        return Op(check.id, "check", "dbt" if dbt else "python", check.key, needs, check=check)

    def _first(self, key: AssetKey, writer: Writer) -> frozenset[str]:
        """Writers of the same table that go first: whoever inserts before an update, dbt before the other slots.

        dbt's first build of an incremental model creates the table.
        """
        planned = self.writers.get(key, ())
        if writer.mode == "update":
            return frozenset(other.id for other in self.graph[key].inserting if other.id in planned)
        if writer.engine == "dbt":
            return frozenset()
        inserting = (other for other in self.graph[key].inserting if other.engine == "dbt")
        return frozenset(other.id for other in inserting if other.id in planned)

    def _needs(self, op_id: str, reads: Iterable[AssetKey], *, dbt: bool) -> frozenset[str]:
        """Writers of the nearest planned assets upstream: what is not planned may be a view and passes data on."""
        needs: set[str] = set()
        seen: set[AssetKey] = set()
        open_keys = list(reads)
        while open_keys:
            key = open_keys.pop()
            if key in seen:
                continue
            seen.add(key)
            needs.update(self.writers.get(key, ()))
            if key not in self.writers:
                open_keys.extend(self.graph.upstream[key])
        return frozenset(needs - {op_id} - (self.native(op_id) if dbt else frozenset()))

    def guarded(self, ops: dict[str, Op], checks: Iterable[Check]) -> dict[str, Op]:
        """The ops with the blocking checks that must pass before them.

        A check blocks what descends from *all* that it reads. dbt orders its own tests before its own nodes; left are
        Python ops, and dbt nodes that read what dbt does not know to be written in this run.
        """
        blocking = [check for check in checks if check.blocking and check.kind != "unit_test"]
        planned = frozenset(op.key for op in ops.values() if op.kind != "check")
        guards: dict[str, set[str]] = {}
        for check in blocking if self._mixed(ops) else ():
            for key in self._blocked_first(check, planned):
                for writer in self.writers[key]:
                    if ops[writer].engine == "python" or self._is_foreign(check, ops[writer]):
                        guards.setdefault(writer, set()).add(check.id)
        return {name: replace(op, needs=op.needs | guards.get(name, set())) for name, op in ops.items()}

    def _mixed(self, ops: Mapping[str, Op]) -> bool:
        return any(op.engine == "python" or op.needs for op in ops.values())

    def _blocked_first(self, check: Check, planned: frozenset[AssetKey]) -> frozenset[AssetKey]:
        """The nearest planned descendants of all that the check reads; the rest follows from them."""
        below = [self.graph.descendants([key]) for key in check.reads]
        blocked = frozenset.intersection(*below) & planned if below else frozenset()
        return blocked - self.graph.descendants(blocked)

    def _is_foreign(self, check: Check, op: Op) -> bool:
        if check.kind == "python":
            return True
        tested = {writer for key in check.reads for writer in self.writers.get(key, ())}
        return bool(tested & op.needs)
