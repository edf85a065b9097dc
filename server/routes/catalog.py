"""`/api/policies` and `/api/scenarios`: what can be started."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Path as PathParameter
from pydantic import BaseModel, Field

from server.context import Context, Part, Shared
from server.errors import ApiError
from server.policies import PolicyEntry, misfit
from server.requests import NAME
from smartgrid_core import GridConfig

router = APIRouter(prefix="/api", tags=["catalog"])
ScenarioName = Annotated[str, PathParameter(pattern=NAME, description="Name of a scenario.")]


class ScenarioEntry(BaseModel):
    """A scenario one can start."""

    name: str
    source: str = Field(description="shipped or saved.")
    fault: str | None = Field(description="Why its file cannot be used; the other fields are then null.")
    description: str | None = None
    num_agents: int | None = None
    episode_days: float | None = None
    step_minutes: int | None = None
    data: str | None = Field(default=None, description="synthetic, simbench or csv.")
    feeder: str | None = None
    links: str | None = None
    events: list[str] = []


class ScenarioDetail(BaseModel):
    """One scenario in full."""

    name: str
    source: str
    config: dict[str, Any] = Field(description="Every field of its GridConfig; `/api/scenarios/schema` describes them.")


@router.get("/policies")
async def policies(
    shared: Shared,
    scenario: Annotated[str | None, Query(pattern=NAME, description="Say of each whether it fits.")] = None,
) -> list[PolicyEntry]:
    """Controllers, shipped policies and runs, by the names they start by."""
    return await asyncio.to_thread(_policies, shared, scenario)


def _policies(context: Context, scenario: str | None) -> list[PolicyEntry]:
    entries = context.policies.list()
    if scenario is None:
        return entries
    config = context.scenarios.load(scenario)
    try:
        there = context.scenarios.interface(scenario)
    except ApiError as error:
        return [entry.model_copy(update={"fits": False, "reason": error.message}) for entry in entries]
    reasons = [misfit(entry, config, there) for entry in entries]
    return [
        entry.model_copy(update={"fits": reason is None, "reason": reason})
        for entry, reason in zip(entries, reasons, strict=True)
    ]


@router.get("/scenarios")
async def scenarios(shared: Shared) -> list[ScenarioEntry]:
    """Scenarios that ship, and those saved."""
    return [ScenarioEntry(**entry) for entry in await asyncio.to_thread(shared.scenarios.summaries)]


@router.get("/scenarios/schema")
async def schema() -> dict[str, Any]:
    """JSON Schema of a scenario, with a description of every field."""
    return GridConfig.model_json_schema()


@router.get("/scenarios/{name}")
async def scenario(shared: Shared, name: ScenarioName) -> ScenarioDetail:
    """One scenario, bases and defaults filled in."""
    config = await asyncio.to_thread(shared.scenarios.load, name)
    fields = config.model_dump(mode="json")
    for field in ("path", "price_path"):  # where the operator keeps data is nobody's business
        if fields["profiles"].get(field):
            fields["profiles"][field] = fields["profiles"][field].rsplit("/", 1)[-1]
    return ScenarioDetail(name=name, source=shared.scenarios.names()[name], config=fields)


PART = Part(router)
