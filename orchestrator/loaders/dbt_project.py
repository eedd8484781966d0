"""Loads a dbt project: parses it when something changed, reads the manifest, makes a fragment of it."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.config import NOTHING_PASSED, PassedFlags
from orchestrator.dbt_engine.invocation import DbtInvocation
from orchestrator.errors import ConfigError, DbtProjectError, OrchestratorError
from orchestrator.loaders.dbt_assets import PACKAGES_DIR, Operation, build_fragment, operations
from orchestrator.loaders.fragments import Fragment
from orchestrator.loaders.manifest import Manifest, load_manifest
from orchestrator.loaders.parse_cache import ParseState, build_key, named_env_vars, read_state, write_state
from orchestrator.loaders.shown_paths import shown_path
from orchestrator.resources.dbt_profile import Profile, pinned_profile, read_project_file, resolve_profile

MANIFEST_FILE = "manifest.json"
PARSE_LOCK_TIMEOUT_S = 600
_NAMED_FILE = re.compile(r"[\w./-]+\.(?:sql|ya?ml|py|csv|md)\b")


@dataclass(frozen=True, slots=True)
class DbtChoices:
    """What a user may choose about a dbt project; None means dbt's own default."""

    project_dir: Path
    profiles_dir: Path | None = None
    profile: str | None = None
    target: str | None = None
    vars: Mapping[str, Any] = field(default_factory=dict)
    passed: PassedFlags = NOTHING_PASSED


@dataclass(kw_only=True, slots=True)
class DbtProject:
    """A loaded project. Where it could not be parsed, `fragment.errors` says why and there is no manifest."""

    name: str
    choices: DbtChoices
    fragment: Fragment
    invocation: DbtInvocation | None = None
    """How dbt must be called to see the same; None when the profile cannot be resolved."""
    profile: Profile | None = None
    manifest_path: Path | None = None
    manifest: Manifest | None = field(default=None, repr=False)
    """The manifest as we read it."""
    flags: Mapping[str, Any] = field(default_factory=dict)
    """`flags` in dbt_project.yml."""
    parsed: bool = False
    """True if dbt had to parse; False for a cached manifest."""
    operations: tuple[Operation, ...] = ()
    default_selector: str | None = None
    """What dbt selects when nothing is selected; None: everything."""
    warnings: tuple[str, ...] = ()
    _manifest: Any = field(default=None, repr=False)
    _guard: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def called(self) -> DbtInvocation:
        """`invocation`. Raises DbtProjectError where there is none."""
        if self.invocation is None:
            raise DbtProjectError(f"the dbt project '{self.name}' cannot be loaded", fix="correct its errors")
        return self.invocation

    def dbt_manifest(self) -> Any:
        """dbt's own Manifest for `dbtRunner(manifest=…)`. An invocation spoils it: give it a deep copy.

        The first call after a cached load imports dbt and parses (partially). Raises DbtProjectError.
        """
        from orchestrator.dbt_engine.parse import parse_project

        with self._guard:
            if self._manifest is None:
                self._manifest = parse_project(self.called, write_json=False).manifest
            return self._manifest

    def selected_by(self, selector: str) -> frozenset[str]:
        """unique_ids that a selector of selectors.yml selects. dbt is asked once for each state of the project.

        Raises DbtProjectError.
        """
        from orchestrator.dbt_engine.selectors import select_nodes

        state = read_state(self.called.target_path)
        file = self.called.target_path / "selectors.json"
        known = _read_selected(file, state.key) if state is not None else {}
        if selector not in known:
            known[selector] = sorted(select_nodes(self.called, self.dbt_manifest(), selector=selector))
            if state is not None:
                file.write_text(json.dumps({"key": state.key, "selected": known}), encoding="utf-8")
        return frozenset(known[selector])


