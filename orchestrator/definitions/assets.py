"""Python assets, checks and actions as a user declares them, and references to tables and dbt models.

Using one of these objects in the code of another asset is declaring the dependency; the loader reads the code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar

from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.mappings import PartitionMapping
from orchestrator.definitions.partitions import Partitions
from orchestrator.definitions.resources import Resource
from orchestrator.definitions.selection import Asset, Expression, Name, Selectable
from orchestrator.definitions.slots import Mode, Slot

if TYPE_CHECKING:
    from orchestrator.definitions.context import Context

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


@dataclass(frozen=True)
class Table(Selectable):
    """A table of a resource, `warehouse.table("raw.flights")`: a reference, and what `@asset` writes to.

    `name` is `schema.table`, and is also the key of the asset unless another is declared.
    """

    resource: Resource
    name: str

    def __selection__(self) -> Expression:
        return Name(self.name)

    def read(self, context: Context, *, columns: Sequence[str] | None = None) -> Any:
        """The table's rows as a pyarrow.Table; reading it is declaring the dependency."""
        return context.read(self, columns=columns)


@dataclass(frozen=True)
class DbtReference(Selectable):
    """A dbt model, seed, snapshot or source, resolved against the manifest when the workspace is loaded."""

    kind: Literal["model", "source"]
    name: str
    """`model`, `project.model`, or `source.table`."""

    @property
    def id(self) -> str:
        """The reference as the loader knows it."""
        return f"dbt:{self.kind}:{self.name}"

    def __selection__(self) -> Expression:
        return Asset(self)  # not by name: an asset of another kind may be called the same

    def read(self, context: Context, *, columns: Sequence[str] | None = None) -> Any:
        """The model's rows as a pyarrow.Table; reading it is declaring the dependency."""
        return context.read(self, columns=columns)


@dataclass(frozen=True)
class GraphReference(Selectable):
    """An asset of another project of the workspace, by its key there; resolved when the workspace is loaded."""

    project: str
    name: str
    """`layer.name`, or an alias that the other project knows it by."""

    @property
    def id(self) -> str:
        """The reference as the loader knows it."""
        return f"graph:{self.project}:{self.name}"

    def __selection__(self) -> Expression:
        return Name(self.name)

    def read(self, context: Context, *, columns: Sequence[str] | None = None) -> Any:
        """The asset's rows as a pyarrow.Table; reading it is declaring the dependency."""
        return context.read(self, columns=columns)


@dataclass(frozen=True)
class Retry:
    """How often a failing step is tried again, and how long it waits in between (seconds)."""

    times: int = 0
    delay_s: float = 10.0


@dataclass(frozen=True)
class Definition(Generic[P, R]):
    """What assets, checks and actions share: the function, which stays callable as it is."""

    fn: Callable[P, R]
    name: str
    description: str
    module: str
    file: str
    line: int

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.fn(*args, **kwargs)

    @property
    def id(self) -> str:
        """Unique and stable: `python:module.function`."""
        return f"python:{self.module}.{self.name}"

    @property
    def location(self) -> str:
        """`file:line` of the function."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class PythonAsset(Definition[P, R], Selectable):
    """A table written by a Python function: what `@asset` makes of it, and `@writes` where it is one of several."""

    table: Table | DbtReference = field(kw_only=True)
    """A dbt model where the function writes a part of its table."""
    key: AssetKey | None = field(kw_only=True)
    """None where the function writes a dbt model's table: the key is the model's."""
    owners: tuple[str, ...] = field(default=(), kw_only=True)
    group: str | None = field(default=None, kw_only=True)
    tags: tuple[str, ...] = field(default=(), kw_only=True)
    kinds: tuple[str, ...] = field(default=(), kw_only=True)
    after: tuple[Any, ...] = field(default=(), kw_only=True)
    retry: Retry = field(default=Retry(), kw_only=True)
    timeout_s: float | None = field(default=None, kw_only=True)
    slot: Slot | None = field(default=None, kw_only=True)
    """The rows that are this writer's own; None: all of them."""
    mode: Mode = field(default="insert", kw_only=True)
    partitions: Partitions | None = field(default=None, kw_only=True)
    mappings: tuple[tuple[Any, PartitionMapping], ...] = field(default=(), kw_only=True)
    """Which partitions of something that it reads, where that is not what is inferred."""

    def __selection__(self) -> Expression:
        return Name(str(self.key)) if self.key is not None else self.table.__selection__()

    def read(self, context: Context, *, columns: Sequence[str] | None = None) -> Any:
        """The asset's rows as a pyarrow.Table; reading it is declaring the dependency."""
        return context.read(self, columns=columns)


@dataclass(frozen=True)
class PythonCheck(Definition[P, R]):
    """An assertion on an asset: what `@check` makes of a function."""

    asset: PythonAsset[..., Any] | Table | DbtReference | GraphReference = field(kw_only=True)
    severity: Literal["error", "warn"] = field(default="error", kw_only=True)
    blocking: bool = field(default=True, kw_only=True)
    timeout_s: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class PythonAction(Definition[P, R], Selectable):
    """Recorded work that writes no asset: what `@action` makes of a function."""

    key: AssetKey = field(kw_only=True)
    owners: tuple[str, ...] = field(default=(), kw_only=True)
    group: str | None = field(default=None, kw_only=True)
    tags: tuple[str, ...] = field(default=(), kw_only=True)
    after: tuple[Any, ...] = field(default=(), kw_only=True)
    retry: Retry = field(default=Retry(), kw_only=True)
    timeout_s: float | None = field(default=None, kw_only=True)

    def __selection__(self) -> Expression:
        return Name(str(self.key))


Readable = PythonAsset[..., Any] | Table | DbtReference | GraphReference
