"""`/api/simulation/…`: what the WebSocket's commands do, over REST. Each answers the status after it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter

from server.commands import execute
from server.context import Context, Part, Shared
from server.errors import ApiError
from server.requests import NoBody, PerturbBody, SpeedBody, StartBody, StepBody, WeightsBody
from server.wire import StatusBody

log = logging.getLogger("server.simulation")
router = APIRouter(prefix="/api/simulation", tags=["simulation"])


@router.post("/start")
async def start(shared: Shared, body: StartBody | None = None) -> StatusBody:
    """Begin a community. 409 with what runs, unless `replace`; 404 and 422 for a scenario or policy that cannot."""
    return await execute(shared, "start", body or StartBody())


@router.post("/stop")
async def stop(shared: Shared) -> StatusBody:
    """End the run; without one nothing happens."""
    return await execute(shared, "stop", NoBody())


@router.post("/pause")
async def pause(shared: Shared) -> StatusBody:
    """Running → paused."""
    return await execute(shared, "pause", NoBody())


@router.post("/resume")
async def resume(shared: Shared) -> StatusBody:
    """Paused → running."""
    return await execute(shared, "resume", NoBody())


@router.post("/step")
async def step(shared: Shared, body: StepBody | None = None) -> StatusBody:
    """Single steps while paused."""
    return await execute(shared, "step", body or StepBody())


@router.post("/reset")
async def reset(shared: Shared) -> StatusBody:
    """Begin the run again at its first step, with the same seed."""
    return await execute(shared, "reset", NoBody())


@router.post("/speed")
async def speed(shared: Shared, body: SpeedBody) -> StatusBody:
    """Steps a second, or as fast as possible."""
    return await execute(shared, "speed", body)


@router.post("/weights")
async def weights(shared: Shared, body: WeightsBody) -> StatusBody:
    """Change reward and stability weights while the community runs."""
    return await execute(shared, "weights", body)


@router.post("/perturb")
async def perturb(shared: Shared, body: PerturbBody) -> StatusBody:
    """Cause a cloud, an outage, a price spike, a surge of demand, or open a branch."""
    return await execute(shared, "perturb", body)


@asynccontextmanager
async def _running(context: Context) -> AsyncIterator[None]:
    engine, settings = context.engine, context.settings
    engine.open()
    task = asyncio.create_task(_autostart(context)) if settings.autostart else None
    yield
    if task is not None:
        task.cancel()
    await engine.close()


async def _autostart(context: Context) -> None:
    body = StartBody(seed=context.settings.seed)
    try:
        await context.engine.start(body, autostarted=True)
    except ApiError as error:
        if error.status != 409:  # a client was faster
            context.engine.warn("autostart", f"nothing runs yet: {error.message}")
            log.error("autostart: %s", error.message)


PART = Part(router, _running)
