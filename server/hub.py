"""The viewers of `/ws/grid`: every frame serialised once, the newest wins, nobody waits for anybody.

A viewer whose connection still holds more than the larger of 64 KiB and two frames gets no frame until it has read;
one that reads nothing for `settings.stuck_s` is cut off. Memory is bounded by that, however many and slow they are.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import orjson

from server.metrics import Meters
from server.protocol import BINARY, TEXT, framed
from server.settings import Settings
from server.sinks import LiveFrame
from server.viewer import Prepared, Viewer

LEAST_ROOM = 64 << 10  # bytes a connection may hold before its viewer counts as slow
MOST_UNREAD = 1 << 20  # bytes of answers and status messages a viewer may leave unread


class Hub:
    """Everybody who watches.

    Args:
        settings, meters: the server's.
        status: makes the status message.
        hello: the hello message of now; newest: the newest frame, or None.
    """

    def __init__(
        self, settings: Settings, meters: Meters, status: Callable[[], dict[str, Any]],
        hello: Callable[[], dict[str, Any]], newest: Callable[[], LiveFrame | None],
    ):  # fmt: skip
        self.settings, self.meters = settings, meters
        self._status, self._hello, self._newest = status, hello, newest
        self.viewers: set[Viewer] = set()
        self.connections = 0  # of all feeds, those not yet authenticated too
        self.dropped = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock, self._scheduled = threading.Lock(), False
        self._frame: LiveFrame | None = None
        self._begins: dict[str, Any] | None = None
        self._changed, self._binary_viewers = False, 0
        self._greeting: tuple[dict[str, Any], Prepared] | None = None

    # From any thread -------------------------------------------------------------------------------------

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver on this loop from now on."""
        self._loop = loop

    def begin(self, hello: dict[str, Any]) -> None:
        """Another community."""
        with self._lock:
            self._begins, self._frame = hello, None
        self._wake()

    def frame(self, frame: LiveFrame) -> None:
        """A step. Serialises here, off the event loop; a frame not yet delivered is replaced."""
        if self.viewers:
            _ = frame.json
            if self._binary_viewers:
                _ = frame.binary
        with self._lock:
            self._frame = frame
        self._wake()

    def changed(self) -> None:
        """The status is another."""
        with self._lock:
            self._changed = True
        self._wake()

    def stepped(self, seconds: float) -> None:
        """A step took so long."""
        self.meters.steps.inc()
        self.meters.step_seconds.observe(seconds)

    def _wake(self) -> None:
        with self._lock:
            if self._scheduled or self._loop is None or self._loop.is_closed():
                return
            self._scheduled = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # closed meanwhile
            self._scheduled = False

    # On the event loop -----------------------------------------------------------------------------------

    def _deliver(self) -> None:
        with self._lock:
            begins, frame, changed = self._begins, self._frame, self._changed
            self._begins = self._frame = None
            self._scheduled = self._changed = False
        if begins is not None:
            self._tell_all(begins)
        if changed:
            self._tell_all(self._status())
        if frame is not None:
            self._broadcast(frame)

    def _broadcast(self, frame: LiveFrame) -> None:
        if not self.viewers:
            return
        text = binary = None
        sent = size = 0
        now = time.monotonic()
        for viewer in tuple(self.viewers):
            if viewer.binary:
                binary = binary or Prepared(frame.binary, framed(BINARY, frame.binary), False)
            else:
                text = text or Prepared(frame.json, framed(TEXT, frame.json), True)
            message = binary if viewer.binary else text
            assert message is not None
            room = max(LEAST_ROOM, 2 * len(message.payload))
            if viewer.offer(message, room, now):
                sent, size = sent + 1, size + len(message.payload)
            else:
                self._dropped(viewer, now)
        self.meters.frames.inc(sent)
        self.meters.bytes.inc(size)
        self.meters.broadcast_seconds.observe(time.perf_counter() - frame.created)

    def _dropped(self, viewer: Viewer, now: float) -> None:
        self.dropped += 1
        self.meters.dropped.inc()
        self._abort_if_stuck(viewer, now)

    def _abort_if_stuck(self, viewer: Viewer, now: float) -> None:
        if viewer.stuck_for(now) > self.settings.stuck_s or viewer.unread > MOST_UNREAD + viewer.room:
            self.viewers.discard(viewer)
            viewer.abort()
            self.meters.aborted.inc()

    def _tell_all(self, message: dict[str, Any]) -> None:
        if not self.viewers:
            return
        payload = orjson.dumps(message)
        prepared, now = Prepared(payload, framed(TEXT, payload), True), time.monotonic()
        for viewer in tuple(self.viewers):
            viewer.send(prepared)
            self._abort_if_stuck(viewer, now)

    async def heartbeat(self) -> None:
        """Status messages to all for ever, and viewers that read nothing cut off although no frame comes."""
        while True:
            await asyncio.sleep(min(self.settings.heartbeat_s, self.settings.stuck_s / 2))
            self._tell_all(self._status())

    def join(self, viewer: Viewer) -> None:
        """Greet a viewer, with the newest frame where there is one, and send it what comes."""
        hello = self._hello()
        if self._greeting is None or self._greeting[0] is not hello:
            payload = orjson.dumps(hello)
            self._greeting = (hello, Prepared(payload, framed(TEXT, payload), True))
        viewer.send(self._greeting[1])
        viewer.send_json(self._status())
        frame = self._newest()
        if frame is not None:
            payload = frame.binary if viewer.binary else frame.json
            viewer.send(Prepared(payload, framed(BINARY if viewer.binary else TEXT, payload), not viewer.binary))
        self.viewers.add(viewer)
        self._count()

    def leave(self, viewer: Viewer) -> None:
        """It is gone."""
        self.viewers.discard(viewer)
        self._count()

    def _count(self) -> None:
        self._binary_viewers = sum(viewer.binary for viewer in self.viewers)
        self.meters.viewers.labels("grid").set(len(self.viewers))
