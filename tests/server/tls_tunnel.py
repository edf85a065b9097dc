"""TLS for a blocking client, done by one thread alone.

The blocking client of websockets reads in one thread and writes in another; on one TLS connection, which OpenSSL does
not allow, one handshake in some hundreds never ends where the machine is busy.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from contextlib import suppress


def tls_tunnel(host: str, port: int, context: ssl.SSLContext) -> socket.socket:
    """A socket whose bytes go to host and port through TLS; it ends when either side closes."""
    ours, theirs = socket.socketpair()
    threading.Thread(target=lambda: asyncio.run(_carry(theirs, host, port, context)), daemon=True).start()
    return ours


async def _carry(plain: socket.socket, host: str, port: int, context: ssl.SSLContext) -> None:
    near = await asyncio.open_connection(sock=plain)
    try:
        far = await asyncio.open_connection(host, port, ssl=context)
    except OSError:
        near[1].close()
        return
    await asyncio.gather(_pump(near[0], far[1]), _pump(far[0], near[1]))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end; TLS knows no half-closed connection, so the end is that of both ways."""
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()
