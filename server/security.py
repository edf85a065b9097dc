"""What every HTTP request passes before a route sees it, and every answer on its way out."""

from __future__ import annotations

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.admission import Admission
from server.errors import ApiError, as_api_error
from server.metrics import Meters

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
PUBLIC = ("/web/", "/vendor/")  # the page, which asks people for the token
SAFE = ("GET", "HEAD", "OPTIONS")
UPLOADS = "/api/data/"


class Guard:
    """Host name, origin, rate, token and body size of requests; headers of answers. WebSockets: the host name."""

    def __init__(self, app: ASGIApp, admission: Admission, meters: Meters):
        self.app, self.admission, self.meters = app, admission, meters
        self.settings = admission.settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        if scope["type"] == "websocket":
            error = None if self.admission.knows_host(connection) else _unknown_host(connection)
        else:
            send = self._answering(scope, send)
            receive = self._limited(connection, receive)
            error = self._fault(scope["method"], connection)
        if error is None and scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        if error is None:
            error = await self._served(scope, receive, send)
            if error is None:
                return
        self.meters.refused.labels(error.code).inc()
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4403, "reason": error.code})
        else:
            await JSONResponse(error.body(), error.status, headers=error.headers)(scope, receive, send)

    async def _served(self, scope: Scope, receive: Receive, send: Send) -> ApiError | None:
        """Pass a request on; what nobody expected becomes an answer without a word about the inside."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            if started:
                raise
            return as_api_error(error)
        return None

    def _fault(self, method: str, connection: HTTPConnection) -> ApiError | None:
        """Why this request goes no further."""
        admission, client, path = self.admission, self.admission.client(connection), connection.url.path
        if not admission.knows_host(connection):
            return _unknown_host(connection)
        if path == "/healthz":
            return None
        if not admission.limits.take("rest", client):
            return _too_many(admission.limits.wait_s("rest"), "requests")
        if method not in SAFE and not admission.same_origin(connection):
            origin = connection.headers.get("origin")
            return ApiError(
                403, "forbidden", f"origin {origin!r} may not do this: name it with --origins if it is yours", "origin"
            )
        if method == "OPTIONS" or path == "/web" or path.startswith(PUBLIC) or self._is_page(path, connection.headers):
            return None
        if not admission.limits.left("failure", client):
            return _too_many(admission.limits.wait_s("failure"), "wrong tokens")
        if not admission.has_token(connection):
            admission.limits.take("failure", client)
            return ApiError(
                401, "unauthorized", "this server needs its token: send the header Authorization: Bearer TOKEN",
                "authorization", headers={"www-authenticate": "Bearer"},
            )  # fmt: skip
        return self._body_fault(connection)

    @staticmethod
    def _is_page(path: str, headers: Headers) -> bool:
        return path == "/" and "text/html" in headers.get("accept", "")

    def _most_bytes(self, path: str) -> int:
        return self.settings.max_upload_bytes if path.startswith(UPLOADS) else self.settings.max_body_bytes

    def _body_fault(self, connection: HTTPConnection) -> ApiError | None:
        text, most = connection.headers.get("content-length", "0"), self._most_bytes(connection.url.path)
        if text.isdigit() and int(text) > most:
            return ApiError(413, "too_large", f"the body has {text} bytes, at most {most} are taken")
        return None

    def _limited(self, connection: HTTPConnection, receive: Receive) -> Receive:
        """The body, as long as it is not too long, whatever its header says."""
        most, taken = self._most_bytes(connection.url.path), 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise HTTPException(413, f"the body has more than {most} bytes")
            return message

        return limited

    def _answering(self, scope: Scope, send: Send) -> Send:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.meters.requests.labels(_known_method(scope["method"]), str(message["status"])).inc()
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store" if scope["path"].startswith("/api") else "no-cache")
                if scope["scheme"] == "https":
                    headers.setdefault("strict-transport-security", "max-age=31536000")
            await send(message)

        return answer


def _known_method(method: str) -> str:
    """Of bounded variety, as it labels a meter."""
    return method if method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS") else "other"


def _unknown_host(connection: HTTPConnection) -> ApiError:
    host = connection.headers.get("host", "")[:80]
    return ApiError(400, "unknown_host", f"this server is not {host!r}: name it with --hosts if it is", "host")


def _too_many(wait_s: int, what: str) -> ApiError:
    return ApiError(
        429, "too_many_requests", f"too many {what}: try again in {wait_s} s", headers={"retry-after": str(wait_s)}
    )
