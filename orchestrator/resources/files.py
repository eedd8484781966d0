"""Files below one address, on this machine or in an object store. fsspec is imported when they are opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any, cast

from orchestrator.definitions.resources import Resource
from orchestrator.errors import DefinitionError, DefinitionErrors, ResourceError, ResourceUnavailableError
from orchestrator.resources.observer import touched

_KINDS = {
    "abfs": "azure",
    "abfss": "azure",
    "adl": "azure",
    "az": "azure",
    "gs": "gcs",
    "https": "http",
    "local": "file",
    "s3a": "s3",
    "s3n": "s3",
}


@dataclass(frozen=True)
class Files(Resource):
    """A directory, a bucket or a prefix of one; everything is below it, and named relative to it.

        lake = Files(Env("LAKE", default="data"), options={"key": Secret.env("KEY"), "secret": Secret.env("SECRET")})
        rows = [lake.read(path) for path in lake.glob("2013/*.csv")]

    `url` is a path or a URL that fsspec knows (`s3://…`, `gs://…`, `memory://…`; stores need their own package), and
    `options` is handed to fsspec.
    """

    url: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def kinds(self) -> tuple[str, ...]:
        try:
            protocol, separator, _ = self.resolved.url.partition("://")
        except (DefinitionError, DefinitionErrors):
            return ()
        return (_KINDS.get(protocol, protocol),) if separator else ("file",)

    def open(self, path: str, mode: str = "rb", **options: Any) -> IO[Any]:
        """A file, for reading by default; writing makes the directories above it."""
        system, root = self._system()
        place = _below(root, path)
        touched(f"{'read' if 'r' in mode else 'write'} {system.unstrip_protocol(place)}")
        if "r" not in mode:
            system.makedirs(place.rpartition("/")[0], exist_ok=True)
        return cast("IO[Any]", system.open(place, mode, **options))

    def read(self, path: str) -> bytes:
        """A file's content."""
        with self.open(path) as file:
            return cast(bytes, file.read())

    def read_text(self, path: str, *, encoding: str = "utf-8") -> str:
        """A file's content as text."""
        return self.read(path).decode(encoding)

    def write(self, path: str, content: bytes | str) -> None:
        """Replace a file's content; text is written as UTF-8."""
        with self.open(path, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)

    def glob(self, pattern: str) -> list[str]:
        """The paths that match, sorted, relative to the resource: what `open` and `read` take."""
        system, root = self._system()
        touched(f"list {system.unstrip_protocol(_below(root, pattern))}")
        return sorted(str(place)[len(root) :].lstrip("/") for place in system.glob(_below(root, pattern)))

    def exists(self, path: str = "") -> bool:
        """True if there is such a file or directory."""
        system, root = self._system()
        return bool(system.exists(_below(root, path)))

    def url_of(self, path: str) -> str:
        """The whole URL of a path, for libraries that open files themselves."""
        system, root = self._system()
        place = _below(root, path)
        touched(f"hand out {system.unstrip_protocol(place)}")
        return str(system.unstrip_protocol(place))

    def check_connection(self) -> str:
        """Look whether it is there."""
        system, root = self._system()
        try:
            found = system.exists(root)
        except Exception as exc:
            raise ResourceUnavailableError(
                f"{system.unstrip_protocol(root)} cannot be looked at: {type(exc).__name__}: {exc}",
                fix="check url and options of the resource",
            ) from exc
        if not found:
            raise ResourceUnavailableError(
                f"there is no {system.unstrip_protocol(root)}", fix="make it, or correct the url"
            )
        return f"{system.unstrip_protocol(root)} is there"

    def _system(self) -> tuple[Any, str]:
        import fsspec

        settings = self.resolved
        try:
            system, root = fsspec.core.url_to_fs(settings.url, **settings.options)
        except (ImportError, ValueError) as exc:
            raise ResourceUnavailableError(
                f"{settings.url} cannot be opened: {exc}",
                fix="install the package that fsspec names, or correct the url",
            ) from exc
        return system, str(root).rstrip("/")


def _below(root: str, path: str) -> str:
    if ".." in PurePosixPath(path).parts:
        raise ResourceError(f"'{path}' leads out of the resource", fix="name paths below its url, without '..'")
    inner = path.strip("/")
    return f"{root}/{inner}" if inner else root


__all__ = ["Files"]
