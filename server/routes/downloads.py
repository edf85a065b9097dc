"""Answers that are files, sent as they are made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.responses import StreamingResponse


async def streamed(parts: Iterator[bytes], media_type: str, file_name: str | None = None) -> StreamingResponse:
    """An answer of parts made one by one off the event loop; what fails at the first is told in the error shape."""
    first = await run_in_threadpool(next, parts, b"")

    async def body() -> AsyncIterator[bytes]:
        yield first
        async for part in iterate_in_threadpool(parts):
            yield part

    return StreamingResponse(body(), media_type=media_type, headers=attachment(file_name) if file_name else None)


def attachment(file_name: str) -> dict[str, str]:
    """Headers that make a browser save the answer; the name is ours: letters, digits, dots and dashes."""
    return {"content-disposition": f'attachment; filename="{file_name}"'}


def content(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: the answer is a file of one of these types."""
    schemas = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media_types}
    return {200: {"description": "The file.", "content": schemas}}
