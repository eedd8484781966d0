"""Assets of the workspace's other projects as importable names, resolved when the workspace is loaded.

    from orchestrator.graphs import other           # [tool.orchestrator.projects.other]

    other.raw.flights.read(context)                 # its asset raw.flights
    other["raw.flights"]                            # the same, for names that are no identifiers

Nothing is read here: the project may be a checkout, a package or a published graph. A name that does not exist is an
error where it is used, when the workspace is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.definitions.assets import GraphReference


@dataclass(frozen=True, slots=True)
class Graph:
    """The assets of one project."""

    _project: str

    def __getattr__(self, name: str) -> GraphLayer:
        if name.startswith("__"):
            raise AttributeError(name)
        return GraphLayer(self._project, name)

    def __getitem__(self, key: str) -> GraphReference:
        return GraphReference(self._project, key)


@dataclass(frozen=True, slots=True)
class GraphLayer:
    """The assets of one layer of a project."""

    _project: str
    _layer: str

    def __getattr__(self, name: str) -> GraphReference:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> GraphReference:
        return GraphReference(self._project, f"{self._layer}.{name}")


def __getattr__(name: str) -> Graph:
    if name.startswith(("__", "pytest")):  # pytest asks every module that it looks at for its plugins and marks
        raise AttributeError(name)
    return Graph(name)
