"""Who may: tokens, origins, host names, and how often."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.requests import HTTPConnection

from server.settings import Settings

_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class Limits:
    """Counts what each client does, in this process."""

    def __init__(self, settings: Settings):
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._items: dict[str, RateLimitItem | None] = {
            kind: parse(text) if text else None
            for kind, text in (
                ("rest", settings.rest_limit), ("handshake", settings.handshake_limit),
                ("failure", settings.failure_limit), ("command", settings.command_limit),
            )
        }  # fmt: skip

    def take(self, kind: str, client: str) -> bool:
        """Whether a client may do this once more now; counts it."""
        item = self._items[kind]
        return item is None or self._limiter.hit(item, kind, client)

    def left(self, kind: str, client: str) -> bool:
        """Whether it could; counts nothing."""
        item = self._items[kind]
        return item is None or self._limiter.test(item, kind, client)

    def wait_s(self, kind: str) -> int:
        """Seconds after which trying again is sure to help."""
        item = self._items[kind]
        return 1 if item is None else int(item.get_expiry())


class Admission:
    """Checks of one server."""

    def __init__(self, settings: Settings):
        self.settings, self.limits = settings, Limits(settings)
        own = () if settings.host in ("0.0.0.0", "::") else (settings.host,)
        any_host = not settings.is_local  # there a token is needed, which no other web page has
        self.hosts = settings.hosts or (["*"] if any_host else [*_LOCAL, *own])

    def knows_host(self, connection: HTTPConnection) -> bool:
        """Whether the client addressed this server by one of its names: no page rebinds a name of its own to it."""
        given = connection.headers.getlist("host")
        if len(given) != 1:
            return False
        name = _split(given[0])[0]
        return "*" in self.hosts or name in self.hosts or f"[{name}]" in self.hosts

    def same_origin(self, connection: HTTPConnection) -> bool:
        """Whether the page that sent this is ours, or of a named origin. Programs send no Origin."""
        origin = connection.headers.get("origin")
        if origin is None:
            return connection.headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        if origin in self.settings.origins:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:  # no address, such as http://[
            return False
        scheme = {"ws": "http", "wss": "https"}.get(connection.url.scheme, connection.url.scheme)
        host, port = _split(connection.headers.get("host", ""))
        # Behind a proxy that ends TLS the scheme here may be http; the names still have to agree.
        return parts.scheme in (scheme, "https") and parts.hostname == host and (
            _port(parts.netloc, parts.scheme) == (port or _PORTS.get(parts.scheme))
        )  # fmt: skip

    def has_token(self, connection: HTTPConnection) -> bool:
        """Whether it bears the token, or none is needed."""
        kind, _, given = connection.headers.get("authorization", "").partition(" ")
        return self.settings.token is None or (kind.lower() == "bearer" and self.is_token(given.strip()))

    def is_token(self, given: str) -> bool:
        """Whether this is the token; takes as long whatever is given."""
        token = self.settings.token_text
        return token is None or hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())

    @staticmethod
    def client(connection: HTTPConnection) -> str:
        """What limits count by: the address."""
        return connection.client.host if connection.client else "unknown"


def _split(netloc: str) -> tuple[str, int | None]:
    """Host, without brackets and in small letters, and port of a Host header."""
    try:
        parts = urlsplit(f"//{netloc}")
        return (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "", None


def _port(netloc: str, scheme: str) -> int | None:
    return _split(netloc)[1] or _PORTS.get(scheme)
