"""Writes docs/reference/python.md from signatures and docstrings: `python -m tests.reference`.

tests/unit/test_reference.py fails where the page is out of date.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from types import ModuleType
from typing import Any

from tests.documents import ROOT

PAGE = ROOT / "docs/reference/python.md"
MODULES = ("orchestrator", "orchestrator.dbt", "orchestrator.graphs", "orchestrator.testing", "orchestrator.external")
WITHIN = "orchestrator."
WIDTH = 100
HEAD = """# Python

What can be imported, from the docstrings: `python -m tests.reference` writes this page. Everything after the first
argument goes by name. See also: [partitions](partitions.md), [selections](selection.md).
"""
INHERITED = "Shared"


def page() -> str:
    """The whole page."""
    shared: dict[type, None] = {}
    parts = [HEAD]
    for name in MODULES:
        module = importlib.import_module(name)
        parts.append(f"## `{name}`\n")
        if name != "orchestrator":
            parts.append(_text(module.__doc__))
        for item in _public(module):
            parts += _entry(item, getattr(module, item), shared)
    parts.append(f"## {INHERITED}\n")
    parts.append("What several of the above inherit.\n")
    for base in sorted(shared, key=lambda base: base.__name__):
        parts += _entry(base.__name__, base, None)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def _public(module: ModuleType) -> list[str]:
    """The names that a module offers: `__all__`, or what it defines itself."""
    named = getattr(module, "__all__", None)
    if named is not None:
        return sorted(named, key=lambda name: (name.lower(), name))
    own = (name for name, value in vars(module).items() if _is_of(module, value) and not name.startswith("_"))
    return sorted(own, key=lambda name: (name.lower(), name))


def _is_of(module: ModuleType, value: Any) -> bool:
    return (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == module.__name__


def _entry(name: str, item: Any, shared: dict[type, None] | None) -> Iterator[str]:
    """One name with all that belongs to it. Bases that are to be described elsewhere go to `shared`."""
    yield f"### `{name}`\n"
    if isinstance(item, ModuleType):
        yield _text(item.__doc__)
        for inner in _public(item):
            yield from _member(inner, getattr(item, inner))
    elif inspect.isclass(item):
        yield from _class(name, item, shared)
    elif inspect.isfunction(item):
        yield _code(name, item)
        yield _text(inspect.getdoc(item))
    else:
        yield f"{_text(type(item).__doc__)}"


def _class(name: str, cls: type, shared: dict[type, None] | None) -> Iterator[str]:
    if not inspect.isabstract(cls) and "Protocol" not in {base.__name__ for base in cls.__bases__}:
        yield _code(name, cls)
    own = cls.__dict__.get("__doc__") or ""
    yield _text("" if is_dataclass(cls) and own.startswith(f"{cls.__name__}(") else own)
    for field, about in _fields(cls):
        yield f"- `{field}`: {_line(about)}"
    yield ""
    for inner, value in vars(cls).items():
        if not inner.startswith("_"):
            yield from _member(inner, value)
    bases = [base for base in cls.__mro__[1:] if base.__module__.startswith(WITHIN) and _has_members(base)]
    if bases:
        yield "And what it has as " + ", ".join(f"`{base.__name__}`" for base in bases) + f": [{INHERITED}](#shared).\n"
    if shared is not None:
        shared.update(dict.fromkeys(bases))


def _has_members(base: type) -> bool:
    return any(list(_member(name, value)) for name, value in vars(base).items() if not name.startswith("_"))


def _member(name: str, value: Any) -> Iterator[str]:
    function = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
    about = inspect.getdoc(function.fget if isinstance(function, property) else function)
    if not about or not (inspect.isfunction(function) or inspect.isclass(function) or isinstance(function, property)):
        return
    shown = name if isinstance(function, property) else name + _signature(function)
    yield f"**`{shown}`**: {_line(about)}\n"


def _fields(cls: type) -> Iterator[tuple[str, str]]:
    """(field, what the text below it says)"""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    for field, below in zip(body.body, body.body[1:], strict=False):
        target = getattr(field, "target", None)
        match below:
            case ast.Expr(value=ast.Constant(value=str() as about)) if (
                isinstance(target, ast.Name) and target.id[0] != "_"
            ):
                yield target.id, about


def _code(name: str, item: Any) -> str:
    try:
        return f"```text\n{name}{_signature(item, width=WIDTH - len(name))}\n```\n"
    except ValueError:  # no signature
        return ""


def _signature(item: Any, *, width: int = 10_000) -> str:
    """Parameters without `self` and `cls`; one a line where they are too long for one."""
    found = inspect.signature(item)
    given = [one for one in found.parameters.values() if one.name not in ("self", "cls")]
    words = [_parameter(one) for one in given]
    keyword = next((at for at, one in enumerate(given) if one.kind is one.KEYWORD_ONLY), None)
    if keyword is not None and not any(one.kind is one.VAR_POSITIONAL for one in given):
        words.insert(keyword, "*")
    back = "" if inspect.isclass(item) or found.return_annotation is found.empty else f" -> {found.return_annotation}"
    line = f"({', '.join(words)}){back}"
    return line if len(line) <= width else "(\n" + "".join(f"    {word},\n" for word in words) + f"){back}"


def _parameter(one: inspect.Parameter) -> str:
    name = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "") + one.name
    if one.annotation is not one.empty:
        name += f": {one.annotation}"
    if one.default is one.empty:
        return name
    default = repr(one.default)
    plain = "…" if " at 0x" in default or default == "<factory>" else default.replace("datetime.", "")
    return f"{name} = {plain}" if one.annotation is not one.empty else f"{name}={plain}"


def _line(text: str) -> str:
    """The first paragraph, in one line."""
    return " ".join(inspect.cleandoc(text).split("\n\n")[0].split())


def _text(doc: str | None) -> str:
    """A docstring as Markdown: what Python would print in a block of its own."""
    paragraphs = inspect.cleandoc(doc or "").split("\n\n")
    return "\n\n".join(f"```pycon\n{one}\n```" if one.startswith(">>>") else one for one in paragraphs) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
