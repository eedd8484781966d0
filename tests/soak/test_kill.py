"""Runs killed with SIGKILL at random moments: nothing stuck, nothing falsely green, and `run --stale` heals it.

Every row carries the content of the root that it stems from, so that what an asset holds can be compared with what its
recorded inputs say it was made of. `make soak`; `SOAK_KILLS` and `SOAK_SEED` change the number and the moments.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.records.views import RunSummary
from tests.integration.workspaces import Scene, scene

pytestmark = pytest.mark.soak

KILLS = int(os.environ.get("SOAK_KILLS", "50"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
ROWS = 500
LONGEST_S = 2.0
PYTHON = f"""
from pathlib import Path
import pyarrow as pa

def content(side):
    return int(Path(__file__).with_name(side + ".txt").read_text())

def rows_of(context, side):
    value = content(side)
    context.metadata["content"] = value
    return pa.table({{"id": list(range({ROWS})), side: [value] * {ROWS}}})

@asset(warehouse.table("lake.left"))
def left(context: Context):
    time.sleep(0.1)
    return rows_of(context, "left")

@asset(warehouse.table("lake.right"))
def right(context: Context):
    return rows_of(context, "right")

@asset(warehouse.table("lake.joined"))
def joined(context: Context):
    one, other = dbt.stg_left.read(context), dbt.stg_right.read(context)
    time.sleep(0.1)
    return one.join(other, "id")

@check(joined)
def all_are_joined(frame):
    time.sleep(0.05)
    return frame.num_rows == {ROWS}

@action(after=[dbt.report])
def tidy(context: Context):
    warehouse.execute(context, "checkpoint")
