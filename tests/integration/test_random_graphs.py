"""200 random graphs, each run on its own and then again with `--stale`: order, blocked set, exit code, states.

What should come of a run is worked out a second time here, by recursion over the drawing of the graph. To be quick,
the graphs lie side by side in few workspaces (disjoint, ten a workspace) and are selected one at a time.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from orchestrator.definitions.events import CheckFinished, Event, StepFinished, StepStarted
from orchestrator.definitions.keys import AssetKey
from orchestrator.execution.executor import run_plan
from orchestrator.execution.results import RunOptions, RunResult
from orchestrator.plan.run_plan import RunPlan, build_run_plan
from orchestrator.workspace import Workspace
from tests.integration.workspaces import Scene, scene

pytestmark = pytest.mark.slow

PYTHON_BATCHES, DBT_BATCHES, BATCH = 19, 1, 10
WELL = ("succeeded", "warned")
COMMON = """
    trouble = {}
    pauses = {}

    def visit(name):
        time.sleep(pauses.get(name, 0))
        if trouble.get(name) == "raise":
            raise ValueError(f"{name} broke")
        return name not in trouble
"""


@dataclass(frozen=True)
class Check:
    """A check as it is drawn: shown on the first of what it reads."""

    reads: tuple[str, ...]
    severity: str
    blocking: bool
    engine: str


@dataclass
class Drawing:
    """A random graph, in names: `c3_s1` is written by Python or dbt, actions are leaves."""

    number: int
    parents: dict[str, list[str]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    """{step: python, dbt or action}"""
    checks: dict[str, Check] = field(default_factory=dict)

    def key(self, name: str) -> str:
        return {"python": f"lake.{name}", "dbt": f"shop.{name}", "action": f"action.{name}"}[self.kinds[name]]

    def label(self, name: str) -> str:
        """What a reason calls a step or check."""
        check = self.checks.get(name)
        return f"check {name} on {self.key(check.reads[0])}" if check else self.key(name)

    def is_below(self, name: str, other: str) -> bool:
        return any(parent == other or self.is_below(parent, other) for parent in self.parents[name])

    def guards(self, name: str) -> Iterator[str]:
        """The checks that a step has to wait for: it lies below everything they read."""
        for check, drawn in self.checks.items():
            if drawn.blocking and all(self.is_below(name, read) for read in drawn.reads):
                yield check


def draw(number: int, luck: random.Random, *, dbt: bool) -> Drawing:
    drawing = Drawing(number)
    steps: list[str] = []
    for n in range(luck.randint(3, 8)):
        name = f"c{number}_s{n}"
        drawing.parents[name] = luck.sample(steps, min(len(steps), luck.choice([0, 1, 1, 2, 3])))
        drawing.kinds[name] = luck.choice(["python", "dbt"]) if dbt else "python"
        steps.append(name)
    for n in range(luck.choice([0, 0, 1])):
        name = f"c{number}_a{n}"
        drawing.parents[name], drawing.kinds[name] = luck.sample(steps, luck.randint(1, 2)), "action"
    for n in range(luck.randint(0, 5)):
        reads = tuple(luck.sample(steps, luck.choice([1, 1, 1, 2])))
        engine = "dbt" if dbt and luck.random() < 0.6 else "python"
        severity = luck.choice(["error", "error", "warn"])
        blocking = severity == "error" and (engine == "dbt" or luck.random() < 0.8)
        drawing.checks[f"c{number}_k{n}"] = Check(reads, severity, blocking, engine)
    return drawing


# -- the drawing as code


def python_text(drawings: list[Drawing]) -> str:
    return COMMON + "".join(part for drawing in drawings for part in python_parts(drawing))


def python_parts(drawing: Drawing) -> Iterator[str]:
    def refer(names: list[str] | tuple[str, ...]) -> str:
        return ", ".join(f"dbt.{name}" if drawing.kinds[name] == "dbt" else name for name in names)

    for name, parents in drawing.parents.items():
        kind = drawing.kinds[name]
        if kind == "python":
            first = f"{refer(parents[:1])}.read(context)" if parents else "None"
            yield f"""
    @asset(warehouse.table("lake.{name}"), after=[{refer(parents)}])
    def {name}(context: Context):
        {first}
        visit("{name}")
        return [{{"n": 1}}]
