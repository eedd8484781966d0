"""`orchestrator init`: the configuration and a first Python asset beside a dbt project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import make_console, program
from orchestrator.errors import ConfigError

PROJECT_FILE = "dbt_project.yml"
CONFIG_FILE = "orchestrator.toml"
PACKAGE = "python_assets"
FIRST_ASSET = '''"""A first asset: a calendar, one row a day of this year. Change it as you need, or delete it."""

from datetime import date, timedelta

from orchestrator import Context, Warehouse, asset, check

warehouse = Warehouse.from_dbt()


@asset(warehouse.table("raw.calendar"), group="ingestion")
def calendar(context: Context) -> list[dict[str, object]]:
    """The days of this year."""
    first = date(date.today().year, 1, 1)
    days = [first + timedelta(days=number) for number in range(366)]
    rows = [{"day": day, "weekday": day.strftime("%A")} for day in days if day.year == first.year]
    context.metadata["weekends"] = sum(day.weekday() >= 5 for day in days)
    return rows


@check(calendar)
def every_day_once(frame) -> bool:
    """A year has 365 days, or 366."""
    return len(set(frame["day"].to_pylist())) == frame.num_rows and frame.num_rows in (365, 366)
'''

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Where the dbt project, or its repository, is.")]


def command(
    directory: Directory = Path(), force: Annotated[bool, typer.Option(help="Write files again.")] = False
) -> int:
    """Add the configuration and a first Python asset to a dbt project, or to the repository around it."""
    root = directory.resolve()
    dbt = _dbt_directory(root)
    written = [_write_configuration(root, dbt, force=force), *_write_package(root, force=force)]
    console = make_console()
    for path in written:
        console.print(f"  wrote {path.relative_to(root)}")
    console.print("\nNext", style="bold")
    console.print(f"  see what is there    {program()} ls")
    console.print(f"  build the calendar   {program()} run raw.calendar")
    return 0


def _dbt_directory(root: Path) -> str:
    """The dbt project's directory relative to `root`. Raises ConfigError when there is none, or more than one."""
    if (root / PROJECT_FILE).is_file():
        return "."
    found = sorted(path.parent.name for path in root.glob(f"*/{PROJECT_FILE}"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(
            f"there is no {PROJECT_FILE} in {root} or right below it",
            fix="go to your dbt project, or make one with `dbt init`",
        )
    raise ConfigError(f"there are several dbt projects in {root}: {', '.join(found)}", fix="go to one of them")


def _write_configuration(root: Path, dbt: str, *, force: bool) -> Path:
    pyproject = root / "pyproject.toml"
    table = f'name = "{root.name}"\ndbt = "{dbt}"\npython = "{PACKAGE}"\nstrict = true\n'
    if pyproject.is_file():
        text = pyproject.read_text(encoding="utf-8")
        if "[tool.orchestrator]" in text:
            raise ConfigError("[tool.orchestrator] is there already", at=str(pyproject), fix="edit it by hand")
        pyproject.write_text(text.rstrip("\n") + f"\n\n[tool.orchestrator]\n{table}", encoding="utf-8")
        return pyproject
    return _write(root / CONFIG_FILE, table, force=force)


def _write_package(root: Path, *, force: bool) -> list[Path]:
    package = root / PACKAGE
    if package.is_dir() and any(package.glob("*.py")) and not force:
        return []
    package.mkdir(exist_ok=True)
    files = {"__init__.py": "", "calendar_days.py": FIRST_ASSET}
    return [_write(package / name, text, force=force) for name, text in files.items()]


def _write(path: Path, text: str, *, force: bool) -> Path:
    if path.exists() and not force:
        raise ConfigError(f"{path.name} is there already", at=str(path), fix="edit it by hand, or pass --force")
    path.write_text(text, encoding="utf-8")
    return path
