"""The WebSocket connection itself: uvicorn's protocol, which hands itself to the application.

`send_text` costs a coroutine, an event and a new frame for each viewer. A broadcast needs none of that: the frame is
the same for all, so it is framed once (`framed`) and its bytes go to each transport that may take them; who may not,
the connection tells when it changes, so that nobody has to be asked. That relies on a few attributes of uvicorn's
class, so `websocket_class` checks them and falls back to uvicorn's own choice where they are not there;
`server.viewer` then sends the slow way.
"""

from __future__ import annotations

import inspect
import struct
from asyncio import Protocol
from collections.abc import Callable
from typing import Any

EXTENSION = "smartgrid.protocol"
"""Key of the connection in `scope["extensions"]`."""
TEXT, BINARY, CLOSE = 0x1, 0x2, 0x8


def framed(opcode: int, payload: bytes) -> bytes:
    """One whole unmasked frame (RFC 6455, section 5.2), as servers send them."""
    head, length = 0x80 | opcode, len(payload)
    if length < 126:
        return struct.pack("!BB", head, length) + payload
    if length < 1 << 16:
        return struct.pack("!BBH", head, 126, length) + payload
    return struct.pack("!BBQ", head, 127, length) + payload


def _needed() -> type[Protocol] | None:
    """uvicorn's class, if it is as this module expects it."""
    try:
        from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol as Base
    except ImportError:
        return None
    methods = (
        "handle_connect", "handle_close", "shutdown", "connection_lost", "handle_events", "pause_writing",
        "resume_writing",
    )  # fmt: skip
    source = inspect.getsource(Base)
    attributes = (
        "self.transport",
        "self.close_sent",
        "self.handshake_complete",
        "self.conn",
        "self.scope",
        "self.queue",
        "self.writable",
        "self.disconnected",
    )
    if all(hasattr(Base, name) for name in methods) and all(name in source for name in attributes):
        return Base
    return None


_Base: Any = _needed()

if _Base is not None:

    class GridWebSocket(_Base):
        """uvicorn's connection, reachable from the application, closed with 1001 when the server stops.

        Attributes:
            watcher: called whenever `is_open` or `is_full` may have changed, until the connection is lost.
        """

        watcher: Callable[[], None] | None = None
        _close_sent = False

        def handle_connect(self, event: Any) -> None:
            super().handle_connect(event)
            scope = getattr(self, "scope", None)
            if scope is not None:  # the application's task has not run yet
                scope["extensions"][EXTENSION] = self

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._changed()
            self.watcher = None
            scope = getattr(self, "scope", None)
            if scope is not None:  # or the two would hold each other until Python looks for cycles
                scope["extensions"].pop(EXTENSION, None)

        @property
        def close_sent(self) -> bool:
            """Whether this side has said goodbye: uvicorn sets it in many places."""
            return self._close_sent

        @close_sent.setter
        def close_sent(self, sent: bool) -> None:
            self._close_sent = sent
            self._changed()

        def handle_close(self, event: Any) -> None:
            super().handle_close(event)
            self._changed()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._changed()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._changed()

        def _changed(self) -> None:
            if self.watcher is not None:
                self.watcher()

        @property
        def is_open(self) -> bool:
            """Whether a frame may be written."""
            over = self.disconnected or self._close_sent or self.transport.is_closing()
            return self.handshake_complete and not over

        @property
        def is_full(self) -> bool:
            """Whether more is unread than the transport's limit."""
            return not self.writable.is_set()

        def shutdown(self) -> None:
            """The server stops: say so with 1001, going away."""
            if self.is_open:
                self.queue.put_nowait({"type": "websocket.disconnect", "code": 1001})
                self.stop_keepalive()
                self.conn.send_close(1001, "the server stops")
                self.transport.write(b"".join(self.conn.data_to_send()))
                self.close_sent = True
                self.transport.close()
            else:
                super().shutdown()


def websocket_class() -> Any:
    """What to give uvicorn as `ws`."""
    return GridWebSocket if _Base is not None else "auto"
