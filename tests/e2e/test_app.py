"""The app in a real browser, on a workspace that was really run: what a person sees and can do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.conftest import Visitor, served, visit
from tests.integration.workspaces import Scene, write_workspace

pytestmark = pytest.mark.slow

PYTHON = '''
    import base64
    from orchestrator.definitions.metadata import image, markdown

    DOT = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPj/HwADBwIAMCbHYQAAAABJRU5ErkJggg=="
    )

    @asset(warehouse.table("raw.flights"), owner="ops@example.com")
    def flights(context: Context):
        """Departures, one row a flight."""
        import pandas as pd

        context.metadata["mean delay"] = 12.5
        context.metadata["picture"] = image(DOT)
        context.metadata["notes"] = markdown("From **three** airports")
        return pd.DataFrame({"origin": ["EWR", "JFK", "LGA"], "delay": [3, 14, 20]})
'''
DBT = {
    "dbt_project.yml": """
        name: shop
        version: "1.0"
        profile: shop
        models: {shop: {marts: {+schema: marts}, staging: {+schema: staging}}}
    """,
    "models/sources.yml": "sources: [{name: raw, tables: [{name: flights}]}]",
    "models/staging/stg_flights.sql": "select * from {{ source('raw', 'flights') }}",
    "models/staging/schema.yml": """
        models:
          - name: stg_flights
            columns:
              - name: origin
                description: Where the flight began.
                data_tests:
                  - accepted_values: {arguments: {values: [EWR, JFK]}, config: {severity: warn}}
    """,
    "models/marts/daily_delays.sql": "{{ config(materialized='table') }} select * from {{ ref('stg_flights') }}",
    "models/marts/broken.sql": "select no_such_column from {{ ref('stg_flights') }}",
    "models/marts/after_broken.sql": "select * from {{ ref('broken') }}",
}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app of a workspace in which nothing has run."""
    root = write_workspace(tmp_path_factory.mktemp("fresh"), DBT, PYTHON)
    with served(root, log=root / "app.log") as url:
        yield url


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A workspace after two runs; one model of it is broken."""
    scene = Scene(write_workspace(tmp_path_factory.mktemp("scene"), DBT, PYTHON))
    scene.run()
    ran = scene.run()
    assert ran.status == "failed"
    return scene


@pytest.fixture(scope="module")
def app(scene: Scene) -> Iterator[str]:
    with served(scene.root, log=scene.root / "app.log") as url:
        yield url


@pytest.fixture
def visitor(browser: Browser, app: str) -> Iterator[Visitor]:
    with visit(browser, app) as visitor:
        yield visitor


def test_a_new_workspace_says_what_to_type(browser: Browser, fresh: str) -> None:
    with visit(browser, fresh) as visitor:
        page = visitor.go()
        expect(page.get_by_text("Nothing has run yet in this environment. Run this:")).to_be_visible()
        expect(page.get_by_text("orchestrator run")).to_be_visible()
        visitor.go("/lineage")
        expect(page.get_by_test_id("node-marts.daily_delays").locator(".word")).to_have_text("missing")


def test_the_overview_shows_first_what_is_wrong(visitor: Visitor) -> None:
    page = visitor.go()
    attention = page.get_by_text("Needs attention")
    expect(attention).to_be_visible()
    expect(page.get_by_role("link", name="marts.broken").first).to_be_visible()
    page.get_by_role("link", name="marts.broken").first.click()
    visitor.settle()
    expect(page.get_by_text("no_such_column").first).to_be_visible()
    assert page.url.endswith("/asset?key=marts.broken")


def test_clicking_an_asset_in_the_graph_opens_its_panel(visitor: Visitor) -> None:
    page = visitor.go("/lineage")
    node = page.get_by_test_id("node-raw.flights")
    expect(node).to_have_attribute("aria-pressed", "false")
    node.click()
    visitor.settle()
    expect(node).to_have_attribute("aria-pressed", "true")
    panel = page.locator(".st-key-lineage_panel")
    expect(panel.get_by_text("Fresh. Written ")).to_contain_text("3 rows, as many as before.")
    expect(panel.get_by_text("ops@example.com")).to_be_visible()
    assert "key=raw.flights" in page.url
    panel.get_by_role("button", name="Open full page").click()
    visitor.settle()
    expect(page.get_by_role("heading", name="raw.flights")).to_be_visible()


def test_pan_and_zoom_stay_where_they_are_after_a_click(visitor: Visitor) -> None:
    page = visitor.go("/lineage")
    page.get_by_role("button", name="Zoom in").click()
    before = page.locator("svg .scene").get_attribute("transform")
    page.get_by_test_id("node-staging.stg_flights").click()
    visitor.settle()
    after = page.locator("svg .scene").get_attribute("transform")
    assert scale_of(before) == scale_of(after)


def scale_of(transform: str | None) -> str:
    assert transform is not None
    return transform.split("scale")[1]


def test_the_graph_can_be_walked_with_the_keyboard(visitor: Visitor) -> None:
    page = visitor.go("/lineage")
    page.get_by_test_id("node-raw.flights").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    visitor.settle()
    assert "key=staging.stg_flights" in page.url


def test_a_selection_narrows_the_graph_and_a_mistake_is_explained(visitor: Visitor) -> None:
    page = visitor.go("/lineage?select=marts.broken%2B")
    expect(page.locator(".lineage .node")).to_have_count(2)
    expect(page.get_by_text("2 of 5 assets")).to_be_visible()
    field = page.get_by_label("Selection")
    field.fill("marts.brokn")
    field.press("Enter")
    visitor.settle()
    expect(page.get_by_text("did you mean 'marts.broken'")).to_be_visible()


def test_finding_in_the_graph_marks_what_matches(visitor: Visitor) -> None:
    page = visitor.go("/lineage")
    page.get_by_label("Find in graph").fill("failed")
    expect(page.locator(".node.match")).to_have_count(1)
    expect(page.locator(".node.match .title")).to_have_text("broken")


def test_the_asset_page_shows_numbers_pictures_columns_checks_code_and_history(visitor: Visitor) -> None:
    page = visitor.go("/asset?key=raw.flights")
    expect(page.get_by_text("mean delay", exact=True)).to_be_visible()
    expect(
        page.locator("[data-testid=stVegaLiteChart] svg, [data-testid=stVegaLiteChart] canvas").first
    ).to_be_visible()
    expect(page.get_by_role("img").first).to_be_visible()
    expect(page.get_by_text("From three airports")).to_be_visible()
    expect(page.get_by_role("link", name="staging.stg_flights")).to_be_visible()
    page.get_by_role("tab", name="Code").click()
    expect(page.get_by_text("def flights(context: Context):")).to_be_visible()
    visitor.go("/asset?key=staging.stg_flights")
    page.get_by_role("tab", name="Checks (1)").click()
    expect(page.get_by_text("1 failing row")).to_be_visible()
    page.get_by_role("tab", name="Columns").click()
    expect(page.locator("[data-testid=stDataFrame]:visible")).to_have_count(1)


def test_a_run_shows_the_failure_before_everything_else(visitor: Visitor) -> None:
    page = visitor.go("/runs")
    page.locator("[data-testid=stPageLink] a").first.click()
    visitor.settle()
    expect(page.get_by_text("What failed")).to_be_visible()
    expect(page.get_by_text("no_such_column").first).to_be_visible()
    expect(page.get_by_role("tab", name="Steps (5)")).to_be_visible()


def test_a_wrong_key_gets_a_suggestion(visitor: Visitor) -> None:
    page = visitor.go("/asset?key=raw.flight")
    expect(page.get_by_text("No asset has the key 'raw.flight', did you mean 'raw.flights'?")).to_be_visible()


def test_a_new_run_appears_without_reloading(scene: Scene, visitor: Visitor) -> None:
    page = visitor.go("/runs")
    rows = page.locator("[data-testid=stPageLink] a")
    before = rows.count()
    scene.run("raw.flights")
    expect(rows).to_have_count(before + 1, timeout=30_000)


@pytest.mark.parametrize("dark", [False, True])
def test_pages_fit_a_narrow_window_in_both_themes(browser: Browser, app: str, dark: bool) -> None:
    with visit(browser, app, dark=dark, width=1000) as visitor:
        for path in ("/", "/lineage?key=raw.flights", "/asset?key=raw.flights", "/runs"):
            page = visitor.go(path)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path


def test_definition_errors_are_shown_with_their_fix(tmp_path: Path, browser: Browser) -> None:
    root = write_workspace(tmp_path, DBT, PYTHON + "\n    raise RuntimeError('out of order')\n")
    with served(root, log=root / "app.log") as url, visit(browser, url) as visitor:
        page = visitor.go()
        expect(page.get_by_text("1 definition error")).to_be_visible()
        expect(page.get_by_text("out of order").first).to_be_visible()
