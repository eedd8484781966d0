"""An HTTP API as a resource, against a real server on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Env, Http, Secret
from orchestrator.errors import ResourceUnavailableError
from orchestrator.resources.observer import Observer, observing


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer({"path": self.path, "auth": self.headers.get("Authorization"), "x": self.headers.get("X-Own")})

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        self.answer({"sent": json.loads(self.rfile.read(size))})

    def answer(self, value: Any) -> None:
        status = {"/broken": 503, "/secret": 403, "/moved": 302}.get(self.path, 200)
        body = json.dumps(value).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/there")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_get_and_post_answer_with_what_httpx_has(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORY_URL", url)
    monkeypatch.setenv("STORY_TOKEN", "hunter22")
    api = Http(Env("STORY_URL"), token=Secret.env("STORY_TOKEN"), headers={"X-Own": "mine"})
    answer = api.get("/rows", params={"page": 2})
    assert answer.status_code == 200
    assert answer.json() == {"path": "/rows?page=2", "auth": "Bearer hunter22", "x": "mine"}
    assert api.post("/rows", json={"n": 1}).json() == {"sent": {"n": 1}}
    assert api.get("/moved").json()["path"] == "/there"


def test_headers_may_say_who_one_is_in_another_way(url: str) -> None:
    api = Http(url, token="unused", headers={"Authorization": "Basic eA=="})
    assert api.get().json()["auth"] == "Basic eA=="


def test_one_client_for_several_requests(url: str) -> None:
    with Http(url).client() as client:
        assert [client.get(f"/{page}").json()["path"] for page in range(3)] == ["/0", "/1", "/2"]


def test_each_request_is_noted_without_its_query(url: str, tmp_path: Path) -> None:
    observer = Observer(tmp_path)
    with observing(observer):
        api = Http(url)
        api.get("/rows", params={"key": "hunter22"})
        api.get("/rows", params={"key": "other"})
        api.get("/broken")
    assert observer.touched == {f"GET {url}/rows: 200": 2, f"GET {url}/broken: 503": 1}
    assert [seen.resource for seen in observer.resources] == [api]


def test_it_says_whether_it_answers(url: str) -> None:
    assert Http(url).check_connection() == "127.0.0.1 answers 200"
    for path, said in (("/broken", "is broken: 503"), ("/secret", "refuses: 403")):
        with pytest.raises(ResourceUnavailableError, match=said):
            Http(f"{url}{path}").check_connection()


def test_nobody_there_is_an_error_that_says_so() -> None:
    with pytest.raises(ResourceUnavailableError) as caught:
        Http("http://127.0.0.1:9", timeout_s=0.5, retries=0).get("/rows")
    assert str(caught.value) == (
        "ResourceUnavailableError: http://127.0.0.1:9 does not answer: [Errno 111] Connection refused\n"
        "  fix: check base_url and the network, or raise timeout_s"
    )


def test_another_api_can_stand_in(url: str) -> None:
    api = Http("http://127.0.0.1:9")
    with api.override(Http(url)):
        assert api.get("/rows").json()["path"] == "/rows"


def test_it_can_be_a_key_whatever_its_headers_are(url: str) -> None:
    assert {Http(url, headers={"a": "b"}): 1}[Http(url, headers={"a": "b"})] == 1
    assert Http(url).kinds == ("http",)
