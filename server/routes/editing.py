"""`/api/scenarios/{validate,save}` and `/api/data…`: what users bring."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from server.context import Context, Part, Shared
from server.errors import ApiError
from server.requests import NAME
from server.scenario_editing import Checked, SaveRequest, ScenarioDraft, ScenarioSource
from server.uploads import DataFile, Kind, Options

router = APIRouter(prefix="/api")
scenarios = APIRouter(prefix="/scenarios", tags=["scenarios"])
data = APIRouter(prefix="/data", tags=["data"])
Name = Annotated[str, Path(pattern=NAME)]
CSV_TYPES = ("text/csv", "text/plain", "application/csv", "application/vnd.ms-excel", "application/octet-stream")
ZONE = (
    "IANA zone of the clock that days and tariffs follow, and of stamps without offset; needed where stamps have one."
)


@scenarios.post("/validate")
def validate(shared: Shared, body: ScenarioDraft) -> Checked:
    """Check a draft: every fault by field, or the sizes and the whole configuration it amounts to."""
    return shared.archive.editor.check(body)


@scenarios.post("/save", status_code=201)
def save(shared: Shared, body: SaveRequest) -> Checked:
    """Check a draft and keep it. 409, the name is taken; 422, `details.faults` has every fault by field."""
    return shared.archive.editor.save(body)


@scenarios.get("/{name}/source")
def source(shared: Shared, name: Name) -> ScenarioSource:
    """The text of its TOML file."""
    return shared.archive.editor.source(name)


@scenarios.delete("/{name}", status_code=204, response_class=Response)
def delete_scenario(shared: Shared, name: Name) -> None:
    """Remove a saved scenario. 409 for one that ships, and for one that others are based on."""
    shared.archive.editor.delete(name)


@data.get("")
def files(shared: Shared) -> list[DataFile]:
    """Uploaded files, and what is in them."""
    return shared.archive.uploads.list()


@data.get("/{name}")
def file(shared: Shared, name: Name) -> DataFile:
    """One of them."""
    return shared.archive.uploads.get(name)


@data.delete("/{name}", status_code=204, response_class=Response)
def delete_file(shared: Shared, name: Name) -> None:
    """Remove it. 409 while a saved scenario uses it."""
    shared.archive.uploads.delete(name)


@data.post(
    "/upload",
    status_code=201,
    openapi_extra={
        "requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string", "minLength": 1}}}}
    },
)
async def upload(
    request: Request,
    shared: Shared,
    name: Annotated[str, Query(pattern=NAME, description="Name to keep it by.")],
    kind: Annotated[Kind, Query(description="load, prices or feeder.")] = "load",
    time_zone: Annotated[str | None, Query(max_length=64, description=ZONE)] = None,
    step_minutes: Annotated[int, Query(ge=1, le=60, description="load: length of a step.")] = 15,
    replace: Annotated[bool, Query(description="Whether a file of this name may be overwritten.")] = False,
) -> DataFile:
    """Keep a CSV file, sent as the body, if it is sound.

    load: timestamp, agent, demand_kw, generation_kw. prices: timestamp, import_eur_per_kwh, export_eur_per_kwh.
    feeder: a row a branch. 413, too large; 422, faulty: the message and `details` name row and column; 507, the room
    for uploads is used up.
    """
    media_type = request.headers.get("content-type", "text/csv").partition(";")[0].strip().lower()
    if media_type not in CSV_TYPES:
        message = f"content-type {media_type!r}: send the CSV text itself as the body, as text/csv"
        raise ApiError(415, "unsupported_media_type", message, "content-type")
    options = Options(kind=kind, time_zone=time_zone, step_minutes=step_minutes)
    return await shared.archive.uploads.receive(name, request.stream(), options, replace)


@asynccontextmanager
async def _lifespan(context: Context) -> AsyncIterator[None]:
    """Begin without what a server that was killed left of uploads."""
    await asyncio.to_thread(context.archive.uploads.tidy)
    yield


router.include_router(scenarios)
router.include_router(data)
PART = Part(router, _lifespan)
