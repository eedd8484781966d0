"""The little that is asked of git."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import ConfigError


def run_git(*arguments: str, cwd: Path) -> str | None:
    """What `git …` prints, stripped; None when it fails. Raises ConfigError where there is no git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ConfigError("git is not installed", fix="install git, or give --base a directory") from None
    return done.stdout.strip() if done.returncode == 0 else None


def repository(directory: Path) -> Path | None:
    """The top of the checkout that `directory` is in; None outside git."""
    top = run_git("rev-parse", "--show-toplevel", cwd=directory)
    return Path(top).resolve() if top else None


def commit_of(ref: str, *, cwd: Path) -> str | None:
    """The full sha that `ref` names; None for something that is no commit here."""
    return run_git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", cwd=cwd)


def commits_behind(sha: str, *, cwd: Path) -> int:
    """How many commits of `sha` the checkout does not have."""
    count = run_git("rev-list", "--count", f"HEAD..{sha}", cwd=cwd)
    return int(count) if count else 0


def branch(directory: Path) -> str | None:
    """The branch that is checked out, or that a pull request on GitHub is about; None for neither."""
    if name := os.environ.get("GITHUB_HEAD_REF"):
        return name
    return run_git("symbolic-ref", "--quiet", "--short", "HEAD", cwd=directory)


@contextmanager
def worktree(repository: Path, sha: str) -> Iterator[Path]:
    """A checkout of `sha` in a temporary directory, gone afterwards. The user's hooks are not run."""
    parent = Path(tempfile.mkdtemp(prefix="orchestrator-base-")).resolve()
    tree = parent / "tree"
    try:
        no_hooks = ("-c", f"core.hooksPath={os.devnull}")
        if run_git(*no_hooks, "worktree", "add", "--detach", "--force", str(tree), sha, cwd=repository) is None:
            raise ConfigError(f"git cannot check out {sha[:9]}", at=str(repository), fix="try `git worktree add`")
        yield tree
    finally:
        with contextlib.suppress(ConfigError):
            run_git("worktree", "remove", "--force", str(tree), cwd=repository)
        shutil.rmtree(parent, ignore_errors=True)
        run_git("worktree", "prune", cwd=repository)


def lend_packages(source: Path, tree: Path) -> None:
    """Let the dbt project in `tree` use the packages installed in `source`, where both name the same ones."""
    named = ("packages.yml", "dependencies.yml", "package-lock.yml")
    installed = source / "dbt_packages"
    # dbt_project.yml may name another place for packages; then dbt installs them there by itself.
    if not installed.is_dir() or (tree / "dbt_packages").exists():
        return
    if all(_content(source / name) == _content(tree / name) for name in named):
        (tree / "dbt_packages").symlink_to(installed.resolve(), target_is_directory=True)


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None
