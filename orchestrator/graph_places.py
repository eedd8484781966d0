"""Bytes at a path, at an http(s) address or at a URL of fsspec: where published graphs are written and read.

A bearer token in ORCHESTRATOR_GRAPH_TOKEN goes along with http(s) requests, not with their redirections.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.errors import PublishedGraphError

TIMEOUT_S = 20.0
TOKEN_VARIABLE = "ORCHESTRATOR_GRAPH_TOKEN"


@dataclass(frozen=True, slots=True)
class Found:
    """What is at a place; `content` is None where it is still what `stamp` was given for."""

    content: bytes | None
    stamp: str
    """An ETag, a time of change or whatever else tells that it has changed; empty where nothing does."""


def read_place(place: str, *, stamp: str = "") -> Found:
    """What is there now, unless it is what it was at `stamp`. Raises PublishedGraphError."""
    return _reader(place)(place, stamp)


def write_place(place: str, content: bytes) -> None:
    """Put it there whole: a reader sees the old content or the new. Raises PublishedGraphError."""
    scheme = urlsplit(place).scheme if "://" in place else ""
    if scheme in ("http", "https"):
        _put(place, content)
    elif scheme:
        _write_fsspec(place, content)
    else:
        _write_file(Path(place), content)


def plain(place: str) -> str:
    """The place without what may be secret in it.

    >>> plain("https://me:pass@example.com/graph.json?sig=1"), plain("graphs/other.json")
    ('https://example.com/graph.json', 'graphs/other.json')
    """
    if "://" not in place:
        return place
    parts = urlsplit(place)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _reader(place: str) -> Callable[[str, str], Found]:
    scheme = urlsplit(place).scheme if "://" in place else ""
    return {"http": _get, "https": _get, "": _read_file}.get(scheme, _read_fsspec)


def _refused(place: str, doing: str, exc: Exception, *, fix: str) -> PublishedGraphError:
    reason = getattr(exc, "reason", None)  # of urllib, whose own words are for programmers
    said = str(reason if isinstance(reason, OSError) else exc).strip() or type(exc).__name__
    error = PublishedGraphError(f"the graph at {plain(place)} cannot be {doing}: {said}", fix=fix)
    error.__cause__ = exc
    return error


# Files


def _read_file(place: str, stamp: str) -> Found:
    try:
        stat = Path(place).stat()
        now = f"{stat.st_mtime_ns} {stat.st_size}"
        return Found(None if now == stamp else Path(place).read_bytes(), now)
    except OSError as exc:
        said = OSError(exc.strerror or str(exc))
        raise _refused(place, "read", said, fix="correct 'graph', or publish it there") from exc


def _write_file(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as exc:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        said = OSError(exc.strerror or str(exc))
        raise _refused(str(path), "written", said, fix="give a place that can be written") from exc


# http(s)


def _request(place: str, **more: Any) -> Any:
    import base64
    from urllib.request import Request

    parts = urlsplit(place)
    host = parts.netloc.rpartition("@")[2]
    request = Request(parts._replace(netloc=host).geturl(), **more)
    if token := os.environ.get(TOKEN_VARIABLE):
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    elif parts.username:
        login = f"{parts.username}:{parts.password or ''}".encode()
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(login).decode()}")
    return request


def _get(place: str, stamp: str) -> Found:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import urlopen

    headers = {"Accept": "application/json"}
    if stamp:
        headers["If-Modified-Since" if stamp.startswith("at ") else "If-None-Match"] = stamp.removeprefix("at ")
    try:
        with urlopen(_request(place, headers=headers), timeout=TIMEOUT_S) as answer:
            etag, changed = answer.headers.get("ETag"), answer.headers.get("Last-Modified")
            return Found(answer.read(), etag or (f"at {changed}" if changed else ""))
    except HTTPError as exc:
        if exc.code == 304:
            return Found(None, stamp)
        hint = f"check {TOKEN_VARIABLE}" if exc.code in (401, 403) else "correct 'graph', or publish it there"
        raise _refused(place, "read", exc, fix=hint) from exc
    except (OSError, HTTPException, ValueError) as exc:
        raise _refused(place, "read", exc, fix="check the address and the network") from exc


def _put(place: str, content: bytes) -> None:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import urlopen

    request = _request(place, data=content, method="PUT", headers={"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=TIMEOUT_S):
            return
    except HTTPError as exc:
        hint = f"check {TOKEN_VARIABLE}" if exc.code in (401, 403) else "give an address that takes PUT"
        raise _refused(place, "written", exc, fix=hint) from exc
    except (OSError, HTTPException, ValueError) as exc:
        raise _refused(place, "written", exc, fix="check the address and the network") from exc


# fsspec


def _filesystem(place: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as exc:
        raise _refused(place, "reached", exc, fix="pip install fsspec") from exc
    try:
        filesystem, path = fsspec.core.url_to_fs(place)
    except (ImportError, ValueError) as exc:
        scheme = urlsplit(place).scheme
        raise _refused(
            place, "reached", exc, fix=f"install what fsspec needs for {scheme}:// (s3fs, gcsfs, adlfs …)"
        ) from exc
    return filesystem, path


def _read_fsspec(place: str, stamp: str) -> Found:
    filesystem, path = _filesystem(place)
    try:
        filesystem.invalidate_cache()
        now = str(filesystem.ukey(path))
        return Found(None if now == stamp else filesystem.cat_file(path), now)
    except Exception as exc:  # each filesystem has its own
        raise _refused(place, "read", exc, fix="correct 'graph', or publish it there") from exc


def _write_fsspec(place: str, content: bytes) -> None:
    filesystem, path = _filesystem(place)
    try:
        if filesystem.protocol in ("file", "local") or "file" in filesystem.protocol:
            _write_file(Path(path), content)
        else:
            filesystem.pipe_file(path, content)  # object stores show an object whole or not at all
    except PublishedGraphError:
        raise
    except Exception as exc:  # each filesystem has its own
        raise _refused(place, "written", exc, fix="give a place that can be written") from exc


__all__ = ["TOKEN_VARIABLE", "Found", "plain", "read_place", "write_place"]
