"""From a plan's set-points per community to actions of the batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from smartgrid_core import battery
from smartgrid_core.controllers.host import by_prosumer
from smartgrid_core.controllers.lp import Plan
from smartgrid_core.controllers.outlook import Outlook
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import State, kernel, public


class Setpoints(NamedTuple):
    """One step of the plans of every grid."""

    battery_kw: Tensor  # [B, N] positive charges
    transfers_kw: Tensor  # [B, N, K] positive receives
    net_kw: Tensor  # [B, N] generation − demand that the plan reckons with
    value_eur_per_kwh: Tensor  # [B, N] worth of one more kWh stored


class Schedule:
    """Set-points of every grid over the next steps.

    Args:
        steps: how many steps of a plan are kept.
    """

    def __init__(self, sim: Simulator, steps: int):
        self.sim, self.steps = sim, steps
        self._link, self._sign = slot_links(sim)
        self._grids = np.arange(sim.num_grids)
        self._battery_kw, self._net_kw, self._value = np.zeros((3, steps, sim.num_grids, sim.num_agents))
        self._link_kw = np.zeros((steps, sim.num_grids, sim.links.pairs.shape[0] + 1))  # the last stays 0: no link

    def store(self, grid: int, plan: Plan) -> None:
        """Keep the first steps of a grid's plan, whose blocks are single steps there."""
        self._battery_kw[:, grid] = plan.battery_kw[: self.steps]
        self._net_kw[:, grid] = plan.net_kw[: self.steps]
        self._value[:, grid] = plan.value_eur_per_kwh[: self.steps]
        self._link_kw[:, grid, :-1] = plan.link_kw[: self.steps]

    def setpoints(self, age: np.ndarray) -> Setpoints:
        """What the plans say for the step `age` [B] steps into them."""
        at = (age, self._grids)
        transfers = self._link_kw[at][:, self._link.T] * self._sign.T  # [B, N, K]
        return Setpoints(*map(self._tensor, (self._battery_kw[at], transfers, self._net_kw[at], self._value[at])))

    def _tensor(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(x.astype(np.float32)).to(self.sim.device)


def absorb_deviation(sim: Simulator, state: State, plan: Setpoints) -> Tensor:
    """Who balances what generation and demand are beside the plan: the battery, the utility, or each a part.

    The cheapest power between the planned one and the one that takes the whole deviation, stored energy counted
    at the plan's marginal value. That cost is convex and piecewise linear in the battery's power, with kinks at 0
    and where the meter reads 0, so the best is an end or a kink.

    Returns:
        [B, N] battery power, positive charges.
    """
    params = sim.params
    net = state.generation_kw - state.demand_kw
    closed = net + plan.transfers_kw.sum(-1)  # the battery power at which nothing is traded
    follow = plan.battery_kw + (net - plan.net_kw)
    low, high = torch.minimum(plan.battery_kw, follow), torch.maximum(plan.battery_kw, follow)
    kinks = (torch.minimum(torch.maximum(x, low), high) for x in (closed, torch.zeros_like(closed)))
    chargeable, dischargeable = (public(x) for x in battery.limits_kw(kernel(state.soc_kwh), params, sim.config.step_h))
    power = torch.minimum(torch.maximum(torch.stack([plan.battery_kw, follow, *kinks]), -dischargeable), chargeable)
    order = power - closed
    buy, sell = state.import_eur_per_kwh[:, None], state.export_eur_per_kwh[:, None]
    stored = power.clamp_min(0) * params.charge_efficiency.T + power.clamp_max(0) / params.discharge_efficiency.T
    cost = order.clamp_min(0) * buy + order.clamp_max(0) * sell - plan.value_eur_per_kwh * stored
    return power.gather(0, cost.argmin(0, keepdim=True))[0]


def battery_limits_kw(sim: Simulator) -> tuple[np.ndarray, np.ndarray]:
    """Largest charging and discharging powers of the batteries, each [1, B, N]."""
    return by_prosumer(sim, sim.params.charge_kw)[None], by_prosumer(sim, sim.params.discharge_kw)[None]


def within_reach_kw(sim: Simulator, state: State, outlook: Outlook) -> tuple[np.ndarray, np.ndarray]:
    """The part of them that an action can ask for at the demand and generation expected, each [H, B, N].

    With `trade_mode` around_balance an action moves the battery by at most its power from where it would close the
    meter by itself: who uses much cannot charge fast. What links carry moves that point too, and is left out.
    """
    charge, discharge = battery_limits_kw(sim)
    if sim.config.trade_mode == "absolute":
        return charge, discharge
    limits = battery.limits_kw(kernel(state.soc_kwh), sim.params, sim.config.step_h)
    chargeable, dischargeable = (by_prosumer(sim, x) for x in limits)
    net, shift = outlook.generation_kw - outlook.demand_kw, by_prosumer(sim, sim.params.shift_kw)
    closing = np.clip(net, -discharge, charge)
    closing[0] = np.clip(net[0], -dischargeable, chargeable)
    return np.minimum(charge, closing + shift), np.minimum(discharge, shift - closing)


def slot_links(sim: Simulator) -> tuple[np.ndarray, np.ndarray]:
    """Which link every slot is, and +1 where a flow from its first to its second agent comes in.

    Returns:
        link [K, N] int, the number of links in unused slots; sign [K, N], ±1.
    """
    number = {(int(i), int(j)): link for link, (i, j) in enumerate(sim.links.pairs)}
    link = np.full(sim.links.used.shape, len(number), dtype=np.int64)
    for slot, agent in zip(*np.nonzero(sim.links.used), strict=True):
        other = int(sim.links.neighbour[slot, agent])
        link[slot, agent] = number[min(agent, other), max(agent, other)]
    sign = np.where(np.arange(sim.num_agents) > sim.links.neighbour, 1.0, -1.0)
    return link, sign


def value_of_energy(sim: Simulator, lowest_import_eur_per_kwh: np.ndarray) -> np.ndarray:
    """v of stored energy, [B, N] EUR/kWh: what replacing it costs at the lowest import price [B]."""
    efficiency = sim.params.charge_efficiency.expand(sim.num_agents, sim.num_grids).double().cpu().numpy()
    return lowest_import_eur_per_kwh[:, None] / efficiency.T
