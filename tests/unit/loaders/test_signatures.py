"""No order of parameters matters, and none is left unfilled."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from orchestrator import Context, Warehouse, action, asset, check
from orchestrator.errors import DefinitionError
from orchestrator.execution.python_steps import call_with_context
from orchestrator.loaders.signatures import refuse_unfilled
from orchestrator.testing import build_context

warehouse = Warehouse.from_dbt()
table = warehouse.table("raw.flights")
KEYWORDS = ("context", "airport='EWR'", "carrier='UA'", "limit=3")


def function(parameters: str) -> Any:
    names: dict[str, Any] = {}
    exec(f"def flights({parameters}):\n    return {{**locals()}}", names)
    return names["flights"]


@pytest.mark.parametrize("order", list(permutations(KEYWORDS)), ids=", ".join)
def test_permuting_parameters_changes_nothing(order: tuple[str, ...]) -> None:
    context = build_context(partition="2013-02")
    definition = asset(table)(function(f"*, {', '.join(order)}"))
    refuse_unfilled(definition, at="assets.py:1")
    found = call_with_context(definition, context)
    assert found == {"context": context, "airport": "EWR", "carrier": "UA", "limit": 3}


def test_the_context_may_stand_anywhere_or_be_absent() -> None:
    context: Context = build_context()
    for parameters in ("context", "airport='EWR', context=None", "*, context", "", "airport='EWR'", "**more"):
        definition = asset(table)(function(parameters))
        refuse_unfilled(definition, at="assets.py:1")
        assert call_with_context(definition, context).get("context", context) in (context, None)


def refusal(definition: Any) -> str:
    with pytest.raises(DefinitionError) as caught:
        refuse_unfilled(definition, at="assets.py:1")
    return str(caught.value)


def test_what_nothing_fills_is_refused_before_anything_runs() -> None:
    assert refusal(asset(table)(function("source, context, target"))) == (
        "DefinitionError: 'flights' has the parameters 'source', 'target', which nothing fills\n"
        "  at:  assets.py:1\n"
        "  fix: give it a default, or use a module-level object instead; only 'context' is passed"
    )
    assert refusal(check(table)(function("frame, limit"))) == (
        "DefinitionError: 'flights' has the parameter 'limit', which nothing fills\n"
        "  at:  assets.py:1\n"
        "  fix: give it a default, or use a module-level object instead; only the rows and 'context' are passed"
    )
    assert refusal(action()(function("context, /"))) == (
        "DefinitionError: 'flights' takes 'context' by position only\n"
        "  at:  assets.py:1\n"
        "  fix: take the '/' out of its parameters"
    )
    refuse_unfilled(check(table)(function("frame, context")), at="assets.py:1")
