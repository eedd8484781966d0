"""What a step does against what its code showed: a warning with the line, or in strict mode a failure."""

from __future__ import annotations

import importlib
import sqlite3
import textwrap
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestrator.definitions.resources import current_watcher
from orchestrator.execution.executor import run_plan
from orchestrator.execution.results import RunResult
from orchestrator.resources import direct
from orchestrator.resources.duckdb import DuckDBFile
from orchestrator.resources.observer import Observer, observing
from orchestrator.workspace import Workspace, load_workspace

HEAD = """\
from dataclasses import dataclass
import duckdb
import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
import pyarrow as pa
import sqlalchemy
from orchestrator import Context, Resource, Warehouse, action, asset, check

warehouse = Warehouse.from_dbt()
ROWS = pa.table({"n": [1, 2]})

@dataclass(frozen=True)
class Api(Resource):
    url: str = "x"
    def rows(self):
        return [{"n": 1}]

api = Api()
HERE = sys.modules[__name__]
KEEP = []

@asset(warehouse.table("raw.flights"))
def flights():
    return ROWS

"""
LINE = HEAD.count("\n")
Told = list[tuple[str, str, str]]


class Story:
    """A workspace of one Python module on a DuckDB file, and what its runs told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.package = f"assets_{uuid.uuid4().hex[:8]}"
        self.workspace: Workspace | None = None

    def run(self, text: str, *, strict: bool = False) -> RunResult:
        (self.root / self.package).mkdir(exist_ok=True)
        (self.root / self.package / "__init__.py").write_text(HEAD + textwrap.dedent(text))
        settings = f'python = "{self.package}"\nstrict = {str(strict).lower()}\n'
        (self.root / "orchestrator.toml").write_text(settings)
        self.workspace = load_workspace(self.root)
        file = DuckDBFile(self.root / "dev.duckdb")
        connection = duckdb.connect(str(self.root / "dev.duckdb"))
        connection.execute("create schema if not exists raw; create or replace table raw.known as select 1 as n")
        connection.execute("create or replace table raw.hidden as select 1 as n")
        connection.close()
        self.workspace.__dict__["database"] = file
        result = run_plan(self.workspace, self.workspace.plan())
        self.run_id = result.run_id
        return result

    def log(self) -> list[str]:
        """Lines of warning, without the package's name."""
        assert self.workspace is not None
        lines = self.workspace.records.log_lines(self.run_id)
        return [
            f"{line.key} {line.message}".replace(self.package, "assets") for line in lines if line.level == "warning"
        ]

    def failure(self, key: str) -> str | None:
        assert self.workspace is not None
        run = self.workspace.records.run(self.run_id)
        assert run is not None
        failures = [step.failure for step in run.steps if step.key == key]
        return failures[0].message.replace(self.package, "assets") if failures[0] else None


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


DIRECT_FIX = "fix: make it a module-level resource (Warehouse, DuckDB, Postgres, or your own) and use that"
READ_FIX = 'fix: name it in the function, warehouse.table("schema.name"), or as a dbt source'


def step(body: str, *, after: str = "") -> str:
    """An asset `raw.it` with this body; its first line is line LINE + 3."""
    return f'@asset(warehouse.table("raw.it"){after})\ndef it(context: Context):\n{textwrap.indent(body, "    ")}\n'


