"""What a community is: every number the simulator reads, validated, with its unit in its name.

A configuration is a tree of frozen pydantic models. A quantity typed `Quantity` may be one number or a
two-element range `[low, high]`; a range is drawn once per grid and prosumer (domain randomisation).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, model_validator

Archetype = Literal["residential", "commercial", "industrial", "mixed", "suburban"]
ForecastKind = Literal["none", "persistence", "noisy", "perfect"]


def _as_range(value: Any) -> Any:
    """Accept one number or [low, high]; store (low, high)."""
    if isinstance(value, bool):
        raise ValueError("expected a number or a range [low, high], got a boolean")
    if isinstance(value, int | float):
        return (float(value), float(value))
    if isinstance(value, list | tuple) and len(value) == 2 and value[0] > value[1]:
        raise ValueError(f"range [{value[0]}, {value[1]}] is crossed: the low end must not exceed the high end")
    return value


Quantity = Annotated[tuple[float, float], BeforeValidator(_as_range)]
"""A number, or a range [low, high] drawn per grid."""


def _within(name: str, value: tuple[float, float], low: float, high: float, open_low: bool = False) -> None:
    too_low = value[0] <= low if open_low else value[0] < low
    if too_low or value[1] > high:
        bracket = "(" if open_low else "["
        raise ValueError(f"{name} = {_show(value)} is outside {bracket}{low}, {high}]")


def _show(value: tuple[float, float]) -> str:
    return f"{value[0]:g}" if value[0] == value[1] else f"[{value[0]:g}, {value[1]:g}]"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class BatteryConfig(_Model):
    """A stationary battery behind the meter."""

    capacity_kwh: Quantity = (10.0, 10.0)
    """Usable energy content at 100 % state of charge; 0 means no battery."""
    charge_kw: Quantity = (5.0, 5.0)
    """Largest charging power at the meter side."""
    discharge_kw: Quantity = (5.0, 5.0)
    """Largest discharging power at the meter side."""
    charge_efficiency: Quantity = (0.95, 0.95)
    """Energy stored per energy taken from the meter side, in (0, 1]."""
    discharge_efficiency: Quantity = (0.95, 0.95)
    """Energy delivered to the meter side per energy taken from the store, in (0, 1]."""
    soc_min: float = Field(0.0, ge=0, le=1)
    """Lowest allowed state of charge, fraction of capacity."""
    soc_max: float = Field(1.0, ge=0, le=1)
    """Highest allowed state of charge, fraction of capacity."""
    initial_soc: Quantity = (0.10, 0.60)
    """State of charge at the start of an episode, fraction of capacity; a range is drawn per episode."""

    @model_validator(mode="after")
    def _check(self) -> BatteryConfig:
        for name in ("capacity_kwh", "charge_kw", "discharge_kw"):
            _within(name, getattr(self, name), 0.0, 1e6)
        for name in ("charge_efficiency", "discharge_efficiency"):
            _within(name, getattr(self, name), 0.0, 1.0, open_low=True)
        if self.soc_min > self.soc_max:
            raise ValueError(f"soc_min = {self.soc_min} exceeds soc_max = {self.soc_max}: lower one or raise the other")
        _within("initial_soc", self.initial_soc, self.soc_min, self.soc_max)
        return self


class SolarConfig(_Model):
    """A photovoltaic generator behind the meter."""

    capacity_kwp: Quantity = (0.0, 0.0)
    """Peak power under standard test conditions; 0 means no solar."""
    tilt_deg: float = Field(35.0, ge=0, le=90)
    """Tilt of the modules from the horizontal."""
    azimuth_deg: float = Field(180.0, ge=0, le=360)
    """Direction the modules face, clockwise from north (180 = south)."""

    @model_validator(mode="after")
    def _check(self) -> SolarConfig:
        _within("capacity_kwp", self.capacity_kwp, 0.0, 1e6)
        return self


class ProsumerConfig(_Model):
    """One prosumer, or `count` alike ones: demand, solar, battery, meter."""

    name: str = Field(min_length=1)
    """Shown to people; with count > 1 a number is appended. Agent ids are always agent_0, agent_1, …"""
    count: int = Field(1, ge=1, le=10_000)
    """How many prosumers of this kind."""
    archetype: Archetype = "residential"
    """Shape of the synthetic demand."""
    annual_demand_kwh: Quantity | None = None
    """Energy used in a year. None: the archetype's typical value (synthetic) or the data's own (simbench, csv)."""
    demand_scale: Quantity = (1.0, 1.0)
    """Factor on the whole demand series."""
    solar: SolarConfig | None = None
    """Solar generator. None: none (synthetic) or the data's own (simbench, csv)."""
    battery: BatteryConfig = BatteryConfig()
    """Battery; capacity_kwh = 0 for none."""
    trade_kw: Quantity = (8.0, 8.0)
    """Largest power the prosumer may order from or to the utility grid."""
    bus: str | int | None = None
    """Bus name or number on the feeder. None: spread evenly over the load buses, or the data's own."""

    @model_validator(mode="after")
    def _check(self) -> ProsumerConfig:
        if self.annual_demand_kwh is not None:
            _within("annual_demand_kwh", self.annual_demand_kwh, 0.0, 1e8)
        _within("demand_scale", self.demand_scale, 0.0, 1e3)
        _within("trade_kw", self.trade_kw, 0.0, 1e6)
        if self.count > 1 and self.bus is not None:
            raise ValueError(f"bus = {self.bus!r} names one bus for count = {self.count} prosumers: list them one by one")
        return self


