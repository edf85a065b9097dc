"""`/`, `/api/status`, `/api/agents`, `/api/schema`, `/healthz`, `/metrics`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from server import __version__
from server.context import Part, Shared
from server.status import status_body
from server.wire import SCHEMA, Agent, HelloAgent, StatusBody, schemas

router = APIRouter(tags=["status"])


class Health(BaseModel):
    """For load balancers; no token needed."""

    status: str = Field(description="ok, or what is wrong.")
    version: str


class Root(BaseModel):
    """Where everything is."""

    name: str
    version: str
    schema_version: str
    page: str
    openapi: str
    websocket: str
    status: StatusBody


class AgentInfo(HelloAgent):
    """A prosumer: what it has, and its newest step."""

    now: Agent | None = Field(description="The newest step; null before the first.")


@router.get("/", response_model=Root)
async def root(request: Request, shared: Shared) -> Any:
    """The status as JSON; a browser, which asks for HTML, is sent to the page."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(f"{shared.settings.root_path}/web/", 307)
    return Root(
        name="smartgrid-marl", version=__version__, schema_version=SCHEMA, page="/web/", openapi="/api/openapi.json",
        websocket="/ws/grid", status=status_body(shared),
    )  # fmt: skip


@router.get("/api/status")
async def status(shared: Shared) -> StatusBody:
    """State of the simulation, what runs, how far it is, who watches."""
    return status_body(shared)


@router.get("/api/agents")
async def agents(shared: Shared) -> list[AgentInfo]:
    """The prosumers of the community, with their newest step."""
    frame = shared.engine.newest
    now: list[Any] = frame.data["agents"] if frame else []
    fixed = shared.engine.hello["agents"]
    if len(now) != len(fixed):
        now = [None] * len(fixed)
    return [AgentInfo(**agent, now=step) for agent, step in zip(fixed, now, strict=True)]


@router.get("/api/frame", responses={204: {"description": "No step was taken yet."}}, response_model=None)
async def frame(shared: Shared) -> Response:
    """The newest frame, as `/ws/grid` sends it."""
    newest = shared.engine.newest
    return Response(status_code=204) if newest is None else Response(newest.json, media_type="application/json")


@router.get("/api/schema")
async def schema() -> dict[str, Any]:
    """JSON Schema of every WebSocket message, by its `type`."""
    return schemas()


@router.get("/healthz")
async def healthz(shared: Shared) -> Health:
    """Whether the server and its simulation thread are alive."""
    alive = shared.engine.alive
    body = Health(status="ok" if alive else "the simulation thread is dead", version=__version__)
    return body if alive else JSONResponse(body.model_dump(), 503)  # type: ignore[return-value]


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(shared: Shared) -> Response:
    """For Prometheus."""
    shared.meters.running.set(shared.engine.state == "running")
    return Response(shared.meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


PART = Part(router)
