"""community-5 as a PettingZoo environment is usually written: dictionaries by agent, NumPy for each prosumer, no grid.

One community, one prosumer after the other; no power flow, so nominal voltage everywhere and no losses. Otherwise the
task is ours, number by number: transfers by consent, trade around balance, batteries, settlement, the four reward
parts, observations with forecasts (a test compares every step). What an episode will see is laid out when it begins.
`FloatEnv` is the same with Python's floats for NumPy's scalars: what a careful author would make of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

from smartgrid_core import GridConfig, Simulator
from smartgrid_core.adapters import agent_ids, observation_bounds

LIMIT = 10.0


class Prosumer(NamedTuple):
    """Constants of one prosumer."""

    capacity_kwh: float
    soc_min_kwh: float
    soc_max_kwh: float
    charge_kw: float
    discharge_kw: float
    charge_efficiency: float
    discharge_efficiency: float
    shift_kw: float
    trade_kw: float
    scale_kw: float
    links: list[tuple[str, int, float]]  # neighbour, the slot it has us in, rating in kW


class Power(NamedTuple):
    """What one prosumer does in a step, kW."""

    net_received: float
    order: float
    charge: float
    discharge: float
    dischargeable: float
    imbalance: float


class PlainEnv(ParallelEnv):
    """The community one prosumer at a time; draws of an episode are the simulator's, formulas are not."""

    clip: Callable[[Any, float, float], Any] = staticmethod(np.clip)
    series: Callable[[np.ndarray], Any] = staticmethod(np.asarray)  # what is read one number at a time

    metadata = {"name": "plain_smartgrid_v0", "render_modes": []}  # noqa: RUF012 - PettingZoo reads it

    def __init__(self) -> None:
        self.config = GridConfig.load("community-5", **{"network.power_flow": False})
        self._draws = Simulator(self.config)
        self.possible_agents = agent_ids(self.config.num_agents)
        self.agents: list[str] = []
        self.prosumers = {a: self._prosumer(i) for i, a in enumerate(self.possible_agents)}
        low, high = observation_bounds(self._draws)
        one = np.ones(self._draws.action_dim, dtype=np.float32)
        self.observation_spaces = {agent: spaces.Box(low, high) for agent in self.possible_agents}
        self.action_spaces = {agent: spaces.Box(-one, one) for agent in self.possible_agents}
        self.total_scale = sum(p.scale_kw for p in self.prosumers.values())

    def observation_space(self, agent: str) -> spaces.Space:
        """Box of an agent."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space:
        """Box of an agent."""
        return self.action_spaces[agent]

    def _prosumer(self, i: int) -> Prosumer:
        sim, p = self._draws, self._draws.params
        names = self.possible_agents
        links = []
        for k in range(sim.num_slots):
            j = int(sim.links.neighbour[k, i])
            back = int(sim.links.partner[k, i]) // sim.num_agents
            links.append((names[j], back, float(p.link_kw[k, i, 0])))
        fields = {name: float(getattr(p, name)[i, 0]) for name in Prosumer._fields if name not in ("links", "scale_kw")}
        return Prosumer(**fields, scale_kw=max(fields["trade_kw"], 1.0), links=links)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
        """Begin the episode that this seed stands for."""
        sim = self._draws
        state, _ = sim.reset(seed=seed)
        table, steps = sim.table, self.config.episode_steps
        plan = sim.episodes.plan(sim.params, state.key, state.episode)
        first, stride = int(state.row), table.demand_rows.shape[0] // table.profiles.demand.shape[0]
        rows = np.arange(first, first + steps + 1)
        self.demand_kw, self.generation_kw, self.forecast_kw, self.soc_kwh = {}, {}, {}, {}
        for i, agent in enumerate(self.possible_agents):
            demand = table.demand_rows.numpy()[int(plan.demand_column[i]) * stride + rows]
            generation = table.generation_rows.numpy()[int(plan.generation_column[i]) * stride + rows]
            demand = demand * float(sim.params.demand_scale[i] * plan.demand_jitter[i])
            generation = generation * float(sim.params.generation_scale[i] * plan.generation_jitter[i])
            self.demand_kw[agent] = self.series(demand[:, 0].astype(float))
            self.generation_kw[agent] = self.series(generation[:, 0].astype(float))
            self.forecast_kw[agent] = generation[:, 1:] - demand[:, 1:]
            self.soc_kwh[agent] = float(state.soc_kwh[0, i])
        time, prices = table.time_rows.numpy()[rows], 2 + 2 * table.windows
        self.import_price, self.export_price = (self.series(time[:, k].astype(float)) for k in range(2))
        self.shared = np.concatenate([time[:, :prices] / table.price_scale, time[:, prices : prices + 4]], axis=1)
        self.t, self.stability, self.agents = 0, 1.0, self.possible_agents[:]
        return {agent: self._observe(agent) for agent in self.agents}, {agent: {} for agent in self.agents}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Take one step with an action for every agent."""
        wishes, shifts = {}, {}
        for agent in self.agents:
            action = self.series(np.clip(actions[agent], -1.0, 1.0).astype(float))
            links = self.prosumers[agent].links
            wishes[agent] = [a * kw for a, (_, _, kw) in zip(action, links, strict=False)]
            shifts[agent] = action[-1]
        powers = {agent: self._move(agent, wishes, shifts[agent]) for agent in self.agents}
        self.stability = self._stability(powers)
        rewards, infos = self._settle(powers)
        for agent in self.agents:
            infos[agent]["soc_kwh"] = self.soc_kwh[agent]
        self.t += 1
        ended = self.t >= self.config.episode_steps
        observations = {agent: self._observe(agent) for agent in self.agents}
        terminations, truncations = dict.fromkeys(self.agents, False), dict.fromkeys(self.agents, ended)
        if ended:
            self.agents = []
        return observations, rewards, terminations, truncations, infos

    def _move(self, agent: str, wishes: dict[str, list[float]], shift: float) -> Power:
        """Transfers, order and battery of a prosumer; charges the battery."""
        p, h, soc = self.prosumers[agent], self.config.step_h, self.soc_kwh[agent]
        net = 0.0
        for mine, (neighbour, slot, _) in zip(wishes[agent], p.links, strict=True):
            theirs = wishes[neighbour][slot]
            if mine > 0 > theirs:
                net += min(mine, -theirs)
            elif mine < 0 < theirs:
                net -= min(-mine, theirs)
        clip = self.clip
        chargeable = min((p.soc_max_kwh - soc) / (p.charge_efficiency * h), p.charge_kw)
        dischargeable = min((soc - p.soc_min_kwh) * p.discharge_efficiency / h, p.discharge_kw)
        residual = self.generation_kw[agent][self.t] - self.demand_kw[agent][self.t] + net
        follow = clip(residual, -dischargeable, chargeable)
        battery = clip(follow + shift * p.shift_kw, -dischargeable, chargeable)
        order = clip(battery - residual, -p.trade_kw, p.trade_kw)
        wanted = residual + order
        charge, discharge = clip(wanted, 0.0, chargeable), clip(-wanted, 0.0, dischargeable)
        soc += (charge * p.charge_efficiency - discharge / p.discharge_efficiency) * h
        self.soc_kwh[agent] = clip(soc, p.soc_min_kwh, p.soc_max_kwh)
        return Power(net, order, charge, discharge, dischargeable, wanted - (charge - discharge))

    def _stability(self, powers: dict[str, Power]) -> float:
        turned_over, unbalanced, reserve = 1e-6, 0.0, 0.0
        for agent, power in powers.items():
            turned_over += self.demand_kw[agent][self.t] + self.generation_kw[agent][self.t]
            unbalanced += abs(power.imbalance)
            fraction = self.soc_kwh[agent] / self.prosumers[agent].capacity_kwh
            reserve += self.clip(min(fraction, 1 - fraction) / 0.1, 0.0, 1.0)
        w = self.config.stability
        balance, reserve = 1 - min(unbalanced / turned_over, 1.0), reserve / len(powers)
        total = w.voltage + w.loading + w.balance + w.reserve
        return (w.voltage + w.loading + w.balance * balance + w.reserve * reserve) / total

    def _settle(self, powers: dict[str, Power]) -> tuple[dict[str, float], dict[str, dict[str, Any]]]:
        """Rewards, and infos with what they are made of."""
        h, w, penalty = self.config.step_h, self.config.rewards, self.config.tariff.imbalance_penalty_eur_per_kwh
        imports, exports = self.import_price[self.t], self.export_price[self.t]
        value, middle = max(imports, 0.0), 0.5 * (imports + exports)
        dear, cheap = max(imports, exports) + penalty, min(imports, exports) - penalty
        given, helped, forwarded = {}, 0.0, 0.0
        for agent, power in powers.items():
            need = self.demand_kw[agent][self.t] - self.generation_kw[agent][self.t] - power.dischargeable
            helped += min(max(power.net_received, 0.0), max(need, 0.0))
            sent = max(-power.net_received, 0.0)
            given[agent] = max(sent - max(power.order, 0.0) - max(-power.imbalance, 0.0), 0.0)
            forwarded += sent - given[agent]
        total = sum(given.values())
        part = self.clip((helped - forwarded) / total, 0.0, 1.0) if total > 0 else 0.0
        rewards, infos = {}, {}
        for agent, power in powers.items():
            p = self.prosumers[agent]
            cost = max(power.order, 0.0) * imports - max(-power.order, 0.0) * exports + power.net_received * middle
            cost = (cost + max(-power.imbalance, 0.0) * dear - max(power.imbalance, 0.0) * cheap) * h
            lost = power.charge * (1 - p.charge_efficiency) + power.discharge * (1 / p.discharge_efficiency - 1)
            parts = {"stability": self.stability - 1, "efficiency": -lost * value * h, "cost": -cost,
                     "cooperation": given[agent] * part * value * h}  # fmt: skip
            rewards[agent] = (
                w.stability * parts["stability"] + w.efficiency * parts["efficiency"] + w.cost * parts["cost"]
                + w.cooperation * parts["cooperation"]
            )  # fmt: skip
            infos[agent] = {"reward_parts": parts, "cost_eur": cost, "imbalance_kw": power.imbalance,
                            "stability": self.stability}  # fmt: skip
        return rewards, infos

    def _observe(self, agent: str) -> np.ndarray:
        """Observation of the step about to be taken, float32 [O]."""
        t, p = self.t, self.prosumers[agent]
        neighbours = [name for name, _, _ in p.links]
        community = sum(self.forecast_kw[name][t] for name in self.possible_agents)
        obs = np.concatenate([
            [self.soc_kwh[agent] / p.capacity_kwh, self.demand_kw[agent][t] / p.scale_kw,
             self.generation_kw[agent][t] / p.scale_kw, self.stability, 1.0, 1.0],
            self.shared[t], [0.0],
            [self.soc_kwh[name] / self.prosumers[name].capacity_kwh for name in neighbours],
            [(self.generation_kw[name][t] - self.demand_kw[name][t]) / self.prosumers[name].scale_kw
             for name in neighbours],
            self.forecast_kw[agent][t] / p.scale_kw, community / self.total_scale,
        ])  # fmt: skip
        return np.clip(obs, -LIMIT, LIMIT).astype(np.float32)


class FloatEnv(PlainEnv):
    """The same, in Python's floats."""

    clip = staticmethod(lambda x, low, high: min(max(x, low), high))
    series = staticmethod(np.ndarray.tolist)
