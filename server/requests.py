"""What a client may ask of the simulation: bodies of `POST /api/simulation/…` and arguments of WebSocket commands."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Speed = Annotated[float, Field(ge=0.1, le=100, allow_inf_nan=False)] | Literal["max"]
PerturbationKind = Literal["cloud", "islanding", "price_spike", "demand_surge", "branch_outage"]
PERTURBATIONS: tuple[str, ...] = get_args(PerturbationKind)
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
NAME = r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,119}$"
"""Scenarios, policies and runs are chosen by names of this form, never by a path."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class RewardWeightsBody(_Body):
    """Weights of the reward components; those left out stay."""

    stability: Weight | None = Field(default=None, description="Weight of S − 1, shared by all.")
    efficiency: Weight | None = Field(default=None, description="Weight of losses, conversion and curtailment.")
    cost: Weight | None = Field(default=None, description="Weight of the prosumer's own bill.")
    cooperation: Weight | None = Field(default=None, description="Weight of energy that helped a neighbour.")


class StabilityWeightsBody(_Body):
    """Weights of the stability index, normalised to sum 1; those left out stay."""

    voltage: Weight | None = Field(default=None, description="Weight of the voltage part.")
    loading: Weight | None = Field(default=None, description="Weight of the loading part.")
    balance: Weight | None = Field(default=None, description="Weight of the balance part.")
    reserve: Weight | None = Field(default=None, description="Weight of the reserve part.")


class WeightsBody(_Body):
    """`weights`: change weights while the community runs."""

    rewards: RewardWeightsBody | None = None
    stability: StabilityWeightsBody | None = None


class StartBody(_Body):
    """`start`: begin a community. Everything is optional."""

    scenario: str | None = Field(
        default=None, pattern=NAME, description="Name; None: the one the policy was trained on."
    )
    policy: str | None = Field(
        default=None, pattern=NAME, description="Name of a policy or controller; None: the server's own."
    )
    seed: int = Field(default=0, ge=0, lt=2**53, description="Seed of the episode, as in the scoreboard's.")
    days: float | None = Field(
        default=None, gt=0, le=36_500, allow_inf_nan=False, description="Length, days; None: goes on until stopped."
    )
    speed: Speed | None = Field(default=None, description="Steps a second, or `max`; None: as it is.")
    weights: WeightsBody | None = Field(default=None, description="Weights other than the scenario's.")
    replace: bool = Field(default=False, description="Stop what runs instead of answering 409.")


class SpeedBody(_Body):
    """`speed`: steps a second, or as fast as possible."""

    speed: Speed


class StepBody(_Body):
    """`step`: single steps while paused."""

    steps: int = Field(default=1, ge=1, le=1000, description="How many.")


class PerturbBody(_Body):
    """`perturb`: something happens to the community, from the next step on, until it is over or the episode ends."""

    kind: PerturbationKind
    steps: int = Field(default=4, ge=1, le=100_000, description="How long, in steps.")
    magnitude: float | None = Field(
        default=None, ge=0, le=100, allow_inf_nan=False,
        description="cloud: factor on generation, 0 … 1 (default 0.2); demand_surge: factor on demand (default 2); "
        "price_spike: EUR/kWh on top of the import price (default 1).",
    )  # fmt: skip
    branch: int | None = Field(
        default=None, ge=1, description="branch_outage: number of the branch; never 0, the transformer."
    )

    @model_validator(mode="after")
    def _check(self) -> PerturbBody:
        if (self.branch is not None) != (self.kind == "branch_outage"):
            raise ValueError("a branch_outage names its branch, the other kinds have none")
        if self.magnitude is not None and self.kind in ("islanding", "branch_outage"):
            raise ValueError(f"magnitude = {self.magnitude}: {self.kind} has none, leave it out")
        if self.kind == "cloud" and self.magnitude is not None and self.magnitude > 1:
            raise ValueError(f"magnitude = {self.magnitude} would make a cloud brighten the sun: expected 0 to 1")
        return self


class NoBody(_Body):
    """Commands without arguments."""


CommandName = Literal[
    "start", "stop", "pause", "resume", "step", "reset", "speed", "weights", "perturb", "status", "ping"
]
COMMANDS: dict[str, type[BaseModel]] = {
    "start": StartBody, "stop": NoBody, "pause": NoBody, "resume": NoBody, "step": StepBody, "reset": NoBody,
    "speed": SpeedBody, "weights": WeightsBody, "perturb": PerturbBody, "status": NoBody, "ping": NoBody,
}  # fmt: skip
