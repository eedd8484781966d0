"""An attempt that is not in a run: it keeps what work elsewhere reported."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.definitions.context import Context
from orchestrator.definitions.events import Materialization
from orchestrator.definitions.keys import AssetKey
from orchestrator.execution.elsewhere import Host, run_elsewhere
from orchestrator.execution.messages import ReportedCheck


@dataclass
class Attempted:
    """The session of a context, and all that it was told."""

    root: Path
    lines: list[tuple[str, str]] = field(default_factory=list)
    checks: list[ReportedCheck] = field(default_factory=list)
    steps: list[tuple[float, float | None]] = field(default_factory=list)
    handles: list[tuple[str, Any, str]] = field(default_factory=list)
    stops: list[Callable[[], None]] = field(default_factory=list)

    @property
    def host(self) -> Host:
        return Host(
            root=self.root,
            attempt_id="1125-100000-ab12-0001",
            log=self.lines.extend,
            resources={"warehouse": {"adapter": "duckdb"}},
            progress=lambda done, total: self.steps.append((done, total)),
            check=self.checks.append,
            submitted=lambda *what: self.handles.append(what),
            on_stop=self.stops.append,
        )

    def context(self, **more: Any) -> Context:
        return Context(run_id="1125-100000-ab12", environment="dev", key=AssetKey("ml", "scores"), session=self, **more)

    def run_elsewhere(self, work: Any, context: Context, **how: Any) -> Materialization:
        return run_elsewhere(work, context, self.host, **how)

    def read(self, reference: Any, *, columns: Sequence[str] | None) -> Any:
        raise NotImplementedError

    def connection(self, resource: Any) -> Any:
        raise NotImplementedError

    def stop_when(self, is_due: Callable[[], bool]) -> threading.Thread:
        """Stop the attempt, from another thread, as soon as `is_due`."""

        def watch() -> None:
            while not (self.stops and is_due()):
                threading.Event().wait(0.01)
            self.stops[0]()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        return thread

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.lines]