class LinksConfig(_Model):
    """Which neighbours may exchange energy, and how much."""

    topology: str | tuple[tuple[int, int], ...] = "ring"
    """`ring`, `complete`, `none`, `nearest:K` (electrically nearest, made symmetric), or pairs [[0, 1], [1, 2]]."""
    rating_kw: PositiveFloat = 4.0
    """Largest transfer over one link."""

    @model_validator(mode="after")
    def _check(self) -> LinksConfig:
        if isinstance(self.topology, str):
            kind, _, number = self.topology.partition(":")
            if self.topology not in ("ring", "complete", "none") and not (
                kind == "nearest" and number.isdigit() and int(number) > 0
            ):
                raise ValueError(
                    f"topology = {self.topology!r}: expected ring, complete, none, nearest:K with K ≥ 1, or a list of pairs"
                )
        return self


class TariffBand(_Model):
    """Prices between two hours of every day; a band with to_hour <= from_hour crosses midnight."""

    from_hour: float = Field(ge=0, lt=24)
    """Start of the band, hour of the day."""
    to_hour: float = Field(ge=0, le=24)
    """End of the band, hour of the day."""
    import_eur_per_kwh: float | None = None
    """Import price within the band; None keeps the base price."""
    export_eur_per_kwh: float | None = None
    """Export price within the band; None keeps the base price."""


