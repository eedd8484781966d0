"""`orchestrator resources`: what code uses outside of itself, where it is made, how it is set, who uses it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.cli.options import WorkspaceOptions, workspace_command
from orchestrator.cli.output import SCHEMA_VERSION, count, make_console, print_json
from orchestrator.cli.workspaces import print_findings
from orchestrator.definitions.resources import describe_settings
from orchestrator.graph.model import AssetGraph, UsedResource
from orchestrator.loaders.module_resources import FoundResource

PLACES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class User:
    """An asset, action or check that uses a resource, and where."""

    name: str
    kind: str
    use: UsedResource


@workspace_command
def command(options: WorkspaceOptions) -> int:
    """List resources: where each is made, its settings (secrets by where they are kept), and who uses it where."""
    workspace = options.load()
    if options.json:
        print_json([resource_json(item, users_of(workspace.graph, item)) for item in workspace.resources])
        return 0
    make_console().print(resource_list(workspace.graph, workspace.resources))
    print_findings(workspace)
    return 0


def users_of(graph: AssetGraph, resource: FoundResource) -> list[User]:
    """Who uses it, in the graph's order."""
    assets = [User(str(key), asset.kind, use) for key, asset in graph.assets.items() for use in asset.resources]
    checks = [User(check.name, "check", use) for check in graph.checks for use in check.resources]
    return [user for user in (*assets, *checks) if user.use.name == resource.name]


def resource_json(resource: FoundResource, users: Sequence[User]) -> dict[str, Any]:
    """One object of `resources --json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "name": resource.name,
        "type": type(resource.resource).__name__,
        "kinds": list(resource.kinds),
        "location": str(resource.location),
        "settings": describe_settings(resource.resource),
        "used_by": [
            {"name": user.name, "kind": user.kind, "at": [str(place) for place in user.use.used_at]} for user in users
        ],
    }


def resource_list(graph: AssetGraph, resources: Iterable[FoundResource]) -> RenderableType:
    """Each resource with its settings, then its users, one a line."""
    parts: list[RenderableType] = []
    total = 0
    for resource in resources:
        total += 1
        parts.append(_heading(resource))
        parts += [Text(f"  {name} = {value}") for name, value in describe_settings(resource.resource).items()]
        users = users_of(graph, resource)
        width = max((len(user.name) for user in users), default=0)
        parts += [_user(user, width) for user in users] or [Text("  nothing uses it", style="quiet")]
        parts.append(Text())
    return Group(*parts, Text(count(total, "resource"))) if parts else Text("no resources", style="quiet")


def _heading(resource: FoundResource) -> Text:
    kinds = f", {', '.join(resource.kinds)}" if resource.kinds else ""
    text = Text(resource.name, style="title")
    return text.append(f"  {type(resource.resource).__name__}{kinds}  {resource.location}", style="not bold dim")


def _user(user: User, width: int) -> Text:
    places = [str(place) for place in user.use.used_at]
    more = f" and {len(places) - PLACES_SHOWN} more" if len(places) > PLACES_SHOWN else ""
    line = Text("  used by ", style="quiet").append(f"{user.name:<{width}}", style="not dim")
    return line.append(f"  {', '.join(places[:PLACES_SHOWN])}{more}")
