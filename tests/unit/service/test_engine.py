"""Which engine carries a run out."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from orchestrator.errors import ServiceError
from orchestrator.service.engine import EngineChoice, choose_engine
from orchestrator.service.processes import free_port
from orchestrator.service.server import ServerInfo, read_server, remove_server, running_server, write_server


def test_without_anything_that_runs_it_is_local(tmp_path: Path) -> None:
    assert choose_engine("auto", state_dir=tmp_path) == EngineChoice("local", "local")


def test_an_inherited_api_address_moves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with an_api() as api_url:
        monkeypatch.setenv("PREFECT_API_URL", api_url)

        assert choose_engine("auto", state_dir=tmp_path).name == "local"


def test_a_running_dev_gets_the_run(tmp_path: Path) -> None:
    with an_api() as api_url:
        write_server(tmp_path, dev(api_url))

        choice = choose_engine("auto", state_dir=tmp_path, configured_api_url="http://127.0.0.1:9/api")

    assert (choice.name, choice.api_url) == ("prefect", api_url)
    assert choice.why == "Prefect of the running orchestrator dev"


def test_local_means_local_also_while_dev_runs(tmp_path: Path) -> None:
    with an_api() as api_url:
        write_server(tmp_path, dev(api_url))

        assert choose_engine("local", state_dir=tmp_path).name == "local"


def test_a_configured_api_that_answers_gets_the_run(tmp_path: Path) -> None:
    with an_api() as api_url:
        choice = choose_engine("auto", state_dir=tmp_path, configured_api_url=api_url)

    assert (choice.name, choice.api_url, choice.own_profile) == ("prefect", api_url, True)


def test_a_configured_api_that_is_silent_is_said(tmp_path: Path) -> None:
    choice = choose_engine("auto", state_dir=tmp_path, configured_api_url="http://127.0.0.1:9/api")

    assert choice == EngineChoice("local", "local: http://127.0.0.1:9/api does not answer")


def test_asking_for_prefect_while_the_configured_api_is_silent_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ServiceError) as raised:
        choose_engine("prefect", state_dir=tmp_path, configured_api_url="http://127.0.0.1:9/api")

    assert str(raised.value) == (
        "ServiceError: no Prefect API answers at http://127.0.0.1:9/api\n"
        "  at:  prefect.api_url in [tool.orchestrator]\n"
        "  fix: start it, correct the address, or run without Prefect: --engine local"
    )


def test_asking_for_prefect_without_any_starts_one(tmp_path: Path) -> None:
    choice = choose_engine("prefect", state_dir=tmp_path)

    assert (choice.name, choice.api_url, choice.own_profile) == ("prefect", None, False)


def test_the_file_of_a_dev_that_died_counts_for_nothing(tmp_path: Path) -> None:
    with an_api() as api_url:
        write_server(tmp_path, dev(api_url, born_s_ago=3600))  # the pid lives, but belongs to somebody younger

        assert running_server(tmp_path) is None


def test_a_dev_whose_api_is_silent_is_not_running(tmp_path: Path) -> None:
    write_server(tmp_path, dev(f"http://127.0.0.1:{free_port()}/api"))

    assert read_server(tmp_path) is not None
    assert running_server(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"api_url": 1}', "not json"])
def test_a_damaged_file_counts_for_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "dev.json").write_text(text)

    assert running_server(tmp_path) is None


def test_only_its_owner_may_read_and_remove_the_file(tmp_path: Path) -> None:
    write_server(tmp_path, dev("http://127.0.0.1:9/api"))
    assert (tmp_path / "dev.json").stat().st_mode & 0o777 == 0o600

    remove_server(tmp_path, pid=os.getpid() + 1)
    assert (tmp_path / "dev.json").exists()
    remove_server(tmp_path, pid=os.getpid())
    assert not (tmp_path / "dev.json").exists()


def test_choosing_an_engine_imports_no_prefect() -> None:
    code = (
        "import sys; import orchestrator.service.engine, orchestrator.service.server, orchestrator.service.dev;"
        "print([name for name in ('prefect', 'streamlit', 'dbt', 'duckdb') if name in sys.modules])"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def dev(api_url: str, *, born_s_ago: float = 0) -> ServerInfo:
    return ServerInfo(api_url=api_url, pid=os.getpid(), create_time=psutil.Process().create_time() - born_s_ago)


@contextmanager
def an_api() -> Iterator[str]:
    """Something that answers as a healthy Prefect API does."""

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/api"
        finally:
            server.shutdown()
