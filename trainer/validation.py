"""How good a policy is on validation weeks, cheaply enough to ask often."""

from __future__ import annotations

import numpy as np
import torch

from smartgrid_core import GridConfig, Simulator
from smartgrid_core.controllers import OptimumController, grid_only_config, make_controller
from smartgrid_core.controllers.episode import cost_j, run_episode
from smartgrid_core.controllers.protocol import Controller


class Validation:
    """Fixed episodes of the validation split with their two references, computed once when first needed."""

    def __init__(self, scenario: GridConfig, episodes: int, device: torch.device, compile: bool = False):
        self.scenario, self.device = scenario, device
        self.seeds = list(range(episodes))
        self.sim = Simulator(scenario, episodes, device, split="validation", compile=compile)
        self._references: tuple[float, float] | None = None

    def run(self, controller: Controller) -> dict[str, float]:
        """`score` (0 = grid only, 1 = perfect foresight) and `cost_eur` per episode."""
        grid_only, optimum = self.references()
        cost = self._mean_cost(self.sim, controller)
        return {"score": (grid_only - cost) / max(grid_only - optimum, 1e-9), "cost_eur": cost}

    def references(self) -> tuple[float, float]:
        """Mean cost of grid_only and of the perfect-foresight optimum, EUR per episode."""
        if self._references is None:
            bare = Simulator(grid_only_config(self.scenario), len(self.seeds), self.device, split="validation")
            grid_only = self._mean_cost(bare, make_controller("idle"))
            optimum = OptimumController()
            state, _ = self.sim.reset(seed=self.seeds)
            optimum.start(self.sim, state)
            self._references = grid_only, float(np.mean(optimum.bound_eur))
        return self._references

    def _mean_cost(self, sim: Simulator, controller: Controller) -> float:
        record = run_episode(sim, controller, seed=self.seeds, keep_series=False)
        return float(np.mean(cost_j(record)))
