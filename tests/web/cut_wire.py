"""A network between page and server that can be cut without anybody being told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Wire:
    """A port of this machine whose connections go on to another.

    Cut, it loses whatever is sent. Connections of then and before stay open and silent for good, even when it is
    mended: as where a router forgot them.

    Args:
        port: where connections go on to.
    """

    def __init__(self, port: int):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self.listener.getsockname()[1]
        self._whole: object | None = object()  # what living connections carry; None while it is cut
        self._open: list[socket.socket] = [self.listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """From now on nothing arrives."""
        self._whole = None

    def drop(self) -> None:
        """End all connections there are."""
        for end in self._open[1:]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """New connections work again."""
        self._whole = object()

    def close(self) -> None:
        """End everything."""
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near = self.listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self.target))
                self._open += [near, far]
                key = self._whole or object()
                for source, sink in ((near, far), (far, near)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._pump, args=(source, sink, key), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, key: object) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if key is self._whole:
                    sink.sendall(data)
            if key is self._whole:
                sink.shutdown(socket.SHUT_WR)


@contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """A wire for the length of a block."""
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.close()
