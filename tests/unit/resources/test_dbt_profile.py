"""The dbt profile, resolved without dbt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import ConfigError, DbtProjectError
from orchestrator.resources.dbt_profile import Profile, database_name, pinned_profile, resolve_profile

PROFILES = """\
shop:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: data/dev.duckdb
      config_options: {threads: 1}
    prod:
      type: postgres
      host: "{{ env_var('SHOP_HOST', 'localhost') }}"
      port: "{{ env_var('SHOP_PORT') | int }}"
      password: "{{ env_var('SHOP_PASSWORD') }}"
      dbname: shop
      schema: live
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DBT_PROFILES_DIR", "DBT_PROFILE", "DBT_TARGET", "SHOP_HOST", "SHOP_PORT", "SHOP_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    directory = tmp_path / "shop"
    directory.mkdir()
    (directory / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (directory / "profiles.yml").write_text(PROFILES)
    return directory


def refused(error: pytest.ExceptionInfo[BaseException]) -> str:
    return str(error.value)


def test_the_default_target_is_the_profiles(project: Path) -> None:
    profile = resolve_profile(project)

    assert (profile.name, profile.target, profile.adapter) == ("shop", "dev", "duckdb")
    assert profile.duckdb_path == project / "data" / "dev.duckdb"  # wherever the command was typed
    assert profile.duckdb_config == {"threads": 1}
    assert (profile.database, profile.schema) == ("dev", "main")


def test_jinja_is_rendered_as_dbt_does_and_secrets_are_not_shown(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PORT", "5433")
    monkeypatch.setenv("SHOP_PASSWORD", "0042")

    profile = resolve_profile(project, target="prod")

    assert profile.output["host"] == "localhost"
    assert profile.output["port"] == 5433
    assert profile.output["password"] == "0042"  # no filter, no conversion
    assert profile.env_vars == {"SHOP_HOST": None, "SHOP_PORT": "5433", "SHOP_PASSWORD": "0042"}
    assert (profile.database, profile.schema, profile.duckdb_path) == ("shop", "live", None)
    assert "0042" not in repr(profile)


def test_only_the_chosen_target_is_rendered(project: Path) -> None:
    assert resolve_profile(project, target="dev").env_vars == {}  # SHOP_PORT is not set


def test_environment_variables_choose_where_arguments_do_not(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = project / "elsewhere"
    other.mkdir()
    (other / "profiles.yml").write_text("mine: {outputs: {a: {type: duckdb}, b: {type: duckdb}}}")
    monkeypatch.setenv("DBT_PROFILES_DIR", str(other))
    monkeypatch.setenv("DBT_PROFILE", "mine")
    monkeypatch.setenv("DBT_TARGET", "a")

    assert (profile := resolve_profile(project)).target == "a"
    assert profile.path == other / "profiles.yml"
    assert profile.duckdb_path is None  # in memory
    assert resolve_profile(project, target="b").target == "b"
    assert resolve_profile(project, profiles_dir=project, profile="shop", target="dev").name == "shop"


def test_the_home_directory_comes_last(project: Path, tmp_path: Path) -> None:
    (tmp_path / "home" / ".dbt").mkdir(parents=True)
    (project / "profiles.yml").rename(tmp_path / "home" / ".dbt" / "profiles.yml")

    assert resolve_profile(project).path == tmp_path / "home" / ".dbt" / "profiles.yml"


def test_no_project(tmp_path: Path) -> None:
    with pytest.raises(DbtProjectError) as error:
        resolve_profile(tmp_path)

    assert refused(error) == (
        f"DbtProjectError: there is no dbt project in {tmp_path}\n"
        f"  at:  {tmp_path}/dbt_project.yml\n"
        "  fix: go to a directory with a dbt_project.yml, or name it with --project-dir"
    )


def test_no_profiles_file(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (project / "profiles.yml").unlink()

    with pytest.raises(ConfigError) as error:
        resolve_profile(project)

    assert refused(error) == (
        f"ConfigError: there is no profiles.yml; looked in {project}, {tmp_path}, {tmp_path}/home/.dbt\n"
        "  fix: create it beside dbt_project.yml, or name its directory with --profiles-dir"
    )


def test_a_misspelt_profile(project: Path) -> None:
    with pytest.raises(ConfigError) as error:
        resolve_profile(project, profile="shopp")

    assert refused(error) == (
        "ConfigError: profiles.yml has no profile 'shopp'\n"
        f"  at:  {project}/profiles.yml\n"
        "  fix: did you mean 'shop'? (profiles there: 'shop')"
    )


def test_a_target_that_is_not_there(project: Path) -> None:
    with pytest.raises(ConfigError) as error:
        resolve_profile(project, target="staging")

    assert refused(error) == (
        "ConfigError: profile 'shop' has no target 'staging'\n"
        f"  at:  {project}/profiles.yml\n"
        "  fix: targets there: 'dev', 'prod'"
    )


def test_an_environment_variable_that_is_not_set(project: Path) -> None:
    with pytest.raises(ConfigError) as error:
        resolve_profile(project, target="prod")

    assert refused(error) == (
        "ConfigError: the environment variable SHOP_PORT is not set\n"
        f"  at:  {project}/profiles.yml:11\n"
        "  fix: set SHOP_PORT, or give a default: env_var('SHOP_PORT', '…')"
    )


def test_broken_yaml(project: Path) -> None:
    (project / "profiles.yml").write_text("shop:\n  outputs: [\n")

    with pytest.raises(ConfigError) as error:
        resolve_profile(project)

    assert refused(error) == (
        "ConfigError: profiles.yml is not valid YAML: did not find expected node content\n"
        f"  at:  {project}/profiles.yml:3\n"
        "  fix: correct the file"
    )


def test_dbt_is_given_the_same_absolute_path(project: Path) -> None:
    pinned = pinned_profile(resolve_profile(project))

    assert pinned is not None
    assert pinned["shop"]["outputs"]["dev"]["path"] == str(project / "data" / "dev.duckdb")


def test_nothing_is_pinned_that_is_absolute_or_remote(tmp_path: Path) -> None:
    for path in (str(tmp_path / "x.duckdb"), ":memory:", "md:shop", "s3://bucket/x.duckdb"):
        output = {"type": "duckdb", "path": path}
        assert pinned_profile(Profile("p", "t", output, tmp_path, tmp_path, raw_output=output)) is None


def test_attached_databases_are_pinned_and_jinja_stays(tmp_path: Path) -> None:
    raw = {"type": "duckdb", "path": ":memory:", "attach": [{"path": "b.db", "alias": "b"}], "token": "{{ secret }}"}
    profile = Profile("p", "t", {**raw, "token": "s3cret"}, tmp_path, tmp_path, raw_output=raw)

    assert pinned_profile(profile) == {
        "p": {"target": "t", "outputs": {"t": {**raw, "attach": [{"path": str(tmp_path / "b.db"), "alias": "b"}]}}}
    }


def test_the_flags_in_profiles_yml_are_kept(project: Path) -> None:
    file = project / "profiles.yml"
    file.write_text("config: {warn_error: true}\n" + file.read_text())

    assert (pinned_profile(resolve_profile(project)) or {})["config"] == {"warn_error": True}


@pytest.mark.parametrize(
    ("path", "name"),
    [(None, "memory"), (":memory:", "memory"), ("a/b.duckdb", "b"), ("my.db.duckdb", "my"), ("md:", "my_db")],
)
def test_the_database_is_named_after_the_file(path: str | None, name: str) -> None:
    assert database_name(path) == name


def test_neither_dbt_nor_jinja_is_imported_for_a_plain_profile(project: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from orchestrator.resources.dbt_profile import resolve_profile\n"
        f"resolve_profile(Path({str(project)!r}))\n"
        "print([name for name in ('dbt', 'jinja2', 'duckdb') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
