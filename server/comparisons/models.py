"""What one may ask to be compared, and what comes out."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from server.requests import NAME, Count

Name = Annotated[str, Field(pattern=NAME)]
Seed = Annotated[Count, Field(ge=0, lt=2**53)]
SIZES = (3, 5, 10, 50, 200, 1000)
MOST_RUNS = 64  # policies × scenarios


UNIQUE: Any = {"uniqueItems": True}


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ComparisonRequest(_Request):
    """k policies × m scenarios on the same episodes."""

    policies: list[Name] = Field(
        min_length=1,
        max_length=16,
        json_schema_extra=UNIQUE,
        description="Names of policies or controllers, or grid_only; each once.",
    )
    scenarios: list[Name] = Field(
        min_length=1, max_length=16, json_schema_extra=UNIQUE, description="Names of scenarios; each once."
    )
    episodes: Count = Field(
        default=8, ge=1, le=256, description="Test episodes of each scenario, one a seed of its list."
    )
    seeds: list[Seed] | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        json_schema_extra=UNIQUE,
        description="Seeds instead of the scenario's; `episodes` counts not.",
    )
    days: float | None = Field(
        default=None, gt=0, le=366, allow_inf_nan=False, description="Length of an episode, days; null: the scenario's."
    )

    @model_validator(mode="after")
    def _check(self) -> ComparisonRequest:
        for field in ("policies", "scenarios", "seeds"):
            values = getattr(self, field) or []
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"{field}: {value!r} is listed twice, give each once")
        runs = len(self.policies) * len(self.scenarios)
        if runs > MOST_RUNS:
            raise ValueError(f"{runs} pairs of a policy and a scenario: at most {MOST_RUNS} in one comparison")
        return self


class ScalabilityRequest(_Request):
    """What the number of prosumers costs, on generated communities."""

    sizes: list[Annotated[Count, Field(ge=1, le=1500)]] = Field(
        default=list(SIZES),
        min_length=1,
        max_length=12,
        json_schema_extra=UNIQUE,
        description="Numbers of prosumers; each once.",
    )
    policy: Name = Field(default="self-consumption", description="A rule, or random: what fits every size.")
    episodes: Count = Field(default=1, ge=1, le=32, description="Episodes of each size.")
    days: float = Field(default=1.0, gt=0, le=31, allow_inf_nan=False, description="Length of an episode, days.")
    neighbours: Count = Field(default=3, ge=1, le=16, description="K of links nearest:K.")
    seed: Seed = Field(default=0, description="Seed of the first episode; the others count on from it.")

    @model_validator(mode="after")
    def _check(self) -> ScalabilityRequest:
        if len(set(self.sizes)) < len(self.sizes):
            raise ValueError(f"sizes = {self.sizes}: give each once")
        return self


class SizeRow(BaseModel):
    """One size of a community."""

    num_agents: int
    buses: int = Field(description="Buses of its radial feeder.")
    links: int
    build_s: float = Field(description="Wall time to build the simulator.")
    step_ms: float = Field(description="Median wall time of a step of one community, decision not included.")
    step_p95_ms: float
    decision_ms: float = Field(description="Median wall time of a decision for all prosumers.")
    episode_s: float = Field(description="Mean wall time of an episode, reset, decisions and steps.")
    agent_steps_per_s: float = Field(description="Prosumers × steps a second of a step's median.")
    reward: float = Field(description="Mean reward of a prosumer in a step, EUR-equivalents.")
    reward_std: float | None = Field(description="Its standard deviation between episodes; null from one.")
    cost_eur: float = Field(description="Mean bill of a prosumer in an episode.")
    stability: float = Field(description="Mean stability index.")
    converged: float = Field(description="Part of the steps whose power flow has a solution.")


class ScalabilityResult(BaseModel):
    """Rows by size."""

    policy: str
    days: float
    episodes: int
    steps: int = Field(description="Steps of an episode.")
    threads: int = Field(description="CPU threads of a step.")
    rows: list[SizeRow]


class Skipped(BaseModel):
    """A policy that cannot run a scenario."""

    policy: str
    reason: str


class PairRow(BaseModel):
    """Policy `a` against policy `b` on the same episodes; n/a is null."""

    a: str
    b: str
    episodes: int
    cost_difference_eur: float = Field(description="Mean of cost_a − cost_b per episode; negative: a is cheaper.")
    cost_ci: tuple[float, float] | None = Field(
        description="95 %, paired, by Student's t over the weeks that episodes lie in."
    )
    score_difference: float | None = Field(description="score_a − score_b.")
    score_ci: tuple[float, float] | None = Field(
        description="95 %, paired, by Student's t over the weeks that episodes lie in."
    )
    t: float | None = Field(description="Paired t statistic.")
    p: float | None = Field(description="Two-sided p of the paired t-test.")
    p_holm: float | None = Field(description="p corrected for the number of pairs (Holm).")
    better: str | None = Field(description="The cheaper one where p_holm < 0.05.")


class DailyRow(BaseModel):
    """A prosumer's day, kWh, mean over the episodes."""

    policy: str
    day: int = Field(description="From 0: every 24 h of the episode, whenever it begins.")
    agent: str = Field(description="agent_0, agent_1, …")
    name: str
    demand_kwh: float
    demand_met_kwh: float = Field(description="Demand less what was not served.")
    solar_kwh: float = Field(description="Generated.")
    solar_used_kwh: float = Field(description="Generated, less what was sold or curtailed in the same step.")
    bought_kwh: float
    sold_kwh: float
    received_kwh: float
    sent_kwh: float


class Series(BaseModel):
    """The community step by step in the episode of the first seed."""

    seed: int
    start: str = Field(description="Start of the first step, local standard time of the data, ISO 8601.")
    step_minutes: int
    policies: dict[str, dict[str, list[float]]] = Field(description="By policy, then by column; units in the names.")


class ScenarioResult(BaseModel):
    """One scenario's comparison."""

    scenario: str
    seeds: list[int]
    days: float
    scoreboard: dict[str, Any] = Field(description="As `python -m trainer evaluate --json` writes it.")
    costs: dict[str, list[float]] = Field(description="J of every episode by policy, EUR, in the order of the seeds.")
    pairs: list[PairRow]
    daily: list[DailyRow]
    series: Series
    skipped: list[Skipped]


class ComparisonResult(BaseModel):
    """All scenarios."""

    scenarios: list[ScenarioResult]
