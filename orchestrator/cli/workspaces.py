"""What commands ask of a loaded workspace: the assets that were named, and what was found wrong while loading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.cli.errors import show_errors
from orchestrator.cli.json_forms import States
from orchestrator.cli.output import make_console
from orchestrator.definitions.facts import Facts
from orchestrator.definitions.keys import AssetKey
from orchestrator.graph.model import AssetGraph
from orchestrator.graph.selection import select
from orchestrator.plan.states import newest_results

if TYPE_CHECKING:
    from orchestrator.workspace import Workspace


def selected_keys(
    graph: AssetGraph,
    selection: Sequence[str],
    *,
    exclude: Sequence[str] = (),
    states: States,
    facts: Facts,
    external: bool = False,
) -> frozenset[AssetKey]:
    """The assets of a selection; with none, all that can be built, and with `external` all there are."""
    if external and not selection and not exclude:
        return frozenset(graph.assets)
    words = {key: state.state for key, state in states.items()}
    chosen = list(selection) or (["*"] if external else None)
    return select(graph, chosen, exclude=list(exclude) or None, states=words, results=newest_results(facts))


def print_findings(workspace: Workspace) -> None:
    """Warnings and errors of the load on stderr: what loaded is shown all the same."""
    if not (workspace.errors or workspace.warnings):
        return
    console = make_console(stderr=True)
    for warning in workspace.warnings:
        console.print(f"warning: {warning}", style="attention", soft_wrap=True)
    if workspace.errors:
        console.print()
        show_errors(tuple(workspace.errors), console=console)
