"""Run, pressed by a person: a real `orchestrator dev`, a real browser, real runs through Prefect."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from orchestrator.records import RunSummary
from orchestrator.service.server import ServerInfo, read_server
from tests.e2e.conftest import Visitor, served, visit
from tests.integration.workspaces import Scene, write_workspace

pytestmark = pytest.mark.slow

T = TypeVar("T")
PYTHON = """
    @asset(warehouse.table("raw.flights"))
    def flights():
        return [{"id": 1}, {"id": 2}]
"""
DBT = {
    "models/sources.yml": "sources: [{name: raw, tables: [{name: flights}]}]",
    "models/delays.sql": "{{ config(materialized='table') }} select id from {{ source('raw', 'flights') }}",
    "models/report.sql": "select * from {{ ref('delays') }}",
    # Hours of work: only an interrupt ends it.
    "models/endless.sql": "{{ config(materialized='table') }} select sum(a.range * b.range) as total "
    "from range(10000000) a, range(10000000) b",
}
RUNNING_S = 90_000  # a busy machine is not a fault


@dataclass
class Dev:
    """A running `orchestrator dev`."""

    scene: Scene
    process: subprocess.Popen[bytes]
    info: ServerInfo

    @property
    def url(self) -> str:
        return self.info.app_url or ""

    def runs(self) -> list[RunSummary]:
        """Newest first."""
        return list(self.scene.load().history.runs("dev", limit=50))

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def developing(root: Path) -> Iterator[Dev]:
    """`orchestrator dev` in `root`, stopped as Ctrl-C does; nothing may be left of it."""
    log = root / "dev.log"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", "import sys; from orchestrator.cli import main; sys.exit(main(['dev']))"],
            cwd=root,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    family: list[psutil.Process] = []
    try:
        info = eventually(lambda: read_server(root / ".orchestrator"), process=process, log=log)
        eventually(lambda: "worker  | ready" in log.read_text(encoding="utf-8"), process=process, log=log)
        dev = Dev(Scene(root), process, info)
        family = dev.family()
        yield dev
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(60)
    assert gone(family)


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with developing(write_workspace(tmp_path_factory.mktemp("dev"), DBT, PYTHON)) as dev:
        yield dev


@pytest.fixture
def visitor(browser: Browser, dev: Dev) -> Iterator[Visitor]:
    with visit(browser, dev.url) as visitor:
        yield visitor


def test_run_on_an_asset_shows_the_plan_and_then_runs_it_once_through_prefect(visitor: Visitor, dev: Dev) -> None:
    before = len(dev.runs())
    page = visitor.go("/asset?key=raw.flights")
    choose(visitor, "It and everything downstream")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("3 steps would run in dev.")).to_be_visible()
    expect(dialog.get_by_text("orchestrator run raw.flights+ --env dev")).to_be_visible()

    dialog.get_by_role("button", name="Run 3 steps").dblclick()

    expect(bar(page).get_by_text("succeeded")).to_be_visible(timeout=RUNNING_S)
    (run, *_) = dev.runs()
    assert (run.status, run.engine, run.selection) == ("succeeded", "prefect", "raw.flights+")
    assert run.command == "orchestrator run raw.flights+ --env dev"
    assert len(dev.runs()) == before + 1, "two clicks are one run"
    page.get_by_role("link", name="Open the run").click()
    visitor.settle()
    assert page.url.endswith(f"/run?run={run.run_id}")
    expect(page.get_by_role("heading", name=f"Run {run.run_id}")).to_be_visible()


def test_closing_the_dialog_runs_nothing(visitor: Visitor, dev: Dev) -> None:
    before = len(dev.runs())
    page = visitor.go("/lineage?key=shop.delays")
    choose(visitor, "This asset")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("1 step would run in dev.")).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    visitor.settle()
    assert len(dev.runs()) == before


def test_cancel_stops_the_query_that_is_running(visitor: Visitor, dev: Dev) -> None:
    page = visitor.go("/asset?key=shop.endless")
    choose(visitor, "This asset")
    page.get_by_role("dialog").get_by_role("button", name="Run 1 step").click()
    expect(bar(page).get_by_text("running")).to_be_visible(timeout=RUNNING_S)
    expect(bar(page).get_by_text("0 of 1 step")).to_be_visible()

    bar(page).get_by_role("button", name="Cancel").click()

    expect(bar(page).get_by_text("cancelled")).to_be_visible(timeout=RUNNING_S)
    assert dev.runs()[0].status == "cancelled"
    bar(page).get_by_role("button").last.click()
    expect(bar(page)).to_have_count(0)


def test_what_is_stale_runs_from_the_overview(visitor: Visitor, dev: Dev) -> None:
    dev.scene.write("dbt/models/endless.sql", "select 1 as total")  # no longer endless
    page = visitor.go()
    page.get_by_role("button", name="Run what is stale").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("orchestrator run --stale --env dev")).to_be_visible()
    dialog.get_by_role("button", name="Run").last.click()
    expect(bar(page).get_by_text("succeeded")).to_be_visible(timeout=RUNNING_S)
    assert dev.scene.states()["shop.endless"] == "fresh"


def test_an_edit_is_noticed_and_a_broken_one_keeps_the_last_good_graph(visitor: Visitor, dev: Dev) -> None:
    page = visitor.go("/lineage")
    expect(page.get_by_test_id("node-shop.report")).to_be_visible()
    dev.scene.write("dbt/models/added.sql", "select * from {{ ref('report') }}")
    expect(page.get_by_test_id("node-shop.added")).to_be_visible(timeout=RUNNING_S)

    dev.scene.write("dbt/models/added.sql", "select * from {{ ref('no_such_model') }}")

    expect(page.get_by_text("1 definition error")).to_be_visible(timeout=RUNNING_S)
    expect(page.get_by_text("The last good graph is shown.")).to_be_visible()
    expect(page.get_by_test_id("node-shop.added")).to_be_visible()
    visitor.go()
    expect(page.get_by_text("no_such_model").first).to_be_visible()
    expect(page.get_by_role("button", name="Run what is stale")).to_be_disabled()

    (dev.scene.root / "dbt/models/added.sql").unlink()
    expect(page.get_by_text("1 definition error")).to_have_count(0, timeout=RUNNING_S)


def test_without_orchestrator_dev_the_button_says_what_it_needs(browser: Browser, tmp_path: Path) -> None:
    root = write_workspace(tmp_path / "alone", {"models/one.sql": "select 1 as one"})
    with served(root, log=root / "app.log") as url, visit(browser, url) as visitor:
        page = visitor.go("/asset?key=shop.one")
        expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()
        needs = "Runs are started through orchestrator dev, which starts what that needs. It is not running."
        expect(page.get_by_text(needs)).to_be_visible()


def test_a_killed_dev_takes_its_run_and_everything_else_with_it(tmp_path: Path) -> None:
    root = write_workspace(tmp_path / "killed", DBT, PYTHON)
    with developing(root) as dev:
        family = dev.family()
        from orchestrator.service.prefect_api import PrefectApi
        from orchestrator.service.requests import RunRequest

        request = RunRequest(environment="dev", select=("shop.endless",))
        PrefectApi(dev.info.api_url).launch(request)
        eventually(lambda: any(run.status == "running" for run in dev.runs()))
        dev.process.kill()
        dev.process.wait()
        assert gone(family)
        (run,) = dev.runs()
        assert (run.run_id, run.status) == (request.run_id, "cancelled")


def choose(visitor: Visitor, what: str) -> None:
    """Press Run and pick from its menu."""
    visitor.page.get_by_role("button", name="Run", exact=True).click()
    visitor.page.get_by_text(what, exact=True).click()
    visitor.settle()


def bar(page: Page) -> Any:
    """The runs above the page."""
    return page.locator(".st-key-runs_under_way")


def gone(family: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(family, timeout=30)
    return not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


def eventually(
    look: Callable[[], T | None], *, process: subprocess.Popen[bytes] | None = None, log: Path | None = None
) -> T:
    deadline = time.monotonic() + 180
    while not (found := look()):
        said = log.read_text(encoding="utf-8", errors="replace") if log else ""
        assert time.monotonic() < deadline, f"nothing happened\n{said}"
        assert process is None or process.poll() is None, f"it has ended\n{said}"
        time.sleep(0.3)
    return found
