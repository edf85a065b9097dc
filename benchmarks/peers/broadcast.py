"""One frame serialised and sent to every client by `websockets.broadcast`: python broadcast.py FRAME.json HZ"""

import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import orjson
import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

clients: set[ServerConnection] = set()


async def watched(connection: ServerConnection) -> None:
    """Keep a client until it leaves."""
    clients.add(connection)
    try:
        await connection.wait_closed()
    finally:
        clients.discard(connection)


async def main() -> None:
    """Send for ever."""
    frame, period = orjson.loads(Path(sys.argv[1]).read_bytes()), 1 / float(sys.argv[2])
    async with serve(watched, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        due = time.monotonic()
        while True:
            due += period
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if clients:
                frame["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
                broadcast(clients, orjson.dumps(frame).decode())


uvloop.run(main())
