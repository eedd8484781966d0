from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.ci.base import Base
from orchestrator.ci.place import Place, find_place, write_profile
from orchestrator.ci.snapshot import Snapshot
from orchestrator.errors import ConfigError
from orchestrator.graph.build import build_graph
from orchestrator.resources.dbt_profile import Profile, resolve_profile


def profile(directory: Path, **output: Any) -> Profile:
    (directory / "dbt_project.yml").write_text("name: shop\nprofile: shop\n", encoding="utf-8")
    content = {"shop": {"target": "dev", "outputs": {"dev": output}}}
    (directory / "profiles.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return resolve_profile(directory)


def base(directory: Path, path: Path | None = None, *, database: str = "dev") -> Base:
    return Base("main", Snapshot(directory, "dev", build_graph([]), database=database, duckdb_path=path), None)


def written(place: Place) -> dict[str, Any]:
    write_profile(place)
    (file,) = place.profiles_dir.iterdir()
    return dict(yaml.safe_load(file.read_text(encoding="utf-8"))["shop"]["outputs"]["dev"])


def test_duckdb_gets_a_file_of_its_own_and_reads_the_bases(tmp_path: Path) -> None:
    there = tmp_path / "dev.duckdb"
    there.touch()
    found = profile(
        tmp_path, type="duckdb", path="dev.duckdb", schema="live", threads=3, attach=[{"path": "/data/other.duckdb"}]
    )
    place = find_place(found, base(tmp_path, there), state_dir=tmp_path / "state", root=tmp_path, name="feature/Less!")
    assert (place.environment, place.database_path) == (
        "ci-feature_less",
        tmp_path / "state/ci/ci_feature_less.duckdb",
    )
    assert written(place) == {
        "type": "duckdb",
        "path": str(place.database_path),
        "schema": "live",
        "threads": 3,
        "attach": [
            {"path": "/data/other.duckdb", "read_only": True},
            {"path": str(there), "read_only": True},
        ],
        "external_root": str(place.directory / "external"),
    }


def test_a_server_gets_a_schema_and_no_secret_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THIS_TEST", "pearl")
    password = "{{ env_var('SECRET_OF_THIS_TEST') }}"
    found = profile(tmp_path, type="postgres", dbname="shop", schema="live", password=password)
    place = find_place(found, base(tmp_path), state_dir=tmp_path, root=tmp_path, name="7")
    assert written(place) == {"type": "postgres", "dbname": "shop", "schema": "ci_7", "password": password}


def test_a_database_in_memory_has_no_place(tmp_path: Path) -> None:
    found = profile(tmp_path, type="duckdb", path=":memory:")
    with pytest.raises(ConfigError) as caught:
        find_place(found, base(tmp_path), state_dir=tmp_path, root=tmp_path, name="7")
    assert str(caught.value) == (
        "ConfigError: target 'dev' is no DuckDB file (:memory:), so there is nothing beside which a CI run could "
        "build\n"
        f"  at:  {tmp_path / 'profiles.yml'}\n"
        "  fix: choose a target with a file or a server: --target"
    )


def test_two_databases_of_one_name_are_refused(tmp_path: Path) -> None:
    found = profile(tmp_path, type="duckdb", path="ci_7.duckdb")
    with pytest.raises(ConfigError) as caught:
        find_place(found, base(tmp_path, database="ci_7"), state_dir=tmp_path, root=tmp_path, name="7")
    assert str(caught.value) == (
        "ConfigError: the base's database is called 'ci_7', as this CI run's would be\n"
        "  fix: give the run another --name"
    )
