"""From a plan's set-points per community to actions of the batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from smartgrid_core.controllers.lp import Plan
from smartgrid_core.controllers.protocol import action_from_setpoints
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import State


class Schedule:
    """Set-points of every grid over the next steps.

    Args:
        steps: how many steps of a plan are kept.
    """

    def __init__(self, sim: Simulator, steps: int):
        self.sim, self.steps = sim, steps
        self._link, self._sign = slot_links(sim)
        self._grids = np.arange(sim.num_grids)
        self._battery_kw = np.zeros((steps, sim.num_grids, sim.num_agents))
        self._link_kw = np.zeros((steps, sim.num_grids, sim.links.pairs.shape[0] + 1))  # the last stays 0: no link

    def store(self, grid: int, plan: Plan) -> None:
        """Keep the first steps of a grid's plan, whose blocks are single steps there."""
        self._battery_kw[:, grid] = plan.battery_kw[: self.steps]
        self._link_kw[:, grid, :-1] = plan.link_kw[: self.steps]

    def action(self, state: State, age: np.ndarray) -> Tensor:
        """Action [B, N, K + 1] of the step `age` [B] steps into the grids' plans."""
        battery, link = self._battery_kw[age, self._grids], self._link_kw[age, self._grids]
        transfers = link[:, self._link.T] * self._sign.T  # [B, N, K]
        return action_from_setpoints(self.sim, state, self._tensor(battery), self._tensor(transfers))

    def _tensor(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(x.astype(np.float32)).to(self.sim.device)


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
