"""What a resource is: a typed, module-level object that stands for something outside, with its settings.

@dataclass(frozen=True)
class Weather(Resource):
    url: str
    token: str
    timeout_s: float = 30.0

    def hourly(self, station: str) -> Rows:
        settings = self.resolved
        return fetch(settings.url, station, settings.token)

weather = Weather(Env("WEATHER_URL", default="https://weather.example.com"), token=Secret.env("WEATHER_TOKEN"))
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, get_type_hints

from orchestrator.definitions.masking import MASK
from orchestrator.definitions.settings import (
    EnvSetting,
    Secret,
    SettingError,
    conforms,
    is_reference,
    read_setting,
    references_in,
    type_name,
)
from orchestrator.errors import DefinitionError, DefinitionErrors

if TYPE_CHECKING:
    from typing_extensions import Self

_WATCHER: ContextVar[Watcher | None] = ContextVar("orchestrator_watcher", default=None)
_OVERRIDES: ContextVar[tuple[tuple[Resource, Resource], ...]] = ContextVar("orchestrator_overrides", default=())
_ORIGIN = "_orchestrator_origin"
_PASSWORD = re.compile(r"(://[^/@\s:]*:)[^/@\s]*@")


@dataclass(frozen=True)
class Resource:
    """A typed, named handle to something outside. Concrete ones are in `orchestrator.resources`; yours subclass it.

    Make it at module level; code that uses the object is found by the loader, and its settings are checked when the
    workspace is loaded. Its methods read settings from `self.resolved`.
    """

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it is, for people: `duckdb`, `postgres` …"""
        return ()

    @property
    def resolved(self) -> Self:
        """A copy with the values of `Env` and `Secret` in place, read now. Do not keep it: it holds secrets.

        Raises DefinitionError, or DefinitionErrors for several, when a value is missing or of another type.
        """
        if _ORIGIN in self.__dict__ or not any(references_in(_own(self, item.name)) for item in fields(self)):
            return self
        values, problems = _read_all(self, early_only=False)
        if problems:
            raise as_error(problems, of=type(self).__name__)
        copy = object.__new__(type(self))
        for name, value in values.items():
            object.__setattr__(copy, name, value)
        object.__setattr__(copy, _ORIGIN, self)
        return copy

    def check_connection(self) -> str | None:
        """Open it, once, and say in a few words what answered; None where there is nothing to open.

        Called by `orchestrator validate --connect`. Raises what went wrong.
        """
        return None

    def describe(self) -> dict[str, Any]:
        """What work elsewhere gets to know of it: JSON, secrets by where they are kept and never by value."""
        shown = {item.name: _for_work(_own(self, item.name)) for item in fields(self) if item.repr}
        return {"type": type(self).__name__.lower(), **shown}

    @contextmanager
    def override(self, replacement: Resource) -> Iterator[None]:
        """Inside of the block `replacement` stands in for this resource, for this thread and what it starts for us.

        It needs the methods that this one has. Overrides nest, the innermost holds; asyncio tasks and threads that
        Python starts with a copy of the context have those of where they were started.
        """
        _require_compatible(self, replacement)
        token = _OVERRIDES.set((*_OVERRIDES.get(), (self, replacement)))
        try:
            yield
        finally:
            _OVERRIDES.reset(token)

    if not TYPE_CHECKING:  # a type checker would take every attribute for known

        def __getattribute__(self, name: str) -> Any:
            # Methods and properties are the replacement's; fields, and so equality, hash and repr, are one's own.
            if name.startswith("_") or name == "override" or name in type(self).__dataclass_fields__:
                return object.__getattribute__(self, name)
            if (watcher := _WATCHER.get()) is not None:
                _tell(watcher, self)
            active = active_resource(self) if _OVERRIDES.get() else self
            return object.__getattribute__(active, name)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__repr__" not in cls.__dict__:  # there before @dataclass looks, which then keeps it
            cls.__repr__ = Resource.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        settings = [f"{item.name}={_own(self, item.name)!r}" for item in fields(self) if item.repr]
        return MASK.text(f"{type(self).__name__}({', '.join(settings)})")

    def __reduce_ex__(self, protocol: Any) -> Any:
        """A resolved copy travels as what it was made from, and is resolved where it arrives."""
        origin = self.__dict__.get(_ORIGIN)
        return (operator.attrgetter("resolved"), (origin,)) if origin is not None else super().__reduce_ex__(protocol)


class Watcher(Protocol):
    """Who is told what a step uses while it runs."""

    def used(self, resource: Resource) -> None:
        """A method or property of `resource` is asked for. May raise to refuse it."""


@contextmanager
def watched_by(watcher: Watcher | None) -> Iterator[None]:
    """Inside, `watcher` is told each resource that is used; in this thread and in copies of its context."""
    token = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def current_watcher() -> Watcher | None:
    """Who watches here and now."""
    return _WATCHER.get()


def _tell(watcher: Watcher, resource: Resource) -> None:
    """A stand-in was told about when what it stands in for was used."""
    if not any(new is resource for _, new in _OVERRIDES.get()):
        watcher.used(resource.__dict__.get(_ORIGIN, resource))


@dataclass(frozen=True, slots=True)
class Problem:
    """A setting that cannot be used: of which field, what, and what to do."""

    field: str
    what: str
    fix: str


