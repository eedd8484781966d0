"""Code that a function has run elsewhere: the scripts that it names, and what those import from beside them.

So a changed script makes its asset stale, as a changed function does. What cannot be seen: code that is only in an
image or on another machine, modules that are installed, file names built at run time.
"""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from orchestrator.definitions.remote import ExternalPython, Shell

LARGEST_BYTES = 1_000_000
LONGEST_NAME = 200


def describe_work(work: Shell | ExternalPython) -> str:
    """What is asked for, in words that change when it does."""
    asked = work.command if isinstance(work, Shell) else (str(work.python), work.label, tuple(map(str, work.args)))
    more = (sorted(work.parameters.items()), sorted(work.env), tuple(work.inherit), str(work.cwd or ""))
    return repr((asked, *more))


Found = tuple[Path, Path]
"""(a file, the directory that it imports from)"""


def files_of(work: Shell | ExternalPython, *, root: Path) -> list[Found]:
    """The files that are named there: a script, the file of a module, programs and arguments."""
    folder = root / work.cwd if work.cwd is not None else root
    if isinstance(work, Shell):
        words = _words(work.command) if isinstance(work.command, str) else map(str, work.command)
        return list(_files(words, folder))
    if work.script is not None:
        return list(_files([str(work.script)], root))
    return list(_module_files(str(work.module), folder))


def files_named(texts: Iterable[str], *, root: Path) -> list[Found]:
    """The files that the constants of some code name, which starts something."""
    words = [word for text in texts for word in dict.fromkeys([text, *_words(text)])]
    modules = [path for word in words for path in _module_files(word, root)]
    return [*_files(words, root), *modules]


def read_files(files: Iterable[Found], *, root: Path) -> dict[str, str]:
    """{file: its code}, with the Python modules that Python files import from beside themselves."""
    found: dict[str, str] = {}
    waiting = list(files)
    while waiting:
        file, base = waiting.pop()
        name = f"file:{file.relative_to(root) if file.is_relative_to(root) else file}"
        if name in found or not (text := _text(file)):
            continue
        found[name] = text
        if file.suffix == ".py":
            with suppress(SyntaxError):
                tree = ast.parse(text)
                found[name] = ast.dump(tree)  # comments and layout are no change
                waiting += [item for name in _imports(tree, file, base) for item in _module_files(name, base)]
    return found


def _imports(tree: ast.Module, file: Path, base: Path) -> Iterator[str]:
    package = ".".join(file.parent.relative_to(base).parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: -node.level + 1 or None] if node.level and package else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{name.name}".lstrip(".") for name in node.names)


def _module_files(name: str, folder: Path) -> Iterator[Found]:
    parts = name.split(".")
    if len(name) <= LONGEST_NAME and all(part.isidentifier() for part in parts):
        path = folder.joinpath(*parts)
        for file in (path.with_suffix(".py"), path / "__init__.py", path / "__main__.py"):
            if file.is_file():
                yield file, folder


def _files(words: Iterable[str], folder: Path) -> Iterator[Found]:
    for word in words:
        with suppress(OSError, ValueError):  # no name of a file
            if 0 < len(word) <= LONGEST_NAME and (path := folder / word).is_file():
                yield path, path.parent


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quote that is not closed
        return text.split()


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > LARGEST_BYTES:
            return ""
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):  # programs, pictures: no code of the project
        return ""