class TariffConfig(_Model):
    """What the utility charges and pays. Export must not exceed import at any step."""

    import_eur_per_kwh: float = 0.25
    """Base price of energy bought from the utility."""
    export_eur_per_kwh: float = 0.08
    """Base price paid for energy sold to the utility."""
    bands: tuple[TariffBand, ...] = (
        TariffBand(from_hour=22, to_hour=7, import_eur_per_kwh=0.12),
        TariffBand(from_hour=17, to_hour=21, import_eur_per_kwh=0.45),
    )
    """Hours with other prices; later bands win where bands overlap."""
    level: Quantity = (1.0, 1.0)
    """Factor on both prices."""
    imbalance_penalty_eur_per_kwh: PositiveFloat = 0.05
    """Added to the price of a shortfall and taken from that of an excess."""
    lost_load_eur_per_kwh: PositiveFloat = 5.0
    """Value of lost load: what a kWh of unserved demand costs."""
    co2_g_per_kwh: tuple[float, ...] = (
        *(340.0, 335.0, 332.0, 330.0, 333.0, 342.0, 355.0, 365.0, 362.0, 348.0, 330.0, 315.0),
        *(305.0, 302.0, 308.0, 322.0, 345.0, 375.0, 398.0, 405.0, 400.0, 385.0, 365.0, 350.0),
    )
    """Carbon intensity of imported energy by hour of the day. Default: a stylised day around the German mean of
    about 350 g/kWh (Umweltbundesamt 2024, Entwicklung der spezifischen Treibhausgas-Emissionen): solar dip, evening peak."""

    @model_validator(mode="after")
    def _check(self) -> TariffConfig:
        if len(self.co2_g_per_kwh) != 24 or min(self.co2_g_per_kwh) < 0:
            raise ValueError(f"co2_g_per_kwh has {len(self.co2_g_per_kwh)} values: expected 24 values ≥ 0, one an hour")
        _within("level", self.level, 0.0, 100.0, open_low=True)
        imports, exports = self.daily_prices(96)
        for quarter, (buy, sell) in enumerate(zip(imports, exports, strict=True)):
            if sell > buy:
                raise ValueError(
                    f"export_eur_per_kwh = {sell:g} exceeds import_eur_per_kwh = {buy:g} at hour {quarter / 4:g}: "
                    "that pays for buying and selling at once; lower the export price"
                )
        return self

    def daily_prices(self, steps_per_day: int) -> tuple[list[float], list[float]]:
        """Import and export price of each step of a day, EUR/kWh, without `level`."""
        imports, exports = [], []
        for step in range(steps_per_day):
            hour = 24.0 * step / steps_per_day
            buy, sell = self.import_eur_per_kwh, self.export_eur_per_kwh
            for band in self.bands:
                crosses = band.to_hour <= band.from_hour
                inside = (
                    (hour >= band.from_hour or hour < band.to_hour)
                    if crosses
                    else band.from_hour <= hour < band.to_hour
                )
                if inside:
                    buy = buy if band.import_eur_per_kwh is None else band.import_eur_per_kwh
                    sell = sell if band.export_eur_per_kwh is None else band.export_eur_per_kwh
            imports.append(buy)
            exports.append(sell)
        return imports, exports


class NetworkConfig(_Model):
    """The low-voltage feeder the prosumers hang on."""

    feeder: str = "radial"
    """`radial` (generated), `simbench:CODE`, or the path of a CSV of branches."""
    buses: int = Field(15, ge=2, le=2000)
    """Number of buses of the generated feeder, slack included."""
    power_flow: bool = True
    """Solve the AC power flow; False: voltages 1, no losses, no loading."""
    iterations: int = Field(4, ge=1, le=100)
    """Fixed-point iterations of the power flow; 4 give ≤ 1e-6 p.u. in normal operation."""
    power_factor: float = Field(0.95, gt=0, le=1)
    """Displacement factor of the demand (inductive); solar and battery inverters run at 1."""
    impedance_scale: Quantity = (1.0, 1.0)
    """Factor on every branch impedance."""
    voltage_band_pu: float = Field(0.1, gt=0, le=0.5)
    """Allowed deviation from 1 p.u. (EN 50160: 0.1)."""

    @model_validator(mode="after")
    def _check(self) -> NetworkConfig:
        _within("impedance_scale", self.impedance_scale, 0.0, 10.0, open_low=True)
        return self


class ProfilesConfig(_Model):
    """Where demand and generation come from."""

    source: Literal["synthetic", "simbench", "csv"] = "synthetic"
    """Kind of data."""
    seed: int = Field(0, ge=0)
    """Seed of the synthetic pool and of forecast noise; not the seed of a run."""
    code: str | None = None
    """SimBench code, e.g. 1-LV-rural1--0-sw."""
    path: Path | None = None
    """CSV with columns timestamp, agent, demand_kw, generation_kw."""
    price_path: Path | None = None
    """CSV with columns timestamp, import_eur_per_kwh, export_eur_per_kwh; replaces the tariff's prices."""
    time_zone: str = "UTC"
    """Zone of naive time stamps in the CSV files."""
    latitude_deg: float = Field(51.5, ge=-66, le=66)
    """Latitude of the synthetic sun."""
    demand_jitter: float = Field(0.0, ge=0, lt=1)
    """Half-width of a uniform factor on each prosumer's demand, drawn per episode (1 ± jitter)."""
    generation_jitter: float = Field(0.0, ge=0, lt=1)
    """Half-width of a uniform factor on each prosumer's solar, drawn per episode (1 ± jitter)."""

    @model_validator(mode="after")
    def _check(self) -> ProfilesConfig:
        if self.source == "simbench" and not self.code:
            raise ValueError("code is missing: source = simbench needs a SimBench code such as 1-LV-rural1--0-sw")
        if self.source == "csv" and not self.path:
            raise ValueError("path is missing: source = csv needs the path of a CSV file")
        return self


