"""What a client may ask of the simulation: bodies of `POST /api/simulation/…` and arguments of WebSocket commands."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)


def _one_fault(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError:  # which tells of both members, the second as "(and 1 more)"
        raise ValueError('expected steps a second, from 0.1 to 100, or "max"') from None


Speed = Annotated[
    Annotated[float, Field(ge=0.1, le=100, allow_inf_nan=False)] | Literal["max"], WrapValidator(_one_fault)
]
"""Steps a second, or as fast as possible."""
PerturbationKind = Literal["cloud", "islanding", "price_spike", "demand_surge", "branch_outage"]
PERTURBATIONS: tuple[str, ...] = get_args(PerturbationKind)
Count = Annotated[int, BeforeValidator(lambda x: int(x) if isinstance(x, float) and x.is_integer() else x)]
"""A whole number; 10.0 is one, as JSON knows no difference, true is none."""
Magnitude = Annotated[float, Field(ge=0, allow_inf_nan=False)]
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
    seed: Count = Field(default=0, ge=0, lt=2**53, description="Seed of the episode, as in the scoreboard's.")
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

    steps: Count = Field(default=1, ge=1, le=1000, description="How many.")


class _Lasting(_Body):
    steps: Count = Field(default=4, ge=1, le=100_000, description="How long, in steps.")


class CloudBody(_Lasting):
    """A cloud before the sun."""

    kind: Literal["cloud"]
    magnitude: Magnitude = Field(default=0.2, le=1, description="Factor on generation, 0 … 1.")


class IslandingBody(_Lasting):
    """The community is cut off from the utility."""

    kind: Literal["islanding"]


class PriceSpikeBody(_Lasting):
    """Energy from the utility becomes dear."""

    kind: Literal["price_spike"]
    magnitude: Magnitude = Field(default=1.0, le=100, description="EUR/kWh on top of the import price.")


class DemandSurgeBody(_Lasting):
    """Everybody needs more."""

    kind: Literal["demand_surge"]
    magnitude: Magnitude = Field(default=2.0, le=100, description="Factor on demand.")


class BranchOutageBody(_Lasting):
    """A branch of the feeder opens; who lies behind it is without the network."""

    kind: Literal["branch_outage"]
    branch: Count = Field(ge=1, le=10**6, description="Its number in the hello message; 0, the transformer, never.")


PerturbBody = Annotated[
    CloudBody | IslandingBody | PriceSpikeBody | DemandSurgeBody | BranchOutageBody, Field(discriminator="kind")
]
"""`perturb`: something happens to the community, from the next step on, until it is over or the episode ends."""


class NoBody(_Body):
    """Commands without arguments."""


CommandName = Literal[
    "start", "stop", "pause", "resume", "step", "reset", "speed", "weights", "perturb", "status", "ping"
]
_BODIES: dict[str, Any] = {
    "start": StartBody, "stop": NoBody, "pause": NoBody, "resume": NoBody, "step": StepBody, "reset": NoBody,
    "speed": SpeedBody, "weights": WeightsBody, "perturb": PerturbBody, "status": NoBody, "ping": NoBody,
}  # fmt: skip
COMMANDS: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(body) for name, body in _BODIES.items()}
"""What a command takes, by its name."""
