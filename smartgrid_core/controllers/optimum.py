"""The best that was physically possible: a linear program that knows the rest of the episode."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from smartgrid_core.controllers.lp import CommunityProgram, Plan, communities, horizons
from smartgrid_core.controllers.outlook import foresight
from smartgrid_core.controllers.setpoints import Schedule, value_of_energy
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import State


class OptimumController:
    """Solves every grid's episode at its start and replays the plan.

    Attributes:
        bound_eur: [B] float64, least possible J = cost − v · (SoC_end − SoC_start) of the episode's rest; no
            controller can do better (`lp`). The replay pays network losses on top, and follows the plan only as
            far as actions reach.
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
            outlook, (1,) * steps, remaining, sim.config.step_h, state.soc_kwh.double().cpu().numpy(),
            value_of_energy(sim, lowest),
        )  # fmt: skip
        plans: list[Plan] = [
            CommunityProgram(community, steps, presolve=True).solve(horizon)
            for community, horizon in zip(communities(sim), ahead, strict=True)
        ]
        self.bound_eur = np.array([plan.objective_eur for plan in plans])
        self._schedule = Schedule(sim, steps)
        self._first_step = state.step.cpu().numpy()
        for grid, plan in enumerate(plans):
            self._schedule.store(grid, plan)

    def act(self, state: State, obs: Tensor) -> Tensor:
        return self._schedule.action(state, state.step.cpu().numpy() - self._first_step)
