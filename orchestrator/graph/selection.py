"""Evaluates selections on a graph: which assets does `+marts.daily,not tag:slow` mean?

Everything that names nothing is an error, so that a typing mistake never runs the wrong assets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from orchestrator.definitions import selection as tree
from orchestrator.definitions.jobs import Job
from orchestrator.definitions.keys import AssetKey
from orchestrator.definitions.selection import Selectable
from orchestrator.errors import SelectionError, did_you_mean
from orchestrator.graph.model import AssetGraph, Ephemeral
from orchestrator.graph.references import index_references
from orchestrator.graph.selection_properties import (
    ASSET_VALUES,
    EPHEMERAL_VALUES,
    folder_pattern,
    is_wildcard,
    matcher,
    path_pattern,
    place_of,
    project_of,
)
from orchestrator.graph.selection_text import DBT_RESULTS, RESULTS, STATES, is_file_name, parse

Selection = str | Selectable | AssetKey | Sequence[str | Selectable | AssetKey] | None
_Nodes = frozenset["AssetKey | str"]
"""Assets by key, ephemeral models by unique_id."""
_SHOWN = 20
_CONSUMERS = ("exposure", "metric", "semantic_model", "saved_query")


def select(
    graph: AssetGraph,
    selection: Selection = None,
    *,
    exclude: Selection = None,
    states: Mapping[AssetKey, str] | None = None,
    results: Mapping[AssetKey, str] | None = None,
) -> frozenset[AssetKey]:
    """The assets that a selection means, without those of `exclude`.

    Texts in a sequence are read as if typed one after the other. Nothing selected means all that has a writer.
    `states` and `results` are {asset: word} for `state:` and `result:`. Raises SelectionError.
    """
    evaluation = _Evaluation(graph, states, results)
    chosen = evaluation.nodes(to_expression(selection))
    keys = _keys(chosen)
    if chosen and not keys:
        raise evaluation.no_table(chosen)
    if _is_nothing(exclude):
        return keys
    return keys - _keys(evaluation.nodes(to_expression(exclude)))


def check_job(graph: AssetGraph, job: Job) -> None:
    """Raise SelectionError if a job names what is not there; words about the records, such as `state:`, are taken."""
    known = dict.fromkeys(graph.assets, "fresh")
    _Evaluation(graph, known, known).nodes(job.__selection__())


def to_expression(selection: Selection) -> tree.Expression:
    """One expression of whatever a selection is given as; nothing is All."""
    match selection:
        case None:
            return tree.All()
        case str():
            return parse(selection)
        case AssetKey():
            return tree.Asset(selection)
        case Selectable():
            return selection.__selection__()
    texts = " ".join(item for item in selection if isinstance(item, str))
    objects = [to_expression(item) for item in selection if not isinstance(item, str)]
    parts = [parse(texts), *objects] if texts.strip() else objects
    if not parts:
        return tree.All()
    return parts[0] if len(parts) == 1 else tree.Or(tuple(parts))


def _is_nothing(selection: Selection) -> bool:
    if isinstance(selection, (Selectable, AssetKey)) or selection is None:
        return selection is None
    items = [selection] if isinstance(selection, str) else selection
    return not any(item.strip() if isinstance(item, str) else True for item in items)


def find_asset(graph: AssetGraph, name: str) -> AssetKey:
    """The one asset that a name means (key, alias, bare name, dbt unique_id). Raises SelectionError."""
    evaluation = _Evaluation(graph, None, None)
    nodes = evaluation.named(name)
    if nodes is None:
        raise evaluation.unknown_name(name)
    keys = _keys(nodes)
    if not keys:
        raise evaluation.no_table(nodes)
    return min(keys)


@dataclass(frozen=True)
class _Evaluation:
    """One selection on one graph."""

    graph: AssetGraph
    states: Mapping[AssetKey, str] | None
    results: Mapping[AssetKey, str] | None
    within: frozenset[str] = frozenset()
    """Jobs whose selections are being read."""

    def nodes(self, expression: tree.Expression) -> _Nodes:
        match expression:
            case tree.All():
                return self.written
            case tree.Name(pattern):
                return self.by_name(pattern)
            case tree.Asset():
                return self.by_reference(expression)
            case tree.Method(method, value):
                return self.by_method(method, value)
            case tree.Upstream(inner, depth):
                return self.reach(self.nodes(inner), depth, up=True)
            case tree.Downstream(inner, depth):
                return self.reach(self.nodes(inner), depth, up=False)
            case tree.At(inner):
                return self.reach(self.reach(self.nodes(inner), None, up=False), None, up=True)
            case tree.Or(parts):
                return frozenset().union(*map(self.nodes, parts))
            case tree.Not(inner):
                return self.written - self.nodes(inner)
            case tree.And(parts):
                return self.both(parts)
        raise TypeError(f"{expression!r} is no selection")

    def both(self, parts: Iterable[tree.Expression]) -> _Nodes:
        """What is in all parts. Negated parts are taken away, so that `source:raw,not tag:x` keeps external assets."""
        parts = tuple(parts)
        wanted = [self.nodes(part) for part in parts if not isinstance(part, tree.Not)]
        unwanted = [self.nodes(part.inner) for part in parts if isinstance(part, tree.Not)]
        start = wanted[0] if wanted else self.written
        return start.intersection(*wanted).difference(*unwanted)

    def reach(self, nodes: _Nodes, depth: int | None, *, up: bool) -> _Nodes:
        walk = self.graph.ancestors if up else self.graph.descendants
        found = nodes | walk(_keys(nodes), depth=depth)
        if depth == 0:
            return found
        for name in nodes - _keys(nodes):
            ephemeral = self.ephemerals[str(name)]
            near = ephemeral.reads if up else ephemeral.read_by
            found |= near | walk(near, depth=None if depth is None else depth - 1)
        return found

    # Names

    def by_name(self, pattern: str) -> _Nodes:
        if is_file_name(pattern) and pattern.lower() not in self.graph.names:
            nodes: _Nodes | None = self.matching("file", pattern)
        else:
            nodes = self.wildcard(pattern) if is_wildcard(pattern) else self.named(pattern)
        nodes = nodes or self.in_folder(pattern)
        if not nodes:
            raise self.unknown_name(pattern)
        return nodes

    def named(self, name: str) -> _Nodes | None:
        """What an exact name means; a key comes before all other meanings. None if it means nothing."""
        folded = name.lower()
        if (key := self.keys.get(folded)) is not None:
            return frozenset({key})
        found: set[AssetKey | str] = set(self.graph.names.get(folded, ()))
        found |= {id_ for id_, item in self.ephemerals.items() if folded in (item.name.lower(), id_.lower())}
        found = found or self.referenced(f"dbt:model:{name}") or self.referenced(f"dbt:source:{name}")
        if len(found) > 1:
            raise _ambiguous(name, found)
        return frozenset(found) or None

    def referenced(self, reference: str) -> set[AssetKey | str]:
        ids = self.references.get(reference, ())
        return {id_ if id_ in self.ephemerals else self.graph.names[id_.lower()][0] for id_ in ids}

    def by_reference(self, asset: tree.Asset) -> _Nodes:
        """The asset of a reference object, by its key or by its draft id."""
        reference = asset.reference
        for spelling in (getattr(reference, "id", None), getattr(reference, "key", None), reference):
            if isinstance(spelling, AssetKey) and spelling in self.graph:
                return frozenset({spelling})
            if isinstance(spelling, str) and (found := self.referenced(spelling) or self.writers.get(spelling)):
                if len(found) > 1:
                    raise _ambiguous(asset.label, found)
                return frozenset(found)
        if (nodes := self.named(asset.label)) is None:
            raise self.unknown_name(asset.label)
        return nodes

    def wildcard(self, pattern: str) -> _Nodes:
        matches = matcher(pattern)
        found: set[AssetKey | str] = {
            key
            for key, asset in self.graph.assets.items()
            if matches(str(key)) or matches(asset.name) or any(map(matches, asset.aliases))
        }
        return frozenset(found.union(id_ for id_, item in self.ephemerals.items() if matches(item.name)))

    def in_folder(self, pattern: str) -> _Nodes:
        """dbt's `fqn`: project, folders, name, from the start; the project may be left out."""
        inside = re.compile(rf"(?:[^.]*\.)?{folder_pattern(pattern)}(?:\..*)?")
        return frozenset(node for node, place in self.places.items() if inside.fullmatch(place))

    # Methods

    def by_method(self, method: str, value: str) -> _Nodes:
        if method in ("state", "result"):
            return self.in_state(method, value)
        if method == "job":
            return self.in_jobs(value)
        placed = {"fqn": self.in_folder, "path": self.below}.get(method)
        nodes = placed(value) if placed else self.matching(method, value)
        if not nodes:
            raise _unknown_value(method, value, () if placed else self.known(method))
        return nodes

    def in_jobs(self, pattern: str) -> _Nodes:
        """What the jobs select, of several their union."""
        matches = matcher(pattern)
        named = [name for name in self.graph.jobs if matches(name)]
        if not named:
            fix = did_you_mean(pattern, self.graph.jobs) or _known_jobs(self.graph.jobs)
            raise SelectionError(f"there is no job '{pattern}'", fix=fix)
        if inside := set(named) & self.within:
            raise SelectionError(f"job '{min(inside)}' selects itself", fix="take it out of its own selection")
        inner = replace(self, within=self.within.union(named))
        return frozenset().union(*(inner.nodes(self.graph.jobs[name].job.select.__selection__()) for name in named))

    def matching(self, method: str, value: str) -> _Nodes:
        matches = matcher(value)
        return frozenset(node for node, values in self.values(method) if any(map(matches, values)))

    def values(self, method: str) -> Iterable[tuple[AssetKey | str, Sequence[str]]]:
        """Each node with what a method says about it; a node may come more than once."""
        if method == "check":
            return ((check.key, (check.name, check.id)) for check in self.graph.checks if check.reads)
        if method in _CONSUMERS:
            found = [consumer for consumer in self.graph.consumers if consumer.kind == method]
            return ((key, (consumer.name, consumer.id)) for consumer in found for key in consumer.reads)
        of_asset, of_ephemeral = ASSET_VALUES[method], EPHEMERAL_VALUES.get(method)
        nodes: list[tuple[AssetKey | str, Sequence[str]]] = [(key, of_asset(a)) for key, a in self.graph.assets.items()]
        if of_ephemeral is not None:
            nodes += [(id_, of_ephemeral(item)) for id_, item in self.ephemerals.items()]
        return nodes

    def known(self, method: str) -> tuple[str, ...]:
        """The values that a method could have had, the first spelling of each."""
        first_only = method in ("check", "source", *_CONSUMERS)
        return tuple(sorted({v for _, values in self.values(method) for v in (values[:1] if first_only else values)}))

    def in_state(self, method: str, value: str) -> _Nodes:
        words, given = (STATES, self.states) if method == "state" else (RESULTS, self.results)
        word = DBT_RESULTS.get(value.lower(), value.lower()) if method == "result" else value.lower()
        if word not in words:
            fix = did_you_mean(word, words) or f"there are {', '.join(words)}"
            raise SelectionError(f"'{value}' is no {method}", fix=fix)
        if given is None:
            raise SelectionError(
                f"'{method}:{value}' needs recorded {method}s, and there are none here",
                fix=f"leave '{method}:' out, or use it in a command that reads the records, such as run, plan or ls",
            )
        return frozenset(key for key, current in given.items() if current == word and key in self.graph)

    def below(self, path: str) -> _Nodes:
        """What is defined in a file or below a folder, from the workspace's root, else below any folder in it."""
        pattern = path_pattern(path)
        files = [(node, file) for node, found in self.files.items() for file in found]
        for start in ("", "(?:.*/)?"):
            compiled = re.compile(f"{start}{pattern}(?:/.*)?")
            if nodes := frozenset(node for node, file in files if compiled.fullmatch(file)):
                return nodes
        return frozenset()

    # What is looked up

    @cached_property
    def written(self) -> _Nodes:
        return frozenset(key for key, asset in self.graph.assets.items() if not asset.external)

    @cached_property
    def keys(self) -> Mapping[str, AssetKey]:
        """{lower-cased key: key}; keys that differ only in case are told apart as other names are."""
        found: dict[str, list[AssetKey]] = {}
        for key in self.graph.assets:
            found.setdefault(str(key).lower(), []).append(key)
        return {text: keys[0] for text, keys in found.items() if len(keys) == 1}

    @cached_property
    def ephemerals(self) -> Mapping[str, Ephemeral]:
        return {ephemeral.unique_id: ephemeral for ephemeral in self.graph.ephemerals}

    @cached_property
    def references(self) -> Mapping[str, tuple[str, ...]]:
        ids = [id_ for asset in self.graph.assets.values() for id_ in asset.dbt_ids]
        return index_references([*ids, *self.ephemerals])

    @cached_property
    def writers(self) -> Mapping[str, set[AssetKey | str]]:
        return {writer.id: {key} for key, asset in self.graph.assets.items() for writer in asset.writers}

    @cached_property
    def files(self) -> Mapping[AssetKey | str, tuple[str, ...]]:
        found: dict[AssetKey | str, tuple[str, ...]] = {id_: (item.path,) for id_, item in self.ephemerals.items()}
        for key, asset in self.graph.assets.items():
            found[key] = (asset.location.file, *(writer.location.file for writer in asset.writers))
        return found

    @cached_property
    def places(self) -> Mapping[AssetKey | str, str]:
        """{node: project.folder.folder.name}, lower-cased, folders below models/ or seeds/"""
        found: dict[AssetKey | str, str] = {
            id_: place_of(project_of(id_), item.path, item.name) for id_, item in self.ephemerals.items()
        }
        for key, asset in self.graph.assets.items():
            found[key] = place_of(asset.project, asset.location.file, asset.name)
        return found

    # Errors

    def unknown_name(self, name: str) -> SelectionError:
        if is_wildcard(name):
            return SelectionError(f"no asset matches '{name}'", fix="`orchestrator ls` lists all assets")
        if name.lower() in ("and", "or"):
            return SelectionError(f"no asset is called '{name}'", fix="a space means or, a comma means and")
        if name in {key.layer for key in self.graph.assets}:
            return SelectionError(f"no asset is called '{name}'", fix=f"'{name}.*' selects all assets of this layer")
        keys = [str(key) for key in self.graph.assets]
        names = [other for asset in self.graph.assets.values() for other in (asset.name, *asset.aliases)]
        names += [item.name for item in self.ephemerals.values()]
        first, second = (keys, names) if "." in name else (names, keys)
        fix = did_you_mean(name, dict.fromkeys(first)) or did_you_mean(name, dict.fromkeys(second))
        return SelectionError(f"no asset is called '{name}'", fix=fix or "`orchestrator ls` lists all assets")

    def no_table(self, nodes: _Nodes) -> SelectionError:
        names = sorted(self.ephemerals[str(node)].name for node in nodes)
        if len(names) == 1:
            what = f"'{names[0]}' is an ephemeral model: it has no table of its own"
        else:
            what = f"{', '.join(_quote(names))} are ephemeral models: they have no table of their own"
        return SelectionError(what, fix=f"select what is made from it: '{names[0]}+'")


