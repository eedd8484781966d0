"""dbt's profiles.yml, read without importing dbt: which warehouse a project's target is.

dbt's own rules (`dbt/config/profile.py`, 1.11) hold, with one choice made for it. dbt resolves everything relative
against the current directory: profiles.yml is searched there and then in ~/.dbt, and dbt-duckdb hands a relative
`path` to `duckdb.connect` as it is, so the same project meets another database file when the command is typed one
directory further up. Here **everything relative is relative to the dbt project's directory**, as if dbt had been
started there; `pinned_profile` makes dbt itself see the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from orchestrator.errors import ConfigError, DbtProjectError, did_you_mean

PROFILES_FILE = "profiles.yml"
PROJECT_FILE = "dbt_project.yml"
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_DATABASE_KEYS = ("database", "dbname", "catalog", "project")


@dataclass(frozen=True, slots=True)
class Profile:
    """One resolved target of a dbt profile. `output` is rendered and may hold secrets: never print or store it."""

    name: str
    target: str
    output: Mapping[str, Any] = field(repr=False)
    path: Path
    """The profiles.yml it comes from."""
    project_dir: Path
    env_vars: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    """{environment variable read: its value, None where the default was taken}"""
    raw_output: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """`output` before rendering."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The `config` section of profiles.yml, from which older projects have their flags."""

    @property
    def adapter(self) -> str:
        """dbt's adapter type: duckdb, postgres …"""
        return str(self.output.get("type", ""))

    @property
    def schema(self) -> str:
        """The target's default schema (`main` on DuckDB if not set)."""
        return str(self.output.get("schema") or self.output.get("dataset") or "main")

    @property
    def database(self) -> str:
        """The target's database as dbt names it in relations; on DuckDB derived from the file's name."""
        for key in _DATABASE_KEYS:
            if self.output.get(key):
                return str(self.output[key])
        return database_name(self.output.get("path")) if self.adapter == "duckdb" else ""

    @property
    def duckdb_path(self) -> Path | None:
        """The absolute path of the DuckDB file; None for other adapters, `:memory:`, MotherDuck and remote files."""
        if self.adapter != "duckdb":
            return None
        path = str(self.output.get("path") or ":memory:")
        if path.startswith(":memory:") or _is_remote(path):
            return None
        return Path(_absolute(str(Path(path).expanduser()), self.project_dir))

    @property
    def duckdb_config(self) -> dict[str, Any]:
        """What dbt-duckdb passes to `duckdb.connect(config=…)`; a second connection in one process needs the same."""
        return dict(self.output.get("config_options") or {})

    @property
    def duckdb_settings(self) -> dict[str, Any]:
        """What dbt-duckdb `SET`s on each cursor."""
        return dict(self.output.get("settings") or {})


def resolve_profile(
    project_dir: Path,
    *,
    profiles_dir: Path | None = None,
    profile: str | None = None,
    target: str | None = None,
    vars: Mapping[str, Any] | None = None,  # noqa: A002 (dbt's own word)
) -> Profile:
    """The target that dbt would use for the project in `project_dir`.

    Arguments win over DBT_PROFILES_DIR, DBT_PROFILE and DBT_TARGET, those over the files. Raises ConfigError, or
    DbtProjectError when there is no readable dbt_project.yml.
    """
    project_dir = project_dir.resolve()
    project = read_project_file(project_dir)
    file = _find_profiles_file(project_dir, profiles_dir)
    render = _Renderer(file, dict(vars or {}))
    profiles = _read_yaml(file)
    wanted = profile or _dbt_env("PROFILE") or render.text(project.get("profile"))
    if not wanted:
        raise ConfigError(
            "the dbt project names no profile",
            at=f"{project_dir / PROJECT_FILE}:1",
            fix=f"add 'profile: NAME' (in {file}: {_listed(_names(profiles))}), or pass --profile",
        )
    section = _pick(profiles, wanted, file)
    name = target or _dbt_env("TARGET") or render.text(section.get("target")) or "default"
    raw = _pick_output(section, name, profile=wanted, file=file)
    output = render.data(raw)
    config = profiles.get("config")
    config = config if isinstance(config, Mapping) else {}
    return Profile(wanted, name, output, file, project_dir, dict(render.env_vars), raw, config)


