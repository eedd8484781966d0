"""The code in docs/ runs as it stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from orchestrator.definitions.selection import Expression
from orchestrator.graph.selection import parse
from tests.documents import Document, documents, execute, read_document

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(document: str, language: str) -> list[str]:
    """The code blocks of one language in a document."""
    return [code for name, code in BLOCK.findall((DOCS / document).read_text(encoding="utf-8")) if name == language]


# docs/why has a test for each sentence that it answers, external.md is a workspace of its own.
ELSEWHERE = ("docs/why/", "docs/how-to/external.md")
EXECUTED = [document for document in documents() if not document.name.startswith(ELSEWHERE)]


@pytest.mark.slow
@pytest.mark.parametrize("document", EXECUTED, ids=lambda document: document.name)
def test_what_a_document_shows_is_what_happens(document: Document, tmp_path: Path) -> None:
    execute(document, tmp_path)


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: str(path.relative_to(DOCS)))
def test_a_block_that_another_test_executes_names_one_that_is_there(path: Path) -> None:
    missing = [name for name in read_document(path).tests if not hasattr(sys.modules[__name__], name)]
    assert not missing


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```console\nfalse\n```", "doc.md:1: $ false\nended with 1"),
        ("```console\n$ echo two\nthree\n```", "doc.md:1: $ echo two\nshould print\nthree\n\nand printed\ntwo"),
        ("<!-- before: false -->\n```console\ntrue\n```", "doc.md:2: before: false\nended with 1"),
        ("```python\n>>> 2 + 2\n5\n```", "doc.md:1\nended with 1"),
        ("<!-- not executed: -->\n```console\nfalse\n```", "doc.md: a block is not executed for no reason"),
    ],
)
def test_a_document_that_is_wrong_is_found_out(
    text: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.documents.ROOT", tmp_path)
    (tmp_path / "doc.md").write_text(text, encoding="utf-8")

    def follow() -> None:
        execute(read_document(tmp_path / "doc.md"), tmp_path)

    with pytest.raises(AssertionError) as caught:
        follow()
    assert complaint in str(caught.value)


def test_the_selections_of_the_reference_are_understood() -> None:
    (code,) = blocks("reference/selection.md", "python")
    names: dict[str, object] = {}
    exec(code, names)  # our own document
    assert isinstance(names["daily"], Expression)
    table = (DOCS / "reference/selection.md").read_text(encoding="utf-8").split("|---|---|")[1].split("\n\n")[0]
    written = [text for line in table.strip().splitlines() for text in re.findall(r"`([^`]+)`", line.split("|")[1])]
    assert len(written) > 20
    for text in written:
        if text not in {"( … )"}:
            assert parse(text) is not None
