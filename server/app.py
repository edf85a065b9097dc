"""The FastAPI application: its parts, its middleware, its beginning and end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from server import __version__, errors
from server.context import Context, Part
from server.settings import Settings

PARTS: tuple[Part, ...] = ()
"""Every part of the server, in the order they start: one line for each module with routes."""


def create_app(settings: Settings | None = None, context: Context | None = None) -> FastAPI:
    """The application of one server; uvicorn runs it (`python -m server`).

    Args:
        settings: None reads the environment.
        context: None makes one from the settings.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for part in PARTS:
                if part.lifespan is not None:
                    await stack.enter_async_context(part.lifespan(app.state.context))
            yield

    app = FastAPI(
        title="smartgrid-marl", version=__version__, summary="A live community of prosumers.",
        docs_url=None, redoc_url=None, openapi_url="/api/openapi.json", lifespan=lifespan,
        responses=errors.RESPONSES,
    )  # fmt: skip
    app.state.context = context
    app.state.settings = settings or Settings()
    errors.install(app)
    for part in PARTS:
        app.include_router(part.router)
    return app
