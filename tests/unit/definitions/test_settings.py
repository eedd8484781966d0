"""Settings of resources: read where the code runs, as the field's type, and never told where they are secret."""

from __future__ import annotations

import copy
import enum
import logging
import pickle
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from orchestrator import Env, Resource, Secret
from orchestrator.definitions.masking import SecretMask
from orchestrator.definitions.resources import describe_settings, find_problems
from orchestrator.definitions.settings import EnvSetting, converted
from orchestrator.errors import DefinitionError, DefinitionErrors

TOKEN = "s3cr3t/tok en+of the story"


class Colour(enum.Enum):
    RED = "red"


@dataclass(frozen=True)
class Weather(Resource):
    url: str
    token: str = ""
    timeout_s: float = 30.0
    headers: dict[str, str] = field(default_factory=dict)
    verify: bool = True


@pytest.fixture
def weather(monkeypatch: pytest.MonkeyPatch) -> Weather:
    monkeypatch.setenv("STORY_TOKEN", TOKEN)
    return Weather(
        Env("STORY_URL", default="https://example.com"),
        token=Secret.env("STORY_TOKEN"),
        headers={"x-token": Secret.env("STORY_TOKEN")},
    )


def test_values_are_put_in_place_when_they_are_asked_for(weather: Weather, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weather.resolved.url == "https://example.com"
    monkeypatch.setenv("STORY_URL", "https://other.example.com")
    assert weather.resolved.url == "https://other.example.com", "nothing is kept"
    assert (weather.resolved.token, weather.resolved.headers) == (TOKEN, {"x-token": TOKEN})


def test_a_resource_without_references_is_resolved_as_it_is() -> None:
    plain = Weather("https://example.com")
    assert plain.resolved is plain


@pytest.mark.parametrize(
    ("text", "wanted", "value"),
    [
        ("8", int, 8),
        ("0.5", float, 0.5),
        ("Yes", bool, True),
        ("off", bool, False),
        ("/data", Path, Path("/data")),
        ("red", Colour, Colour.RED),
        ("RED", Colour, Colour.RED),
        ("2", Literal[1, 2], 2),
        ("5", int | None, 5),
        ("five", int | str, "five"),
        ("a, b", list[str], ["a", "b"]),
        ("1,2", tuple[int, ...], (1, 2)),
        ("as it is", Any, "as it is"),
    ],
)
def test_a_variable_becomes_what_the_field_is(text: str, wanted: Any, value: object) -> None:
    assert converted(text, wanted) == value


@pytest.mark.parametrize(
    ("text", "wanted"), [("many", int), ("perhaps", bool), ("blue", Colour), ("3", Literal[1, 2]), ("x", int | None)]
)
def test_what_is_none_of_it_is_refused(text: str, wanted: Any) -> None:
    with pytest.raises(ValueError, match=text):
        converted(text, wanted)


def test_all_that_is_wrong_is_found_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STORY_URL", raising=False)
    monkeypatch.setenv("STORY_TIMEOUT", "soon")
    broken = Weather(
        Env("STORY_URL"),
        token=Secret.file(tmp_path / "token"),
        timeout_s=Env("STORY_TIMEOUT", default=3.0),
        verify="no",  # type: ignore[arg-type]
    )
    assert [(item.field, item.what, item.fix) for item in find_problems(broken)] == [
        (
            "url",
            "the environment variable STORY_URL is not set",
            'set STORY_URL, or write Env("STORY_URL", default=…)',
        ),
        ("token", f"there is no secret file {tmp_path / 'token'}", "mount the secret there, or correct the path"),
        (
            "timeout_s",
            "the environment variable STORY_TIMEOUT is 'soon', which is no float",
            "set STORY_TIMEOUT to a number, such as 2.5",
        ),
        ("verify", "'no' is no bool", "give it a value of type bool"),
    ]
    with pytest.raises(DefinitionErrors) as caught:
        _ = broken.resolved
    assert len(caught.value.errors) == 4


def test_one_error_says_what_and_how_to_fix_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORY_TOKEN", raising=False)
    with pytest.raises(DefinitionError) as caught:
        _ = Weather("https://example.com", token=Secret.env("STORY_TOKEN")).resolved
    assert str(caught.value) == (
        "DefinitionError: token of Weather: the environment variable STORY_TOKEN, which holds a secret, is not set\n"
        "  fix: set STORY_TOKEN"
    )


def test_a_default_of_another_type_is_found() -> None:
    wrong: Any = EnvSetting("STORY_NOWHERE", "soon")
    assert [item.what for item in find_problems(Weather("x", timeout_s=wrong))] == ["str is no float"]


def test_an_empty_secret_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    assert [item.what for item in find_problems(Weather("x", token=Secret.file(tmp_path / "empty")))] == [
        f"Secret.file('{tmp_path / 'empty'}') is empty"
    ]


@dataclass(frozen=True)
class Vault:
    path: str

    def read(self) -> str:
        if self.path == "gone":
            raise LookupError("no such path")
        return f"kept at {self.path}"


def test_any_store_can_be_asked_but_only_when_it_is_needed() -> None:
    assert Weather("x", token=Secret.of(Vault("a"))).resolved.token == "kept at a"
    gone = Weather("x", token=Secret.of(Vault("gone")))
    assert find_problems(gone) == [], "it may be far away: loading does not ask"
    with pytest.raises(DefinitionError) as caught:
        _ = gone.resolved
    assert caught.value.what == (
        "token of Weather: Secret.of(Vault(path='gone')) cannot be read: LookupError: no such path"
    )


def test_no_text_of_a_resource_tells_the_secret(weather: Weather) -> None:
    resolved = weather.resolved
    texts = [repr(weather), str(weather), repr(resolved), str(resolved), f"{resolved}", str(describe_settings(weather))]
    assert not [text for text in texts if TOKEN in text]
    assert repr(resolved) == (
        "Weather(url='https://example.com', token='***', timeout_s=30.0, headers={'x-token': '***'}, verify=True)"
    )
    assert describe_settings(weather)["token"] == "Secret.env('STORY_TOKEN')"


def test_a_pickle_or_a_copy_carries_where_the_secret_is_not_what_it_is(
    weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (weather, weather.resolved):
        assert TOKEN.encode() not in pickle.dumps(each)
    travelled = pickle.dumps(weather.resolved)
    monkeypatch.setenv("STORY_TOKEN", "the one over there")
    assert pickle.loads(travelled).token == "the one over there"
    assert copy.deepcopy(weather) == weather


def test_log_lines_never_tell_it_whoever_writes_them(weather: Weather, caplog: pytest.LogCaptureFixture) -> None:
    token = weather.resolved.token
    logger = logging.getLogger("a.library.of.others")
    with caplog.at_level("DEBUG"):
        logger.warning("GET /rows?key=%s", token)
        logger.info("quoted: %s", "s3cr3t%2Ftok%20en%2Bof%20the%20story")
        try:
            raise RuntimeError(f"refused: {token}")
        except RuntimeError:
            logger.exception("it failed")
        logger.warning("%d wrong arguments are logging's own affair", 1)
    assert TOKEN not in caplog.text
    assert "GET /rows?key=***" in caplog.text
    assert "RuntimeError: refused: ***" in caplog.text
    assert "quoted: ***" in caplog.text
    assert "1 wrong arguments" in caplog.text


def test_a_mask_hides_the_longest_first_and_leaves_short_words_alone() -> None:
    mask = SecretMask()
    for value in ("abcd", "abcdef", "ab", "line one of a key\nline two of a key"):
        mask.add(value)
    assert mask.text("abcdef abcd ab 'line two of a key'") == "*** *** ab '***'"
    assert mask.value({"a": ["abcd", ("abcd", 1)], "b": 2}) == {"a": ["***", ("***", 1)], "b": 2}


@pytest.mark.slow
def test_a_type_checker_takes_references_for_values_and_finds_wrong_ones(tmp_path: Path) -> None:
    file = tmp_path / "story.py"
    file.write_text(
        textwrap.dedent(
            """
            from dataclasses import dataclass
            from orchestrator import Env, Resource, Secret

            @dataclass(frozen=True)
            class Weather(Resource):
                url: str
                token: str
                timeout_s: float = 30.0

                def ask(self) -> str:
                    return self.resolved.url + self.resolved.token

            weather = Weather(Env("A", default="b"), token=Secret.env("C"), timeout_s=Env("D"))
            with weather.override(Weather("x", token=Secret.file("/run/secrets/x"))):
                weather.ask()
            wrong = Weather(Env("A", default=3), token=Secret.env("C"))
            weather.nothing
            """
        )
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-error-summary", str(file)]
    out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert [line.partition("error: ")[2] for line in out.splitlines() if "error: " in line] == [
        'Argument 1 to "Weather" has incompatible type "int"; expected "str"  [arg-type]',
        '"Weather" has no attribute "nothing"  [attr-defined]',
    ]
