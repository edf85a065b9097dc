"""One viewer's connection, as the broadcast sees it: never waits, knows how much is unread."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from starlette.websockets import WebSocket

from server.protocol import EXTENSION, TEXT, framed


class Prepared(NamedTuple):
    """A message made ready once for all who get it."""

    payload: bytes
    wire: bytes  # the whole frame
    is_text: bool


class Viewer:
    """Sends without waiting.

    Args:
        socket: accepted.
        binary: whether it asked for binary frames.
    """

    def __init__(self, socket: WebSocket, binary: bool):
        self.socket, self.binary = socket, binary
        self.dropped = 0
        self.room = 0  # bytes it might hold when a frame was last offered
        self._protocol: Any = socket.scope.get("extensions", {}).get(EXTENSION)
        self._least_unread, self._stuck_since = 0, None

    @property
    def unread(self) -> int:
        """Bytes handed over that the system has not taken yet; 0 where that cannot be known."""
        return self._protocol.transport.get_write_buffer_size() if self._protocol is not None else 0

    def offer(self, frame: Prepared, room: int, now: float) -> bool:
        """Send a frame unless more than `room` bytes are unread; returns whether it was sent.

        now: `time.monotonic()`.
        """
        self.room = room
        protocol = self._protocol
        if protocol is None:
            sent = self._send_inline(frame)
            self._watch(0 if sent else 1, blocked=not sent, now=now)
            return sent
        if not protocol.is_open:
            return True  # on its way out: nobody to be slow
        unread = protocol.transport.get_write_buffer_size()
        if unread > room:
            self.dropped += 1
            self._watch(unread, blocked=True, now=now)
            return False
        self._stuck_since = None
        protocol.transport.write(frame.wire)
        return True

    def _watch(self, unread: int, blocked: bool, now: float) -> None:
        """Note since when nothing was read."""
        if not blocked:
            self._stuck_since = None
        elif self._stuck_since is None or unread < self._least_unread:
            self._stuck_since, self._least_unread = now, unread

    def stuck_for(self, now: float) -> float:
        """Seconds since it last read anything, while it holds more than it may; else 0."""
        if self._stuck_since is None:
            return 0.0
        if self._protocol is not None:
            unread = self.unread
            if unread < self._least_unread:
                self._stuck_since, self._least_unread = now, unread
        return now - self._stuck_since

    def send(self, message: Prepared) -> None:
        """Send what must not be left out: answers, hello, status."""
        if self._protocol is None:
            self._send_inline(message)
        elif self._protocol.is_open:
            self._protocol.transport.write(message.wire)

    def send_json(self, message: dict[str, Any]) -> None:
        """The same of a message for this viewer alone."""
        payload = orjson.dumps(message)
        self.send(Prepared(payload, framed(TEXT, payload), True))

    def _send_inline(self, message: Prepared) -> bool:
        """Without the protocol class: the first step of an ordinary send, which waits only where the viewer is slow."""
        body: dict[str, Any] = {"type": "websocket.send"}
        body |= {"text": message.payload.decode()} if message.is_text else {"bytes": message.payload}
        step = self.socket.send(body)
        try:
            step.send(None)
        except StopIteration:
            return True
        except Exception:  # closed meanwhile
            return True
        step.close()
        self.dropped += 1
        return False

    def abort(self) -> None:
        """Free the connection at once, without a closing handshake nobody would read."""
        if self._protocol is not None:
            self._protocol.transport.abort()