@pytest.mark.parametrize(
    ("body", "what", "fix"),
    [
        (
            "return getattr(HERE, 'a' + 'pi').rows()",
            "raw.it uses Api(url='x'), which its code did not show when it was loaded",
            "fix: make it a variable of a module, and refer to that by name in the function",
        ),
        (
            "return Api('made here').rows()",
            "raw.it uses Api(url='made here'), which its code did not show when it was loaded",
            "fix: make it a variable of a module, and refer to that by name in the function",
        ),
        (
            "return warehouse.execute(context, 'select * from raw.hidden') and ROWS",
            "raw.it reads raw.hidden in SQL, which is no asset of this workspace",
            READ_FIX,
        ),
        (
            "return context.connection(warehouse).sql('select * from raw.hidden').arrow().read_all()",
            "raw.it reads raw.hidden in SQL, which is no asset of this workspace",
            READ_FIX,
        ),
        (
            "return context.connection(warehouse).cursor().execute('from raw.hidden').fetch_arrow_table()",
            "raw.it reads raw.hidden in SQL, which is no asset of this workspace",
            READ_FIX,
        ),
        (
            "return warehouse.execute(context, 'select * from raw.flights') and ROWS",
            "raw.it reads raw.flights in SQL, which its code did not show when it was loaded",
            "fix: refer to it by name in the function, or add it to after=[…], so that it is built first",
        ),
        (
            "return warehouse.execute(context, 'create table raw.more as select 1') and ROWS",
            "raw.it writes raw.more in SQL, which is no asset of this workspace",
            "fix: let an asset of its own write it (@asset, @writes), or return the rows",
        ),
        (
            "return warehouse.execute(context, 'delete from raw.flights') or ROWS",
            "raw.it writes raw.flights in SQL, which it is no writer of",
            "fix: let an asset of its own write it (@asset, @writes), or return the rows",
        ),
        (
            "return KEEP.append(sqlite3.connect('other.db')) or ROWS",
            "raw.it opens a database past every resource: sqlite3.connect(other.db)",
            DIRECT_FIX,
        ),
        (
            "return KEEP.append(duckdb.connect('other.duckdb').close()) or ROWS",
            "raw.it opens a database past every resource: duckdb.connect(other.duckdb)",
            DIRECT_FIX,
        ),
        (
            "with sqlalchemy.create_engine('sqlite:///other.db').connect(): return ROWS",
            "raw.it opens a database past every resource: sqlalchemy.Engine.connect(sqlite:///other.db)",
            DIRECT_FIX,
        ),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_what_the_code_did_not_show_is_told_with_its_line(
    story: Story, monkeypatch: pytest.MonkeyPatch, body: str, what: str, fix: str
) -> None:
    monkeypatch.chdir(story.root)
    story.run(step(body))
    assert f"{what} (assets/__init__.py:{LINE + 3}); {fix}" in story.log()


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (
            "return getattr(HERE, 'a' + 'pi').rows()",
            "raw.it uses Api(url='x'), which its code did not show when it was",
        ),
        ("return warehouse.execute(context, 'from raw.hidden') and ROWS", "raw.it reads raw.hidden in SQL, which"),
        (
            "return sqlite3.connect('other.db') and ROWS",
            "raw.it opens a database past every resource: sqlite3.connect(",
        ),
    ],
)
def test_in_strict_mode_it_fails_the_step_and_nothing_is_written(
    story: Story, monkeypatch: pytest.MonkeyPatch, body: str, what: str
) -> None:
    monkeypatch.chdir(story.root)
    result = story.run(step(body), strict=True)
    assert result.status == "failed"
    message = story.failure("raw.it")
    assert message is not None
    assert message.startswith(what)
    assert f"\nat: assets/__init__.py:{LINE + 3}\nfix: " in message
    with duckdb.connect(str(story.root / "dev.duckdb")) as connection:
        found = connection.execute("select count(*) from information_schema.tables where table_name = 'it'").fetchone()
    assert found == (0,)


