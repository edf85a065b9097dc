"""Viewers that do not read: the others see every frame in time, and the connections are freed."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import time
from itertools import pairwise

from benchmarks.viewers import Connection
from server.hub import room_for
from server.protocol import TEXT, framed, websocket_class
from server.viewer import Prepared, Viewer
from tests.server.serving import PATIENCE_S, Serving, until, write_scenario


def deaf_viewer(server: Serving) -> socket.socket:
    """A viewer that shakes hands and never reads again."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", server.port))
    key = base64.b64encode(os.urandom(16)).decode()
    deaf.sendall(
        f"GET /ws/grid HTTP/1.1\r\nHost: localhost:{server.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert deaf.recv(12) == b"HTTP/1.1 101"
    return deaf


def meter(server: Serving, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", server.http("GET", "/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_deaf_viewers_are_cut_off_and_delay_nobody(server: Serving) -> None:
    write_scenario(server.data / "scenarios", "wide", agents=150, days=3, buses=20)
    server.start(scenario="wide", speed="max", policy="idle")
    before = meter(server, "smartgrid_viewers_aborted_total")
    with server.connect() as healthy:
        until(healthy, "frame")
        deaf = [deaf_viewer(server) for _ in range(3)]
        gaps, last, deadline = [], time.monotonic(), time.monotonic() + PATIENCE_S
        while meter(server, "smartgrid_viewers_aborted_total") < before + 3:
            for _ in range(10):
                until(healthy, "frame")
                now = time.monotonic()
                gaps.append(now - last)
                last = now
            assert time.monotonic() < deadline, "deaf viewers are still there"
        assert server.get("/api/status")["dropped_frames"] > 0
        assert server.get("/api/status")["viewers"] == 1
    server.post("/api/simulation/stop")
    gaps.sort()
    assert gaps[int(0.95 * len(gaps))] < 0.5, f"healthy viewers waited up to {gaps[-1]:.2f} s"
    for viewer in deaf:
        viewer.settimeout(PATIENCE_S)
        taken = 0
        try:
            while data := viewer.recv(1 << 16):
                taken += len(data)
        except ConnectionResetError:
            pass
        assert taken < 16 << 20, "what a deaf viewer holds is bounded"
        viewer.close()


def test_a_viewer_that_reads_again_goes_on_with_the_newest(server: Serving) -> None:
    write_scenario(server.data / "scenarios", "wide", agents=150, days=3, buses=20)
    server.start(scenario="wide", speed="max", policy="idle")
    slow = Connection(server.port, "/ws/grid", deaf=True)
    slow.socket.settimeout(PATIENCE_S)
    dropped, aborted = "smartgrid_frames_dropped_total", "smartgrid_viewers_aborted_total"
    before, seen = {name: meter(server, name) for name in (dropped, aborted)}, []
    while meter(server, dropped) < before[dropped] + 5:
        time.sleep(0.01)
    with server.connect() as other:
        newest = until(other, "frame")["step"]
    while not seen or seen[-1] < newest + 50:
        slow.unread += slow.socket.recv(1 << 18)
        messages = (json.loads(payload) for opcode, payload in slow.messages() if opcode == TEXT)
        seen += [message["step"] for message in messages if message["type"] == "frame"]
    server.post("/api/simulation/stop")
    slow.socket.close()
    gaps = [after - now for now, after in pairwise(seen)]
    assert min(gaps) > 0
    assert max(gaps) > 5, "what it missed is left out"
    assert meter(server, aborted) == before[aborted]


def test_room_changes_rarely() -> None:
    assert [room_for(size) for size in (1, 2_000, 40_000, 65_536, 70_000)] == [
        1 << 16,
        1 << 16,
        1 << 17,
        1 << 17,
        1 << 18,
    ]


def test_uvicorn_is_as_the_broadcast_expects() -> None:
    """If this fails, a new uvicorn has moved things: mend server.protocol; meanwhile sending is slower, not broken."""
    assert websocket_class() != "auto"


def test_frames_are_framed_as_the_standard_says() -> None:
    assert framed(TEXT, b"ab") == b"\x81\x02ab"
    assert framed(TEXT, b"x" * 126)[:4] == b"\x81\x7e\x00\x7e"
    assert framed(2, b"x" * 70_000)[:10] == b"\x82\x7f" + (70_000).to_bytes(8, "big")


class _Socket:
    """What the fallback needs of a Starlette WebSocket."""

    def __init__(self) -> None:
        self.scope: dict = {}
        self.sent: list[dict] = []
        self.blocked = False

    async def send(self, message: dict) -> None:
        if self.blocked:
            await _Never()
        self.sent.append(message)


class _Never:
    def __await__(self):
        yield None


def test_without_the_protocol_class_nobody_waits_either() -> None:
    socket = _Socket()
    viewer, frame = Viewer(socket, binary=False), Prepared(b"{}", framed(TEXT, b"{}"), True)  # type: ignore[arg-type]
    assert viewer.offer(frame, now=0.0)
    assert socket.sent == [{"type": "websocket.send", "text": "{}"}]
    socket.blocked = True
    assert not viewer.offer(frame, now=1.0)
    assert viewer.stuck_for(4.0) == 3.0
    socket.blocked = False
    assert viewer.offer(frame, now=5.0)
    assert viewer.stuck_for(9.0) == 0.0
