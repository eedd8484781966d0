"""How a worker is started: what it is told, as JSON on its command line. Imports nothing heavy."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.config import DbtFlags, PassedFlags
from orchestrator.service.connection import Connection

if TYPE_CHECKING:
    from orchestrator.workspace import Workspace

POLL_S = 2
"""Every poll of a worker is two transactions of the server."""
_PATHS = ("project_dir", "profiles_dir")


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker is told when it is started; travels as JSON."""

    root: str
    state_dir: str
    api_url: str
    auth: str | None = None
    environment: str | None = None
    flags: dict[str, Any] = field(default_factory=dict)
    """Of `DbtFlags`, paths as text."""

    @classmethod
    def of(
        cls,
        root: Path,
        *,
        state_dir: Path,
        api_url: str,
        auth: str | None,
        environment: str | None,
        flags: DbtFlags,
    ) -> WorkerSpec:
        """For a workspace as the command line named it. A `--target` is its environment."""
        paths = {name: getattr(flags, name) for name in _PATHS}
        plain = {name: str(path.absolute()) for name, path in paths.items() if path is not None}
        return cls(
            root=str(root),
            state_dir=str(state_dir),
            api_url=api_url,
            auth=auth,
            environment=environment,
            flags={**plain, "profile": flags.profile, "vars": dict(flags.vars), "passed": asdict(flags.passed)},
        )

    def command(self) -> list[str]:
        """What starts the worker. The password is not in it: a command line can be read by everybody."""
        spec = {name: value for name, value in asdict(self).items() if name != "auth"}
        return [sys.executable, "-m", "orchestrator.service.worker", json.dumps(spec)]

    def variables(self) -> dict[str, str]:
        """The worker's environment variables: ours, without any setting of Prefect's but those meant here."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        ours = {
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_URL": self.api_url,
            "PREFECT_WORKER_QUERY_SECONDS": str(POLL_S),
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "DO_NOT_TRACK": "1",
            "NO_COLOR": "1",
        }
        no_proxy = {name: f"{os.environ.get(name, '')},127.0.0.1,localhost" for name in ("NO_PROXY", "no_proxy")}
        return inherited | ours | no_proxy | ({"PREFECT_API_AUTH_STRING": self.auth} if self.auth else {})

    @property
    def home(self) -> Path:
        """PREFECT_HOME."""
        return Path(self.state_dir) / "prefect"

    @property
    def connection(self) -> Connection:
        """How runs reach the API."""
        log_file = Path(self.state_dir) / "logs" / "prefect-worker.log"
        return Connection(self.api_url, auth=self.auth, home=self.home, log_file=log_file)

    def load(self, environment: str | None) -> Workspace:
        """The workspace in an environment: the one that the worker was started for, or another one asked for."""
        from orchestrator.workspace import load_workspace

        paths = {name: Path(self.flags[name]) for name in _PATHS if name in self.flags}
        passed = PassedFlags(**{scope: tuple(words) for scope, words in self.flags.get("passed", {}).items()})
        flags = DbtFlags(**{**self.flags, **paths, "passed": passed})
        return load_workspace(Path(self.root), flags=flags, environment=environment)
