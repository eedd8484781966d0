"""An HTTP API as a resource. httpx is imported when a request is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.definitions.resources import Resource
from orchestrator.errors import ResourceUnavailableError
from orchestrator.resources.observer import touched

if TYPE_CHECKING:
    import httpx

_HERE = ("127.0.0.1", "::1", "localhost")
_REFUSED = (401, 403)


@dataclass(frozen=True)
class Http(Resource):
    """An API below one address.

        api = Http(Env("WEATHER_URL", default="https://weather.example.com"), token=Secret.env("WEATHER_TOKEN"))
        rows = api.get("/hourly", params={"station": "JFK"}).raise_for_status().json()

    `token` is sent as `Authorization: Bearer …`; other ways are `headers`. A request is tried again `retries` times
    when no connection comes about; one that was sent is not sent twice. Redirects are followed.
    """

    base_url: str
    token: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    timeout_s: float = 30.0
    retries: int = 2

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("http",)

    def get(self, path: str = "", **options: Any) -> httpx.Response:
        """The answer to GET; `options` are those of httpx (`params`, `headers` …)."""
        return self.request("GET", path, **options)

    def post(self, path: str = "", **options: Any) -> httpx.Response:
        """The answer to POST; `options` are those of httpx (`json`, `data`, `files` …)."""
        return self.request("POST", path, **options)

    def request(self, method: str, path: str = "", **options: Any) -> httpx.Response:
        """The answer to one request, whatever its status. Raises ResourceUnavailableError without an answer."""
        with self.client() as client:
            # httpx would put a slash behind an address alone.
            return client.request(method, path or self.resolved.base_url, **options)

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """An httpx.Client for several requests over one connection; closed at the end of the block."""
        import httpx

        settings = self.resolved
        headers = dict(settings.headers)
        if settings.token is not None:
            headers.setdefault("Authorization", f"Bearer {settings.token}")
        local = httpx.URL(settings.base_url).host in _HERE  # a proxy for the outside world does not know this machine
        try:
            with httpx.Client(
                base_url=settings.base_url,
                headers=headers,
                timeout=settings.timeout_s,
                follow_redirects=True,
                trust_env=not local,
                transport=httpx.HTTPTransport(retries=settings.retries) if local else None,
                mounts=None if local else _mounts(settings.retries),
                event_hooks={"response": [_note]},
            ) as client:
                yield client
        except httpx.TransportError as exc:
            raise ResourceUnavailableError(
                f"{settings.base_url} does not answer: {exc or type(exc).__name__}",
                fix="check base_url and the network, or raise timeout_s",
            ) from exc

    def check_connection(self) -> str:
        """Ask for the base address: any answer will do, but no refusal and no fault of the server."""
        response = self.get()
        if response.status_code in _REFUSED:
            raise ResourceUnavailableError(
                f"{response.url} refuses: {response.status_code}", fix="check token and headers of the resource"
            )
        if response.status_code >= 500:
            raise ResourceUnavailableError(f"{response.url} is broken: {response.status_code}", fix="try again later")
        return f"{response.url.host} answers {response.status_code}"


def _mounts(retries: int) -> dict[str, httpx.BaseTransport | None]:
    """Retries for whatever no proxy of the environment is meant for: a transport of its own would hide the proxies."""
    import urllib.request

    import httpx

    proxies = urllib.request.getproxies()
    return {
        f"{scheme}://": httpx.HTTPTransport(retries=retries)
        for scheme in ("http", "https")
        if scheme not in proxies and "all" not in proxies
    }


def _note(response: httpx.Response) -> None:
    """Without the query and what stands before the host: keys may be there."""
    url = response.request.url
    touched(f"{response.request.method} {url.scheme}://{url.netloc.decode()}{url.path}: {response.status_code}")


__all__ = ["Http"]