def read_project_file(project_dir: Path) -> dict[str, Any]:
    """dbt_project.yml as it is written, unrendered. Raises DbtProjectError when it is missing or no YAML mapping."""
    file = project_dir / PROJECT_FILE
    if not file.is_file():
        raise DbtProjectError(
            f"there is no dbt project in {project_dir}",
            at=str(file),
            fix="go to a directory with a dbt_project.yml, or name it with --project-dir",
        )
    return _read_yaml(file, DbtProjectError)


def pinned_profile(profile: Profile) -> dict[str, Any] | None:
    """A profiles.yml whose relative DuckDB paths are absolute, unrendered otherwise; None where nothing is relative.

    Jinja stays in place, so no secret is written.
    """
    if profile.adapter != "duckdb":
        return None
    raw = dict(profile.raw_output)
    if (path := profile.duckdb_path) is not None and str(path) != str(profile.output.get("path")):
        raw["path"] = str(path)
    for key in ("external_root",):
        if key in raw and _is_relative(value := str(profile.output[key])):
            raw[key] = _absolute(value, profile.project_dir)
    for key in ("module_paths", "attach"):
        if profile.output.get(key):
            raw[key] = [
                _pinned_item(item, rendered, profile.project_dir)
                for item, rendered in zip(profile.raw_output[key], profile.output[key], strict=True)
            ]
    if raw == profile.raw_output:
        return None
    return profile_content(profile, raw)


def profile_content(profile: Profile, output: Mapping[str, Any]) -> dict[str, Any]:
    """A profiles.yml with the one target that has `output`."""
    config = {"config": dict(profile.config)} if profile.config else {}
    return {**config, profile.name: {"target": profile.target, "outputs": {profile.target: dict(output)}}}


def database_name(path: Any) -> str:
    """The database name that dbt-duckdb derives from `path`, which is also DuckDB's own name for the file.

    >>> database_name("data/warehouse.duckdb"), database_name(":memory:"), database_name("md:")
    ('warehouse', 'memory', 'my_db')
    """
    if path is None or path == ":memory:":
        return "memory"
    parsed = urlparse(str(path))
    file = Path(parsed.path)
    if parsed.scheme in ("md", "motherduck"):
        return file.stem or "my_db"
    return file.name.lstrip(".").split(".")[0]


def _pinned_item(raw: Any, rendered: Any, project_dir: Path) -> Any:
    if isinstance(rendered, Mapping):
        path = str(rendered.get("path", ""))
        return {**raw, "path": _absolute(path, project_dir)} if _is_relative(path) else raw
    return _absolute(str(rendered), project_dir) if _is_relative(str(rendered)) else raw


def _is_remote(path: str) -> bool:
    return bool(_REMOTE.match(path))


def _is_relative(path: str) -> bool:
    special = not path or path.startswith((":memory:", "~")) or _is_remote(path)
    return not special and not Path(path).is_absolute()


def _absolute(path: str, project_dir: Path) -> str:
    return os.path.normpath(project_dir / path)


def _find_profiles_file(project_dir: Path, profiles_dir: Path | None) -> Path:
    if profiles_dir is not None:
        searched = [profiles_dir.resolve()]
    elif from_env := _dbt_env("PROFILES_DIR"):
        searched = [Path(from_env).resolve()]
    else:
        searched = list(dict.fromkeys([project_dir, Path.cwd(), Path.home() / ".dbt"]))
    for directory in searched:
        if (directory / PROFILES_FILE).is_file():
            return directory / PROFILES_FILE
    raise ConfigError(
        "there is no profiles.yml; looked in " + ", ".join(str(directory) for directory in searched),
        fix="create it beside dbt_project.yml, or name its directory with --profiles-dir",
    )


def _dbt_env(name: str) -> str | None:
    return os.environ.get(f"DBT_ENGINE_{name}") or os.environ.get(f"DBT_{name}") or None