def _read_selected(file: Path, key: str) -> dict[str, list[str]]:
    """{selector: what it selects}, if that was found out about the project as it is now."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return dict(stored["selected"]) if stored["key"] == key else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def load_dbt_project(
    choices: DbtChoices, *, workspace_root: Path, state_dir: Path, force_parse: bool = False
) -> DbtProject:
    """The project in `choices.project_dir`. Whatever is wrong with it is in `fragment.errors`; nothing is raised."""
    directory = choices.project_dir.resolve()
    choices = replace(choices, project_dir=directory)
    project = DbtProject(name=directory.name, choices=choices, fragment=Fragment())
    errors: tuple[OrchestratorError, ...] = ()
    project_file: dict[str, Any] = {}
    try:
        project_file = read_project_file(directory)
        project.name = str(project_file.get("name") or directory.name)
        project.flags = _mapping(project_file, "flags")
        project.profile = resolve_profile(
            directory,
            profiles_dir=choices.profiles_dir,
            profile=choices.profile,
            target=choices.target,
            vars=choices.vars,
        )
        project.invocation = _invocation(project.name, choices, project.profile, state_dir)
        manifest = _Reader(project, project.invocation, project.profile, project_file).read(force_parse)
    except (ConfigError, DbtProjectError) as exc:
        error = _shown_from(exc, workspace_root)
        last_good = _last_good(project.invocation)
        if last_good is None or project.invocation is None or project.profile is None:
            project.fragment = Fragment(errors=(error,), incomplete=True)
            return project
        manifest, errors = last_good, (error,)
        project.warnings += ("shown is what the dbt project was when it could last be read",)
    project.manifest_path = project.invocation.target_path / MANIFEST_FILE
    project.manifest = manifest
    project.operations = operations(manifest)
    project.default_selector = manifest.default_selector
    if project.parsed:
        from orchestrator.loaders.compiled import load_compiled

        load_compiled(project, manifest)  # dbt is in memory now, and in the next command it need not be
    fragment = build_fragment(
        manifest,
        project_dir=directory,
        workspace_root=workspace_root,
        adapter_type=project.profile.adapter,
        variables={**_mapping(project_file, "vars"), **choices.vars},
        packages_dir=str(project_file.get("packages-install-path") or PACKAGES_DIR),
    )
    project.fragment = replace(
        fragment, errors=(*errors, *fragment.errors), warnings=(*project.warnings, *fragment.warnings)
    )
    return project


def _last_good(invocation: DbtInvocation | None) -> Manifest | None:
    """The manifest of the last parse that went well, so that a broken edit does not hide everything else."""
    file = invocation.target_path / MANIFEST_FILE if invocation is not None else None
    try:
        return load_manifest(file) if file is not None and file.is_file() else None
    except OrchestratorError:
        return None


def _invocation(name: str, choices: DbtChoices, profile: Profile, state_dir: Path) -> DbtInvocation:
    target_path = state_dir.resolve() / "dbt" / name / (profile.target + _suffix(choices, profile))
    profiles_dir = profile.path.parent
    if (pinned := pinned_profile(profile)) is not None:
        profiles_dir = target_path / "profile"
        _write_profile(profiles_dir, pinned)
    return DbtInvocation(
        project_dir=choices.project_dir,
        profiles_dir=profiles_dir,
        profile=profile.name,
        target=profile.target,
        target_path=target_path,
        vars=dict(choices.vars),
        flags=(*choices.passed.parse, *choices.passed.call),
        build_flags=choices.passed.build,
    )


def _suffix(choices: DbtChoices, profile: Profile) -> str:
    """Other vars, flags or another profile parse into a directory of their own: none undoes another's cache."""
    if not (choices.vars or choices.profile or choices.profiles_dir or choices.passed.parse):
        return ""
    about = [dict(choices.vars), profile.name, str(profile.path), *choices.passed.parse]
    chosen = json.dumps(about, sort_keys=True, default=str)
    return "-" + hashlib.sha256(chosen.encode()).hexdigest()[:8]


def _write_profile(directory: Path, content: Mapping[str, Any]) -> None:
    import os

    import yaml

    file = directory / "profiles.yml"
    text = "# Written by Orchestrator: the project's profile with its relative paths made absolute.\n"
    text += yaml.safe_dump(dict(content), sort_keys=False)
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return
    directory.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}.tmp")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Gets the manifest of today's files, and notes on `project` how."""

    project: DbtProject
    invocation: DbtInvocation
    profile: Profile
    project_file: Mapping[str, Any]

    def read(self, force_parse: bool) -> Manifest:
        if not force_parse and (cached := self._cached()) is not None:
            return cached
        from filelock import FileLock

        self.invocation.target_path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.invocation.target_path / "parse.lock", timeout=PARSE_LOCK_TIMEOUT_S):
            # Another process may have parsed while this one waited.
            if not force_parse and (cached := self._cached()) is not None:
                return cached
            return self._parse()

    def _cached(self) -> Manifest | None:
        """The manifest of the last parse if nothing has changed since; None also when it cannot be read."""
        state = read_state(self.invocation.target_path)
        if state is None or self._key(state.env_vars) != state.key:
            return None
        try:
            manifest = load_manifest(self.invocation.target_path / MANIFEST_FILE)
        except DbtProjectError:
            return None
        self.project.warnings = state.warnings
        return manifest

    def _parse(self) -> Manifest:
        from orchestrator.dbt_engine.parse import parse_project

        before = self._key()
        previous = read_state(self.invocation.target_path)
        parsed = parse_project(self.invocation)
        warnings = (*parsed.warnings, *self._kept_warnings(previous, parsed.warnings))
        self.project.parsed, self.project.warnings = True, warnings
        self.project._manifest = parsed.manifest
        manifest = load_manifest(parsed.path)
        # What changed while dbt was reading (an editor, `dbt deps`) is parsed again next time.
        if self._key() == before:
            env_vars = tuple(sorted({*parsed.env_vars, *named_env_vars(self.profile.project_dir)}))
            write_state(self.invocation.target_path, ParseState(self._key(env_vars), (0, 0), env_vars, warnings))
        return manifest

    def _kept_warnings(self, previous: ParseState | None, new: tuple[str, ...]) -> list[str]:
        """Warnings about files that dbt has not read again: parsing partially, it does not repeat them."""
        said = {_uncounted(warning) for warning in new}
        parsed_at = previous.manifest[0] if previous else 0
        return [
            warning
            for warning in (previous.warnings if previous else ())
            if _uncounted(warning) not in said and self._names_older_file(warning, parsed_at)
        ]

    def _names_older_file(self, warning: str, time_ns: int) -> bool:
        named = _NAMED_FILE.findall(warning)
        files = [self.profile.project_dir / name for name in named]
        return bool(files) and all(file.is_file() and file.stat().st_mtime_ns < time_ns for file in files)

    def _key(self, env_vars: tuple[str, ...] = ()) -> str:
        return build_key(
            self.profile, project_file=self.project_file, variables=self.invocation.vars, env_vars=env_vars
        )


def _uncounted(warning: str) -> str:
    return warning.partition(" (and ")[0]


def _mapping(project_file: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = project_file.get(name)
    return dict(found) if isinstance(found, Mapping) else {}


def _shown_from(error: OrchestratorError, workspace_root: Path) -> OrchestratorError:
    """The error with its place relative to the workspace."""
    if error.at:
        error.at = shown_path(error.at, str(workspace_root.resolve()))
    return error


__all__ = ["DbtChoices", "DbtProject", "load_dbt_project"]
