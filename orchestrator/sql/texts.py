"""What an expression is called where nobody names it: its text."""

from __future__ import annotations

from sqlglot import exp

from orchestrator.sql.walk import STUMBLES

MAX_CALLS = 4
"""Functions inside functions. sqlglot writes some with their arguments twice and more (in T-SQL every `->`, in DuckDB
ARRAYS_ZIP seven times), so that the text of thirty would not end."""
MAX_LENGTH = 4_000
"""Characters."""


def text_of(node: exp.Expr, *, dialect: str) -> str:
    """The text of an expression in a dialect; its outermost word alone where it is nested deeply or long."""
    if _is_deep(node):
        return f"{node.key}(…)"
    try:
        text = str(node.sql(dialect=dialect or None, comments=False))
    except STUMBLES:
        return f"{node.key}(…)"  # it is put together like nothing that sqlglot writes
    return text if len(text) <= MAX_LENGTH else f"{node.key}(…)"


def _is_deep(node: exp.Expr) -> bool:
    waiting = [(node, 0)]
    while waiting:
        found, calls = waiting.pop()
        if isinstance(found, (exp.Func, exp.Query)) and not isinstance(found, (exp.And, exp.Or)):
            calls += 1
            if calls > MAX_CALLS:
                return True
        waiting += [(child, calls) for child in found.iter_expressions()]
    return False
