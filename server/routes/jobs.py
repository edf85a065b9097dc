"""`/api/comparisons…` and `/api/scalability…`: long work in the background, one job at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response

from server.comparisons.models import ComparisonRequest, ComparisonResult, ScalabilityRequest, ScalabilityResult
from server.comparisons.tables import Table, comparison_csv, scalability_csv
from server.context import Context, Part, Shared
from server.errors import ApiError
from server.ids import ID
from server.jobs.store import Job, JobList, Kind
from server.policies import misfit
from server.routes.downloads import attachment, content
from trainer.evaluate import GRID_ONLY

router = APIRouter(prefix="/api")
comparisons = APIRouter(prefix="/comparisons", tags=["comparisons"])
scalability = APIRouter(prefix="/scalability", tags=["scalability"])
Id = Annotated[str, Path(alias="job_id", pattern=ID, description="Id of a job.")]
Offset = Annotated[int, Query(ge=0, lt=2**31, description="How many to pass over.")]
Limit = Annotated[int, Query(ge=1, le=500, description="How many to return.")]
Format = Annotated[Literal["csv", "json"], Query(description="Kind of file.")]


@comparisons.post("", status_code=202)
def compare(shared: Shared, body: ComparisonRequest) -> Job:
    """Compare policies on the same episodes of scenarios. 404, 422: a name, or a policy that fits none of them."""
    _check_fit(shared, body)
    settings = shared.settings
    places = {
        "runs": str(shared.policies.runs.absolute()), "operator": settings.checkpoint,
        "scenarios_dir": str(settings.scenarios_dir.absolute()),
    }  # fmt: skip
    return shared.archive.jobs.submit("comparison", body.model_dump(), body.model_dump() | places)


def _check_fit(context: Context, body: ComparisonRequest) -> None:
    """Every name is known, and every policy fits one of the scenarios at least; the others are skipped."""
    scenarios = {name: (context.scenarios.load(name), context.scenarios.interface(name)) for name in body.scenarios}
    for config, _ in scenarios.values():
        _check_days(body.days, config.step_minutes)
    for policy in body.policies:
        if policy == GRID_ONLY:
            continue
        entry = context.policies.entry(policy)
        reasons = [misfit(entry, config, there) for config, there in scenarios.values()]
        if all(reasons):
            raise ApiError(422, "does_not_fit", str(reasons[0]), "policies")


def _check_days(days: float | None, step_minutes: int) -> None:
    """An episode is whole steps."""
    steps = 0.0 if days is None else days * 1440 / step_minutes
    if days is not None and (abs(steps - round(steps)) > 1e-6 or steps < 1):
        near = max(1, round(steps)) * step_minutes / 1440
        message = f"days = {days} is {steps:.4g} steps of {step_minutes} minutes, give whole steps: {near:.6g}"
        raise ApiError(422, "invalid", message, "days")


@comparisons.get("")
def list_comparisons(shared: Shared, offset: Offset = 0, limit: Limit = 100) -> JobList:
    """Comparisons, the newest first."""
    return shared.archive.jobs.store.list("comparison", offset, limit)


@comparisons.get("/{job_id}")
def comparison(shared: Shared, job: Id) -> Job:
    """How far it is."""
    return shared.archive.jobs.store.get(job, "comparison")


@comparisons.get("/{job_id}/result", response_model=ComparisonResult)
def comparison_result(shared: Shared, job: Id) -> Any:
    """What came out. 409 while it is not done."""
    return shared.archive.jobs.store.result(job, "comparison")


@comparisons.get("/{job_id}/export", responses=content("text/csv", "application/json"), response_class=Response)
def export_comparison(
    shared: Shared,
    job: Id,
    format: Format = "csv",
    table: Annotated[Table, Query(description="csv: which of its tables.")] = "scoreboard",
) -> Response:
    """One table as CSV, or all of it as JSON."""
    result = shared.archive.jobs.store.result(job, "comparison")
    if format == "csv":
        return _csv(comparison_csv(result, table), f"comparison-{job}-{table}")
    return _json(ComparisonResult.model_validate(result).model_dump_json(indent=1), f"comparison-{job}")


@comparisons.post("/{job_id}/cancel")
def cancel_comparison(shared: Shared, job: Id) -> Job:
    """End it, whether it waits or runs; one that is over stays as it is."""
    return _cancel(shared, job, "comparison")


@comparisons.delete("/{job_id}", status_code=204, response_class=Response)
def delete_comparison(shared: Shared, job: Id) -> None:
    """Cancel it where it is not over, and forget it."""
    shared.archive.jobs.remove(job, "comparison")


@scalability.post("", status_code=202)
def measure(shared: Shared, body: ScalabilityRequest | None = None) -> Job:
    """Measure step time, episode time and reward against the number of prosumers, on generated communities."""
    body = body or ScalabilityRequest()
    entry = shared.policies.entry(body.policy)
    if entry.kind != "rule":
        message = f"policy = {body.policy!r}: a {entry.kind} does not fit every size, choose a rule or random"
        raise ApiError(422, "does_not_fit", message, "policy")
    _check_days(body.days, shared.scenarios.load("suburb-40").step_minutes)
    return shared.archive.jobs.submit("scalability", body.model_dump(), body.model_dump())


@scalability.get("")
def list_scalability(shared: Shared, offset: Offset = 0, limit: Limit = 100) -> JobList:
    """Scalability jobs, the newest first."""
    return shared.archive.jobs.store.list("scalability", offset, limit)


@scalability.get("/{job_id}")
def scalability_job(shared: Shared, job: Id) -> Job:
    """How far it is."""
    return shared.archive.jobs.store.get(job, "scalability")


@scalability.get("/{job_id}/result", response_model=ScalabilityResult)
def scalability_result(shared: Shared, job: Id) -> Any:
    """What came out. 409 while it is not done."""
    return shared.archive.jobs.store.result(job, "scalability")


@scalability.get("/{job_id}/export", responses=content("text/csv", "application/json"), response_class=Response)
def export_scalability(shared: Shared, job: Id, format: Format = "csv") -> Response:
    """Its rows as a file."""
    result = shared.archive.jobs.store.result(job, "scalability")
    if format == "csv":
        return _csv(scalability_csv(result), f"scalability-{job}")
    return _json(ScalabilityResult.model_validate(result).model_dump_json(indent=1), f"scalability-{job}")


@scalability.post("/{job_id}/cancel")
def cancel_scalability(shared: Shared, job: Id) -> Job:
    """End it, whether it waits or runs; one that is over stays as it is."""
    return _cancel(shared, job, "scalability")


@scalability.delete("/{job_id}", status_code=204, response_class=Response)
def delete_scalability(shared: Shared, job: Id) -> None:
    """Cancel it where it is not over, and forget it."""
    shared.archive.jobs.remove(job, "scalability")


def _cancel(context: Context, job: str, kind: Kind) -> Job:
    jobs = context.archive.jobs
    if jobs.store.get(job, kind).state in ("queued", "running"):
        jobs.cancel(job)
    return jobs.store.get(job, kind)


def _csv(text: str, name: str) -> Response:
    return Response(text, media_type="text/csv; charset=utf-8", headers=attachment(f"{name}.csv"))


def _json(text: str, name: str) -> Response:
    return Response(text, media_type="application/json", headers=attachment(f"{name}.json"))


@asynccontextmanager
async def _lifespan(context: Context) -> AsyncIterator[None]:
    """Work on jobs until the server stops."""
    jobs = context.archive.jobs
    await asyncio.to_thread(jobs.start)
    try:
        yield
    finally:
        await asyncio.to_thread(jobs.close)


router.include_router(comparisons)
router.include_router(scalability)
PART = Part(router, _lifespan)