def test_swallowing_the_error_does_not_help_in_strict_mode(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(story.root)
    body = "try:\n    sqlite3.connect('other.db')\nexcept Exception:\n    pass\nreturn ROWS"
    assert story.run(step(body), strict=True).status == "failed"


def test_a_generator_is_held_to_it_too(story: Story) -> None:
    body = "yield ROWS\nwarehouse.execute(context, 'from raw.hidden')\nyield ROWS"
    assert story.run(step(body), strict=True).status == "failed"
    assert "reads raw.hidden" in (story.failure("raw.it") or "")


@pytest.mark.parametrize(
    "body",
    [
        "return warehouse.table('raw.known').read(context)",
        "warehouse.table('raw.known')\nreturn context.connection(warehouse).sql('from raw.known').arrow().read_all()",
        "frame = ROWS\nreturn context.connection(warehouse).sql('from frame').arrow().read_all()",
        "con = context.connection(warehouse)\ncon.execute('create temp table t as select 1 as n')\n"
        "con.execute('insert into t values (2)')\n"
        "return con.sql('from t').arrow().read_all()",
        "return context.connection(warehouse).sql('select 1 as n from duckdb_tables()').arrow().read_all()",
        "return duckdb.connect().sql('select 1 as n').arrow().read_all()",
        "sqlite3.connect(':memory:').execute('create table x (n int)')\nreturn ROWS",
        "return api.rows()",
        "context.log.info('a line')\nreturn ROWS",
    ],
)
def test_what_is_declared_temporary_or_in_memory_is_nobodys_business(story: Story, body: str) -> None:
    result = story.run(step(body), strict=True)
    assert (story.failure("raw.it"), story.log(), result.status) == (None, [], "succeeded")


def test_a_table_that_is_declared_may_be_read_in_sql(story: Story) -> None:
    body = "return context.connection(warehouse).sql('from raw.flights').arrow().read_all()"
    assert story.run(step(body, after=", after=[flights]"), strict=True).status == "succeeded"


def test_an_action_may_change_what_it_follows_and_a_check_is_watched_too(story: Story) -> None:
    text = """
        @action(after=[flights])
        def tidy(context: Context):
            warehouse.execute(context, "delete from raw.flights where n > 5")

        @check(flights)
        def known(frame):
            return duckdb.connect("other.duckdb") is None
    """
    result = story.run(text, strict=True)
    assert result.status == "failed"
    checks = [check.reason.splitlines()[0] for check in result.checks]
    assert checks == [
        "UndeclaredResourceError: check known on raw.flights opens a database past every resource: "
        "duckdb.connect(other.duckdb)"
    ]


def test_threads_that_a_step_starts_are_watched(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(story.root)
    body = """\
thread = threading.Thread(target=lambda: KEEP.append(sqlite3.connect("one.db", check_same_thread=False)))
thread.start()
thread.join()
with ThreadPoolExecutor(1) as pool:
    pool.submit(sqlite3.connect, "two.db", check_same_thread=False).result()
return ROWS
"""
    story.run(step(body))
    told = [line.partition(" (")[0].partition(": ")[2] for line in story.log()]
    assert told == ["sqlite3.connect(one.db)", "sqlite3.connect(two.db)"]


def test_what_a_test_overrides_holds_in_the_steps_of_a_run(story: Story) -> None:
    text = step("return api.rows()")
    story.run(text)
    api = importlib.import_module(story.package).api
    stand_in = type(api)("another")
    object.__setattr__(stand_in, "rows", lambda: [{"n": 7}])
    with api.override(stand_in):
        assert story.workspace is not None
        result = run_plan(story.workspace, story.workspace.plan(["raw.it"]))
    assert result.status == "succeeded"
    with duckdb.connect(str(story.root / "dev.duckdb")) as connection:
        assert connection.execute("select n from raw.it").fetchall() == [(7,)]


def test_a_secret_is_in_no_record_no_log_and_no_pickle(
    story: Story, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "correct horse/battery staple"
    monkeypatch.setenv("STORY_TOKEN", secret)
    text = """
        import logging
        import pickle
        from pathlib import Path
        from orchestrator import Secret

        @dataclass(frozen=True)
        class Vault(Resource):
            token: str

            def open(self):
                return self.resolved.token

        vault = Vault(Secret.env("STORY_TOKEN"))

        @asset(warehouse.table("raw.told"))
        def told(context: Context):
            token = vault.open()
            context.log.warning("the token is %s", token)
            logging.getLogger("library").error("asked with %s", token)
            context.metadata["token"] = token
            context.metadata["rows"] = [{"token": token, "n": 1}]
            Path("vault.pickle").write_bytes(pickle.dumps([vault, vault.resolved]))
            warehouse.execute(context, "select '" + token + "' from raw.hidden")
            return pa.table({"token": [token]})

        @asset(warehouse.table("raw.failing"))
        def failing():
            raise RuntimeError("refused: " + vault.open())

        @check(told)
        def plain(frame):
            return False, "it holds " + frame["token"][0].as_py()
    """
    monkeypatch.chdir(story.root)
    with caplog.at_level("DEBUG"):
        result = story.run(text)
    assert result.status == "failed"
    assert story.workspace is not None
    story.workspace.records.close()
    needles = [secret.encode(), b"correct%20horse"]
    kept = [path for path in story.root.rglob("*") if path.is_file() and path.name != "dev.duckdb"]
    assert {"vault.pickle", "records.db"} <= {path.name for path in kept}
    assert not [path for path in kept if any(needle in path.read_bytes() for needle in needles)]
    assert secret not in caplog.text
    assert secret not in repr(result)
    assert "refused: ***" in (story.failure("raw.failing") or "")
    with duckdb.connect(str(story.root / "dev.duckdb")) as connection:
        assert connection.execute("select token from raw.told").fetchall() == [(secret,)], "data is the user's"


# The wrappers


def test_wrappers_come_with_the_first_step_and_go_with_the_last(tmp_path: Path) -> None:
    originals = (duckdb.connect, sqlite3.connect, threading.Thread.start)
    with observing(Observer(tmp_path)):
        with observing(Observer(tmp_path)):
            assert duckdb.connect is not originals[0]
        assert duckdb.connect is not originals[0], "another step still runs"
    assert (duckdb.connect, sqlite3.connect, threading.Thread.start) == originals


def test_another_thread_is_not_watched(tmp_path: Path) -> None:
    started, done = threading.Event(), threading.Event()
    watchers: list[Any] = []

    def outside() -> None:
        started.wait(10)
        sqlite3.connect(tmp_path / "outside.db").close()
        watchers.append(current_watcher())
        done.set()

    thread = threading.Thread(target=outside)
    thread.start()  # before the step
    observer = Observer(tmp_path)
    with observing(observer):
        started.set()
        assert done.wait(10)
    thread.join()
    assert (observer.directly, watchers) == ([], [None])


def test_somebody_elses_wrapper_is_left_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    original = sqlite3.connect
    with observing(Observer(tmp_path)):
        ours = sqlite3.connect
        theirs: Callable[..., Any] = lambda *args, **kwargs: calls.append("theirs") or ours(*args, **kwargs)  # noqa: E731
        sqlite3.connect = theirs  # type: ignore[assignment]
    try:
        assert sqlite3.connect is theirs
        sqlite3.connect(":memory:").close()
        assert calls == ["theirs"]
    finally:
        sqlite3.connect = original


def test_many_threads_that_begin_and_end_leave_the_originals(tmp_path: Path) -> None:
    original = sqlite3.connect

    def steps() -> None:
        for _ in range(50):
            with observing(Observer(tmp_path)):
                sqlite3.connect(":memory:").close()

    threads = [threading.Thread(target=steps) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sqlite3.connect is original
    assert direct._WRAPPERS.count == 0


def test_an_observer_keeps_a_bounded_number_of_statements(tmp_path: Path) -> None:
    from orchestrator import Warehouse

    observer, warehouse = Observer(tmp_path), Warehouse.from_dbt()
    for number in range(250):
        observer.sent(warehouse, f"select {number}")
        observer.sent(warehouse, f"select {number}")
    observer.sent(warehouse, "x" * 60_000)
    assert (len(observer.statements), observer.left_out > 50) == (200, True)