def _keys(nodes: _Nodes) -> frozenset[AssetKey]:
    return frozenset(node for node in nodes if isinstance(node, AssetKey))


def _known_jobs(jobs: Iterable[str]) -> str:
    names = ", ".join(jobs)
    return f"there are {names}" if names else 'no job is defined: name = Job("name", select=…) in a Python module'


def _ambiguous(name: str, found: Iterable[AssetKey | str]) -> SelectionError:
    keys = sorted(map(str, found))
    return SelectionError(f"'{name}' may mean {' or '.join(_quote(keys))}", fix="write the whole key")


def _unknown_value(method: str, value: str, known: Sequence[str]) -> SelectionError:
    if method in ("path", "fqn", "file"):
        what = f"no asset is defined in '{value}'"
        return SelectionError(
            what, fix=did_you_mean(value, known) or "`orchestrator ls` shows where assets are defined"
        )
    noun = method.replace("_", " ")
    if method == "check":
        what = f"no check is called '{value}'"
    elif method in _CONSUMERS:
        what = f"no {noun} is called '{value}', or it reads no asset"
    elif method == "key":
        what = f"no asset has a key like '{value}'" if is_wildcard(value) else f"no asset has the key '{value}'"
    else:
        what = f"no asset has the {noun} '{value}'"
    listed = ", ".join(known[:_SHOWN]) + (f" … and {len(known) - _SHOWN} more" if len(known) > _SHOWN else "")
    everything = f"there are {listed}" if known else f"nothing here has a {noun}"
    return SelectionError(what, fix=" ".join(filter(None, [did_you_mean(value, known), everything])))


def _quote(names: Iterable[str]) -> list[str]:
    return [f"'{name}'" for name in names]


__all__ = ["Selection", "find_asset", "parse", "select", "to_expression"]
