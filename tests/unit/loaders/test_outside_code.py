"""A changed script, or what it imports from beside it, makes its asset stale."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import ExternalPython, Shell
from orchestrator.loaders.outside_code import describe_work, files_named, files_of, read_files

FILES = {
    "jobs/fit.py": "import common\nfrom model import train\nimport numpy\n",
    "jobs/common.py": "LIMIT = 3\n",
    "jobs/model/__init__.py": "from .tree import train\n",
    "jobs/model/tree.py": "from . import leaves\ndef train(): ...\n",
    "jobs/model/leaves.py": "",
    "jobs/model/unused.py": "1\n",
    "src/jobs/fit.py": "from jobs import other\n",
    "src/jobs/other.py": "2\n",
    "bin/upload": "#!/bin/sh\nrclone copy\n",
    "bin/picture": b"\x89PNG\xff",
    "broken.py": "def (",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (tmp_path / "jobs/model/leaves.py").write_text("x = 1\n", encoding="utf-8")
    return tmp_path


def names(root: Path, work: Shell | ExternalPython) -> list[str]:
    return sorted(name.removeprefix("file:") for name in read_files(files_of(work, root=root), root=root))


@pytest.mark.parametrize(
    ("work", "files"),
    [
        (
            ExternalPython("python3", script="jobs/fit.py"),
            ["jobs/common.py", "jobs/fit.py", "jobs/model/__init__.py", "jobs/model/leaves.py", "jobs/model/tree.py"],
        ),
        (ExternalPython("python3", module="jobs.fit", cwd="src"), ["src/jobs/fit.py", "src/jobs/other.py"]),
        (Shell("bin/upload 'bin/picture' out | tee log"), ["bin/upload"]),
        (Shell(["bin/upload", "--all"]), ["bin/upload"]),
        (Shell("echo 'not closed"), []),
        (Shell("sh upload", cwd="bin"), ["bin/upload"]),
        (ExternalPython("python3", script="broken.py"), ["broken.py"]),
        (ExternalPython("python3", script="nowhere.py"), []),
    ],
)
def test_the_files_of_work(root: Path, work: Shell | ExternalPython, files: list[str]) -> None:
    assert names(root, work) == files


def test_files_that_constants_of_the_code_name(root: Path) -> None:
    found = files_named(
        ["python3", "jobs/fit.py", "bin/upload --all", "jobs.model.tree", "", "a\0b", "x" * 5000], root=root
    )
    names = sorted(str(path.relative_to(root)) for path, _ in found)
    assert names == [
        "bin/upload",
        "jobs/fit.py",
        "jobs/model/tree.py",
    ]


def code(root: Path) -> dict[str, str]:
    return read_files(files_of(ExternalPython("python3", script="jobs/fit.py"), root=root), root=root)


def test_comments_are_no_change_and_everything_else_is(root: Path) -> None:
    before = code(root)
    (root / "jobs/common.py").write_text("# three of them\nLIMIT   = 3\n", encoding="utf-8")
    assert code(root) == before
    (root / "jobs/common.py").write_text("LIMIT = 4\n", encoding="utf-8")
    assert code(root) != before


def test_what_is_asked_for_is_part_of_the_code() -> None:
    asked = [
        describe_work(work)
        for work in (
            Shell("make"),
            Shell(["make"]),
            Shell("make", cwd="src"),
            Shell("make", parameters={"fast": True}),
            Shell("make", env={"A": "1"}),
            Shell("make", inherit=["A"]),
            ExternalPython("python3", script="a.py"),
            ExternalPython("python3", script="a.py", args=["-v"]),
            ExternalPython("python3.12", script="a.py"),
        )
    ]
    assert len(set(asked)) == len(asked)
