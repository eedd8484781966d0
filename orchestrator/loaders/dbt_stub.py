"""A typed stub of `orchestrator.dbt` for one workspace: editors complete dbt models, type checkers find misspelt ones.

It stands in `typings/orchestrator/`, where Pyright looks by itself and mypy with `mypy_path = "typings"`. What is not
in the stub is found in the installed package. Once it is there, every load keeps it up to date.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator
from pathlib import Path

import orchestrator
from orchestrator.graph.model import AssetGraph
from orchestrator.kept_files import keep

FOLDER = Path("typings") / "orchestrator"
_HEAD = '''"""Written by `orchestrator stubs`, and kept up to date whenever the workspace is loaded. Do not edit."""

from typing import Literal

from orchestrator.definitions.assets import DbtReference
'''
_NAMESPACES = ("model", "seed", "snapshot")


def write_stubs(root: Path, graph: AssetGraph) -> Path:
    """Write or renew the stub below `root`; the file."""
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    # The package's own `__init__`, or type checkers would take the folder for all of the package.
    own = Path(orchestrator.__file__).read_text(encoding="utf-8")
    _renew(folder / "__init__.pyi", own)
    _renew(folder / "dbt.pyi", build_stub(graph))
    return folder / "dbt.pyi"


def refresh_stubs(root: Path, graph: AssetGraph) -> None:
    """Renew the stub where there is one."""
    if (root / FOLDER / "dbt.pyi").is_file():
        write_stubs(root, graph)


def _renew(file: Path, text: str) -> None:
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        keep(file, text.encode())


def build_stub(graph: AssetGraph) -> str:
    """The stub's text: one attribute a model, seed and snapshot, one class a source."""
    models: dict[str, str] = {}
    sources: dict[str, dict[str, str]] = {}
    for asset in graph.assets.values():
        for unique_id in asset.dbt_ids:
            kind, project, name = (*unique_id.split(".", 2), "", "")[:3]
            if kind in _NAMESPACES:
                models[name] = models[f"{project}.{name}"] = asset.description
            elif kind == "source":
                source, _, table = name.partition(".")
                sources.setdefault(source, {})[table] = asset.description
    for ephemeral in graph.ephemerals:
        models[ephemeral.name] = ""
    lines = [_HEAD, *_class("_Models", models)]
    for source, tables in sorted(sources.items()):
        lines += _class(_class_name(source), tables)
    lines += ["class _Sources:"]
    lines += [f"    {source}: {_class_name(source)}" for source in sorted(sources) if _is_name(source)] or ["    ..."]
    for source in sorted(sources):
        lines.append(f"    def __getitem__(self, name: Literal[{source!r}]) -> {_class_name(source)}: ...")
    if len(sources) > 1:
        lines = _overloaded(lines)
    return "\n".join([*lines, "", "models: _Models", "sources: _Sources", ""])


def _class(name: str, members: dict[str, str]) -> Iterator[str]:
    yield f"class {name}:"
    for member, description in sorted(members.items()):
        if _is_name(member):
            yield f"    {member}: DbtReference"
            if description:
                yield f"    {_docstring(description)}"
    names = ", ".join(repr(member) for member in sorted(members))
    yield f"    def __getitem__(self, name: Literal[{names}]) -> DbtReference: ..." if names else "    ..."
    yield ""


def _overloaded(lines: list[str]) -> list[str]:
    start = lines.index("class _Sources:")
    marked: list[str] = []
    for line in lines[start:]:
        marked += ["    @overload", line] if "def __getitem__" in line else [line]
    head = lines[0].replace("import Literal", "import Literal, overload")
    return [head, *lines[1:start], *marked]


def _class_name(source: str) -> str:
    return "_Source_" + "".join(character if character.isalnum() else "_" for character in source)


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


def _docstring(text: str) -> str:
    first: Iterable[str] = text.strip().splitlines()
    line = next(iter(first), "").replace("\\", "\\\\").replace('"', "'")
    return f'"""{line}"""'
