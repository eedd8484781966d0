"""The repository tells the truth about itself: documents, imports, start-up."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.catalogue import COMMANDS, find

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    if path.is_file() and path.stat().st_size
)
HEAVY = {
    "alembic",
    "dbt",
    "duckdb",
    "numpy",
    "pandas",
    "prefect",
    "pyarrow",
    "rich",
    "sqlalchemy",
    "streamlit",
    "typer",
}
TOP = r"orchestrator|app|dbt_project|python_assets|tests|docs|\.ci|Makefile|LICENSE|[\w.\-]+\.(?:md|txt|toml|py)"
PATH = re.compile(rf"`((?:{TOP})(?:/[\w.\-]+)*/?)`")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
COMMAND = re.compile(r"(?:`|^ {4}|^)(?:\.venv/bin/)?orchestrator ([a-z]+)\b", re.MULTILINE)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


NO_PATHS = {"orchestrator", "app", "__init__.py", "orchestrator_external.py"}
"""What looks like a path and is none of this repository."""


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_names_files_that_exist(document: str) -> None:
    text = read(document)
    here = (ROOT / document).parent
    named = [name for name in PATH.findall(text) if name not in NO_PATHS]
    missing = [name for name in named if not (ROOT / name).exists()]
    missing += [link for link in LINK.findall(text) if not (here / link).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_names_commands_that_exist(document: str) -> None:
    text = read(document)
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    fenced = re.findall(r"^```(?:console|sh|bash)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    code = "\n".join([*fenced, *re.findall(r"`[^`\n]+`|^ {4}.+$", text, re.MULTILINE)])
    assert not [name for name in re.findall(r"(?:^|`|\$ )make ([a-z]+)\b", code, re.MULTILINE) if name not in targets]
    assert not [name for name in COMMAND.findall(code) if find(name) is None]


def test_the_reference_has_every_command() -> None:
    text = read("docs/reference/cli.md")
    assert not [entry.name for entry in COMMANDS if f"`orchestrator {entry.name}" not in text]


def test_the_readme_shows_the_two_commands() -> None:
    text = read("README.md")
    assert "make run" in text
    assert "make test" in text


def test_the_licence_is_whole() -> None:
    text = read("LICENSE")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("name", ["run", "setup", "browser"])
def test_scripts_of_ci_can_be_executed(name: str) -> None:
    assert (ROOT / ".ci" / name).stat().st_mode & 0o111


def loaded_by(statement: str) -> set[str]:
    """Top-level packages in memory after a statement, in a fresh interpreter."""
    code = f"import json, sys; {statement}; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return set(json.loads(out.splitlines()[-1]))


def test_importing_orchestrator_imports_nothing_heavy() -> None:
    assert not loaded_by("import orchestrator") & HEAVY


def test_help_and_version_import_nothing_heavy() -> None:
    assert not loaded_by("from orchestrator.cli import main; main(['--help']); main(['--version'])") & HEAVY


def test_every_name_that_is_promised_is_there() -> None:
    import orchestrator

    assert sorted(orchestrator.__all__) == list(orchestrator.__all__)
    assert all(hasattr(orchestrator, name) for name in orchestrator.__all__)


def test_the_packages_of_the_constraints_file_carry_no_address() -> None:
    assert not re.search(r"https?://|^-", read("constraints.txt"), re.MULTILINE)
