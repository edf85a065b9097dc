"""The serving benchmark's viewers count every message once, whole, whatever its length."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest
from websockets.sync.server import ServerConnection, serve

from benchmarks import viewers

SIZES = (40, 1_200, 70_000)  # one for each form of a frame's header; the first is no frame of a community


def test_messages_are_counted_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewers, "WARM_UP_S", 0.2)

    def talk(connection: ServerConnection) -> None:
        time.sleep(0.5)  # the warm-up is over
        for _ in range(5):
            for size in SIZES:
                stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
                connection.send(f'{{"timestamp":"{stamp}"}}'.ljust(size))
        answered.append(connection.ping().wait(1.0))

    answered: list[bool] = []
    with serve(talk, "127.0.0.1", 0, compression=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connections = [viewers.Connection(server.socket.getsockname()[1], "/") for _ in range(3)]
        seen = viewers.watch(connections, 1.2, deaf=1)
        for connection in connections:
            connection.socket.close()
        server.shutdown()
    assert seen["messages"] == 2 * 5 * 2  # two who read, five rounds, two sizes that count
    assert seen["least_of_a_viewer"] == seen["most_of_a_viewer"] == 10
    assert seen["bytes_per_message"] == (1_200 + 70_000) / 2
    assert sorted(answered) == [False, True, True]  # a ping is answered by who reads
    assert seen["lost"] == 0
    assert 0 <= seen["latency_ms"]["p50"] < 1000
