"""The wire format of `/ws/grid` and `/ws/training`: every message, field by field, with units.

Signs are the prosumer's: what brings energy in is positive (buy, receive, charge). Powers are means over the step.
Numbers are rounded for the wire: kW, kWh and EUR per kWh to 1e-4, EUR, p.u. and rewards to 1e-6.

A viewer's life on `/ws/grid`: connect (subprotocol `grid.v1`, `grid.v1.f32` or none); with a token set send `Auth`
within 5 s, else the server closes with 4401; receive `Hello`, then `Status`, then the newest `Frame` if there is one;
then a `Frame` a step (at most `limits.frame_hz` a second, the newest wins), a `Status` at every change and every
`limits.heartbeat_s`, and a new `Hello` whenever another community begins. Send a `Command`, get an `Ack` or an `Error`
with its id. With `grid.v1.f32` frames are binary (`server.binary`), everything else stays JSON text.

Close codes: 1001 server stops, 1009 message too large, 1013 too many viewers, 4400 malformed beyond repair,
4401 not authenticated, 4404 no such run, 4429 too many messages.

`schemas()` publishes the JSON Schema of each message; `/api/schema` serves it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from server.errors import ErrorDetail
from server.requests import COMMANDS, CommandName, PerturbationKind, Speed

SCHEMA = "grid.v1"
"""Version of this format; a change that breaks a reader changes it."""
BINARY = "grid.v1.f32"
"""Subprotocol of binary frames."""

AgentStatus = Literal["importing", "exporting", "charging", "discharging", "balanced", "islanded", "unserved"]
STATUSES: tuple[AgentStatus, ...] = (
    "importing", "exporting", "charging", "discharging", "balanced", "islanded", "unserved",
)  # fmt: skip
State = Literal["stopped", "starting", "running", "paused", "finished"]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


# Server → viewer: the community ----------------------------------------------------------------------------


class Agent(_Message):
    """One prosumer in one step. Of the ledger, each power is ≥ 0 and

    generation + bought + received + discharge + unserved = demand + sold + sent + charge + curtailed.
    """

    id: str = Field(description="agent_0, agent_1, …")
    name: str = Field(description="What people call it.")
    energy_level: float = Field(description="State of charge after the step, fraction of capacity; 0 without battery.")
    soc_kwh: float = Field(description="Energy in the battery after the step, kWh.")
    capacity_kwh: float = Field(description="Capacity, kWh; 0 without battery.")
    demand_kw: float = Field(description="Demand, kW ≥ 0.")
    generation_kw: float = Field(description="Solar generation, kW ≥ 0.")
    trade_kw: float = Field(description="Trade with the utility, kW: bought − sold.")
    bought_kw: float = Field(description="Bought from the utility, shortfall included, kW ≥ 0.")
    sold_kw: float = Field(description="Sold to the utility, excess included, kW ≥ 0.")
    received_kw: float = Field(description="Received from neighbours, kW ≥ 0.")
    sent_kw: float = Field(description="Sent to neighbours, kW ≥ 0.")
    charge_kw: float = Field(description="Charged, at the meter side, kW ≥ 0.")
    discharge_kw: float = Field(description="Discharged, at the meter side, kW ≥ 0.")
    unserved_kw: float = Field(description="Demand not met, kW ≥ 0.")
    curtailed_kw: float = Field(description="Generation thrown away, kW ≥ 0.")
    voltage_pu: float = Field(description="Voltage at its bus, p.u.; 0 behind an open branch.")
    reward: float = Field(description="Weighted sum of its reward components in the step, EUR-equivalents.")
    cost_eur: float = Field(description="Its bill of the step, EUR; negative is earned.")
    cost_eur_total: float = Field(description="Its bills since the run began or its last reset, EUR.")
    status: AgentStatus = Field(description="One word for what it does; powers below 10 W count as none.")


class Flow(_Message):
    """Energy on its way: between neighbours, or between a prosumer and the utility (`grid`). Above 10 W only."""

    source: str = Field(description="Id of the agent that gives, or `grid`.")
    target: str = Field(description="Id of the agent that takes, or `grid`.")
    power_kw: float = Field(description="kW > 0.")


class Metrics(_Message):
    """The community in one step; `*_total` count from the beginning of the run or its last reset."""

    mean_energy: float = Field(description="Mean state of charge of the batteries, fraction.")
    total_generation_kw: float = Field(description="Σ generation, kW.")
    total_demand_kw: float = Field(description="Σ demand, kW.")
    import_kw: float = Field(description="Σ bought from the utility, kW.")
    export_kw: float = Field(description="Σ sold to the utility, kW.")
    transfers_kw: float = Field(description="Σ received from neighbours, kW.")
    charge_kw: float = Field(description="Σ charged, kW.")
    discharge_kw: float = Field(description="Σ discharged, kW.")
    loss_kw: float = Field(description="Network losses, kW.")
    slack_kw: float = Field(description="Power drawn at the reference bus, losses included, kW; negative feeds back.")
    unserved_kw: float = Field(description="Σ demand not met, kW.")
    curtailed_kw: float = Field(description="Σ generation thrown away, kW.")
    cost_eur: float = Field(description="Σ bills of the step, EUR.")
    cost_eur_per_h: float = Field(description="The same per hour, EUR/h.")
    cost_eur_total: float = Field(description="Σ bills since the run began, EUR.")
    mean_reward: float = Field(description="Mean reward of the prosumers.")
    reward_stability: float = Field(description="Mean stability component before weighting, EUR-equivalents.")
    reward_efficiency: float = Field(description="Mean efficiency component, likewise.")
    reward_cost: float = Field(description="Mean cost component, likewise.")
    reward_cooperation: float = Field(description="Mean cooperation component, likewise.")
    stability: float = Field(description="Stability index, 0 … 1.")
    stability_voltage: float = Field(description="Its voltage part, 0 … 1.")
    stability_loading: float = Field(description="Its loading part, 0 … 1.")
    stability_balance: float = Field(description="Its balance part, 0 … 1.")
    stability_reserve: float = Field(description="Its reserve part, 0 … 1.")
    import_price: float = Field(description="Import price of the step, EUR/kWh.")
    export_price: float = Field(description="Export price of the step, EUR/kWh.")
    co2_g_per_h: float = Field(description="Emissions of what the utility delivers, g/h.")
    co2_kg_total: float = Field(description="Emissions since the run began, kg.")
    max_loading: float = Field(description="Highest loading of a branch, fraction of its rating.")
    min_voltage_pu: float = Field(description="Lowest voltage of an energised bus, p.u.")
    max_voltage_pu: float = Field(description="Highest voltage of an energised bus, p.u.")
    violations: int = Field(description="Energised buses outside the voltage band.")
    overloads: int = Field(description="Branches above their rating.")
    converged: bool = Field(description="Whether the power flow found a solution; False: a collapse, or close to one.")
    step_ms: float = Field(description="Wall time the step and its decision took, ms.")


class Perturbation(_Message):
    """Something done to the community on request that still lasts."""

    kind: PerturbationKind = Field(description="cloud, islanding, price_spike, demand_surge or branch_outage.")
    magnitude: float | None = Field(description="Factor (cloud, demand_surge), EUR/kWh (price_spike), else null.")
    branch: int | None = Field(description="Number of the branch that is open (branch_outage), else null.")
    steps_left: int = Field(description="Steps it still lasts.")


class Buses(_Message):
    """Buses after the step, in the order of `hello.feeder.buses`."""

    voltage_pu: list[float] = Field(description="[n] p.u.; 0 where not energised.")


class Branches(_Message):
    """Branches in the step, in the order of `hello.feeder.branches`."""

    loading: list[float] = Field(description="[M] fraction of the rating.")
    open: list[int] = Field(description="Numbers of the branches that are open.")


class Frame(_Message):
    """One step of the community."""

    type: Literal["frame"]
    seq: int = Field(description="Running number of the step since the server started; a gap is frames not sent.")
    run: str = Field(description="Id of the run, that of `hello.run.id`.")
    timestamp: str = Field(description="Wall clock at the frame's creation, UTC, ISO 8601 with milliseconds.")
    sim_time: str = Field(description="Start of the step shown, local standard time of the data, ISO 8601.")
    step: int = Field(description="Steps taken since the run began.")
    episode: int = Field(description="Episodes finished before this one.")
    episode_step: int = Field(description="Steps taken in this episode, from 1.")
    stability: float = Field(description="Stability index, 0 … 1.")
    islanded: bool = Field(description="Whether the community is without the utility.")
    agents: list[Agent] = Field(description="[N] in the order of `hello.agents`.")
    energy_flows: list[Flow] = Field(description="What flows between neighbours and with the utility.")
    metrics: Metrics
    buses: Buses
    branches: Branches
    perturbations: list[Perturbation] = Field(description="What was done to the community and still lasts.")


# Server → viewer: what does not change with every step ------------------------------------------------------


class HelloAgent(_Message):
    """A prosumer's constants."""

    id: str
    name: str
    archetype: str = Field(description="residential, commercial, industrial, mixed or suburban.")
    bus: int = Field(description="Index of its bus in `feeder.buses`.")
    x: float = Field(description="Place for drawing, 0 … 1 from left to right.")
    y: float = Field(description="Place for drawing, 0 … 1 from top to bottom.")
    capacity_kwh: float = Field(description="Battery capacity, kWh; 0 without battery.")
    battery_kw: float = Field(description="Largest charging power, kW.")
    pv_kwp: float | None = Field(description="Peak solar power, kWp; null where the data decide it.")
    trade_kw: float = Field(description="Largest order with the utility, kW.")


