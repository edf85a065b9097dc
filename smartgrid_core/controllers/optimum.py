"""The best that was physically possible: a linear program that knows the rest of the episode."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from smartgrid_core.controllers.lp import CommunityProgram, Plan, communities, horizons
from smartgrid_core.controllers.outlook import Outlook, foresight
from smartgrid_core.controllers.protocol import action_from_setpoints
from smartgrid_core.controllers.setpoints import Schedule, battery_limits_kw, value_of_energy
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import State

CORE_LOSS_SHARE = 0.9  # core losses go with the voltage squared; below 0.95 p.u. at the transformer they are less


def unavoidable_losses_eur(sim: Simulator, outlook: Outlook, seen: np.ndarray) -> np.ndarray:
    """Cost of the transformer's core losses while the grid is connected, [B] EUR; whatever anybody does.

    Args:
        outlook: [H, …] the truth; seen: [H, B] bool, steps of the episode's rest.
    """
    if not sim.config.network.power_flow:
        return np.zeros(sim.num_grids)
    feeder = sim.feeder
    core_kw = CORE_LOSS_SHARE * float(feeder.magnetising_g_pu[0]) * feeder.s_base_kva * feeder.v0_pu**2
    connected = outlook.on_grid.any(-1) & seen
    return (connected * np.maximum(outlook.import_eur_per_kwh, 0.0)).sum(0) * core_kw * sim.config.step_h


class OptimumController:
    """Solves every grid's episode at its start and replays the plan.

    Attributes:
        bound_eur: [B] float64, least possible J = cost − v · (SoC_end − SoC_start) of the episode's rest; no
            controller can do better (`lp`). Of the network's losses it holds the transformer's core losses alone,
            which nobody can avoid. The replay pays all of them, and follows the plan only as far as actions reach.
    """

    name = "optimum"
    kind = "optimum"
    bound_eur: np.ndarray

    def start(self, sim: Simulator, state: State) -> None:
        remaining = sim.config.episode_steps - state.step.cpu().numpy()
        steps = int(remaining.max())
        outlook = foresight(sim, state, steps)
        seen = np.arange(steps)[:, None] < remaining
        lowest = np.where(seen, outlook.import_eur_per_kwh, np.inf).min(0)
        ahead = horizons(
            outlook, battery_limits_kw(sim), (1,) * steps, remaining, sim.config.step_h,
            state.soc_kwh.double().cpu().numpy(), value_of_energy(sim, lowest),
        )  # fmt: skip
        plans: list[Plan] = [
            CommunityProgram(community, steps, presolve=True).solve(horizon)
            for community, horizon in zip(communities(sim), ahead, strict=True)
        ]
        self.bound_eur = np.array([plan.objective_eur for plan in plans]) + unavoidable_losses_eur(sim, outlook, seen)
        self._schedule = Schedule(sim, steps)
        self._first_step = state.step.cpu().numpy()
        for grid, plan in enumerate(plans):
            self._schedule.store(grid, plan)
        self._sim = sim
        self._soc_kwh = np.stack([plan.soc_kwh for plan in plans], axis=1)  # [T, B, N]

    def act(self, state: State, obs: Tensor) -> Tensor:
        step = state.step.cpu().numpy() - self._first_step
        plan = self._schedule.setpoints(step)
        battery_kw = plan.battery_kw + self._catch_up_kw(state, step)
        return action_from_setpoints(self._sim, state, battery_kw, plan.transfers_kw)

    def _catch_up_kw(self, state: State, step: np.ndarray) -> Tensor:
        """Battery power that makes up for what earlier steps could not do as planned, [B, N]."""
        p, planned = self._sim.params, self._soc_kwh[step, np.arange(self._sim.num_grids)]
        missing_kw = (torch.from_numpy(planned).to(state.soc_kwh) - state.soc_kwh) / self._sim.config.step_h
        return missing_kw.clamp_min(0) / p.charge_efficiency.T + missing_kw.clamp_max(0) * p.discharge_efficiency.T