def active_resource(resource: Resource) -> Resource:
    """The resource that stands in for this one here and now; itself where none does."""
    seen = resource
    overrides = _OVERRIDES.get()
    for _ in overrides:  # as long as the longest chain
        following = next((new for old, new in reversed(overrides) if _same(old, seen)), None)
        if following is None:
            return seen
        seen = following
    return seen


def is_same_resource(one: Resource, other: Resource) -> bool:
    """One object, or equal settings: a resource that was pickled is found, too."""
    return one is other or _same(one, other)


def find_problems(resource: Resource) -> list[Problem]:
    """What is wrong with the settings, as far as this machine can tell: variables, files, types. All of it at once."""
    _, problems = _read_all(resource, early_only=True)
    return problems


def describe_settings(resource: Resource) -> dict[str, str]:
    """{field: where its value comes from, or the value}, without secrets, for people; what is None is left out."""
    settings = {item.name: _own(resource, item.name) for item in fields(resource) if item.repr}
    return {name: MASK.text(_described(value)) for name, value in settings.items() if value is not None}


def as_error(problems: list[Problem], *, of: str, at: str | None = None) -> DefinitionError | DefinitionErrors:
    """Problems as one error, or as several that travel together. `of` names the resource."""
    errors = [DefinitionError(f"{item.field} of {of}: {item.what}", at=at, fix=item.fix) for item in problems]
    return errors[0] if len(errors) == 1 else DefinitionErrors(errors)


def _for_work(value: Any) -> Any:
    """A setting for somebody else: what is no secret by value, also where it is read from a variable here."""
    match value:
        case Secret():
            return value.describe()
        case EnvSetting():
            return _for_work(value.read(Any))
        case Resource():
            return value.describe()
        case dict():
            return {str(name): _for_work(item) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_for_work(item) for item in value]
        case None | bool() | int() | float():
            return value
    return _PASSWORD.sub(r"\1***@", MASK.text(str(value)))


def _described(value: Any) -> str:
    if references_in(value) and not is_reference(value):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        return ", ".join(f"{name}: {_described(item)}" for name, item in items)
    return value if isinstance(value, str) else repr(value)


def _read_all(resource: Resource, *, early_only: bool) -> tuple[dict[str, Any], list[Problem]]:
    hints = _hints(type(resource))
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for item in fields(resource):
        wanted, value = hints.get(item.name, Any), _own(resource, item.name)
        if early_only and _is_late(value):
            continue
        try:
            values[item.name] = found = read_setting(value, wanted)
        except SettingError as exc:
            problems.append(Problem(item.name, exc.what, exc.fix))
            continue
        if not conforms(found, wanted):
            shown = type(found).__name__ if references_in(value) else MASK.text(repr(found))
            what = f"{shown} is no {type_name(wanted)}"
            problems.append(Problem(item.name, what, f"give it a value of type {type_name(wanted)}"))
    return values, problems


def _is_late(value: Any) -> bool:
    match value:
        case dict():
            return any(_is_late(item) for item in value.values())
        case list() | tuple():
            return any(_is_late(item) for item in value)
    return isinstance(value, Secret) and not value.early


def _hints(cls: type) -> Mapping[str, Any]:
    try:
        return get_type_hints(cls)
    except Exception:  # noqa: BLE001  annotations that only a type checker can evaluate: nothing is converted
        return {}


def _own(resource: Resource, name: str) -> Any:
    return object.__getattribute__(resource, name)


def _same(one: Resource, other: Resource) -> bool:
    """One object, or equal settings: a resource that was pickled is found, too."""
    if one is other:
        return True
    return type(one) is type(other) and all(_own(one, item.name) == _own(other, item.name) for item in fields(one))


def _require_compatible(resource: Resource, replacement: Resource) -> None:
    if not isinstance(replacement, Resource):
        raise DefinitionError(
            f"{type(replacement).__name__} is no resource",
            fix="subclass orchestrator.Resource (a frozen dataclass) with the methods that are used",
        )
    if _same(active_resource(replacement), resource):
        raise DefinitionError(
            f"{resource!r} would stand in for itself", fix="override it by a resource that it does not override"
        )
    name = type(resource).__name__
    missing = sorted(item for item in _offered(type(resource)) if not hasattr(type(replacement), item))
    if missing:
        raise DefinitionError(
            f"{type(replacement).__name__} cannot stand in for {name}: it has no {', '.join(missing)}",
            fix=f"override it by a resource that has the methods of {name}",
        )


def _offered(cls: type) -> set[str]:
    """Public methods and properties, without those that make one."""
    names = {name for base in cls.__mro__ if base not in (Resource, object) for name in vars(base)}
    members = {name: _static(cls, name) for name in names if not name.startswith("_")}
    return {name for name, member in members.items() if callable(member) or isinstance(member, property)}


def _static(cls: type, name: str) -> Any:
    return next(vars(base)[name] for base in cls.__mro__ if name in vars(base))


__all__ = [
    "Problem",
    "Resource",
    "Watcher",
    "active_resource",
    "as_error",
    "current_watcher",
    "describe_settings",
    "find_problems",
    "is_same_resource",
    "watched_by",
]
