"""`/api/training` and `/api/runs…`: train from the page, and see what training left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field

from server.context import Context, Part, Shared
from server.requests import NAME
from server.training.models import RunDetail, RunEntry, RunMetrics, TrainingRequest, TrainingStatus
from trainer.config import TrainConfig

router = APIRouter(prefix="/api", tags=["training"])
Name = Annotated[str, Path(pattern=NAME, description="Name of a run.")]


@router.get("/training")
def training(
    shared: Shared, lines: Annotated[int, Query(ge=0, le=1000, description="Lines of its log.")] = 40
) -> TrainingStatus:
    """The training that runs, or ran last; `/ws/training` follows its metrics."""
    return shared.archive.training.status(lines)


@router.post("/training", status_code=202)
def start(shared: Shared, body: TrainingRequest | None = None) -> TrainingStatus:
    """Begin one. 409 while another runs; 422 names the faulty field."""
    return shared.archive.training.start(body or TrainingRequest())


@router.delete("/training")
def stop(
    shared: Shared, kill: Annotated[bool, Query(description="At once, without saving a last checkpoint.")] = False
) -> TrainingStatus:
    """End it as by Ctrl-C, which saves a checkpoint. 409 where none runs."""
    return shared.archive.training.stop(kill)


@router.get("/training/schema")
def schema() -> dict[str, Any]:
    """JSON Schema of `config`, with a description of every field; defaults are replaced by the algorithm's preset."""
    return TrainConfig.model_json_schema()


@router.get("/runs")
def runs(shared: Shared) -> list[RunEntry]:
    """Training runs, the newest first."""
    return shared.archive.runs.list()


@router.get("/runs/{name}")
def run(shared: Shared, name: Name) -> RunDetail:
    """A run with its configuration."""
    return shared.archive.runs.get(name)


@router.get("/runs/{name}/metrics")
def metrics(
    shared: Shared,
    name: Name,
    points: Annotated[int, Query(ge=1, le=5000, description="Points at most.")] = 500,
    fields: Annotated[
        list[Annotated[str, Field(max_length=64)]] | None, Query(max_length=64, description="Columns; none: all.")
    ] = None,
) -> RunMetrics:
    """Its metrics as columns, thinned out to so many points."""
    return shared.archive.runs.metrics(name, points, fields)


@router.get("/runs/{name}/scoreboard")
def scoreboard(shared: Shared, name: Name) -> dict[str, Any]:
    """The scoreboard made at the end of training."""
    return shared.archive.runs.scoreboard(name)


@asynccontextmanager
async def _lifespan(context: Context) -> AsyncIterator[None]:
    """A training that is not detached ends with the server."""
    try:
        yield
    finally:
        await asyncio.to_thread(context.archive.training.close)


PART = Part(router, _lifespan)
