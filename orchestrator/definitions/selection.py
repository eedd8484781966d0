"""Selections of assets as Python objects: what `graph.selection` parses text into and evaluates.

    flights.downstream() & tag("daily") - key("marts.slow_*")

is the tree that the text `(flights+),tag:daily,not key:marts.slow_*` parses to. `str()` gives the text back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

METHODS = (
    "tag", "kind", "group", "owner", "path", "file", "resource", "project", "source", "check", "state", "result",
    "key", "job", "fqn", "access", "resource_type", "exposure", "metric", "semantic_model", "saved_query",
)  # fmt: skip
"""What may stand before the colon of `tag:daily`."""

_PLAIN = re.compile(r"[^\s,()\"'+@]+")
_PLAIN_VALUE = re.compile(r"[^\s,()\"'+]+")


class Selectable:
    """What can be selected: expressions, Python assets, references to dbt models.

    `x.upstream()` is x and what it is made from, `x.downstream()` x and what is made from it; `depth` counts steps.
    `&` is both, `|` either, `-` the first without the second, `~` everything else.
    """

    __slots__ = ()

    def __selection__(self) -> Expression:
        """The expression that means this object."""
        raise NotImplementedError

    def upstream(self, depth: int | None = None) -> Expression:
        """This and all it is made from, at most `depth` steps away; `+x` or `2+x` as text."""
        return Upstream(self.__selection__(), depth)

    def downstream(self, depth: int | None = None) -> Expression:
        """This and all that is made from it, at most `depth` steps away; `x+` or `x+2` as text."""
        return Downstream(self.__selection__(), depth)

    def __and__(self, other: Selectable) -> Expression:
        if not isinstance(other, Selectable):
            return NotImplemented
        return And((*_parts(self, And), *_parts(other, And)))

    def __or__(self, other: Selectable) -> Expression:
        if not isinstance(other, Selectable):
            return NotImplemented
        return Or((*_parts(self, Or), *_parts(other, Or)))

    def __sub__(self, other: Selectable) -> Expression:
        if not isinstance(other, Selectable):
            return NotImplemented
        return And((*_parts(self, And), Not(other.__selection__())))

    def __invert__(self) -> Expression:
        return Not(self.__selection__())


class Expression(Selectable):
    """A node of a selection."""

    __slots__ = ()

    def __selection__(self) -> Expression:
        return self


@dataclass(frozen=True, slots=True)
class All(Expression):
    """Everything that has a writer; `*` as text."""

    def __str__(self) -> str:
        return "*"


@dataclass(frozen=True, slots=True)
class Name(Expression):
    """Assets by key, dbt name or alias; `*` and `?` are wildcards."""

    pattern: str

    def __str__(self) -> str:
        plain = _PLAIN.fullmatch(self.pattern) and ":" not in self.pattern and self.pattern.lower() != "not"
        return self.pattern if plain else _quoted(self.pattern)


@dataclass(frozen=True, slots=True)
class Method(Expression):
    """Assets by a property: `tag:daily`, `path:models/marts`. `method` is one of METHODS."""

    method: str
    value: str

    def __str__(self) -> str:
        value = self.value if _PLAIN_VALUE.fullmatch(self.value) else _quoted(self.value)
        return f"{self.method}:{value}"


@dataclass(frozen=True, slots=True)
class Asset(Expression):
    """The asset that an object refers to: an AssetKey, a draft id, or something with such a `key` or `id`."""

    reference: object

    def __str__(self) -> str:
        return str(Name(self.label))

    @property
    def label(self) -> str:
        """How the reference is shown."""
        spellings = (getattr(self.reference, word, None) for word in ("key", "name", "id"))
        return str(next((spelling for spelling in spellings if spelling), self.reference))


@dataclass(frozen=True, slots=True)
class Upstream(Expression):
    """An expression and what its assets are made from."""

    inner: Expression
    depth: int | None = None

    def __str__(self) -> str:
        return f"{'' if self.depth is None else self.depth}+{_operand(self.inner)}"


@dataclass(frozen=True, slots=True)
class Downstream(Expression):
    """An expression and what is made from its assets."""

    inner: Expression
    depth: int | None = None

    def __str__(self) -> str:
        return f"{_operand(self.inner)}+{'' if self.depth is None else self.depth}"


@dataclass(frozen=True, slots=True)
class At(Expression):
    """An expression, what is made from it, and all that those are made from: what a change needs to be built."""

    inner: Expression

    def __str__(self) -> str:
        return f"@{_operand(self.inner)}"


@dataclass(frozen=True, slots=True)
class And(Expression):
    """What is in all parts."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return ",".join(f"({part})" if isinstance(part, (And, Or)) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or(Expression):
    """What is in any part."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not(Expression):
    """What is not in an expression."""

    inner: Expression

    def __str__(self) -> str:
        return f"not {f'({self.inner})' if isinstance(self.inner, (And, Or)) else self.inner}"


def tag(value: str) -> Expression:
    """Assets with a tag."""
    return Method("tag", value)


def kind(value: str) -> Expression:
    """Assets of a kind: `dbt`, `python`, `view`, `seed`, `action` …"""
    return Method("kind", value)


def group(value: str) -> Expression:
    """Assets of a group."""
    return Method("group", value)


def owner(value: str) -> Expression:
    """Assets of an owner."""
    return Method("owner", value)


def path(value: str) -> Expression:
    """Assets defined in a file or below a folder."""
    return Method("path", value)


def resource(value: str) -> Expression:
    """Assets that use a resource."""
    return Method("resource", value)


def project(value: str) -> Expression:
    """Assets of a project."""
    return Method("project", value)


def source(value: str) -> Expression:
    """Assets that dbt knows as a source: `source("raw")`, `source("raw.flights")`."""
    return Method("source", value)


def check(value: str) -> Expression:
    """The asset that a check is shown on."""
    return Method("check", value)


def state(value: str) -> Expression:
    """Assets in a state: `stale`, `failed` …"""
    return Method("state", value)


def result(value: str) -> Expression:
    """Assets by the result of their last step: `failed`, `blocked` …"""
    return Method("result", value)


def job(name: str) -> Expression:
    """What a job selects."""
    return Method("job", name)


def key(value: str) -> Expression:
    """Assets by key only, with wildcards: `key("raw.*")`."""
    return Method("key", value)


def _parts(item: Selectable, flattened: type[And] | type[Or]) -> tuple[Expression, ...]:
    expression = item.__selection__()
    if isinstance(expression, (And, Or)) and isinstance(expression, flattened):
        return expression.parts
    return (expression,)


def _operand(inner: Expression) -> str:
    return str(inner) if isinstance(inner, (Name, Method, Asset, All)) else f"({inner})"


def _quoted(text: str) -> str:
    return f"'{text}'" if '"' in text else f'"{text}"'
