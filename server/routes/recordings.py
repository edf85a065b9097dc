"""`/api/recordings…`: past runs, found, read, replayed, exported."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, StreamingResponse

from server.context import Context, Part, Shared
from server.ids import ID
from server.recordings import Recorder, export
from server.recordings.events import EventKind
from server.recordings.models import (
    EventList,
    FramePage,
    Position,
    Recording,
    RecordingChange,
    RecordingList,
)
from server.recordings.recorder import RecorderStatus
from server.recordings.sink import RecordingSink
from server.recordings.store import parsed, wall_clock
from server.routes.downloads import attachment, content, streamed

main = APIRouter(prefix="/api", tags=["recordings"])
router = APIRouter(prefix="/recordings")
Id = Annotated[str, Path(alias="recording_id", pattern=ID, description="Id of a recording.")]
Number = Annotated[int, Field(ge=0, lt=2**53)]
First = Annotated[Number | None, Query(description="Number of the first frame; none: the oldest there is.")]
End = Annotated[Number | None, Query(description="Number before which to stop; none: all there are.")]
LONGEST_GAP_S = 2.0  # a pause of the run is not sat through again


class RecordingNow(BaseModel):
    """How recording stands."""

    state: Literal["idle", "recording", "stopped", "off"] = Field(
        description="stopped: it failed, see `warning`; off: by the server's settings."
    )
    recording: str | None = Field(description="Id of the recording being written.")
    written: int = Field(description="Frames of it on disk.")
    dropped: int = Field(description="Frames that came faster than they could be written.")
    warning: str | None = Field(description="What went wrong.")


@router.get("")
def recordings(
    shared: Shared,
    offset: Annotated[int, Query(ge=0, lt=2**31, description="How many to pass over.")] = 0,
    limit: Annotated[int, Query(ge=1, le=500, description="How many to return.")] = 100,
) -> RecordingList:
    """Recordings, the newest first."""
    return shared.archive.recordings.list(offset, limit)


@main.get("/recording")
def now(shared: Shared) -> RecordingNow:
    """Whether the run is being recorded, and what is wrong if it is not; a recording it names can be read."""
    status: RecorderStatus | None = shared.archive.recorder.settled() if shared.archive.recorder else None
    if status is None:
        return RecordingNow(state="off", recording=None, written=0, dropped=0, warning=None)
    return RecordingNow(**status._asdict())


@router.get("/{recording_id}")
def recording(shared: Shared, recording: Id) -> Recording:
    """A recording with the hello message and the configuration of its run."""
    return shared.archive.recordings.get(recording)


@router.patch("/{recording_id}")
def change(shared: Shared, recording: Id, body: RecordingChange) -> Recording:
    """Rename, pin, unpin."""
    return shared.archive.recordings.change(recording, body.name, body.pinned)


@router.delete("/{recording_id}", status_code=204, response_class=Response)
def delete(shared: Shared, recording: Id) -> None:
    """Remove it. 409 while it is being written."""
    shared.archive.recordings.delete(recording)


@router.get("/{recording_id}/frames", responses={200: {"model": FramePage}}, response_class=Response)
def frames(
    shared: Shared,
    recording: Id,
    first: First = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Frames at most; fewer where they are large.")] = 100,
) -> Response:
    """A page of frames as they were sent; `next` is the number to go on with."""
    begin, found, following = shared.archive.recordings.page(recording, first, limit)
    head = f'{{"recording":"{recording}","first":{begin},"next":{"null" if following is None else following},"frames":['
    return Response(head.encode() + b",".join(found) + b"]}", media_type="application/json")


@router.get("/{recording_id}/events")
def events(
    shared: Shared,
    recording: Id,
    kind: Annotated[EventKind | None, Query(description="Only these.")] = None,
    offset: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> EventList:
    """Outages, overloads, voltage violations and perturbations, with the frames they begin and end in."""
    return shared.archive.recordings.events(recording, kind, offset, limit)


@router.get("/{recording_id}/seek")
def seek(
    shared: Shared,
    recording: Id,
    step: Annotated[Number | None, Query(description="Step of the run.")] = None,
    sim_time: Annotated[
        str | None, Query(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$", description="Simulated time, ISO 8601.")
    ] = None,
    elapsed_s: Annotated[
        float | None, Query(ge=0, le=1e9, allow_inf_nan=False, description="Wall-clock time since it began.")
    ] = None,
) -> Position:
    """The first frame at or after a step, a simulated time or a moment; of several given, after the latest of them."""
    return shared.archive.recordings.seek(recording, step=step, sim_time=sim_time, elapsed_s=elapsed_s)


@router.get("/{recording_id}/stream", responses=content("application/x-ndjson"), response_class=StreamingResponse)
async def stream(
    shared: Shared,
    recording: Id,
    first: First = None,
    end: End = None,
    speed: Annotated[
        Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | Literal["max"],
        Query(description="Times the pace at which it was recorded, or max."),
    ] = 1.0,
) -> StreamingResponse:
    """Frames one a line, paced as they were recorded; pauses of more than 2 s are shortened."""
    await run_in_threadpool(shared.archive.recordings.get, recording)  # 404 before anything is sent
    factor = None if speed == "max" else float(speed)
    return StreamingResponse(_paced(shared, recording, first or 0, end, factor), media_type="application/x-ndjson")


async def _paced(context: Context, name: str, first: int, end: int | None, speed: float | None) -> AsyncIterator[bytes]:
    """Lines in their time; a reader that is slow is waited for."""
    chunks = context.archive.recordings.chunks(name, first, end)
    before: float | None = None
    due = asyncio.get_running_loop().time()
    while (chunk := await run_in_threadpool(next, chunks, None)) is not None:
        if speed is None:
            yield b"\n".join(chunk.frames) + b"\n"
            continue
        for offset, payload in enumerate(chunk.frames):
            wall = wall_clock(parsed(name, chunk.first + offset, payload))
            gap = 0.0 if before is None else min(max(wall - before, 0.0), LONGEST_GAP_S)
            before, due = wall, due + gap / speed
            delay = due - asyncio.get_running_loop().time()
            if delay > 0:
                await asyncio.sleep(delay)
            yield payload + b"\n"


@router.get(
    "/{recording_id}/export",
    responses=content("text/csv", "application/json", "application/vnd.apache.parquet"),
    response_class=StreamingResponse,
)
async def export_file(
    shared: Shared,
    recording: Id,
    format: Annotated[Literal["csv", "json", "parquet"], Query(description="Kind of file.")] = "csv",
    table: Annotated[export.Table, Query(description="csv, parquet: a line per prosumer, flow, or frame.")] = "agents",
    first: First = None,
    end: End = None,
) -> Response:
    """All of it or a range as a file. 501 for Parquet where pyarrow is not installed."""
    store, begin = shared.archive.recordings, first or 0
    await run_in_threadpool(store.get, recording)
    if format == "json":
        return await streamed(export.json_text(store, recording, begin, end), "application/json", f"{recording}.json")
    name = f"{recording}-{table}.{format}"
    if format == "csv":
        return await streamed(export.csv_text(store, recording, table, begin, end), "text/csv; charset=utf-8", name)
    path = await run_in_threadpool(export.parquet_file, store, recording, table, begin, end)
    return FileResponse(
        path, media_type="application/vnd.apache.parquet", headers=attachment(name),
        background=BackgroundTask(os.unlink, path),
    )  # fmt: skip


@asynccontextmanager
async def _lifespan(context: Context) -> AsyncIterator[None]:
    """Record every run until the server stops; the last frames are on disk then."""
    settings, archive = context.settings, context.archive
    if not settings.record:
        yield
        return
    recorder = Recorder(
        archive.recordings.path, cap_bytes=settings.recordings_max_bytes,
        on_warning=lambda message: context.engine.warn("recording", message),
    )  # fmt: skip
    archive.attach(recorder)
    leave = context.engine.subscribe(RecordingSink(recorder, context.scenarios))
    try:
        yield
    finally:
        leave()
        await asyncio.to_thread(recorder.close)


main.include_router(router)
PART = Part(main, _lifespan)
