"""A WebSocket from its handshake to its end: who may, how often, and how it is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from server.context import Context
from server.errors import ApiError
from server.wire import Auth

MALFORMED, UNAUTHORIZED, NO_SUCH_RUN, TOO_MANY = 4400, 4401, 4404, 4429
GOING_AWAY, TRY_LATER = 1001, 1013


class Closed(Exception):  # noqa: N818 (nothing went wrong)
    """The session is over."""


async def close(socket: WebSocket, code: int, reason: str) -> None:
    """Close it, unless it is closed already (after 1009 the protocol has done so)."""
    if socket.application_state == WebSocketState.CONNECTED and socket.client_state == WebSocketState.CONNECTED:
        with suppress(RuntimeError):
            await socket.close(code, reason[:120])


async def receive_text(socket: WebSocket) -> str:
    """The next text message.

    Raises:
        Closed: there is none any more.
        ApiError: it is binary.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise Closed
    text = message.get("text")
    if text is None:
        raise ApiError(400, "malformed", "binary messages are not understood: send JSON text")
    return text


def parse_object(text: str) -> dict[str, Any]:
    """A message as a JSON object.

    Raises:
        ApiError: it is none.
    """
    try:
        data = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError) as error:
        raise ApiError(400, "malformed", f"not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ApiError(400, "malformed", "expected a JSON object")
    return data


async def _refuse(socket: WebSocket, status: int, error: ApiError) -> None:
    """Before the handshake is done: an HTTP answer."""
    await socket.send(
        {
            "type": "websocket.http.response.start", "status": status,
            "headers": [(b"content-type", b"application/json")],
        }
    )  # fmt: skip
    await socket.send({"type": "websocket.http.response.body", "body": orjson.dumps(error.body())})


@asynccontextmanager
async def admitted(socket: WebSocket, context: Context, subprotocols: Sequence[str]) -> AsyncIterator[str | None]:
    """Accept a viewer that may be here; yields the subprotocol agreed on. Closes with the right code otherwise.

    Raises:
        Closed: it may not; it has been told.
    """
    admission, hub = context.admission, context.hub
    client = admission.client(socket)
    if not admission.same_origin(socket):
        context.meters.refused.labels("origin").inc()
        await _refuse(socket, 403, ApiError(403, "forbidden", "this origin may not connect", "origin"))
        raise Closed
    if not admission.limits.take("handshake", client):
        context.meters.refused.labels("handshakes").inc()
        await _refuse(socket, 429, ApiError(429, "too_many_requests", "too many handshakes: try again later"))
        raise Closed
    offered = socket.scope.get("subprotocols", [])
    chosen = next((name for name in subprotocols if name in offered), None)
    await socket.accept(subprotocol=chosen)
    if hub.connections >= context.settings.max_viewers:
        context.meters.refused.labels("viewers").inc()
        await close(socket, TRY_LATER, f"{context.settings.max_viewers} viewers are here already: try again later")
        raise Closed
    hub.connections += 1
    try:
        if not admission.has_token(socket):
            await _authenticate(socket, context, client)
        yield chosen
    except WebSocketDisconnect:
        pass
    finally:
        hub.connections -= 1


async def _authenticate(socket: WebSocket, context: Context, client: str) -> None:
    """Wait for the token."""
    admission, given = context.admission, None
    if admission.limits.left("failure", client):
        try:
            async with asyncio.timeout(context.settings.auth_timeout_s):
                given = Auth.model_validate(parse_object(await receive_text(socket)))
        except (TimeoutError, ApiError, ValidationError):
            pass
    if given is None or not admission.is_token(given.token):
        admission.limits.take("failure", client)
        context.meters.refused.labels("unauthorized").inc()
        await close(socket, UNAUTHORIZED, 'the first message has to be {"type": "auth", "token": …} with the token')
        raise Closed
