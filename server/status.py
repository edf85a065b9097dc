"""The status of the server, as REST answers it and viewers hear it."""

from __future__ import annotations

import time
from typing import Any

from server import __version__
from server.context import Context
from server.frames import utc_now
from server.wire import Progress, Status, StatusBody

_STARTED = time.monotonic()


def status_body(context: Context) -> StatusBody:
    """What is true now."""
    engine = context.engine
    now = engine.snapshot
    return StatusBody(
        state=engine.state, run=now.run, speed=now.speed, weights=now.weights,
        progress=Progress(
            step=now.step, episode=now.episode, sim_time=now.sim_time, steps_per_s=engine.steps_per_s
        ),
        perturbations=list(now.perturbations), warnings=engine.warnings, viewers=len(context.hub.viewers),
        dropped_frames=context.hub.dropped, uptime_s=round(time.monotonic() - _STARTED, 1), version=__version__,
    )  # fmt: skip


def status_message(context: Context) -> dict[str, Any]:
    """The WebSocket message."""
    return Status(type="status", timestamp=utc_now(), **status_body(context).model_dump()).model_dump()
