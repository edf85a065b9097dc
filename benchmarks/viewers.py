"""Many viewers of a WebSocket in one cheap process: they read, count and time what comes, and parse almost nothing.

`python -m benchmarks.viewers --port P --count N --seconds S` connects, says "ready", begins when its input has a line,
prints one JSON object, and leaves when its input ends. One loop over `epoll` reads all connections; a message is found
by its header, and its latency by the timestamp in it.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import select
import socket
import sys
import time
from datetime import datetime
from typing import Any

import numpy as np

ISO = re.compile(rb'"timestamp":"([^"]{20,32})"')
TIMED = 16  # every so many-th viewer's messages are timed
WARM_UP_S = 1.0  # messages that waited for a reader come first, and do not count
PING, PONG = 9, 10  # opcodes
SMALLEST = 1000  # bytes of a frame; shorter messages are greetings and heartbeats


class Connection:
    """A client's socket after its handshake."""

    def __init__(self, port: int, path: str, deaf: bool = False):
        self.socket = socket.socket()
        self.socket.settimeout(60)
        if deaf:  # else the system's buffers swallow seconds of frames, and a server sees no slow viewer
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", "",
        )  # fmt: skip
        self.socket.sendall("\r\n".join(lines).encode())
        self.unread = b""
        while b"\r\n\r\n" not in self.unread:
            if not (chunk := self.socket.recv(65536)):
                raise ConnectionError(f"the server hung up during the handshake: {self.unread[:200]!r}")
            self.unread += chunk
        head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise ConnectionError(head.split(b"\r\n")[0].decode())

    def messages(self) -> list[tuple[int, bytes]]:
        """Opcode and payload of every whole message in what has been read so far."""
        found, at, data = [], 0, self.unread
        while len(data) - at >= 2:
            length, head = data[at + 1] & 0x7F, 2
            if length == 126:
                length, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
            elif length == 127:
                length, head = int.from_bytes(data[at + 2 : at + 10], "big"), 10
            if len(data) < at + head + length:
                break
            found.append((data[at] & 0x0F, data[at + head : at + head + length]))
            at += head + length
        self.unread = data[at:]
        return found

    def pong(self, payload: bytes) -> None:
        """Answer a ping, as a browser does: a server drops who leaves it waiting for longer than some 20 s."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[k % 4] for k, byte in enumerate(payload))  # at most 125 bytes, says RFC 6455
        self.socket.send(bytes((0x80 | PONG, 0x80 | len(payload))) + mask + masked)


def watch(connections: list[Connection], seconds: float, deaf: int) -> dict[str, Any]:
    """Read for so long; the first `deaf` connections never read."""
    poll, by_number = select.epoll(), {}
    for connection in connections[deaf:]:
        connection.socket.setblocking(False)
        by_number[connection.socket.fileno()] = connection
        poll.register(connection.socket, select.EPOLLIN)
    timed = {number for k, number in enumerate(by_number) if k % TIMED == 0}
    count, last = dict.fromkeys(by_number, 0), dict.fromkeys(by_number, 0.0)
    gaps, latencies, size, lost = dict.fromkeys(by_number, 0.0), [], 0, 0
    begin = time.monotonic() + WARM_UP_S
    while (now := time.monotonic()) < begin + seconds:
        for number, _ in poll.poll(0.1):
            connection = by_number[number]
            try:
                chunk = connection.socket.recv(1 << 18)
            except BlockingIOError:
                continue
            if not chunk:
                lost += 1
                poll.unregister(number)
                continue
            connection.unread += chunk
            for opcode, payload in connection.messages():
                if opcode == PING:
                    connection.pong(payload)
                if opcode not in (1, 2) or len(payload) < SMALLEST:
                    continue
                if (now := time.monotonic()) < begin:
                    continue
                count[number] += 1
                size += len(payload)
                if last[number]:
                    gaps[number] = max(gaps[number], now - last[number])
                last[number] = now
                if number in timed and (stamp := ISO.search(payload)) is not None:
                    created = datetime.fromisoformat(stamp.group(1).decode()).timestamp()
                    latencies.append(time.time() - created)
    counts = np.array(list(count.values()))
    taken = time.monotonic() - begin
    return {
        "messages": int(counts.sum()), "seconds": taken, "bytes_per_message": size / max(1, counts.sum()), "lost": lost,
        "least_of_a_viewer": int(counts.min()), "most_of_a_viewer": int(counts.max()),
        "worst_gap_s": max(gaps.values()),
        "latency_ms": {f"p{p}": float(np.percentile(latencies, p)) * 1e3 for p in (50, 99, 100)} if latencies else None,
    }  # fmt: skip


def main() -> int:
    """Connect, wait for the word, watch, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/ws/grid")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--deaf", type=int, default=0)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    kinds = [True] * options.deaf + [False] * options.count
    connections = [Connection(options.port, options.path, deaf) for deaf in kinds]
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(watch(connections, options.seconds, options.deaf)), flush=True)
    sys.stdin.readline()  # stay, deaf ones too, until the server's open files are counted
    return 0


if __name__ == "__main__":
    sys.exit(main())