class HelloLink(_Message):
    """A link between two prosumers; it carries energy either way."""

    source: str
    target: str
    rating_kw: float = Field(description="Largest transfer, kW.")


class HelloBuses(_Message):
    """Buses of the feeder, columns of equal length n."""

    name: list[str]
    x: list[float] = Field(description="Tree layout, 0 … 1 from the slack bus (left) to the ends.")
    y: list[float] = Field(description="Tree layout, 0 … 1 from top to bottom.")
    vn_kv: list[float] = Field(description="Nominal voltage, kV.")


class HelloBranches(_Message):
    """Branches of the feeder, columns of equal length M; branch 0 is the transformer where there is one."""

    name: list[str]
    source: list[int] = Field(description="Bus nearer the slack.")
    target: list[int] = Field(description="Bus farther from the slack.")
    kind: list[Literal["line", "transformer", "switch"]]
    rating_kva: list[float | None] = Field(description="Rating, kVA; null where unlimited.")


class HelloFeeder(_Message):
    """The network the community hangs on: a tree."""

    name: str
    slack: int = Field(description="Index of the reference bus.")
    transformer: int | None = Field(description="Number of the transformer's branch.")
    voltage_band_pu: tuple[float, float] = Field(description="Allowed voltages, p.u.")
    power_flow: bool = Field(description="Whether the scenario solves the power flow.")
    buses: HelloBuses
    branches: HelloBranches


