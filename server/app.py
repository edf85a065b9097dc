"""The FastAPI application: its parts, its middleware, its beginning and end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from server import __version__, errors, pages
from server.admission import Admission
from server.archive import Archive
from server.context import Context, Part
from server.engine import Engine
from server.hub import Hub
from server.metrics import Meters
from server.policies import Policies
from server.routes import catalog, editing, jobs, recordings, simulation, sockets, status, training
from server.scenarios import Scenarios
from server.security import Guard
from server.settings import Settings
from server.status import status_message

PARTS: tuple[Part, ...] = (
    status.PART, sockets.PART, recordings.PART, jobs.PART, training.PART, simulation.PART, catalog.PART, editing.PART,
    pages.PART,
)  # fmt: skip
"""Every part of the server, in the order they start, and against which they stop: one for each module with routes.

What sees frames (`engine.subscribe`) starts before `simulation.PART`, so that it sees the first and the end.
"""


def make_context(settings: Settings) -> Context:
    """The server's insides; nothing runs yet.

    Raises:
        ConfigError: there is no checkpoint where the settings say.
    """
    meters, scenarios = Meters(), Scenarios(settings.scenarios_dir)
    policies = Policies(settings.runs_dir, settings.checkpoint)
    hub = Hub(settings, meters, status=lambda: status_message(context), hello=lambda: context.engine.hello)
    engine = Engine(settings, scenarios, policies, hub)
    archive = Archive.of(settings, scenarios, policies)
    context = Context(settings, engine, hub, scenarios, policies, meters, Admission(settings), archive)
    return context


def create_app(settings: Settings | None = None, context: Context | None = None) -> FastAPI:
    """The application of one server; uvicorn runs it (`python -m server`).

    Args:
        settings: None reads the environment.
        context: None makes one from the settings.
    """
    context = context or make_context(settings or Settings())  # type: ignore[call-arg]

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for part in PARTS:
                if part.lifespan is not None:
                    await stack.enter_async_context(part.lifespan(context))
            yield

    app = FastAPI(
        title="smartgrid-marl", version=__version__, summary="A live community of prosumers.",
        description="WebSocket messages: `/api/schema`, and docs/websocket.md. Errors have one shape, `ErrorBody`.",
        docs_url=None, redoc_url=None, openapi_url="/api/openapi.json", lifespan=lifespan,
        root_path=context.settings.root_path, responses=errors.RESPONSES,
    )  # fmt: skip
    app.state.context = context
    errors.install(app)
    for part in PARTS:
        app.include_router(part.router)
    app.mount("/web", pages.Pages(context.settings.web_dir))
    app.add_middleware(Guard, admission=context.admission, meters=context.meters)
    if context.settings.origins:  # around the guard: a page of a named origin may read why it was refused
        app.add_middleware(
            CORSMiddleware, allow_origins=context.settings.origins, allow_methods=["*"],
            allow_headers=["authorization", "content-type"],
        )  # fmt: skip
    if context.settings.token is not None:
        _declare_token(app)
    return app


def _declare_token(app: FastAPI) -> None:
    """Say in the OpenAPI that every route but /healthz takes the Bearer token."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        schema = plain()
        schema.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"token": []}]
        schema["paths"]["/healthz"]["get"]["security"] = []
        return schema

    app.openapi = openapi
