"""Settings of resources that are decided where the code runs: environment variables and secrets.

`Env` and `Secret` stand in a resource's field in place of the value. To a type checker they are the value, as
`dataclasses.field` is; `resource.resolved` puts it there.
"""

from __future__ import annotations

import enum
import importlib
import os
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, Union, cast, get_args, get_origin, overload

from orchestrator.definitions.masking import MASK

T = TypeVar("T")
_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "")
_MISSING: Any = object()


class SettingError(ValueError):
    """A setting has no usable value; `fix` says what to do. Resources turn it into a DefinitionError."""

    def __init__(self, what: str, *, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


class SecretSource(Protocol):
    """Where a secret is kept: `Secret.of(source)` takes any object like this one. Its repr must not tell the secret."""

    def read(self) -> str:
        """The secret. Raises an exception that says what is missing, without the secret."""


@dataclass(frozen=True, slots=True)
class EnvSetting:
    """What `Env(…)` is when the code runs."""

    name: str
    default: Any = _MISSING

    def __repr__(self) -> str:
        return f"Env({self.name!r})" if self.default is _MISSING else f"Env({self.name!r}, default={self.default!r})"

    def read(self, wanted: Any) -> Any:
        """The variable's value as the type that the field asks for. Raises SettingError."""
        text = os.environ.get(self.name)
        if text is None:
            if self.default is _MISSING:
                raise SettingError(
                    f"the environment variable {self.name} is not set",
                    fix=f'set {self.name}, or write Env("{self.name}", default=…)',
                )
            return self.default
        try:
            return converted(text, wanted)
        except ValueError:
            raise SettingError(
                f"the environment variable {self.name} is {text!r}, which is no {type_name(wanted)}",
                fix=f"set {self.name} to {_example(wanted)}",
            ) from None


@overload
def Env(name: str, *, default: T) -> T: ...
@overload
def Env(name: str) -> Any: ...
def Env(name: str, *, default: Any = _MISSING) -> Any:
    """The environment variable `name`, read when the resource is used and checked when the workspace is loaded.

    It becomes what the field is annotated with: numbers, `bool` (true/false, 1/0, yes/no, on/off), `Path`, enums,
    literals, and lists (separated by commas).

    >>> Env("WEATHER_URL", default="https://example.com")
    Env('WEATHER_URL', default='https://example.com')
    """
    return EnvSetting(name, default)


@dataclass(frozen=True)
class Secret:
    """A secret by where it is kept. Its value is read when the resource is used and never stored, shown or recorded.

    Values that were read are replaced by *** in log lines, records and errors of this process, unless they are
    shorter than four characters.
    """

    source: SecretSource
    early: bool = field(default=False, repr=False, compare=False)
    """True when it can be checked at load time: nothing beyond this machine is asked."""

    @classmethod
    def env(cls, name: str) -> str:
        """The secret in an environment variable."""
        return cast(str, cls(_InEnvironment(name), early=True))

    @classmethod
    def file(cls, path: str | Path) -> str:
        """The secret in a file, as Docker and Kubernetes mount them; a newline at its end is not part of it."""
        return cast(str, cls(_InFile(str(path)), early=True))

    @classmethod
    def prefect_block(cls, name: str) -> str:
        """The secret in a Secret block of the Prefect API that is configured."""
        return cast(str, cls(_InPrefectBlock(name)))

    @classmethod
    def of(cls, source: SecretSource) -> str:
        """The secret in any store: an object with a method `read() -> str`."""
        return cast(str, cls(source))

    def __repr__(self) -> str:
        own = isinstance(self.source, (_InEnvironment, _InFile, _InPrefectBlock))
        return f"Secret.{self.source!r}" if own else f"Secret.of({self.source!r})"

    def describe(self) -> dict[str, str]:
        """Where it is kept, for work elsewhere: `{"env": NAME}`, `{"file": PATH}`, or what its source calls itself."""
        match self.source:
            case _InEnvironment(name=name):
                return {"env": name}
            case _InFile(path=path):
                return {"file": path}
        return {"secret": repr(self.source)}

    def read(self) -> str:
        """The value; from now on this process masks it. Raises SettingError."""
        try:
            value = self.source.read()
        except SettingError:
            raise
        except Exception as exc:
            raise SettingError(
                f"{self!r} cannot be read: {type(exc).__name__}: {exc}", fix="make the secret available where this runs"
            ) from exc
        if not isinstance(value, str) or not value:
            raise SettingError(f"{self!r} is empty", fix="store a value there")
        MASK.add(value)
        return value


@dataclass(frozen=True, slots=True, repr=False)
class _InEnvironment:
    name: str

    def __repr__(self) -> str:
        return f"env({self.name!r})"

    def read(self) -> str:
        value = os.environ.get(self.name)
        if value is None:
            raise SettingError(
                f"the environment variable {self.name}, which holds a secret, is not set", fix=f"set {self.name}"
            )
        return value


@dataclass(frozen=True, slots=True, repr=False)
class _InFile:
    path: str

    def __repr__(self) -> str:
        return f"file({self.path!r})"

    def read(self) -> str:
        try:
            return Path(self.path).read_text(encoding="utf-8").rstrip("\r\n")
        except FileNotFoundError:
            raise SettingError(
                f"there is no secret file {self.path}", fix="mount the secret there, or correct the path"
            ) from None
        except (OSError, UnicodeDecodeError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else "it is no text"
            raise SettingError(
                f"the secret file {self.path} cannot be read: {why}", fix="correct the file or its permissions"
            ) from None


@dataclass(frozen=True, slots=True, repr=False)
class _InPrefectBlock:
    name: str

    def __repr__(self) -> str:
        return f"prefect_block({self.name!r})"

    def read(self) -> str:
        # By name: definitions know nothing of Prefect, whose only home is the service station.
        read: Callable[[str], str] = importlib.import_module("orchestrator.service.secrets").read_secret_block
        return read(self.name)


def is_reference(value: Any) -> bool:
    """True for what stands in place of a value."""
    return isinstance(value, (EnvSetting, Secret))


def references_in(value: Any) -> bool:
    """True if `value` is such a thing, or a dict, list or tuple that has one."""
    match value:
        case dict():
            return any(references_in(item) for item in value.values())
        case list() | tuple():
            return any(references_in(item) for item in value)
    return is_reference(value)


def read_setting(value: Any, wanted: Any) -> Any:
    """`value` with all that stands for something read, also inside of dicts, lists and tuples. Raises SettingError."""
    match value:
        case EnvSetting():
            return value.read(wanted)
        case Secret():
            return value.read()
        case dict():
            return {key: read_setting(item, _item_type(wanted)) for key, item in value.items()}
        case list():
            return [read_setting(item, _item_type(wanted)) for item in value]
        case tuple() if type(value) is tuple:
            return tuple(read_setting(item, _item_type(wanted)) for item in value)
    return value


def _item_type(wanted: Any) -> Any:
    arguments = [item for item in get_args(wanted) if item is not Ellipsis]
    return arguments[-1] if arguments and get_origin(wanted) not in (Union, types.UnionType) else Any


def converted(text: str, wanted: Any) -> Any:
    """A variable's text as a value of the type. Raises ValueError where it is none.

    >>> converted("8", int), converted("off", bool), converted("a, b", list[str]), converted("x", str | None)
    (8, False, ['a', 'b'], 'x')
    """
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return _first_that_fits(text, [item for item in arguments if item is not type(None)])
    if origin is Literal:
        return next(item for item in arguments if str(item) == text) if text in map(str, arguments) else _refuse(text)
    if wanted is bool:
        lowered = text.strip().lower()
        return lowered in _YES if lowered in (*_YES, *_NO) else _refuse(text)
    if wanted in (int, float, Path):
        return wanted(text)
    if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        return next((item for item in wanted if text in (item.name, str(item.value))), None) or _refuse(text)
    listed = origin or wanted
    if listed in (list, tuple, set, frozenset, Sequence, Collection):
        items = [converted(item.strip(), _item_type(wanted)) for item in text.split(",") if item.strip()]
        return items if listed in (list, Sequence, Collection) else listed(items)
    return text


def _first_that_fits(text: str, choices: Sequence[Any]) -> Any:
    for choice in sorted(choices, key=lambda item: item is str):  # everything is a str: that last
        try:
            return converted(text, choice)
        except ValueError:
            continue
    return _refuse(text)


def _refuse(text: str) -> Any:
    raise ValueError(text)


def conforms(value: Any, wanted: Any) -> bool:
    """False where a value is surely not of the annotated type; what cannot be told is taken."""
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return any(conforms(value, item) for item in arguments)
    if origin is Literal:
        return value in arguments
    if wanted is None or wanted is type(None):
        return value is None
    if wanted is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if wanted in (str, bool, bytes, Path) or (isinstance(wanted, type) and issubclass(wanted, enum.Enum)):
        return isinstance(value, wanted)
    listed = origin or wanted
    if listed in (Mapping, dict):
        return isinstance(value, Mapping)
    if listed in (list, tuple, set, frozenset):
        return isinstance(value, listed)
    if listed in (Sequence, Collection):
        return isinstance(value, listed) and not isinstance(value, (str, bytes))
    return True


def type_name(wanted: Any) -> str:
    """A type as it is written.

    >>> type_name(int), type_name(str | None)
    ('int', 'str | None')
    """
    return wanted.__name__ if isinstance(wanted, type) and not get_args(wanted) else str(wanted).replace("typing.", "")


def _example(wanted: Any) -> str:
    if get_origin(wanted) is Literal:
        return " or ".join(str(item) for item in get_args(wanted))
    if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        return " or ".join(item.name for item in wanted)
    return {int: "a whole number, such as 30", float: "a number, such as 2.5", bool: "true or false"}.get(
        wanted, f"a {type_name(wanted)}"
    )
