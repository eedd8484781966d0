"""Files below one address: a directory, memory, or an object store."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from orchestrator import Env, Files
from orchestrator.errors import ResourceError, ResourceUnavailableError
from orchestrator.resources.observer import Observer, observing


@pytest.fixture(params=["path", "file", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    place = {"path": str(tmp_path), "file": f"file://{tmp_path}", "memory": f"memory://{uuid.uuid4().hex}"}
    return Files(place[request.param])


def test_what_is_written_is_there(files: Files) -> None:
    files.write("2013/a.csv", "n\n1\n")
    files.write("2013/b.csv", b"n\n2\n")
    files.write("other.txt", "x")
    assert files.read("2013/a.csv") == b"n\n1\n"
    assert files.read_text("/2013/b.csv") == "n\n2\n"
    assert files.glob("2013/*.csv") == ["2013/a.csv", "2013/b.csv"]
    assert (files.exists("2013/a.csv"), files.exists("2013/c.csv")) == (True, False)
    with files.open("2013/a.csv", "rt") as file:
        assert file.readline() == "n\n"


def test_paths_are_noted(tmp_path: Path) -> None:
    files, observer = Files(str(tmp_path)), Observer(tmp_path)
    with observing(observer):
        files.write("a.txt", "x")
        files.read("a.txt")
        files.glob("*.txt")
    url = f"file://{tmp_path}"
    assert observer.touched == {f"write {url}/a.txt": 1, f"read {url}/a.txt": 1, f"list {url}/*.txt": 1}


def test_a_whole_url_for_those_who_open_files_themselves(tmp_path: Path) -> None:
    assert Files(str(tmp_path)).url_of("a.parquet") == f"file://{tmp_path}/a.parquet"


def test_nothing_leads_out(files: Files) -> None:
    with pytest.raises(ResourceError) as caught:
        files.read("../secret")
    assert str(caught.value) == (
        "ResourceError: '../secret' leads out of the resource\n  fix: name paths below its url, without '..'"
    )


def test_it_says_whether_it_is_there(tmp_path: Path) -> None:
    assert Files(str(tmp_path)).check_connection() == f"file://{tmp_path} is there"
    with pytest.raises(ResourceUnavailableError, match=r"there is no file://.*/nothing"):
        Files(str(tmp_path / "nothing")).check_connection()


def test_a_store_without_its_package_says_which() -> None:
    with pytest.raises(ResourceUnavailableError) as caught:
        Files("nosuchstore://bucket").read("a")
    assert caught.value.what == "nosuchstore://bucket cannot be opened: Protocol not known: nosuchstore"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("data", "file"),
        ("/data", "file"),
        ("s3://b/p", "s3"),
        ("gs://b", "gcs"),
        ("abfs://c", "azure"),
        ("memory://", "memory"),
    ],
)
def test_its_kind_is_its_address(url: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORY_LAKE", url)
    assert Files(url).kinds == (kind,)
    assert Files(Env("STORY_LAKE")).kinds == (kind,)


def test_without_an_address_it_has_no_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORY_LAKE", raising=False)
    assert Files(Env("STORY_LAKE")).kinds == ()
