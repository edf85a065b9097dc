"""Rules: what is decided without a model of the future, and the configuration of the reference cost."""

from __future__ import annotations

import torch
from torch import Tensor

from smartgrid_core import rng
from smartgrid_core.config import GridConfig
from smartgrid_core.controllers.outlook import known_prices
from smartgrid_core.controllers.protocol import action_from_setpoints
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import State, public


def grid_only_config(config: GridConfig) -> GridConfig:
    """The same community without batteries and links: its cost is the reference of the score.

    Random numbers are counter-based, so equal seeds give equal demand, generation, prices and events.
    """
    prosumers = tuple(
        p.model_copy(update={"battery": p.battery.model_copy(update={"capacity_kwh": (0.0, 0.0)})})
        for p in config.prosumers
    )
    links = config.links.model_copy(update={"topology": "none"})
    return config.model_copy(update={"prosumers": prosumers, "links": links})


class _Rule:
    """A controller that keeps nothing but its simulator."""

    name: str
    kind = "rule"
    sim: Simulator

    def start(self, sim: Simulator, state: State) -> None:
        self.sim = sim


class RandomController(_Rule):
    """Uniform actions in [-1, 1], counter-based: those of a grid depend on its own key, episode and step only."""

    name = "random"

    def __init__(self, seed: int = 0):
        self.seed = seed

    def act(self, state: State, obs: Tensor) -> Tensor:
        n, a = self.sim.num_agents, self.sim.action_dim
        key = rng.combine(rng.combine(rng.combine(state.key, self.seed), state.episode), state.step)
        rows = rng.rows(rng.Stream.POLICY, a * n).to(key.device)
        drawn = rng.uniform(key, rows).view(a, n, -1)
        return public(2 * drawn - 1)


class IdleController(_Rule):
    """The battery rests, nobody exchanges, the trade closes the meter."""

    name = "idle"

    def act(self, state: State, obs: Tensor) -> Tensor:
        return action_from_setpoints(self.sim, state, torch.zeros_like(state.soc_kwh))


class SelfConsumptionController(_Rule):
    """The battery stores what the own roof leaves over and covers what the own demand lacks."""

    name = "self-consumption"

    def act(self, state: State, obs: Tensor) -> Tensor:
        return action_from_setpoints(self.sim, state, state.generation_kw - state.demand_kw)


class TimeOfUseController(_Rule):
    """Charge in the cheapest price band, keep enough for the dearest, use it there.

    Of the future it reads the prices of the next `lookahead_h` alone, which are known. A price lies in the
    cheapest band where it is in the lowest `band` of the span of prices ahead, in the dearest where it is in the
    highest. Between the bands the battery follows the own balance, but while a dear band comes before the next
    cheap one it keeps what the dear hours would take at the present demand. Where the span would not pay for the
    conversion losses, the rule is self-consumption.
    """

    name = "time-of-use"

    def __init__(self, lookahead_h: float = 24.0, band: float = 0.25):
        self.lookahead_h, self.band = lookahead_h, band

    def act(self, state: State, obs: Tensor) -> Tensor:
        p, step_h = self.sim.params, self.sim.config.step_h
        prices = known_prices(self.sim, state, round(self.lookahead_h / step_h))[..., 0]  # [H, B]
        prices = torch.cat([state.import_eur_per_kwh[None], prices[1:]])
        low, high = prices.amin(0), prices.amax(0)
        span = high - low
        cheap, dear = prices <= low + self.band * span, prices >= high - self.band * span
        before_cheap = cheap.int().cumsum(0) == 0
        dear_h = (dear & before_cheap).sum(0) * step_h * ~dear[0]  # [B], 0 once the dear band has begun
        surplus = state.generation_kw - state.demand_kw
        reserve_kwh = dear_h[:, None] * state.demand_kw / p.discharge_efficiency.T + p.soc_min_kwh.T
        spare_kw = (state.soc_kwh - reserve_kwh).clamp_min(0) * p.discharge_efficiency.T / step_h
        following = torch.maximum(surplus, torch.where(dear_h[:, None] > 0, -spare_kw, -torch.inf))
        setpoint = torch.where(cheap[0][:, None], p.charge_kw.T, following)
        pays = (p.charge_efficiency * p.discharge_efficiency * high > low).T  # [B, N]
        return action_from_setpoints(self.sim, state, torch.where(pays, setpoint, surplus))
