"""Who may read what across projects: what is written as private or protected is for its own project only."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.errors import AccessError
from orchestrator.graph.model import Asset, AssetGraph


def access_errors(graph: AssetGraph, *, own: str) -> Iterator[AccessError]:
    """An error for each writer that reads what another project keeps for itself; `own` names the workspace's project.

    dbt's default, `protected`, does not count where nobody has written it: dbt itself lets others read such a table
    through a source.
    """
    for asset in graph.assets.values():
        for writer in asset.writers:
            for read in sorted(writer.reads):
                other = graph[read]
                if other.home != asset.home and other.access_written and other.access != "public":
                    yield _refused(asset, str(writer.location), other, own=own)


def _refused(asset: Asset, at: str, other: Asset, *, own: str) -> AccessError:
    owners, project = ", ".join(other.owners) or "its owner", other.home or own
    error = AccessError(
        f"'{asset.key}' of project '{asset.home or own}' reads '{other.key}', which is {other.access} in project "
        f"'{project}'",
        at=f"{at} and {other.location}",
        fix=f"read a public asset of '{project}', or ask {owners} to write `access: public` there",
    )
    error.homes = frozenset((asset.home,))
    return error


__all__ = ["access_errors"]
