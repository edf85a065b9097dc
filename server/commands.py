"""Commands by name: the same for REST and WebSocket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from server.context import Context
from server.errors import ApiError, as_api_error
from server.requests import COMMANDS
from server.status import status_body
from server.wire import StatusBody


async def execute(context: Context, command: str, body: BaseModel) -> StatusBody:
    """Do a command and say how things are after it.

    Raises:
        ApiError: it cannot be done; nothing changed.
    """
    engine, given = context.engine, dict(body)
    if command in ("start", "step", "perturb"):
        await getattr(engine, command)(body)
    elif command == "speed":
        await engine.set_speed(given["speed"])
    elif command == "weights":
        await engine.set_weights(body)  # type: ignore[arg-type]
    elif command in ("stop", "pause", "resume", "reset"):
        await getattr(engine, command)()
    elif command not in ("status", "ping"):
        raise ApiError(404, "not_found", f"unknown command {command!r}: known are {', '.join(COMMANDS)}", "command")
    return status_body(context)


def parse(command: str, arguments: Mapping[str, Any]) -> BaseModel:
    """Arguments of a WebSocket command.

    Raises:
        ApiError: 422, naming the first faulty field.
    """
    try:
        return COMMANDS[command].validate_python(dict(arguments))
    except ValidationError as error:
        raise as_api_error(error) from None