class HelloScenario(_Message):
    """The scenario of the run."""

    name: str
    description: str
    step_minutes: int = Field(description="Length of a step, minutes.")
    episode_steps: int = Field(description="Steps of an episode.")
    source: str = Field(description="Kind of data: synthetic, simbench or csv.")


class HelloPolicy(_Message):
    """Who decides."""

    name: str = Field(description="Name to start it by.")
    kind: Literal["policy", "rule", "mpc", "optimum"]
    title: str = Field(description="For people, e.g. `shac (shipped)`.")


class BinaryLayout(_Message):
    """How to read binary frames (`server.binary`)."""

    agents: list[str] = Field(description="Columns of [N] float32, in order; `status` is an index into `statuses`.")
    statuses: list[str]
    links: int = Field(description="L: then [L] power over each link of `hello.links`, source to target, kW.")
    branches: int = Field(description="M: then [M] loading.")
    buses: int = Field(description="n: then [n] voltage, p.u.")


class Limits(_Message):
    """What this server allows."""

    max_viewers: int
    max_message_bytes: int
    frame_hz: float = Field(description="Frames a second at most.")
    heartbeat_s: float = Field(description="A `status` comes at least this often.")
    speed_min: float = Field(description="Least speed, steps a second.")
    speed_max: float = Field(description="Highest speed but `max`.")


class RunInfo(_Message):
    """What runs; `details` of a 409 too."""

    id: str = Field(description="Unique, sortable by time of start.")
    scenario: str
    policy: str = Field(description="Name of the policy or controller.")
    seed: int
    days: float | None = Field(description="Days the run lasts; null: until stopped.")
    steps: int | None = Field(description="The same in steps.")
    started_at: str = Field(description="Wall clock, UTC, ISO 8601.")
    autostarted: bool = Field(description="Whether the server began it by itself; the next start replaces it.")