class ForecastConfig(_Model):
    """What is known of the hours ahead; learners and model predictive control read the same series."""

    kind: ForecastKind = "noisy"
    """none, persistence (same time yesterday), noisy (truth times 1 + σ·AR(1)), or perfect."""
    sigma: float = Field(0.2, ge=0, le=2)
    """Relative standard deviation of the noisy forecast."""
    correlation: float = Field(0.98, ge=0, lt=1)
    """Lag-one autocorrelation of that error at 15 minutes."""
    window_edges_h: tuple[PositiveFloat, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 24.0)
    """Observations hold window means over (0, e₁], (e₁, e₂], … hours ahead."""

    @model_validator(mode="after")
    def _check(self) -> ForecastConfig:
        edges = self.window_edges_h
        if not edges or any(b <= a for a, b in zip(edges, edges[1:], strict=False)) or edges[-1] > 168:
            raise ValueError(f"window_edges_h = {list(edges)}: expected increasing hours, at least one, at most 168")
        return self


class EventConfig(_Model):
    """Something that happens once an episode, at a time nobody knows before it starts."""

    kind: Literal["islanding", "branch_outage", "price_spike", "demand_surge", "cloud"]
    """What happens."""
    probability: float = Field(1.0, ge=0, le=1)
    """Chance that it happens in an episode."""
    day: Quantity = (0.0, 0.0)
    """Day of the episode it starts on, drawn as a whole number from the range."""
    hour: Quantity = (17.0, 17.0)
    """Hour of that day it starts at."""
    duration_h: Quantity = (2.0, 2.0)
    """How long it lasts."""
    branch: int | None = Field(None, ge=1)
    """branch_outage: number of the branch that opens (not 0, the transformer). None: one is drawn per episode."""
    import_adder_eur_per_kwh: float = Field(0.0, ge=0)
    """price_spike: added to the import price."""
    factor: float = Field(1.0, ge=0)
    """demand_surge: factor on demand; cloud: factor on generation."""

    @model_validator(mode="after")
    def _check(self) -> EventConfig:
        _within("hour", self.hour, 0.0, 24.0)
        _within("day", self.day, 0.0, 366.0)
        _within("duration_h", self.duration_h, 0.0, 8784.0, open_low=True)
        if self.kind == "cloud" and self.factor > 1:
            raise ValueError(f"factor = {self.factor} would make a cloud brighten the sun: expected 0 to 1")
        return self


class RewardWeights(_Model):
    """Weights of the four reward components, each in EUR-equivalents per step."""

    stability: float = Field(0.1, ge=0)
    """Weight of S − 1, shared by all."""
    efficiency: float = Field(0.1, ge=0)
    """Weight of losses, conversion and curtailment at the import price."""
    cost: float = Field(1.0, ge=0)
    """Weight of the prosumer's own bill."""
    cooperation: float = Field(0.1, ge=0)
    """Weight of energy that helped a neighbour in need, at the import price."""


class StabilityWeights(_Model):
    """Weights of the stability index; they are normalised to sum 1."""

    voltage: float = Field(0.4, ge=0)
    """Weight of the mean voltage deviation."""
    loading: float = Field(0.3, ge=0)
    """Weight of the highest branch loading."""
    balance: float = Field(0.2, ge=0)
    """Weight of unserved, curtailed and unplanned energy."""
    reserve: float = Field(0.1, ge=0)
    """Weight of batteries away from empty and full."""

    @model_validator(mode="after")
    def _check(self) -> StabilityWeights:
        if self.voltage + self.loading + self.balance + self.reserve <= 0:
            raise ValueError("all stability weights are 0: at least one must be positive")
        return self


