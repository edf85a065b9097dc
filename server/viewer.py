"""One viewer's connection, as the broadcast sees it: never waits, knows how much is unread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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
        self._protocol: Any = socket.scope.get("extensions", {}).get(EXTENSION)
        self._least_unread, self._stuck_since = 0, None

    @property
    def unread(self) -> int:
        """Bytes handed over that the system has not taken yet; 0 where that cannot be known."""
        return self._protocol.transport.get_write_buffer_size() if self._protocol is not None else 0

    @property
    def write(self) -> Callable[[bytes], None] | None:
        """Takes a frame's bytes; None while it is full or on its way out, and where only `offer` is."""
        protocol = self._protocol
        return protocol.transport.write if protocol is not None and protocol.is_open and not protocol.is_full else None

    def watch(self, told: Callable[[Viewer], None], room: int) -> None:
        """Have it told whenever `write` may be another; it is full with more than `room` bytes unread."""
        if self._protocol is not None:
            self._protocol.watcher = partial(told, self)
            self.limit(room)

    def limit(self, room: int) -> None:
        """Have it be full with more than `room` bytes unread."""
        if self._protocol is not None and self._protocol.is_open:
            self._protocol.transport.set_write_buffer_limits(room, room)

    def offer(self, frame: Prepared, now: float) -> bool:
        """For one whose `write` is None: sends where nothing else can, else notes that it takes nothing.

        Returns whether the frame is not lost: it was sent, or the viewer is on its way out.

        now: `time.monotonic()`.
        """
        protocol = self._protocol
        if protocol is None:
            sent = self._send_inline(frame)
            self._note(0, blocked=not sent, now=now)
            return sent
        if protocol.is_open:
            self._note(self.unread, blocked=protocol.is_full, now=now)
        return not (protocol.is_open and protocol.is_full)

    def _note(self, unread: int, blocked: bool, now: float) -> None:
        """Note since when nothing was read."""
        if not blocked:
            self._stuck_since = None
        elif self._stuck_since is None or unread < self._least_unread:
            self._stuck_since, self._least_unread = now, unread

    def stuck_for(self, now: float) -> float:
        """Seconds since it last read anything, while it holds more than it may; else 0."""
        if self._protocol is not None and not self._protocol.is_full:
            self._stuck_since = None
        if self._stuck_since is None:
            return 0.0
        if self._protocol is not None:
            self._note(self.unread, blocked=True, now=now)
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
        return False

    def abort(self) -> None:
        """Free the connection at once, without a closing handshake nobody would read."""
        if self._protocol is not None:
            self._protocol.transport.abort()
