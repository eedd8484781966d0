"""What the methods of selections look at: properties of assets, names of files, patterns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from orchestrator.graph.model import Asset, Ephemeral, UsedResource


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


def _resource_words(resource: UsedResource) -> tuple[str, ...]:
    """`python_assets.resources.warehouse`, `warehouse`, and its type."""
    return (resource.name, resource.name.rpartition(".")[2], resource.type)


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
    "resource": lambda asset: [word for item in asset.resources for word in _resource_words(item)],
    "project": lambda asset: tuple(filter(None, (asset.project, asset.home))),
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


def folder_pattern(pattern: str) -> str:
    """A dotted path with `*` and `?` within its parts as a regular expression on lower-cased text."""
    return re.escape(pattern.lower()).replace(r"\*", "[^.]*").replace(r"\?", "[^.]")


def place_of(project: str, file: str, name: str) -> str:
    """`project.folder.folder.name`, lower-cased, as dbt's fqn: folders below `models/`, `seeds/`, `snapshots/`.

    Of files elsewhere all folders count, and the file itself, since a Python module has several assets.
    """
    *folders, own = file.split("/")
    for root in ("models", "seeds", "snapshots"):
        if root in folders:
            folders = folders[folders.index(root) + 1 :]
            break
    else:
        folders.append(own.rsplit(".", 1)[0])
    return ".".join((project, *folders, name)).lower()
