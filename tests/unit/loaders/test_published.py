"""Published graphs: where they are read from, how long the last copy helps, and what they are in our graph."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestrator.definitions.keys import AssetKey, Relation
from orchestrator.errors import PublishedGraphError
from orchestrator.graph_places import TOKEN_VARIABLE, read_place, write_place
from orchestrator.loaders.published import Published, load_published, published_facts

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
GRAPH: dict[str, Any] = {
    "schema_version": 1,
    "project": "ingest",
    "environment": "prod",
    "at": "2026-11-25T06:00:00Z",
    "later": "what an older reader does not know",
    "assets": [
        {
            "key": "raw.flights",
            "aliases": ["flights"],
            "relation": {"database": "dev", "schema": "raw", "identifier": "flights"},
            "kinds": ["python", "duckdb"],
            "owners": ["ops@example.com"],
            "location": "assets/flights.py:12",
            "columns": [{"name": "Origin", "type": "VARCHAR"}, {"name": "delay", "description": "minutes"}],
            "columns_complete": True,
            "access": "public",
            "version": "run-1",
            "materializations": [
                {"writer": "python:a.flights", "version": "run-1", "at": "2026-11-25T05:00:00Z", "rows": 7}
            ],
        },
        {"key": "raw.open", "columns": [{"name": "id"}]},
        {"key": "web.pages", "external": True},
    ],
}


def text(graph: object = GRAPH) -> bytes:
    return json.dumps(graph).encode()


class Server(ThreadingHTTPServer):
    """Serves one document with an ETag, and takes it by PUT."""

    content = text()
    down = False
    seen: list[tuple[str, str | None]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.headers.get("If-None-Match") or "", self.headers.get("Authorization")))
        etag = f'"{hash(self.server.content)}"'
        if self.server.down:
            self.send_error(503)
        elif self.headers.get("If-None-Match") == etag:
            self.send_response(304)
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("ETag", etag)
            self.end_headers()
            self.wfile.write(self.server.content)

    def do_PUT(self) -> None:
        self.server.content = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.seen = []
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/graph.json"


def load(place: str, cache: Path, *, after: timedelta = timedelta(0)) -> Published:
    return load_published("other", place, cache=cache, at="orchestrator.toml:3", as_of=NOW + after)


def test_what_another_repository_writes_is_here_without_writers(tmp_path: Path) -> None:
    (tmp_path / "graph.json").write_bytes(text())
    found = load(str(tmp_path / "graph.json"), tmp_path / "cache")
    flights, opened = found.fragment.assets
    assert (flights.id, flights.elsewhere) == ("graph:other:raw.flights", True)
    assert flights.asset.relation == Relation("dev", "raw", "flights")
    assert str(flights.asset.location) == "other:assets/flights.py:12"
    assert (flights.asset.external, flights.asset.access_written, opened.asset.access_written) == (True, True, False)
    assert found.columns == {"graph:other:raw.flights": (("origin", "VARCHAR"), ("delay", None))}
    facts = published_facts(found, {flights.id: AssetKey("raw", "flights"), opened.id: AssetKey("raw", "open")})
    ((key, fact),) = facts.items()
    assert key == ("raw.flights", "graph:other", None)
    assert (fact.version, fact.rows, fact.at) == ("run-1", 7, datetime(2026, 11, 25, 5, tzinfo=timezone.utc))


def test_what_has_not_changed_is_not_sent_again(server: Server, tmp_path: Path) -> None:
    first, second = load(address(server), tmp_path), load(address(server), tmp_path)
    assert first == second
    assert [bool(etag) for etag, _ in server.seen] == [False, True]
    server.content = text({**GRAPH, "assets": []})
    assert load(address(server), tmp_path).fragment.assets == ()


def test_while_it_cannot_be_reached_the_last_copy_is_shown_with_its_age(server: Server, tmp_path: Path) -> None:
    whole = load(address(server), tmp_path)
    load(address(server), tmp_path, after=timedelta(hours=1))  # still the newest then
    server.down = True
    found = load(address(server), tmp_path, after=timedelta(days=2, hours=1))
    assert found.fragment.assets == whole.fragment.assets
    assert found.fragment.errors == ()
    assert found.fragment.warnings == (
        f"project 'other': the graph at {address(server)} cannot be read: HTTP Error 503: Service Unavailable; shown "
        "is the copy of 2 days ago",
    )


def test_without_any_copy_it_is_an_error_of_that_project(tmp_path: Path) -> None:
    found = load(str(tmp_path / "graph.json"), tmp_path / "cache")
    assert found.fragment.incomplete
    assert [str(error) for error in found.fragment.errors] == [
        f"PublishedGraphError: the graph at {tmp_path}/graph.json cannot be read: No such file or directory\n"
        "  at:  orchestrator.toml:3\n"
        "  fix: correct 'graph', or publish it there"
    ]


def test_a_server_that_is_not_there_is_said_in_plain_words(server: Server, tmp_path: Path) -> None:
    place = address(server)
    server.shutdown()
    server.server_close()
    refused = ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    assert [str(error) for error in load(place, tmp_path).fragment.errors] == [
        f"PublishedGraphError: the graph at {place} cannot be read: {refused}\n"
        "  at:  orchestrator.toml:3\n"
        "  fix: check the address and the network"
    ]


def test_a_copy_of_another_address_does_not_help(server: Server, tmp_path: Path) -> None:
    load(address(server), tmp_path)
    assert load(f"{address(server)}2", tmp_path / "cache").fragment.assets
    assert load(str(tmp_path / "nothing.json"), tmp_path).fragment.incomplete


@pytest.mark.parametrize(
    ("content", "what", "fix"),
    [
        (
            b"<html>",
            "what is at {place} is no published graph: JSON is malformed: invalid character (byte 0)",
            "correct 'graph'; `orchestrator publish --to …` in the other repository writes one",
        ),
        (
            text({**GRAPH, "assets": [{"name": "x"}]}),
            "what is at {place} is no published graph: Object missing required field `key` - at `$.assets[0]`",
            "correct 'graph'; `orchestrator publish --to …` in the other repository writes one",
        ),
        (
            text({"schema_version": 2}),
            "the graph at {place} has schema_version 2, this Orchestrator reads up to 1",
            "upgrade dbt-orchestrator here",
        ),
    ],
)
def test_what_is_no_graph_is_said_to_be_none(tmp_path: Path, content: bytes, what: str, fix: str) -> None:
    place = tmp_path / "graph.json"
    place.write_bytes(content)
    (error,) = load(str(place), tmp_path / "cache").fragment.errors
    assert (error.what, error.at, error.fix) == (what.replace("{place}", str(place)), "orchestrator.toml:3", fix)


def test_http_takes_and_gives_it_with_a_token(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "s3cret")
    write_place(address(server), b"{}")
    assert read_place(address(server)).content == b"{}"
    assert server.seen == [("", "Bearer s3cret")]


def test_fsspec_takes_and_gives_it(tmp_path: Path) -> None:
    write_place("memory://graphs/a.json", b"one")
    found = read_place("memory://graphs/a.json")
    assert found.content == b"one"
    assert read_place("memory://graphs/a.json", stamp=found.stamp).content is None
    write_place(f"file://{tmp_path}/graphs/a.json", b"two")
    assert read_place(f"file://{tmp_path}/graphs/a.json").content == b"two"
    with pytest.raises(PublishedGraphError) as caught:
        read_place("nosuch://bucket/a.json")
    assert str(caught.value) == (
        "PublishedGraphError: the graph at nosuch://bucket/a.json cannot be reached: Protocol not known: nosuch\n"
        "  fix: install what fsspec needs for nosuch:// (s3fs, gcsfs, adlfs …)"
    )


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a directory should be", encoding="utf-8")
    with pytest.raises(PublishedGraphError) as caught:
        write_place(str(tmp_path / "taken/graph.json"), b"{}")
    assert str(caught.value) == (
        f"PublishedGraphError: the graph at {tmp_path}/taken/graph.json cannot be written: File exists\n"
        "  fix: give a place that can be written"
    )
    write_place(str(tmp_path / "new/graph.json"), b"{}")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["graph.json"]