class Hello(_Message):
    """First message to a viewer, and again whenever another community begins. Empty lists while nothing ran yet."""

    type: Literal["hello"]
    schema_version: Literal["grid.v1"]
    server_version: str
    run: RunInfo | None
    scenario: HelloScenario | None
    policy: HelloPolicy | None
    num_agents: int
    agents: list[HelloAgent]
    links: list[HelloLink]
    feeder: HelloFeeder | None
    commands: list[str] = Field(description="Names a `Command` may have.")
    perturbations: list[str] = Field(description="Kinds the perturb command knows.")
    limits: Limits
    binary: BinaryLayout | None = Field(
        description="Layout of binary frames, whether the viewer asked for them or not."
    )


class Weights(_Message):
    """Weights in force."""

    rewards: dict[str, float] = Field(description="stability, efficiency, cost, cooperation.")
    stability: dict[str, float] = Field(description="voltage, loading, balance, reserve; sum 1.")


class Warning(_Message):
    """Something a person should know, e.g. that recording stopped because the disk is full."""

    code: str
    message: str


class Progress(_Message):
    """How far the run is."""

    step: int = Field(description="Steps taken since the run began.")
    episode: int
    sim_time: str | None = Field(description="Start of the last step, ISO 8601.")
    steps_per_s: float = Field(description="Steps a second over the last seconds.")


class StatusBody(_Message):
    """State of the server; the body of `GET /api/status` and of every simulation request."""

    state: State
    run: RunInfo | None = Field(description="What runs, or ran last.")
    progress: Progress
    speed: Speed = Field(description="Steps a second asked for, or `max`.")
    weights: Weights | None
    perturbations: list[Perturbation]
    warnings: list[Warning]
    viewers: int
    dropped_frames: int = Field(description="Frames not sent to viewers that were too slow, since the server started.")
    uptime_s: float
    version: str


class Status(StatusBody):
    """At every change and as heartbeat."""

    type: Literal["status"]
    timestamp: str = Field(description="Wall clock, UTC, ISO 8601 with milliseconds.")


class Ack(_Message):
    """A command was done."""

    type: Literal["ack"]
    id: str | int
    command: str
    status: StatusBody = Field(description="The state after it.")


class Error(_Message):
    """A command was not done, or a message was not understood; nothing changed."""

    type: Literal["error"]
    id: str | int | None = Field(description="That of the command; null where it could not be read.")
    command: str | None
    error: ErrorDetail
    details: dict[str, Any] | None = None


# Viewer → server ------------------------------------------------------------------------------------------


class Auth(_Message):
    """First message where the server has a token."""

    model_config = ConfigDict(extra="forbid", strict=True)
    type: Literal["auth"]
    token: str = Field(max_length=1024)


class Command(_Message):
    """A wish; `arguments` is the body of the REST request `POST /api/simulation/{command}`."""

    model_config = ConfigDict(extra="forbid", strict=True)
    type: Literal["command"]
    id: Annotated[str, Field(max_length=64)] | int = Field(description="Chosen by the viewer; in the answer.")
    command: CommandName = Field(description=f"One of {', '.join(COMMANDS)}.")
    arguments: dict[str, Any] = Field(default_factory=dict)


# /ws/training ---------------------------------------------------------------------------------------------


class TrainingHello(_Message):
    """First message of `/ws/training?run=NAME`; without a name it follows the newest run."""

    type: Literal["training_hello"]
    run: str
    config: dict[str, Any] | None = Field(description="The run's config.json, or null while it is not there.")


class TrainingMetrics(_Message):
    """Lines of metrics.jsonl, oldest first; what was written before comes first, in parts."""

    type: Literal["training_metrics"]
    run: str
    restart: bool = Field(description="Forget earlier lines: the run was resumed from before them.")
    rows: list[dict[str, Any]]


class TrainingStatus(_Message):
    """Heartbeat."""

    type: Literal["training_status"]
    run: str
    rows: int = Field(description="Lines sent so far.")
    timestamp: str


SERVER_MESSAGES: dict[str, type[BaseModel]] = {
    "hello": Hello, "frame": Frame, "status": Status, "ack": Ack, "error": Error,
    "training_hello": TrainingHello, "training_metrics": TrainingMetrics, "training_status": TrainingStatus,
}  # fmt: skip
CLIENT_MESSAGES: dict[str, type[BaseModel]] = {"auth": Auth, "command": Command}


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema of every message by its `type`."""
    return {name: model.model_json_schema() for name, model in (SERVER_MESSAGES | CLIENT_MESSAGES).items()}