"""
DBT = {
    "models/sources.yml": "sources: [{name: lake, tables: [{name: left}, {name: right}, {name: joined}]}]",
    "models/stg_left.sql": """
        {{ config(materialized='table') }} select id, "left" from {{ source('lake', 'left') }}
    """,
    "models/stg_right.sql": """
        {{ config(materialized='table') }} select id, "right" from {{ source('lake', 'right') }}
    """,
    "models/report.sql": """
        {{ config(materialized='table') }} select id, "left", "right" from {{ source('lake', 'joined') }}
    """,
    "models/alone.sql": """{{ config(materialized='table') }} select id, "left" from {{ ref('stg_left') }}""",
    "models/checks.yml": """
        models:
          - {name: stg_left, columns: [{name: id, data_tests: [not_null, unique]}]}
          - {name: report, columns: [{name: id, data_tests: [not_null, unique]}]}
    """,
}
TABLES = {
    "lake.left": ("lake.left", ("left",)),
    "lake.right": ("lake.right", ("right",)),
    "shop.stg_left": ("dev.stg_left", ("left",)),
    "shop.stg_right": ("dev.stg_right", ("right",)),
    "shop.alone": ("dev.alone", ("left",)),
    "lake.joined": ("lake.joined", ("left", "right")),
    "shop.report": ("dev.report", ("left", "right")),
}
"""{key: (relation, the roots whose content its rows carry)}"""
READS = {
    "shop.stg_left": ("lake.left",),
    "shop.stg_right": ("lake.right",),
    "shop.alone": ("shop.stg_left",),
    "lake.joined": ("shop.stg_left", "shop.stg_right"),
    "shop.report": ("lake.joined",),
}
Content = dict[str, int]


@dataclass
class Soak:
    """A workspace whose runs get killed."""

    scene: Scene
    luck: random.Random
    seen: Counter[str] = field(default_factory=Counter)
    content: dict[str | None, Content] = field(default_factory=dict)
    """{version: what its rows carry}, worked out from recorded inputs alone"""

    def turn(self) -> None:
        """New content to ingest."""
        for side in ("left", "right"):
            (self.scene.root / f"{side}.txt").write_text(str(self.luck.randint(1, 10**9)))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [Path(sys.executable).with_name("orchestrator"), "run", "--engine", "local", *arguments],
            cwd=self.scene.root,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def build(self, *arguments: str) -> str:
        """A run that nobody kills, and what it printed."""
        child = self.start(*arguments)
        said, _ = child.communicate(timeout=300)
        assert child.returncode == 0, said
        return said

    def kill_one(self, known: int, *, usual_s: float) -> None:
        """Start a run and kill it: while it starts up, or at some moment of its work or a little later."""
        records = self.scene.load().records
        child = self.start(*self.luck.choice([(), (), (), ("lake.left+",)]))
        if self.luck.random() < 0.15:
            time.sleep(self.luck.uniform(0, 2))
        else:
            while not self.is_at_work(records.runs(limit=1000), known) and child.poll() is None:
                time.sleep(0.02)
            time.sleep(self.luck.uniform(0, min(usual_s, LONGEST_S)))
        child.kill()
        child.communicate()

    def is_at_work(self, runs: tuple[RunSummary, ...], known: int) -> bool:
        """True when a step of the new run has started: what comes before is much longer, and does nothing."""
        return len(runs) > known and set(runs[0].counts) != {"waiting"}

    def look(self, runs_before: int) -> None:
        """What the next command finds: the run lost or ended, and nothing green that should not be."""
        states = self.scene.states()
        workspace = self.scene.load()
        workspace.reap()  # as `orchestrator runs` does; a run that died before its first step touches no state
        records = workspace.records
        runs = records.runs(limit=1000)
        assert not [run for run in runs if run.status in ("running", "queued")]
        self.seen[runs[0].status if len(runs) > runs_before else "not begun"] += 1
        assert "running" not in states.values()
        self.learn()
        facts = records.facts("dev")
        newest = {key: fact for (key, _, _), fact in facts.writers.items()}
        for key, (_, sides) in TABLES.items():
            self.seen[f"{states[key]} assets"] += 1
            if states[key] == "fresh":
                expected = self.content[newest[key].version]
                assert self.rows(key) == [(n, *(expected[side] for side in sides)) for n in range(ROWS)], key

    def learn(self) -> None:
        """Take down what each new version carries: a root says it itself, the others by the versions they read."""
        records = self.scene.load().records
        for key in TABLES:  # parents come first
            for record in records.history("dev", key, limit=1000, succeeded_only=True):
                if record.version in self.content:
                    continue
                if key in READS:
                    merged: Content = {}
                    for parent in READS[key]:
                        merged |= self.content[record.inputs[parent]]
                    self.content[record.version] = merged
                else:
                    self.content[record.version] = {key.split(".")[1]: record.metadata["content"]["value"]}

    def rows(self, key: str) -> list[tuple[int, ...]]:
        relation, sides = TABLES[key]
        columns = ", ".join(f'"{name}"' for name in ("id", *sides))
        return self.scene.query(f"select {columns} from {relation} order by id")

    def heal(self) -> None:
        """`run --stale` makes all of it fresh, without waiting for anything that the dead run held."""
        began = time.monotonic()
        said = self.build("--stale")
        assert "waiting for" not in said, said
        self.seen["seconds to heal"] += round(time.monotonic() - began)
        assert set(self.scene.states().values()) == {"fresh"}
        assert self.scene.run(stale=True).plan.is_empty
        roots = {side: self.rows(f"lake.{side}")[0][1] for side in ("left", "right")}
        for key, (_, sides) in TABLES.items():
            assert self.rows(key) == [(n, *(roots[side] for side in sides)) for n in range(ROWS)], key

    def compare_with_scratch(self, directory: Path) -> None:
        """A workspace built once from nothing, of the same content, has the same rows."""
        fresh = Soak(scene(directory, DBT, PYTHON), self.luck)
        for side in ("left", "right"):
            (fresh.scene.root / f"{side}.txt").write_text(str(self.rows(f"lake.{side}")[0][1]))
        fresh.build()
        for key in TABLES:
            assert self.rows(key) == fresh.rows(key), key


def test_killed_runs_leave_nothing_stuck_and_nothing_falsely_green(tmp_path: Path) -> None:
    soak = Soak(scene(tmp_path / "soaked", DBT, PYTHON), random.Random(SEED))
    soak.turn()
    soak.build()  # parses, too
    soak.build()
    usual_s = soak.scene.load().records.runs()[0].duration_s or 1.0
    for kill in range(1, KILLS + 1):
        soak.turn()
        before = len(soak.scene.load().records.runs(limit=1000))
        soak.kill_one(before, usual_s=usual_s)
        soak.look(before)
        if soak.luck.random() < 0.7:  # else the next kill meets what this one left
            soak.heal()
        if kill % 25 == 0 or kill == KILLS:
            soak.heal()
            soak.compare_with_scratch(tmp_path / f"scratch_{kill}")
    print(f"\n{KILLS} kills (seed {SEED}, a run works {usual_s:.1f} s):", dict(soak.seen))
