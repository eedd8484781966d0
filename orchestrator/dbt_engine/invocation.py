"""What every call of dbt has in common. Standard library only."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DBT_LOCK = threading.RLock()
"""Two `dbtRunner`s at once in one process break each other: hold this around every use."""

QUIET_FLAGS = (
    "--quiet",
    "--log-level=none",
    "--log-level-file=none",
    "--no-print",
    "--no-use-colors",
    "--no-send-anonymous-usage-stats",
)


@dataclass(frozen=True, slots=True)
class DbtInvocation:
    """One dbt project with one target and set of variables: what names are resolved against."""

    project_dir: Path
    profiles_dir: Path
    profile: str
    target: str
    target_path: Path
    """Where dbt writes; ours, never the project's own `target/`."""
    vars: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    """More global flags, for example `--no-partial-parse`."""
    build_flags: tuple[str, ...] = ()
    """Flags that only building takes, for example `--store-failures`."""

    def global_args(self) -> list[str]:
        """The flags of every command. They stand **after** the command: `["build", *invocation.global_args()]`."""
        return [
            *self.project_args(),
            "--target-path",
            str(self.target_path),
            *self.flags,
        ]

    def project_args(self) -> list[str]:
        """`global_args` without the target path, which some commands (`deps`) do not take."""
        return [
            *QUIET_FLAGS,
            "--log-path",
            str(self.target_path / "logs"),
            "--project-dir",
            str(self.project_dir),
            "--profiles-dir",
            str(self.profiles_dir),
            "--profile",
            self.profile,
            "--target",
            self.target,
            "--vars",
            json.dumps(dict(self.vars), sort_keys=True),
        ]
