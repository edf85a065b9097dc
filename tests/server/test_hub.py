"""The broadcast alone: who gets a frame, who loses it, and what a viewer that joins is told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from server.hub import LEAST_ROOM, Hub, room_for
from server.metrics import Meters
from server.protocol import EXTENSION
from server.settings import Settings
from server.sinks import LiveFrame
from server.viewer import Viewer


class _Connection:
    """What `Viewer` needs of the protocol and its transport: it keeps what is written and may be read by nobody."""

    def __init__(self, reads: bool = True):
        self.reads, self.room, self.unread = reads, LEAST_ROOM, 0
        self.wires: list[bytes] = []
        self.watcher: Any = None
        self.is_open, self.transport = True, self

    @property
    def is_full(self) -> bool:
        return self.unread > self.room

    def write(self, wire: bytes) -> None:
        self.wires.append(wire)
        self.unread += 0 if self.reads else len(wire)
        if self.is_full and self.watcher:
            self.watcher()

    def read_all(self) -> None:
        self.unread = 0
        self.watcher()

    def get_write_buffer_size(self) -> int:
        return self.unread

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        self.room = high

    def abort(self) -> None:
        self.is_open = False

    @property
    def steps(self) -> list[int]:
        """Steps of the frames it got."""
        told = [json.loads(wire[wire.index(b"{") :]) for wire in self.wires]
        return [message["step"] for message in told if message["type"] == "frame"]


class _Socket:
    def __init__(self, connection: _Connection):
        self.scope = {"extensions": {EXTENSION: connection}}


HELLO: dict[str, Any] = {"type": "hello", "run": 1}


def hub_of(hello: list[dict[str, Any]]) -> Hub:
    settings = Settings()  # type: ignore[call-arg]
    return Hub(settings, Meters(), status=lambda: {"type": "status"}, hello=lambda: hello[0])


def join(hub: Hub, reads: bool = True) -> _Connection:
    connection = _Connection(reads)
    hub.join(Viewer(_Socket(connection), binary=False))  # type: ignore[arg-type]
    return connection


def frame(step: int, size: int = 0) -> LiveFrame:
    return LiveFrame({"type": "frame", "step": step, "more": "x" * size}, 0.0, bytes)


def test_who_is_full_loses_frames_and_nobody_else_is_counted() -> None:
    hub = hub_of([HELLO])
    deaf, slow, quick = join(hub, reads=False), join(hub), join(hub)
    size = LEAST_ROOM // 2 - 1000  # two of them are all that may be unread
    for step in range(3):
        hub._broadcast(frame(step, size))
    assert (deaf.steps, quick.steps, hub.dropped) == ([0, 1, 2], [0, 1, 2], 0)
    slow.reads, slow.unread = False, LEAST_ROOM - 10  # the next frame fills it, and it gets that one
    hub._broadcast(frame(3, size))
    assert (deaf.steps[-1], slow.steps[-1], quick.steps[-1], hub.dropped) == (2, 3, 3, 1)
    hub._broadcast(frame(4, size))
    assert (slow.steps[-1], quick.steps[-1], hub.dropped) == (3, 4, 3)
    slow.read_all()
    hub._broadcast(frame(5, size))
    assert (deaf.steps[-1], slow.steps[-1], quick.steps[-1], hub.dropped) == (2, 5, 5, 4)


def test_room_grows_with_the_frames_of_a_community_and_begins_anew_with_another() -> None:
    hello = [HELLO]
    hub = hub_of(hello)
    viewer = join(hub)
    sizes = (100_000, 60_000, 100_000)
    rooms = []
    for size in sizes:
        hub._broadcast(frame(0, size))
        rooms.append(viewer.room)
    assert rooms == [room_for(100_030)] * 3
    hello[0] = HELLO | {"run": 2}
    hub.begin(hello[0])
    hub._deliver()
    assert viewer.room == LEAST_ROOM


def test_who_joins_gets_the_newest_frame_once_and_none_of_another_community() -> None:
    async def test() -> None:
        hello = [HELLO]
        hub = hub_of(hello)
        hub.open(asyncio.get_running_loop())
        hub.begin(hello[0])
        hub.frame(frame(1))
        early = join(hub)  # the frame is under way
        await asyncio.sleep(0)
        assert early.steps == [1]
        assert join(hub).steps == [1]
        hello[0] = HELLO | {"run": 2}  # published before the hub hears of it
        assert join(hub).steps == []
        hub.begin(hello[0])
        assert join(hub).steps == []
        await asyncio.sleep(0)
        assert join(hub).steps == []

    asyncio.run(test())
