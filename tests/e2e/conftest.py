"""One browser for the whole session, and the app served on a free port for a workspace on disk."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator_app.launch import streamlit_command, streamlit_environment

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
READY = "[data-testid=stApp][data-test-script-state=notRunning]"
PATIENCE_S = 120


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)  # a busy machine is not a fault
    found = os.environ.get("CHROMIUM") or next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("no Chromium was found: install it (apt-get install chromium), or name it in CHROMIUM")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        yield started
        started.close()


@dataclass
class Visitor:
    """A person at the app: one page, and whatever went wrong on it."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)

    def go(self, path: str = "/") -> Page:
        """Open a page of the app and wait until it is drawn."""
        self.page.goto(self.url + path)
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until the script has run and nothing is being loaded any more."""
        self.page.wait_for_timeout(200)  # a click needs a moment to reach the server
        self.page.wait_for_selector(READY, timeout=PATIENCE_S * 1000)
        self.page.wait_for_selector("[data-testid=stSkeleton]", state="detached", timeout=PATIENCE_S * 1000)
        assert self.page.locator("[data-testid=stException]").all_inner_texts() == []

    def heard(self, message: ConsoleMessage) -> None:
        # Streamlit looks for its own endpoints below the page's path first, and finds them above.
        searching = "_stcore" in message.location.get("url", "")
        if message.type == "error" and not searching:
            self.faults.append(f"{message.text} ({message.location.get('url')})")


@contextmanager
def visit(browser: Browser, url: str, *, dark: bool = False, width: int = 1440, height: int = 900) -> Iterator[Visitor]:
    """A visitor whose page must stay free of errors."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
    visitor = Visitor(context.new_page(), url)
    visitor.page.on("console", visitor.heard)
    visitor.page.on("pageerror", lambda error: visitor.faults.append(str(error)))
    try:
        yield visitor
        assert visitor.faults == []
    finally:
        context.close()


@contextmanager
def served(root: Path, *, log: Path) -> Iterator[str]:
    """The app for a workspace, until the end of the block; its address."""
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            streamlit_command(port), env=streamlit_environment(root), cwd=root, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/_stcore/health", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the app did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")
