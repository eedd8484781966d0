"""`python -m tests.benchmarks.sql_work COMMAND …`: the work that the SQL rows measure, each in a process of its own.

    analyse QUERIES   analyse {table: SQL} of a file that `write_queries` made; prints a digest of all answers
    columns           the columns of the dbt project in this directory; prints the CPU seconds of that alone
    no-dbt WORD …     the `orchestrator` command of these words, which must not import dbt or sqlglot

All end with 1 when the work was not what is to be measured.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

import msgspec

from orchestrator.sql.project import TableSql, analyze_tables
from tests.benchmarks.sql_models import NAMES, SOURCES, TYPES, build_wide_models

DATABASE, SCHEMA = "warehouse", "dev"


def write_queries(file: Path, *, models: int) -> Path:
    """{table: compiled SQL} of so many generated models."""
    queries = {}
    for model in build_wide_models(models):
        schema = "raw" if model.from_sources else SCHEMA
        queries[model.name] = model.sql(lambda name, schema=schema: f'"{DATABASE}"."{schema}"."{name}"')
    file.write_bytes(msgspec.msgpack.encode(queries))
    return file


def analyse(queries: Path) -> int:
    """All tables of the file, without a cache; the exit code."""
    columns = tuple(zip(NAMES, TYPES, strict=True))
    tables = [TableSql(f"{DATABASE}.raw.events_{i:02}", known=columns) for i in range(SOURCES)]
    for name, sql in msgspec.msgpack.decode(queries.read_bytes(), type=dict[str, str]).items():
        tables.append(TableSql(f"{DATABASE}.{SCHEMA}.{name}", sql=sql))
    found = analyze_tables(tables, dialect="duckdb", default_db=DATABASE, default_schema=SCHEMA)
    digest = hashlib.blake2b(msgspec.msgpack.encode(found)).hexdigest()
    parser = sys.modules["sqlglot.parser"].__file__ or ""
    sys.stdout.write(f"{'plain' if parser.endswith('.py') else 'compiled'} {digest}\n")
    exact = all(not answer.reasons and len(answer.columns) == len(NAMES) for answer in found.values())
    return 0 if exact else 1


def columns() -> int:
    """The columns of the project in the current directory, as any command asks for them; the exit code."""
    from orchestrator.workspace import load_workspace

    workspace = load_workspace(Path.cwd())
    assert workspace.observed is not None  # the records are open, as in any command that shows states
    before = time.process_time()
    found = workspace.columns
    sys.stdout.write(f"{time.process_time() - before:.6f}\n")
    return 0 if found.assets and all(entry.exact for entry in found.assets.values()) else 1


def without_dbt(words: list[str]) -> int:
    """A command; the exit code is 1 if it needed dbt or sqlglot."""
    from orchestrator.cli import main as orchestrator

    try:
        orchestrator(words)
    except SystemExit as exc:
        if exc.code:
            return 1
    return int(any(name in sys.modules for name in ("dbt", "sqlglot")))


def main(arguments: list[str]) -> int:
    """The exit code."""
    match arguments:
        case ["analyse", queries]:
            return analyse(Path(queries))
        case ["columns"]:
            return columns()
        case ["no-dbt", *words]:
            return without_dbt(words)
    sys.stderr.write(__doc__ or "")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
