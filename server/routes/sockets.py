"""`/ws/grid` and `/ws/training`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
from fastapi import APIRouter
from pydantic import ValidationError
from starlette.websockets import WebSocket

from server import sessions, training_feed
from server.commands import execute, parse
from server.context import Context, Part, Shared
from server.errors import ApiError, as_api_error
from server.requests import COMMANDS
from server.viewer import Viewer
from server.wire import BINARY, SCHEMA, Ack, Auth, Command, Error

router = APIRouter()
PATIENCE = 50  # messages in a row that could not be taken before the viewer is disconnected


@router.websocket("/ws/grid")
async def grid(socket: WebSocket, shared: Shared) -> None:
    """The live community."""
    with suppress(sessions.Closed):
        async with sessions.admitted(socket, shared, (BINARY, SCHEMA)) as protocol:
            session = _Session(Viewer(socket, protocol == BINARY), shared)
            try:
                await session.run()
            finally:
                session.end()


class _Session:
    """One viewer's commands, in their order; a start goes on beside them."""

    def __init__(self, viewer: Viewer, context: Context):
        self.viewer, self.context = viewer, context
        self._client = f"{context.admission.client(viewer.socket)}#{id(self)}"
        self._start: asyncio.Task[None] | None = None
        self._faults = 0

    async def run(self) -> None:
        self.context.hub.join(self.viewer)
        while True:
            try:
                data = sessions.parse_object(await sessions.receive_text(self.viewer.socket))
            except ApiError as error:
                self._answer_error(None, None, error)
                await self._lose_patience(error)
                continue
            await self._take(data)

    def end(self) -> None:
        self.context.hub.leave(self.viewer)

    def _limit(self) -> None:
        if not self.context.admission.limits.take("command", self._client):
            raise ApiError(429, "too_many_requests", f"more than {self.context.settings.command_limit} commands")

    async def _lose_patience(self, error: ApiError) -> None:
        self._faults += 1
        if self._faults >= PATIENCE:
            code = sessions.TOO_MANY if error.status == 429 else sessions.MALFORMED
            await sessions.close(self.viewer.socket, code, error.message)
            raise sessions.Closed

    async def _take(self, data: dict[str, Any]) -> None:
        """One message of the viewer."""
        id = data.get("id")
        shown = id if isinstance(id, str | int) and not isinstance(id, bool) and len(str(id)) <= 64 else None
        name = data.get("command") if isinstance(data.get("command"), str) else None
        try:
            self._limit()
            if data.get("type") == "auth":  # nothing to prove any more
                Auth.model_validate(data)
                return
            command = _command(data)
            body = parse(command.command, command.arguments)
        except (ApiError, ValidationError) as error:
            api = as_api_error(error)
            self._answer_error(shown, name if name in COMMANDS else None, api)
            await self._lose_patience(api)
            return
        self._faults = 0
        done = self._execute(command, body)
        if command.command == "start" and (self._start is None or self._start.done()):
            self._start = asyncio.create_task(done)  # takes seconds; what else the viewer says is heard meanwhile
        else:
            await done

    async def _execute(self, command: Command, body: Any) -> None:
        try:
            status = await execute(self.context, command.command, body)
        except Exception as error:
            self._answer_error(command.id, command.command, as_api_error(error))
            return
        self.context.meters.commands.labels(command.command, "ack").inc()
        ack = Ack(type="ack", id=command.id, command=command.command, status=status)
        self.viewer.send_json(ack.model_dump())

    def _answer_error(self, id: str | int | None, command: str | None, error: ApiError) -> None:
        self.context.meters.commands.labels(command or "unknown", error.code).inc()
        detail = error.body()
        message = Error(type="error", id=id, command=command, error=detail["error"], details=detail.get("details"))
        self.viewer.send_json(message.model_dump())


def _command(data: dict[str, Any]) -> Command:
    if data.get("type") != "command":
        said = f"type = {str(data['type'])[:40]!r}" if "type" in data else "type is missing"
        raise ApiError(422, "invalid", f"{said}: expected 'command' or 'auth'", "type")
    return Command.model_validate(data)


@router.websocket("/ws/training")
async def training(socket: WebSocket, shared: Shared) -> None:
    """A training run's metrics as they are written; `?run=NAME`, or the newest run."""
    with suppress(sessions.Closed):
        async with sessions.admitted(socket, shared, (SCHEMA,)):
            try:
                run = socket.query_params.get("run")
                feed = await asyncio.to_thread(training_feed.Feed.find, shared.settings.runs_dir, run)
            except (ApiError, OSError) as error:
                api = as_api_error(error)
                message = Error(type="error", id=None, command=None, error=api.body()["error"]).model_dump()
                await socket.send_text(orjson.dumps(message).decode())
                await sessions.close(socket, sessions.NO_SUCH_RUN, api.message)
                raise sessions.Closed from None
            await _follow(socket, shared, feed)


async def _follow(socket: WebSocket, context: Context, feed: training_feed.Feed) -> None:
    """Send what is new until the viewer goes; one that reads nothing is cut off."""
    viewer, gone = Viewer(socket, binary=False), asyncio.create_task(_until_closed(socket))
    context.meters.viewers.labels("training").inc()
    try:
        beat = 0.0
        async for messages in feed.follow():
            for message in messages:
                async with asyncio.timeout(context.settings.stuck_s):
                    await socket.send_text(orjson.dumps(message).decode())
            now = asyncio.get_running_loop().time()
            if now - beat >= context.settings.heartbeat_s:
                beat = now
                viewer.send_json(feed.heartbeat())
            done, _ = await asyncio.wait({gone}, timeout=training_feed.POLL_S)
            if done:
                return
    except TimeoutError:
        viewer.abort()
    finally:
        context.meters.viewers.labels("training").dec()
        gone.cancel()


async def _until_closed(socket: WebSocket) -> None:
    """Read and ignore; returns when the viewer is gone."""
    with suppress(sessions.Closed):
        while True:
            with suppress(ApiError):
                await sessions.receive_text(socket)


@asynccontextmanager
async def _beating(context: Context) -> AsyncIterator[None]:
    context.hub.open(asyncio.get_running_loop())
    task = asyncio.create_task(context.hub.heartbeat())
    yield
    task.cancel()


PART = Part(router, _beating)