def _read_yaml(file: Path, error: type[ConfigError] | type[DbtProjectError] = ConfigError) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=loader)
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        mark = getattr(exc, "problem_mark", None)
        problem = getattr(exc, "problem", None) or str(exc).splitlines()[0]
        raise error(
            f"{file.name} is not valid YAML: {problem}",
            at=f"{file}:{mark.line + 1}" if mark else str(file),
            fix="correct the file",
        ) from exc
    if not isinstance(content, dict):
        raise error(f"{file.name} is empty or holds no mapping", at=str(file), fix="correct the file")
    return content


def _names(profiles: Mapping[str, Any]) -> list[str]:
    return [str(name) for name in profiles if name != "config"]


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "nothing"


def _choices(name: str, known: list[str], what: str) -> str:
    there = f"{what} there: {_listed(known)}"
    suggestion = did_you_mean(name, known)
    return f"{suggestion} ({there})" if suggestion else there


def _pick(profiles: Mapping[str, Any], name: str, file: Path) -> Mapping[str, Any]:
    section = profiles.get(name)
    if not isinstance(section, Mapping):
        raise ConfigError(
            f"profiles.yml has no profile '{name}'", at=str(file), fix=_choices(name, _names(profiles), "profiles")
        )
    return section


def _pick_output(section: Mapping[str, Any], target: str, *, profile: str, file: Path) -> Mapping[str, Any]:
    outputs = section.get("outputs")
    outputs = outputs if isinstance(outputs, Mapping) else {}
    output = outputs.get(target)
    if not isinstance(output, Mapping):
        known = [str(name) for name in outputs]
        raise ConfigError(
            f"profile '{profile}' has no target '{target}'", at=str(file), fix=_choices(target, known, "targets")
        )
    if not output.get("type"):
        raise ConfigError(
            f"target '{target}' of profile '{profile}' has no 'type'",
            at=str(file),
            fix="add the adapter, for example 'type: duckdb'",
        )
    return output


class _Renderer:
    """Renders the strings that hold Jinja; Jinja is imported with the first of them."""

    def __init__(self, file: Path, variables: dict[str, Any]) -> None:
        self.file = file
        self.variables = variables
        self.env_vars: dict[str, str | None] = {}

    def text(self, value: Any) -> str | None:
        return None if value is None else str(self.data(value))

    def data(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self.data(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.data(item) for item in value]
        if isinstance(value, str) and ("{{" in value or "{%" in value):
            return self._render(value)
        return value

    def _render(self, text: str) -> Any:
        from jinja2.exceptions import TemplateError

        from orchestrator.resources.profile_jinja import render_native

        try:
            return render_native(text, {"env_var": self._env_var, "var": self._var})
        except (TemplateError, ValueError, TypeError) as exc:
            raise ConfigError(
                f"cannot render {text!r}: {exc}", at=self._line_of(text), fix="correct the Jinja in the file"
            ) from exc

    def _env_var(self, name: str, default: Any = None) -> str:
        value = os.environ.get(name)
        self.env_vars[name] = value
        if value is not None:
            return value
        if default is not None:
            return str(default)
        raise ConfigError(
            f"the environment variable {name} is not set",
            at=self._line_of(name),
            fix=f"set {name}, or give a default: env_var('{name}', '…')",
        )

    def _var(self, name: str, default: Any = None) -> Any:
        if name in self.variables:
            return self.variables[name]
        if default is not None:
            return default
        raise ConfigError(
            f"the variable '{name}' is not given", at=self._line_of(name), fix=f"pass --vars '{name}: VALUE'"
        )

    def _line_of(self, text: str) -> str:
        lines = self.file.read_text(encoding="utf-8").splitlines()
        found = next((number for number, line in enumerate(lines, start=1) if text in line), None)
        return f"{self.file}:{found}" if found else str(self.file)


__all__ = [
    "Profile",
    "database_name",
    "pinned_profile",
    "profile_content",
    "read_project_file",
    "resolve_profile",
]
