"""What learners see of a step's reward, and how long they hold a decision."""

from __future__ import annotations

import math

from smartgrid_core import GridConfig, Simulator
from smartgrid_core.errors import ConfigError
from smartgrid_core.shaping import ShapedReward
from smartgrid_core.types import State
from trainer.config import TrainConfig


def learning_reward(config: TrainConfig, sim: Simulator, discount: float = 1.0) -> ShapedReward:
    """The reward as learners see it.

    Shaping is undiscounted for ippo, mappo and qmix, which is meant; shac, where a decision lasts one step, gives its
    own discount and so leaves the best policy as it is.
    """
    return ShapedReward(sim, config.baseline, config.shaping_eur_per_kwh, discount)


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
