"""Runs what a document shows, in the order it shows it, in a directory of its own.

    ```python file=assets/flights.py      the block is written to that file
    ```console                            `$ command` lines are run; what follows is what they print
    ```python                             the block is executed
    <!-- starts from: shop -->            the directory begins as a copy of tests/fixtures/documents/shop
    <!-- before: command -->              what has happened before the next block, and the reader does not see
    <!-- not executed: reason -->         the next block is left alone
    <!-- executed by: test -->            as well, because that test of tests/integration/test_docs.py does it

A console block in which no line begins with `$` is commands, one a line. Python with `>>>` is compared as a doctest.

In what is printed `…` stands for anything, and a line of `…` for any lines. Blocks of other languages are text, unless
they are files.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGINNINGS = ROOT / "tests/fixtures/documents"
EXECUTED = ("console", "python", "sh", "bash")
TIMEOUT_S = 300
_PIECE = re.compile(
    r"^<!-- *(?P<word>starts from|before|not executed|executed by): *(?P<said>.*?) *-->$"
    r"|^(?P<fence>`{3,})(?P<language>\w*)(?: +file=(?P<file>\S+))?[^\n]*\n(?P<text>.*?)^(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block that does something. `file` is where it is written, None where it is executed."""

    language: str
    file: str | None
    text: str
    line: int
    before: tuple[str, ...] = ()
    """Commands that come before it, unseen."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a document does."""

    path: Path
    beginning: str | None
    blocks: tuple[Block, ...]
    tests: tuple[str, ...] = ()
    """Tests that execute others of its blocks."""

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))


def read_document(path: Path) -> Document:
    """The document's blocks that are files or are executed, without those said not to be."""
    text = path.read_text(encoding="utf-8")
    beginning: str | None = None
    blocks: list[Block] = []
    before: list[str] = []
    tests: list[str] = []
    excused = False
    for piece in _PIECE.finditer(text):
        if piece["word"] == "starts from":
            beginning = piece["said"]
        elif piece["word"] == "before":
            before.append(piece["said"])
        elif piece["word"]:
            tests += [piece["said"]] if piece["word"] == "executed by" else []
            assert piece["said"], f"{path.name}: a block is not executed for no reason"
            excused = True
        else:
            line = text.count("\n", 0, piece.start()) + 1
            if (piece["file"] or piece["language"] in EXECUTED) and not excused:
                blocks.append(Block(piece["language"], piece["file"], piece["text"], line, tuple(before)))
            excused, before = False, []
    return Document(path, beginning, tuple(blocks), tuple(tests))


def documents() -> Iterator[Document]:
    """All documents that do something."""
    for path in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]):
        if (document := read_document(path)).blocks:
            yield document


def execute(document: Document, directory: Path) -> None:
    """Do what the document shows in `directory`. Raises AssertionError with the line where it does not hold."""
    if document.beginning:
        shutil.copytree(BEGINNINGS / document.beginning, directory, dirs_exist_ok=True)
    names: list[str] = []
    for block in document.blocks:
        place = f"{document.name}:{block.line}"
        for command in block.before:
            _check(f"{place}: before: {command}", _run(["bash", "-c", command], directory), None)
        if block.file:
            _write(directory / block.file, block.text)
        elif block.language == "python" and ">>>" in block.text:
            shown = directory / "shown.txt"
            shown.write_text(block.text, encoding="utf-8")
            _check(place, _run([sys.executable, "-m", "doctest", shown.name], directory), None)
        elif block.language == "python":
            names.append(block.text)
            shown = directory / "shown.py"  # in a file, since Orchestrator reads code
            shown.write_text("\n".join(names), encoding="utf-8")
            _check(place, _run([sys.executable, shown.name], directory), None)
        else:
            for command, expected in _commands(block):
                _check(f"{place}: $ {command}", _run(["bash", "-c", command], directory), expected)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    # Python tells a changed file by its seconds and size.
    shutil.rmtree(file.parent / "__pycache__", ignore_errors=True)


def _commands(block: Block) -> Iterator[tuple[str, str | None]]:
    """(command, what it prints) of a console block; of a script the whole."""
    if block.language != "console":
        yield block.text, None
        return
    if not re.search(r"^\$ ", block.text, re.MULTILINE):
        yield from ((line, None) for line in block.text.splitlines() if line.strip())
        return
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        while command.endswith("\\"):
            more, _, printed = printed.partition("\n")
            command = f"{command}\n{more}"
        yield command, printed if printed.strip() else None


def _run(command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    bin_ = Path(sys.executable).parent
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("ORCHESTRATOR_", "PREFECT_"))
    }
    environment = {**inherited, "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run(
        command,
        cwd=directory,
        env={**environment, "PYTHONPATH": str(directory), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def _check(place: str, ran: subprocess.CompletedProcess[str], expected: str | None) -> None:
    """A block that says what is printed may fail, as far as it says so; one that does not must succeed."""
    if expected is None:
        assert ran.returncode == 0, f"{place}\nended with {ran.returncode} and printed\n{ran.stdout}"
        return
    assert matches(expected, ran.stdout), f"{place}\nshould print\n{expected}\nand printed\n{ran.stdout}"


def matches(expected: str, printed: str) -> bool:
    """Whether a text is what was expected, where `…` stands for anything; blanks at the ends of lines do not count.

    >>> matches("a … c\\n…\\nz", "a b c\\n1\\n2\\nz"), matches("a\\n…", "a"), matches("a", "b")
    (True, True, False)
    """
    lines = [line.rstrip() for line in expected.strip("\n").splitlines()]
    pattern = "".join(
        r"(?:[^\n]*\n)*?" if line.strip() == "…" else re.escape(line).replace("…", "[^\n]*") + r" *\n" for line in lines
    )
    text = "\n".join(line.rstrip() for line in printed.strip("\n").splitlines()) + "\n"
    return re.fullmatch(pattern, text) is not None