class EvaluationConfig(_Model):
    """Which episodes the scoreboard is made of."""

    seeds: tuple[int, ...] = tuple(range(1000, 1032))
    """One test episode a seed."""


class GridConfig(_Model):
    """A community of prosumers on one feeder: the whole configuration of a simulation."""

    name: str = "custom"
    """Name of the scenario."""
    description: str = ""
    """One sentence for people."""
    step_minutes: int = Field(15, ge=1, le=60)
    """Length of a step; must divide an hour."""
    episode_days: PositiveFloat = 7.0
    """Length of an episode; the time limit truncates it."""
    trade_mode: Literal["around_balance", "absolute"] = "around_balance"
    """Meaning of the trade action: a shift of the battery around self-consumption, or an order in kW."""
    transfer_rule: Literal["consent", "average"] = "consent"
    """How two neighbours' wishes make one flow."""
    prosumers: tuple[ProsumerConfig, ...] = Field(min_length=1)
    """The community, in the order of agents."""
    links: LinksConfig = LinksConfig()
    """Who may exchange with whom."""
    tariff: TariffConfig = TariffConfig()
    """Utility prices."""
    network: NetworkConfig = NetworkConfig()
    """The feeder."""
    profiles: ProfilesConfig = ProfilesConfig()
    """Demand and generation data."""
    forecast: ForecastConfig = ForecastConfig()
    """What is known ahead."""
    events: tuple[EventConfig, ...] = ()
    """Outages, spikes, surges, clouds."""
    rewards: RewardWeights = RewardWeights()
    """Reward weights; changeable at run time."""
    stability: StabilityWeights = StabilityWeights()
    """Stability weights; changeable at run time."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Test episodes."""

    @model_validator(mode="after")
    def _check(self) -> GridConfig:
        if 60 % self.step_minutes:
            raise ValueError(f"step_minutes = {self.step_minutes} does not divide an hour: use 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30 or 60")
        steps = self.episode_days * 1440 / self.step_minutes
        if abs(steps - round(steps)) > 1e-6 or steps < 1:
            raise ValueError(f"episode_days = {self.episode_days} is not a whole number of {self.step_minutes}-minute steps")
        for edge in self.forecast.window_edges_h:
            if (edge * 60) % self.step_minutes:
                raise ValueError(f"forecast.window_edges_h: {edge} h is not a multiple of step_minutes = {self.step_minutes}")
        names = [p.name for p in self.prosumers]
        if len(set(names)) != len(names):
            repeated = next(n for n in names if names.count(n) > 1)
            raise ValueError(f"prosumers: the name {repeated!r} is used twice; use count, or different names")
        return self

    @property
    def num_agents(self) -> int:
        """N, the number of prosumers."""
        return sum(p.count for p in self.prosumers)

    @property
    def agents(self) -> list[ProsumerConfig]:
        """One configuration per agent, `count` expanded and names numbered."""
        out = []
        for p in self.prosumers:
            for k in range(p.count):
                name = p.name if p.count == 1 else f"{p.name} {k + 1}"
                out.append(p.model_copy(update={"name": name, "count": 1}))
        return out

    @property
    def step_h(self) -> float:
        """Length of a step in hours."""
        return self.step_minutes / 60.0

    @property
    def steps_per_day(self) -> int:
        """Steps in a day."""
        return 1440 // self.step_minutes

    @property
    def episode_steps(self) -> int:
        """Steps in an episode."""
        return round(self.episode_days * 1440 / self.step_minutes)

    @property
    def window_edges_steps(self) -> tuple[int, ...]:
        """Edges of the look-ahead windows in steps."""
        return tuple(round(e * 60 / self.step_minutes) for e in self.forecast.window_edges_h)

    @classmethod
    def load(cls, source: str | Path, **overrides: Any) -> GridConfig:
        """Load a scenario by name or path; keywords override fields, dotted keys reach inside.

        `GridConfig.load("community-5", episode_days=1, **{"prosumers.*.battery.capacity_kwh": 5})`

        Raises ConfigError naming the field, the value and what was expected, or the nearest scenario name.
        """
        from smartgrid_core.registry import load_config

        return load_config(source, overrides)
