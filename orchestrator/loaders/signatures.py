"""Which parameters a definition's function may have: `context` by name, of a check its rows, and what has a default."""

from __future__ import annotations

import inspect

from orchestrator.definitions.assets import Definition, PythonCheck
from orchestrator.errors import DefinitionError

_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def refuse_unfilled(definition: Definition[..., object], *, at: str) -> None:
    """Raise DefinitionError for a parameter that a run could not fill, or only by its position."""
    try:
        parameters = inspect.signature(definition.fn).parameters.values()
    except (TypeError, ValueError):
        return
    wanted = [item for item in parameters if item.default is item.empty and item.kind not in _STARRED]
    by_position = [item.name for item in wanted if item.name == "context" and item.kind is item.POSITIONAL_ONLY]
    if by_position:
        raise DefinitionError(
            f"'{definition.name}' takes 'context' by position only", at=at, fix="take the '/' out of its parameters"
        )
    unfilled = [item.name for item in wanted if item.name != "context"]
    is_check = isinstance(definition, PythonCheck)
    if len(unfilled) <= is_check:
        return
    extra = unfilled[is_check:]
    names = f"parameter{'s' if len(extra) > 1 else ''} {', '.join(map(repr, extra))}"
    passed = "the rows and 'context' are" if is_check else "'context' is"
    raise DefinitionError(
        f"'{definition.name}' has the {names}, which nothing fills",
        at=at,
        fix=f"give it a default, or use a module-level object instead; only {passed} passed",
    )
