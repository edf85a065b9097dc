"""Who else sees the frames: the recorder plugs in here.

`engine.subscribe(sink)` returns a function that unsubscribes. A sink is called on the simulation thread, off the event
loop, in order and never twice at once: `begin` when a community starts (and after a reset), `frame` for every step (all
of them, also those no viewer gets), `end` when it stops, finishes, is replaced, or the server shuts down. What a sink
does takes time from the simulation: hand long work to a thread of its own. An exception is logged and shown as a
warning, and the simulation goes on; `engine.warn(code, message)` shows a warning, `engine.warn(code, None)` takes it
back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

import orjson

from server.wire import RunInfo


class LiveFrame:
    """One step: as Python values, and serialised once, when first asked for.

    Attributes:
        data: the message of `wire.Frame` as plain dicts, lists and numbers; not to be changed.
        created: `time.perf_counter()` at its creation.
    """

    def __init__(self, data: dict[str, Any], created: float, make_binary: Callable[[], bytes]):
        self.data, self.created, self._make_binary = data, created, make_binary

    @cached_property
    def json(self) -> bytes:
        """UTF-8 JSON."""
        return orjson.dumps(self.data)

    @cached_property
    def binary(self) -> bytes:
        """The same in the subprotocol grid.v1.f32."""
        return self._make_binary()

    @property
    def seq(self) -> int:
        """Running number of the step since the server started."""
        return self.data["seq"]


class Sink(Protocol):
    """Sees runs from beginning to end."""

    def begin(self, run: RunInfo, hello: dict[str, Any]) -> None:
        """A run begins. hello: the message of `wire.Hello` as plain values: agents, links, feeder."""
        ...

    def frame(self, run: RunInfo, frame: LiveFrame) -> None:
        """A step was taken."""
        ...

    def end(self, run: RunInfo, reason: str) -> None:
        """It is over: stopped, finished, replaced, reset, failed or shutdown."""
        ...
