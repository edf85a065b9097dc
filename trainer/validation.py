"""How good a policy is on validation weeks, cheaply enough to ask often."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from smartgrid_core import GridConfig, Simulator
from smartgrid_core.controllers import OptimumController, grid_only_config, make_controller
from smartgrid_core.controllers.episode import EpisodeRecord, cost_j, prosumer_cost_j, run_episode
from smartgrid_core.controllers.protocol import Controller
from smartgrid_core.kpis import kpis
from trainer.scoreboard import MIN_DENOMINATOR

BASELINES = ("self-consumption", "time-of-use")  # whose scores are shown beside the policy's
MAX_PLANNED = 64  # prosumers up to which the optimum is planned; its linear program grows with them
PROGRAM_BYTES = 8_000  # of the optimum's linear program, per prosumer and step of an episode: 5 to 8 kB measured
LEAST_BILL = 0.01  # EUR per episode below which savings are no share of it, but plain EUR
MAX_SERIES = 4_000_000  # values of a series up to which indicators are taken, half a gigabyte in all
UNTOLD = ("decision_us",)  # an indicator of the machine, not of the policy


class References(NamedTuple):
    """What policies are compared with, on the same episodes."""

    grid_only_j: np.ndarray  # [E, N] EUR, J of every prosumer without battery and neighbours
    saving: float  # EUR per episode: what the score counts as 1
    baselines: dict[str, float]  # scores of the rules
    note: str | None = None  # what to tell where a score of 1 is not the optimum although that was planned


class Validation:
    """Fixed episodes of the validation split with their references, computed once.

    Up to `MAX_PLANNED` prosumers a score of 1 is perfect foresight, as in the scoreboard. Beyond, where planning takes
    longer than training, it is a bill of zero; so it is where even perfect foresight saves less than 1 % of the bill
    and the scoreboard has no score, as nearly nothing over nearly nothing would be noise: the least cost still wins.
    Scores of one scenario compare, those of different kinds do not.
    """

    def __init__(self, scenario: GridConfig, episodes: int, device: torch.device, compile: bool = False):
        self.scenario, self.device = scenario, device
        self.seeds = list(range(episodes))
        self.sim = Simulator(scenario, episodes, device, split="validation", compile=compile)
        self._references: References | None = None

    @property
    def reference_bytes(self) -> int:
        """Memory that is taken while the references are made: profiles once more, and the optimum's linear program."""
        profiles = sum(x.nbytes for x in self.sim.table.buffers())
        planned = self.scenario.num_agents * self.scenario.episode_steps if is_planned(self.scenario) else 0
        return profiles + PROGRAM_BYTES * planned

    def prepare(self) -> References:
        """The references, made when first asked for."""
        if self._references is None:
            bare = Simulator(grid_only_config(self.scenario), len(self.seeds), self.device, split="validation")
            grid_only = prosumer_cost_j(run_episode(bare, make_controller("idle"), seed=self.seeds, keep_series=False))
            cost = float(grid_only.sum(1).mean())
            saving, note = self._saving(cost)
            scores = {name: (cost - self._mean_cost(make_controller(name))) / saving for name in BASELINES}
            self._references = References(grid_only, saving, scores, note)
        return self._references

    def run(self, controller: Controller) -> dict[str, Any]:
        """`score` (0 = grid only), `cost_eur` per episode, `baselines`' scores, and `kpis` where series fit memory."""
        references = self.prepare()
        series = len(self.seeds) * self.scenario.episode_steps * self.scenario.num_agents <= MAX_SERIES
        record = run_episode(self.sim, controller, seed=self.seeds, keep_series=series)
        cost = float(cost_j(record).mean())
        score = (float(references.grid_only_j.sum(1).mean()) - cost) / references.saving
        result = {"score": score, "cost_eur": cost, "baselines": references.baselines}
        return result | ({"kpis": _means(record, references.grid_only_j)} if series else {})

    def _saving(self, cost: float) -> tuple[float, str | None]:
        """What the score counts as 1 where grid_only costs `cost`, EUR per episode, and what there is to tell."""
        bill = abs(cost) if abs(cost) >= LEAST_BILL else 1.0
        if not is_planned(self.scenario):
            return bill, None
        saving = cost - self._optimum()
        if saving > 0 and saving >= MIN_DENOMINATOR * abs(cost):
            return saving, None
        return bill, (
            f"even perfect foresight saves only {max(saving, 0.0):.2f} EUR of grid_only's {cost:.2f} EUR per episode: "
            f"validation scores are savings as a share of {bill:.2f} EUR"
        )

    def _optimum(self) -> float:
        """Mean J of perfect foresight, EUR per episode."""
        optimum = OptimumController()
        state, _ = self.sim.reset(seed=self.seeds)
        optimum.start(self.sim, state)
        return float(np.mean(optimum.bound_eur))

    def _mean_cost(self, controller: Controller) -> float:
        return float(cost_j(run_episode(self.sim, controller, seed=self.seeds, keep_series=False)).mean())


def is_planned(scenario: GridConfig) -> bool:
    """Whether a score of 1 is the optimum, which takes a linear program of all prosumers and steps at once."""
    return scenario.num_agents <= MAX_PLANNED


def _means(record: EpisodeRecord, grid_only_j: np.ndarray) -> dict[str, float | None]:
    """Every indicator's mean over the episodes that have it; None where none has."""
    means: dict[str, float | None] = {}
    for name, values in kpis(record, grid_only_j).items():
        if name not in UNTOLD:
            present = values[np.isfinite(values)]
            means[name] = float(present.mean()) if len(present) else None
    return means
