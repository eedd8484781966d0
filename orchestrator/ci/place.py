"""Where a CI run builds: a DuckDB file, or a schema, that is nobody else's; and the profile that leads there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.ci.base import Base
from orchestrator.ci.git import branch, run_git
from orchestrator.errors import ConfigError
from orchestrator.resources.dbt_profile import PROFILES_FILE, Profile, database_name, pinned_profile, profile_content

LONGEST_NAME = 40
_DATABASE_KEYS = ("database", "dbname", "catalog")
_SCHEMA_KEYS = ("dataset", "schema")


@dataclass(frozen=True, slots=True)
class Place:
    """A CI run's own corner of the warehouse."""

    name: str
    """Letters, digits and underscores."""
    directory: Path
    """Where its files are: the profile, and a DuckDB target's database."""
    profile: Profile
    """The target that it stands in for."""
    reads: Path | None = None
    """The base's DuckDB file, where there is one."""

    @property
    def environment(self) -> str:
        """What its records are kept under."""
        return f"ci-{self.name}"

    @property
    def schema(self) -> str:
        """The default schema of targets other than DuckDB."""
        return f"ci_{self.name}"

    @property
    def database_path(self) -> Path:
        """The DuckDB file of a DuckDB target."""
        return self.directory.parent / f"ci_{self.name}.duckdb"

    @property
    def profiles_dir(self) -> Path:
        """Where `write_profile` writes."""
        return self.directory / "profile"


def find_place(profile: Profile, base: Base, *, state_dir: Path, root: Path, name: str | None) -> Place:
    """The place called `name`, by default after the branch. Raises ConfigError for a target that has no place."""
    reads = base.snapshot.duckdb_path if profile.adapter == "duckdb" else None
    place = replace(place_called(name, profile, state_dir=state_dir, root=root), reads=reads)
    if profile.adapter == "duckdb":
        _refuse_without_file(profile)
        if database_name(place.database_path) in (base.snapshot.database, profile.database):
            raise ConfigError(
                f"the base's database is called '{base.snapshot.database}', as this CI run's would be",
                fix="give the run another --name",
            )
    return place


def place_called(name: str | None, profile: Profile, *, state_dir: Path, root: Path) -> Place:
    """The place of that name, by default the branch's; nothing is looked at."""
    chosen = slug(name or branch(root) or run_git("rev-parse", "--short", "HEAD", cwd=root) or "head")
    return Place(chosen, state_dir.resolve() / "ci" / chosen, profile)


def slug(text: str) -> str:
    """
    >>> slug("feature/Delays-by-hour"), slug("0042")
    ('feature_delays_by_hour', '0042')
    """
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:LONGEST_NAME].strip("_") or "head"


def write_profile(place: Place) -> None:
    """The profiles.yml of the place. Jinja stays as it is written, so that no secret lands in it."""
    import yaml

    pinned = pinned_profile(place.profile)
    profile = place.profile
    raw = pinned[profile.name]["outputs"][profile.target] if pinned is not None else profile.raw_output
    output = _duckdb_output(raw, place) if profile.adapter == "duckdb" else _schema_output(raw, place)
    content = profile_content(profile, output)
    text = "# Written by `orchestrator ci`: the target in a place of its own.\n"
    text += yaml.safe_dump(content, sort_keys=False)
    (place.directory / "external").mkdir(parents=True, exist_ok=True)
    file = place.profiles_dir / PROFILES_FILE
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return
    place.profiles_dir.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")


def _refuse_without_file(profile: Profile) -> None:
    if profile.duckdb_path is None:
        raise ConfigError(
            f"target '{profile.target}' is no DuckDB file ({profile.output.get('path') or ':memory:'}), so there is "
            "nothing beside which a CI run could build",
            at=str(profile.path),
            fix="choose a target with a file or a server: --target",
        )


def _duckdb_output(raw: Mapping[str, Any], place: Place) -> dict[str, Any]:
    output = {name: value for name, value in raw.items() if name not in _DATABASE_KEYS}
    output["path"] = str(place.database_path)
    output["external_root"] = str(place.directory / "external")
    attached = [_read_only(item) for item in raw.get("attach") or ()]
    if place.reads is not None and place.reads.exists():
        attached = [item for item in attached if item["path"] != str(place.reads)]
        attached.append({"path": str(place.reads), "read_only": True})
    if attached:
        output["attach"] = attached
    return output


def _read_only(item: Any) -> dict[str, Any]:
    """What the profile attaches belongs to others: it can be read."""
    entry = dict(item) if isinstance(item, Mapping) else {"path": str(item)}
    options = entry.get("options")
    if isinstance(options, Mapping) and "read_only" in options:
        return {**entry, "options": {**options, "read_only": True}}
    return {**entry, "read_only": True}


def _schema_output(raw: Mapping[str, Any], place: Place) -> dict[str, Any]:
    key = next((key for key in _SCHEMA_KEYS if key in raw), "schema")
    return {**raw, key: place.schema}
