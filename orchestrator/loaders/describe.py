"""`python -m orchestrator.loaders.describe`: a project's Python definitions as JSON, for a process of another Python.

Comes in on stdin: where the code is, and in which database its tables are. Goes out on stdout, after a record separator
(what the modules print comes before it): a `Description`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.definitions.assets import PythonAsset, Table
from orchestrator.definitions.keys import Location, Relation
from orchestrator.errors import DefinitionError, OrchestratorError
from orchestrator.loaders.fragments import DraftAsset, DraftCheck
from orchestrator.loaders.other_python import PROTOCOL, Described, Description, Place, Wrong
from orchestrator.loaders.python_modules import PythonProject, load_python_project


def read_project(request: dict[str, Any]) -> PythonProject:
    """The definitions, imported here."""

    def relate(table: Table) -> Relation:
        database, schema, name = [None, *table.name.split(".")][-3:]
        return Relation.normalised(database or request.get("database"), schema, name or "")

    return load_python_project(
        request["packages"],
        root=Path(request["root"]),
        project=request["project"],
        relate=relate,
        kinds=request.get("kinds", ()),
        shown_from=Path(request["shown_from"]),
        private=request["private"],
    )


def describe(request: dict[str, Any]) -> Description:
    """All definitions of the project, and what is wrong with them."""
    project = read_project(request)
    fragment = project.fragment
    errors: list[OrchestratorError] = list(fragment.errors)
    found: list[Described] = []
    for draft in fragment.assets:
        definition = project.definitions.get(draft.id)
        if isinstance(definition, PythonAsset) and (definition.partitions is not None or draft.mappings):
            errors.append(
                DefinitionError(
                    f"'{definition.name}' has partitions, which code in a virtual environment of its own cannot have",
                    at=str(draft.asset.location),
                    fix="take venv out of the project's settings, or leave partitions to dbt models",
                )
            )
        found.append(_asset(draft, definition))
    found += [_check(check, project.definitions[check.check.id]) for check in fragment.checks]
    return Description(
        protocol=PROTOCOL,
        definitions=tuple(found),
        errors=tuple(Wrong(error.kind, error.what, error.at, error.fix) for error in errors),
        warnings=fragment.warnings,
    )


def _asset(draft: DraftAsset, definition: Any) -> Described:
    asset, writer = draft.asset, draft.asset.writers[0] if draft.asset.writers else None
    own = definition.table if isinstance(definition, PythonAsset) else None
    relation = asset.relation
    return Described(
        id=draft.id,
        kind="table" if definition is None else asset.kind,
        name=definition.name if definition is not None else asset.name,
        module=definition.module if definition is not None else "",
        file=definition.file if definition is not None else "",
        location=_place(writer.location if writer is not None else asset.location),
        description=asset.description,
        key=str(asset.key),
        aliases=asset.aliases,
        kinds=asset.kinds,
        group=asset.group,
        owners=asset.owners,
        tags=asset.tags,
        relation=(relation.database, relation.schema, relation.identifier) if relation is not None else None,
        table=own.name if own is not None else "",
        reads=tuple(sorted(draft.reads)),
        places={id_: _place(place) for id_, place in draft.places.items()},
        code_version=writer.code_version if writer is not None else None,
        raw_code=writer.raw_code if writer is not None else None,
        retry=(writer.retry.times, writer.retry.delay_s) if writer is not None else (0, 10.0),
        timeout_s=getattr(definition, "timeout_s", None),
        mode=writer.mode if writer is not None else "insert",
        slot=(writer.slot.name, writer.slot.where) if writer is not None and writer.slot is not None else None,
        same_as=draft.same_as,
    )


def _check(draft: DraftCheck, definition: Any) -> Described:
    check = draft.check
    return Described(
        id=check.id,
        kind="check",
        name=check.name,
        module=definition.module,
        file=definition.file,
        location=_place(check.location),
        description=check.description,
        code_version=check.code_version,
        severity=check.severity,
        blocking=check.blocking,
        target=draft.asset_id,
        reads=tuple(sorted(draft.reads)),
        timeout_s=definition.timeout_s,
    )


def _place(location: Location) -> Place:
    return (location.file, location.line)


if __name__ == "__main__":
    sys.stdout.write("\x1e" + msgspec.json.encode(describe(json.load(sys.stdin))).decode())
