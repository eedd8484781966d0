"""`orchestrator validate`: what is wrong in the project's code, found without running it."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from orchestrator import __version__
from orchestrator.cli.options import Exclude, Select, Selection, WorkspaceOptions, selection_words, workspace_command
from orchestrator.cli.output import SCHEMA_VERSION, count, make_console, print_json
from orchestrator.cli.workspaces import selected_keys
from orchestrator.errors import ConfigError, did_you_mean
from orchestrator.plan.states import build_states
from orchestrator.validation.findings import Finding, build_settings
from orchestrator.validation.formats import github_lines, report_json, repository_path, sarif
from orchestrator.validation.validate import Report, validate

if TYPE_CHECKING:
    from orchestrator.workspace import Workspace

FORMATS = ("text", "json", "github", "sarif")
STYLES = {"error": "bad", "warning": "attention", "info": "active"}
Format = Annotated[str | None, typer.Option("--format", metavar="|".join(FORMATS), help="How findings are written.")]
OnlyRules = Annotated[list[str] | None, typer.Option("--rule", metavar="ID", help="Only this rule; may be repeated.")]
NotRules = Annotated[list[str] | None, typer.Option("--ignore", metavar="ID", help="Not this rule; may be repeated.")]
Strict = Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")]
Exact = Annotated[
    bool | None,
    typer.Option("--exact/--no-exact", help="Ask DuckDB too, on empty tables in memory; default: on DuckDB."),
]
Connect = Annotated[bool, typer.Option("--connect", help="Open each resource, too, and say whether it answers.")]


@workspace_command
def command(
    options: WorkspaceOptions,
    selection: Selection = None,
    select: Select = None,
    exclude: Exclude = None,
    format: Format = None,  # noqa: A002 - it is the option's name
    rule: OnlyRules = None,
    ignore: NotRules = None,
    strict: Strict = False,
    exact: Exact = None,
    connect: Connect = False,
) -> int:
    """Find what is wrong in models and YAML, without running anything. Ends with 1 if there is an error."""
    form = _format(format, as_json=options.json)
    workspace = options.load()
    settings = build_settings(
        workspace.config.validate,
        at=str(workspace.config.file or workspace.root),
        only=rule or [],
        without=ignore or [],
        strict=strict,
    )
    asks_duckdb = _asks_duckdb(workspace, exact)
    facts = workspace.facts()
    selected = selected_keys(
        workspace.graph,
        selection_words(selection, select),
        exclude=exclude or (),
        states=build_states(workspace.graph, facts, as_of=workspace.as_of()),
        facts=facts,
        external=True,
    )
    report = validate(workspace, selected, settings=settings, exact=asks_duckdb, connect=connect)
    _print(report, workspace, form)
    return report.exit_code


def _format(name: str | None, *, as_json: bool) -> str:
    if name is None:
        return "json" if as_json else "text"
    if name not in FORMATS:
        raise ConfigError(
            f"there is no format '{name}'", fix=did_you_mean(name, FORMATS) or f"it can be {', '.join(FORMATS)}"
        )
    return name


def _asks_duckdb(workspace: Workspace, wanted: bool | None) -> bool:
    profile = workspace.project.profile if workspace.project is not None else None
    possible = profile is not None and profile.adapter == "duckdb" and find_spec("duckdb") is not None
    if wanted and not possible:
        raise ConfigError("--exact needs a dbt project on DuckDB", fix="leave it out: the analysis needs no database")
    return possible if wanted is None else wanted


def _print(report: Report, workspace: Workspace, form: str) -> None:
    path = repository_path(workspace.root)
    match form:
        case "json":
            print_json(report_json(report, environment=workspace.environment, schema_version=SCHEMA_VERSION))
        case "sarif":
            print_json(sarif(report, version=__version__, path=path))
        case "github":
            for line in github_lines(report, path=path):
                typer.echo(line)
        case _:
            console = make_console()
            console.print(report_page(report, width=console.width))
            if workspace.warnings:
                stderr = make_console(stderr=True)
                for warning in workspace.warnings:
                    stderr.print(f"warning: {warning}", style="attention", soft_wrap=True)


def report_page(report: Report, *, width: int) -> RenderableType:
    """Findings by file, then what could not be checked, and a line of totals."""
    places = max((len(_place(finding)) for finding in report.findings), default=0)
    parts: list[RenderableType] = []
    for file, findings in groupby(report.findings, key=lambda finding: finding.file):
        parts += [Text(file, style="title"), *(_lines(finding, places, width) for finding in findings), Text()]
    return Group(*parts, *_notes(report, width), *_answers(report), summary(report))


def _answers(report: Report) -> list[RenderableType]:
    """A line a resource that was opened; those that could not be are findings."""
    lines = [
        Text("  ✓ ", style="good").append(item.name, style="title").append(f"  {item.answer}", style="not bold")
        for item in report.opened
        if item.problem is None and item.answer is not None
    ]
    return [*lines, Text()] if lines else []


def _place(finding: Finding) -> str:
    return f"{finding.line}:{finding.column}"


def _lines(finding: Finding, places: int, width: int) -> Text:
    """Place, severity, message and rule; the fix below. What is too long goes on below its own beginning."""
    message = Text(finding.message).append(f"  {finding.rule}", style="quiet")
    if finding.fix:
        message.append("\nfix: ", style="quiet").append(finding.fix, style="good")
    head = Text(f"  {_place(finding):>{places}}  ", style="quiet")
    head.append(f"{finding.severity:<9}", style=f"not dim {STYLES[finding.severity]}")
    return _hanging(head, message, width)


def _hanging(head: Text, text: Text, width: int) -> Text:
    lines = list(text.wrap(Console(width=width), max(20, width - len(head))))
    for line in lines:
        line.rstrip()
    return head + Text("\n" + " " * len(head)).join(lines)


def _notes(report: Report, width: int) -> list[RenderableType]:
    if not report.notes:
        return []
    whole = f"{report.unchecked:,} of {count(report.models, 'model')} could not be checked in full"
    return [
        Text(f"{whole}:", style="attention"),
        *(_hanging(Text("  "), Text(note), width) for note in report.notes),
        Text(),
    ]


def summary(report: Report) -> Text:
    """`✗ 2 errors, 1 warning in 25 models`"""
    errors = report.count("error")
    glyph, style = ("✗", "bad") if errors else ("✓", "good")
    counts = [(errors, "error", "errors"), (report.count("warning"), "warning", "warnings")]
    listed = [f"{number:,} {one if number == 1 else several}" for number, one, several in counts if number]
    infos = report.count("info")
    listed += [f"{infos:,} info"] if infos else []
    return Text(f"{glyph} ", style=style).append(
        f"{', '.join(listed) or 'nothing found'} in {count(report.models, 'model')}", style="title"
    )
