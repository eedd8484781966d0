"""Jinja as dbt renders it in YAML values: native types only where a filter asks for them.

`{{ env_var('PORT') }}` stays text, `{{ env_var('PORT') | int }}` and `| as_number` are numbers (dbt's
`quoted_native_concat`). Opened late: most profiles hold no Jinja.
"""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import StrictUndefined
from jinja2.nativetypes import NativeEnvironment, NativeTemplate


class _Literal(str):
    """Text to be read as a Python literal; `kinds` are the types allowed, empty for any."""

    kinds: tuple[type, ...] = ()


class _Bool(_Literal):
    kinds = (bool,)


class _Number(_Literal):
    kinds = (int, float)


def render_native(text: str, context: Mapping[str, Any]) -> Any:
    """The value of `text` under `context`."""
    return _Environment(undefined=StrictUndefined).from_string(text).render(context)


def _concat(nodes: Iterable[Any]) -> Any:
    parts = list(nodes)
    if len(parts) != 1:
        return "".join(str(part) for part in parts)
    value = parts[0]
    return _evaluated(value) if isinstance(value, _Literal) else value


def _evaluated(text: _Literal) -> Any:
    try:
        value = literal_eval(text)
    except (ValueError, SyntaxError):
        value = str(text)
    wrong = text.kinds and (not isinstance(value, text.kinds) or (isinstance(value, bool) and bool not in text.kinds))
    if wrong:
        raise ValueError(f"'{text}' is not a {'bool' if isinstance(text, _Bool) else 'number'}")
    return value


def _as_bool(value: Any) -> _Bool:
    text = str(value)
    return _Bool(text.title() if text.lower() in ("true", "false") else text)


class _Environment(NativeEnvironment):
    concat = staticmethod(_concat)  # type: ignore[assignment]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.filters.update(
            {"as_text": str, "as_native": _Literal, "as_bool": _as_bool, "as_number": lambda value: _Number(value)}
        )


class _Template(NativeTemplate):
    environment_class: Any = _Environment


_Environment.template_class = _Template
