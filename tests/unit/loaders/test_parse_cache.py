"""When a project must be parsed again."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.loaders.parse_cache import ParseState, build_key, named_env_vars, read_state, write_state
from orchestrator.resources.dbt_profile import Profile


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    directory = tmp_path / "shop"
    for name in ("models/a.sql", "models/logs/b.sql", "target/run/a.sql", "dbt_packages/p/models/x.sql"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("select 1")
    return Profile("shop", "dev", {"type": "duckdb"}, directory / "profiles.yml", directory)


def key(profile: Profile, **changed: object) -> str:
    options: dict[str, object] = {"project_file": {}, "variables": {}, **changed}
    return build_key(profile, **options)  # type: ignore[arg-type]


def _touch(name: str) -> Callable[[Path], object]:
    return lambda directory: os.utime(directory / name, (1, 1))


def _write(name: str) -> Callable[[Path], object]:
    return lambda directory: (directory / name).write_text("select 22")


@pytest.mark.parametrize(
    "change",
    [
        _touch("models/a.sql"),
        _write("models/new.sql"),
        _write("models/logs/b.sql"),  # only the project's own `logs` is skipped
        _write("dbt_packages/p/models/x.sql"),
        _write("packages.yml"),
        _write(".dbtignore"),
        lambda directory: (directory / "models/a.sql").unlink(),
    ],
)
def test_a_changed_file_changes_the_key(profile: Profile, change: Callable[[Path], object]) -> None:
    before = key(profile)
    change(profile.project_dir)
    assert key(profile) != before


@pytest.mark.parametrize("name", ["target/run/a.sql", "README.txt", "warehouse.duckdb"])
def test_what_dbt_does_not_read_does_not(profile: Profile, name: str) -> None:
    before = key(profile)
    _write(name)(profile.project_dir)
    assert key(profile) == before


def test_profile_vars_and_environment_count(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_LIMIT", "1")
    before = key(profile, env_vars=("SHOP_LIMIT",))

    monkeypatch.setenv("SHOP_LIMIT", "2")
    keys = {
        before,
        key(profile, env_vars=("SHOP_LIMIT",)),
        key(profile, variables={"limit": 1}),
        key(replace(profile, target="prod")),
        key(replace(profile, output={"type": "duckdb", "schema": "other"})),
    }
    assert len(keys) == 5


def test_paths_outside_the_project_and_linked_packages_are_seen(profile: Profile, tmp_path: Path) -> None:
    shared, local = tmp_path / "shared", tmp_path / "local"
    shared.mkdir()
    local.mkdir()
    (profile.project_dir / "dbt_packages" / "local").symlink_to(local)
    (local / "loop").symlink_to(local)
    settings = {"project_file": {"model-paths": ["models", "../shared"]}}
    before = key(profile, **settings)
    (shared / "s.sql").write_text("select 1")
    with_shared = key(profile, **settings)
    (local / "l.sql").write_text("select 1")

    assert len({before, with_shared, key(profile, **settings)}) == 3


def test_a_state_belongs_to_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    write_state(tmp_path, ParseState("abc", (0, 0), ("HOME",), ("a warning",)))

    state = read_state(tmp_path)
    assert state is not None
    assert (state.key, state.env_vars, state.warnings) == ("abc", ("HOME",), ("a warning",))

    (tmp_path / "manifest.json").write_text('{"other": 1}')
    assert read_state(tmp_path) is None  # somebody else wrote it


@pytest.mark.parametrize("content", ["", "[]", '{"key": 1}'])
def test_a_damaged_state_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "parse_cache.json").write_text(content)
    assert read_state(tmp_path) is None


def test_environment_variables_of_the_settings_are_known(tmp_path: Path) -> None:
    (tmp_path / "dbt_project.yml").write_text("name: x\nversion: \"{{ env_var('RELEASE', '1') }}\"\n")
    assert named_env_vars(tmp_path) == {"RELEASE"}
