"""dbt's errors in our form: its own words shortened, the file and line it names, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import DbtProjectError

SHOWN_LINES = 8
MISSING_PACKAGES = 'Run "dbt deps" to install package dependencies'

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_TIME = re.compile(r"^\d\d:\d\d:\d\d(\.\d+)?\s+")
_HEADING = re.compile(
    r"((Runtime|Parsing|Compilation|Validation|Database|Dependency|YAML|Raw) Error"
    r"|Encountered an error):?"
)
_PREFIX = re.compile(r"\[WARNING\](\[\w+\])?:\s*(Deprecated\s+functionality\s+)?")
_NOISE = re.compile(r'([-=]{5,}|in "<unicode string>", .*)')
_FILE = re.compile(r"(?P<file>[\w./\\-]+\.(?:sql|ya?ml|py|csv|md))(?::(?P<line>\d+))?")
_LINE = re.compile(r"\bline (?P<line>\d+)(?:\n\s*(?P<text>\S.*))?")
_NAMED = re.compile(r"(?:named|provided:) '(?P<name>[^']+)'")
_SEARCHED = ("*.sql", "*.yml", "*.yaml", "*.py")
_NOT_SEARCHED = {"target", "logs", ".venv", "node_modules", ".git", ".orchestrator"}

_FIXES = (
    (MISSING_PACKAGES, "run `dbt deps`"),
    (
        "External connection exception",
        "the project's packages are not installed and their host cannot be reached: run `dbt deps` where it can, or "
        "copy dbt_packages/ here",
    ),
    ("Could not find adapter type", "install the adapter, for example `pip install dbt-{adapter}`"),
    ("which is disabled", "enable it, or remove the reference"),
    ("depends on a node named", "correct the name in ref(), or create the model"),
    ("depends on a source named", "correct the names in source(), or declare the source"),
    ("Could not find profile named", "check 'profile' in dbt_project.yml against profiles.yml"),
    ("does not have a target named", "check --target against profiles.yml"),
    ("Env var required but not provided", "set the environment variable, or give env_var() a default"),
    ("Required var", "pass --vars, or set it under 'vars' in dbt_project.yml"),
    ("with the name", "rename one of them"),
    ("Syntax error near line", "correct the YAML"),
)


def dbt_error(exception: BaseException | str | None, *, project_dir: Path) -> DbtProjectError:
    """dbt's exception as one of ours, with `file:line` where dbt names them."""
    text = _clean(str(exception) if exception is not None else "dbt failed without a message")
    return DbtProjectError(shortened(text), at=_place(text, project_dir), fix=_fix(text))


def shortened(text: str, *, lines: int = SHOWN_LINES) -> str:
    """The first informative lines of a dbt message: no colours, times, headings, rulers or blank lines."""
    said = [_TIME.sub("", line.rstrip()) for line in _clean(text).splitlines()]
    kept = [line for line in said if _says_something(line)]
    indent = min((len(line) - len(line.lstrip()) for line in kept), default=0)
    kept = [line[indent:].removesuffix(" - Runtime Error") for line in kept]
    return "\n".join([*kept[:lines], f"… and {len(kept) - lines} more lines"] if len(kept) > lines else kept).lstrip()


def one_line(text: str, *, chars: int = 300) -> str:
    """A dbt message as one line."""
    line = " ".join(_clean(text).split())
    return line if len(line) <= chars else line[: chars - 1] + "…"


def _says_something(line: str) -> bool:
    text = line.strip()
    return bool(text) and not _HEADING.fullmatch(text) and not _NOISE.fullmatch(text)


def _clean(text: str) -> str:
    return _PREFIX.sub("", _ANSI.sub("", text))


def _place(text: str, project_dir: Path) -> str | None:
    """The first existing project file that the message names, else the one that holds what it quotes."""
    for found in _FILE.finditer(text):
        for file in _candidates(found["file"], project_dir):
            line = found["line"] or _line_in(text, file)
            return f"{file}:{line}" if line else str(file)
    return _quoted_place(text, project_dir)


def _candidates(named: str, project_dir: Path) -> Iterator[Path]:
    """dbt names some files relative to the project, some relative to a resource path, some by their bare name."""
    direct = project_dir / named
    if direct.is_file():
        yield direct
    elif not Path(named).is_absolute():
        yield from (file for file in _project_files(project_dir, Path(named).name) if file.as_posix().endswith(named))


def _line_in(text: str, file: Path) -> str | None:
    if found := _LINE.search(text):
        return found["line"]
    named = _NAMED.search(text)
    return _line_with(file, named["name"].split(".")[-1]) if named else None


def _quoted_place(text: str, project_dir: Path) -> str | None:
    """Where the message names no file (macros, env_var): the file with the quoted line at that line, or the name."""
    snippet, named = _LINE.search(text), _NAMED.search(text)
    for pattern in _SEARCHED:
        for file in _project_files(project_dir, pattern):
            if snippet and snippet["text"]:
                lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
                number = int(snippet["line"])
                if number <= len(lines) and lines[number - 1].strip() == snippet["text"].strip():
                    return f"{file}:{number}"
            elif named and (line := _line_with(file, named["name"])):
                return f"{file}:{line}"
    return None


def _line_with(file: Path, name: str) -> str | None:
    quoted = re.compile(rf"['\"]{re.escape(name)}['\"]")
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((str(number) for number, line in enumerate(lines, start=1) if quoted.search(line)), None)


def _project_files(project_dir: Path, pattern: str) -> Iterator[Path]:
    for file in sorted(project_dir.rglob(pattern)):
        if not _NOT_SEARCHED & set(file.relative_to(project_dir).parts):
            yield file


def _fix(text: str) -> str:
    for sign, fix in _FIXES:
        if sign in text:
            adapter = re.search(r"adapter type (\w+)", text)
            return fix.format(adapter=adapter[1] if adapter else "…") if "{adapter}" in fix else fix
    return "correct the file; `dbt parse` shows the whole message"


__all__ = ["MISSING_PACKAGES", "dbt_error", "one_line", "shortened"]
