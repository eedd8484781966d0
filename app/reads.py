"""All reads of the app, cached: the workspace until its files change, answers of the records until the records change.

Comes in: a root directory and an environment. Goes out: frozen views. Always holds: a rerun asks the records for their
version once, and every cached reader takes it first (`Stamp`), so nothing shown is older than the rerun, and nothing
is read twice. The warehouse is never opened here (DESIGN §7).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from orchestrator.definitions.facts import Facts
from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import OrchestratorError
from orchestrator.graph.columns import ColumnGraph
from orchestrator.graph.model import AssetGraph
from orchestrator.plan.states import AssetState
from orchestrator.records import CheckRecord, MaterializationRecord, RunDetail, RunSummary
from orchestrator.service.reload import LiveWorkspace
from orchestrator.workspace import Workspace, load_workspace

from .launch import ENVIRONMENT_VARIABLE, ROOT_VARIABLE
from .picture import draw_picture

RUNS_SHOWN = 50
HISTORY_SHOWN = 50


class Stamp(NamedTuple):
    """What answers depend on: which load of the definitions, which environment, which state of the records."""

    load: str
    environment: str
    version: int


def open_reads() -> Reads:
    """The reads of this rerun. Raises OrchestratorError when the workspace cannot be loaded."""
    live = _live(os.environ.get(ROOT_VARIABLE), os.environ.get(ENVIRONMENT_VARIABLE))
    loaded = live.current
    workspace = loaded.workspace
    stamp = Stamp(loaded.id, workspace.environment, workspace.history.version())
    return Reads(workspace, stamp, errors=loaded.errors, is_last_good=loaded.is_last_good, live=live)


@st.cache_resource(show_spinner="Loading the definitions …", max_entries=2)
def _live(root: str | None, environment: str | None) -> LiveWorkspace:
    return LiveWorkspace(lambda: load_workspace(Path(root) if root else None, environment=environment))


@dataclass(frozen=True, slots=True)
class Reads:
    """What pages ask, for one rerun. Cheap to make."""

    workspace: Workspace
    stamp: Stamp
    live: LiveWorkspace
    errors: tuple[OrchestratorError, ...] = ()
    """What is wrong with the definitions on the disk."""
    is_last_good: bool = False
    """The definitions on the disk are broken; the graph is the one before that."""

    def is_outdated(self) -> bool:
        """True when the records or the definitions have changed since this rerun. Notices changed files, too."""
        self.live.look()
        return self.live.current.id != self.stamp.load or self.workspace.history.version() != self.stamp.version

    def now(self) -> Reads:
        """The same with the records as they are at this moment."""
        return replace(self, stamp=self.stamp._replace(version=self.workspace.history.version()))

    @property
    def graph(self) -> AssetGraph:
        return self.workspace.graph

    @property
    def environment(self) -> str:
        return self.stamp.environment

    def states(self) -> dict[AssetKey, AssetState]:
        return _states(self.stamp, self.workspace)

    def facts(self) -> Facts:
        return _facts(self.stamp, self.workspace)

    def runs(self) -> Sequence[RunSummary]:
        """The newest runs of this environment, newest first."""
        return _runs(self.stamp, self.workspace)

    def run(self, run_id: str) -> RunDetail | None:
        """One run with steps, checks and log."""
        return _run(self.stamp, run_id, self.workspace)

    def latest(self, key: AssetKey) -> MaterializationRecord | None:
        """The newest success, with all its metadata."""
        return _latest(self.stamp, str(key), self.workspace)

    def history(self, key: AssetKey) -> Sequence[MaterializationRecord]:
        """Attempts, newest first; large metadata values are references for `blob`."""
        return _history(self.stamp, str(key), self.workspace)

    def series(self, key: AssetKey) -> dict[str, Sequence[tuple[Any, float]]]:
        """{name of a number: (moment, value), oldest first}, rows and duration first."""
        return _series(self.stamp, str(key), self.workspace)

    def sample(self, key: AssetKey) -> dict[str, Any] | None:
        return _sample(self.stamp, str(key), self.workspace)

    def compiled_code(self, key: AssetKey) -> str | None:
        return _compiled(self.stamp, str(key), self.workspace)

    def seen_columns(self, key: AssetKey) -> dict[str, str]:
        """{column: type} as last seen in the warehouse."""
        return _columns(self.stamp, str(key), self.workspace)

    def columns(self) -> ColumnGraph:
        """Columns of all assets and where each comes from."""
        return _column_graph(self.stamp, self.workspace)

    def check_history(self, check_id: str) -> Sequence[CheckRecord]:
        """Results, newest first."""
        return _check_history(self.stamp, check_id, self.workspace)

    def blob(self, digest: str) -> Any:
        return _blob(digest, self.workspace)

    def picture(
        self, *, keys: frozenset[AssetKey] | None, focus: AssetKey | None, hops: int | None
    ) -> tuple[dict[str, Any], str]:
        """What the lineage widget draws, and its note."""
        return _picture(self.stamp, keys, focus, hops, self.workspace, self.states())


def value_of(reads: Reads, entry: Mapping[str, Any]) -> Any:
    """A metadata value, fetched if only a reference to it is at hand."""
    return reads.blob(entry["blob"]) if "blob" in entry else entry.get("value")


# Arguments with a leading underscore are not part of the cache's key; `stamp` stands for them.


@st.cache_data(show_spinner=False, max_entries=4)
def _states(stamp: Stamp, _workspace: Workspace) -> dict[AssetKey, AssetState]:
    return dict(_workspace.states())


@st.cache_data(show_spinner=False, max_entries=2)
def _facts(stamp: Stamp, _workspace: Workspace) -> Facts:
    return _workspace.facts()


@st.cache_data(show_spinner=False, max_entries=4)
def _runs(stamp: Stamp, _workspace: Workspace) -> Sequence[RunSummary]:
    return _workspace.history.runs(stamp.environment, limit=RUNS_SHOWN)


@st.cache_data(show_spinner=False, max_entries=20)
def _run(stamp: Stamp, run_id: str, _workspace: Workspace) -> RunDetail | None:
    return _workspace.history.run(run_id, logs=True)


@st.cache_data(show_spinner=False, max_entries=100)
def _latest(stamp: Stamp, key: str, _workspace: Workspace) -> MaterializationRecord | None:
    return _workspace.history.latest(stamp.environment, key)


@st.cache_data(show_spinner=False, max_entries=100)
def _history(stamp: Stamp, key: str, _workspace: Workspace) -> Sequence[MaterializationRecord]:
    return _workspace.history.history(stamp.environment, key, limit=HISTORY_SHOWN)


@st.cache_data(show_spinner=False, max_entries=100)
def _series(stamp: Stamp, key: str, _workspace: Workspace) -> dict[str, Sequence[tuple[Any, float]]]:
    records = _workspace.history
    names = sorted(records.series_names(stamp.environment, key), key=lambda name: (_SERIES_FIRST.get(name, 9), name))
    return {name: records.metadata_series(stamp.environment, key, name) for name in names}


_SERIES_FIRST = {"rows": 0, "duration_s": 1}


@st.cache_data(show_spinner=False, max_entries=50)
def _sample(stamp: Stamp, key: str, _workspace: Workspace) -> dict[str, Any] | None:
    return _workspace.history.sample(stamp.environment, key)


@st.cache_data(show_spinner=False, max_entries=50)
def _compiled(stamp: Stamp, key: str, _workspace: Workspace) -> str | None:
    return _workspace.history.compiled_code(stamp.environment, key)


@st.cache_data(show_spinner=False, max_entries=50)
def _columns(stamp: Stamp, key: str, _workspace: Workspace) -> dict[str, str]:
    return {column.name: column.type for column in _workspace.history.columns(stamp.environment, key)}


@st.cache_resource(show_spinner="Reading the SQL …", max_entries=2)
def _column_graph(stamp: Stamp, _workspace: Workspace) -> ColumnGraph:
    return _workspace.column_graph(look=False)


@st.cache_data(show_spinner=False, max_entries=200)
def _check_history(stamp: Stamp, check_id: str, _workspace: Workspace) -> Sequence[CheckRecord]:
    return _workspace.history.check_history(stamp.environment, check_id, limit=20)


@st.cache_data(show_spinner=False, max_entries=50)
def _blob(digest: str, _workspace: Workspace) -> Any:
    return _workspace.history.blob(digest)


@st.cache_data(show_spinner=False, max_entries=20)
def _picture(
    stamp: Stamp,
    keys: frozenset[AssetKey] | None,
    focus: AssetKey | None,
    hops: int | None,
    _workspace: Workspace,
    _states: Mapping[AssetKey, AssetState],
) -> tuple[dict[str, Any], str]:
    from .components.lineage import lineage_data

    picture = draw_picture(_workspace.graph, _states, selected=keys, focus=focus, hops=hops)
    return lineage_data(picture.cards, picture.edges), picture.note
