"""The whole configuration of a simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveFloat, model_validator

from smartgrid_core.config.base import Model
from smartgrid_core.config.network import LinksConfig, NetworkConfig
from smartgrid_core.config.profiles import ForecastConfig, ProfilesConfig
from smartgrid_core.config.prosumer import ProsumerConfig
from smartgrid_core.config.utility import EventConfig, TariffConfig


class RewardWeights(Model):
    """Weights of the four reward components, each in EUR-equivalents per step."""

    stability: float = Field(default=0.1, ge=0)
    """Weight of S − 1, shared by all."""
    efficiency: float = Field(default=0.1, ge=0)
    """Weight of losses, conversion and curtailment at the import price."""
    cost: float = Field(default=1.0, ge=0)
    """Weight of the prosumer's own bill."""
    cooperation: float = Field(default=0.1, ge=0)
    """Weight of energy that helped a neighbour in need, at the import price."""


class StabilityWeights(Model):
    """Weights of the stability index; they are normalised to sum 1."""

    voltage: float = Field(default=0.4, ge=0)
    """Weight of the mean voltage deviation."""
    loading: float = Field(default=0.3, ge=0)
    """Weight of the highest branch loading."""
    balance: float = Field(default=0.2, ge=0)
    """Weight of unserved, curtailed and unplanned energy."""
    reserve: float = Field(default=0.1, ge=0)
    """Weight of batteries away from empty and full."""

    @model_validator(mode="after")
    def _check(self) -> StabilityWeights:
        if self.voltage + self.loading + self.balance + self.reserve <= 0:
            raise ValueError("all stability weights are 0: at least one must be positive")
        return self


class EvaluationConfig(Model):
    """Which episodes the scoreboard is made of."""

    seeds: tuple[int, ...] = tuple(range(1000, 1032))
    """One test episode a seed."""

    def first(self, episodes: int) -> list[int]:
        """So many of the seeds, continued with the numbers after the highest where more are asked for."""
        after = max(self.seeds, default=0) + 1
        return [*self.seeds, *range(after, after + episodes)][:episodes]


class GridConfig(Model):
    """A community of prosumers on one feeder: the whole configuration of a simulation."""

    name: str = "custom"
    """Name of the scenario."""
    description: str = ""
    """One sentence for people."""
    step_minutes: int = Field(default=15, ge=1, le=60)
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
            raise ValueError(
                f"step_minutes = {self.step_minutes} does not divide an hour: use 5, 10, 15, 30, 60 or another divisor"
            )
        steps = self.episode_days * 1440 / self.step_minutes
        if abs(steps - round(steps)) > 1e-6 or steps < 1:
            raise ValueError(
                f"episode_days = {self.episode_days} is not a whole number of {self.step_minutes}-minute steps"
            )
        for edge in self.forecast.window_edges_h:
            if (edge * 60) % self.step_minutes:
                raise ValueError(
                    f"forecast.window_edges_h: {edge} h is not a multiple of step_minutes = {self.step_minutes}"
                )
        for k, event in enumerate(self.events):
            if event.day[0] >= self.episode_days:
                raise ValueError(
                    f"events.{k}.day = {list(event.day)}: an episode of episode_days = {self.episode_days:g} ends "
                    f"before that {event.kind} could begin; days count from 0"
                )
        names = [p.name for p in self.prosumers]
        if len(set(names)) != len(names):
            repeated = next(n for n in names if names.count(n) > 1)
            raise ValueError(f"prosumers: the name {repeated!r} is used twice; use count, or different names")
        return self

    @property
    def settled(self) -> GridConfig:
        """The same, but saying nothing of limits that would be so anyway: what was stored before they could be left out
        equals what is written today."""
        if self.profiles.source != "synthetic":
            return self
        return self.model_copy(update={"prosumers": tuple(prosumer.settled for prosumer in self.prosumers)})

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
