"""docs/how-to/external.md, as it stands there: a workspace of its files, run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from orchestrator import external
from orchestrator.definitions.metadata import MetadataValue
from orchestrator.testing import build_context
from tests.integration.test_docs import blocks
from tests.integration.workspaces import Scene

pytestmark = pytest.mark.slow

DOCUMENT = "how-to/external.md"
PACKAGE = "docs_external_assets"  # a name of its own: Python keeps what it has imported

SHOP = {
    "dbt_project/dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n",
    "dbt_project/profiles.yml": "shop: {target: dev, outputs: {dev: {type: duckdb, path: dev.duckdb}}}\n",
    "dbt_project/models/daily_sales.sql": "select date '2024-01-01' as day, 12.5 as amount, 'tea' as article\n",
    "python_package/__init__.py": "",
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    root = tmp_path_factory.mktemp("external")
    files = {name.replace("python_package", PACKAGE): text for name, text in SHOP.items()}
    files["orchestrator.toml"] = f'name = "docs"\ndbt = "dbt_project"\npython = "{PACKAGE}"\n'
    for code in blocks(DOCUMENT, "python"):
        found = re.match(r"# (\S+\.py)\n", code)
        assert found, f"each block begins with the name of its file: {code[:60]}"
        files[found[1].replace("python_assets", PACKAGE)] = code
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    copy, venv = (code.strip() for code in blocks(DOCUMENT, "console"))
    for command in (copy, venv):
        program = command.replace("(python ", f"({sys.executable} ").replace(
            "python -m venv", f"{sys.executable} -m venv"
        )
        subprocess.run(program, shell=True, cwd=root, check=True)
    assert (root / "orchestrator_external.py").read_bytes() == Path(external.__file__).read_bytes()
    return Scene(root)


class Cluster(BaseHTTPRequestHandler):
    """As much of a cluster's REST API as the document uses; each run is a process in a directory of its own."""

    root: Path
    runs: dict[int, subprocess.Popen[bytes]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        task = body["spark_python_task"]
        code = (self.root / task["python_file"]).read_text(encoding="utf-8")
        home = self.root / "spark" / body["run_name"]
        home.mkdir(parents=True)
        (home / "main.py").write_text(code, encoding="utf-8")
        (home / "orchestrator_external.py").write_bytes((self.root / "orchestrator_external.py").read_bytes())
        command = [self.root / ".venv-ml/bin/python", "main.py", *task["parameters"]]
        self.runs[1] = subprocess.Popen(command, cwd=home, env={})
        self._answer({"run_id": 1})

    def do_GET(self) -> None:
        (number,) = parse_qs(urlparse(self.path).query)["run_id"]
        code = self.runs[int(number)].poll()
        running = {"life_cycle_state": "RUNNING"}
        ended = {"life_cycle_state": "TERMINATED", "result_state": "FAILED" if code else "SUCCESS", "state_message": ""}
        self._answer({"state": running if code is None else ended})

    def _answer(self, data: dict[str, Any]) -> None:
        assert self.headers["Authorization"] == "Bearer t0k3n"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(data).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        return


@pytest.fixture
def cluster(workspace: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    handler = type("Handler", (Cluster,), {"root": workspace.root, "runs": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("SPARK_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("SPARK_TOKEN", "t0k3n")
        monkeypatch.setenv("SPARK_STORE", str(workspace.root / "lake"))
        yield
        server.shutdown()


def test_the_examples_run(workspace: Scene, cluster: None) -> None:
    ran = workspace.run("ml.scores+", "ml.forecast", "lake.sessions")
    assert ran.steps == {
        "ml.scores": "succeeded",
        "action.publish": "succeeded",
        "ml.forecast": "succeeded",
        "lake.sessions": "succeeded",
    }, ran.reasons
    assert ran.checks == {"enough_rows": "succeeded", "no_negative_delay": "warned", "a_week": "succeeded"}
    records = workspace.load().records
    scores, forecast, sessions = (records.latest("dev", key) for key in ("ml.scores", "ml.forecast", "lake.sessions"))
    assert scores is not None
    assert forecast is not None
    assert sessions is not None
    assert (scores.rows, scores.metadata["mean_delay"]["value"], forecast.rows) == (3, 16.5, 7)
    assert sessions.metadata == {"sessions": {"kind": "number", "value": 1200}}
    texts = [line.message for line in records.log_lines(ran.result.run_id)]
    assert f"run {ran.result.run_id} wrote scores.json for ml.scores" in texts
    assert "reading from duckdb" in texts
    assert any(text.endswith(" scores.json.gz") for text in texts)


def test_a_changed_script_makes_its_asset_stale(workspace: Scene) -> None:
    workspace.run("ml.scores")
    assert workspace.states()["ml.scores"] == "fresh"
    script = workspace.root / "jobs/fit.py"
    before = script.read_text(encoding="utf-8")
    script.write_text(before.replace("40.0", "41.0"), encoding="utf-8")
    try:
        assert (workspace.states()["ml.scores"], workspace.reason("ml.scores")) == ("stale", "its code changed")
    finally:
        script.write_text(before, encoding="utf-8")


def test_the_examples_can_be_tested(workspace: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.load()
    monkeypatch.chdir(workspace.root)
    context = build_context()
    assert len(sys.modules[f"{PACKAGE}.scores"].scores(context)) == 3  # type: ignore[attr-defined]
    assert context.metadata["mean_delay"] == MetadataValue("number", 16.5)
