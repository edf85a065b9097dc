"""What learners see of a step's reward; none of it changes which policy is best."""

from __future__ import annotations

import torch
from torch import Tensor

from smartgrid_core import Simulator
from smartgrid_core.errors import ConfigError
from smartgrid_core.types import State, StepResult
from trainer.config import TrainConfig


class LearningReward:
    """The reward plus a baseline, less variance, plus shaping, less delay.

    The baseline is the bill of a prosumer without battery and neighbours, which does not depend on actions. Shaping is
    potential-based on the stored energy (Ng et al. 1999), with the content before any reset as the next potential.

    Args:
        discount: of the next potential, per step; 1 also makes up for a learner's impatience with stored energy.
    """

    def __init__(self, config: TrainConfig, sim: Simulator, discount: float = 1.0):
        self.config, self.step_h, self.discount = config, sim.config.step_h, discount
        self.weights = sim.params.reward_weights  # shared, so that changed weights apply at once

    def __call__(self, state: State, out: StepResult) -> Tensor:
        """[B, N] EUR-equivalents."""
        reward = out.reward
        if self.config.baseline:
            need = state.demand_kw - state.generation_kw
            price = torch.where(need > 0, state.import_eur_per_kwh[:, None], state.export_eur_per_kwh[:, None])
            reward = reward + self.weights[2] * need * price * self.step_h
        if self.config.shaping_eur_per_kwh:
            reward = reward + self.config.shaping_eur_per_kwh * (self.discount * out.soc_kwh - state.soc_kwh)
        return reward


def steps_of_hold(config: TrainConfig, sim: Simulator) -> int:
    """Steps an action is held.

    Raises:
        ConfigError: an episode would end within a hold.
    """
    hold = max(1, round(config.hold_h / sim.config.step_h))
    if sim.config.episode_steps % hold:
        raise ConfigError(
            f"hold_h = {config.hold_h}: an episode of {sim.config.episode_steps} steps is not a whole number of "
            f"holds of {hold} steps; choose a hold that divides it"
        )
    return hold
