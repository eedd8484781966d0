"""`orchestrator new asset|action|check NAME`: a file with a definition to start from."""

from __future__ import annotations

import keyword
import re
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import make_console, program
from orchestrator.config import load_config
from orchestrator.definitions.keys import AssetKey
from orchestrator.errors import ConfigError, DefinitionError


class What(str, Enum):
    """The kinds of definitions there are templates for."""

    asset = "asset"
    action = "action"
    check = "check"


ASSET = '''"""{title}."""

from orchestrator import Context, {warehouse_names}asset
{warehouse}

@asset(warehouse.table("{key}"))
def {name}(context: Context) -> list[dict[str, object]]:
    """{title}, one row a …"""
    rows: list[dict[str, object]] = [{{"id": 1}}]
    context.metadata["rows_read"] = len(rows)
    return rows
'''
ACTION = '''"""{title}: work that writes no table."""

from orchestrator import Context, action


@action()
def {name}(context: Context) -> None:
    """{title}."""
    context.log.info("done")
'''
CHECK = '''"""A check on {key}."""

import pyarrow as pa

from orchestrator import {warehouse_names}check
{warehouse}

@check(warehouse.table("{key}"))
def {name}_has_rows(frame: pa.Table) -> tuple[bool, str]:
    """There is at least one row."""
    return frame.num_rows > 0, f"{{frame.num_rows}} rows"
'''
TEMPLATES = {What.asset: ASSET, What.action: ACTION, What.check: CHECK}


def command(
    what: Annotated[What, typer.Argument(metavar="asset|action|check", help="What to write.")],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="For an asset or check `layer.name`, such as raw.orders.")
    ],
) -> int:
    """Write a Python file with a definition to start from. It is found by itself; nothing has to be listed."""
    config = load_config()
    if not config.python_packages:
        raise ConfigError(
            "this workspace has no Python package", fix=f'`{program()} init` makes one, or set python = "…"'
        )
    key, function = _names(what, name)
    package = config.python_packages[0]
    folder = config.root.joinpath(*package.split("."))
    file = folder / f"{function}{'_check' if what is What.check else ''}.py"
    if not folder.is_dir():
        raise ConfigError(f"'{package}' is no package in {config.root}", fix="make it a folder with an __init__.py")
    if file.exists():
        raise ConfigError(f"{file.name} is there already", at=str(file), fix="choose another name, or edit it by hand")
    names, lines = _warehouse(folder, package)
    title = function.replace("_", " ").capitalize()
    text = TEMPLATES[what].format(key=key, name=function, title=title, warehouse_names=names, warehouse=lines)
    file.write_text(text, encoding="utf-8")
    console = make_console()
    console.print(f"  wrote {file.relative_to(config.root)}")
    shown = f"action.{function}" if what is What.action else key
    console.print(f"  run it   {program()} run {shown}")
    return 0


def _names(what: What, name: str) -> tuple[str, str]:
    """(the asset's key, the function's name). Raises DefinitionError."""
    if what is What.action:
        key, last = f"action.{name}", name
    else:
        key = str(AssetKey.parse(name))
        last = key.rsplit(".", 1)[-1]
    function = re.sub(r"\W", "_", last)
    if not function.isidentifier() or keyword.iskeyword(function):
        raise DefinitionError(f"'{last}' cannot be the name of a Python function", fix="choose another name")
    return key, function


def _warehouse(folder: Path, package: str) -> tuple[str, str]:
    """How the file gets at the warehouse: from the package's resources module, else by making the object itself."""
    resources = folder / "resources.py"
    if resources.is_file() and re.search(r"^warehouse\b", resources.read_text(encoding="utf-8"), re.MULTILINE):
        return "", f"from {package}.resources import warehouse\n"
    return "Warehouse, ", "\nwarehouse = Warehouse.from_dbt()\n"
