"""Reference ids: how code names a dbt node without knowing its project, `dbt:model:NAME`, `dbt:source:SOURCE.TABLE`.

`orchestrator.dbt.models.NAME` makes them; loaders and selections look them up here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_REFERABLE = {"model": "model", "seed": "model", "snapshot": "model", "source": "source"}
"""dbt's `ref()` finds models, seeds and snapshots alike."""
_VERSION = re.compile(r"\.v[^.]+$")


def index_references(unique_ids: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """{reference id: dbt unique_ids it may mean}, with and without the project.

    >>> index_references(["model.shop.orders"])
    {'dbt:model:orders': ('model.shop.orders',), 'dbt:model:shop.orders': ('model.shop.orders',)}
    """
    found: dict[str, dict[str, None]] = {}
    for unique_id in unique_ids:
        for reference in _spellings(unique_id):
            found.setdefault(reference, {})[unique_id] = None
    return {reference: tuple(ids) for reference, ids in found.items()}


def _spellings(unique_id: str) -> Iterable[str]:
    parts = unique_id.split(".", 2)
    if len(parts) < 3 or parts[0] not in _REFERABLE:
        return
    prefix, project, name = f"dbt:{_REFERABLE[parts[0]]}:", parts[1], parts[2]
    names = [name] if parts[0] == "source" else [name, name.replace(".", "_"), _VERSION.sub("", name)]
    for spelling in dict.fromkeys(names):
        yield f"{prefix}{spelling}"
        yield f"{prefix}{project}.{spelling}"
