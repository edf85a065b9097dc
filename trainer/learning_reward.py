"""What learners see of a step's reward, made easier to learn from than the bill alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from smartgrid_core import GridConfig, Simulator
from smartgrid_core.errors import ConfigError
from smartgrid_core.types import State, StepResult
from trainer.config import TrainConfig


class LearningReward:
    """The reward plus a baseline, less variance, plus shaping, less delay.

    The baseline is the bill of a prosumer without battery and neighbours. It does not depend on actions, so it leaves
    the best policy as it is. Shaping adds discount·Φ(next) − Φ(now) for a potential Φ of the stored energy, with the
    content before any reset as next. With the learner's own discount γ a decision it leaves the best policy as it is
    (Ng et al. 1999): shac's does, where a decision lasts one step. With 1, as ippo, mappo and qmix have it, it does
    not: it is that and a bonus of (1 − γ)·Φ(next) for every decision, so energy kept is worth more than the discounted
    bill says. This is meant: it makes up for a discount that undervalues what a battery saves hours later.

    Args:
        discount: of the next potential, per step.
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


def steps_of_hold(config: TrainConfig, scenario: GridConfig) -> int:
    """Steps an action is held.

    Raises:
        ConfigError: a hold is no whole number of steps, or an episode would end within one.
    """
    hold = max(1, round(config.hold_h / scenario.step_h))
    if not math.isclose(config.hold_h, hold * scenario.step_h, rel_tol=1e-3):  # 0.3333 may stand for 20 minutes
        raise ConfigError(
            f"hold_h = {config.hold_h:g}: expected a multiple of a step, which has {scenario.step_h:.4g} h in "
            f"{scenario.name}; the nearest is --hold_h {hold * scenario.step_h:.4g}"
        )
    if scenario.episode_steps % hold:
        raise ConfigError(
            f"hold_h = {config.hold_h}: an episode of {scenario.episode_steps} steps is not a whole number of "
            f"holds of {hold} steps; choose a hold that divides it"
        )
    return hold


def require_whole_holds(state: State, hold: int) -> None:
    """Make sure that no episode ends within a hold of the decisions to come, where its end would be overlooked.

    An episode is a whole number of holds (`steps_of_hold`), so it is enough that every grid stands between two.

    Args:
        state: where the grids stand before an iteration's first decision.

    Raises:
        ConfigError: a grid stands within a hold.
    """
    if hold > 1 and bool((state.step % hold).any()):
        raise ConfigError(
            f"grids stand within a hold of {hold} steps, so episodes would end within one: give the Simulator "
            f"hold_steps = {hold}; a run that --resume continues with other holds, or from a version that staggered "
            "grids by hours alone, begins anew with another --out (--warm-start takes its actors along)"
        )
