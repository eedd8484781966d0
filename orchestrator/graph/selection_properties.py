"""What the methods of selections look at: properties of assets, names of files, patterns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from orchestrator.graph.model import Asset, Ephemeral


def _source_spellings(asset: Asset) -> list[str]:
    """`source`, `source.table`, `project.source.table` of each dbt source; the layer and key of other externals."""
    found = []
    for unique_id in asset.dbt_ids:
        kind, _, rest = unique_id.partition(".")
        if kind == "source" and rest.count(".") >= 2:
            project, source, table = rest.split(".", 2)
            found += [source, f"{source}.{table}", f"{project}.{source}.{table}"]
    return found or ([asset.key.layer, str(asset.key)] if asset.external else [])


def _kinds(asset: Asset) -> list[str]:
    of_writers = [word for writer in asset.writers for word in (writer.engine, writer.strategy)]
    kinds = [*asset.kinds, *of_writers, asset.kind, *(["external"] if asset.external else [])]
    return list(dict.fromkeys(kinds))


def _file_names(files: Iterable[str]) -> list[str]:
    names = [file.rsplit("/", 1)[-1] for file in files]
    return [*names, *(name.rsplit(".", 1)[0] for name in names)]


def project_of(unique_id: str) -> str:
    """The dbt project of a unique_id."""
    return [*unique_id.split("."), ""][1]


ASSET_VALUES: Mapping[str, Callable[[Asset], Sequence[str]]] = {
    "tag": lambda asset: asset.tags,
    "kind": _kinds,
    "group": lambda asset: (asset.group,) if asset.group else (),
    "owner": lambda asset: asset.owners,
    "resource": lambda asset: asset.resources,
    "project": lambda asset: (asset.project,),
    "access": lambda asset: (asset.access,),
    "source": _source_spellings,
    "key": lambda asset: (str(asset.key),),
    "file": lambda asset: _file_names([asset.location.file, *(writer.location.file for writer in asset.writers)]),
    "resource_type": lambda asset: [unique_id.split(".", 1)[0] for unique_id in asset.dbt_ids],
}
EPHEMERAL_VALUES: Mapping[str, Callable[[Ephemeral], Sequence[str]]] = {
    "tag": lambda item: item.tags,
    "kind": lambda item: ("ephemeral",),
    "project": lambda item: (project_of(item.unique_id),),
    "file": lambda item: _file_names([item.path]),
    "resource_type": lambda item: ("model",),
}


def is_wildcard(pattern: str) -> bool:
    """Whether a pattern may match several names."""
    return "*" in pattern or "?" in pattern


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a text is what a pattern says, ignoring case; `*` is any text, `?` any character."""
    folded = pattern.lower()
    if not is_wildcard(folded):
        return lambda text: text.lower() == folded
    compiled = re.compile(re.escape(folded).replace(r"\*", ".*").replace(r"\?", "."))
    return lambda text: compiled.fullmatch(text.lower()) is not None


def path_pattern(path: str) -> str:
    """A path with `*`, `?` and `**` as a regular expression."""
    cleaned = re.sub(r"/+", "/", path.replace("\\", "/")).removeprefix("./").strip("/")
    escaped = re.escape(cleaned).replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    return escaped if cleaned not in ("", ".") else ".*"


def folders_of(file: str) -> list[str]:
    """The folders of a file below `models/`, `seeds/`, `snapshots/`; of other files all, and the file's own name."""
    *folders, name = file.split("/")
    for root in ("models", "seeds", "snapshots"):
        if root in folders:
            return folders[folders.index(root) + 1 :]
    return [*folders, name.rsplit(".", 1)[0]]
