"""What goes wrong, in one shape: `{"error": {"code", "message", "field"}}`, over REST and WebSocket alike.

Raise `ApiError` anywhere below a route or a command. A `UserError` of the core (a scenario or policy that cannot be
used) becomes 422 with its own message; anything else becomes 500 without a word about the inside.
"""

from __future__ import annotations

import errno
import logging
import re
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from smartgrid_core.errors import UserError

log = logging.getLogger("server.errors")


class ErrorDetail(BaseModel):
    """What went wrong, for programs and for people."""

    code: str = Field(description="Stable word for programs: conflict, not_found, invalid, does_not_fit, …")
    message: str = Field(description="For people: the value, what was expected, what to do.")
    field: str | None = Field(default=None, description="Path of the field at fault, e.g. `speed` or `weights.cost`.")


class ErrorBody(BaseModel):
    """Body of every answer with a status of 400 or more."""

    error: ErrorDetail
    details: dict[str, Any] | None = Field(
        default=None, description="More for programs: what is running (conflict), the faults by row (upload)."
    )


class ApiError(Exception):
    """A request that cannot be served.

    Args:
        status: HTTP status, 400 or more.
        code: stable word for programs.
        message: names the value, what was expected and what to do.
        field: path of the field at fault.
        details: further JSON, beside the error.
        headers: further headers of an HTTP answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        field: str | None = None,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.status, self.code, self.message, self.field = status, code, message, field
        self.details = None if details is None else dict(details)
        self.headers = None if headers is None else dict(headers)

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        out: dict[str, Any] = {"error": {"code": self.code, "message": self.message, "field": self.field}}
        if self.details is not None:
            out["details"] = self.details
        return out


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "The request cannot be served; the body says why."},
    "5XX": {"model": ErrorBody, "description": "The server failed; the body has a number to find in its log."},
}
"""For FastAPI: every route answers errors in this shape."""

_PATH = re.compile(r"(?<![\w.:/])(?:~|/[\w.+@-]+|[A-Za-z]:\\[\w.+@-]+)(?:[/\\][\w.+@-]+)+")


def scrub(message: str) -> str:
    """A message without the folders of this machine: of absolute paths the last part stays."""
    return _PATH.sub(lambda match: re.split(r"[/\\]", match[0])[-1], message)


def as_api_error(error: BaseException) -> ApiError:
    """Any exception as what a client may know of it; the unexpected is logged under a number."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, UserError):
        return ApiError(422, "invalid", scrub(str(error)))
    if isinstance(error, RequestValidationError | ValidationError):
        return _of_validation(error.errors())
    if isinstance(error, HTTPException):
        return _of_status(error.status_code, error.detail, error.headers)
    if isinstance(error, OSError) and error.errno in (*_FULL, *_FORBIDDEN):
        log.error("a file cannot be used: %s", error)
        return _of_storage(error)
    number = uuid.uuid4().hex[:12]
    log.error("internal error %s", number, exc_info=error)
    return ApiError(500, "internal", f"internal error {number}; the server's log has it under this number")


_FULL, _FORBIDDEN = (errno.ENOSPC, errno.EDQUOT), (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


def _of_storage(error: OSError) -> ApiError:
    """A full disk or rights that lack: the operator can mend that, so the client learns what to ask for."""
    reason = (error.strerror or "unknown reason").lower()
    if error.errno in _FULL:
        message = f"the server has no room ({reason}): delete recordings or uploads, or ask its operator for more"
        return ApiError(507, "no_room", message)
    message = f"the server may not use a file it needs ({reason}): ask its operator, whose log names the file"
    return ApiError(503, "no_access", message)


_NO_FIELD = re.compile(
    r"(body|query|path|header|constrained-\w+|literal\[.*\]|float|int|str|bool|cloud|islanding|price_spike"
    r"|demand_surge|branch_outage)$"
)
"""Parts of a fault's place that name no field: where it was sent, and the members of a union."""


def _of_validation(faults: Any) -> ApiError:
    """The first fault of a body or query, and how many more there are."""
    first = faults[0]
    loc = [str(part) for part in first["loc"] if not _NO_FIELD.match(str(part))]
    if first["type"] == "json_invalid":
        return ApiError(400, "malformed", f"the body is not JSON: {first.get('ctx', {}).get('error', first['msg'])}")
    if first["type"].startswith("union_tag"):
        loc.append(first.get("ctx", {}).get("discriminator", "kind").strip("'"))
    message = first["msg"].removeprefix("Value error, ")
    shown, more = repr(first.get("input")), len(faults) - 1
    value = f" = {shown}" if first["type"] != "missing" and len(shown) <= 80 else ""
    field = ".".join(loc) or None
    rest = f" (and {more} more)" if more else ""
    return ApiError(422, "invalid", scrub(f"{field or 'body'}{value}: {message}{rest}"), field)


def _of_media_type(request: Request, error: Exception) -> ApiError | None:
    """A body that was not read as JSON because it was not said to be JSON, as curl -d sends one."""
    sent = request.headers.get("content-type", "")
    essence = sent.partition(";")[0].strip().lower()
    if not isinstance(error, RequestValidationError) or essence == "application/json" or essence.endswith("+json"):
        return None
    if not any(fault["loc"] == ("body",) and fault["type"] != "missing" for fault in error.errors()):
        return None
    said = f"content-type = {sent[:80]!r}" if sent else "the body has no content-type"
    return ApiError(
        415, "unsupported_media_type", f"{said}: send JSON, with the header content-type: application/json",
        "content-type",
    )  # fmt: skip


_CODES = {
    400: "malformed", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    409: "conflict", 413: "too_large", 415: "unsupported_media_type", 422: "invalid", 429: "too_many_requests",
    503: "unavailable",
}  # fmt: skip


def _of_status(status: int, detail: Any, headers: Mapping[str, str] | None) -> ApiError:
    text = detail if isinstance(detail, str) else HTTPStatus(status).phrase
    return ApiError(status, _CODES.get(status, "error"), scrub(text), headers=headers)


def _methods(request: Request) -> list[str]:
    """What a path can do, all of its routes together; Starlette's own answer knows the first alone."""
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE")
    documented = request.app.openapi()["paths"].get(request.scope["path"].removeprefix(request.app.root_path))
    if documented is not None:  # /api/data/upload is not a file called upload
        return [method for method in methods if method.lower() in documented]
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    return [m for m in methods if any(r.matches({**request.scope, "method": m})[0] == Match.FULL for r in routes)]


def install(app: FastAPI) -> None:
    """Answer errors of the app in the one shape; what is raised beyond them, `server.security.Guard` answers."""

    async def answer(request: Request, error: Exception) -> JSONResponse:
        api = _of_media_type(request, error) or as_api_error(error)
        if api.status == 405:
            api.headers = {"allow": ", ".join(_methods(request))}
        return JSONResponse(api.body(), api.status, headers=api.headers)

    for kind in (ApiError, UserError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer)
