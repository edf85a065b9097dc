"""The viewers of `/ws/grid`: every frame serialised once, the newest wins, nobody waits for anybody.

A viewer whose connection holds more than `room_for` a frame gets no other until it has read; one that reads nothing for
`settings.stuck_s` is cut off. Memory is bounded by that, however many and slow they are. The connections say when they
are full and when they have room again: a broadcast is a loop over the writes of those that have.
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


def room_for(size: int) -> int:
    """Bytes a connection may hold: two to four frames of this size, as a power of two so that it changes rarely."""
    return max(LEAST_ROOM, 1 << (2 * size - 1).bit_length())


class Hub:
    """Everybody who watches.

    Args:
        settings, meters: the server's.
        status: makes the status message.
        hello: the hello message of now.
    """

    def __init__(
        self, settings: Settings, meters: Meters, status: Callable[[], dict[str, Any]],
        hello: Callable[[], dict[str, Any]],
    ):  # fmt: skip
        self.settings, self.meters = settings, meters
        self._status, self._hello = status, hello
        self.viewers: dict[Viewer, None] = {}  # in the order they came
        self._writes: dict[bool, dict[Viewer, Callable[[bytes], None]]] = {False: {}, True: {}}  # who may, by binary
        self._watching = {False: 0, True: 0}  # viewers, by binary
        self._room = {False: LEAST_ROOM, True: LEAST_ROOM}
        self.connections = 0  # of all feeds, those not yet authenticated too
        self.dropped = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock, self._scheduled = threading.Lock(), False
        self._frame: LiveFrame | None = None  # not yet delivered
        self._newest: LiveFrame | None = None  # delivered, of the community of this hello:
        self._of: dict[str, Any] | None = None
        self._begins: dict[str, Any] | None = None
        self._changed = False
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
            if self._watching[True]:
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
            self._newest, self._of = None, begins
            for binary in self._room:  # its frames may be smaller
                self._set_room(binary, LEAST_ROOM)
            self._tell_all(begins)
        if changed:
            self._tell_all(self._status())
        if frame is not None:
            self._newest = frame
            self._broadcast(frame)

    def _broadcast(self, frame: LiveFrame) -> None:
        if not self.viewers:
            return
        for binary, writes in self._writes.items():
            if self._watching[binary]:
                payload = frame.binary if binary else frame.json
                message = Prepared(payload, framed(BINARY if binary else TEXT, payload), not binary)
                if room_for(len(payload)) > self._room[binary]:
                    self._set_room(binary, room_for(len(payload)))
                sent, ready, others = len(writes), tuple(writes.values()), ()
                if sent < self._watching[binary]:  # before a write makes more of them
                    others = [v for v in self.viewers if v.binary == binary and v not in writes]
                for write in ready:
                    try:
                        write(message.wire)
                    except RuntimeError:  # closed without a word; the others get theirs
                        sent -= 1
                sent += sum(self._offer(viewer, message) for viewer in others)
                self.meters.frames.inc(sent)
                self.meters.bytes.inc(sent * len(payload))
        self.meters.broadcast_seconds.observe(time.perf_counter() - frame.created)

    def _set_room(self, binary: bool, room: int) -> None:
        if room != self._room[binary]:
            self._room[binary] = room
            for viewer in self.viewers:
                if viewer.binary == binary:
                    viewer.limit(room)

    def _offer(self, viewer: Viewer, message: Prepared) -> bool:
        """To one that is full, on its way out, or can only be asked; returns whether it got the frame."""
        now = time.monotonic()
        if viewer.offer(message, now):
            return True
        self.dropped += 1
        self.meters.dropped.inc()
        self._abort_if_stuck(viewer, now)
        return False

    def _admit(self, viewer: Viewer) -> None:
        """Among those that may be written to, or no longer."""
        write = viewer.write if viewer in self.viewers else None
        if write is None:
            self._writes[viewer.binary].pop(viewer, None)
        else:
            self._writes[viewer.binary][viewer] = write

    def _abort_if_stuck(self, viewer: Viewer, now: float) -> None:
        if viewer.stuck_for(now) > self.settings.stuck_s or viewer.unread > MOST_UNREAD + self._room[viewer.binary]:
            self.leave(viewer)
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
        frame = self._newest if self._of is hello else None  # else it is of the community before
        if frame is not None:
            payload = frame.binary if viewer.binary else frame.json
            viewer.send(Prepared(payload, framed(BINARY if viewer.binary else TEXT, payload), not viewer.binary))
        self.viewers[viewer] = None
        viewer.watch(self._admit, self._room[viewer.binary])
        self._admit(viewer)
        self._count()

    def leave(self, viewer: Viewer) -> None:
        """It is gone."""
        self.viewers.pop(viewer, None)
        self._admit(viewer)
        self._count()

    def _count(self) -> None:
        for binary in self._watching:
            self._watching[binary] = sum(viewer.binary == binary for viewer in self.viewers)
        self.meters.viewers.labels("grid").set(len(self.viewers))
