"""`orchestrator resources` and `validate --connect`, on a workspace of nothing but Python."""

from __future__ import annotations

import json
import textwrap
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from orchestrator.cli.entry import run_command

RESOURCES = """
    from dataclasses import dataclass
    from orchestrator import Context, Env, Resource, Secret, Warehouse, action

    @dataclass(frozen=True)
    class Api(Resource):
        url: str
        token: str = ""

        @property
        def kinds(self):
            return ("http",)

        def check_connection(self):
            settings = self.resolved
            if "broken" in settings.url:
                raise ConnectionError(f"nobody listens at {settings.url} with {settings.token}")
            return "answers"

    api = Api(Env("STORY_URL", default="https://example.com"), token=Secret.env("STORY_TOKEN"))
    idle = Api("https://broken.example.com", token=Secret.env("STORY_TOKEN"))

    @action(key="ops.ask")
    def ask(context: Context):
        import sqlite3
        sqlite3.connect("x.db")
        return api.url
"""
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def package() -> str:
    return f"assets_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def command(
    tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(textwrap.dedent(RESOURCES))
    (tmp_path / "orchestrator.toml").write_text(f'python = "{package}"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORY_TOKEN", "hunter22")

    def run(name: str, *arguments: str) -> tuple[int, str]:
        code = run_command(name, arguments)
        return code, capsys.readouterr().out.replace(package, "assets")

    return run


def lines(text: str) -> Sequence[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def test_resources_are_listed_with_settings_and_users(command: Command) -> None:
    code, out = command("resources")
    assert code == 0
    assert lines(out) == [
        "assets.api  Api, http  assets/__init__.py:20",
        "  url = Env('STORY_URL', default='https://example.com')",
        "  token = Secret.env('STORY_TOKEN')",
        "  used by ops.ask  assets/__init__.py:27",
        "",
        "assets.idle  Api, http  assets/__init__.py:21",
        "  url = https://broken.example.com",
        "  token = Secret.env('STORY_TOKEN')",
        "  nothing uses it",
        "",
        "2 resources",
    ]


def test_resources_as_json(command: Command) -> None:
    _, out = command("resources", "--json")
    first, _ = json.loads(out)
    assert first == {
        "schema_version": 1,
        "name": "assets.api",
        "type": "Api",
        "kinds": ["http"],
        "location": "assets/__init__.py:20",
        "settings": {
            "url": "Env('STORY_URL', default='https://example.com')",
            "token": "Secret.env('STORY_TOKEN')",
        },
        "used_by": [{"name": "ops.ask", "kind": "action", "at": ["assets/__init__.py:27"]}],
    }


def test_an_asset_tells_what_it_uses(command: Command) -> None:
    _, out = command("ls", "--json")
    (ask,) = json.loads(out)
    assert ask["kinds"] == ["python", "action", "http"]
    assert ask["resources"] == [
        {
            "name": "assets.api",
            "type": "Api",
            "kinds": ["http"],
            "location": "assets/__init__.py:20",
            "used_at": ["assets/__init__.py:27"],
        }
    ]


def test_connect_opens_each_and_says_what_answered_without_telling_secrets(command: Command) -> None:
    code, out = command("validate", "--connect", "--format", "text")
    assert code == 1
    assert lines(out) == [
        "assets/__init__.py",
        "  21:1  error    assets.idle: ConnectionError: nobody listens at https://broken.example.com with ***"
        "  resource-connection",
        "                 fix: correct its settings, or start what it points to",
        "  26:1  warning  sqlite3.connect opens a database that is no resource: nobody sees who uses it"
        "  direct-connection",
        "                 fix: make it a module-level resource (Warehouse, DuckDB, Postgres, or your own) and use that",
        "",
        "  ✓ assets.api  answers",
        "",
        "✗ 1 error, 1 warning in 0 models",
    ]


def test_without_connect_nothing_is_opened(command: Command) -> None:
    code, out = command("validate", "--json")
    report = json.loads(out)
    assert code == 0
    assert [finding["rule"] for finding in report["findings"]] == ["direct-connection"]
    assert report["resources"] == []


def test_a_comment_silences_the_rule(command: Command, tmp_path: Path) -> None:
    (module,) = tmp_path.glob("assets_*/__init__.py")
    text = module.read_text().replace('"x.db")', '"x.db")  # orchestrator: ignore[direct-connection]')
    module.write_text(text)
    _, out = command("validate", "--json")
    assert json.loads(out)["findings"] == []


def test_wrong_settings_stop_a_run_before_it_starts(
    command: Command, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.delenv("STORY_TOKEN")
    code, _ = command("plan")
    assert code == 2
    _, out = command("validate", "--json")
    assert [(item["rule"], item["line"]) for item in json.loads(out)["findings"]] == [
        ("definition", 20),
        ("definition", 21),
        ("direct-connection", 26),
    ]