"""
        elif kind == "action":
            yield f"""
    @action(after=[{refer(parents)}])
    def {name}():
        visit("{name}")
"""
    for name, check in drawing.checks.items():
        if check.engine == "python":
            yield f"""
    @check({refer(check.reads[:1])}, severity="{check.severity}", blocking={check.blocking})
    def {name}():
        assert [{refer(check.reads[1:])}] is not None
        return visit("{name}")
"""


def dbt_files(drawings: list[Drawing]) -> dict[str, str]:
    """Models and tests that fail when a table, which dbt does not know, names them."""
    files: dict[str, str] = {}
    tables = [{"name": n} for d in drawings for n, kind in d.kinds.items() if kind == "python"]
    files["models/sources.yml"] = f"sources: [{{name: lake, tables: {tables}}}]"
    for drawing in drawings:
        kinds = drawing.kinds

        def call(name: str, kinds: dict[str, str] = kinds) -> str:
            return f"{{{{ ref('{name}') }}}}" if kinds[name] == "dbt" else f"{{{{ source('lake', '{name}') }}}}"

        for name, parents in drawing.parents.items():
            if kinds[name] == "dbt":
                counts = " + ".join(["0", *(f"(select count(*) from {call(parent)})" for parent in parents)])
                broken = f"case when count(*) > 0 then error('{name} broke') end as broken"
                files[f"models/{name}.sql"] = (
                    f"{{{{ config(materialized='table') }}}}\n"
                    f"select {counts} as n, {broken} from trouble.names where name = '{name}'"
                )
        for name, check in drawing.checks.items():
            if check.engine == "dbt":
                reads = "\n".join(f"-- depends_on: {call(read)}" for read in check.reads)
                config = f"{{{{ config(severity='{check.severity}') }}}}"
                files[f"tests/{name}.sql"] = f"{config}\n{reads}\nselect 1 from trouble.names where name = '{name}'"
    return files


# -- what should happen


@dataclass
class History:
    """What has happened to a drawing so far, and what that makes of its states."""

    drawing: Drawing
    last: dict[str, str] = field(default_factory=dict)
    """{step: how its newest attempt ended}"""
    versions: dict[str, int] = field(default_factory=dict)
    inputs: dict[str, dict[str, int | None]] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    """{check: its newest result}"""

    def state(self, name: str) -> str:
        state = self.of_writer(name)
        shown = [check for check, drawn in self.drawing.checks.items() if drawn.reads[0] == name]
        failed = any(self.results.get(c) == "failed" and self.drawing.checks[c].severity == "error" for c in shown)
        return "failed" if failed and state in ("fresh", "stale") else state

    def of_writer(self, name: str) -> str:
        if self.last.get(name) in (None, "failed"):
            return "failed" if name in self.last else "missing"
        if self.last[name] == "cancelled":
            return "stale" if name in self.versions else "missing"
        seen = {parent: self.versions.get(parent) for parent in self.drawing.parents[name]}
        return "fresh" if self.drawing.kinds[name] == "action" or self.inputs[name] == seen else "stale"

    def to_build(self, name: str) -> bool:
        return self.state(name) != "fresh" or any(map(self.to_build, self.drawing.parents[name]))

    def to_check(self, name: str) -> bool:
        check = self.drawing.checks[name]
        if any(self.to_build(read) for read in check.reads):
            return True
        unseen = self.results.get(name) in (None, "blocked", "cancelled")
        return unseen and all(self.last.get(read) == "succeeded" for read in check.reads)

    def add(self, number: int, story: Story) -> None:
        for name in self.drawing.parents:  # parents come first
            if name in story.started:
                self.last[name] = story.steps[name]
            if name in story.started and story.steps[name] == "succeeded":
                self.inputs[name] = {parent: self.versions.get(parent) for parent in self.drawing.parents[name]}
                self.versions[name] = number
        for check, result in story.checks.items():
            rows_are_the_same = self.drawing.checks[check].reads[0] not in story.started
            if not (result in ("blocked", "cancelled") and self.results.get(check) == "failed" and rows_are_the_same):
                self.results[check] = result


@dataclass
class Oracle:
    """How each step and check of a run must end, if nobody stops the run."""

    drawing: Drawing
    building: set[str]
    checking: set[str]
    trouble: dict[str, str]

    def __post_init__(self) -> None:
        self.status = cache(self.status)  # type: ignore[method-assign]

    def status(self, name: str) -> str:
        """Of a step or a check."""
        check = self.drawing.checks.get(name)
        if check is None and name not in self.building:
            return "up_to_date"
        if self.causes(name):
            return "blocked"
        if name not in self.trouble:
            return "succeeded"
        warns = check is not None and check.severity == "warn" and self.trouble[name] != "raise"
        return "warned" if warns else "failed"

    def causes(self, name: str) -> set[str]:
        """What failed above a step or a check."""
        check = self.drawing.checks.get(name)
        before = check.reads if check else (*self.drawing.parents[name], *self.guarding(name))
        found: set[str] = set()
        for other in before:
            found |= {self.drawing.label(other)} if self.status(other) == "failed" else set()
            found |= self.causes(other) if self.status(other) == "blocked" else set()
        return found

    def guarding(self, name: str) -> set[str]:
        return self.checking & set(self.drawing.guards(name))


# -- what did happen


@dataclass
class Story:
    """A run's events in the drawing's names."""

    drawing: Drawing
    events: list[Event]
    result: RunResult
    steps: dict[str, str] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    started: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = {self.drawing.key(name): name for name in self.drawing.parents}
        for n, event in enumerate(self.events):
            match event:
                case StepStarted():
                    self.note(self.started, names[event.key], n)
                case StepFinished():
                    self.note(self.ended, names[event.key], n)
                    self.steps[names[event.key]] = event.status
                    self.reasons[names[event.key]] = event.reason
                    assert (event.attempt_id is not None) == (names[event.key] in self.started)
                case CheckFinished():
                    self.note(self.ended, event.name, n)
                    self.checks[event.name] = event.status
                    self.reasons[event.name] = event.reason

    def note(self, where: dict[str, int], name: str, n: int) -> None:
        assert name not in where, f"{name} is told twice"
        where[name] = n


def judge(story: Story, oracle: Oracle, *, stoppable: bool) -> None:
    """Everything that must hold of one run. `stoppable`: --fail-fast may have cancelled what is not yet done."""
    drawing = story.drawing
    assert set(story.steps) == set(drawing.parents)
    assert set(story.checks) == oracle.checking
    found = {**story.steps, **story.checks}
    expected = {name: oracle.status(name) for name in found}
    differing = {name: (found[name], expected[name]) for name in found if found[name] != expected[name]}
    if stoppable and "failed" in expected.values():
        differing = {name: pair for name, pair in differing.items() if pair[0] != "cancelled"}
    assert not differing, differing
    for name in found:
        if found[name] == "blocked":
            assert story.reasons[name].removesuffix(" failed") in oracle.causes(name), (name, story.reasons[name])
    for name in story.steps:
        judge_order(name, story, oracle)
    for name in story.checks:
        if found[name] in (*WELL, "failed"):
            assert all(story.ended[read] < story.ended[name] for read in drawing.checks[name].reads)
    failed = "failed" in expected.values()
    assert (story.result.status, story.result.exit_code) == (("failed", 1) if failed else ("succeeded", 0))


def judge_order(name: str, story: Story, oracle: Oracle) -> None:
    if name not in story.started:
        assert story.steps[name] in ("blocked", "up_to_date", "cancelled")
        return
    assert story.steps[name] in (*WELL, "failed", "cancelled")
    found = {**story.steps, **story.checks}
    for before in {*story.drawing.parents[name], *oracle.guarding(name)}:
        assert found[before] in (*WELL, "up_to_date"), f"{name} began although {before} is {found[before]}"
        assert story.ended[before] < story.started[name], f"{name} began before {before} had ended"


# -- the runs


@dataclass
class Batch:
    """Some drawings in one workspace, loaded once."""

    scene: Scene
    workspace: Workspace
    dbt: bool

    def run(self, history: History, luck: random.Random, *, stale: bool) -> None:
        drawing = history.drawing
        trouble = self.make_trouble(drawing, luck)
        states = self.workspace.states()
        own = [AssetKey.parse(drawing.key(name)) for name in drawing.parents]
        plan = build_run_plan(
            self.workspace.graph, own, states=states, environment=self.workspace.environment, stale=stale
        )
        building = {name for name in drawing.parents if not stale or history.to_build(name)}
        checking = {name for name in drawing.checks if not stale or history.to_check(name)}
        oracle = Oracle(drawing, building, checking, trouble)
        fail_fast = luck.random() < 0.2
        story = self.execute(drawing, plan, RunOptions(threads=luck.randint(1, 4), fail_fast=fail_fast))
        judge(story, oracle, stoppable=fail_fast)
        history.add(len(self.workspace.records.runs(limit=1000)), story)
        states = self.workspace.states()
        found = {name: states[AssetKey.parse(drawing.key(name))].state for name in drawing.parents}
        assert found == {name: history.state(name) for name in drawing.parents}

    def execute(self, drawing: Drawing, plan: RunPlan, options: RunOptions) -> Story:
        events: list[Event] = []
        result = run_plan(self.workspace, plan, options=options, listeners=[events.append])
        return Story(drawing, events, result)

    def make_trouble(self, drawing: Drawing, luck: random.Random) -> dict[str, str]:
        """{what will go wrong: how}, less often than not."""
        share = luck.choice([0, 0.1, 0.2, 0.4])
        trouble = {name: "raise" for name in drawing.parents if luck.random() < share}
        for name, check in drawing.checks.items():
            if luck.random() < share:
                trouble[name] = "raise" if check.engine == "python" and luck.random() < 0.2 else "no"
        module = sys.modules[self.scene.module.stem]
        module.trouble.clear()  # type: ignore[attr-defined]
        module.trouble.update(trouble)  # type: ignore[attr-defined]
        names = [*drawing.parents, *drawing.checks]
        module.pauses.update({name: luck.uniform(0, 0.003) for name in names})  # type: ignore[attr-defined]
        if self.dbt:
            self.tell_dbt(trouble)
        return trouble

    def tell_dbt(self, trouble: dict[str, str]) -> None:
        import duckdb  # the file is free between runs

        with duckdb.connect(str(self.scene.root / "dbt" / "warehouse.duckdb")) as connection:
            connection.execute("create schema if not exists trouble")
            connection.execute("create or replace table trouble.names (name text)")
            for name in trouble:
                connection.execute("insert into trouble.names values (?)", [name])


@pytest.mark.parametrize("batch", range(PYTHON_BATCHES + DBT_BATCHES))
def test_random_graphs_end_as_they_should(batch: int, tmp_path: Path) -> None:
    dbt = batch >= PYTHON_BATCHES
    numbers = range(batch * BATCH, (batch + 1) * BATCH)
    lucks = {number: random.Random(number) for number in numbers}
    drawings = [draw(number, lucks[number], dbt=dbt) for number in numbers]
    ours = scene(tmp_path, dbt_files(drawings) if dbt else {}, python_text(drawings))
    side_by_side = Batch(ours, ours.load(), dbt)
    for drawing in drawings:
        luck, history = lucks[drawing.number], History(drawing)
        side_by_side.run(history, luck, stale=False)
        for _ in range(luck.choice([0, 1, 1, 2]) if not dbt else 1):
            side_by_side.run(history, luck, stale=True)
