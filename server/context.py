"""What the parts of the server share, and how a part joins it.

A part is a module with routes, and, where it holds something open, an async context manager entered when the server
starts and left, in the opposite order, when it stops. List it in `server.app.PARTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

from fastapi import APIRouter, Depends
from starlette.requests import HTTPConnection

from server.settings import Settings

if TYPE_CHECKING:
    from server.admission import Admission
    from server.archive import Archive
    from server.engine import Engine
    from server.hub import Hub
    from server.metrics import Meters
    from server.policies import Policies
    from server.scenarios import Scenarios


@dataclass
class Context:
    """One server."""

    settings: Settings
    engine: Engine  # the simulation: `engine.subscribe(sink)` sees every frame, `engine.warn` tells people
    hub: Hub  # viewers of /ws/grid
    scenarios: Scenarios  # by name: shipped, and saved by users in settings.scenarios_dir
    policies: Policies  # by name: controllers, shipped policies, runs in settings.runs_dir
    meters: Meters  # Prometheus
    admission: Admission  # who may, how often
    archive: Archive  # recordings, comparisons, uploads, training


class Part(NamedTuple):
    """Routes, and what to hold open while the server runs."""

    router: APIRouter
    lifespan: Callable[[Context], AbstractAsyncContextManager[None]] | None = None


async def get_context(connection: HTTPConnection) -> Context:
    """The server a request or WebSocket came to; async, as others are run on a thread each time."""
    return connection.app.state.context


Shared = Annotated[Context, Depends(get_context)]
"""Parameter type of a route that needs the server: `async def route(shared: Shared)`."""
