"""What one loader found, before assets are merged by relation.

Loaders know their own ids only (dbt unique_ids, Python function ids, references); `loaders.merge` turns them into
keys. A draft carries the final dataclass with its edges still empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.definitions.jobs import PlacedJob
from orchestrator.definitions.keys import AssetKey, Location
from orchestrator.definitions.mappings import PartitionMapping
from orchestrator.errors import OrchestratorError, PythonModuleError
from orchestrator.graph.model import Asset, Check, Consumer, Ephemeral


@dataclass(frozen=True, slots=True)
class DraftAsset:
    """An asset or action of one loader. `reads` are draft ids; `asset.writers` has one writer, or none for a source."""

    id: str
    asset: Asset
    reads: frozenset[str] = frozenset()
    explicit_key: AssetKey | None = None
    """Set where the user fixed the key (`meta.orchestrator.key`, `key=`)."""
    other_keys: tuple[AssetKey, ...] = ()
    """Keys that it can have instead when another table has its key, best first."""
    same_as: str | None = None
    """A reference to the dbt node whose table this draft's writer changes; its own relation is then not known."""
    elsewhere: bool = False
    """True for what another repository writes, as its published graph says."""
    places: Mapping[str, Location] = field(default_factory=dict)
    """{id in `reads`: where the code refers to it}, for errors; an id without place is the asset's own."""
    mappings: Mapping[str, PartitionMapping] = field(default_factory=dict)
    """{id, or key as it is written, of something it reads: which of its partitions}"""


@dataclass(frozen=True, slots=True)
class DraftCheck:
    """A check; `asset_id` is the draft it is shown on, `reads` all drafts it needs."""

    check: Check
    asset_id: str
    reads: frozenset[str]


@dataclass(frozen=True, slots=True)
class DraftConsumer:
    consumer: Consumer
    reads: frozenset[str]


@dataclass(frozen=True, slots=True)
class DraftEphemeral:
    """An ephemeral dbt model. Drafts that read it name its unique_id; merging passes through."""

    ephemeral: Ephemeral
    reads: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fragment:
    """All that one loader found, and what was wrong."""

    assets: tuple[DraftAsset, ...] = ()
    checks: tuple[DraftCheck, ...] = ()
    jobs: tuple[PlacedJob, ...] = ()
    consumers: tuple[DraftConsumer, ...] = ()
    ephemerals: tuple[DraftEphemeral, ...] = ()
    errors: tuple[OrchestratorError, ...] = ()
    warnings: tuple[str, ...] = ()
    project: str = ""
    """The project of the workspace that it is of."""
    own: bool = True
    """False for projects other than the workspace's own one."""
    incomplete: bool = False
    """True when a project could not be read at all: dbt names that nobody knows are then no errors of their own."""

    @property
    def partial(self) -> bool:
        """True when something of the project may be missing."""
        return self.incomplete or any(isinstance(error, PythonModuleError) for error in self.errors)

    @property
    def home(self) -> str:
        """The project's name, empty for the workspace's own."""
        return "" if self.own else self.project
