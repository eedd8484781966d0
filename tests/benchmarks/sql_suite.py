"""What the analysis of SQL costs: cold, warm, after an edit, in a large project, without the compiled parser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measure import Sample, median
from tests.benchmarks.projects import write_python_assets
from tests.benchmarks.sql_models import build_wide_models, dbt_code, write_wide_project
from tests.benchmarks.sql_work import write_queries
from tests.benchmarks.suite import Row, Suite, cpu_row

MODELS = 1_000
MANY = 5_000
VALIDATED = 500
ASSETS = 200
EDITED = 500
"""The number of the model that is edited; five layers read it."""
COLUMN = "wide.wide_0150.amount_00"
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class SqlRows:
    """The rows, measured as the suite does."""

    suite: Suite

    def all(self) -> Iterator[Row]:
        """All of them."""
        yield from self.cold()
        yield from self.project()
        yield self.validation()

    def cold(self) -> Iterator[Row]:
        """Compiled SQL to columns, everything in one process that begins with nothing."""
        queries = write_queries(self.suite.place / "queries.bin", models=MODELS)
        many = write_queries(self.suite.place / "many_queries.bin", models=MANY)
        plain = self._plain_sqlglot()
        figures: dict[str, list[Sample]] = {"compiled": [], "plain": [], "many": []}
        for repeat in range(self.suite.repeats):
            self.suite.progress(f"SQL of {MODELS} and {MANY} models, {repeat + 1} of {self.suite.repeats}")
            answers = []
            for name, file, path in (("compiled", queries, ROOT), ("plain", queries, plain), ("many", many, ROOT)):
                sample, said = self._work("analyse", str(file), path=path)
                figures[name].append(sample)
                answers.append(said.split())
            if [answer[0] for answer in answers] != ["compiled", "plain", "compiled"]:
                raise RuntimeError(f"sqlglot was not to be had with and without sqlglotc: {answers}")
            if answers[0][1] != answers[1][1]:
                raise RuntimeError("with and without sqlglotc the same SQL has different answers")
        yield cpu_row(f"SQL of {MODELS} models, cold", figures["compiled"], 5.0)
        peaks = tuple(sample.peak_mb for sample in figures["compiled"])
        yield Row(name=f"SQL of {MODELS} models, peak memory", value=median(peaks), limit=250, unit="MB", ours=peaks)
        yield cpu_row(f"SQL of {MODELS} models, no sqlglotc", figures["plain"], None)
        pairs = zip(figures["many"], figures["compiled"], strict=True)
        yield Row(
            name=f"SQL a model, {MANY} / {MODELS} models",
            value=median([more.cpu_s / MANY / (few.cpu_s / MODELS) for more, few in pairs]),
            limit=1.15,
            unit="x",
            ours=tuple(sample.cpu_s for sample in figures["many"]),
        )
        peaks = tuple(sample.peak_mb for sample in figures["many"])
        yield Row(name=f"SQL of {MANY} models, peak memory", value=median(peaks), limit=None, unit="MB", ours=peaks)

    def project(self) -> Iterator[Row]:
        """Columns of a dbt project: when nothing has changed, and when one model has."""
        self.suite.progress(f"columns of {MODELS} models, warming up")
        directory = write_wide_project(self.suite.place / "wide", models=MODELS)
        command = [self.suite.orchestrator, "lineage", COLUMN]
        self.suite.once(command, directory)
        self._work("no-dbt", *command[1:], directory=directory)
        samples = [self.suite.once(command, directory) for _ in range(self.suite.repeats)]
        yield cpu_row(f"warm lineage of a column, {MODELS} models", samples, 0.7)
        yield self._edit(directory)

    def _edit(self, directory: Path) -> Row:
        """What an edit adds to the work on columns; dbt has parsed it before the clock starts."""
        model = build_wide_models(EDITED + 1)[EDITED]
        file = directory / "models" / f"{model.name}.sql"
        more = []
        for repeat in range(self.suite.repeats):
            self.suite.progress(f"columns after an edit, {repeat + 1} of {self.suite.repeats}")
            file.write_text(dbt_code(model, edited=repeat % 2 == 0), encoding="utf-8")
            after = float(self._work("columns", directory=directory)[1])
            more.append(after - float(self._work("columns", directory=directory)[1]))
        return Row(
            name=f"columns after one edit, {MODELS} models",
            value=median(more),
            limit=0.1,
            unit="CPU-s",
            ours=tuple(more),
        )

    def validation(self) -> Row:
        """`validate` when nothing has changed, dbt models and Python assets together."""
        directory = self.suite.place / "validated"
        shutil.copytree(self.suite.warm_project(VALIDATED), directory)
        write_python_assets(directory, ASSETS)
        command = [self.suite.orchestrator, "validate"]
        self.suite.once(command, directory)
        samples = [self.suite.once(command, directory) for _ in range(self.suite.repeats)]
        return cpu_row(f"warm validate, {VALIDATED} + {ASSETS} Python", samples, 1.2)

    def _work(self, *words: str, directory: Path | None = None, path: Path = ROOT) -> tuple[Sample, str]:
        """A command of `sql_work` and what it said last."""
        directory = directory or self.suite.place
        search = str(path) if path == ROOT else f"{path}:{ROOT}"
        command: Sequence[str] = [self.suite.python, "-m", "tests.benchmarks.sql_work", *words]
        sample = self.suite.once(command, directory, PYTHONPATH=search)
        return sample, (directory / "bench-output.txt").read_text(encoding="utf-8").strip().splitlines()[-1]

    def _plain_sqlglot(self) -> Path:
        """A directory with sqlglot as it is without sqlglotc, whose compiled modules lie between its own."""
        import sqlglot

        place = self.suite.place / "plain"
        shutil.copytree(
            Path(sqlglot.__file__).parent,
            place / "sqlglot",
            ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"),
        )
        return place
